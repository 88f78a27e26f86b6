//! File names for instances, whatever their UIDs hold.
//!
//! A UID comes from outside and may be `../../etc/passwd`. A name made here is one component, of
//! `[0-9A-Za-z.%_-]`, never hidden, never special, never over 255 bytes, and unique in its study.

use std::collections::HashSet;
use std::fmt::Write as _;

use cairn_chunker::id::ChunkId;
use cairn_store::catalog::VersionRow;

/// Longest part of a name that stands for a UID: two of them and an ending fit into 255 bytes.
const PART_BYTES_MAX: usize = 100;

/// A UID as part of a file name: as it is where it is well formed, percent-encoded where not.
pub(crate) fn safe(uid: &str) -> String {
    let mut out = String::with_capacity(uid.len());
    for (i, byte) in uid.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || byte == b'-' || (byte == b'.' && i > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    if out.is_empty() {
        return "%".into();
    }
    if out.len() > PART_BYTES_MAX {
        // Only ill-formed UIDs get here. The hash keeps the name unique.
        let hash = ChunkId::of(uid.as_bytes()).to_string();
        return format!("%{}", &hash[..32]);
    }
    out
}

/// Gives names to the instances of one study, in the order in which they come.
#[derive(Default)]
pub(crate) struct Names {
    used: HashSet<String>,
}

impl Names {
    /// The folder of a study.
    pub(crate) fn folder(&mut self, study_uid: &str) -> String {
        let mut name = safe(study_uid);
        if !self.used.insert(fold(&name)) {
            // Two UIDs that differ in case only.
            name = format!("{name}_{}", &ChunkId::of(study_uid.as_bytes()).to_string()[..16]);
            self.used.insert(fold(&name));
        }
        name
    }

    /// `<SOP>.dcm` for what is shown, `<SOP>.v<seq>.dcm` for other versions; with the series in
    /// front where that name is taken.
    pub(crate) fn name(&mut self, version: &VersionRow) -> String {
        let sop = safe(&version.sop_instance_uid);
        let ending =
            if version.visible { ".dcm".to_owned() } else { format!(".v{}.dcm", version.seq) };
        let series = safe(&version.series_uid);
        let candidates = [
            format!("{sop}{ending}"),
            format!("{series}_{sop}{ending}"),
            // Only UIDs that end like a version (`1.2.v7`) get here.
            format!("{series}_{sop}_{}{ending}", version.seq),
        ];
        let free = candidates.iter().find(|name| !self.used.contains(&fold(name)));
        let name = free.unwrap_or(&candidates[2]).clone();
        self.used.insert(fold(&name));
        name
    }
}

/// Names that differ in case only are one on some file systems.
fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn uids_become_names() {
        for (uid, name) in [
            ("1.2.840", "1.2.840"),
            ("..", "%2E."),
            (".", "%2E"),
            ("", "%"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
            ("1.2 3", "1.2%203"),
            ("a\\b:c", "a%5Cb%3Ac"),
            ("%2E", "%252E"),
            ("1.2é", "1.2%C3%A9"),
        ] {
            assert_eq!(safe(uid), name);
        }
        assert_eq!(safe(&"/".repeat(64)).len(), 33);
        assert_ne!(safe(&"/".repeat(64)), safe(&"/".repeat(63)));
    }

    proptest! {
        #[test]
        fn no_uid_escapes(uid in "\\PC{0,64}") {
            let name = safe(&uid);
            prop_assert!(!name.is_empty() && name.len() <= PART_BYTES_MAX);
            prop_assert!(!name.starts_with('.'));
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"%.-".contains(&b)));
        }

        #[test]
        fn different_uids_have_different_names(a in "\\PC{1,40}", b in "\\PC{1,40}") {
            prop_assume!(a != b);
            prop_assert_ne!(safe(&a), safe(&b));
        }
    }
}
