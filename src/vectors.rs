//! Which vector instructions to compute with.
//!
//! The program is built for the least of its architecture; what has to be fast is compiled once for each width besides,
//! and chosen when it is called.

use fearless_simd::Level;

/// The vector instructions that this processor has; without an operating system to ask, those that the crate was built
/// for.
#[inline(always)]
pub(crate) fn vectors() -> Level {
    #[cfg(feature = "std")]
    return Level::new();
    #[cfg(not(feature = "std"))]
    return Level::baseline();
}
