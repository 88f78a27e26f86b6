//! Who holds and granted what, provably.
//!
//! Every site keeps one append-only log of signed entries ([`entry`]) in a Merkle tree ([`merkle`]),
//! on disk and on the wire in the formats of C2SP ([`tiles`], [`checkpoint`]). What an entry may say
//! after those before it is one pure function ([`state`]). Sites mirror each other's logs ([`mirror`])
//! and witness each other's tree heads ([`witness`]); a tree head counts once enough of them have
//! ([`quorum`]). Whether somebody may read a study is answered from the mirrored logs alone
//! ([`access`]).
//!
//! Nothing of a patient, no UID, no date of a study and no modality enters an entry. `ENTRIES.md`
//! beside this crate fixes the fields and says for each what it tells and what it does not;
//! `VECTORS.md` holds vectors to check another implementation against.

pub mod access;
pub mod checkpoint;
pub mod entry;
mod envelope;
pub mod error;
pub mod evidence;
pub mod federation;
pub mod id;
mod key_file;
pub mod keys;
pub mod limits;
pub mod log;
pub mod merkle;
pub mod mirror;
pub mod note;
pub mod offline;
pub mod opening;
pub mod order;
pub mod patient;
pub mod quorum;
pub mod sealing;
pub mod state;
pub mod tiles;
pub mod witness;

pub use error::{Error, Result};
