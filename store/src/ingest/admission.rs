//! On what terms an object is taken in, and who sent it.

use cairn_dicom::flags::Flags;
use cairn_dicom::object::{Identity, Object};

/// What has to be true of an object for it to be taken in. By default nothing: an archive keeps what it
/// is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// It has to belong to this study.
    pub study_uid: Option<String>,
    /// It has to say its study, series and SOP Instance UID itself.
    pub uids_required: bool,
    /// It has to be of this class.
    pub sop_class_uid: Option<String>,
    /// It has to be this instance.
    pub sop_instance_uid: Option<String>,
    /// Who sent it; noted with its commit.
    pub sender: Option<Sender>,
}

/// Sending Application Entity Title (PS3.10 §7.1): where a commit says who sent an instance. Tags of
/// group 0002 are of no level, so no search and no metadata show them.
pub(crate) const SENDING_AE: u32 = 0x0002_0017;
/// Receiving Application Entity Title.
pub(crate) const RECEIVING_AE: u32 = 0x0002_0018;

/// The two ends of an association.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// AE title of who sends.
    pub calling: String,
    /// AE title under which this archive was called.
    pub called: String,
}

impl Sender {
    /// Notes who sent an object, if that is known.
    pub(super) fn stamp(sender: Option<&Self>, object: &mut Object) {
        if let Some(Self { calling, called }) = sender {
            object.attributes.set(SENDING_AE, calling.clone());
            object.attributes.set(RECEIVING_AE, called.clone());
        }
    }
}

/// What is amiss with an object that was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Inadmissible {
    /// It belongs to another study.
    #[error("the object belongs to another study")]
    OtherStudy,
    /// It is another instance, or of another class, than was said.
    #[error("the object is another instance, or of another class, than was said")]
    OtherInstance,
    /// A study, series or SOP Instance UID is missing.
    #[error("a study, series or SOP Instance UID is missing")]
    MissingUid,
}

impl Admission {
    pub(super) fn check(
        &self,
        object: &Object,
        identity: &Identity,
    ) -> std::result::Result<(), Inadmissible> {
        let missing = Flags::NO_STUDY_UID | Flags::NO_SERIES_UID | Flags::NO_SOP_UID;
        if self.uids_required && object.flags.bits() & missing.bits() != 0 {
            return Err(Inadmissible::MissingUid);
        }
        let is_other = |said: &Option<String>, found: &str| {
            said.as_deref().is_some_and(|said| cairn_dicom::uid::usable(said) != found)
        };
        if self.study_uid.as_deref().is_some_and(|uid| uid != identity.study_uid) {
            return Err(Inadmissible::OtherStudy);
        }
        if is_other(&self.sop_class_uid, &identity.sop_class_uid)
            || is_other(&self.sop_instance_uid, &identity.sop_instance_uid)
        {
            return Err(Inadmissible::OtherInstance);
        }
        Ok(())
    }
}
