//! Every path, object name, magic number and version in one place.

use std::path::{Path, PathBuf};

use crate::pack::PackId;

/// Version of everything in the bucket.
pub const FORMAT_VERSION: u16 = 1;

/// First bytes of a pack.
pub(crate) const PACK_MAGIC: [u8; 8] = *b"CAIRNPAK";
/// First bytes of a record.
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"CREC";
/// First bytes of the trailer, which ends a sealed pack.
pub(crate) const TRAILER_MAGIC: [u8; 8] = *b"CAIRNEND";

/// First bytes of a segment of the spool.
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"CAIRNSPL";
/// Version of a segment of the spool. 1, in which segments were not used again, was never released.
pub(crate) const SEGMENT_VERSION: u16 = 2;
/// First bytes of a record in the spool.
pub(crate) const SPOOLED_MAGIC: [u8; 4] = *b"CSPL";

/// Object that marks a bucket as Cairn's and says whose.
pub(crate) const MARKER_OBJECT: &str = "cairn.json";
/// Prefix of packs in the bucket.
pub(crate) const PACKS_PREFIX: &str = "packs";

/// Object name of a sealed pack.
pub(crate) fn pack_object(pack: PackId) -> String {
    let id = pack.to_string();
    format!("{PACKS_PREFIX}/{}/{id}.pack", &id[..2])
}

/// Object name of a pack's wrapped data key. Deleting it shreds the pack.
pub(crate) fn key_object(pack: PackId) -> String {
    let id = pack.to_string();
    format!("keys/{}/{id}.key", &id[..2])
}

/// Paths under the data directory.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The data directory.
    pub data: PathBuf,
}

impl Layout {
    /// Held by the one process that may write.
    pub(crate) fn lock(&self) -> PathBuf {
        self.data.join("lock")
    }

    /// The embedded catalog.
    #[must_use]
    pub fn catalog(&self) -> PathBuf {
        self.data.join("catalog.sqlite")
    }

    /// A catalog being rebuilt.
    pub(crate) fn rebuilt_catalog(&self) -> PathBuf {
        self.data.join("catalog.sqlite.rebuilding")
    }

    /// Packs that are open, or wait for the bucket.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.data.join("journal")
    }

    /// A pack in the journal.
    pub(crate) fn journal_pack(&self, pack: PackId) -> PathBuf {
        self.journal().join(format!("{pack}.pack"))
    }

    /// The wrapped data key of a pack in the journal.
    pub(crate) fn journal_key(&self, pack: PackId) -> PathBuf {
        self.journal().join(format!("{pack}.key"))
    }

    /// Objects that were received and are not in the archive yet.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.data.join("spool")
    }

    /// A segment of the spool.
    pub(crate) fn spool_segment(&self, no: u64) -> PathBuf {
        self.spool().join(format!("{no}.spool"))
    }

    /// A segment of the spool that is done with and waits to be used again.
    pub(crate) fn spool_spare(&self, no: u64) -> PathBuf {
        self.spool().join(format!("{no}.spare"))
    }

    /// Metadata of series, which can be made again.
    pub(crate) fn metadata(&self) -> PathBuf {
        self.data.join("metadata")
    }

    /// The default bucket.
    pub(crate) fn default_bucket(&self) -> PathBuf {
        self.data.join("bucket")
    }

    /// The default site key file.
    #[must_use]
    pub fn default_key(&self) -> PathBuf {
        self.data.join("keys").join("site.key")
    }
}

/// The pack that a file or object name stands for.
pub(crate) fn pack_of(name: &Path) -> Option<PackId> {
    if name.extension()? != "pack" {
        return None;
    }
    PackId::parse(name.file_stem()?.to_str()?)
}

/// What a file of the spool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SpoolFile {
    /// Something may be in it that is in no pack yet.
    Segment,
    /// Something in it cannot be read: it was set aside.
    Aside,
    /// Nothing in it is needed: it is to be written over.
    Spare,
}

/// The number of a file of the spool, and what it is.
pub(crate) fn segment_of(name: &Path) -> Option<(u64, SpoolFile)> {
    let name = name.file_name()?.to_str()?;
    let (no, kind) = name.split_once('.')?;
    let kind = match kind {
        "spool" => SpoolFile::Segment,
        "spool.aside" => SpoolFile::Aside,
        "spare" => SpoolFile::Spare,
        _ => return None,
    };
    Some((no.parse().ok()?, kind))
}
