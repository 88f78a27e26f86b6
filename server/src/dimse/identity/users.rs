//! Users in a file: `name:hash`, where the hash is Argon2 of the passcode as a PHC string; or a `name`
//! alone, which needs no passcode and proves nothing.
//!
//! Argon2 takes memory and time on purpose. Only one passcode is checked at a time, so a flood of
//! wrong ones holds up others that are new, and nothing else: a passcode that was right once is known
//! again by a keyed hash that lives in memory only, since modalities may open an association for each
//! image.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use argon2::password_hash::Error as HashError;
use argon2::{Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier};
use aws_lc_rs::rand;
use thiserror::Error;

use super::{NAME_BYTES_MAX, Refused};
use crate::reread::{Unusable, read};

const SETTING: &str = "dimse.identity_users";
/// Memory that checking one passcode may take, in KiB.
const HASH_KIB_MAX: u32 = 256 << 10;
/// Bytes of a salt (RFC 9106 §3.1).
const SALT_BYTES: usize = 16;
/// Longest passcode that is hashed, in bytes: what one field of the protocol can hold.
const PASSCODE_BYTES_MAX: usize = u16::MAX as usize;

/// See the [module](self).
pub(super) struct Users {
    hashes: HashMap<String, Option<PasswordHash>>,
    /// Of [`Users::known`].
    key: [u8; blake3::KEY_LEN],
    /// Passcodes that were right, by user.
    known: Mutex<HashMap<String, blake3::Hash>>,
    /// Held while a passcode is checked.
    checking: Mutex<()>,
}

/// Why there is no line for the file of users.
#[derive(Debug, Error)]
pub(crate) enum NotHashed {
    /// The name would not be found again.
    #[error(
        "a user name has 1 to {NAME_BYTES_MAX} bytes, no colon, no space around it, no # in front"
    )]
    Name,
    /// It could not be sent.
    #[error("a passcode has 1 to {PASSCODE_BYTES_MAX} bytes")]
    Passcode,
    /// There is no randomness, or no memory.
    #[error("the passcode cannot be hashed: {0}")]
    Failed(String),
}

/// The line for a user with this passcode.
pub(crate) fn line(name: &str, passcode: &[u8]) -> Result<String, NotHashed> {
    if !is_name(name) {
        return Err(NotHashed::Name);
    }
    if !(1..=PASSCODE_BYTES_MAX).contains(&passcode.len()) {
        return Err(NotHashed::Passcode);
    }
    let mut salt = [0; SALT_BYTES];
    rand::fill(&mut salt).map_err(|error| NotHashed::Failed(error.to_string()))?;
    let hash = Argon2::default()
        .hash_password_with_salt(passcode, &salt)
        .map_err(|error| NotHashed::Failed(error.to_string()))?;
    Ok(format!("{name}:{hash}"))
}

impl Users {
    pub(super) fn read(path: &Path) -> Result<Self, Unusable> {
        let bytes = read(SETTING, path)?;
        let fault = |line: usize, why: &str| {
            // Never the line itself: it may hold a passcode in the wrong place.
            Unusable::new(SETTING, format!("{}, line {}: {why}", path.display(), line + 1))
        };
        let text = String::from_utf8(bytes).map_err(|_| fault(0, "the file is not UTF-8"))?;
        let mut hashes = HashMap::new();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = match line.split_once(':') {
                None => (line, None),
                Some((name, hash)) => (name, Some(parse(hash).map_err(|why| fault(n, why))?)),
            };
            if !is_name(name) {
                return Err(fault(n, "this is no user name"));
            }
            if hashes.insert(name.to_owned(), hash).is_some() {
                return Err(fault(n, "this user stands there twice"));
            }
        }
        let mut key = [0; blake3::KEY_LEN];
        rand::fill(&mut key).map_err(|_| Unusable::new(SETTING, "there is no randomness"))?;
        Ok(Self { hashes, key, known: Mutex::default(), checking: Mutex::default() })
    }

    /// A user that needs no passcode.
    pub(super) fn name(&self, name: &str) -> Result<String, Refused> {
        match self.hashes.get(name) {
            Some(None) => Ok(name.to_owned()),
            _ => Err(Refused::Wrong),
        }
    }

    /// A user with a passcode.
    pub(super) fn passcode(&self, name: &str, passcode: &[u8]) -> Result<String, Refused> {
        let Some(Some(hash)) = self.hashes.get(name) else {
            // As much work as for a name that is there: the time shall not tell who is a user.
            if let Some(hash) = self.hashes.values().flatten().next() {
                let _ = self.verify(passcode, hash);
            }
            return Err(Refused::Wrong);
        };
        let tag = blake3::keyed_hash(&self.key, passcode);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Compared in constant time.
        if known().get(name) == Some(&tag) {
            return Ok(name.to_owned());
        }
        self.verify(passcode, hash).map_err(|_| Refused::Wrong)?;
        known().insert(name.to_owned(), tag);
        Ok(name.to_owned())
    }

    fn verify(&self, passcode: &[u8], hash: &PasswordHash) -> Result<(), HashError> {
        let _one_at_a_time = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        Argon2::default().verify_password(passcode, hash)
    }
}

fn parse(hash: &str) -> Result<PasswordHash, &'static str> {
    let hash = PasswordHash::new(hash).map_err(|_| "what follows the colon is no Argon2 hash")?;
    let params = Params::try_from(&hash).map_err(|_| "this hash is not one of Argon2")?;
    if !hash.algorithm.as_str().starts_with("argon2") || hash.hash.is_none() || hash.salt.is_none()
    {
        return Err("this hash is not one of Argon2");
    }
    if params.m_cost() > HASH_KIB_MAX {
        return Err("this hash takes more than 256 MiB to check");
    }
    Ok(hash)
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.trim() == name
        && !name.starts_with('#')
        && !name.contains([':', '\n', '\r'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn users(text: &str) -> Result<Users, Unusable> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Users::read(file.path())
    }

    #[test]
    fn behaviour_36_a_passcode_is_right_or_wrong() {
        let text = format!("# users\n\n{}\nct1\n", line("alice", b"open sesame").unwrap());
        let users = users(&text).unwrap();
        // Twice: the second time it is known.
        for _ in 0..2 {
            assert_eq!(users.passcode("alice", b"open sesame"), Ok("alice".into()));
            assert_eq!(users.passcode("alice", b"open sesam"), Err(Refused::Wrong));
        }
        assert_eq!(users.passcode("alice", b""), Err(Refused::Wrong));
        assert_eq!(users.passcode("bob", b"open sesame"), Err(Refused::Wrong));
        // A name alone is enough for those who have no passcode, and for nobody else.
        assert_eq!(users.name("ct1"), Ok("ct1".into()));
        assert_eq!(users.name("alice"), Err(Refused::Wrong));
        assert_eq!(users.passcode("ct1", b""), Err(Refused::Wrong));
        assert_eq!(users.name("nobody"), Err(Refused::Wrong));
    }

    #[test]
    fn hashes_of_other_tools_are_read_and_bad_lines_are_named_without_their_text() {
        // From the reference implementation's command line tool (RFC 9106).
        let other = "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$\
            wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA";
        let found = users(&format!("u:{other}")).unwrap();
        assert_eq!(found.passcode("u", b"password"), Ok("u".into()));
        for (bad, line) in [
            ("a:secret", 1),
            ("# x\na:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ", 2),
            ("a:$scrypt$ln=1,r=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0", 1),
            ("a\na", 2),
            (":x", 1),
        ] {
            let why = users(bad).err().unwrap().to_string();
            assert!(why.contains(&format!("line {line}:")) && !why.contains("secret"), "{why}");
        }
        let hungry = other.replace("m=65536", "m=4194304");
        assert!(users(&format!("u:{hungry}")).err().unwrap().to_string().contains("256 MiB"));
    }
}
