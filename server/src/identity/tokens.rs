//! Tokens of systems: a scraper of figures, a script, a gateway that has no login provider.
//!
//! A token is `cairn_ID_SECRET`: eight hexadecimal digits by which people tell tokens apart, and 256
//! random bits. It is printed once; the file keeps a hash of it. As the secret cannot be guessed, one
//! fast hash is enough. The file is replaced as a whole, for its owner alone, and read again when it
//! changes: a revoked token is out with the next request. A file that cannot be read lets nobody in.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};

use crate::dicomweb::subject::hex;
use crate::error::{Error, Result};

/// Beginning of every token: scanners for leaked secrets find it by that.
const PREFIX: &str = "cairn_";
/// What is hashed is used for nothing else.
const CONTEXT: &str = "cairn 2026-11-26 service token";
const ID_BYTES: usize = 4;
const SECRET_BYTES: usize = 32;
/// Longest name of a token.
pub(crate) const NAME_BYTES_MAX: usize = 64;
/// Tokens in a file.
const TOKENS_MAX: usize = 1000;
/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// What the file is a version of.
const VERSION: u32 = 1;

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// How people tell it apart.
    pub(crate) id: String,
    /// What it is for.
    pub(crate) name: String,
    /// What its bearer may do.
    pub(crate) roles: Vec<String>,
    /// With which studies; `None`: with all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) studies: Option<Vec<String>>,
    /// When it was made, in seconds since 1970.
    pub(crate) made: u64,
    /// When it ends; `None`: when it is revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) ends: Option<u64>,
    hash: String,
}

/// What a new token is to be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// What it is for.
    pub(crate) name: String,
    /// What its bearer may do.
    pub(crate) roles: Vec<String>,
    /// With which studies.
    pub(crate) studies: Option<Vec<String>>,
    /// When it ends, in seconds since 1970.
    pub(crate) ends: Option<u64>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    tokens: Vec<Token>,
}

/// What tells that the file was replaced.
type Stamp = Option<(u64, u64, Option<SystemTime>)>;

/// See the [module](self).
pub(crate) struct ServiceTokens {
    path: PathBuf,
    known: Mutex<(Stamp, Arc<Vec<Token>>)>,
}

/// Is it one of these tokens, and not one of a login provider?
pub(crate) fn is_ours(token: &str) -> bool {
    token.starts_with(PREFIX)
}

impl ServiceTokens {
    /// Those of the archive in `data`. There need not be any.
    pub(crate) fn of(data: &Path) -> Self {
        Self { path: path(data), known: Mutex::default() }
    }

    /// The token of this text, if there is one; it may have ended.
    pub(crate) fn find(&self, text: &str) -> Option<Token> {
        let id = text.strip_prefix(PREFIX)?.split('_').next()?;
        let tokens = self.now();
        let token = tokens.iter().find(|token| token.id == id)?;
        // Compared in constant time.
        let kept = blake3::Hash::from_hex(&token.hash).ok()?;
        (hash(text) == kept).then(|| token.clone())
    }

    fn now(&self) -> Arc<Vec<Token>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.path);
        if stamp != known.0 {
            let tokens = read(&self.path).unwrap_or_else(|error| {
                tracing::error!(%error, "the service tokens cannot be read; none counts");
                Vec::new()
            });
            *known = (stamp, Arc::new(tokens));
        }
        Arc::clone(&known.1)
    }
}

/// All tokens.
pub(crate) fn all(data: &Path) -> Result<Vec<Token>> {
    read(&path(data))
}

/// Makes a token, and gives its text; nobody can give it again.
pub(crate) fn add(data: &Path, wish: Wish) -> Result<(Token, String)> {
    let random = |_| Error::Usage("there is no randomness");
    let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
    rand::fill(&mut id).and_then(|()| rand::fill(&mut secret)).map_err(random)?;
    let id = hex(&id);
    let text = format!("{PREFIX}{id}_{}", hex(&secret));
    let Wish { name, roles, studies, ends } = wish;
    let hash = hash(&text).to_hex().to_string();
    let token = Token { id, name, roles, studies, made: crate::clock::now(), ends, hash };
    let added = token.clone();
    change(data, move |tokens| {
        if tokens.len() >= TOKENS_MAX {
            return Err(Error::Usage("there are a thousand tokens already; revoke some"));
        }
        if tokens.iter().any(|known| known.name == added.name || known.id == added.id) {
            return Err(Error::Usage("a token of this name is there already"));
        }
        tokens.push(added);
        Ok(())
    })?;
    Ok((token, text))
}

/// Takes a token of this id or name away.
pub(crate) fn revoke(data: &Path, which: &str) -> Result<Token> {
    change(data, |tokens| {
        let found = tokens.iter().position(|token| token.id == which || token.name == which);
        let place = found.ok_or(Error::Usage("there is no token of this id or name"))?;
        Ok(tokens.remove(place))
    })
}

fn path(data: &Path) -> PathBuf {
    data.join("identity").join("tokens.json")
}

fn hash(text: &str) -> blake3::Hash {
    blake3::Hash::from_bytes(blake3::derive_key(CONTEXT, text.as_bytes()))
}

fn stamp(path: &Path) -> Stamp {
    let about = std::fs::metadata(path).ok()?;
    Some((about.ino(), about.len(), about.modified().ok()))
}

fn read(path: &Path) -> Result<Vec<Token>> {
    let bad = |why: &str| Error::Config { place: path.display().to_string(), why: why.into() };
    let length = match std::fs::metadata(path) {
        Ok(about) => about.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("look at", path)(error)),
    };
    if length > FILE_BYTES_MAX {
        return Err(bad("this is too long to be a file of tokens"));
    }
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let contents: Contents =
        serde_json::from_slice(&bytes).map_err(|_| bad("this is no file of tokens"))?;
    if contents.version != VERSION {
        return Err(bad("the file is of another version of this program"));
    }
    Ok(contents.tokens)
}

/// Reads, changes and replaces the file, one command at a time.
fn change<T>(data: &Path, change: impl FnOnce(&mut Vec<Token>) -> Result<T>) -> Result<T> {
    let path = path(data);
    let folder = data.join("identity");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(Error::io("make", &folder))?;
    let lock = folder.join("tokens.lock");
    let held = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
    let held = held.map_err(Error::io("open", &lock))?;
    held.lock().map_err(Error::io("lock", &lock))?;
    let mut tokens = read(&path)?;
    let done = change(&mut tokens)?;
    let contents = Contents { version: VERSION, tokens };
    let mut bytes =
        serde_json::to_vec_pretty(&contents).map_err(|error| Error::Output(error.into()))?;
    bytes.push(b'\n');
    replace(&folder, &path, &bytes).map_err(Error::io("write", &path))?;
    Ok(done)
}

fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Made for its owner alone.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn wish(name: &str) -> Wish {
        Wish { name: name.into(), roles: vec!["reader".into()], ..Wish::default() }
    }

    #[test]
    fn a_token_is_known_until_it_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let known = ServiceTokens::of(folder.path());
        assert!(known.find("cairn_00000000_00").is_none());
        let (token, text) = add(folder.path(), wish("script")).unwrap();
        assert!(is_ours(&text) && text.len() == PREFIX.len() + 9 + 2 * SECRET_BYTES);
        assert_eq!(known.find(&text), Some(token.clone()));
        let file = path(folder.path());
        let kept = std::fs::read_to_string(&file).unwrap();
        assert!(!kept.contains(text.rsplit('_').next().unwrap()));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        for wrong in [&text[..text.len() - 1], &format!("{text}0"), PREFIX, "", &text[6..]] {
            assert!(known.find(wrong).is_none(), "{wrong}");
        }
        assert!(add(folder.path(), wish("script")).is_err());
        add(folder.path(), wish("other")).unwrap();
        assert_eq!(revoke(folder.path(), &token.id).unwrap(), token);
        assert!(known.find(&text).is_none() && revoke(folder.path(), "script").is_err());
        assert_eq!(all(folder.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_damaged_file_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let known = ServiceTokens::of(folder.path());
        let (_, text) = add(folder.path(), wish("script")).unwrap();
        assert!(known.find(&text).is_some());
        std::fs::write(path(folder.path()), b"{").unwrap();
        assert!(known.find(&text).is_none() && add(folder.path(), wish("b")).is_err());
        std::fs::remove_file(path(folder.path())).unwrap();
        assert!(known.find(&text).is_none());
    }
}
