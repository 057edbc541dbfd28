//! Digests as short names of long texts.

use sha2::{Digest, Sha256};

/// Returns the SHA-256 of a text as 64 hexadecimal digits.
#[must_use]
pub fn hexadecimal(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Returns the first 16 hexadecimal digits of a text's SHA-256: enough to distinguish two texts that share a
/// name.
#[must_use]
pub fn short(text: &str) -> String {
    hexadecimal(text).chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn digest_is_sha_256() {
        assert_eq!(
            super::hexadecimal("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
