//! Sizes and counts that bound memory and files, each with its reason.

/// A pack is sealed once it is this long: large enough that an object store's per-object cost
/// vanishes, small enough to be rewritten by compaction in a second.
pub const PACK_BYTES_TARGET: u64 = 64 << 20;

/// Longest pack that is read back; a hostile one must not be.
pub const PACK_BYTES_MAX: u64 = 1 << 30;

/// Longest payload of one record: a manifest of 64 MiB and its overhead.
pub const PAYLOAD_BYTES_MAX: usize = 65 << 20;

/// Chunks up to this length go into solid blocks rather than records of their own.
pub const SMALL_BYTES_MAX: usize = 64 << 10;

/// A block of headers is closed at this plain length: one header is then read in about 2 ms.
pub const TEXT_BLOCK_BYTES: usize = 1 << 20;

/// A block of small frames is closed at this plain length: pixels are read more often one by one.
pub const PIXEL_BLOCK_BYTES: usize = 256 << 10;

/// Blocks of one study shorter than this at a commit are put together.
pub const BLOCK_MERGE_BYTES: usize = 256 << 10;

/// One buffer into which a large object is read.
pub const SLAB_BYTES: usize = 4 << 20;

/// Objects of unknown length begin with a buffer of this length.
pub const FIRST_BUFFER_BYTES: usize = 256 << 10;

/// Plain bytes of new chunks after which a batch is committed even while nobody waits.
pub const BATCH_NEW_BYTES: u64 = 64 << 20;

/// Plain bytes of small chunks after which a batch is committed: they are held in memory until then.
pub const BATCH_SMALL_BYTES: u64 = 32 << 20;

/// Instances after which a batch is committed: each holds some 5 kB of names and attributes until then.
pub const BATCH_INSTANCES: usize = 2048;

/// Decoded blocks kept for reading, in bytes.
pub const BLOCK_CACHE_BYTES: u64 = 48 << 20;

/// Decoded chunks kept for those who are served, in bytes: a viewer asks for the same slices again, and
/// several people look at one study.
pub const CHUNK_CACHE_BYTES: u64 = 128 << 20;

/// Memory of what was decoded that is kept for what is decoded next, in bytes: some frames for each
/// thread that decodes, and what they hand out meanwhile.
pub const DECODED_KEPT_BYTES: usize = 32 << 20;

/// Manifests kept for those who are served, in bytes.
pub const MANIFEST_CACHE_BYTES: u64 = 16 << 20;

/// A run of series metadata is closed at this length: what is sent and held at once, and enough for
/// compression to find what repeats.
pub const METADATA_RUN_BYTES: usize = 1 << 20;

/// How much of the old metadata of a series is held to be taken over into the new.
pub const METADATA_REUSE_BYTES: usize = 64 << 20;

/// Series whose metadata may be made at once.
pub const METADATA_LOCKS: usize = 16;

/// What is read at once from a remote pack, so that the chunks of a study come in few requests.
pub const REMOTE_READ_BYTES: u64 = 4 << 20;

/// Remote segments kept, in bytes.
pub const REMOTE_CACHE_BYTES: u64 = 64 << 20;

/// Open pack files kept for reading.
pub const OPEN_PACKS_MAX: usize = 64;

/// What an instance counts against the memory budget from when it is decided on until the catalog names
/// it: its manifest and attributes.
pub const ENTRY_BYTES: usize = 8 << 10;

/// A segment of the spool is closed at this length: a file is made and synced so rarely that it costs
/// nothing, and gone soon after its last record is in the archive.
pub const SPOOL_SEGMENT_BYTES: u64 = 64 << 20;

/// What is written to the spool begins and ends with a block: a page of the cache is then written over
/// whole, without being read first, and a write that the power cuts short harms no record beside it.
pub const SPOOL_BLOCK_BYTES: u64 = 4 << 10;

/// Segments that are done with are kept up to this length together, to be written over: what a
/// scanner sends in a minute or two. More would take room for nothing on most days.
pub const SPOOL_SPARE_BYTES: u64 = 512 << 20;

/// And so many of them at most: each is opened, and its head written over, when an archive is opened.
pub const SPOOL_SPARES_MAX: usize = 8;

/// Files are prepared for the spool up to this length together, and up to a quarter of it: one study of a
/// thousand slices or so.
pub const SPOOL_PREPARED_BYTES: u64 = 256 << 20;

/// None is prepared with less than this free on the disk.
pub const SPOOL_PREPARE_FREE_BYTES_MIN: u64 = 8 << 30;

/// What a record of the spool counts for at least: each takes some 500 bytes of memory while it waits,
/// so a spool of 1 GiB holds 65,536 of them at most.
pub const SPOOL_RECORD_BYTES_MIN: u64 = 16 << 10;

/// No segment of the spool is begun with less than this free on the disk: the journal needs room too,
/// and what is spooled is written there once more.
pub const SPOOL_FREE_BYTES_MIN: u64 = 512 << 20;

/// Longest segment that is read back: one that is longer is not Cairn's.
pub const SPOOL_SEGMENT_BYTES_MAX: u64 = 1 << 30;
