//! How the grouping network reads a token's features: four cells and their weights.

use crate::geometry::Size;

/// Added to the attention of tokens that do not count: their softmax becomes 0, also in half precision.
pub(super) const MASKED: f32 = -1e4;

/// The four cells of a map of `cells`, whose sides are a quarter of the network's, around network pixel `(x, y)`, row
/// by row as indices of its cells, and their weights: bilinear with half-pixel centres, the border repeated (CenterGroup
/// 4).
pub(super) fn taps(x: u32, y: u32, cells: Size) -> ([i32; 4], [f32; 4]) {
    let ([left, right], [near_x, far_x]) = between(x, cells.width);
    let ([top, bottom], [near_y, far_y]) = between(y, cells.height);
    let cell = |column: usize, row: usize| (row * cells.width + column) as i32;
    let index = [cell(left, top), cell(right, top), cell(left, bottom), cell(right, bottom)];
    (index, [near_y * near_x, near_y * far_x, far_y * near_x, far_y * far_x])
}

/// The two of `cells` cells around a pixel, four pixels to a cell, and their weights.
fn between(pixel: u32, cells: usize) -> ([usize; 2], [f32; 2]) {
    // Pixel 4c + 1.5 is the middle of cell c; counted in half pixels from the middle of the cell before the first.
    let position = 2 * pixel as usize + 5;
    let (after, eighths) = (position / 8, position % 8);
    let far = eighths as f32 / 8.0;
    ([after.saturating_sub(1).min(cells - 1), after.min(cells - 1)], [1.0 - far, far])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_eighths_and_the_border_repeats() {
        assert_eq!(between(0, 4), ([0, 0], [0.375, 0.625]));
        assert_eq!(between(1, 4), ([0, 0], [0.125, 0.875]));
        assert_eq!(between(2, 4), ([0, 1], [0.875, 0.125]));
        assert_eq!(between(5, 4), ([0, 1], [0.125, 0.875]));
        assert_eq!(between(6, 4), ([1, 2], [0.875, 0.125]));
        assert_eq!(between(15, 4), ([3, 3], [0.625, 0.375]));
        let (index, weight) = taps(6, 1, Size::new(4, 3));
        assert_eq!(index, [1, 2, 1, 2]);
        assert_eq!(weight, [0.125 * 0.875, 0.125 * 0.125, 0.875 * 0.875, 0.875 * 0.125]);
    }
}
