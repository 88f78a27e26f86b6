//! A preamble and File Meta Information for a data set that came over the network without one.

use dicom_object::meta::FileMetaTableBuilder;

use crate::object::Identity;

/// Who wrote the envelope (0002,0012): Cairn's own UID, in the arc of UUIDs (PS3.5 B.2).
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.302487016573927428361590425175318649812";
/// (0002,0013).
pub const IMPLEMENTATION_VERSION_NAME: &str = "CAIRN_1";

const PREAMBLE_BYTES: usize = 128;

/// The canonical envelope (PS3.10 §7.1): the same identity gives the same bytes, in every version of
/// Cairn that bears the same version name.
#[must_use]
pub fn synthesize(identity: &Identity) -> Vec<u8> {
    let mut out = vec![0; PREAMBLE_BYTES];
    out.extend_from_slice(b"DICM");
    let start = out.len();
    let meta = FileMetaTableBuilder::new()
        .information_version([0, 1])
        .media_storage_sop_class_uid(ascii(&identity.sop_class_uid))
        .media_storage_sop_instance_uid(ascii(&identity.sop_instance_uid))
        .transfer_syntax(ascii(&identity.transfer_syntax_uid))
        .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
        .implementation_version_name(IMPLEMENTATION_VERSION_NAME)
        .build();
    let written = meta.is_ok_and(|meta| meta.write(&mut out).is_ok());
    if !written {
        // Only text that the default repertoire lacks could fail, and `ascii` left none.
        debug_assert!(false, "an ASCII meta table writes to memory");
        out.truncate(start);
    }
    out
}

/// Ill-formed UIDs are archived too; the default repertoire of group 0002 takes ASCII only.
fn ascii(uid: &str) -> String {
    uid.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use dicom_object::FileMetaTable;

    #[test]
    fn reads_back() {
        let mut identity = Identity {
            study_uid: "1.2".into(),
            series_uid: "1.2.3".into(),
            sop_instance_uid: "1.2.3.4".into(),
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
            transfer_syntax_uid: "1.2.840.10008.1.2.1".into(),
        };
        let bytes = synthesize(&identity);
        assert_eq!(bytes, synthesize(&identity));
        let meta = FileMetaTable::from_reader(&bytes[128..]).unwrap();
        assert_eq!(meta.transfer_syntax(), "1.2.840.10008.1.2.1");
        assert_eq!(meta.media_storage_sop_instance_uid(), "1.2.3.4");
        assert_eq!(meta.implementation_class_uid(), IMPLEMENTATION_CLASS_UID);
        assert_eq!(meta.implementation_version_name(), Some(IMPLEMENTATION_VERSION_NAME));
        // Group length counts everything after its own 12 bytes.
        assert_eq!(meta.information_group_length as usize, bytes.len() - 132 - 12);
        identity.sop_instance_uid = "日本\n".into();
        assert!(synthesize(&identity).len() > 132);
    }
}
