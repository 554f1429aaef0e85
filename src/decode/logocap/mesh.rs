//! Where the second engine samples the embedding.

use core::ops::Range;

use super::{Decoder, Workspace};
use crate::decode::maps::ShapeError;
use crate::geometry::Size;

impl Decoder {
    /// Number of values that one candidate takes in the second engine's `grid`.
    pub fn grid_values(&self) -> usize {
        2 * self.config().kernel_values()
    }

    /// Writes the second engine's `grid` for some candidates (sections 1.7 and 1.8): `[n * keypoints * side, side, 2]`,
    /// mesh rows first, x before y.
    ///
    /// `map` is the size of the first engine's maps in cells. A value is a position in the embedding padded by two rows
    /// and columns, -1 at the first cell and 1 at the last. The padding, one line of zeros and one copy of the last
    /// line, makes plain bilinear sampling equal the rule that the networks were trained with: 0 at the last cell,
    /// rising from there, and the border repeated elsewhere. Candidates beyond the last one leave their part of `out`
    /// as it is.
    ///
    /// # Errors
    /// Where `out` is too short for the range.
    pub fn write_grid(
        &self,
        workspace: &Workspace,
        candidates: Range<usize>,
        map: Size,
        out: &mut [f32],
    ) -> Result<(), ShapeError> {
        let expected = candidates.len().saturating_mul(self.grid_values());
        if out.len() < expected {
            return Err(ShapeError { tensor: "grid", quantity: "values", found: out.len(), expected });
        }
        let config = self.config();
        let (side, scale) = (config.mesh_side(), config.stride as f32);
        let chosen = workspace.candidates.iter().skip(candidates.start).take(candidates.len());
        for (candidate, out) in chosen.zip(out.chunks_exact_mut(self.grid_values())) {
            let meshes = out.chunks_exact_mut(2 * side * side);
            for ((mesh, (x, y)), spacing) in meshes.zip(candidate.initial).zip(self.spacing) {
                for (row, points) in mesh.chunks_exact_mut(2 * side).enumerate() {
                    let y = position(y, spacing, row, config.mesh_radius) / scale;
                    for (column, point) in points.chunks_exact_mut(2).enumerate() {
                        let x = position(x, spacing, column, config.mesh_radius) / scale;
                        point[0] = padded_coordinate(x, map.width);
                        point[1] = padded_coordinate(y, map.height);
                    }
                }
            }
        }
        Ok(())
    }
}

/// One coordinate of a mesh point, network pixels.
pub(super) fn position(initial: f32, spacing: f32, index: usize, radius: usize) -> f32 {
    initial + spacing * (index as f32 - radius as f32)
}

/// From cells to -1..1 over the padded axis. Beyond the ends the border is meant, and where a pose is not a number any
/// cell will do: the candidate is dropped later, but the engine must not be led astray.
fn padded_coordinate(cells: f32, size: usize) -> f32 {
    let shifted = if cells >= size as f32 - 1.0 { cells + 1.0 } else { cells };
    let coordinate = shifted / (size as f32 + 1.0) * 2.0 - 1.0;
    if coordinate.is_finite() { coordinate.clamp(-1.0, 1.0) } else { 0.0 }
}
