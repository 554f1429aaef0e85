//! Any affine map: the four neighbours of every network pixel are fetched one by one.

use super::Normalisation;
use crate::geometry::{Affine, Size};
use crate::pixels::planes::YuvPlanes;
use crate::pixels::points::{GreyPoints, Points, RgbPoints, YuvPoints};
use crate::pixels::{ImageView, PixelFormat};

/// A map that turns or shears.
#[derive(Debug, Clone)]
pub(super) struct General {
    image_from_network: Affine,
}

impl General {
    pub fn new(image_from_network: &Affine) -> Self {
        Self { image_from_network: *image_from_network }
    }

    pub fn run(&self, image: ImageView<'_>, network: Size, normalisation: &Normalisation, output: &mut [f32]) {
        let run = Run { map: &self.image_from_network, image: image.size(), network, normalisation };
        match (image.format(), YuvPlanes::new(image)) {
            (PixelFormat::Grey, _) => run.over(&GreyPoints(image), output),
            (_, Some(planes)) => run.over(&YuvPoints::new(planes, image.colour()), output),
            (_, None) => run.over(&RgbPoints(image), output),
        }
    }
}

struct Run<'a> {
    map: &'a Affine,
    image: Size,
    network: Size,
    normalisation: &'a Normalisation,
}

impl Run<'_> {
    fn over<P: Points>(&self, points: &P, output: &mut [f32]) {
        let Normalisation { scale, offset } = *self.normalisation;
        let plane = self.network.width * self.network.height;
        let (red, rest) = output.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        let rows = red.chunks_exact_mut(self.network.width).zip(green.chunks_exact_mut(self.network.width));
        for (y, ((red, green), blue)) in rows.zip(blue.chunks_exact_mut(self.network.width)).enumerate() {
            for (x, ((red, green), blue)) in red.iter_mut().zip(green).zip(blue).enumerate() {
                let (u, v) = self.map.apply(x as f64, y as f64);
                let [r, g, b] = self.bilinear(points, u, v);
                *red = scale[0] * r + offset[0];
                *green = scale[1] * g + offset[1];
                *blue = scale[2] * b + offset[2];
            }
        }
    }

    /// The blend of the four pixels around `(x, y)`; what lies outside the image is black.
    #[inline(always)]
    fn bilinear<P: Points>(&self, points: &P, x: f64, y: f64) -> [f32; 3] {
        let Some((left, right)) = neighbours(x, self.image.width) else { return [0.0; 3] };
        let Some((top, bottom)) = neighbours(y, self.image.height) else { return [0.0; 3] };
        // The remaining weight is black's.
        let outside = 1.0 - (left.1 + right.1) * (top.1 + bottom.1);
        let mut sum = points.black().map(|value| outside * value);
        for (row, row_weight) in [top, bottom] {
            for (column, column_weight) in [left, right] {
                let weight = row_weight * column_weight;
                let pixel = points.at(column, row);
                for (sum, value) in sum.iter_mut().zip(pixel) {
                    *sum += weight * value;
                }
            }
        }
        points.rgb(sum)
    }
}

/// The two pixels around `position` with their weights, or `None` if neither is one of the `len` pixels.
///
/// A neighbour outside gets the weight 0 and a place inside, which makes it black.
#[inline(always)]
fn neighbours(position: f64, len: usize) -> Option<((usize, f32), (usize, f32))> {
    // Written so that NaN is outside as well.
    if !(position > -1.0 && position < len as f64) {
        return None;
    }
    let floor = position.floor();
    let weight = (position - floor) as f32;
    // From -1 to len - 1.
    let first = floor as isize;
    let low = if first < 0 { (0, 0.0) } else { (first as usize, 1.0 - weight) };
    let next = (first + 1) as usize;
    let high = if next < len { (next, weight) } else { (len - 1, 0.0) };
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use super::neighbours;

    #[test]
    fn edges() {
        assert_eq!(neighbours(1.25, 4), Some(((1, 0.75), (2, 0.25))));
        assert_eq!(neighbours(-0.25, 4), Some(((0, 0.0), (0, 0.75))));
        assert_eq!(neighbours(3.25, 4), Some(((3, 0.75), (3, 0.0))));
        assert_eq!(neighbours(-1.0, 4), None);
        assert_eq!(neighbours(4.0, 4), None);
        assert_eq!(neighbours(f64::NAN, 4), None);
        assert_eq!(neighbours(f64::INFINITY, 4), None);
        assert_eq!(neighbours(1e300, 4), None);
    }
}
