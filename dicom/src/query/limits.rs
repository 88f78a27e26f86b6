//! Bounds on what one query may ask, with their reasons.

/// Characters of one wild card pattern besides `*`: a state machine of one 128-bit word. The longest
/// attributes that people search by have 64 characters.
pub const WILDCARD_CHARS_MAX: u32 = 127;

/// Attributes matched in one query. Viewers use some ten; each costs a comparison a row.
pub const KEYS_MAX: usize = 64;

/// Attributes asked for by `includefield`. Viewers use some thirty.
pub const FIELDS_MAX: usize = 1024;

/// Values of one key: a viewer opens some ten studies by UID; a script may ask for more.
pub const VALUES_MAX: usize = 1000;

/// Tags in a path. Real ones have two or three; matching recurses so deep and no deeper.
pub const PATH_TAGS_MAX: usize = 8;

/// Bytes of one value, before it is taken apart: [`VALUES_MAX`] UIDs.
pub const VALUE_BYTES_MAX: usize = 65 * VALUES_MAX;
