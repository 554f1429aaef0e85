//! What a track remembers of a body, and how similar a found pose is to it.

use heapless::Vec;

use super::motion::{Measurement, Motion, SIZE, square};
use super::options::{DEFAULT_SIGMA, TrackOptions};
use crate::pose::{Keypoint, MAX_KEYPOINTS, Pose};

/// Largest plausible coordinate, pixels.
const FARTHEST: f32 = 1e6;
/// Smallest size of a body, pixels.
const LEAST_SIZE: f32 = 1.0;
/// A body is at least this fraction of its longer side across, so that poses seen from the side and lines have a size too.
const NARROWEST: f32 = 0.3;
/// Fraction of the difference by which the remembered shape moves towards a matched pose.
const SHAPE_GAIN: f32 = 0.2;
/// How much limbs move, in multiples of the OKS's own distances: at once, and more per square root of a second unseen.
const LIMBER: f32 = 1.2;
const LIMBER_PER_SECOND: f32 = 2.5;
/// Degrees of freedom of Student's t.
const FREEDOM: f32 = 4.0;
/// Weight of the logarithm of the shapes' similarity relative to those of shift and growth.
const SHAPE_WEIGHT: f32 = 2.0;
/// Seconds after which a remembered shape becomes no less informative.
const LONGEST: f32 = 2.0;
/// How far the middle of a body moves in itself at most, sizes, where all keypoints are seen.
const WHOLE_SLACK: f32 = 0.3;
/// Poses this near are compared with a prediction however certain it is, sizes.
const LEAST_REACH: f32 = 0.7;
/// Squared distances beyond this many variances are not considered.
pub(super) const GATE: f32 = 50.0;

/// A cloud of points.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Moments {
    count: usize,
    mean: (f32, f32),
    /// Mean squared distance from the mean.
    spread: f32,
}

impl Moments {
    /// The moments of some points; all 0 without any.
    fn of(points: impl Iterator<Item = (f32, f32)> + Clone) -> Self {
        let (mut count, mut sum, mut squares) = (0, (0.0, 0.0), 0.0);
        for (x, y) in points.clone() {
            (count, sum) = (count + 1, (sum.0 + x, sum.1 + y));
        }
        let share = 1.0 / count.max(1) as f32;
        let mean = (sum.0 * share, sum.1 * share);
        for (x, y) in points {
            squares += square(x - mean.0) + square(y - mean.1);
        }
        Self { count, mean, spread: squares * share }
    }

    /// Relative to another place.
    fn less(self, place: (f32, f32)) -> Self {
        Self { mean: (self.mean.0 - place.0, self.mean.1 - place.1), ..self }
    }

    /// In another unit.
    fn times(self, unit: f32) -> Self {
        Self { mean: (self.mean.0 * unit, self.mean.1 * unit), spread: self.spread * square(unit), ..self }
    }
}

/// A found pose, and what the tracker needs to know about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting<'a> {
    pub pose: &'a Pose,
    /// Their mean.
    pub centre: (f32, f32),
    /// Size of the box around them: the square root of its area.
    pub size: f32,
    /// The pose's score, 0 if it is not a number.
    pub score: f32,
    /// Whether all keypoints are seen.
    pub is_whole: bool,
    /// Moments of the keypoints that are seen.
    moments: Moments,
}

/// Whether a keypoint counts.
pub(super) fn is_seen(keypoint: &Keypoint, threshold: f32) -> bool {
    keypoint.score >= threshold && keypoint.x.abs() < FARTHEST && keypoint.y.abs() < FARTHEST
}

impl<'a> Sighting<'a> {
    /// Summarises a pose; `None` if too few keypoints are seen.
    pub fn of(pose: &'a Pose, options: &TrackOptions) -> Option<Self> {
        let (mut left, mut right, mut top, mut bottom) =
            (f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY, f32::NEG_INFINITY);
        let seen = || pose.keypoints.iter().filter(|keypoint| is_seen(keypoint, options.pose_kpt_thr));
        for keypoint in seen() {
            left = left.min(keypoint.x);
            right = right.max(keypoint.x);
            top = top.min(keypoint.y);
            bottom = bottom.max(keypoint.y);
        }
        let moments = Moments::of(seen().map(|keypoint| (keypoint.x, keypoint.y)));
        if moments.count < options.pose_min_keypoints {
            return None;
        }
        let (width, height) = (right - left, bottom - top);
        let narrowest = NARROWEST * width.max(height);
        let size = libm::sqrtf(width.max(narrowest) * height.max(narrowest)).max(LEAST_SIZE);
        let score = if pose.score.is_finite() { pose.score } else { 0.0 };
        let is_whole = moments.count == pose.keypoints.len();
        Some(Self { pose, centre: moments.mean, size, score, is_whole, moments })
    }
}

impl Sighting<'_> {
    /// OKS of two found poses, by the size of the first; 0 without a keypoint in common.
    pub fn coincides(&self, other: &Self, options: &TrackOptions) -> f32 {
        let far = self.size + other.size;
        if (self.centre.0 - other.centre.0).abs() + (self.centre.1 - other.centre.1).abs() > far {
            return 0.0;
        }
        let (mut count, mut similarity) = (0.0, 0.0);
        for (index, (a, b)) in self.pose.keypoints.iter().zip(&other.pose.keypoints).enumerate() {
            if is_seen(a, options.pose_kpt_thr) && is_seen(b, options.pose_kpt_thr) {
                let sigma = options.keypoint_sigmas.get(index).copied().unwrap_or(DEFAULT_SIGMA);
                let distance = square(a.x - b.x) + square(a.y - b.y);
                similarity += falling_exponential(distance / (8.0 * square(self.size * sigma)));
                count += 1.0;
            }
        }
        if count > 0.0 { similarity / count } else { 0.0 }
    }
}

/// A keypoint in body coordinates: from the anchor, in sizes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Part {
    x: f32,
    y: f32,
    /// Whether it was ever seen.
    known: bool,
}

/// The remembered shape of a body.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Shape {
    parts: Vec<Part, MAX_KEYPOINTS>,
    /// Whether it began with a pose of which all keypoints were seen: its anchor is the middle of all.
    is_whole: bool,
    /// Moments of all parts, once all are known.
    moments: Option<Moments>,
}

/// Where a shape is expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expectation<'a> {
    /// Place and size, predicted.
    pub motion: &'a Motion,
    /// The size in pixels, as `motion` has it.
    pub size: f32,
    /// Seconds since it was seen last.
    pub unseen: f32,
    /// Multiplies the noise of measured places.
    pub unrest: f32,
    /// Pixels that a pose may be farther away, because the camera may have moved.
    pub reach: f32,
}

/// How a pose compares with what was predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Comparison {
    /// Shift of the pose from its prediction, pixels.
    pub shift: (f32, f32),
    /// Logarithm of the change of size, where enough keypoints are in common.
    pub growth: Option<f32>,
    /// Squared shift over its variance; 2 on average for the right pose.
    pub surprise: f32,
    /// Squared growth over its variance.
    pub growth_surprise: f32,
    /// OKS of the poses once shift and growth are taken out, 0..=1.
    pub shape: f32,
    /// Variance of the shift, in squared pixels.
    pub variance: f32,
}

impl Comparison {
    /// The shift in its standard deviations.
    pub fn deviations(&self) -> (f32, f32) {
        let length = square(self.shift.0) + square(self.shift.1);
        let per_pixel = libm::sqrtf(self.surprise / length.max(1e-12));
        (self.shift.0 * per_pixel, self.shift.1 * per_pixel)
    }

    /// The similarity that `track_iou_thr` speaks of, 0..=1.
    pub fn similarity(&self) -> f32 {
        libm::expf(-self.unlikeness() / 2.0)
    }

    /// Minus the logarithm of the likelihood, up to a constant.
    pub fn cost(&self) -> f32 {
        self.unlikeness() + libm::logf(self.variance)
    }

    /// Minus the logarithm of the likelihood of shift and growth under Student's t, which forgives a leap as a normal
    /// distribution would not, and of the shape.
    fn unlikeness(&self) -> f32 {
        (FREEDOM + 2.0) / 2.0 * libm::logf(1.0 + self.surprise / FREEDOM)
            + (FREEDOM + 1.0) / 2.0 * libm::logf(1.0 + self.growth_surprise / FREEDOM)
            - SHAPE_WEIGHT * libm::logf(self.shape.max(1e-6))
    }
}

impl Shape {
    /// The shape of a pose whose anchor is its centre.
    pub fn new(sighting: &Sighting<'_>, options: &TrackOptions) -> Self {
        let part = |keypoint: &Keypoint| Part {
            x: (keypoint.x - sighting.centre.0) / sighting.size,
            y: (keypoint.y - sighting.centre.1) / sighting.size,
            known: is_seen(keypoint, options.pose_kpt_thr),
        };
        let parts = sighting.pose.keypoints.iter().map(part).collect();
        let mut shape = Self { parts, is_whole: sighting.is_whole, moments: None };
        shape.sum_up();
        shape
    }

    fn sum_up(&mut self) {
        let is_known = self.parts.iter().all(|part| part.known);
        self.moments = is_known.then(|| Moments::of(self.parts.iter().map(|part| (part.x, part.y))));
    }

    /// How similar `sighting` is to this shape where it is expected; `None` if it is too far away, has no keypoint in
    /// common, or is not `worth` more: that is asked when all but the shape is known.
    pub fn compare(
        &self,
        expected: &Expectation<'_>,
        sighting: &Sighting<'_>,
        options: &TrackOptions,
        worth: impl Fn(&Comparison) -> bool,
    ) -> Option<Comparison> {
        let Expectation { motion, size, unseen, unrest, reach } = *expected;
        let anchor = (motion.x.value, motion.y.value);
        let variance = motion.variance(size, unrest);
        // The centre may lie elsewhere in the body where other keypoints are seen.
        let slack = if self.is_whole && sighting.is_whole { WHOLE_SLACK } else { 1.0 };
        let far = libm::sqrtf(GATE * variance).max(LEAST_REACH * size) + slack * size.max(sighting.size) + reach;
        if (sighting.centre.0 - anchor.0).abs() > far || (sighting.centre.1 - anchor.1).abs() > far {
            return None;
        }
        let common = || {
            let pairs = sighting.pose.keypoints.iter().zip(&self.parts).enumerate();
            pairs.filter(|(_, (keypoint, part))| part.known && is_seen(keypoint, options.pose_kpt_thr))
        };

        let all = self.moments.filter(|moments| sighting.is_whole && moments.count == sighting.pose.keypoints.len());
        let (found, expected) = match all {
            Some(parts) => (sighting.moments.less(anchor), parts.times(size)),
            None => {
                let found = common().map(|(_, (keypoint, _))| (keypoint.x - anchor.0, keypoint.y - anchor.1));
                let expected = common().map(|(_, (_, part))| (part.x * size, part.y * size));
                (Moments::of(found), Moments::of(expected))
            }
        };
        if found.count == 0 {
            return None;
        }
        let wide = |spread: f32| spread > square(0.1 * size).max(0.25);
        let growth = (found.count >= 3 && wide(found.spread) && wide(expected.spread))
            .then(|| libm::logf(found.spread / expected.spread) / 2.0);
        let scale = growth.map_or(1.0, |growth| libm::expf(growth.clamp(-2.0, 2.0)));
        // The shift of the anchor, once the size is right.
        let shift = (found.mean.0 - scale * expected.mean.0, found.mean.1 - scale * expected.mean.1);
        let growth_variance = motion.scale.value + square(SIZE.place);
        let comparison = Comparison {
            shift,
            growth,
            surprise: (square(shift.0) + square(shift.1)) / variance,
            growth_surprise: growth.map_or(1.0, |growth| square(growth) / growth_variance),
            shape: 1.0,
            variance,
        };
        if !worth(&comparison) {
            return None;
        }

        let limber = LIMBER + LIMBER_PER_SECOND * libm::sqrtf(unseen.min(LONGEST));
        let unit = 1.0 / (8.0 * square(size * scale * limber));
        let mut similarity = 0.0;
        for (index, (keypoint, part)) in common() {
            let sigma = options.keypoint_sigmas.get(index).copied().unwrap_or(DEFAULT_SIGMA);
            let x = keypoint.x - anchor.0 - shift.0 - scale * size * part.x;
            let y = keypoint.y - anchor.1 - shift.1 - scale * size * part.y;
            similarity += falling_exponential((x * x + y * y) * unit / square(sigma));
        }
        Some(Comparison { shape: similarity / found.count as f32, ..comparison })
    }

    /// The measurement that a pose with this comparison makes.
    pub fn measurement(motion: &Motion, comparison: &Comparison) -> Measurement {
        Measurement {
            x: motion.x.value + comparison.shift.0,
            y: motion.y.value + comparison.shift.1,
            log_size: comparison.growth.map(|growth| motion.log_size.value + growth),
        }
    }

    /// Learns the shape of a matched pose; `motion` has been corrected already.
    pub fn learn(&mut self, motion: &Motion, sighting: &Sighting<'_>, unseen: f32, options: &TrackOptions) {
        let (unit, gain) = (1.0 / motion.size(), (SHAPE_GAIN + unseen).min(1.0));
        for (index, keypoint) in sighting.pose.keypoints.iter().enumerate() {
            let seen = is_seen(keypoint, options.pose_kpt_thr);
            let (x, y) = ((keypoint.x - motion.x.value) * unit, (keypoint.y - motion.y.value) * unit);
            match self.parts.get_mut(index) {
                Some(part) if seen && part.known => {
                    part.x += gain * (x - part.x);
                    part.y += gain * (y - part.y);
                }
                Some(part) if seen => *part = Part { x, y, known: true },
                Some(_) => {}
                // A pose may have more keypoints than those before it; all fit.
                None => drop(self.parts.push(Part { x, y, known: seen })),
            }
        }
        self.sum_up();
    }
}

/// `exp(-x)` for `x >= 0` to a few parts in 100,000, 0 if it hardly counts.
///
/// A power of two from the bits of its exponent, and a polynomial for the rest: most of a frame's time would be spent here
/// otherwise.
fn falling_exponential(x: f32) -> f32 {
    if x.is_nan() || x >= 12.0 {
        return 0.0;
    }
    let power = x * core::f32::consts::LOG2_E;
    let whole = power as u32;
    let rest = (whole as f32 - power) * core::f32::consts::LN_2;
    let last = 1.0 / 24.0 + rest * (1.0 / 120.0 + rest / 720.0);
    let polynomial = 1.0 + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0 + rest * last)));
    polynomial * f32::from_bits(127_u32.saturating_sub(whole) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_one() {
        for step in 0..1199 {
            let x = 0.01 * step as f32;
            let (found, expected) = (falling_exponential(x), (-x).exp());
            assert!(
                (found / expected - 1.0).abs() < 1e-3 && (found - expected).abs() < 1e-4,
                "{x}: {found}, {expected}"
            );
        }
        assert_eq!((falling_exponential(12.0), falling_exponential(f32::NAN)), (0.0, 0.0));
        assert_eq!(falling_exponential(f32::INFINITY), 0.0);
    }
}
