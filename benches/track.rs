//! How long the tracker takes on one core, by tracks.
//!
//!     cargo bench --bench track [-- --json]
//!
//! People walk on a grid, 5 % of them are missed in every frame, and the camera shakes a little.

use std::time::{Duration, Instant};

use sinew::pose::{Keypoint, Pose, Poses};
use sinew::track::{TrackOptions, Tracker};

const TRACKS: [usize; 4] = [1, 5, 20, 30];
/// Frames of a scene.
const FRAMES: usize = 200;
/// Every scene is tracked this often.
const REPEATS: usize = 15;

/// A small generator of random numbers; the scenes are the same on every run.
struct Random(u64);

impl Random {
    /// Evenly from `low` to `high`.
    fn between(&mut self, low: f32, high: f32) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (high - low) * ((self.0 >> 40) as f32 / (1u64 << 24) as f32)
    }
}

/// The poses of all frames.
fn scene(people: usize) -> Vec<Poses> {
    let mut random = Random(people as u64);
    let frame = |frame: usize| {
        let camera = (random.between(-4.0, 4.0), random.between(-4.0, 4.0));
        let mut poses = Poses::default();
        for person in 0..people {
            if random.between(0.0, 1.0) < 0.05 {
                continue;
            }
            let speed = [3.0, -2.0, 1.0, 0.0][person % 4];
            let corner = (120.0 * (person % 10) as f32 + speed * frame as f32, 230.0 * (person / 10) as f32);
            let keypoints = (0..17).map(|k| Keypoint {
                x: corner.0 + camera.0 + 20.0 * (k % 4) as f32 + random.between(-2.0, 2.0),
                y: corner.1 + camera.1 + 12.0 * k as f32 + random.between(-2.0, 2.0),
                score: 0.8,
            });
            let pose = Pose { keypoints: keypoints.collect(), score: 0.8, ..Pose::default() };
            poses.list.push(pose).expect("no more people than poses");
        }
        poses
    };
    (0..FRAMES).map(frame).collect()
}

/// Microseconds a frame: the median, which other programs on the machine disturb least.
fn measure(people: usize) -> f64 {
    let frames = scene(people);
    let mut tracked = Poses::default();
    let mut times = Vec::with_capacity(REPEATS * FRAMES);
    for _ in 0..REPEATS {
        let mut tracker = Box::new(Tracker::new(&TrackOptions::default()).expect("the defaults are in range"));
        for (index, poses) in frames.iter().enumerate() {
            let start = Instant::now();
            tracker.update(Duration::from_millis(33 * index as u64), poses, &mut tracked);
            times.push(start.elapsed());
        }
    }
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    if !json {
        println!("{:>6}  {:>14}", "tracks", "us a frame");
    }
    for people in TRACKS {
        let microseconds = measure(people);
        if json {
            println!("{{\"tracks\": {people}, \"microseconds\": {microseconds:.2}}}");
        } else {
            println!("{people:>6}  {microseconds:>14.1}");
        }
    }
}
