//! A Kalman filter of one person's place and size: constant velocity, disturbed by white acceleration.
//!
//! Both axes have the same uncertainty and share it. The size is filtered as its logarithm, so that it stays positive and
//! errors are relative.

/// A value and its change per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Axis {
    /// The value.
    pub value: f32,
    /// Its change per second.
    pub rate: f32,
}

impl Axis {
    fn predict(&mut self, seconds: f32) {
        self.value += self.rate * seconds;
    }

    fn correct(&mut self, found: f32, (value_gain, rate_gain): (f32, f32)) {
        let innovation = found - self.value;
        self.value += value_gain * innovation;
        self.rate += rate_gain * innovation;
    }
}

/// Covariance of an [`Axis`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Covariance {
    /// Variance of the value.
    pub value: f32,
    /// Covariance of value and rate.
    pub both: f32,
    /// Variance of the rate.
    pub rate: f32,
}

impl Covariance {
    /// `disturbance` is the power of the white acceleration: the variance that the rate gains in a second.
    fn predict(&mut self, seconds: f32, disturbance: f32) {
        let square = seconds * seconds;
        self.value += 2.0 * seconds * self.both + square * self.rate + disturbance * square * seconds / 3.0;
        self.both += seconds * self.rate + disturbance * square / 2.0;
        self.rate += disturbance * seconds;
    }

    /// Corrects the covariance by a measurement and returns the gains of value and rate.
    fn correct(&mut self, noise: f32) -> (f32, f32) {
        let total = self.value + noise;
        if total <= 0.0 {
            return (1.0, 0.0);
        }
        let (value_gain, rate_gain) = (self.value / total, self.both / total);
        self.rate = (self.rate - rate_gain * self.both).max(0.0);
        self.both *= 1.0 - value_gain;
        self.value *= 1.0 - value_gain;
        (value_gain, rate_gain)
    }
}

/// Uncertainty of a new motion, and its process noise. Lengths are in sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Noise {
    /// Standard deviation of a measured place.
    pub place: f32,
    /// Standard deviation of the speed of a new track, per second.
    pub speed: f32,
    /// Standard deviation of the change of speed in a second.
    pub acceleration: f32,
}

/// Noise of the place.
pub(super) const PLACE: Noise = Noise { place: 0.04, speed: 1.0, acceleration: 0.6 };
/// Noise of the logarithm of the size.
pub(super) const SIZE: Noise = Noise { place: 0.035, speed: 0.2, acceleration: 0.04 };

/// Seconds in which an unseen person loses half of the expected speed.
const STRAIGHT: f32 = 0.8;

/// How fast unrest and agility follow what is seen, and their ranges.
const UNREST_GAIN: f32 = 0.02;
const UNREST: (f32, f32) = (0.5, 30.0);
const AGILITY_GAIN: f32 = 0.06;
const AGILITY: (f32, f32) = (0.3, 30.0);

/// A person's place and size, and how both change.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Motion {
    /// Column of the anchor, pixels.
    pub x: Axis,
    /// Row of the anchor, pixels.
    pub y: Axis,
    /// Natural logarithm of the size in pixels.
    pub log_size: Axis,
    /// Covariance of `x` and of `y`.
    pub place: Covariance,
    /// Covariance of `log_size`.
    pub scale: Covariance,
}

/// A measured place and size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measurement {
    /// Column of the anchor, pixels.
    pub x: f32,
    /// Row of the anchor, pixels.
    pub y: f32,
    /// Natural logarithm of the size in pixels, where it could be measured.
    pub log_size: Option<f32>,
}

impl Motion {
    /// A motion that starts here.
    pub fn new(x: f32, y: f32, size: f32) -> Self {
        let variance = |noise: &Noise, unit: f32| Covariance {
            value: square(noise.place * unit),
            both: 0.0,
            rate: square(noise.speed * unit),
        };
        Self {
            x: Axis { value: x, rate: 0.0 },
            y: Axis { value: y, rate: 0.0 },
            log_size: Axis { value: libm::logf(size), rate: 0.0 },
            place: variance(&PLACE, size),
            scale: variance(&SIZE, 1.0),
        }
    }

    /// The size, pixels.
    pub fn size(&self) -> f32 {
        libm::expf(self.log_size.value.clamp(-10.0, 20.0))
    }

    /// Predicts the motion after `seconds`; `agility` multiplies the variance that the speed gains.
    pub fn predict(&mut self, seconds: f32, agility: f32) {
        let size = self.size();
        self.x.predict(seconds);
        self.y.predict(seconds);
        self.log_size.predict(seconds);
        self.place.predict(seconds, agility * square(PLACE.acceleration * size));
        self.scale.predict(seconds, square(SIZE.acceleration));
    }

    /// Slows down the motion of an unseen person: no walk is straight for ever. The known speed fades into one of the same
    /// size in any direction: a walker may have turned, a person who stood is likely to stand still.
    pub fn slow(&mut self, seconds: f32) {
        let kept = STRAIGHT / (STRAIGHT + seconds);
        let speed = (square(self.x.rate) + square(self.y.rate)) / 2.0;
        self.place.rate = square(kept) * self.place.rate + (1.0 - square(kept)) * speed;
        self.place.both *= kept;
        for axis in [&mut self.x, &mut self.y, &mut self.log_size] {
            axis.rate *= kept;
        }
    }

    /// Corrects the motion by a measurement; `unrest` multiplies its noise.
    pub fn correct(&mut self, found: &Measurement, unrest: f32) {
        let gains = self.place.correct(unrest * square(PLACE.place * self.size()));
        self.x.correct(found.x, gains);
        self.y.correct(found.y, gains);
        if let Some(log_size) = found.log_size {
            let gains = self.scale.correct(square(SIZE.place));
            self.log_size.correct(log_size, gains);
        }
    }

    /// Variance of a measured place of this size from the predicted one, squared pixels.
    pub fn variance(&self, size: f32, unrest: f32) -> f32 {
        self.place.value + unrest * square(PLACE.place * size)
    }

    /// Shifts the place, as when the camera turned.
    pub fn shift(&mut self, x: f32, y: f32) {
        self.x.value += x;
        self.y.value += y;
    }
}

/// How far off predictions are in this scene, learnt from the shifts of matched poses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Adaptation {
    /// Multiplies the variance that is expected of measured places.
    pub unrest: f32,
    /// Multiplies the variance that speeds are expected to gain.
    pub agility: f32,
}

impl Default for Adaptation {
    fn default() -> Self {
        Self { unrest: 1.0, agility: 1.0 }
    }
}

impl Adaptation {
    /// Learns from a person's shift from the prediction and that of the frame before, in standard deviations.
    ///
    /// Where predictions are as sure as they should be, squares are 1 on average and one shift says nothing of the next.
    /// Shifts that repeat were motion that the filter did not follow, shifts that turn back were noise.
    pub fn learn(&mut self, shift: (f32, f32), before: (f32, f32)) {
        let square = ((square(shift.0) + square(shift.1)) / 2.0).min(8.0);
        let same = ((shift.0 * before.0 + shift.1 * before.1) / 2.0).clamp(-4.0, 4.0);
        if square.is_finite() && same.is_finite() {
            let unrest = self.unrest * (1.0 + UNREST_GAIN * (square - 1.0 - same));
            self.unrest = unrest.clamp(UNREST.0, UNREST.1);
            self.agility = (self.agility * (1.0 + AGILITY_GAIN * same)).clamp(AGILITY.0, AGILITY.1);
        }
    }
}

pub(super) fn square(value: f32) -> f32 {
    value * value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32) -> Measurement {
        Measurement { x, y: 50.0, log_size: Some(4.0) }
    }

    #[test]
    fn a_constant_speed_is_learnt() {
        let mut motion = Motion::new(0.0, 50.0, 54.6);
        for step in 1..30 {
            motion.predict(0.1, 1.0);
            motion.correct(&at(3.0 * step as f32), 1.0);
        }
        assert!((motion.x.rate - 30.0).abs() < 0.5, "{motion:?}");
        assert!(motion.y.rate.abs() < 1e-3);
        motion.predict(1.0, 1.0);
        assert!((motion.x.value - 117.0).abs() < 1.5, "{motion:?}");
    }

    #[test]
    fn uncertainty_grows_without_measurements_and_shrinks_with_them() {
        let mut motion = Motion::new(0.0, 50.0, 54.6);
        let before = motion.place.value;
        motion.predict(0.5, 1.0);
        let grown = motion.place.value;
        assert!(grown > before);
        motion.correct(&at(0.0), 1.0);
        assert!(motion.place.value < grown);
    }

    #[test]
    fn turns_make_agile_and_noise_makes_restless() {
        let (mut turning, mut noisy, mut quiet) = (Adaptation::default(), Adaptation::default(), Adaptation::default());
        for step in 0..100 {
            let sign = if step % 2 == 0 { 1.0 } else { -1.0 };
            turning.learn((1.5, 0.0), (1.5, 0.0));
            noisy.learn((2.0 * sign, 0.0), (-2.0 * sign, 0.0));
            quiet.learn((sign, 1.0), (1.0, -sign));
        }
        assert!(turning.agility > 10.0 && noisy.agility < 0.5, "{turning:?} {noisy:?}");
        assert!(noisy.unrest > 10.0 && (0.9..1.1).contains(&quiet.unrest), "{noisy:?} {quiet:?}");
    }

    #[test]
    fn who_is_not_seen_may_have_turned() {
        let unseen = |rate: f32| {
            let mut motion = Motion::new(0.0, 50.0, 54.6);
            motion.place = Covariance { value: 4.0, both: 10.0, rate: 100.0 };
            motion.x.rate = rate;
            for _ in 0..20 {
                motion.predict(0.1, 1.0);
                motion.slow(0.1);
            }
            motion
        };
        let (walking, standing) = (unseen(80.0), unseen(0.0));
        // Where they were seen last is as likely as where they would be by now; who stood has not gone as far.
        assert!(walking.x.value < 1.5 * libm::sqrtf(walking.place.value), "{walking:?}");
        assert!(standing.place.value < walking.place.value / 2.0, "{standing:?}");
    }

    #[test]
    fn two_short_steps_are_one_long_step() {
        let mut one = Motion::new(0.0, 50.0, 54.6);
        one.x.rate = 7.0;
        let mut two = one;
        one.predict(0.2, 1.0);
        two.predict(0.1, 1.0);
        two.predict(0.1, 1.0);
        assert!((one.x.value - two.x.value).abs() < 1e-4);
        assert!((one.place.value - two.place.value).abs() < 1e-3 * one.place.value);
        assert!((one.place.rate - two.place.rate).abs() < 1e-3 * one.place.rate);
    }
}
