//! What became of every instance of a request, in little memory: a request may hold a million.

use std::collections::{BTreeSet, HashMap};

use cairn_store::Error;
use cairn_store::ingest::Receipt;
use hyper::StatusCode;

use super::codes;
use crate::dicomweb::multipart::Fault;
use crate::http::Problem;
use crate::http::body::Broken;
use crate::metrics::OUTCOMES;

/// What a part calls itself; empty where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) class: Box<str>,
    pub(super) instance: Box<str>,
}

impl From<(String, String)> for Names {
    fn from((class, instance): (String, String)) -> Self {
        Self { class: class.into(), instance: instance.into() }
    }
}

/// An instance that is stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) class: u32,
    pub(super) instance: Box<str>,
    /// Place in [`Results::series`].
    pub(super) series: u32,
    pub(super) warning: Option<u16>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Results {
    /// Study and Series Instance UID, each pair once.
    pub(super) series: Vec<(Box<str>, Box<str>)>,
    series_places: HashMap<(Box<str>, Box<str>), u32>,
    /// SOP Class UIDs, each once.
    pub(super) classes: Vec<Box<str>>,
    pub(super) stored: Vec<Stored>,
    /// Refused, with a name.
    pub(super) failed: Vec<(Names, u16)>,
    /// Refused, without a name.
    pub(super) nameless: Vec<u16>,
    outcomes: [u64; 5],
    broken: Option<Problem>,
    /// A failure of the archive itself.
    out_of_resources: bool,
}

/// The status of a reply with results (PS3.18 table 10.5.3-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// All stored, nothing to say.
    Stored,
    /// Some stored, or all with warnings.
    Accepted,
    /// None stored.
    Conflict,
    /// None stored, and the archive is why.
    Busy,
}

impl Status {
    pub(super) fn code(self) -> StatusCode {
        match self {
            Self::Stored => StatusCode::OK,
            Self::Accepted => StatusCode::ACCEPTED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The place of what was refused in [`OUTCOMES`].
const REFUSED: usize = 4;

impl Results {
    /// The studies that something was stored into, each once.
    pub(super) fn studies(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.series.iter().map(|(study, _)| &**study).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// The store answered.
    pub(super) fn answered(&mut self, names: Names, answer: Result<Receipt, Error>) {
        match answer {
            Ok(receipt) => self.took(names, &receipt),
            Err(error) => {
                let reason = codes::failure(&error);
                if reason == codes::OUT_OF_RESOURCES || reason == codes::PROCESSING_FAILURE {
                    tracing::warn!(%error, "an instance could not be stored");
                }
                self.refused(names, reason);
            }
        }
    }

    fn took(&mut self, names: Names, receipt: &Receipt) {
        self.outcomes[receipt.outcome as usize] += 1;
        let pair = (Box::from(&*receipt.study_uid), Box::from(&*receipt.series_uid));
        let next = self.series.len() as u32;
        let series = *self.series_places.entry(pair.clone()).or_insert(next);
        if series == next {
            self.series.push(pair);
        }
        // A request has one class, or a few.
        let class = self.classes.iter().rposition(|class| *class == names.class);
        let class = class.unwrap_or_else(|| {
            self.classes.push(names.class);
            self.classes.len() - 1
        });
        self.stored.push(Stored {
            class: class as u32,
            instance: Box::from(&*receipt.sop_instance_uid),
            series,
            warning: codes::warning(receipt),
        });
    }

    /// A part was not taken.
    pub(super) fn refused(&mut self, names: Names, reason: u16) {
        self.outcomes[REFUSED] += 1;
        self.out_of_resources |= reason == codes::OUT_OF_RESOURCES;
        if names.instance.is_empty() {
            self.nameless.push(reason);
        } else {
            self.failed.push((names, reason));
        }
    }

    /// The body could not be read to its end. What came before it counts; the rest is a failure
    /// without a name.
    pub(super) fn body_broke(&mut self, broken: Option<Broken>, fault: &Fault) {
        self.nameless.push(codes::CANNOT_UNDERSTAND);
        self.outcomes[REFUSED] += 1;
        self.broken = Some(match (broken, fault) {
            (Some(broken), _) => broken.into(),
            (None, Fault::TooLong) => Problem::too_large(),
            (None, fault) => Problem::bad(fault.to_string()),
        });
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.stored.len() + self.failed.len() + self.nameless.len()
    }

    /// How often each outcome was.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.into_iter().zip(self.outcomes)
    }

    /// The status of the reply, or what is said instead of results.
    pub(super) fn status(&self) -> (Status, Option<Problem>) {
        let nothing = self.stored.is_empty();
        if nothing && self.broken.is_some() {
            return (Status::Conflict, self.broken.clone());
        }
        if nothing && self.failed.is_empty() && self.nameless.is_empty() {
            return (Status::Conflict, Some(Problem::bad("there is no instance in the body")));
        }
        let failures = !self.failed.is_empty() || !self.nameless.is_empty();
        let warnings = self.stored.iter().any(|stored| stored.warning.is_some());
        let status = match (nothing, failures || warnings) {
            (true, _) if self.out_of_resources => Status::Busy,
            (true, _) => Status::Conflict,
            (false, true) => Status::Accepted,
            (false, false) => Status::Stored,
        };
        (status, None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cairn_dicom::flags::Flags;
    use cairn_store::commit::Outcome;

    use super::*;

    fn receipt(outcome: Outcome, visible: bool) -> Receipt {
        Receipt {
            study_uid: "1.2".into(),
            series_uid: "1.3".into(),
            sop_instance_uid: "1.4".into(),
            outcome,
            visible,
            flags: Flags::empty(),
            dataset_bytes: 1,
        }
    }

    fn status(answers: Vec<Result<Receipt, Error>>) -> Status {
        let mut results = Results::default();
        for answer in answers {
            results.answered(Names::from(("1.1".to_owned(), "1.4".to_owned())), answer);
        }
        results.status().0
    }

    fn full() -> Error {
        let source = std::io::Error::from_raw_os_error(28);
        Error::Io { action: "write", path: "p".into(), source }
    }

    #[test]
    fn behaviour_25_table_10_5_3_1() {
        let good = || Ok(receipt(Outcome::New, true));
        let same = || Ok(receipt(Outcome::Duplicate, true));
        let bad = || Err(Error::Duplicate);
        assert_eq!(status(vec![good(), same()]), Status::Stored);
        assert_eq!(status(vec![good(), bad()]), Status::Accepted);
        assert_eq!(status(vec![Ok(receipt(Outcome::Correction, true))]), Status::Accepted);
        assert_eq!(status(vec![Ok(receipt(Outcome::Conflict, false))]), Status::Accepted);
        assert_eq!(status(vec![bad(), bad()]), Status::Conflict);
        assert_eq!(status(vec![Err(full())]), Status::Busy);
        assert_eq!(status(vec![good(), Err(full())]), Status::Accepted);
        let nothing = Results::default().status();
        assert_eq!(nothing.1.unwrap().status, StatusCode::BAD_REQUEST);
        let mut broken = Results::default();
        broken.body_broke(Some(Broken::TooLarge), &Fault::Malformed("x"));
        assert_eq!(broken.status().1.unwrap().status, StatusCode::PAYLOAD_TOO_LARGE);
        broken.answered(Names::default(), good());
        assert_eq!(broken.status().0, Status::Accepted);
    }

    #[test]
    fn reasons_are_those_of_annex_i() {
        use cairn_store::ingest::Inadmissible;
        assert_eq!(codes::failure(&full()), 0xA700);
        assert_eq!(codes::failure(&Inadmissible::OtherStudy.into()), 0xA900);
        assert_eq!(codes::failure(&Error::NotDicom(cairn_dicom::probe::NotDicom::Empty)), 0xC000);
        assert_eq!(codes::failure(&Error::Internal("x")), 0x0110);
        assert_eq!(codes::warning(&receipt(Outcome::Correction, true)), Some(0xB000));
        assert_eq!(codes::warning(&receipt(Outcome::Conflict, false)), Some(0xB006));
        assert_eq!(codes::warning(&receipt(Outcome::Duplicate, true)), None);
    }
}
