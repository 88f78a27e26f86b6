//! Every bound on what a DIMSE peer may make the server do, with its reason.

use std::time::Duration;

/// Longest P-DATA-TF PDU that is announced (PS3.8 §D.1). Memory does not depend on it: values are
/// read as they come. Larger ones save heads and reads of them.
pub(super) const PDU_BYTES_MAX: u32 = 256 << 10;

/// Some senders count the head of a PDU wrongly, or forget what was announced. What is a multiple of
/// it is no PDU: it would only say that the stream is out of step.
pub(super) const PDU_BYTES_BELIEVED: u32 = 64 << 20;

/// Longest A-ASSOCIATE-RQ: 128 contexts of 60 transfer syntaxes take some 300 KiB.
pub(super) const ASSOCIATE_BYTES_MAX: u32 = 1 << 20;

/// Longest command set. A real one has some 300 bytes.
pub(super) const COMMAND_BYTES_MAX: usize = 16 << 10;

/// Elements of a command set: PS3.7 §E.1 has 35, retired ones included.
pub(super) const COMMAND_ELEMENTS_MAX: usize = 64;

/// Longest identifier of a query or retrieval, and longest data set of an action: 100,000 references
/// of a storage commitment take some 17 MB.
pub(super) const IDENTIFIER_BYTES_MAX: u64 = 32 << 20;

/// What is read of a socket at once for heads and short values.
pub(super) const READ_BYTES: usize = 64 << 10;

/// How often a thread that waits for bytes looks at its deadlines.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// A message has to bring this much in each second of the stall time, as bodies over HTTP.
pub(super) const BYTES_PER_SECOND_MIN: u64 = 256;

/// How often a sender is looked at while the store is short of memory,
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// how many looks it may fail, one after the other,
pub(super) const LOOKS_MAX: u32 = 3;
/// and what it has to bring between two looks.
pub(super) const LOOK_BYTES_MIN: u64 = 16 << 10;

/// How long an association without a message is kept once the server ends: a sender in full flow
/// sends the next image within that.
pub(super) const DRAIN_QUIET: Duration = Duration::from_secs(1);

/// Associations beyond the bound that are told so. More are dropped without a word.
pub(super) const REFUSALS_MAX: usize = 32;

/// Threads that read, cut and convert need little stack, but decoders are deep.
pub(super) const STACK_BYTES: usize = 2 << 20;

/// How long to wait when the system has no more files or memory for connections.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait for answers of the store before asking again for haste: a batch of others may
/// have gone first.
pub(super) const HURRY_EVERY: Duration = Duration::from_millis(50);

/// How often a retrieval tells how far it has come: often enough for a progress bar.
pub(super) const PENDING_EVERY: Duration = Duration::from_millis(250);

/// How long a receiver may take to answer a message.
pub(super) const ANSWER: Duration = Duration::from_secs(300);

/// After an A-ABORT or A-RELEASE-RP the peer closes (PS3.8 §9.2, ARTIM). This long it is waited for,
/// so that what was sent last is not lost in a reset.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// And so much of what it still sends is thrown away.
pub(super) const LINGER_BYTES_MAX: usize = 16 << 20;
