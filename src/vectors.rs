//! Choice of vector instructions.
//!
//! The program is built for the baseline of its architecture; hot code is also compiled for each vector width, and chosen at
//! run time.

use fearless_simd::Level;

/// The vector instructions that this processor has; without an operating system to ask, those that the crate was built for.
#[inline(always)]
pub(crate) fn vectors() -> Level {
    #[cfg(feature = "std")]
    return Level::new();
    #[cfg(not(feature = "std"))]
    return Level::baseline();
}
