//! Nothing is allocated between a raw frame and its line of JSON, once everything has been made: the warp, LOGO-CAP's
//! post-processing at every level, CenterGroup's, CapeFormer's, the tracker with its zones, and the JSON lines sink. The networks between them are tract's, which does
//! allocate.

mod counting;
mod full_frame;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use counting::allocations;
use full_frame::{CELLS, KEYPOINTS, PEOPLE, decode, outputs, schema};
use sinew::decode::capeformer::{self, Crop, Finiteness, TOKENS};
use sinew::decode::logocap::{Config, Decoder, Refinement, Workspace};
use sinew::decode::{Maps, centergroup, lofr};
use sinew::estimator::StageTimes;
use sinew::geometry::{Affine, Centre, Rectangle, ShortSideLayout, Size};
use sinew::pixels::{Image, PixelFormat, Warp};
use sinew::pose::{Keypoint, Pose, Poses};
use sinew::runtime::Tracking;
use sinew::sink::jsonl::JsonLines;
use sinew::sink::{Category, FrameResult, NamedLine, NamedZone, Options, OutputSchema, Sink, ZoneSetup};
use sinew::source::Frame;
use sinew::track::TrackOptions;
use sinew::track::zones::{Line, Zone};

const FRAMES: u64 = 1000;

fn image(format: PixelFormat, size: Size) -> Image {
    let bytes = match format {
        PixelFormat::Rgb => 3 * size.width * size.height,
        PixelFormat::Grey => size.width * size.height,
        PixelFormat::Yuyv | PixelFormat::Uyvy => 2 * size.width * size.height,
        _ => size.width * size.height * 3 / 2,
    };
    let data = (0..bytes).map(|index| (index * 31 % 251) as u8).collect();
    Image::new(format, size, data).unwrap()
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn a_thousand_frames_without_an_allocation() {
    let sigmas = [0.05; KEYPOINTS];
    let decoder = Decoder::new(&Config::reference(&sigmas).unwrap()).unwrap();
    let outputs = outputs(&decoder);
    let inputs = outputs.inputs(&decoder);
    let mut grid = vec![0.0; decoder.grid_len(PEOPLE)];
    let mut workspace = Box::new(Workspace::new());
    let mut poses = Poses::default();

    let size = Size::new(640, 480);
    let layout = ShortSideLayout::new(size, 256, 32, Centre::RoundedUp).unwrap();
    let formats = [PixelFormat::Rgb, PixelFormat::Grey, PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12];
    let images = formats.map(|format| image(format, size));
    let mut warps = formats.map(|format| {
        Warp::new(format, size, &layout.image_from_network, layout.network, [0.45; 3], [0.22; 3]).unwrap()
    });
    let mut network = vec![0.0; warps[0].output_len()];

    let mut sink = JsonLines::new(std::io::sink(), "nowhere", &schema()).unwrap();

    let mut most_poses = 0;
    let mut frame = |sequence: u64| {
        let turn = sequence as usize % formats.len();
        warps[turn].run(images[turn].view(), &mut network).unwrap();
        let level = [Refinement::None, Refinement::Partial, Refinement::Full][sequence as usize % 3];
        decode(&decoder, level, &inputs, &outputs.kam, &mut grid, &mut workspace);
        decoder.finish(&layout.image_from_network, &mut workspace, &mut poses);
        most_poses = most_poses.max(poses.list.len());
        let frame = Frame {
            image: images[turn].view(),
            sequence,
            captured: Some(Duration::from_millis(33 * sequence)),
            instant: None,
            name: Some("camera"),
        };
        let rgb = Default::default();
        let times = StageTimes::default();
        let result = FrameResult { frame, poses: &poses, times, live: None, zones: None, rgb: &rgb };
        sink.put(&result).unwrap();
    };
    // What is made once, in the first frames of every kind, may allocate.
    (0..15).for_each(&mut frame);
    assert_eq!(allocations(|| (15..15 + FRAMES).for_each(&mut frame)), 0);
    assert!(most_poses >= 20, "only {most_poses} poses: the frames were not full");
}

#[test]
fn a_thousand_recorded_frames_without_an_allocation() {
    let folder = tempfile::tempdir().unwrap();
    // All of them fit into one segment.
    let uri = format!("record:{}", folder.path().display());
    let mut recording = sinew::sink::open(&uri, &schema(), &Options::default()).unwrap();
    let images = [PixelFormat::Yuyv, PixelFormat::Nv12].map(|format| image(format, Size::new(64, 48)));
    let poses = Poses::default();
    let mut frame = |sequence: u64| {
        let image = images[sequence as usize % images.len()].view();
        let captured = Some(Duration::from_millis(33 * sequence));
        let frame = Frame { image, sequence, captured, instant: None, name: Some("camera") };
        let (rgb, times) = (Default::default(), StageTimes::default());
        let result = FrameResult { frame, poses: &poses, times, live: None, zones: None, rgb: &rgb };
        recording.put(&result).unwrap();
    };
    (0..2).for_each(&mut frame);
    assert_eq!(allocations(|| (2..2 + FRAMES).for_each(&mut frame)), 0);
}

#[test]
fn a_thousand_tracked_frames_without_an_allocation() {
    let line = Line::new((320.0, 0.0), (320.0, 480.0)).unwrap();
    let zone = Zone::new(&[(0.0, 0.0), (320.0, 0.0), (320.0, 480.0), (0.0, 480.0)]).unwrap();
    let setup = ZoneSetup {
        zones: vec![NamedZone { name: "left".to_owned(), zone }],
        lines: vec![NamedLine { name: "middle".to_owned(), line }],
        ..ZoneSetup::default()
    };
    let mut tracking = Tracking::new(&TrackOptions::default(), setup, 1, Arc::default()).unwrap();
    let mut sink = JsonLines::new(std::io::sink(), "nowhere", &schema()).unwrap();
    let image = Image::new(PixelFormat::Grey, Size::new(640, 480), vec![0; 640 * 480]).unwrap();
    let mut poses = Poses::default();
    let mut events = 0;
    let mut frame = |sequence: u64| {
        poses.clear();
        for person in 0..PEOPLE {
            // They walk across, and every seventh frame misses each of them.
            if (sequence as usize + person).is_multiple_of(7) {
                continue;
            }
            let x = (sequence as f32 * (1.0 + person as f32 / 10.0) + 20.0 * person as f32) % 640.0;
            let keypoints = (0..KEYPOINTS).map(|k| Keypoint {
                x: x + 3.0 * (k % 4) as f32,
                y: 15.0 * person as f32 + 4.0 * k as f32,
                score: 0.9,
            });
            poses.list.push(Pose { keypoints: keypoints.collect(), score: 0.8, ..Pose::default() }).unwrap();
        }
        let captured = Some(Duration::from_millis(33 * sequence));
        let frame = Frame { image: image.view(), sequence, captured, instant: None, name: None };
        let (times, rgb) = (StageTimes::default(), Default::default());
        let result = FrameResult { frame, poses: &poses, times, live: None, zones: None, rgb: &rgb };
        let tracked = tracking.step(&result);
        events += usize::from(tracked.poses.list.iter().any(|pose| pose.identity.is_some()));
        sink.put(&tracked).unwrap();
    };
    (0..15).for_each(&mut frame);
    assert_eq!(allocations(|| (15..15 + FRAMES).for_each(&mut frame)), 0);
    assert!(events >= 1000, "only {events} frames with an identity");
}

/// A full frame for CenterGroup, and the grouping network's outputs for 30 tokens of every type.
struct Crowd {
    heat_half: Vec<f32>,
    attention: Vec<f32>,
}

fn crowd() -> Crowd {
    let half = Size::new(2 * CELLS.width, 2 * CELLS.height);
    let area = half.width * half.height;
    let mut heat_half = vec![0.0; (KEYPOINTS + 1) * area];
    for person in 0..PEOPLE {
        for kind in 0..=KEYPOINTS {
            let (x, y) = (12 + 26 * (person % 6) + kind % 5, 10 + 22 * (person / 6) + kind / 5);
            heat_half[kind * area + y * half.width + x] = 0.9 - 0.01 * person as f32;
        }
    }
    let row = KEYPOINTS * PEOPLE;
    let mut attention = vec![-2.0; row * row];
    for keypoint in 0..KEYPOINTS {
        for rank in 0..PEOPLE {
            // Its own type, the token of the same rank.
            attention[(keypoint * PEOPLE + rank) * row + keypoint * PEOPLE + rank] = 4.0;
        }
    }
    Crowd { heat_half, attention }
}

#[test]
fn a_thousand_crowds_without_an_allocation() {
    let sigmas = [0.05; KEYPOINTS];
    let own = centergroup::Config {
        collapse_ties: true,
        nms_similarity: 0.7,
        least_tokens: 0,
        ..centergroup::Config::reference(&sigmas).unwrap()
    };
    let decoders = [centergroup::Config::reference(&sigmas).unwrap(), own]
        .map(|config| centergroup::Decoder::new(&config).unwrap());
    let Crowd { heat_half, attention } = crowd();
    let shape = [KEYPOINTS + 1, 2 * CELLS.height, 2 * CELLS.width];
    let network = Size::new(4 * CELLS.width, 4 * CELLS.height);
    let count = (KEYPOINTS + 1) * PEOPLE;
    let (mut index, mut weight, mut bias) = (vec![0; 4 * count], vec![0.0; 4 * count], vec![0.0; count]);
    let (visible, center) = (vec![2.0; KEYPOINTS * PEOPLE], vec![2.0; PEOPLE]);
    let valid = vec![1; network.width * network.height];
    let mut workspace = Box::new(centergroup::Workspace::new());
    let mut poses = Poses::default();
    let mut most_poses = 0;
    let mut frame = |sequence: u64| {
        let decoder = &decoders[sequence as usize % 2];
        let maps = Maps::new("heat_half", &heat_half, shape).unwrap();
        let inputs = decoder.inputs(maps, centergroup::Mask::new(&valid, network).unwrap()).unwrap();
        decoder.find_tokens(&inputs, &mut workspace);
        decoder.write_index(&inputs, PEOPLE, &workspace, &mut index).unwrap();
        decoder.write_weight(&inputs, PEOPLE, &workspace, &mut weight).unwrap();
        decoder.write_bias(PEOPLE, &workspace, &mut bias).unwrap();
        let grouped = decoder.grouped(PEOPLE, &attention, &visible, &center).unwrap();
        decoder.group(&inputs, Some(&grouped), &Affine::IDENTITY, &mut workspace, &mut poses);
        most_poses = most_poses.max(poses.list.len());
    };
    assert_eq!(allocations(|| (0..FRAMES).for_each(&mut frame)), 0);
    assert_eq!(most_poses, PEOPLE);
}

/// Crops that move and grow over the whole image, in every format and two sizes of images, by the tables of one warp.
#[test]
fn moving_boxes_allocate_nothing() {
    let network = Size::new(64, 96);
    let sizes = [Size::new(640, 480), Size::new(320, 240)];
    let formats = [PixelFormat::Rgb, PixelFormat::Grey, PixelFormat::Yuyv, PixelFormat::Nv12];
    let images: Vec<Image> = sizes.iter().flat_map(|&size| formats.map(|format| image(format, size))).collect();
    let mut warp = None;
    let mut input = vec![0.0; 3 * network.width * network.height];
    let mut frame = |sequence: u64| {
        let (turn, step) = (sequence as usize % images.len(), sequence as f32);
        let (view, size) = (images[turn].view(), images[turn].size());
        let (width, height) = (20.0 + step * 7.0 % size.width as f32, 20.0 + step * 5.0 % size.height as f32);
        let bounds = Rectangle { x: step * 3.0 % 300.0 - 10.0, y: step * 11.0 % 200.0 - 8.0, width, height };
        let Some(crop) = lofr::Crop::around(bounds, size, network, 1.25) else { return };
        let map = crop.image_from_pixels(network);
        let warp =
            warp.get_or_insert_with(|| Warp::new(view.format(), size, &map, network, [0.45; 3], [0.22; 3]).unwrap());
        warp.aim(view.format(), size, &map).unwrap();
        warp.run(view, &mut input).unwrap();
    };
    // One crop of each kind of image makes room for all others.
    (0..images.len() as u64).for_each(&mut frame);
    assert_eq!(allocations(|| (8..8 + FRAMES).for_each(&mut frame)), 0);
}

/// Three templates in one crop, from their similarities to poses and a JSON line.
#[test]
fn templates_allocate_nothing() {
    let keypoints = [17, 100, 5];
    let crop =
        Crop::around(Rectangle { x: 40.0, y: 30.0, width: 200.0, height: 150.0 }, Size::new(640, 480), 1.25).unwrap();
    let similarity: Vec<f32> = (0..100 * TOKENS).map(|index| (index % 97) as f32 / 10.0).collect();
    let places: Vec<f32> = (0..200).map(|index| index as f32 / 200.0).collect();
    let kind = |count: usize| Category {
        name: format!("thing {count}"),
        keypoints: (0..count).map(|keypoint| format!("keypoint_{keypoint}")).collect(),
        ..Category::default()
    };
    let schema =
        OutputSchema { categories: keypoints.map(kind).into(), templates: true, poses: 3, ..OutputSchema::default() };
    let mut sink = JsonLines::new(std::io::sink(), "nowhere", &schema).unwrap();
    let mut workspace = Box::new(capeformer::Workspace::new());
    let mut proposals = vec![0.0; 200];
    let mut poses = Poses::default();
    let camera = image(PixelFormat::Rgb, Size::new(64, 48));
    let mut frame = |sequence: u64| {
        poses.clear();
        for (number, &count) in keypoints.iter().enumerate() {
            assert_eq!(workspace.propose(&similarity, count), Ok(Finiteness::Finite));
            workspace.write_proposals(&mut proposals).unwrap();
            let mut pose = Pose { template: number as u16, ..Pose::default() };
            assert_eq!(workspace.result(&places, &crop, &mut pose), Ok(Finiteness::Finite));
            poses.list.push(pose).unwrap();
        }
        let frame = Frame { image: camera.view(), sequence, captured: None, instant: None, name: Some("camera") };
        sink.put(&FrameResult {
            frame,
            poses: &poses,
            times: StageTimes::default(),
            live: None,
            zones: None,
            rgb: &Default::default(),
        })
        .unwrap();
    };
    (0..3).for_each(&mut frame);
    assert_eq!(allocations(|| (3..3 + FRAMES).for_each(&mut frame)), 0);
}

#[cfg(feature = "mqtt")]
#[test]
fn a_thousand_results_for_a_broker_without_an_allocation() {
    // Nobody listens there: results wait, and the oldest are dropped.
    let uri = "mqtt://127.0.0.1:1/hall?queue=64KiB";
    let options = Options::default();
    let mut sink = sinew::sink::open(uri, &schema(), &options).unwrap();
    let image = image(PixelFormat::Grey, Size::new(64, 48));
    let keypoints = (0..KEYPOINTS).map(|k| Keypoint { x: 3.25 * k as f32, y: 4.5 * k as f32, score: 0.9 }).collect();
    let pose = Pose { keypoints, score: 0.8, ..Pose::default() };
    let poses = Poses { list: std::iter::repeat_n(pose, PEOPLE).collect(), dropped: 0 };
    let mut frame = |sequence: u64| {
        let frame = Frame { image: image.view(), sequence, captured: None, instant: None, name: Some("camera") };
        let (rgb, times) = (Default::default(), StageTimes::default());
        let live = Some(sinew::sink::Live { camera: sequence as usize % 2, ..Default::default() });
        sink.put(&FrameResult { frame, poses: &poses, times, live, zones: None, rgb: &rgb }).unwrap();
    };
    (0..4).for_each(&mut frame);
    assert_eq!(allocations(|| (4..4 + FRAMES).for_each(&mut frame)), 0);
    assert!(options.broker.dropped() > FRAMES / 2, "the queue was not full");
}
