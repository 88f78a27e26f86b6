//! What can be wrong with bytes that claim to be Cairn's.

/// The one error of this crate. No variant carries content.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum Error {
    /// Not the canonical encoding that this crate writes.
    #[error("{what} is not canonically encoded: {why}")]
    Encoding {
        /// Which structure was read.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The structure is of a version that this build does not know.
    #[error("{what} has version {version}, which this build does not know")]
    Version {
        /// Which structure was read.
        what: &'static str,
        /// The version found.
        version: u64,
    },
    /// A coded chunk cannot be decoded.
    #[error("chunk cannot be decoded with codec {codec}: {why}")]
    Codec {
        /// The codec id on record.
        codec: u8,
        /// What is wrong.
        why: &'static str,
    },
    /// A proof does not lead to the root that it states.
    #[error("the proof does not lead to its root")]
    Proof,
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
