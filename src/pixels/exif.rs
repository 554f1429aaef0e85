//! How a camera was held, as EXIF says it (JEITA CP-3451, tag 0x0112).

use super::{Image, ImageError};
use crate::geometry::Size;

/// How stored pixels are turned to stand upright: the eight values of EXIF's orientation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orientation {
    /// Whether rows and columns are exchanged.
    is_transposed: bool,
    /// Whether the stored rows run from right to left.
    from_right: bool,
    /// Whether the stored rows run from bottom to top.
    from_bottom: bool,
}

impl Orientation {
    /// Pixels that are stored upright.
    pub const UPRIGHT: Self = Self { is_transposed: false, from_right: false, from_bottom: false };

    /// The orientation with EXIF's number, from 1 to 8.
    pub const fn from_exif(number: u16) -> Option<Self> {
        let (is_transposed, from_right, from_bottom) = match number {
            1 => (false, false, false),
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, false, true),
            7 => (true, true, true),
            8 => (true, true, false),
            _ => return None,
        };
        Some(Self { is_transposed, from_right, from_bottom })
    }

    /// Looks for the orientation in EXIF data: a TIFF header, then a list of fields. Malformed data give `None`.
    pub(super) fn find(exif: &[u8]) -> Option<Self> {
        let is_little = match exif.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        let short = |at: usize| {
            let bytes = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
            Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
        };
        let long = |at: usize| {
            let bytes = exif.get(at..at.checked_add(4)?)?.try_into().ok()?;
            Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
        };
        let list = long(4)? as usize;
        // A field: its tag, its type, how many, and the value. By the standard it is a number of 16 bits (3); some programs
        // write 32 (4), and others read both.
        let fields = (0..usize::from(short(list)?)).map(|index| list + 2 + 12 * index);
        let mut orientations = fields.filter(|&at| short(at) == Some(0x0112));
        let at = orientations.next()?;
        if long(at + 4)? != 1 {
            return None;
        }
        Self::from_exif(match short(at + 2)? {
            3 => short(at + 8)?,
            4 => long(at + 8)?.try_into().ok()?,
            _ => return None,
        })
    }

    /// The image turned upright. Its format must be one of whole bytes a pixel, RGB or grey; others stay as they are.
    ///
    /// # Errors
    /// Never for a valid image; it is passed on from [`Image::reset`].
    pub fn apply(self, image: Image) -> Result<Image, ImageError> {
        use super::PixelFormat::{Grey, Rgb};
        let samples = match image.format() {
            Rgb => 3,
            Grey => 1,
            _ => return Ok(image),
        };
        if self == Self::UPRIGHT {
            return Ok(image);
        }
        let (stored, stride) = (image.size(), image.stride());
        let size = if self.is_transposed { Size::new(stored.height, stored.width) } else { stored };
        let mut upright = Image::default();
        let rows = upright.reset(image.format(), size)?.chunks_exact_mut(samples * size.width);
        for (y, row) in rows.enumerate() {
            for (x, pixel) in row.chunks_exact_mut(samples).enumerate() {
                let (column, row) = if self.is_transposed { (y, x) } else { (x, y) };
                let column = if self.from_right { stored.width - 1 - column } else { column };
                let row = if self.from_bottom { stored.height - 1 - row } else { row };
                pixel.copy_from_slice(&image.data()[row * stride + samples * column..][..samples]);
            }
        }
        Ok(upright)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::PixelFormat;

    /// EXIF data with one field before the orientation.
    fn exif(is_little: bool, orientation: u16) -> Vec<u8> {
        let short = |value: u16| if is_little { value.to_le_bytes() } else { value.to_be_bytes() };
        let long = |value: u32| if is_little { value.to_le_bytes() } else { value.to_be_bytes() };
        let mut bytes = if is_little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
        bytes.extend(long(8));
        bytes.extend(short(2));
        for (tag, value) in [(0x0100, 640), (0x0112, orientation)] {
            bytes.extend([short(tag), short(3)].concat());
            bytes.extend(long(1));
            bytes.extend([short(value), short(0)].concat());
        }
        bytes
    }

    /// Where the letter F, 3 wide and 4 high, comes from, by the definition of each value: what row 0 and column 0 are.
    #[test]
    fn all_eight_stand_upright() {
        let upright = [[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0]];
        let (right, bottom) = (2, 3);
        for number in 1..=8 {
            // EXIF: the side of the scene at the stored row 0, and that at the stored column 0.
            let at = |row: usize, column: usize| match number {
                1 => upright[row][column],
                2 => upright[row][right - column],
                3 => upright[bottom - row][right - column],
                4 => upright[bottom - row][column],
                5 => upright[column][row],
                6 => upright[column][right - row],
                7 => upright[bottom - column][right - row],
                _ => upright[bottom - column][row],
            };
            let (width, height) = if number < 5 { (3, 4) } else { (4, 3) };
            for (format, samples) in [(PixelFormat::Grey, 1), (PixelFormat::Rgb, 3)] {
                let values = (0..height).flat_map(|row| (0..width).map(move |column| at(row, column)));
                let data = values.flat_map(|value| (0..samples).map(move |sample| 10 * value + sample)).collect();
                let stored = Image::new(format, Size::new(width, height), data).unwrap();
                let orientation = Orientation::find(&exif(number % 2 == 0, number)).unwrap();
                let found = orientation.apply(stored).unwrap();
                assert_eq!(found.size(), Size::new(3, 4), "{number}");
                let values: Vec<u8> = found.data().chunks(usize::from(samples)).map(|pixel| pixel[0] / 10).collect();
                assert_eq!(values, upright.concat(), "{number}");
                assert!(
                    found
                        .data()
                        .chunks(usize::from(samples))
                        .all(|pixel| pixel.iter().enumerate().all(|(sample, value)| usize::from(value % 10) == sample))
                );
            }
        }
    }

    #[test]
    fn what_makes_no_sense_says_nothing() {
        let good = exif(true, 6);
        for end in 0..good.len() - 2 {
            assert_eq!(Orientation::find(&good[..end]), None, "{end}");
        }
        for number in [0, 9, 600] {
            assert_eq!(Orientation::find(&exif(false, number)), None);
        }
        let mut far = good.clone();
        far[4..8].fill(0xff);
        assert_eq!(Orientation::find(&far), None);
        let mut of_another_type = good;
        of_another_type[8 + 2 + 12 + 2] = 4;
        assert_eq!(Orientation::find(&of_another_type), Orientation::from_exif(6), "32 bits");
        let mut big_endian = exif(false, 0);
        big_endian[8 + 2 + 12 + 3] = 4;
        big_endian.splice(8 + 2 + 12 + 8.., [0, 0, 0, 6]);
        assert_eq!(Orientation::find(&big_endian), Orientation::from_exif(6));
        of_another_type[8 + 2 + 12 + 2] = 2;
        assert_eq!(Orientation::find(&of_another_type), None, "text");
    }
}
