//! Names made of hashes: 32 bytes of BLAKE3, one type and one context for each thing that is named.
//!
//! A chunk is named by the plain BLAKE3 of its bytes, a data set likewise, so that anyone can check
//! them with `b3sum`. Everything else is hashed under its own `derive_key` context, so that no value
//! of one kind can pass for another.

use std::fmt;

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The 32 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Reads 64 hexadecimal digits.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                parse_hex(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }
    };
}

hash_type! {
    /// Name of a chunk: BLAKE3 of its plain bytes.
    ChunkId
}
hash_type! {
    /// BLAKE3 of a data set's bytes exactly as received.
    DatasetHash
}
hash_type! {
    /// Name of a manifest.
    ManifestHash
}
hash_type! {
    /// Hash of one instance as the study tree sees it.
    LeafHash
}
hash_type! {
    /// Names the content of a series.
    SeriesRoot
}
hash_type! {
    /// Names the content of a study.
    StudyRoot
}
hash_type! {
    /// Tells whether two versions of an instance show the same pixels: a hash of the pixel chunks'
    /// names in order.
    PixelDigest
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(out)
}

impl ChunkId {
    /// Names `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl DatasetHash {
    /// Hashes a whole data set at hand.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// BLAKE3 under a context of its own.
pub(crate) fn hash_in(context: &str, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(bytes);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways() {
        let id = ChunkId::of(b"abc");
        assert_eq!(ChunkId::from_hex(&id.to_string()), Some(id));
        assert_eq!(ChunkId::from_hex("00"), None);
        assert_eq!(ChunkId::from_hex(&"g".repeat(64)), None);
        assert_eq!(ChunkId::from_hex(&"é".repeat(32)), None);
    }
}
