//! What tract's kernels leave behind in the processor.

#![allow(unsafe_code)]

/// Clears the upper halves of the vector registers.
///
/// tract's kernels for AVX and AVX-512 leave numbers in them. As long as they are there, every instruction of SSE has to keep
/// them: whatever the compiler made of Rust, the warp and the decoders among it, takes two to three times as long.
pub(super) fn clear_upper_halves() {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        // SAFETY: the processor has the instruction. The halves that it clears belong to nobody between two calls: a
        // function that keeps something in a register of 256 bits saves it before it calls another (System V ABI, 3.2.1).
        unsafe { std::arch::x86_64::_mm256_zeroupper() }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
pub(super) mod tests {
    use std::arch::{asm, x86_64::__cpuid_count};

    use super::*;

    /// Whether there is something in an upper half; nothing where the processor cannot say.
    pub fn upper_halves_are_in_use() -> Option<bool> {
        if !is_x86_feature_detected!("avx") || !is_x86_feature_detected!("xsave") || __cpuid_count(13, 1).eax & 4 == 0 {
            eprintln!("not tested: this processor does not say which registers are in use");
            return None;
        }
        let in_use: u32;
        // SAFETY: the processor has XGETBV with a 1 in ECX, which reads which parts of its state are in use.
        unsafe { asm!("xgetbv", in("ecx") 1, out("eax") in_use, out("edx") _, options(nomem, nostack)) }
        Some(in_use & 0b100 != 0)
    }

    #[test]
    fn nothing_is_left() {
        if upper_halves_are_in_use().is_none() {
            return;
        }
        // SAFETY: the processor has AVX, or there would be no answer above; the register is said to change.
        unsafe { asm!("vcmpps ymm0, ymm0, ymm0, 15", out("xmm0") _, options(nomem, nostack)) };
        assert_eq!(upper_halves_are_in_use(), Some(true));
        clear_upper_halves();
        assert_eq!(upper_halves_are_in_use(), Some(false));
    }
}
