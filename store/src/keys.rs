//! Keys at rest: the site key, pack keys, record keys.
//!
//! The site key file holds two secrets. `wrap` wraps each pack's random data key, so rotation rewraps
//! keys and never touches packs. `name` keys the names under which chunks stand in packs, so that who
//! steals a bucket cannot ask it "do you hold this image?"; it outlives rotations.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use cairn_chunker::id::ChunkId;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::disk::{OsDisk, create_directories};
use crate::error::{Error, Result};
use crate::pack::PackId;

const CONTEXT_WRAP: &str = "cairn 2026-11 v1 pack key wrap";
const CONTEXT_RECORD: &str = "cairn 2026-11 v1 record key";
const CONTEXT_DERIVED: &str = "cairn 2026-11 v1 derived data key";
const CONTEXT_SPOOL: &str = "cairn 2026-11 v1 spool";
const CONTEXT_SPOOL_CHECK: &str = "cairn 2026-11 v1 spool key check";
const CONTEXT_SPOOL_MARK: &str = "cairn 2026-11 v1 spool use";
const CONTEXT_SITE: &str = "cairn 2026-11 v1 site fingerprint";
const CONTEXT_CHECK: &str = "cairn 2026-11 v1 record check";
const KEY_FILE_TAG: &str = "cairn-site-key-v1";

/// Bytes of a GCM nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes of a GCM tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of a wrapped pack key: nonce, key, tag.
pub const WRAPPED_BYTES: usize = NONCE_BYTES + 32 + TAG_BYTES;

/// Bytes of [`SiteKey::spool_check`].
pub(crate) const SPOOL_CHECK_BYTES: usize = 16;
/// Bytes of [`SpoolSeed::mark`].
pub(crate) const SPOOL_MARK_BYTES: usize = 16;

/// The secrets of a site. Never printed, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop, Clone)]
pub struct SiteKey {
    wrap: [u8; 32],
    name: [u8; 32],
}

impl fmt::Debug for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteKey")
    }
}

/// A chunk's name inside packs and the catalog: keyed, so that it tells nothing without the site key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoredId(pub [u8; 32]);

impl fmt::Debug for StoredId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Where systemd tells a service of its credentials (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Can only those read the file who may? `lent`: it is below the credentials of this service.
///
/// systemd 254 and later hands a credential over as root's with mode 0440, and an access list that lets
/// the user of the service read it: the bits of the group then show the list's mask (acl(5)), and not
/// what root's group may. The folder around it is closed to everybody else. That very case is let
/// through and no other: a file of root's with mode 0440 anywhere else is readable by a group.
fn is_private(mode: u32, owner: u32, lent: impl FnOnce() -> bool) -> bool {
    const PERMISSIONS: u32 = 0o7777;
    const ROOT: u32 = 0;
    let of_others = mode & 0o077;
    of_others == 0 || mode & PERMISSIONS == 0o440 && owner == ROOT && lent()
}

/// Does the file really lie in the folder or below it? Links and `..` are followed first.
fn is_below(path: &Path, directory: &Path) -> bool {
    match (path.canonicalize(), directory.canonicalize()) {
        // The root of the file system is no folder of credentials: everything lies below it.
        (Ok(path), Ok(directory)) => directory.parent().is_some() && path.starts_with(directory),
        _ => false,
    }
}

/// Of the system. `aws_lc_rs::rand` gathers jitter of its own first, which takes each command 10 ms and
/// more.
pub(crate) fn random(into: &mut [u8]) -> Result<()> {
    getrandom::fill(into).map_err(|_| Error::Internal("the system has no random bytes"))
}

impl SiteKey {
    /// Draws a new one.
    pub fn generate() -> Result<Self> {
        let mut key = Self { wrap: [0; 32], name: [0; 32] };
        random(&mut key.wrap)?;
        random(&mut key.name)?;
        Ok(key)
    }

    /// Reads the key file. Only its owner may be able to read it, or it is a credential of a systemd
    /// service: below `$CREDENTIALS_DIRECTORY`, as the service manager puts it there.
    pub fn load(path: &Path) -> Result<Self> {
        Self::parse(path, &read_private(path)?)
    }

    #[cfg(test)]
    fn load_with(path: &Path, credentials: Option<&Path>) -> Result<Self> {
        Self::parse(path, &read_private_with(path, credentials)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let line = text.lines().find(|line| !line.starts_with('#') && !line.trim().is_empty());
        let mut words = line.unwrap_or_default().split_whitespace();
        let key = (words.next() == Some(KEY_FILE_TAG)).then(|| {
            let wrap = ChunkId::from_hex(words.next()?)?.0;
            let name = ChunkId::from_hex(words.next()?)?.0;
            Some(Self { wrap, name })
        });
        key.flatten().ok_or_else(|| Error::Key {
            path: path.to_owned(),
            why: "it is not a site key file of this version".to_owned(),
        })
    }

    /// Writes a new key file, readable by the owner alone; never replaces one.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = Zeroizing::new(String::from(
            "# Cairn site key. Without this file nothing in the bucket can ever be read again.\n\
             # Keep a copy in a safe place away from this machine. Show it to nobody.\n",
        ));
        text.push_str(KEY_FILE_TAG);
        for secret in [&self.wrap, &self.name] {
            text.push(' ');
            text.push_str(&hex::encode(secret));
        }
        text.push('\n');
        write_private(path, &text)
    }

    /// The key of what is derived from the archive and kept beside the catalog. Another wrap secret makes
    /// another key: everything under it is then made again.
    #[must_use]
    pub(crate) fn derived_key(&self) -> PackKey {
        PackKey(blake3::derive_key(CONTEXT_DERIVED, &self.wrap))
    }

    /// The key of a segment of the spool in one of its uses. Another wrap secret makes another key: the
    /// spool has to be empty before the site key is rotated, and says by [`Self::spool_check`] if it was
    /// not.
    #[must_use]
    pub(crate) fn spool_key(&self, seed: &SpoolSeed) -> PackKey {
        let mut input = [0; 64];
        input[..32].copy_from_slice(&self.wrap);
        input[32..].copy_from_slice(&seed.0);
        let key = PackKey(blake3::derive_key(CONTEXT_SPOOL, &input));
        input.zeroize();
        key
    }

    /// A public value that tells whether a segment of the spool was written under this key.
    #[must_use]
    pub(crate) fn spool_check(&self) -> [u8; SPOOL_CHECK_BYTES] {
        let mut check = [0; SPOOL_CHECK_BYTES];
        let whole = blake3::derive_key(CONTEXT_SPOOL_CHECK, &self.wrap);
        check.copy_from_slice(&whole[..SPOOL_CHECK_BYTES]);
        check
    }

    /// A public value that tells whether two key files belong to one site.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(&blake3::derive_key(CONTEXT_SITE, &self.name)[..16])
    }

    /// The name of a chunk at rest.
    #[must_use]
    pub fn stored_id(&self, chunk: &ChunkId) -> StoredId {
        StoredId(*blake3::keyed_hash(&self.name, chunk.as_bytes()).as_bytes())
    }

    fn wrapping(&self) -> Result<LessSafeKey> {
        let mut key = blake3::derive_key(CONTEXT_WRAP, &self.wrap);
        let made = gcm(&key);
        key.zeroize();
        made
    }

    /// Wraps a pack's key; bound to the pack, so it opens no other.
    pub fn wrap(&self, pack: PackId, key: &PackKey) -> Result<[u8; WRAPPED_BYTES]> {
        let mut out = [0; WRAPPED_BYTES];
        let (nonce, rest) = out.split_at_mut(NONCE_BYTES);
        random(nonce)?;
        let nonce = nonce_of(nonce)?;
        let (body, tag) = rest.split_at_mut(32);
        body.copy_from_slice(&key.0);
        let made = self
            .wrapping()?
            .seal_in_place_separate_tag(nonce, Aad::from(pack.0), body)
            .map_err(|_| Error::Internal("a pack key cannot be wrapped"))?;
        tag.copy_from_slice(made.as_ref());
        Ok(out)
    }

    /// Opens a wrapped pack key; `None` if it is damaged or wrapped by another site.
    #[must_use]
    pub fn unwrap(&self, pack: PackId, wrapped: &[u8]) -> Option<PackKey> {
        let (nonce, body) = wrapped.split_at_checked(NONCE_BYTES)?;
        let mut body = <[u8; 32 + TAG_BYTES]>::try_from(body).ok()?;
        let key = self.wrapping().ok()?;
        let plain = key.open_in_place(nonce_of(nonce).ok()?, Aad::from(pack.0), &mut body).ok()?;
        let key = <[u8; 32]>::try_from(&*plain).ok().map(PackKey);
        body.zeroize();
        key
    }
}

/// What is random about one use of a segment of the spool. It stands in the segment's head alone: once
/// that is written over, nobody can make the key of that use again, not even with the site key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpoolSeed(pub(crate) [u8; 32]);

impl fmt::Debug for SpoolSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpoolSeed")
    }
}

impl SpoolSeed {
    /// Draws a new one.
    pub(crate) fn generate() -> Result<Self> {
        let mut seed = Self([0; 32]);
        random(&mut seed.0)?;
        Ok(seed)
    }

    /// A public value by which records of this use are told from those of others.
    #[must_use]
    pub(crate) fn mark(&self) -> [u8; SPOOL_MARK_BYTES] {
        let mut mark = [0; SPOOL_MARK_BYTES];
        let whole = blake3::derive_key(CONTEXT_SPOOL_MARK, &self.0);
        mark.copy_from_slice(&whole[..SPOOL_MARK_BYTES]);
        mark
    }
}

/// The random data key of one pack.
#[derive(Zeroize, ZeroizeOnDrop, Clone)]
pub struct PackKey([u8; 32]);

impl fmt::Debug for PackKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PackKey")
    }
}

impl PackKey {
    /// Draws a new one.
    pub fn generate() -> Result<Self> {
        let mut key = Self([0; 32]);
        random(&mut key.0)?;
        Ok(key)
    }

    /// Key of one record: `KDF(pack key, stored id)`. It opens no other, and does not lead back to the
    /// pack's.
    pub(crate) fn record(&self, id: &StoredId) -> RecordKey {
        let mut input = [0; 64];
        input[..32].copy_from_slice(&self.0);
        input[32..].copy_from_slice(&id.0);
        let key = RecordKey(blake3::derive_key(CONTEXT_RECORD, &input));
        input.zeroize();
        key
    }

    /// Encrypts `payload` in place; returns nonce and tag.
    pub fn seal(
        &self,
        id: &StoredId,
        aad: &[u8],
        payload: &mut [u8],
    ) -> Result<([u8; NONCE_BYTES], [u8; TAG_BYTES])> {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        let tag = self
            .record(id)
            .gcm()?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                payload,
            )
            .map_err(|_| Error::Internal("a record cannot be encrypted"))?;
        let tag = tag.as_ref().try_into().map_err(|_| Error::Internal("a tag is short"))?;
        Ok((nonce, tag))
    }

    /// Decrypts `payload_and_tag` in place and returns the payload's length; `None` if a bit is wrong.
    #[must_use]
    pub fn open(
        &self,
        id: &StoredId,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        payload_and_tag: &mut [u8],
    ) -> Option<usize> {
        self.record(id).open(nonce, aad, payload_and_tag)
    }
}

/// The key of one record of a pack: what a site lends to one that reads the record straight from its
/// bucket.
#[derive(Zeroize, ZeroizeOnDrop, Clone, PartialEq, Eq)]
pub struct RecordKey(pub [u8; 32]);

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKey")
    }
}

impl RecordKey {
    fn gcm(&self) -> Result<LessSafeKey> {
        gcm(&self.0)
    }

    /// Decrypts `payload_and_tag` in place and returns the payload's length; `None` if a bit is wrong.
    #[must_use]
    pub fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        payload_and_tag: &mut [u8],
    ) -> Option<usize> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.gcm().ok()?.open_in_place(nonce, Aad::from(aad), payload_and_tag);
        opened.ok().map(|plain| plain.len())
    }
}

/// Detects damage where encryption is off; keeps no secret.
#[must_use]
pub fn check_tag(aad: &[u8], payload: &[u8]) -> [u8; TAG_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT_CHECK);
    hasher.update(&(aad.len() as u64).to_le_bytes()).update(aad).update(payload);
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&hasher.finalize().as_bytes()[..TAG_BYTES]);
    tag
}

fn gcm(key: &[u8; 32]) -> Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| Error::Internal("AES-256-GCM is not to be had"))
}

fn nonce_of(bytes: &[u8]) -> Result<Nonce> {
    Nonce::try_assume_unique_for_key(bytes).map_err(|_| Error::Internal("a nonce is short"))
}

/// Reads a file of secrets. Only its owner may be able to read it, or it is a credential of a systemd
/// service: below `$CREDENTIALS_DIRECTORY`, as the service manager puts it there.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>> {
    let credentials = std::env::var_os(CREDENTIALS_VARIABLE);
    read_private_with(path, credentials.as_deref().map(Path::new))
}

fn read_private_with(path: &Path, credentials: Option<&Path>) -> Result<Zeroizing<String>> {
    let text =
        std::fs::read_to_string(path).map(Zeroizing::new).map_err(Error::io("read", path))?;
    let file = std::fs::metadata(path).map_err(Error::io("read", path))?;
    let lent = || credentials.is_some_and(|directory| is_below(path, directory));
    if is_private(file.mode(), file.uid(), lent) {
        return Ok(text);
    }
    let why = "others can read it; run: chmod 600 on it".to_owned();
    Err(Error::Key { path: path.to_owned(), why })
}

/// Creates a file of secrets with mode 0600, and the folders above it, whole or not at all, and makes
/// it durable. Fails if it is there.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    // A bare file name has no folder before it, and is in one all the same.
    let absolute = std::path::absolute(path).map_err(Error::io("find", path))?;
    let path = absolute.as_path();
    if let Some(parent) = path.parent() {
        create_directories(&OsDisk, parent).map_err(Error::io("create", parent))?;
    }
    write_whole(path, text.as_bytes()).map_err(Error::io("create", path))
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {} // what a crash left of an earlier try
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // Unlike a rename, a link never replaces a key that is there.
    std::fs::hard_link(&unfinished, path)?;
    std::fs::remove_file(&unfinished)?;
    match path.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_credential_of_systemd_is_private_and_nothing_like_it_elsewhere() {
        for (mode, owner, lent, private) in [
            (0o100_600, 1000, false, true),
            (0o100_400, 0, false, true),
            (0o100_440, 0, true, true),
            (0o100_440, 0, false, false),
            (0o100_440, 1000, true, false),
            (0o100_640, 0, true, false),
            (0o100_444, 0, true, false),
            (0o100_460, 0, true, false),
            (0o104_440, 0, true, false),
        ] {
            assert_eq!(is_private(mode, owner, || lent), private, "{mode:o} {owner} {lent}");
        }
    }

    #[test]
    fn only_below_the_folder_of_credentials_a_group_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, other) = (dir.path().join("credentials"), dir.path().join("other.key"));
        let path = folder.join("site.key");
        SiteKey::generate().unwrap().save(&path).unwrap();
        SiteKey::generate().unwrap().save(&other).unwrap();
        for key in [&path, &other] {
            std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o440)).unwrap();
        }
        let is_root = std::fs::metadata(&path).unwrap().uid() == 0;
        assert_eq!(SiteKey::load_with(&path, Some(&folder)).is_ok(), is_root);
        assert!(SiteKey::load_with(&path, None).is_err());
        assert!(SiteKey::load_with(&other, Some(&folder)).is_err());
        assert!(SiteKey::load_with(&path, Some(Path::new("/"))).is_err());
        let dotted = folder.join("../other.key");
        assert!(SiteKey::load_with(&dotted, Some(&folder)).is_err(), "beside it");
        let link = folder.join("link.key");
        symlink(&other, &link).unwrap();
        assert!(SiteKey::load_with(&link, Some(&folder)).is_err(), "a link that leads out of it");
    }

    #[test]
    fn a_key_file_is_private_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/site.key");
        let key = SiteKey::generate().unwrap();
        key.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let loaded = SiteKey::load(&path).unwrap();
        assert_eq!((loaded.wrap, loaded.name), (key.wrap, key.name));
        assert!(SiteKey::generate().unwrap().save(&path).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(SiteKey::load(&path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_wrapped_key_opens_for_its_pack_and_site_only() {
        let site = SiteKey::generate().unwrap();
        let (pack, other) = (PackId::generate().unwrap(), PackId::generate().unwrap());
        let key = PackKey::generate().unwrap();
        let wrapped = site.wrap(pack, &key).unwrap();
        assert_eq!(site.unwrap(pack, &wrapped).unwrap().0, key.0);
        assert!(site.unwrap(other, &wrapped).is_none());
        assert!(SiteKey::generate().unwrap().unwrap(pack, &wrapped).is_none());
        for at in 0..wrapped.len() {
            let mut damaged = wrapped;
            damaged[at] ^= 1;
            assert!(site.unwrap(pack, &damaged).is_none());
        }
        assert!(site.unwrap(pack, &wrapped[..20]).is_none());
    }
}
