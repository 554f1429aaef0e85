//! Frames and results for sinks.
#![allow(dead_code)]

use std::sync::LazyLock;

use sinew::estimator::StageTimes;
use sinew::geometry::Size;
use sinew::pixels::{Image, PixelFormat};
use sinew::pose::{Keypoint, Pose, Poses, Skeleton};
use sinew::sink::{Category, FrameResult, Live, OutputSchema, RgbCache, Sink};
use sinew::source::Frame;

/// Of a pose.
const KEYPOINTS: usize = 17;

/// Describes the poses.
pub fn schema() -> OutputSchema {
    let keypoints = (0..KEYPOINTS).map(|number| format!("left_wrist_{number}")).collect();
    let skeleton = Skeleton { edges: [(0, 1), (1, 2)].into_iter().collect() };
    OutputSchema {
        model: "logocap".to_owned(),
        bundle: "played".to_owned(),
        categories: vec![Category { name: "person".to_owned(), keypoints, skeleton }],
        templates: false,
        poses: 30,
        host: Some("gate".to_owned()),
        device: Some("1421622012345".to_owned()),
    }
}

/// So many poses, with long numbers; two more were dropped.
pub fn poses(count: usize) -> Poses {
    let keypoint = |number: usize| Keypoint { x: 20.123 + number as f32 * 1.37, y: 31.7, score: 0.876_543 };
    let pose = Pose { keypoints: (0..KEYPOINTS).map(keypoint).collect(), score: 0.123_456, ..Pose::default() };
    Poses { list: std::iter::repeat_n(pose, count).collect(), dropped: 2 }
}

/// An image of one grey.
pub fn grey(size: Size, value: u8) -> Image {
    Image::new(PixelFormat::Grey, size, vec![value; size.width * size.height]).unwrap()
}

/// An image that no encoder makes small.
pub fn noise(size: Size, seed: u64) -> Image {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    Image::new(PixelFormat::Rgb, size, (0..3 * size.width * size.height).map(|_| next()).collect()).unwrap()
}

static NO_POSES: LazyLock<Poses> = LazyLock::new(Poses::default);
static DOT: LazyLock<Image> = LazyLock::new(|| grey(Size::new(1, 1), 0));

/// What is put into a sink.
pub struct Shown<'a> {
    pub image: &'a Image,
    pub poses: &'a Poses,
    pub times: StageTimes,
    pub live: Option<Live>,
}

impl Default for Shown<'_> {
    fn default() -> Self {
        Self { image: &DOT, poses: &NO_POSES, times: StageTimes::default(), live: None }
    }
}

impl Shown<'_> {
    /// Puts it into `sink`, as the frame with this number.
    #[track_caller]
    pub fn put(&self, sink: &mut dyn Sink, sequence: u64) {
        // Kept between frames, as the loops keep theirs.
        thread_local! {
            static RGB: std::cell::RefCell<RgbCache> = std::cell::RefCell::default();
        }
        let frame = Frame { image: self.image.view(), sequence, captured: None, instant: None, name: None };
        RGB.with_borrow_mut(|rgb| {
            rgb.clear();
            sink.put(&FrameResult { frame, poses: self.poses, times: self.times, live: self.live, zones: None, rgb })
                .unwrap();
        });
    }
}

/// Puts frames with these numbers and so many poses.
pub fn put(sink: &mut dyn Sink, numbers: std::ops::Range<u64>, people: usize) {
    let image = grey(Size::new(16, 8), 0);
    for number in numbers {
        Shown { image: &image, poses: &poses(people), ..Shown::default() }.put(sink, number);
    }
}
