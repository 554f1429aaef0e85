//! One track: a person's motion, shape and smoothed keypoints.

use core::time::Duration;

use heapless::Vec;

use super::body::{Comparison, Expectation, GATE, Shape, Sighting, is_seen};
use super::motion::{Adaptation, Measurement, Motion, square};
use super::options::TrackOptions;
use super::smooth::{SmoothedKeypoint, Step};
use crate::pose::{Identity, MAX_KEYPOINTS, Pose};

/// Largest squared shift and growth of a match for a track without an identity, in variances.
const TENTATIVE_GATE: f32 = 7.0;
const TENTATIVE_GROWTH_GATE: f32 = 9.0;
/// A track without an identity is forgotten when it is missing for more frames than this.
const TENTATIVE_MISSING: u32 = 2;
/// Frames that a track with an identity may be missing for, before its poses are counted.
const MISSING: f32 = 3.0;
/// Further frames that it may be missing for per pose.
const MISSING_PER_HIT: f32 = 1.5;
/// A person may be this far from the prediction however certain that is, sizes.
const LEAP: f32 = 0.7;
/// The same per second that they were unseen.
const LEAP_PER_SECOND: f32 = 0.7;
/// Extra cost of a track after its first pose; it falls with the number of poses.
const YOUTH: f32 = 4.0;
/// Steps of the straight line along which a track is interpolated after a gap.
const GAP_STEPS: u32 = 6;

/// A person who is tracked.
#[derive(Debug, Clone)]
pub(super) struct Track {
    /// `None` until it was matched often enough.
    pub id: Option<u32>,
    /// Frames since it was matched; 0 if it was in this one.
    pub missing: u32,
    /// Frames in which it was matched.
    pub hits: u32,
    /// Size of `motion`, pixels.
    pub size: f32,
    template: u16,
    begun: Duration,
    /// The motion now, as predicted or corrected.
    motion: Motion,
    /// The motion when matched last, shifted by the camera's motion since.
    last: Motion,
    /// Seconds since it was matched.
    unseen: f32,
    /// The last shift from the prediction, in standard deviations.
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

    /// Shifts the track with the camera's motion.
    pub fn shift(&mut self, x: f32, y: f32) {
        self.motion.shift(x, y);
        self.last.shift(x, y);
        self.smoothed.iter_mut().for_each(|keypoint| keypoint.shift(x, y));
    }

    /// Variance of the shift of this person's pose from the prediction, squared pixels.
    pub fn variance(&self, unrest: f32) -> f32 {
        self.motion.variance(self.size, unrest)
    }

    /// Compares a pose with the prediction; `reach` allows for that many pixels more. `None` if there is nothing to
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

    /// The cost of this match; infinite if it is not allowed.
    pub fn cost(&self, sighting: &Sighting<'_>, options: &TrackOptions, unrest: f32) -> f32 {
        let fits = |found: &Comparison| self.reaches(found) && found.similarity() >= options.track_iou_thr;
        match self.compare(sighting, options, unrest, 0.0, fits) {
            Some(found) if fits(&found) => found.cost() + YOUTH / self.hits as f32,
            _ => f32::INFINITY,
        }
    }

    /// Whether a pose is near enough to be this person.
    fn reaches(&self, found: &Comparison) -> bool {
        if self.id.is_none() {
            // Anything may be near a false pose; a track that continues as it began is a person.
            return found.surprise < TENTATIVE_GATE && found.growth_surprise < TENTATIVE_GROWTH_GATE;
        }
        found.surprise < GATE
            || square(found.shift.0) + square(found.shift.1)
                < square((LEAP + LEAP_PER_SECOND * self.unseen) * self.size)
    }

    /// Whether it has been missing for too long: for more than `most` frames, or fewer if it was seen only a few times.
    pub fn is_lost(&self, most: u32) -> bool {
        let earned = match self.id {
            Some(_) => (MISSING + MISSING_PER_HIT * self.hits as f32) as u32,
            None => TENTATIVE_MISSING,
        };
        self.missing > most.min(earned)
    }

    /// Corrects the track by a matched pose.
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

    /// Interpolates the track along a straight line from the last sighting to just before `found`.
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

    /// Its identity, if it has one.
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
