//! Sizes and times that bound what this crate makes and accepts, each with its reason.

/// Longest encoded entry in bytes. The longest there is today has under 1 KiB; a second,
/// post-quantum signature (ML-DSA-44: 2,420 bytes) and key (1,312 bytes) still fit. An entry bundle
/// could hold 65,535 (C2SP tlog-tiles).
pub const ENTRY_BYTES_MAX: usize = 8 << 10;

/// Longest statement of a patient in bytes. A consent has 350; a post-quantum signature still fits.
pub const STATEMENT_BYTES_MAX: usize = 8 << 10;

/// Longest origin line in bytes. C2SP tlog-cosignature bounds it at 255.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// Longest signed note accepted in bytes: 16 signatures have to be accepted (C2SP signed-note), and
/// post-quantum ones have up to 5 kB, a third more in base64.
pub const NOTE_BYTES_MAX: usize = 128 << 10;

/// Most signature lines read in a note.
pub const SIGNATURES_MAX: usize = 64;

/// Most hashes in a proof. C2SP tlog-witness allows 63 lines; a tree over 2^63 leaves needs no more.
pub const PROOF_HASHES_MAX: usize = 63;

/// Longest sealed opening in bytes: X25519 takes 112, the X-Wing hybrid would take 1,200.
pub const SEALED_BYTES_MAX: usize = 1280;

/// A grant ends at the latest this many seconds after it begins: ten years. A grant without end would
/// outlive everybody who could answer for it.
pub const GRANT_SECONDS_MAX: u64 = 10 * 366 * 86_400;

/// Break-glass access ends at the latest this many seconds after its entry: one day.
pub const BREAK_GLASS_SECONDS_MAX: u64 = 86_400;

/// How far the clocks of two sites may disagree, in seconds, before what the other dates ahead is
/// refused.
pub const CLOCK_SKEW_SECONDS: u64 = 300;

/// Latest time that is accepted, in seconds since the epoch: cosignatures end there (C2SP
/// tlog-cosignature), and sums of it and the spans above do not overflow.
pub const TIME_MAX: u64 = i64::MAX as u64 / 2;

/// Most entries that one group commit takes, so that the first of them does not wait for long.
pub const GROUP_ENTRIES_MAX: usize = 4096;

/// How often a study may change hands before its chain of owners is no longer followed.
pub const OWNERS_MAX: usize = 64;

/// Entries that a mirror asks for at a time: 256 entry bundles, some 20 MiB.
pub const FETCH_ENTRIES: u64 = 1 << 16;

/// How long a log may go on showing an earlier checkpoint once a later one is seen elsewhere, in
/// seconds: witnesses have a checkpoint before the log can publish their cosignatures.
pub const PUBLISH_SECONDS: u64 = 60;
