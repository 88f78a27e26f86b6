//! Who asks by a command: a user of this machine, as the system says.

use std::os::unix::fs::MetadataExt;

use crate::audit::clean;

/// Where the system keeps the names of its users (passwd(5)). Those that it has from elsewhere are known
/// by their number alone.
const USERS: &str = "/etc/passwd";

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The user's number; `None`: the system does not say.
    pub(crate) uid: Option<u32>,
    /// Their name, or what stands for it.
    pub(crate) name: String,
}

impl Caller {
    /// The user of this number, who is at the other end of a socket (`SO_PEERCRED`, unix(7)).
    pub(super) fn of(uid: Option<u32>) -> Self {
        let users = std::fs::read_to_string(USERS).unwrap_or_default();
        Self { uid, name: named(&users, uid) }
    }

    /// The user of this very process.
    pub(crate) fn here() -> Self {
        Self::of(std::fs::metadata("/proc/self").ok().map(|process| process.uid()))
    }
}

fn named(users: &str, uid: Option<u32>) -> String {
    let Some(uid) = uid else { return "somebody".into() };
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| clean(name))
    });
    found.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("uid {uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_by_their_number() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nodd\ncairn:x:991:991::/var/lib/cairn:\n:x:7:7\n";
        let of = |uid| named(users, uid);
        assert_eq!((of(Some(0)), of(Some(991))), ("root".into(), "cairn".into()));
        assert_eq!((of(Some(7)), of(Some(8))), ("uid 7".into(), "uid 8".into()));
        assert_eq!(of(None), "somebody");
        assert!(Caller::here().uid.is_some());
    }
}
