//! A frame's whole way through doubles of TensorRT and of the CUDA driver, for all four models: from an image to a line
//! of JSON, without an allocation. What the doubles compute are no poses of anything in the image, but they depend on it.

mod common;
mod counting;
mod engine_support;
mod tensorrt_support;

use std::sync::Arc;

use counting::allocations;
use engine_support::graphs;
use sinew::bundle::Bundle;
use sinew::engine::Backend;
use sinew::estimator::{self, Options, Request, Shot, StageTimes};
use sinew::geometry::Size;
use sinew::pixels::{Image, PixelFormat};
use sinew::pose::Poses;
use sinew::sink::jsonl::JsonLines;
use sinew::sink::{Category, FrameResult, OutputSchema, Sink as _};
use sinew::source::Frame;
use sinew::template::{Annotation, Point, Template};
use tensorrt_support::{Doubles, VERSIONS, can_compile, plan_of};

const SIZE: Size = Size::new(64, 64);
const FRAMES: u64 = 1000;

/// Images of noise, each another one.
fn images() -> Vec<Image> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let image = |_| Image::new(PixelFormat::Rgb, SIZE, (0..3 * 64 * 64).map(|_| next()).collect()).unwrap();
    (0..3).map(image).collect()
}

/// Two keypoints enrolled from an image, by tract.
fn template(bundle: &Bundle) -> Template {
    let point = |name: &str, x, y| Point { name: name.to_owned(), x, y, visible: true };
    let points = vec![point("left", 20.0, 20.0), point("right", 40.0, 30.0)];
    let annotation = Annotation { bounds: None, points, edges: Vec::new() };
    let shot = Shot { name: "noise".to_owned(), image: images().remove(0), annotation };
    estimator::enrol(bundle, Backend::Tract, &Options::default(), "noise", &[shot]).unwrap().template
}

/// The most poses of a frame.
fn run(name: &str) -> usize {
    let doubles = Doubles::new(VERSIONS[1], &["INTEGRATED=1"]);
    let bundle = Bundle::open(graphs().join(name)).unwrap();
    for network in estimator::networks(&bundle, SIZE, None).unwrap() {
        doubles.build(&network.files, &network.signature, &plan_of(&network.signature));
    }
    let templates = if name == "colours" { vec![template(&bundle)] } else { Vec::new() };
    let threshold = match name {
        "colours" => None,
        "painted" => Some(0.0),
        _ => Some(-1e30),
    };
    let options = Options { score_threshold: threshold, templates: Arc::from(&templates[..]), ..Options::default() };
    let mut estimator = estimator::open_in(doubles.environment(), &bundle, &options, SIZE, PixelFormat::Rgb).unwrap();
    let kind = Category { keypoints: bundle.keypoint_names().to_vec(), ..Category::default() };
    let schema = OutputSchema {
        categories: vec![kind],
        templates: !templates.is_empty(),
        poses: bundle.manifest().limits.poses,
        ..OutputSchema::default()
    };
    let mut sink = JsonLines::new(std::io::sink(), "nowhere", &schema).unwrap();
    let images = images();
    let mut poses = Poses::default();
    let mut most = 0;
    let mut frame = |sequence: u64| {
        let image = images[sequence as usize % images.len()].view();
        estimator.estimate(&Request::new(image), &mut poses).unwrap();
        most = most.max(poses.list.len());
        let frame = Frame { image, sequence, captured: None, instant: None, name: None };
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
    // Storage is made for the first frames; the second run of an engine is recorded.
    (0..6).for_each(&mut frame);
    assert_eq!(allocations(|| (6..6 + FRAMES).for_each(&mut frame)), 0, "{name}");
    drop(estimator);
    assert_eq!(doubles.live(), (0, 0), "{name}: everything was released");
    most
}

#[test]
fn logocap_allocates_nothing() {
    if can_compile() {
        assert!(run("spots") > 0);
    }
}

#[test]
fn centergroup_allocates_nothing() {
    if can_compile() {
        assert!(run("nearest") > 0);
    }
}

#[test]
fn capeformer_allocates_nothing() {
    if can_compile() {
        assert!(run("colours") > 0);
    }
}

#[test]
fn lofr_allocates_nothing() {
    if can_compile() {
        assert!(run("painted") > 0);
    }
}
