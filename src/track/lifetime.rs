//! One track: a person's motion, shape and smoothed keypoints.

use core::time::Duration;

use heapless::Vec;

use super::body::{Comparison, Expectation, GATE, Shape, Sighting, is_seen};
use super::motion::{Adaptation, Measurement, Motion, square};
use super::options::TrackOptions;
use super::smooth::{SmoothedKeypoint, Step};
use crate::pose::{Identity, MAX_KEYPOINTS, Pose};

/// Squared shift and growth that a track without an identity bears, in variances.
const TENTATIVE_GATE: f32 = 7.0;
const TENTATIVE_GROWTH_GATE: f32 = 9.0;
/// A track without an identity is forgotten when it is missing for more frames.
const TENTATIVE_MISSING: u32 = 2;
/// A track with one may be missing for so many frames after no pose.
const MISSING: f32 = 3.0;
/// More frames that it may be missing for with every pose.
const MISSING_PER_HIT: f32 = 1.5;
/// However sure the prediction is, a person may be this far away from it, sizes.
const LEAP: f32 = 0.7;
/// And so many more with every second that they were not seen.
const LEAP_PER_SECOND: f32 = 0.7;
/// What a track costs more after its first pose; it falls with the number of poses.
const YOUTH: f32 = 4.0;
/// Steps of the straight line that a track is led along after a gap.
const GAP_STEPS: u32 = 6;

/// Someone who is followed.
#[derive(Debug, Clone)]
pub(super) struct Track {
    /// `None` until it was matched often enough.
    pub id: Option<u32>,
    /// Frames since it was matched; 0 where it was in this one.
    pub missing: u32,
    /// Frames in which it was matched.
    pub hits: u32,
    /// Size, pixels: that of `motion`.
    pub size: f32,
    template: u16,
    begun: Duration,
    /// Now, as predicted or corrected.
    motion: Motion,
    /// As it was when matched last, but where the camera looks now.
    last: Motion,
    /// Seconds since it was matched.
    unseen: f32,
    /// The last shift from the prediction, in its deviations.
    pub deviations: (f32, f32),
    shape: Shape,
    smoothed: Vec<SmoothedKeypoint, MAX_KEYPOINTS>,
    /// What the last match did, for the filters of the keypoints.
    step: Step,
}

impl Track {
    /// A track that begins with this pose.
    pub fn new(time: Duration, sighting: &Sighting<'_>, options: &TrackOptions) -> Self {
        let motion = Motion::new(sighting.centre.0, sighting.centre.1, sighting.size);
        Self {
            id: None,
            missing: 0,
            hits: 1,
            size: sighting.size,
            template: sighting.pose.template,
            begun: time,
            motion,
            last: motion,
            unseen: 0.0,
            deviations: (0.0, 0.0),
            shape: Shape::new(sighting, options),
            smoothed: Vec::new(),
            step: Step { seconds: 0.0, size: sighting.size, body: (0.0, 0.0) },
        }
    }

    /// Moves the track on to the next frame; `agility` is that of [`Adaptation`].
    pub fn predict(&mut self, seconds: f32, agility: f32) {
        self.motion.predict(seconds, agility);
        if self.missing > 0 {
            self.motion.slow(seconds);
        }
        self.missing = self.missing.saturating_add(1);
        self.unseen += seconds;
        self.size = self.motion.size();
    }

    /// The camera turned: everything moved in the image.
    pub fn shift(&mut self, x: f32, y: f32) {
        self.motion.shift(x, y);
        self.last.shift(x, y);
        self.smoothed.iter_mut().for_each(|keypoint| keypoint.shift(x, y));
    }

    /// Variance of the shift of this person's pose from the prediction, squared pixels.
    pub fn variance(&self, unrest: f32) -> f32 {
        self.motion.variance(self.size, unrest)
    }

    /// Compares a pose with the prediction; `reach` allows for that many pixels more. `None` where there is nothing to
    /// compare, or it is not `worth` more once all but the shape is known.
    pub fn compare(
        &self,
        sighting: &Sighting<'_>,
        options: &TrackOptions,
        unrest: f32,
        reach: f32,
        worth: impl Fn(&Comparison) -> bool,
    ) -> Option<Comparison> {
        if sighting.pose.template != self.template {
            return None;
        }
        let expected = Expectation { motion: &self.motion, size: self.size, unseen: self.unseen, unrest, reach };
        self.shape.compare(&expected, sighting, options, worth)
    }

    /// What it costs to take this pose; infinity where it must not be.
    pub fn cost(&self, sighting: &Sighting<'_>, options: &TrackOptions, unrest: f32) -> f32 {
        let fits = |found: &Comparison| self.reaches(found) && found.similarity() >= options.track_iou_thr;
        match self.compare(sighting, options, unrest, 0.0, fits) {
            Some(found) if fits(&found) => found.cost() + YOUTH / self.hits as f32,
            _ => f32::INFINITY,
        }
    }

    /// Whether a pose is near enough to be this person at all.
    fn reaches(&self, found: &Comparison) -> bool {
        if self.id.is_none() {
            // Anything may stand near a false pose; what goes on as it began is a person.
            return found.surprise < TENTATIVE_GATE && found.growth_surprise < TENTATIVE_GROWTH_GATE;
        }
        found.surprise < GATE
            || square(found.shift.0) + square(found.shift.1)
                < square((LEAP + LEAP_PER_SECOND * self.unseen) * self.size)
    }

    /// Whether it has been missing for too long: for more than `most` frames, or fewer where it was seen a few times only.
    pub fn is_lost(&self, most: u32) -> bool {
        let earned = match self.id {
            Some(_) => (MISSING + MISSING_PER_HIT * self.hits as f32) as u32,
            None => TENTATIVE_MISSING,
        };
        self.missing > most.min(earned)
    }

    /// Takes a pose in.
    pub fn correct(
        &mut self,
        comparison: &Comparison,
        sighting: &Sighting<'_>,
        options: &TrackOptions,
        adaptation: &Adaptation,
    ) {
        let found = Shape::measurement(&self.motion, comparison);
        if self.missing > 1 && self.unseen > 0.0 {
            self.lead(&found, adaptation);
        }
        self.motion.correct(&found, adaptation.unrest);
        let body = (self.motion.x.value - self.last.x.value, self.motion.y.value - self.last.y.value);
        self.size = self.motion.size();
        self.step = Step { seconds: self.unseen, size: self.size, body };
        self.shape.learn(&self.motion, sighting, self.unseen, options);
        self.last = self.motion;
        self.deviations = comparison.deviations();
        self.missing = 0;
        self.unseen = 0.0;
        self.hits = self.hits.saturating_add(1);
    }

    /// Goes back to where the track was seen last, and from there in a straight line to just before `found`.
    fn lead(&mut self, found: &Measurement, adaptation: &Adaptation) {
        let steps = self.missing.min(GAP_STEPS);
        let (from, seconds) = (self.last, self.unseen / steps as f32);
        let between = |a: f32, b: f32, step: u32| a + (b - a) * step as f32 / steps as f32;
        self.motion = from;
        for step in 1..=steps {
            self.motion.predict(seconds, adaptation.agility);
            if step < steps {
                self.motion.correct(
                    &Measurement {
                        x: between(from.x.value, found.x, step),
                        y: between(from.y.value, found.y, step),
                        log_size: found.log_size.map(|size| between(from.log_size.value, size, step)),
                    },
                    adaptation.unrest,
                );
            }
        }
    }

    /// Who it is, where it has an identity.
    pub fn identity(&self, time: Duration) -> Option<Identity> {
        Some(Identity { id: self.id?, age: time.saturating_sub(self.begun), seen: self.hits })
    }

    /// Smooths the keypoints of the pose that was matched in this frame.
    pub fn smooth(&mut self, found: &Pose, options: &TrackOptions, into: &mut Pose) {
        let Some(params) = &options.smooth_params else { return };
        // A pose may have more keypoints than those before it; all fit.
        while self.smoothed.len() < found.keypoints.len() && self.smoothed.push(SmoothedKeypoint::default()).is_ok() {}
        for ((filter, found), into) in self.smoothed.iter_mut().zip(&found.keypoints).zip(&mut into.keypoints) {
            *into = if is_seen(found, options.pose_kpt_thr) {
                filter.seen(found, &self.step, params)
            } else {
                filter.unseen(found, &self.step)
            };
        }
    }
}
