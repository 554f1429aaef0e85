//! From the second engine's output to refined keypoints.

use core::ops::Range;

use super::config::{Level, ZeroKernel};
use super::workspace::RefinedKeypoint;
use super::{Decoder, MAX_MESH, Workspace, mesh};
use crate::decode::heatmap;
use crate::decode::maps::{Maps, Plane, ShapeError};

/// One keypoint's kernel, clamped and divided (section 1.10).
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    pub(super) values: [[f32; MAX_MESH]; MAX_MESH],
    pub(super) radius: usize,
    pub(super) sum: f32,
}

impl Kernel {
    fn new(raw: &[f32], radius: usize, divisor: f32) -> Self {
        let side = 2 * radius + 1;
        let mut values = [[0.0; MAX_MESH]; MAX_MESH];
        let mut sum = 0.0;
        for (row, raw) in values.iter_mut().zip(raw.chunks_exact(side)) {
            for (value, raw) in row.iter_mut().zip(raw) {
                // Not `max` and `min`, which would turn a value that is not a number into 0 and hide it.
                *value = raw.clamp(0.0, 1.0) / divisor;
                sum += *value;
            }
        }
        Self { values, radius, sum }
    }
}

impl Decoder {
    /// Refines some candidates (sections 1.8 and 1.10 to 1.13; the other levels are section 1.15).
    ///
    /// `heatmaps` are those that the candidates were found on. `kernels [n, keypoints, side, side]` is the second
    /// engine's raw output for the candidates of the range, in their order; level [`Level::None`] ignores it.
    ///
    /// # Errors
    /// Where the heatmaps' channels or the number of kernel values are not as expected.
    pub fn refine(
        &self,
        level: Level,
        heatmaps: &Maps<'_>,
        candidates: Range<usize>,
        kernels: &[f32],
        workspace: &mut Workspace,
    ) -> Result<(), ShapeError> {
        self.check_heatmaps(heatmaps)?;
        let config = self.config();
        let end = candidates.end.min(workspace.candidates.len());
        let candidates = candidates.start.min(end)..end;
        let expected = candidates.len() * config.kernel_values();
        if level != Level::None && kernels.len() < expected {
            return Err(ShapeError { tensor: "kam", quantity: "values", found: kernels.len(), expected });
        }
        let per_keypoint = config.mesh_side() * config.mesh_side();
        for (row, index) in candidates.enumerate() {
            let candidate = &mut workspace.candidates[index];
            for keypoint in 0..config.keypoints() {
                let plane = heatmaps.plane(keypoint);
                let initial = candidate.initial[keypoint];
                let raw = || {
                    let start = (row * config.keypoints() + keypoint) * per_keypoint;
                    &kernels[start..start + per_keypoint]
                };
                let mut refined = match level {
                    Level::None => score_initial(&plane, config.stride, initial),
                    Level::Partial => self.best_mesh_point(raw(), initial, self.spacing[keypoint]),
                    Level::Full => {
                        let kernel = Kernel::new(raw(), config.mesh_radius, config.kernel_divisor);
                        if kernel.sum == 0.0 {
                            self.without_kernel(initial)
                        } else {
                            workspace.window.refine(config, &self.prior, &plane, initial, &kernel)
                        }
                    }
                };
                refined.score *= candidate.value;
                candidate.refined[keypoint] = refined;
            }
        }
        Ok(())
    }

    /// Level `partial`: the largest cell of the kernel, the first of equal ones.
    fn best_mesh_point(&self, raw: &[f32], (x, y): (f32, f32), spacing: f32) -> RefinedKeypoint {
        let config = self.config();
        let clamped = raw.iter().map(|value| value.clamp(0.0, 1.0));
        let (best, score) = clamped.enumerate().fold((0, f32::NEG_INFINITY), |best, (index, value)| {
            if value > best.1 || value.is_nan() { (index, value) } else { best }
        });
        let (row, column) = (best / config.mesh_side(), best % config.mesh_side());
        RefinedKeypoint {
            x: mesh::position(x, spacing, column, config.mesh_radius),
            y: mesh::position(y, spacing, row, config.mesh_radius),
            score,
        }
    }

    /// A refined map of zeros says nothing. The reference takes its first two pixels.
    fn without_kernel(&self, (x, y): (f32, f32)) -> RefinedKeypoint {
        let config = self.config();
        match config.zero_kernel {
            ZeroKernel::KeepInitial => RefinedKeypoint { x, y, score: 0.0 },
            ZeroKernel::Reference => {
                let radius = config.window_radius as f32;
                RefinedKeypoint { x: x - radius + config.top2_weights[1], y: y - radius, score: 0.0 }
            }
        }
    }
}

/// Level `none`: the upsampled heatmap at the initial keypoint.
fn score_initial(plane: &Plane<'_>, stride: usize, (x, y): (f32, f32)) -> RefinedKeypoint {
    let (x0, x1, wx0, wx1) = border_taps(x, plane.width() * stride);
    let (y0, y1, wy0, wy1) = border_taps(y, plane.height() * stride);
    let value = |x, y| heatmap::upsampled(plane, stride, x, y);
    let score =
        wx0 * wy0 * value(x0, y0) + wx1 * wy0 * value(x1, y0) + wx0 * wy1 * value(x0, y1) + wx1 * wy1 * value(x1, y1);
    RefinedKeypoint { x, y, score }
}

/// The sampling rule along one axis of `size` samples (section 1.8): two samples and their weights.
///
/// Before the first sample it repeats the border; at the last one the weight is 0 and grows from there.
pub(super) fn border_taps(position: f32, size: usize) -> (usize, usize, f32, f32) {
    // The cast saturates, and is 0 for what is not a number.
    let first = (libm::floorf(position) as usize).min(size - 1);
    let second = (first + 1).min(size - 1);
    (first, second, (second as f32 - position).clamp(0.0, 1.0), (position - first as f32).clamp(0.0, 1.0))
}
