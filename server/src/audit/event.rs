//! One access, as a line of the log.
//!
//! ```text
//! {"n":17,"at":"2026-11-26T09:20:11.123456Z","face":"http", … ,"h":"<64 hexadecimal digits>"}
//! ```
//!
//! Fields stand in the order of [`Event`], those that say nothing are left out, and there is no blank
//! between: an event has one encoding. UIDs of studies stand here, since the log has to answer who looked
//! at one; names of patients, and what was searched for, never do.

use serde::{Deserialize, Serialize};

/// Most studies that one line names; of more, it says how many there were.
pub(crate) const STUDIES_MAX: usize = 64;
/// Longest text that is taken from outside into one field.
const TEXT_BYTES_MAX: usize = 128;
/// Longest explanation.
pub(crate) const NOTE_BYTES_MAX: usize = 1000;

/// Over what somebody came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Face {
    /// The log speaks of itself.
    #[default]
    Log,
    /// People and programs over HTTP.
    Http,
    /// Modalities, PACS and workstations.
    Dimse,
    /// Other sites.
    Peer,
    /// People at this machine, by a command.
    Command,
}

impl Face {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Http => "http",
            Self::Dimse => "dimse",
            Self::Peer => "peer",
            Self::Command => "command",
        }
    }
}

/// What somebody did, or wanted to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    /// Over what.
    pub(crate) face: Face,
    /// The operation: a route's label, or a DIMSE service.
    pub(crate) op: String,
    /// The permission that it takes; empty: none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) act: String,
    /// Status of the answer: of HTTP, or of DIMSE in hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) status: String,
    /// It was done.
    pub(crate) ok: bool,
    /// Why it was not let in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) why: String,
    /// Who: a name, an AE title, a site.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) who: String,
    /// Whose word that is: `login`, `service`, `ae`, `site`, `local` (this machine's), `patient` (a key),
    /// `rule` (of the settings); `nobody` showed nothing that counts, `anybody` was not asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) kind: String,
    /// Of an AE title: the user whose identity was checked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
    /// The address that the connection came from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) from: String,
    /// Study Instance UIDs that were named, read, or stored into.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) studies: Vec<String>,
    /// How many there were, if that is more than are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) studies_count: Option<u64>,
    /// Series Instance UID, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) series: Option<String>,
    /// SOP Instance UID, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
    /// The study's name on the ledger, where another site asks for it by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ledger_study: Option<String>,
    /// Of a command: the number of the user who gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<u32>,
    /// Of a command: the site, the entry or the token that it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) target: String,
    /// Why somebody opened a study in an emergency, in their words. Stands in this log and nowhere else:
    /// it is in no message to others.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
    /// The request's id, as in the access log.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) request: String,
    /// In the first line of a file: the hash of the line before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
}

impl Event {
    /// What a rule of the settings has done, nobody asking for it.
    pub(crate) fn by_rule(rule: &str, op: &'static str, target: &str, study_uid: &str) -> Self {
        let mut event = Self {
            face: Face::Command,
            op: op.into(),
            act: "change".into(),
            status: "0".into(),
            ok: true,
            who: clean(rule),
            kind: "rule".into(),
            target: clean(target),
            ..Self::default()
        };
        event.about([study_uid]);
        event
    }

    /// Names studies, each once, as far as there is room.
    pub(crate) fn about<'a>(&mut self, studies: impl IntoIterator<Item = &'a str>) {
        let mut count = self.studies.len() as u64;
        for study in studies {
            let study = clean(study);
            if study.is_empty() || self.studies.contains(&study) {
                continue;
            }
            count += 1;
            if self.studies.len() < STUDIES_MAX {
                self.studies.push(study);
            }
        }
        if count > self.studies.len() as u64 {
            self.studies_count = Some(count);
        }
    }
}

/// Text from outside: without what steers a terminal or a reader of lines, and not without end.
pub(crate) fn clean(text: &str) -> String {
    cleaned(text, TEXT_BYTES_MAX)
}

/// The same of what somebody explains at length.
pub(crate) fn clean_note(text: &str) -> String {
    cleaned(text, NOTE_BYTES_MAX)
}

fn cleaned(text: &str, bytes_max: usize) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }) {
        if out.len() + c.len_utf8() > bytes_max {
            break;
        }
        out.push(c);
    }
    out
}

/// An event in its place: number, time, event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// From 0, without a gap.
    pub(crate) n: u64,
    /// When, in UTC (RFC 3339).
    pub(crate) at: String,
    /// What.
    #[serde(flatten)]
    pub(crate) event: Event,
}
