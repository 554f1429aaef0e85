//! Resizes images and poses.

use crate::geometry::Size;
use crate::pose::Pose;

/// Makes `scaled` the image `rgb` in another size. Where it shrinks, boxes of whole pixels are averaged, and each of
/// the image's pixels falls into exactly one; where it grows, pixels are repeated.
pub(super) fn resize(rgb: &[u8], from: Size, to: Size, scaled: &mut Vec<u8>) {
    scaled.clear();
    let edge = |index: usize, from: usize, to: usize| index * from / to;
    for y in 0..to.height {
        let top = edge(y, from.height, to.height);
        let rows = top..edge(y + 1, from.height, to.height).max(top + 1);
        for x in 0..to.width {
            let left = edge(x, from.width, to.width);
            let columns = left..edge(x + 1, from.width, to.width).max(left + 1);
            let mut sums = [0_u64; 3];
            for row in rows.clone() {
                let start = 3 * (row * from.width + columns.start);
                for pixel in rgb[start..start + 3 * columns.len()].chunks_exact(3) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += u64::from(value);
                    }
                }
            }
            let count = (rows.len() * columns.len()) as u64;
            scaled.extend(sums.map(|sum| ((sum + count / 2) / count) as u8));
        }
    }
}

/// Moves the poses of an image to another size of it.
pub(super) fn move_poses(poses: &mut [Pose], from: Size, to: Size) {
    let factor = |to: usize, from: usize| to as f32 / from as f32;
    let (x, y) = (factor(to.width, from.width), factor(to.height, from.height));
    for keypoint in poses.iter_mut().flat_map(|pose| &mut pose.keypoints) {
        // A pixel's centre is a whole number.
        keypoint.x = (keypoint.x + 0.5) * x - 0.5;
        keypoint.y = (keypoint.y + 0.5) * y - 0.5;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(values: &[u8]) -> Vec<u8> {
        values.iter().flat_map(|&value| [value; 3]).collect()
    }

    #[test]
    fn boxes_are_averaged() {
        let mut scaled = vec![9];
        resize(&grey(&[10, 20, 30, 40, 50, 60, 70, 80]), Size::new(4, 2), Size::new(2, 1), &mut scaled);
        assert_eq!(scaled, grey(&[35, 55]));
        // Boxes of one and of two pixels.
        resize(&grey(&[10, 20, 40]), Size::new(3, 1), Size::new(2, 1), &mut scaled);
        assert_eq!(scaled, grey(&[10, 30]));
        // An image that is flat but wide keeps its only row.
        resize(&grey(&[8, 4]), Size::new(2, 1), Size::new(1, 1), &mut scaled);
        assert_eq!(scaled, grey(&[6]));
    }

    #[test]
    fn pixels_are_repeated() {
        let mut scaled = Vec::new();
        resize(&grey(&[10, 20]), Size::new(2, 1), Size::new(5, 2), &mut scaled);
        assert_eq!(scaled, grey(&[10, 10, 10, 20, 20, 10, 10, 10, 20, 20]));
    }
}
