//! Tensor shapes that depend on the network's size: `[18, "H/4", "W/4"]`.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Most elements of one tensor, so that a slip in a manifest cannot ask for all memory: 2^28 floats are 1 GiB.
pub const MAX_ELEMENTS: usize = 1 << 28;

/// The meaning of a letter in a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Symbol {
    /// `H`: height of the network's input, pixels.
    Height,
    /// `W`: width of the network's input, pixels.
    Width,
    /// `H*W`: pixels of the network's input.
    Area,
    /// `n`: candidates in one run.
    Chunk,
}

impl Symbol {
    const fn letter(self) -> &'static str {
        match self {
            Self::Height => "H",
            Self::Width => "W",
            Self::Area => "H*W",
            Self::Chunk => "n",
        }
    }
}

/// Values of the letters in a shape, known when an engine is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Symbols {
    /// `H`, pixels.
    pub height: Option<usize>,
    /// `W`, pixels.
    pub width: Option<usize>,
    /// `n`, candidates.
    pub chunk: Option<usize>,
}

impl Symbols {
    fn get(&self, symbol: Symbol) -> Option<usize> {
        match symbol {
            Symbol::Height => self.height,
            Symbol::Width => self.width,
            Symbol::Area => self.height?.checked_mul(self.width?),
            Symbol::Chunk => self.chunk,
        }
    }
}

/// One extent of a tensor: a number, or `factor * symbol / divisor + addend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The same for every network size.
    Number(usize),
    /// Follows the network's size; written `"187*n"`, `"H/4"`, `"H/4+2"`.
    Symbolic {
        /// Multiplies the symbol; 1 if omitted.
        factor: usize,
        /// The symbol.
        symbol: Symbol,
        /// Divides the product, without remainder; 1 if omitted.
        divisor: usize,
        /// Added last; 0 if omitted.
        addend: usize,
    },
}

/// Why a shape cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A symbol that has no meaning for this engine.
    #[error("`{dimension}` needs a value for `{symbol}`, which this engine does not have")]
    Unbound {
        /// The extent as written.
        dimension: String,
        /// Its letter.
        symbol: &'static str,
    },
    /// The division leaves a remainder.
    #[error("`{dimension}` is not a whole number for {symbol} = {value}")]
    Remainder {
        /// The extent as written.
        dimension: String,
        /// Its letter.
        symbol: &'static str,
        /// The letter's value.
        value: usize,
    },
    /// An extent or their product is out of range.
    #[error("shape {shape} is empty or has more than {MAX_ELEMENTS} elements")]
    TooLarge {
        /// The shape as written.
        shape: String,
    },
}

impl Dimension {
    /// A plain symbol.
    pub const fn symbol(symbol: Symbol) -> Self {
        Self::Symbolic { factor: 1, symbol, divisor: 1, addend: 0 }
    }

    /// The extent for the given symbols.
    ///
    /// # Errors
    /// If a symbol is missing, a division leaves a remainder, or the number overflows.
    pub fn evaluate(&self, symbols: &Symbols) -> Result<usize, ShapeError> {
        let (factor, symbol, divisor, addend) = match *self {
            Self::Number(number) => return Ok(number),
            Self::Symbolic { factor, symbol, divisor, addend } => (factor, symbol, divisor, addend),
        };
        let letter = symbol.letter();
        let value =
            symbols.get(symbol).ok_or_else(|| ShapeError::Unbound { dimension: self.to_string(), symbol: letter })?;
        let too_large = || ShapeError::TooLarge { shape: self.to_string() };
        let product = value.checked_mul(factor).ok_or_else(too_large)?;
        if product % divisor != 0 {
            return Err(ShapeError::Remainder { dimension: self.to_string(), symbol: letter, value });
        }
        (product / divisor).checked_add(addend).ok_or_else(too_large)
    }
}

/// The shape for the given symbols.
///
/// # Errors
/// Same as [`Dimension::evaluate`], and if the shape is empty or larger than [`MAX_ELEMENTS`].
pub fn evaluate(shape: &[Dimension], symbols: &Symbols) -> Result<Vec<usize>, ShapeError> {
    let extents = shape.iter().map(|dimension| dimension.evaluate(symbols)).collect::<Result<Vec<_>, _>>()?;
    let elements = extents.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent));
    match elements {
        Some(1..=MAX_ELEMENTS) => Ok(extents),
        _ => Err(ShapeError::TooLarge { shape: written(shape) }),
    }
}

/// `[1, 3, "H", "W"]`: a network's image.
pub(super) fn of_image() -> Vec<Dimension> {
    vec![
        Dimension::Number(1),
        Dimension::Number(3),
        Dimension::symbol(Symbol::Height),
        Dimension::symbol(Symbol::Width),
    ]
}

/// The shape as a manifest writes it.
pub fn written(shape: &[Dimension]) -> String {
    let extents: Vec<String> = shape
        .iter()
        .map(|dimension| match dimension {
            Dimension::Number(number) => number.to_string(),
            symbolic => format!("\"{symbolic}\""),
        })
        .collect();
    format!("[{}]", extents.join(", "))
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Symbolic { factor, symbol, divisor, addend } => {
                if factor != 1 {
                    write!(f, "{factor}*")?;
                }
                f.write_str(symbol.letter())?;
                if divisor != 1 {
                    write!(f, "/{divisor}")?;
                }
                if addend != 0 {
                    write!(f, "+{addend}")?;
                }
                Ok(())
            }
        }
    }
}

/// Text that is not an extent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an extent: write a number or something like \"H/4\", \"H*W/16\", \"H/4+2\", \"187*n\" with the symbols H, W, n"
)]
pub struct DimensionError(String);

impl FromStr for Dimension {
    type Err = DimensionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || DimensionError(text.to_owned());
        let positive = |digits: &str| digits.trim().parse().ok().filter(|&number: &usize| number > 0).ok_or_else(fail);
        let rest = text.trim();
        if rest.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Number(positive(rest)?));
        }
        let (rest, addend) = match rest.split_once('+') {
            Some((before, after)) => (before, positive(after)?),
            None => (rest, 0),
        };
        let (rest, divisor) = match rest.split_once('/') {
            Some((before, after)) => (before, positive(after)?),
            None => (rest, 1),
        };
        let parts: Vec<&str> = rest.split('*').map(str::trim).collect();
        let (factor, letters) = match parts.as_slice() {
            [factor, letters @ ..] if !letters.is_empty() && !["H", "W", "n"].contains(factor) => {
                (positive(factor)?, letters)
            }
            letters => (1, letters),
        };
        let symbol = match letters {
            ["H"] => Symbol::Height,
            ["W"] => Symbol::Width,
            ["H", "W"] => Symbol::Area,
            ["n"] => Symbol::Chunk,
            _ => return Err(fail()),
        };
        Ok(Self::Symbolic { factor, symbol, divisor, addend })
    }
}

impl<'de> Deserialize<'de> for Dimension {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DimensionVisitor;

        impl Visitor<'_> for DimensionVisitor {
            type Value = Dimension;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a positive number or text such as \"H/4\", \"H/4+2\", \"187*n\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Dimension, E> {
                match usize::try_from(number) {
                    Ok(number) if number > 0 => Ok(Dimension::Number(number)),
                    _ => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Dimension, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(DimensionVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SYMBOLS: Symbols = Symbols { height: Some(256), width: Some(352), chunk: Some(4) };

    fn value(text: &str) -> usize {
        text.parse::<Dimension>().unwrap().evaluate(&SYMBOLS).unwrap()
    }

    #[test]
    fn forms() {
        assert_eq!(value("18"), 18);
        assert_eq!(value("H"), 256);
        assert_eq!(value("W/4"), 88);
        assert_eq!(value("H/4+2"), 66);
        assert_eq!(value("187*n"), 748);
        assert_eq!(value("H*W/16"), 64 * 88);
        assert_eq!(value("2*H*W/16"), 2 * 64 * 88);
        assert_eq!(value(" 2 * W / 11 + 1 "), 65);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "h",
            "H/0",
            "H/",
            "H*2",
            "H+",
            "+2",
            "H/4-2",
            "H+2/4",
            "1e3",
            "0",
            "99999999999999999999",
            "H W",
            "W*H",
            "H*H",
            "2*2*H",
            "2*n*n",
        ] {
            assert!(text.parse::<Dimension>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn no_silent_rounding() {
        let error = "H/3".parse::<Dimension>().unwrap().evaluate(&SYMBOLS).unwrap_err();
        assert_eq!(error.to_string(), "`H/3` is not a whole number for H = 256");
        let symbols = Symbols { height: Some(8), ..Symbols::default() };
        assert!(matches!("n".parse::<Dimension>().unwrap().evaluate(&symbols), Err(ShapeError::Unbound { .. })));
    }

    #[test]
    fn sizes_are_bounded() {
        let shape: Vec<Dimension> = ["65536", "65536"].map(|text| text.parse().unwrap()).to_vec();
        assert!(matches!(evaluate(&shape, &SYMBOLS), Err(ShapeError::TooLarge { .. })));
        let shape = vec![Dimension::Number(usize::MAX), Dimension::Number(2)];
        assert!(matches!(evaluate(&shape, &SYMBOLS), Err(ShapeError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn written_form_is_read_back(factor in 1_usize..1000, letter in 0_usize..4, divisor in 1_usize..100, addend in 0_usize..100) {
            let symbol = [Symbol::Height, Symbol::Width, Symbol::Area, Symbol::Chunk][letter];
            let dimension = Dimension::Symbolic { factor, symbol, divisor, addend };
            prop_assert_eq!(dimension.to_string().parse::<Dimension>().unwrap(), dimension);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,12}") {
            let _ = text.parse::<Dimension>().map(|dimension| dimension.evaluate(&SYMBOLS));
        }
    }
}
