//! What an import came to, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cairn_store::ingest::StudySummary;
use serde::Serialize;

use super::tally::{Counts, Named};
use crate::output::{Align, Table, clean, count, factor_text, pairs, size};

/// See the [module](self).
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// Files that something was said about.
    pub(crate) files: u64,
    pub(crate) archived: u64,
    pub(crate) duplicates: u64,
    pub(crate) corrections: u64,
    pub(crate) conflicts: u64,
    pub(crate) left_alone: u64,
    pub(crate) failed: u64,
    /// Files that are in the archive now.
    pub(crate) instances: u64,
    pub(crate) flagged: u64,
    pub(crate) flags: BTreeMap<&'static str, u64>,
    pub(crate) left_alone_reasons: Vec<Reason>,
    pub(crate) failures: Vec<Reason>,
    pub(crate) studies: Vec<StudyLine>,
    pub(crate) bytes_in: u64,
    pub(crate) new_bytes: u64,
    pub(crate) duplicate_bytes: u64,
    /// By how much the packs grew.
    pub(crate) stored_bytes: u64,
    pub(crate) dedup_factor: Option<f64>,
    pub(crate) compression_factor: Option<f64>,
    pub(crate) seconds: f64,
    pub(crate) gb_per_second: f64,
    /// The site key that was made, which wants a copy elsewhere.
    pub(crate) key_created: Option<String>,
    pub(crate) interrupted: bool,
    /// What stopped the import.
    pub(crate) error: Option<String>,
}

/// Files that share a reason.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reason {
    pub(crate) reason: String,
    #[serde(flatten)]
    pub(crate) named: Named,
}

/// A study that the import touched.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StudyLine {
    pub(crate) study_uid: String,
    pub(crate) root: String,
    pub(crate) version: u64,
    pub(crate) instances: u64,
    pub(crate) bytes: u64,
}

impl From<StudySummary> for StudyLine {
    fn from(study: StudySummary) -> Self {
        Self {
            study_uid: study.study_uid,
            root: study.root.to_string(),
            version: study.version,
            instances: study.instances,
            bytes: study.bytes,
        }
    }
}

/// Reasons, the most frequent first.
pub(super) fn reasons(named: &BTreeMap<String, Named>) -> Vec<Reason> {
    let pairs = named.iter();
    let mut reasons: Vec<_> = pairs
        .map(|(reason, named)| Reason { reason: reason.clone(), named: named.clone() })
        .collect();
    for reason in &mut reasons {
        reason.named.names.sort();
    }
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.named.files));
    reasons
}

impl Summary {
    /// Was every file archived, or named and left alone?
    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0 && self.error.is_none() && !self.interrupted
    }

    /// Takes over what was counted.
    pub(super) fn count(&mut self, counts: &Counts) {
        self.files = counts.files();
        self.archived = counts.archived;
        self.duplicates = counts.duplicates;
        self.corrections = counts.corrections;
        self.conflicts = counts.conflicts;
        self.left_alone = counts.left_alone;
        self.failed = counts.failed;
        self.instances = counts.acknowledged();
        self.flagged = counts.flagged;
        self.flags.clone_from(&counts.flags);
        self.left_alone_reasons = reasons(&counts.left_alone_reasons);
        self.failures = reasons(&counts.failures);
        self.error.clone_from(&counts.fatal);
    }

    /// The table for people.
    pub(crate) fn text(&self) -> String {
        let mut text = self.studies_text();
        text += &pairs(&[
            ("files", count(self.files)),
            ("archived", count(self.archived)),
            ("duplicates", count(self.duplicates)),
            ("corrections", count(self.corrections)),
            ("conflicts", count(self.conflicts)),
            ("flagged", self.flags_text()),
            ("left alone", count(self.left_alone)),
            ("failed", count(self.failed)),
            ("bytes in", size(self.bytes_in)),
            ("new", size(self.new_bytes)),
            ("duplicate", size(self.duplicate_bytes)),
            ("stored", size(self.stored_bytes)),
            ("dedup factor", factor_text(self.dedup_factor)),
            ("compression factor", factor_text(self.compression_factor)),
            ("seconds", format!("{:.2}", self.seconds)),
            ("GB/s", format!("{:.3}", self.gb_per_second)),
        ]);
        list(&mut text, "left alone", &self.left_alone_reasons);
        list(&mut text, "failed", &self.failures);
        let acknowledged = count(self.instances);
        if let Some(error) = &self.error {
            let _ = writeln!(
                text,
                "The import stopped: {error}.\n{acknowledged} files were acknowledged before and \
                are  safe; importing again goes on from there."
            );
        } else if self.interrupted {
            let _ = writeln!(
                text,
                "Interrupted: {acknowledged} files are archived; importing again goes on there."
            );
        }
        text
    }

    fn flags_text(&self) -> String {
        let flags: Vec<_> =
            self.flags.iter().map(|(flag, n)| format!("{flag} {}", count(*n))).collect();
        let which =
            if flags.is_empty() { String::new() } else { format!(" ({})", flags.join(", ")) };
        format!("{}{which}", count(self.flagged))
    }

    fn studies_text(&self) -> String {
        let columns = [
            ("STUDY", Align::Left),
            ("INSTANCES", Align::Right),
            ("SIZE", Align::Right),
            ("VERSION", Align::Right),
            ("ROOT", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for study in &self.studies {
            table.row(vec![
                clean(&study.study_uid),
                count(study.instances),
                size(study.bytes),
                count(study.version),
                study.root.clone(),
            ]);
        }
        let text = table.render();
        if text.is_empty() { text } else { text + "\n" }
    }
}

fn list(text: &mut String, what: &str, reasons: &[Reason]) {
    for Reason { reason, named } in reasons {
        let _ = writeln!(text, "{what}, {}: {}", count(named.files), clean(reason));
        for name in &named.names {
            let _ = writeln!(text, "    {}", clean(name));
        }
        let more = named.files - named.names.len() as u64;
        if more > 0 {
            let _ = writeln!(text, "    and {} more (-v names all)", count(more));
        }
    }
}
