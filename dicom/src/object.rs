//! What is known of an object once all of it was seen: its name, index attributes and frames.

use cairn_chunker::frames::Frames;

use crate::attributes::{Attributes, tags};
use crate::flags::Flags;
use crate::uid;

/// A received object, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Bytes of preamble and File Meta Information: where the data set starts.
    pub envelope_bytes: u64,
    /// The bytes came as a file comes. False only for [`crate::Framing::Dataset`]: an export has to
    /// make an envelope ([`crate::envelope::synthesize`]).
    pub had_envelope: bool,
    /// The transfer syntax that the data set is in: as declared, or as guessed where nothing was
    /// declared ([`Flags::NO_META`], [`Flags::NO_TRANSFER_SYNTAX`]); empty if that failed too.
    pub transfer_syntax: String,
    /// The indexed values of the data set.
    pub attributes: Attributes,
    /// Where the frames are, from the start of the data set.
    pub frames: Frames,
    /// What was odd.
    pub flags: Flags,
    /// (0002,0002), trimmed; empty if missing.
    pub meta_sop_class_uid: String,
    /// (0002,0003), trimmed; empty if missing.
    pub meta_sop_instance_uid: String,
}

/// The names that an object goes by. None is empty but the class, and that only if no one said it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Study Instance UID, or a local handle.
    pub study_uid: String,
    /// Series Instance UID, or a local handle.
    pub series_uid: String,
    /// SOP Instance UID, or a local handle.
    pub sop_instance_uid: String,
    /// SOP Class UID; empty if neither data set nor File Meta Information has one.
    pub sop_class_uid: String,
    /// [`Object::transfer_syntax`].
    pub transfer_syntax_uid: String,
}

impl Object {
    /// The object's names. What the data set says wins over the File Meta Information; what neither
    /// says gets a local handle from the hash of the data set, so that the same bytes always have the
    /// same name. Values are bounded to 64 bytes without control characters, but may be ill-formed:
    /// never a path, never unescaped.
    #[must_use]
    pub fn identity(&self, dataset_hash: &[u8; 32]) -> Identity {
        let local = || uid::handle(dataset_hash);
        let named = |tag| self.said(tag).map_or_else(local, uid::usable);
        let meta_or = |tag, meta: &str| match self.said(tag) {
            Some(said) => uid::usable(said),
            None => uid::usable(meta),
        };
        let mut sop_instance_uid = meta_or(tags::SOP_INSTANCE_UID, &self.meta_sop_instance_uid);
        if sop_instance_uid.is_empty() {
            sop_instance_uid = local();
        }
        Identity {
            study_uid: named(tags::STUDY_INSTANCE_UID),
            series_uid: named(tags::SERIES_INSTANCE_UID),
            sop_instance_uid,
            sop_class_uid: meta_or(tags::SOP_CLASS_UID, &self.meta_sop_class_uid),
            transfer_syntax_uid: uid::usable(&self.transfer_syntax),
        }
    }

    /// A value of the data set, if there is one that is not empty.
    fn said(&self, tag: u32) -> Option<&str> {
        self.attributes.get(tag).filter(|value| !value.is_empty())
    }

    /// What is odd about the names.
    pub(crate) fn identity_flags(&self) -> Flags {
        let mut flags = Flags::empty();
        let pairs = [
            (tags::SOP_INSTANCE_UID, &self.meta_sop_instance_uid),
            (tags::SOP_CLASS_UID, &self.meta_sop_class_uid),
        ];
        for (tag, meta) in pairs {
            if self.said(tag).is_some_and(|said| !meta.is_empty() && said != meta) {
                flags |= Flags::UID_MISMATCH;
            }
            if self.said(tag).is_none() && !meta.is_empty() && !uid::is_valid(meta) {
                flags |= Flags::BAD_UID;
            }
        }
        if self.said(tags::SOP_INSTANCE_UID).is_none() && self.meta_sop_instance_uid.is_empty() {
            flags |= Flags::NO_SOP_UID;
        }
        let uids = [
            (tags::SOP_INSTANCE_UID, Flags::empty()),
            (tags::SOP_CLASS_UID, Flags::empty()),
            (tags::STUDY_INSTANCE_UID, Flags::NO_STUDY_UID),
            (tags::SERIES_INSTANCE_UID, Flags::NO_SERIES_UID),
        ];
        for (tag, missing) in uids {
            match self.said(tag) {
                None => flags |= missing,
                Some(said) if !uid::is_valid(said) => flags |= Flags::BAD_UID,
                Some(_) => {}
            }
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(values: &[(u32, &str)], meta_uid: &str) -> Object {
        let mut object = Object {
            envelope_bytes: 0,
            had_envelope: true,
            transfer_syntax: "1.2.840.10008.1.2".into(),
            attributes: values.iter().map(|(tag, value)| (*tag, (*value).to_owned())).collect(),
            frames: Frames::None,
            flags: Flags::empty(),
            meta_sop_class_uid: String::new(),
            meta_sop_instance_uid: meta_uid.into(),
        };
        object.flags = object.identity_flags();
        object
    }

    #[test]
    fn data_set_wins_over_meta() {
        let both = object(&[(tags::SOP_INSTANCE_UID, "1.2")], "1.3");
        assert_eq!(both.identity(&[0; 32]).sop_instance_uid, "1.2");
        assert!(both.flags.contains(Flags::UID_MISMATCH));
        let meta = object(&[], "1.3");
        assert_eq!(meta.identity(&[0; 32]).sop_instance_uid, "1.3");
        assert!(!meta.flags.contains(Flags::NO_SOP_UID | Flags::UID_MISMATCH));
    }

    #[test]
    fn handles_where_nothing_is_said() {
        let nameless = object(&[], "");
        let identity = nameless.identity(&[1; 32]);
        assert!(identity.sop_instance_uid.starts_with("2.25."));
        assert_eq!(identity.study_uid, identity.sop_instance_uid);
        let missing = Flags::NO_SOP_UID | Flags::NO_SERIES_UID | Flags::NO_STUDY_UID;
        assert!(nameless.flags.contains(missing));
        assert_ne!(identity, nameless.identity(&[2; 32]));
    }

    #[test]
    fn ill_formed_names_are_kept_or_replaced() {
        let long = "1.".repeat(40);
        let odd =
            object(&[(tags::SOP_INSTANCE_UID, "../x"), (tags::STUDY_INSTANCE_UID, &long)], "");
        let identity = odd.identity(&[0; 32]);
        assert_eq!(identity.sop_instance_uid, "../x");
        assert!(identity.study_uid.starts_with("2.25."));
        assert!(odd.flags.contains(Flags::BAD_UID));
    }
}
