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

    /// Takes a measurement in and returns the gains of value and rate.
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

/// How much is known of a motion before anything was measured, and how it is disturbed. Lengths are in sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Noise {
    /// Standard deviation of a measured place.
    pub place: f32,
    /// Standard deviation of the speed of a new track, per second.
    pub speed: f32,
    /// By how much the speed changes in a second (standard deviation).
    pub acceleration: f32,
}

/// Noise of the place.
pub(super) const PLACE: Noise = Noise { place: 0.04, speed: 1.0, acceleration: 0.6 };
/// Noise of the logarithm of the size.
pub(super) const SIZE: Noise = Noise { place: 0.07, speed: 0.15, acceleration: 0.15 };

/// Where a person is, how large, and how both change.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Motion {
    /// Column of the anchor, pixels.
    pub x: Axis,
    /// Row of the anchor, pixels.
    pub y: Axis,
    /// Natural logarithm of the size in pixels.
    pub log_size: Axis,
    /// Of `x` and of `y`.
    pub place: Covariance,
    /// Of `log_size`.
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

    /// What is expected after `seconds`.
    pub fn predict(&mut self, seconds: f32) {
        let size = self.size();
        self.x.predict(seconds);
        self.y.predict(seconds);
        self.log_size.predict(seconds);
        self.place.predict(seconds, square(PLACE.acceleration * size));
        self.scale.predict(seconds, square(SIZE.acceleration));
    }

    /// Takes a measurement in; `unrest` multiplies its noise.
    pub fn correct(&mut self, found: &Measurement, unrest: f32) {
        let gains = self.place.correct(unrest * square(PLACE.place * self.size()));
        self.x.correct(found.x, gains);
        self.y.correct(found.y, gains);
        if let Some(log_size) = found.log_size {
            let gains = self.scale.correct(square(SIZE.place));
            self.log_size.correct(log_size, gains);
        }
    }

    /// Shifts the place, as when the camera turned.
    pub fn shift(&mut self, x: f32, y: f32) {
        self.x.value += x;
        self.y.value += y;
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
            motion.predict(0.1);
            motion.correct(&at(3.0 * step as f32), 1.0);
        }
        assert!((motion.x.rate - 30.0).abs() < 0.5, "{motion:?}");
        assert!(motion.y.rate.abs() < 1e-3);
        motion.predict(1.0);
        assert!((motion.x.value - 117.0).abs() < 1.5, "{motion:?}");
    }

    #[test]
    fn uncertainty_grows_without_measurements_and_shrinks_with_them() {
        let mut motion = Motion::new(0.0, 50.0, 54.6);
        let before = motion.place.value;
        motion.predict(0.5);
        let grown = motion.place.value;
        assert!(grown > before);
        motion.correct(&at(0.0), 1.0);
        assert!(motion.place.value < grown);
    }

    #[test]
    fn two_short_steps_are_one_long_step() {
        let mut one = Motion::new(0.0, 50.0, 54.6);
        one.x.rate = 7.0;
        let mut two = one;
        one.predict(0.2);
        two.predict(0.1);
        two.predict(0.1);
        assert!((one.x.value - two.x.value).abs() < 1e-4);
        assert!((one.place.value - two.place.value).abs() < 1e-3 * one.place.value);
        assert!((one.place.rate - two.place.rate).abs() < 1e-3 * one.place.rate);
    }
}
