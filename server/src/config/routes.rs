//! `[[routes]]`: what is forwarded to whom.

use std::collections::BTreeSet;
use std::time::Duration;

use cairn_store::commit::Source;
use serde::{Deserialize, Serialize};

use crate::dimse::{Peer, Priors, Referral, Route, When, Words};
use crate::error::{Error, Result};
use crate::sharing::{PURPOSES, days};

/// Rules: a dozen is much, and each is held against everything that comes in.
const ROUTES_MAX: usize = 200;
/// Longest name.
const NAME_BYTES_MAX: usize = 64;
/// Longest time that a study may have to be quiet: what waits longer belongs to another tool.
const QUIET_SECONDS_MAX: u64 = 3600;
/// How long a study that is granted has to be quiet, if nothing is said: a modality pauses between series.
const REFER_QUIET_SECONDS: u64 = 10;
/// Longest time that a rule may grant for: who needs more is granted it by a person.
const REFER_DAYS_MAX: u64 = 366;
/// Longest name of a site: that of its ledger (C2SP tlog-cosignature).
const SITE_BYTES_MAX: usize = 255;

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteSection {
    /// What it is called: in figures, in the log, and in the queue, which outlives the settings.
    pub(crate) name: String,
    /// What it is about; without it, everything that comes in.
    #[serde(default)]
    pub(crate) when: WhenSection,
    /// AE titles of `[dimse] peers`.
    #[serde(default)]
    pub(crate) to: Vec<String>,
    /// Other sites that the study is granted to: names, or beginnings of ids.
    #[serde(default)]
    pub(crate) refer: Vec<String>,
    /// For how many days.
    #[serde(default = "refer_days")]
    pub(crate) refer_days: u64,
    /// What for: HL7 v3 code.
    #[serde(default = "refer_purpose")]
    pub(crate) refer_purpose: String,
    /// They must not keep a copy once the grant has ended.
    #[serde(default)]
    pub(crate) refer_no_retention: bool,
    /// Bytes may come straight from the bucket.
    #[serde(default)]
    pub(crate) refer_from_bucket: bool,
    /// Wait until nothing came for the study for so long; 0: at once. Without it, 10 seconds where a study
    /// is granted, as each grant is of the study as it is, and 0 otherwise.
    #[serde(default)]
    pub(crate) quiet_seconds: Option<u64>,
    /// Higher goes first.
    #[serde(default)]
    pub(crate) priority: i64,
    /// How often an object that is refused is tried.
    #[serde(default = "tries")]
    pub(crate) tries: u32,
    /// The pause after the first refusal; it doubles with each.
    #[serde(default = "retry_seconds")]
    pub(crate) retry_seconds: u64,
    /// `"priors"`: send earlier studies of the patient, and not the study itself.
    #[serde(default)]
    pub(crate) prefetch: Option<PrefetchWord>,
    /// How many of them, the newest first.
    #[serde(default = "priors_max")]
    pub(crate) priors_max: usize,
    /// In what they have to be the same.
    #[serde(default)]
    pub(crate) priors_same: Vec<SameWord>,
    /// An archive that is asked for them first: AE title of `[dimse] peers`.
    #[serde(default)]
    pub(crate) priors_from: Option<String>,
}

/// What a rule is about. Each value is a pattern with `*` and `?`, or a list of which one has to match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WhenSection {
    pub(crate) source: Several<SourceWord>,
    pub(crate) calling: Several<String>,
    pub(crate) called: Several<String>,
    pub(crate) modality: Several<String>,
    pub(crate) body_part: Several<String>,
    pub(crate) study_description: Several<String>,
    pub(crate) series_description: Several<String>,
    pub(crate) referring_physician: Several<String>,
    pub(crate) institution: Several<String>,
}

/// One value, or a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Several<T> {
    One(T),
    Some(Vec<T>),
}

impl<T> Default for Several<T> {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl<T> Several<T> {
    fn all(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Some(all) => all,
        }
    }
}

/// How an object came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SourceWord {
    Dimse,
    Stow,
    Import,
}

/// What is sent instead of what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PrefetchWord {
    Priors,
}

/// In what a prior has to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SameWord {
    Modality,
    BodyPart,
}

fn refer_days() -> u64 {
    30
}

fn refer_purpose() -> String {
    "TREAT".into()
}

fn tries() -> u32 {
    5
}

fn retry_seconds() -> u64 {
    30
}

fn priors_max() -> usize {
    3
}

/// All rules, checked against each other and the peers that are known.
pub(super) fn rules(sections: &[RouteSection], peers: &[Peer]) -> Result<Vec<Route>> {
    if sections.len() > ROUTES_MAX {
        return Err(fault("routes", format!("there are more than {ROUTES_MAX}")));
    }
    let mut names = BTreeSet::new();
    for section in sections {
        if !names.insert(&section.name) {
            return Err(fault("routes", format!("{} is there twice", section.name)));
        }
    }
    sections.iter().map(|section| section.rule(peers)).collect()
}

impl RouteSection {
    fn rule(&self, peers: &[Peer]) -> Result<Route> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !self.name.bytes().all(plain) || !(1..=NAME_BYTES_MAX).contains(&self.name.len()) {
            let why = "a name is 1 to 64 letters, digits, -, _ and .";
            return Err(fault("routes.name", why.into()));
        }
        let place = format!("routes.{}", self.name);
        let fault = |why: String| fault(&place, why);
        let quiet = if self.refer.is_empty() { 0 } else { REFER_QUIET_SECONDS };
        let quiet_seconds = self.quiet_seconds.unwrap_or(quiet);
        let bounds = [
            ("quiet_seconds", quiet_seconds, 0, QUIET_SECONDS_MAX),
            ("refer_days", self.refer_days, 1, REFER_DAYS_MAX),
            ("tries", self.tries.into(), 1, 1000),
            ("retry_seconds", self.retry_seconds, 1, 3600),
            ("priors_max", self.priors_max as u64, 1, 100),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(fault(format!("{key}: {value} is not between {least} and {most}")));
            }
        }
        let known = |title: &String| {
            let peer = peers.iter().find(|peer| peer.title.eq_ignore_ascii_case(title));
            let why = || fault(format!("{title} is not among the peers of [dimse]"));
            peer.map(|peer| peer.title.clone()).ok_or_else(why)
        };
        let to = self.to.iter().map(known).collect::<Result<Vec<_>>>()?;
        let from = self.priors_from.as_ref().map(known).transpose()?;
        if self.prefetch.is_none() && (from.is_some() || !self.priors_same.is_empty()) {
            return Err(fault("priors_… means nothing without prefetch = \"priors\"".into()));
        }
        if to.is_empty() && from.is_none() && self.refer.is_empty() {
            return Err(fault("it says nobody to send to".into()));
        }
        let referral = self.referral().map_err(&fault)?;
        if from.as_ref().is_some_and(|from| to.contains(from)) {
            return Err(fault("priors would go back to where they come from".into()));
        }
        let priors = self.prefetch.map(|PrefetchWord::Priors| Priors {
            max: self.priors_max,
            same_modality: self.priors_same.contains(&SameWord::Modality),
            same_body_part: self.priors_same.contains(&SameWord::BodyPart),
            from,
        });
        let when = self.when.compile().ok_or_else(|| fault("a pattern is too long".into()))?;
        Ok(Route {
            name: self.name.clone(),
            when,
            to,
            referral,
            quiet: Duration::from_secs(quiet_seconds),
            priority: self.priority,
            tries: self.tries,
            retry: Duration::from_secs(self.retry_seconds),
            priors,
        })
    }
}

impl RouteSection {
    fn referral(&self) -> std::result::Result<Option<Referral>, String> {
        if self.refer.is_empty() {
            return Ok(None);
        }
        if self.prefetch.is_some() {
            return Err("refer grants the study itself, and prefetch sends others".into());
        }
        if !PURPOSES.contains(&self.refer_purpose.as_str()) {
            let known = PURPOSES.join(", ");
            return Err(format!("refer_purpose: {} is none of {known}", self.refer_purpose));
        }
        let named = |site: &String| !site.is_empty() && site.len() <= SITE_BYTES_MAX;
        if !self.refer.iter().all(named) {
            return Err("refer: that is no name of a site".into());
        }
        Ok(Some(Referral {
            to: self.refer.clone(),
            purpose: self.refer_purpose.clone(),
            seconds: days(self.refer_days),
            no_retention: self.refer_no_retention,
            from_bucket: self.refer_from_bucket,
        }))
    }
}

impl WhenSection {
    fn compile(&self) -> Option<When> {
        let words =
            |several: &Several<String>| Words::new(several.all().iter().map(String::as_str));
        let source = |word: &SourceWord| match word {
            SourceWord::Dimse => Source::Dimse,
            SourceWord::Stow => Source::Web,
            SourceWord::Import => Source::Import,
        };
        Some(When {
            sources: self.source.all().iter().map(source).collect(),
            calling: words(&self.calling)?,
            called: words(&self.called)?,
            modality: words(&self.modality)?,
            body_part: words(&self.body_part)?,
            study_description: words(&self.study_description)?,
            series_description: words(&self.series_description)?,
            referring_physician: words(&self.referring_physician)?,
            institution: words(&self.institution)?,
        })
    }
}

fn fault(key: &str, why: String) -> Error {
    Error::Config { place: key.to_owned(), why }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Config;

    fn parsed(text: &str) -> Result<Vec<Route>> {
        let peers = "[dimse]\npeers = \"PACS@h:104, WS@h:105, OLD@h:106\"\n";
        let config: Config = toml::from_str(&format!("{peers}{text}"))
            .map_err(|error| fault("toml", error.to_string()))?;
        config.check()?;
        Ok(config.dimse_settings(Duration::ZERO)?.routes)
    }

    #[test]
    fn rules_are_read() {
        let ct = r#"
            [[routes]]
            name = "ct"
            when = { source = "dimse", calling = ["CT1", "CT2"], modality = "CT" }
            to = ["pacs", "WS"]
            quiet_seconds = 30
            priority = 5
            "#;
        assert!(parsed(&format!("{ct}[[routes.nothing]]\n")).is_err());
        let priors = r#"
            [[routes]]
            name = "priors"
            when.source = ["dimse", "stow"]
            to = ["WS"]
            prefetch = "priors"
            priors_same = ["modality", "body_part"]
            priors_from = "OLD"
            "#;
        let rules = parsed(&format!("{ct}{priors}")).unwrap();
        assert_eq!(rules[0].to, ["PACS", "WS"]);
        assert_eq!((rules[0].quiet, rules[0].priority), (Duration::from_secs(30), 5));
        assert_eq!((rules[0].tries, rules[0].retry), (5, Duration::from_secs(30)));
        let priors = rules[1].priors.as_ref().unwrap();
        assert_eq!((priors.max, priors.from.as_deref()), (3, Some("OLD")));
        assert!(priors.same_modality && priors.same_body_part);
        assert_eq!(rules[1].when.sources, [Source::Dimse, Source::Web]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for wrong in [
            "name = \"a\"",
            "name = \"a b\"\nto = [\"WS\"]",
            "name = \"a\"\nto = [\"NOBODY\"]",
            "name = \"a\"\nto = [\"WS\"]\ntries = 0",
            "name = \"a\"\nto = [\"WS\"]\nquiet_seconds = 4000",
            "name = \"a\"\nto = [\"WS\"]\npriors_from = \"OLD\"",
            "name = \"a\"\nto = [\"WS\"]\nprefetch = \"priors\"\npriors_from = \"WS\"",
            "name = \"a\"\nto = [\"WS\"]\nprefetch = \"all\"",
            "name = \"a\"\nto = [\"WS\"]\nwhen = { modalty = \"CT\" }",
            "name = \"a\"\nto = [\"WS\"]\nwhen = { source = \"fax\" }",
            "name = \"a\"\nto = [\"WS\"]\n[[routes]]\nname = \"a\"\nto = [\"WS\"]",
            "to = [\"WS\"]",
            "name = \"a\"\nrefer = [\"\"]",
            "name = \"a\"\nrefer = [\"b\"]\nrefer_days = 400",
            "name = \"a\"\nrefer = [\"b\"]\nrefer_purpose = \"FUN\"",
            "name = \"a\"\nto = [\"WS\"]\nrefer = [\"b\"]\nprefetch = \"priors\"",
        ] {
            assert!(parsed(&format!("[[routes]]\n{wrong}\n")).is_err(), "{wrong}");
        }
        assert!(parsed("[[routes]]\nname = \"a\"\nto = [\"WS\"]\n").is_ok());
        let referral = "when.calling = \"REF*\"\nrefer = [\"b.example/cairn\"]";
        let rules = parsed(&format!("[[routes]]\nname = \"a\"\n{referral}\n")).unwrap();
        assert_eq!(rules[0].quiet, Duration::from_secs(10));
        let referral = rules[0].referral.as_ref().unwrap();
        assert_eq!((referral.seconds, referral.purpose.as_str()), (30 * 86_400, "TREAT"));
    }
}
