//! Digests of content: what an image is, whatever it is called.

use serde::{Deserialize, Serialize};

/// Why a text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is `sha256:` and 64 hexadecimal digits")]
pub struct DigestError;

/// A SHA-256 digest, of an image's manifest or of an image, as registries and engines write it: `sha256:…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// What comes before the digits.
    const PREFIX: &str = "sha256:";

    /// A digest by its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Self::PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for ContentDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits =
            text.strip_prefix(Self::PREFIX).filter(|digits| digits.len() == 64).ok_or(DigestError)?;
        // One way to write it: what is compared as text elsewhere is the same text.
        if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError);
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            let pair = digits.get(at..at + 2).ok_or(DigestError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| DigestError)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let text = format!("sha256:{}", "0a".repeat(32));
        let digest: ContentDigest = text.parse().unwrap();
        assert_eq!((digest, digest.to_string()), (ContentDigest::from_bytes([10; 32]), text));
        for wrong in ["", "sha256:", "sha256:0a", &"0a".repeat(32), &format!("sha256:{}", "0A".repeat(32))] {
            assert_eq!(wrong.parse::<ContentDigest>(), Err(DigestError), "{wrong}");
        }
    }
}
