//! The position encoding of every cell, as the grouping network reads it.

use super::Mask;
use crate::decode::ShapeError;
use crate::decode::maps::Expected;
use crate::decode::sines::{slowness, wave};

/// Writes the position encoding `[h * w, width]` of every cell of a feature map (`docs/algorithms.md`,
/// CenterGroup 4): sines and cosines of the row in the first half of the channels, of the column in the second.
///
/// Rows and columns are counted over the cells of `mask`, `[h, w]`, that come from the image, down the column and
/// along the row, so that the image starts at 1 whatever the padding before it. The result depends on the geometry only.
///
/// # Errors
/// If `rows` has another length.
pub fn write_positions(mask: Mask<'_>, width: usize, rows: &mut [f32]) -> Result<(), ShapeError> {
    let size = mask.size();
    let expected = size.area().and_then(|cells| cells.checked_mul(width)).unwrap_or(usize::MAX);
    if rows.len() != expected {
        let (expected, found) = (Expected::Exactly(expected), rows.len());
        return Err(ShapeError { tensor: "pos_rows", axis: "values", expected, found });
    }
    let half = width / 2;
    let start = |x: usize, y: usize| (y * size.width + x) * width;
    for channel in 0..half {
        // The reference divides in f32.
        let slow = slowness(channel, half) as f32;
        let encoded = |count: u32| wave(channel, f64::from(count as f32 / slow));
        for x in 0..size.width {
            let mut count = 0;
            for y in 0..size.height {
                count += u32::from(mask.contains(x, y));
                rows[start(x, y) + channel] = encoded(count);
            }
        }
        for y in 0..size.height {
            let mut count = 0;
            for x in 0..size.width {
                count += u32::from(mask.contains(x, y));
                rows[start(x, y) + half + channel] = encoded(count);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use std::vec;

    #[test]
    fn counts_start_where_the_image_starts() {
        let size = Size::new(3, 2);
        let mask = [0, 1, 1, 0, 0, 1];
        let mut rows = vec![9.0; 6 * 4];
        write_positions(Mask::new(&mask, size).unwrap(), 4, &mut rows).unwrap();
        // The library's sines need not be those of the target.
        let holds = |(x, y): (usize, usize), row: f32, column: f32| {
            let [row_sine, _, column_sine, column_cosine] = rows[(y * 3 + x) * 4..][..4] else { unreachable!() };
            let found = [row_sine, column_sine, column_cosine];
            let expected = [row.sin(), column.sin(), column.cos()];
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6)
        };
        // The first column is padding: no row begins there, and none is counted down it.
        assert!(holds((0, 1), 0.0, 0.0));
        assert!(holds((1, 0), 1.0, 1.0));
        assert!(holds((2, 0), 1.0, 2.0));
        // Padding keeps the count of the cell before it.
        assert!(holds((1, 1), 1.0, 0.0));
        assert!(holds((2, 1), 2.0, 1.0));
        assert!(write_positions(Mask::all(size), 4, &mut rows[1..]).is_err());
    }
}
