//! Simulated people for the tracker: who is who is known, and what a detector makes of them is bad in chosen ways.

#[path = "../common/sigmas.rs"]
mod sigmas;

use std::time::Duration;

use sinew::pose::{Keypoint, MAX_POSES, Pose, Poses};

pub use sigmas::SIGMAS;

/// Names of the keypoints.
pub const KEYPOINTS: [&str; 17] = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
];
/// The image, pixels.
pub const IMAGE: (f32, f32) = (1280.0, 720.0);
/// A standing person in heights: across from the middle to the person's left, and up from the feet.
const STANDING: [(f32, f32); 17] = [
    (0.0, 0.93),
    (0.02, 0.95),
    (-0.02, 0.95),
    (0.045, 0.94),
    (-0.045, 0.94),
    (0.11, 0.82),
    (-0.11, 0.82),
    (0.14, 0.64),
    (-0.14, 0.64),
    (0.15, 0.48),
    (-0.15, 0.48),
    (0.07, 0.52),
    (-0.07, 0.52),
    (0.075, 0.28),
    (-0.075, 0.28),
    (0.08, 0.04),
    (-0.08, 0.04),
];
/// How far a keypoint swings while walking, heights, and on which beat.
const SWING: [(f32, f32); 17] = [
    (0.0, 0.0),
    (0.0, 0.0),
    (0.0, 0.0),
    (0.0, 0.0),
    (0.0, 0.0),
    (0.01, 1.0),
    (0.01, -1.0),
    (0.05, -1.0),
    (0.05, 1.0),
    (0.11, -1.0),
    (0.11, 1.0),
    (0.0, 0.0),
    (0.0, 0.0),
    (0.09, 1.0),
    (0.09, -1.0),
    (0.17, 1.0),
    (0.17, -1.0),
];

/// What is wrong with a scene, and how much.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// People at a time.
    pub people: usize,
    /// Frames a second that the camera gives.
    pub rate: f32,
    /// Part of the frames that never reach the tracker.
    pub dropped: f32,
    /// Part of the people that a frame misses, each for itself.
    pub missed: f32,
    /// Gaps of 5 to 20 frames per person and second.
    pub gaps: f32,
    /// False poses per frame.
    pub false_poses: f32,
    /// Standard deviation of the camera's place from frame to frame, pixels.
    pub shake: f32,
    /// Standard deviation of a keypoint, in heights.
    pub noise: f32,
    /// Length, seconds.
    pub seconds: f32,
    /// Whether scores say anything.
    pub scored: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            people: 6,
            rate: 15.0,
            dropped: 0.0,
            missed: 0.05,
            gaps: 0.05,
            false_poses: 0.0,
            shake: 0.0,
            noise: 0.01,
            seconds: 20.0,
            scored: true,
        }
    }
}

/// A frame as the tracker gets it, and who is who in it.
#[derive(Debug, Clone)]
pub struct SceneFrame {
    /// The camera's number.
    pub sequence: u64,
    /// When it was taken.
    pub time: Duration,
    /// What was found.
    pub poses: Poses,
    /// The person of every pose; `None` for a false one.
    pub people: Vec<Option<u32>>,
}

/// A small generator of random numbers; the scenes are the same on every run.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1);
        (0..4).for_each(|_| {
            random.unit();
        });
        random
    }

    /// Evenly from 0 to 1.
    pub fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40) as f32 / (1u64 << 24) as f32
    }

    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    pub fn chance(&mut self, part: f32) -> bool {
        self.unit() < part
    }

    /// About normal, with deviation 1.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}

struct Walker {
    id: u32,
    x: f32,
    feet: f32,
    height: f32,
    velocity: (f32, f32),
    wanted: (f32, f32),
    until: f32,
    phase: f32,
    width: f32,
    gap: u32,
}

impl Walker {
    fn new(id: u32, random: &mut Random) -> Self {
        let height = random.between(70.0, 330.0);
        let mut walker = Self {
            id,
            x: random.between(0.0, IMAGE.0),
            feet: IMAGE.1 * 0.35 + height + random.between(-40.0, 40.0),
            height,
            velocity: (0.0, 0.0),
            wanted: (0.0, 0.0),
            until: 0.0,
            phase: random.between(0.0, 6.3),
            width: 1.0,
            gap: 0,
        };
        walker.decide(0.0, random);
        walker.velocity = walker.wanted;
        walker
    }

    fn decide(&mut self, now: f32, random: &mut Random) {
        let speed = if random.chance(0.2) { 0.0 } else { self.height * random.between(0.2, 0.9) };
        let sign = if random.chance(0.5) { 1.0 } else { -1.0 };
        self.wanted = (sign * speed, 0.1 * speed * random.normal());
        self.until = now + random.between(1.5, 6.0);
    }

    fn step(&mut self, now: f32, seconds: f32, random: &mut Random) {
        if now > self.until {
            self.decide(now, random);
        }
        if (self.x < 20.0 && self.wanted.0 < 0.0) || (self.x > IMAGE.0 - 20.0 && self.wanted.0 > 0.0) {
            self.wanted.0 = -self.wanted.0;
        }
        if (self.feet < self.height && self.wanted.1 < 0.0) || (self.feet > IMAGE.1 + 60.0 && self.wanted.1 > 0.0) {
            self.wanted.1 = -self.wanted.1;
        }
        let part = (seconds / 0.4).min(1.0);
        self.velocity.0 += part * (self.wanted.0 - self.velocity.0);
        self.velocity.1 += part * (self.wanted.1 - self.velocity.1);
        self.x += seconds * self.velocity.0;
        self.feet += seconds * self.velocity.1;
        let pace = self.velocity.0.abs() / self.height;
        self.phase += seconds * 6.3 * (0.3 + 1.4 * pace);
        self.width += part * ((1.0 - 0.7 * (pace / 0.5).min(1.0)) - self.width);
    }

    fn keypoints(&self) -> [(f32, f32); 17] {
        let stride = (self.velocity.0.abs() / self.height / 0.5).min(1.0);
        let mut points = [(0.0, 0.0); 17];
        for ((point, &(across, up)), &(reach, beat)) in points.iter_mut().zip(&STANDING).zip(&SWING) {
            let swing = stride * reach * beat * self.phase.sin();
            *point = (self.x + self.height * (across * self.width + swing), self.feet - self.height * up);
        }
        points
    }

    /// Left, top, right, bottom.
    fn bounds(&self) -> [f32; 4] {
        let half = 0.18 * self.height;
        [self.x - half, self.feet - self.height, self.x + half, self.feet]
    }
}

fn covered(back: [f32; 4], front: [f32; 4]) -> f32 {
    let width = (back[2].min(front[2]) - back[0].max(front[0])).max(0.0);
    let height = (back[3].min(front[3]) - back[1].max(front[1])).max(0.0);
    width * height / ((back[2] - back[0]) * (back[3] - back[1]))
}

/// Plays a scene.
pub fn scene(conditions: &Conditions, seed: u64) -> Vec<SceneFrame> {
    let mut random = Random::new(seed);
    let mut next = 0;
    let mut walker = |random: &mut Random| {
        next += 1;
        Walker::new(next, random)
    };
    let mut walkers: Vec<Walker> = (0..conditions.people).map(|_| walker(&mut random)).collect();
    let frame_seconds = 1.0 / conditions.rate;
    let usual = if conditions.scored { random.between(0.3, 0.9) } else { 0.5 };
    let pan = (random.between(0.1, 0.4), random.between(0.0, 6.3), 6.0 * conditions.shake);
    let mut frames = Vec::new();
    for sequence in 0..(conditions.seconds * conditions.rate) as u64 {
        let now = sequence as f32 * frame_seconds;
        for walker in &mut walkers {
            walker.step(now, frame_seconds, &mut random);
        }
        // Now and then one leaves and another person comes.
        if random.chance(0.01 * frame_seconds * conditions.people as f32) {
            let index = (random.unit() * walkers.len() as f32) as usize % walkers.len();
            walkers[index] = walker(&mut random);
        }
        let camera = (
            conditions.shake * random.normal() + pan.2 * (pan.0 * 6.3 * now + pan.1).sin(),
            0.6 * conditions.shake * random.normal(),
        );
        let mut found: Vec<(Pose, Option<u32>)> = Vec::new();
        for index in 0..walkers.len() {
            let back = walkers[index].bounds();
            let hidden = (walkers.iter().filter(|front| front.feet > walkers[index].feet))
                .map(|front| covered(back, front.bounds()))
                .fold(0.0, f32::max);
            let walker = &mut walkers[index];
            if walker.gap > 0 {
                walker.gap -= 1;
                continue;
            }
            if random.chance(conditions.gaps * frame_seconds) {
                walker.gap = 5 + (random.unit() * 15.9) as u32;
                continue;
            }
            if random.chance(conditions.missed) || (hidden > 0.6 && random.chance(0.85)) {
                continue;
            }
            let faint = hidden > 0.35 || random.chance(0.1);
            let score = usual * if faint { random.between(0.15, 0.6) } else { random.between(0.6, 1.1) };
            let score = if conditions.scored { score } else { 0.0 };
            let whole = (0.5 * conditions.noise * random.normal(), 0.5 * conditions.noise * random.normal());
            let keypoints = (walker.keypoints().into_iter())
                .map(|(x, y)| {
                    let noise = conditions.noise * if random.chance(0.03) { 6.0 } else { 1.0 };
                    let x = x + camera.0 + walker.height * (whole.0 + noise * random.normal());
                    let y = y + camera.1 + walker.height * (whole.1 + noise * random.normal());
                    Keypoint { x, y, score: if conditions.scored { score * random.between(0.5, 1.0) } else { 0.0 } }
                })
                .collect();
            found.push((Pose { keypoints, score, ..Pose::default() }, Some(walker.id)));
        }
        let mut expected = conditions.false_poses;
        while random.chance(expected) {
            expected -= 1.0;
            found.push((false_pose(usual, conditions.scored, &mut random), None));
        }
        if random.chance(conditions.dropped) {
            continue;
        }
        found.sort_by(|a, b| b.0.score.total_cmp(&a.0.score));
        if !conditions.scored {
            found.sort_by(|a, b| a.0.keypoints[0].x.total_cmp(&b.0.keypoints[0].x));
        }
        found.truncate(MAX_POSES);
        let people = found.iter().map(|(_, person)| *person).collect();
        let list = found.into_iter().map(|(pose, _)| pose).collect();
        frames.push(SceneFrame {
            sequence,
            time: Duration::from_secs_f32(now + 10.0),
            poses: Poses { list, dropped: 0 },
            people,
        });
    }
    frames
}

fn false_pose(usual: f32, scored: bool, random: &mut Random) -> Pose {
    let mut ghost = Walker::new(0, random);
    ghost.width = random.between(0.3, 1.0);
    let score = if scored { usual * random.between(0.2, 0.8) } else { 0.0 };
    let keypoints = (ghost.keypoints().into_iter())
        .map(|(x, y)| Keypoint {
            x: x + 0.03 * ghost.height * random.normal(),
            y: y + 0.03 * ghost.height * random.normal(),
            score: if scored { score * random.between(0.5, 1.0) } else { 0.0 },
        })
        .collect();
    Pose { keypoints, score, ..Pose::default() }
}

/// The scenes that figures are given for: everything that a camera may do, a little of each and much of one.
pub fn catalogue() -> Vec<(String, Conditions)> {
    let plain = Conditions::default;
    let mut scenes = Vec::new();
    for (name, conditions) in [
        ("one person", Conditions { people: 1, missed: 0.2, ..plain() }),
        ("two people", Conditions { people: 2, missed: 0.2, gaps: 0.1, ..plain() }),
        ("easy", plain()),
        ("5 fps", Conditions { rate: 5.0, ..plain() }),
        ("5 fps, dropped frames", Conditions { rate: 5.0, dropped: 0.3, ..plain() }),
        ("30 fps, dropped frames", Conditions { rate: 30.0, dropped: 0.3, missed: 0.1, ..plain() }),
        ("40 % missed", Conditions { missed: 0.4, ..plain() }),
        ("40 % missed, 30 fps", Conditions { missed: 0.4, rate: 30.0, ..plain() }),
        ("gaps", Conditions { gaps: 0.3, missed: 0.1, ..plain() }),
        ("false poses", Conditions { false_poses: 2.0, ..plain() }),
        ("false poses, no scores", Conditions { false_poses: 1.0, scored: false, ..plain() }),
        ("shaking", Conditions { shake: 12.0, ..plain() }),
        ("shaking, 30 fps", Conditions { shake: 20.0, rate: 30.0, missed: 0.1, ..plain() }),
        ("noisy keypoints", Conditions { noise: 0.03, missed: 0.1, ..plain() }),
        ("15 people", Conditions { people: 15, missed: 0.1, ..plain() }),
        ("30 people", Conditions { people: 30, ..plain() }),
        ("30 people, 30 fps", Conditions { people: 30, rate: 30.0, missed: 0.1, ..plain() }),
        (
            "all of it",
            Conditions {
                people: 10,
                rate: 10.0,
                dropped: 0.15,
                missed: 0.25,
                gaps: 0.1,
                false_poses: 1.0,
                shake: 8.0,
                noise: 0.02,
                ..plain()
            },
        ),
    ] {
        scenes.push((name.to_owned(), conditions));
    }
    scenes
}

/// Scenes drawn at random from all that is foreseen.
pub fn drawn(seed: u64) -> Conditions {
    let mut random = Random::new(seed ^ 0xabcd);
    let mut maybe = |chance: f32, high: f32| if random.chance(chance) { random.between(0.0, high) } else { 0.0 };
    let (dropped, missed, gaps, false_poses, shake) =
        (maybe(0.5, 0.3), maybe(0.9, 0.4), maybe(0.7, 0.25), maybe(0.6, 2.0), maybe(0.5, 20.0));
    Conditions {
        people: (1.0 + 29.9 * random.unit() * random.unit()) as usize,
        rate: [5.0, 10.0, 15.0, 25.0, 30.0][(random.unit() * 4.99) as usize],
        dropped,
        missed,
        gaps,
        false_poses,
        shake,
        noise: random.between(0.005, 0.03),
        seconds: 20.0,
        scored: random.chance(0.7),
    }
}
