//! Every bound on what outside bytes may make this crate do, with its reason.

/// A top-level value of at least this many bytes is a span of its own, so that a correction of the
/// small elements around it stores a few KiB again and not the large value (DESIGN §3).
pub const LARGE_BYTES: u64 = 4096;

/// How far the splitter may stay behind the bytes it was given: a sequence of undefined length is
/// header or bulk only after [`LARGE_BYTES`] of it were seen, plus one element header.
pub const LOOKAHEAD_BYTES: usize = 16 * 1024;

/// How many raw bytes of an indexed attribute are kept: enough for [`ATTRIBUTE_BYTES_MAX`] after
/// decoding from any character set.
pub const KEEP_BYTES: u64 = 2048;

/// How long one indexed value may be, in bytes of UTF-8. The longest bounded text VR that is indexed
/// (LO, PN) has 64 characters a component; only retired or free text is ever cut by this.
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;

/// How long preamble and group 0002 together may be. A real one is under 1 KiB; what claims more is
/// read as data set, so that an envelope can always be held in memory.
pub const ENVELOPE_BYTES_MAX: u64 = 1024 * 1024;

/// How long a basic or extended offset table may be to be read (2 Mi or 1 Mi frames); a longer one is
/// stored like any other bytes and frames are found by their fragments.
pub const OFFSET_TABLE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How many frame starts are remembered (16 MiB of them). Later fragments are stored, not indexed.
pub const FRAMES_MAX: usize = 2 * 1024 * 1024;

/// How much of a deflated data set is inflated to find its attributes: a bomb costs this and no more.
pub const INFLATE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How much is inflated at a time.
pub const INFLATE_STEP_BYTES: usize = 16 * 1024;

/// How much of a deflated stream the inflater gets at a time, in bytes. It loses what it has decoded and
/// not handed out when it meets damage, so pieces are short, and the same in whatever windows the
/// stream comes.
pub const INFLATE_PIECE_BYTES: usize = 512;

/// The longest UID that PS3.5 §9.1 allows; longer ones get a local handle.
pub const UID_BYTES_MAX: usize = 64;

/// How many bytes of a UID in group 0002 are read: over [`UID_BYTES_MAX`], to see that it is too long.
pub const META_UID_BYTES_MAX: u64 = 256;

/// The largest length believed of an element that is read against the declared VR encoding, or that
/// stands where the standard has none. What claims more is not an element.
pub const DOUBTFUL_LENGTH_MAX: u32 = 1 << 28;

/// How deep sequences may be nested in JSON. Real objects stay under 20 (structured reports); readers of JSON
/// recurse and stop at some depth, serde_json at 128, and each sequence takes three levels of it.
pub const DEPTH_MAX: usize = 40;

/// The longest JSON object of one instance. A slide of 100,000 frames has some 60 MiB of functional
/// groups; what would be longer is cut, and said so.
pub const JSON_BYTES_MAX: usize = 128 * 1024 * 1024;

/// How many items are written into one JSON object: empty items cost eight bytes to send and far more
/// as objects in the memory of whoever reads them.
pub const JSON_ITEMS_MAX: u64 = 4 * 1024 * 1024;

/// A binary value over this has a BulkDataURI: thumbnails and CSA headers are not for metadata.
pub const INLINE_BINARY_BYTES_MAX: u64 = 1024;

/// Numbers over this have a BulkDataURI (behaviour 13): tables of 16 bits × 2,048 stay inline.
pub const INLINE_NUMBERS_BYTES_MAX: u64 = 4096;

/// A value over this has a BulkDataURI also where its VR may have none (PS3.18 §F.2.2 has LO, SH, PN, UI
/// and others inline only). In an explicit VR they end at 64 KiB; longer ones are damage, or made to hurt
/// whoever reads them. Left out they would be lost without a word, so they are named.
pub const INLINE_ALWAYS_BYTES_MAX: u64 = 1024 * 1024;

/// Text over this has a BulkDataURI.
pub const INLINE_TEXT_BYTES_MAX: u64 = 64 * 1024;

/// How much of a data set is asked for at a time.
pub const READ_BYTES: usize = 256 * 1024;

/// How much a deflated data set may inflate to when its values themselves are wanted. A deflated object
/// is held whole in memory, so this also bounds what a bomb costs.
pub const INFLATED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// How long a frame may be to be decoded, in bytes of plain samples. The largest that scanners make
/// (radiography, single-frame slides) stay under 200 MB; 65535 x 65535 x 3 would be 13 GB.
pub const FRAME_BYTES_MAX: u64 = 1 << 30;

/// The same for frames in a code stream: decoders hold up to eight times as much (32-bit planes, and
/// copies of them), and the claim costs a sender nothing.
pub const CODED_FRAME_BYTES_MAX: u64 = 1 << 28;

/// How much the JPEG XL decoder may hold for one frame: it works on 32-bit planes, and on several sets of
/// them where frames refer to each other.
pub const JPEG_XL_BYTES_MAX: usize = 4 << 28;

/// How deep sequences may be nested in a data set that is rewritten: what goes out as DICOM should lose
/// nothing, so only hostile nesting is cut.
pub const REWRITE_DEPTH_MAX: usize = 1024;

/// A value over this is not copied when a data set is rewritten, but streamed from where it lies.
pub const STREAM_BYTES: u64 = 64 * 1024;

/// How many bytes of bulk data one data set may use again: a few bytes of JSON could otherwise name the same
/// large part for ever.
pub const REPEATED_BULK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How many columns or rows a viewport may have: twice as many as the largest screens.
pub const VIEWPORT_MAX: u32 = 8192;

/// How many pixels a picture may have: what the largest viewport has. A picture is held three times, in
/// up to three bytes a pixel.
pub const PICTURE_PIXELS_MAX: u64 = 1 << 26;

/// How long a look-up table may be: 65536 words, and a segmented one is shorter than that.
pub const LUT_BYTES_MAX: usize = 128 * 1024;
