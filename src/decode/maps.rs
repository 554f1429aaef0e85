//! Views of network outputs.

/// Why an array cannot be read as the tensor it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeError {
    /// Which tensor.
    pub tensor: &'static str,
    /// What was compared: `"values"`, `"channels"`, `"height"`, ...
    pub quantity: &'static str,
    /// What was found.
    pub found: usize,
    /// What was expected.
    pub expected: usize,
}

impl core::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { tensor, quantity, found, expected } = self;
        write!(f, "tensor `{tensor}` has {found} {quantity}, expected {expected}")
    }
}

impl core::error::Error for ShapeError {}

/// Maps `[channels, height, width]` in row-major order, in somebody else's memory.
#[derive(Debug, Clone, Copy)]
pub struct Maps<'a> {
    values: &'a [f32],
    channels: usize,
    height: usize,
    width: usize,
}

/// One channel of [`Maps`]: `[height, width]`, at least one cell.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    values: &'a [f32],
    height: usize,
    width: usize,
}

impl<'a> Maps<'a> {
    /// Reads `values` as `[channels, height, width]`; `tensor` is its name in errors.
    ///
    /// # Errors
    /// Where a side is 0 or the number of values is not their product.
    pub fn new(
        tensor: &'static str,
        values: &'a [f32],
        channels: usize,
        height: usize,
        width: usize,
    ) -> Result<Self, ShapeError> {
        for (quantity, found) in [("channels", channels), ("rows", height), ("columns", width)] {
            if found == 0 {
                return Err(ShapeError { tensor, quantity, found, expected: 1 });
            }
        }
        let expected = channels.checked_mul(height).and_then(|rows| rows.checked_mul(width));
        if expected != Some(values.len()) {
            let expected = expected.unwrap_or(usize::MAX);
            return Err(ShapeError { tensor, quantity: "values", found: values.len(), expected });
        }
        Ok(Self { values, channels, height, width })
    }

    /// Number of channels, at least 1.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Rows of each channel, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of each channel, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One channel; the last one where `channel` is out of range.
    pub fn plane(&self, channel: usize) -> Plane<'a> {
        let area = self.height * self.width;
        let start = channel.min(self.channels - 1) * area;
        Plane { values: &self.values[start..start + area], height: self.height, width: self.width }
    }
}

impl<'a> Plane<'a> {
    /// Rows, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One row; the last one where `row` is out of range.
    pub fn row(&self, row: usize) -> &'a [f32] {
        let start = row.min(self.height - 1) * self.width;
        &self.values[start..start + self.width]
    }

    /// The value of a cell; indices out of range mean the border.
    pub fn at(&self, row: usize, column: usize) -> f32 {
        self.row(row)[column.min(self.width - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked() {
        let values = [0.0; 12];
        assert!(Maps::new("heatmaps", &values, 3, 2, 2).is_ok());
        let error = Maps::new("heatmaps", &values, 3, 2, 3).unwrap_err();
        assert_eq!((error.found, error.expected), (12, 18));
        assert_eq!(Maps::new("heatmaps", &[], 0, 2, 2).unwrap_err().quantity, "channels");
        assert!(Maps::new("heatmaps", &values, usize::MAX, 2, 2).is_err());
    }
}
