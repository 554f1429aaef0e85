//! Pixel layouts of screens.

/// A layout of pixels, low byte first as on every board that this is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// 16 bits: 5 of red (highest), 6 of green, 5 of blue.
    Rgb565,
    /// 16 bits: 1 unused (highest), 5 each of red, green, blue.
    Rgb555,
    /// 32 bits: 8 unused (highest), 8 each of red, green, blue.
    Xrgb8888,
}

impl Format {
    /// All of them, with the names used in options.
    pub const NAMED: [(&'static str, Self); 3] =
        [("rgb565", Self::Rgb565), ("rgb555", Self::Rgb555), ("xrgb8888", Self::Xrgb8888)];

    /// The layout with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|&(known, _)| known == name).map(|(_, format)| format)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rgb565 => "rgb565",
            Self::Rgb555 => "rgb555",
            Self::Xrgb8888 => "xrgb8888",
        }
    }

    /// The default layout of a screen of this depth.
    pub fn usual(bits: usize) -> Option<Self> {
        match bits {
            16 => Some(Self::Rgb565),
            32 => Some(Self::Xrgb8888),
            _ => None,
        }
    }

    /// Bytes of a pixel.
    pub fn bytes(self) -> usize {
        match self {
            Self::Rgb565 | Self::Rgb555 => 2,
            Self::Xrgb8888 => 4,
        }
    }

    /// Writes pixels of 3 bytes, red first, in this layout. Excess low bits are dropped.
    pub fn convert(self, rgb: &[u8], converted: &mut [u8]) {
        match self {
            Self::Rgb565 => convert(rgb, converted, |[r, g, b]| {
                (u16::from(r >> 3) << 11 | u16::from(g >> 2) << 5 | u16::from(b >> 3)).to_le_bytes()
            }),
            Self::Rgb555 => convert(rgb, converted, |[r, g, b]| {
                (u16::from(r >> 3) << 10 | u16::from(g >> 3) << 5 | u16::from(b >> 3)).to_le_bytes()
            }),
            // Some displays take the unused byte for opacity: all of it.
            Self::Xrgb8888 => convert(rgb, converted, |[r, g, b]| [b, g, r, u8::MAX]),
        }
    }
}

fn convert<const N: usize>(rgb: &[u8], converted: &mut [u8], pixel: impl Fn([u8; 3]) -> [u8; N]) {
    let (from, _) = rgb.as_chunks::<3>();
    let (to, _) = converted.as_chunks_mut::<N>();
    for (to, &from) in to.iter_mut().zip(from) {
        *to = pixel(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Widens a channel of `bits` bits to 8: its high bits are repeated below.
    fn widened(value: u16, bits: u32) -> u8 {
        let high = value << (8 - bits);
        (high | high >> bits) as u8
    }

    #[test]
    fn every_value_of_16_bits_comes_back() {
        for value in 0..=u16::MAX {
            let (red, green, blue) = (value >> 11, value >> 5 & 0x3f, value & 0x1f);
            let mut back = [0; 2];
            Format::Rgb565.convert(&[widened(red, 5), widened(green, 6), widened(blue, 5)], &mut back);
            assert_eq!(u16::from_le_bytes(back), value);

            let (red, green, blue) = (value >> 10 & 0x1f, value >> 5 & 0x1f, value & 0x1f);
            Format::Rgb555.convert(&[red, green, blue].map(|channel| widened(channel, 5)), &mut back);
            assert_eq!(u16::from_le_bytes(back), value & 0x7fff, "the highest bit stays 0");
        }
    }

    #[test]
    fn known_colours() {
        for (rgb, rgb565, rgb555) in [
            ([255, 255, 255], 0xffff, 0x7fff),
            ([255, 0, 0], 0xf800, 0x7c00),
            ([0, 255, 0], 0x07e0, 0x03e0),
            ([0, 0, 255], 0x001f, 0x001f),
            ([7, 3, 7], 0, 0),
            ([8, 4, 8], 0x0821, 0x0401),
        ] {
            let (mut short, mut long) = ([0; 2], [0; 4]);
            Format::Rgb565.convert(&rgb, &mut short);
            assert_eq!(u16::from_le_bytes(short), rgb565, "{rgb:?}");
            Format::Rgb555.convert(&rgb, &mut short);
            assert_eq!(u16::from_le_bytes(short), rgb555, "{rgb:?}");
            Format::Xrgb8888.convert(&rgb, &mut long);
            let [r, g, b] = rgb;
            assert_eq!(long, [b, g, r, 255]);
        }
    }

    #[test]
    fn names_and_depths() {
        for (name, format) in Format::NAMED {
            assert_eq!((Format::named(name), format.name()), (Some(format), name));
        }
        assert_eq!(Format::usual(16), Some(Format::Rgb565));
        assert_eq!(Format::usual(32), Some(Format::Xrgb8888));
        assert_eq!(Format::usual(24), None);
    }
}
