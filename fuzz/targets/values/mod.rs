//! Numbers for a decoder out of whatever the fuzzer made.

/// Endless values out of a finite input: read as they are, or as small plausible numbers.
pub struct Values<'a> {
    /// Not empty.
    pub bytes: &'a [u8],
    pub at: usize,
    /// Four bytes are a number as it is.
    pub raw: bool,
    /// Otherwise one byte is one: from this on, in steps of 1/16.
    pub least: f32,
}

impl Values<'_> {
    pub fn byte(&mut self) -> u8 {
        let byte = self.bytes[self.at % self.bytes.len()];
        self.at += 1;
        byte
    }

    fn next(&mut self) -> f32 {
        if self.raw {
            f32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
        } else {
            f32::from(self.byte()) / 16.0 + self.least
        }
    }

    pub fn take(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}
