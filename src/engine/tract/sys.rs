//! Counters tract's side effects on the processor and on the C library's allocator.

#![allow(unsafe_code)]

/// Clears the upper halves of the vector registers.
///
/// tract's kernels for AVX and AVX-512 leave values in them. While they are there, every SSE instruction has to preserve them:
/// all compiled Rust, including the warp and the decoders, then takes two to three times as long.
pub(super) fn clear_upper_halves() {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        // SAFETY: the processor has the instruction. The halves that it clears hold nothing between two calls: a
        // function that keeps something in a register of 256 bits saves it before it calls another (System V ABI, 3.2.1).
        unsafe { std::arch::x86_64::_mm256_zeroupper() }
    }
}

/// Makes the C library keep freed memory, in the whole process.
///
/// tract allocates and frees tensors of megabytes for every node of a graph. By default, the C library returns such memory to the
/// system each time, and gets it back page by page, each cleared.
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// The largest blocks that may come from the heap; `mallopt` takes no more.
        const HEAP_BLOCKS: libc::c_int = 32 << 20;
        /// Bytes that may stay unused at the heap's end.
        const UNUSED: libc::c_int = 256 << 20;
        // SAFETY: it sets two numbers of the allocator, under its lock. Another thread that allocates meanwhile without it
        // finds the old or the new number, both of which are good.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, HEAP_BLOCKS);
            libc::mallopt(libc::M_TRIM_THRESHOLD, UNUSED);
        }
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod memory_tests {
    use super::*;

    /// Page faults of this thread.
    fn faults() -> u64 {
        let line = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields = line.rsplit_once(')').unwrap().1;
        fields.split_whitespace().nth(7).unwrap().parse().unwrap()
    }

    #[test]
    fn memory_is_kept() {
        keep_memory();
        const BLOCKS: usize = 6;
        const BYTES: usize = 8 << 20;
        // A few at a time, as a graph holds them: of one the C library learns to keep it.
        let touch = || drop([(); BLOCKS].map(|()| std::hint::black_box(vec![1_u8; BYTES])));
        touch();
        let before = faults();
        (0..5).for_each(|_| touch());
        let (found, pages) = (faults() - before, (5 * BLOCKS * BYTES / 4096) as u64);
        assert!(found < pages / 10, "{found} of {pages} pages");
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
pub(super) mod tests {
    use std::arch::{asm, x86_64::__cpuid_count};

    use super::*;

    /// Whether there is something in an upper half; nothing if the processor cannot say.
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
        // SAFETY: the processor has AVX, or the function would have returned above; the register is said to change.
        unsafe { asm!("vcmpps ymm0, ymm0, ymm0, 15", out("xmm0") _, options(nomem, nostack)) };
        assert_eq!(upper_halves_are_in_use(), Some(true));
        clear_upper_halves();
        assert_eq!(upper_halves_are_in_use(), Some(false));
    }
}
