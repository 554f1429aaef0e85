//! SHA-256.

use sha2::{Digest, Sha256};

/// SHA-256 of some bytes, 64 lower-case hexadecimal digits.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// The same of a file of any length.
///
/// # Errors
/// If it cannot be read.
#[cfg(feature = "cli")]
pub(crate) fn of_file(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::BufRead as _;

    let mut digest = Sha256::new();
    let mut file = std::io::BufReader::new(std::fs::File::open(path)?);
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hexadecimal(&digest.finalize()));
        }
        let length = bytes.len();
        digest.update(bytes);
        file.consume(length);
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digest() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(of_bytes(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
