//! Rules: what is forwarded to whom, and when.

use std::time::Duration;

use cairn_dicom::query::wildcard::Wildcard;
use cairn_store::catalog::outbox::{Arrival, Subject};
use cairn_store::commit::Source;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// Its name: what it has forwarded is remembered under it.
    pub(crate) name: String,
    /// What it is about.
    pub(crate) when: When,
    /// AE titles of whom it sends to.
    pub(crate) to: Vec<String>,
    /// Other sites that may read the study from then on.
    pub(crate) referral: Option<Referral>,
    /// Nothing is sent before the study has been quiet for so long.
    pub(crate) quiet: Duration,
    /// Higher goes first.
    pub(crate) priority: i64,
    /// How often an object is tried that is refused.
    pub(crate) tries: u32,
    /// The pause after the first refusal; it doubles with each.
    pub(crate) retry: Duration,
    /// Not the study itself is sent, but earlier ones of its patient.
    pub(crate) priors: Option<Priors>,
}

/// To which sites a study is granted because of a rule, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Referral {
    /// Names of sites, or beginnings of their ids.
    pub(crate) to: Vec<String>,
    /// HL7 v3 code.
    pub(crate) purpose: String,
    /// For how long, in seconds.
    pub(crate) seconds: u64,
    /// The site must not keep its copy once the grant has ended.
    pub(crate) no_retention: bool,
    /// Bytes may come straight from the bucket.
    pub(crate) from_bucket: bool,
}

impl Referral {
    /// The names under which its sites are owed something in the queue.
    pub(crate) fn owed_to(&self) -> impl Iterator<Item = String> + use<'_> {
        self.to.iter().map(|site| super::refer::owed_to(site))
    }
}

/// Which earlier studies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Priors {
    /// So many, the newest ones.
    pub(crate) max: usize,
    /// Of the same modality.
    pub(crate) same_modality: bool,
    /// Of the same body part.
    pub(crate) same_body_part: bool,
    /// AE title of an archive that is asked for them first.
    pub(crate) from: Option<String>,
}

/// What a rule is about: everything given has to match. What is not given matches anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct When {
    pub(crate) sources: Vec<Source>,
    pub(crate) calling: Words,
    pub(crate) called: Words,
    pub(crate) modality: Words,
    pub(crate) body_part: Words,
    pub(crate) study_description: Words,
    pub(crate) series_description: Words,
    pub(crate) referring_physician: Words,
    pub(crate) institution: Words,
}

/// Patterns of which one has to match, without case; none: anything does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Words(Vec<Wildcard>);

impl Words {
    /// Compiles patterns with `*` and `?`; `None` if one is too long.
    pub(crate) fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let compiled = |pattern: &str| Wildcard::new(&pattern.trim().to_lowercase());
        patterns.into_iter().map(compiled).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Does one of them match one of the values, which backslashes part?
    fn match_any(&self, values: &str) -> bool {
        let values = values.to_lowercase();
        self.0.is_empty()
            || values.split('\\').any(|value| {
                let value = value.trim_matches(' ');
                self.0.iter().any(|pattern| pattern.matches(value))
            })
    }
}

impl When {
    /// Is it about these objects?
    pub(crate) fn matches(&self, arrival: &Arrival, subject: &Subject) -> bool {
        let pairs = [
            (&self.calling, &arrival.calling),
            (&self.called, &arrival.called),
            (&self.modality, &subject.modality),
            (&self.body_part, &subject.body_part),
            (&self.study_description, &subject.study_description),
            (&self.series_description, &subject.series_description),
            (&self.referring_physician, &subject.referring_physician),
            (&self.institution, &subject.institution),
        ];
        (self.sources.is_empty() || self.sources.contains(&arrival.source))
            && pairs.into_iter().all(|(words, value)| words.match_any(value))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cairn_store::catalog::Seqs;

    use super::*;

    fn arrival(source: Source, calling: &str) -> Arrival {
        Arrival {
            no: 1,
            study_uid: "1".into(),
            series_uid: "2".into(),
            source,
            calling: calling.into(),
            called: "CAIRN".into(),
            seqs: Seqs::default(),
            received_ms: 0,
        }
    }

    fn words(patterns: &[&str]) -> Words {
        Words::new(patterns.iter().copied()).unwrap()
    }

    #[test]
    fn everything_given_has_to_match() {
        let head = Subject {
            modality: "CT".into(),
            body_part: "HEAD".into(),
            study_description: "Schädel CT nativ".into(),
            ..Subject::default()
        };
        let ct1 = arrival(Source::Dimse, "CT1");
        assert!(When::default().matches(&ct1, &head));
        let when = When {
            sources: vec![Source::Dimse],
            calling: words(&["MR*", "ct?"]),
            modality: words(&["CT"]),
            body_part: words(&["*head*"]),
            study_description: words(&["schädel*"]),
            ..When::default()
        };
        assert!(when.matches(&ct1, &head));
        assert!(!when.matches(&arrival(Source::Web, "CT1"), &head));
        assert!(!when.matches(&arrival(Source::Dimse, "CT10"), &head));
        let abdomen = Subject { body_part: "ABDOMEN".into(), ..head.clone() };
        assert!(!when.matches(&ct1, &abdomen));
        let empty = Subject { body_part: String::new(), ..head };
        assert!(!when.matches(&ct1, &empty));
    }

    #[test]
    fn one_of_several_values_is_enough_and_too_long_patterns_are_refused() {
        assert!(words(&["thorax"]).match_any("HEAD\\THORAX "));
        assert!(!words(&["thorax"]).match_any("THORAXWAND"));
        assert!(words(&["*"]).match_any(""));
        assert!(!words(&["?*"]).match_any(""));
        assert_eq!(Words::new(["x".repeat(200).as_str()]), None);
    }
}
