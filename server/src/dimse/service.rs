//! What a peer wants with an abstract syntax.

/// Verification (PS3.4 annex A).
pub(super) const VERIFICATION: &str = "1.2.840.10008.1.1";
/// Storage Commitment Push Model (PS3.4 annex J).
pub(super) const STORAGE_COMMITMENT: &str = "1.2.840.10008.1.20.1";

/// The root of everything that the standard names.
const STANDARD_ROOT: &str = "1.2.840.10008.";
/// Storage SOP Classes (PS3.4 annex B.5).
const STORAGE_ROOT: &str = "1.2.840.10008.5.1.4.1.1.";
/// Storage SOP Classes that stand elsewhere (PS3.4 annexes B.5 and GG.3; the last two retired).
const STORAGE_ELSEWHERE: &[&str] = &[
    "1.2.840.10008.5.1.4.34.1",
    "1.2.840.10008.5.1.4.34.7",
    "1.2.840.10008.5.1.4.34.10",
    "1.2.840.10008.5.1.4.38.1",
    "1.2.840.10008.5.1.4.39.1",
    "1.2.840.10008.5.1.4.43.1",
    "1.2.840.10008.5.1.4.44.1",
    "1.2.840.10008.5.1.4.45.1",
    "1.2.840.10008.5.1.1.27",
    "1.2.840.10008.5.1.1.29",
];
/// Query/Retrieve (PS3.4 annex C.6): `.<model>.<service>`.
const QUERY_RETRIEVE_ROOT: &str = "1.2.840.10008.5.1.4.1.2.";

/// The information model of a query (PS3.4 §C.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    /// Patient, study, series, image.
    Patient,
    /// Study, series, image.
    Study,
    /// Patient and study; retired.
    PatientStudy,
}

/// What is done under a presentation context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Echo,
    Store,
    Find(Model),
    Move(Model),
    Get(Model),
    Commitment,
}

impl Service {
    /// What an abstract syntax stands for. A class that the standard does not know is taken for one
    /// of storage: private ones are (PS3.2 has them in conformance statements), and those of editions
    /// to come nearly always.
    pub(super) fn of(uid: &str) -> Option<Self> {
        match uid {
            VERIFICATION => return Some(Self::Echo),
            STORAGE_COMMITMENT => return Some(Self::Commitment),
            _ => {}
        }
        if let Some(rest) = uid.strip_prefix(QUERY_RETRIEVE_ROOT) {
            let (model, service) = rest.split_once('.')?;
            let model = match model {
                "1" => Model::Patient,
                "2" => Model::Study,
                "3" => Model::PatientStudy,
                _ => return None,
            };
            return match service {
                "1" => Some(Self::Find(model)),
                "2" => Some(Self::Move(model)),
                "3" => Some(Self::Get(model)),
                _ => None,
            };
        }
        let is_storage = uid.starts_with(STORAGE_ROOT)
            || STORAGE_ELSEWHERE.contains(&uid)
            || !uid.starts_with(STANDARD_ROOT);
        (is_storage && is_uid(uid)).then_some(Self::Store)
    }
}

/// Could it be a UID at all? Leading zeros and the like are let pass: it is only compared.
pub(super) fn is_uid(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviour_28_unknown_and_private_classes_are_storage() {
        for uid in [
            "1.2.840.10008.5.1.4.1.1.2",
            "1.2.840.10008.5.1.4.1.1.999.1",
            "1.2.840.10008.5.1.4.45.1",
            "1.3.46.670589.5.0.1",
            "1.2.840.113619.4.26",
            "2.25.329800735698586629295641978511506172918",
        ] {
            assert_eq!(Service::of(uid), Some(Service::Store), "{uid}");
        }
        for uid in [
            "1.2.840.10008.5.1.4.31",
            "1.2.840.10008.3.1.2.3.3",
            "1.2.840.10008.5.1.1.9",
            "1.2.840.10008.5.1.4.1.2.4.1",
            "",
            "../etc",
        ] {
            assert_eq!(Service::of(uid), None, "{uid}");
        }
        assert_eq!(Service::of("1.2.840.10008.5.1.4.1.2.2.3"), Some(Service::Get(Model::Study)));
    }
}
