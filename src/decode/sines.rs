//! The transformers' position encoding: alternating sines and cosines of ever lower frequency.

/// Ratio of the slowest wave's period to the fastest's.
const TEMPERATURE: f64 = 10_000.0;

/// By how much the wave of a channel is slowed down, where `half` channels encode one number.
pub(super) fn slowness(channel: usize, half: usize) -> f64 {
    libm::pow(TEMPERATURE, (2 * (channel / 2)) as f64 / half as f64)
}

/// The value of a channel at an angle that has been slowed down.
pub(super) fn wave(channel: usize, angle: f64) -> f32 {
    (if channel.is_multiple_of(2) { libm::sin(angle) } else { libm::cos(angle) }) as f32
}
