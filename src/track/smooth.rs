//! The one-euro filter of one keypoint (Casiez, Roussel and Vogel, CHI 2012), in units of the person's size.
//!
//! A low pass of first order whose cut-off rises with speed: slow at rest, where jitter shows, fast in motion, where lag
//! shows. The speed is that of the keypoint towards its last smoothed place, as in the authors' later implementations. Real time between frames enters
//! every step, so dropped frames change nothing but the number of steps.

use super::options::SmoothParams;
use crate::pose::Keypoint;

/// A keypoint unseen for longer restarts its filter, seconds.
const AFRESH: f32 = 0.6;
/// The score of a keypoint that is not seen falls to 1/e in this time, seconds.
const FADE: f32 = 0.25;

/// One smoothed keypoint.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct SmoothedKeypoint {
    x: f32,
    y: f32,
    /// Smoothed speed, sizes per second.
    x_speed: f32,
    y_speed: f32,
    score: f32,
    /// Seconds since it was seen.
    unseen: f32,
    started: bool,
}

/// What happened between the last step of a filter and this one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    /// Seconds, at least 0.
    pub seconds: f32,
    /// The person's size, pixels, above 0.
    pub size: f32,
    /// By how much the body moved, pixels.
    pub body: (f32, f32),
}

impl SmoothedKeypoint {
    /// Filters a keypoint that is seen, and returns it smoothed.
    pub fn seen(&mut self, found: &Keypoint, step: &Step, params: &SmoothParams) -> Keypoint {
        self.unseen += step.seconds;
        if !self.started || self.unseen > AFRESH {
            *self = Self { x: found.x, y: found.y, started: true, ..Self::default() };
        } else if self.unseen > 0.0 {
            // Time since the last measurement: a keypoint that was held for a while may have gone further.
            let seconds = self.unseen;
            let unit = 1.0 / (seconds * step.size);
            let gain = gain(params.fc_derivative, seconds);
            self.x_speed += gain * ((found.x - self.x) * unit - self.x_speed);
            self.y_speed += gain * ((found.y - self.y) * unit - self.y_speed);
            let speed = libm::sqrtf(self.x_speed * self.x_speed + self.y_speed * self.y_speed);
            let gain = self::gain(params.fc_min + params.beta * speed, seconds);
            self.x += gain * (found.x - self.x);
            self.y += gain * (found.y - self.y);
        }
        self.unseen = 0.0;
        self.score = found.score;
        Keypoint { x: self.x, y: self.y, score: self.score }
    }

    /// Moves the keypoint with the body while it is unseen; its score fades to that of `found`.
    pub fn unseen(&mut self, found: &Keypoint, step: &Step) -> Keypoint {
        if !self.started {
            return *found;
        }
        self.unseen += step.seconds;
        self.shift(step.body.0, step.body.1);
        self.score *= libm::expf(-step.seconds / FADE);
        let found_score = if found.score.is_finite() { found.score } else { 0.0 };
        Keypoint { x: self.x, y: self.y, score: if self.score > found_score { self.score } else { found_score } }
    }

    /// Shifts the filter, as when the camera turned.
    pub fn shift(&mut self, x: f32, y: f32) {
        self.x += x;
        self.y += y;
    }
}

/// By how much of the difference a low pass of first order moves in `seconds`.
fn gain(cutoff: f32, seconds: f32) -> f32 {
    let angle = 2.0 * core::f32::consts::PI * cutoff * seconds;
    if angle.is_finite() { angle / (1.0 + angle) } else { 1.0 }
}
