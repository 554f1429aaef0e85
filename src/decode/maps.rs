//! Views of network outputs whose shape has been checked.

use crate::geometry::Size;

/// Maximum side of a map, cells: positions on the upsampled map stay exact in `f32`.
pub const MAX_SIDE: usize = 1 << 16;

/// A stack of equally large maps, `[channels, height, width]`, row by row.
#[derive(Debug, Clone, Copy)]
pub struct Maps<'a> {
    values: &'a [f32],
    channels: usize,
    size: Size,
}

impl<'a> Maps<'a> {
    /// A view of `values` as `[channels, height, width]`; `tensor` names it in errors.
    ///
    /// # Errors
    /// If an axis is empty or longer than [`MAX_SIDE`], or `values` does not have as many numbers as the shape says.
    pub fn new(tensor: &'static str, values: &'a [f32], shape: [usize; 3]) -> Result<Self, ShapeError> {
        let [channels, height, width] = shape;
        for (axis, length) in [("channels", channels), ("rows", height), ("columns", width)] {
            if length == 0 || length > MAX_SIDE {
                return Err(ShapeError { tensor, axis, expected: Expected::Between(1, MAX_SIDE), found: length });
            }
        }
        let count = height.checked_mul(width).and_then(|area| area.checked_mul(channels));
        match count {
            Some(count) if count == values.len() => Ok(Self { values, channels, size: Size::new(width, height) }),
            count => Err(ShapeError {
                tensor,
                axis: "values",
                expected: Expected::Exactly(count.unwrap_or(usize::MAX)),
                found: values.len(),
            }),
        }
    }

    /// Number of maps.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Size of every map, in cells.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Map number `channel`, which must be below [`Maps::channels`].
    pub(crate) fn map(&self, channel: usize) -> Map<'a> {
        let area = self.size.width * self.size.height;
        Map { values: &self.values[channel * area..][..area], size: self.size }
    }

    /// The value of `channel` at a cell; all must be within the shape.
    pub(crate) fn at(&self, channel: usize, column: usize, row: usize) -> f32 {
        self.values[(channel * self.size.height + row) * self.size.width + column]
    }
}

/// One map, `[height, width]`, row by row; never empty.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    values: &'a [f32],
    size: Size,
}

impl<'a> Map<'a> {
    /// A view of `values` as `[height, width]`; `tensor` names it in errors.
    ///
    /// # Errors
    /// Same as [`Maps::new`].
    pub fn new(tensor: &'static str, values: &'a [f32], shape: [usize; 2]) -> Result<Self, ShapeError> {
        Maps::new(tensor, values, [1, shape[0], shape[1]]).map(|maps| maps.map(0))
    }

    /// Size in cells.
    pub fn size(&self) -> Size {
        self.size
    }

    /// All values, row by row.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Row number `row`, which must be below the height.
    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.size.width..][..self.size.width]
    }
}

/// The expected length of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// This long.
    Exactly(usize),
    /// At least this long.
    AtLeast(usize),
    /// From the first to the second.
    Between(usize, usize),
    /// A multiple of this.
    MultipleOf(usize),
}

/// A tensor whose shape does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeError {
    /// Name of the tensor.
    pub tensor: &'static str,
    /// What is counted: channels, rows, columns, values.
    pub axis: &'static str,
    /// How many there should be.
    pub expected: Expected,
    /// How many there are.
    pub found: usize,
}

impl core::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "tensor `{}` has {} {}, expected ", self.tensor, self.found, self.axis)?;
        match self.expected {
            Expected::Exactly(count) => write!(f, "{count}"),
            Expected::AtLeast(count) => write!(f, "at least {count}"),
            Expected::Between(least, most) => write!(f, "{least} to {most}"),
            Expected::MultipleOf(factor) => write!(f, "a multiple of {factor}"),
        }
    }
}

impl core::error::Error for ShapeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked() {
        let values = [0.0; 12];
        let maps = Maps::new("heatmaps", &values, [2, 3, 2]).unwrap();
        assert_eq!((maps.channels(), maps.size()), (2, Size::new(2, 3)));
        let error = Maps::new("heatmaps", &values, [2, 3, 3]).unwrap_err();
        assert_eq!(std::format!("{error}"), "tensor `heatmaps` has 12 values, expected 18");
        let error = Maps::new("offsets", &values, [12, 0, 1]).unwrap_err();
        assert_eq!(std::format!("{error}"), "tensor `offsets` has 0 rows, expected 1 to 65536");
        assert!(Maps::new("offsets", &[], [MAX_SIDE, MAX_SIDE, MAX_SIDE]).is_err());
    }
}
