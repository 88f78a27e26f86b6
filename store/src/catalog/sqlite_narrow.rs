//! The embedded catalog: what part of a query its indexes can answer, as SQL.
//!
//! Everything here may let through more than matches, never less. Values are bound, never spliced.

use cairn_dicom::query::name::GroupPattern;
use cairn_dicom::query::{Pattern, Query, Rule};
use rusqlite::types::Value;

const STUDY_INSTANCE_UID: u32 = 0x0020_000D;
const SERIES_INSTANCE_UID: u32 = 0x0020_000E;
const SOP_INSTANCE_UID: u32 = 0x0008_0018;
const STUDY_DATE: u32 = 0x0008_0020;
const ACCESSION_NUMBER: u32 = 0x0008_0050;
const MODALITY: u32 = 0x0008_0060;
const MODALITIES_IN_STUDY: u32 = 0x0008_0061;
const PATIENT_NAME: u32 = 0x0010_0010;
const PATIENT_ID: u32 = 0x0010_0020;

/// A study with a series of one of these modalities.
const OF_SERIES: &str = "EXISTS (SELECT 1 FROM series WHERE series.study = study.no
     AND series.modality IN (";

/// Conditions joined by AND, each with AND before it, and what is bound to their parameters. ?1 is the
/// caller's.
#[derive(Debug, Default)]
pub(super) struct Narrow {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Narrow {
    /// For rows of `study`. `instances`: rows that may have the SOP Instance UIDs asked for, if any are.
    pub(super) fn studies(query: &Query, instances: Option<&[i64]>) -> Self {
        let mut narrow = Self::default();
        if let Some(uid) = &query.study {
            narrow.one_of("study.uid IN (", std::slice::from_ref(uid), ")");
        }
        narrow.texts(query, STUDY_INSTANCE_UID, "study.uid");
        narrow.texts(query, PATIENT_ID, "study.patient_id");
        narrow.texts(query, ACCESSION_NUMBER, "study.accession");
        narrow.days(query);
        narrow.names(query);
        for tag in [MODALITY, MODALITIES_IN_STUDY] {
            if let Some(modalities) = literal(query, tag) {
                narrow.one_of(OF_SERIES, &modalities, "))");
            }
        }
        let mut series: Vec<String> = query.series.iter().cloned().collect();
        series.extend(literal(query, SERIES_INSTANCE_UID).into_iter().flatten());
        if !series.is_empty() {
            narrow.one_of(
                "study.no IN (SELECT study FROM series WHERE series.uid IN (",
                &series,
                "))",
            );
        }
        narrow.instances(
            instances,
            "study.no IN (SELECT s.study FROM series s JOIN instance i ON i.series = s.no
                WHERE i.no IN (",
            "))",
        );
        narrow
    }

    /// For rows of `series`, whatever their study. `instances`: as for [`Self::studies`].
    pub(super) fn series(query: &Query, instances: Option<&[i64]>) -> Self {
        let mut narrow = Self::default();
        if let Some(uid) = &query.series {
            narrow.one_of("series.uid IN (", std::slice::from_ref(uid), ")");
        }
        narrow.texts(query, SERIES_INSTANCE_UID, "series.uid");
        narrow.texts(query, MODALITY, "series.modality");
        narrow.instances(
            instances,
            "series.no IN (SELECT series FROM instance WHERE no IN (",
            "))",
        );
        narrow
    }

    /// For rows of `instance`, whatever their series.
    pub(super) fn sop_instances(instances: Option<&[i64]>) -> Self {
        let mut narrow = Self::default();
        narrow.instances(instances, "instance.no IN (", ")");
        narrow
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sql.is_empty()
    }

    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len() + 1)
    }

    fn and(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    fn one_of(&mut self, before: &str, texts: &[String], after: &str) {
        let values = texts.iter().map(|text| Value::Text(text.clone())).collect();
        self.one_of_values(before, values, after);
    }

    fn one_of_values(&mut self, before: &str, values: Vec<Value>, after: &str) {
        let places: Vec<String> = values.into_iter().map(|value| self.bind(value)).collect();
        self.and(&format!("{before}{}{after}", places.join(", ")));
    }

    fn instances(&mut self, rows: Option<&[i64]>, before: &str, after: &str) {
        if let Some(rows) = rows {
            let rows = rows.iter().map(|no| Value::Integer(*no)).collect();
            self.one_of_values(before, rows, after);
        }
    }

    /// A column that holds one value as it was received.
    fn texts(&mut self, query: &Query, tag: u32, column: &str) {
        if let Some(texts) = literal(query, tag) {
            self.one_of(&format!("{column} IN ("), &texts, ")");
        } else if let Some(Pattern::Wild(pattern)) = only(query, tag)
            && !pattern.prefix().is_empty()
        {
            let condition = self.begins_with(column, pattern.prefix());
            self.and(&condition);
        }
    }

    fn begins_with(&mut self, column: &str, prefix: &str) -> String {
        let from = self.bind(Value::Text(prefix.to_owned()));
        let to = self.bind(Value::Text(format!("{prefix}{}", char::MAX)));
        format!("{column} BETWEEN {from} AND {to}")
    }

    fn days(&mut self, query: &Query) {
        if let Some(Pattern::Date(range)) = only(query, STUDY_DATE) {
            let from = self.bind(Value::Integer(range.from.map_or(1, |date| i64::from(date.0))));
            let to = range.to.map_or(i64::MAX, |date| i64::from(date.0));
            let to = self.bind(Value::Integer(to));
            self.and(&format!("study.day BETWEEN {from} AND {to}"));
        }
    }

    /// Names that begin with something; [`infix_name`] has the others.
    fn names(&mut self, query: &Query) {
        let Some(Pattern::Name(name)) = only(query, PATIENT_NAME) else { return };
        let [group] = name.groups() else { return };
        let condition = match group {
            GroupPattern::Exact(text) => {
                let text = self.bind(Value::Text(text.clone()));
                format!("name = {text}")
            }
            group if !group.prefix().is_empty() => self.begins_with("name", group.prefix()),
            _ => return,
        };
        self.and(&format!("study.no IN (SELECT study FROM study_name WHERE {condition})"));
    }
}

/// The pattern for one group of a patient's name, if names must be read one by one to find it.
pub(super) fn infix_name(query: &Query) -> Option<&Pattern> {
    let pattern = only(query, PATIENT_NAME)?;
    match pattern {
        Pattern::Name(name) => match name.groups() {
            [group] if *group != GroupPattern::Any && group.prefix().is_empty() => {}
            _ => return None,
        },
        Pattern::Fuzzy(name) if name.is_one_group() => {}
        _ => return None,
    }
    Some(pattern)
}

/// The SOP Instance UIDs that are asked for, if the query tells them.
pub(super) fn sop_instance_uids(query: &Query) -> Option<Vec<String>> {
    literal(query, SOP_INSTANCE_UID)
}

/// The one pattern that a value has to fit.
fn only(query: &Query, tag: u32) -> Option<&Pattern> {
    match &query.key(tag)?.rule {
        Rule::Any(patterns) | Rule::All(patterns) if patterns.len() == 1 => patterns.first(),
        _ => None,
    }
}

/// The texts of which the value has to be one.
fn literal(query: &Query, tag: u32) -> Option<Vec<String>> {
    let text = |pattern: &Pattern| match pattern {
        Pattern::Text(text) => Some(text.clone()),
        _ => None,
    };
    match &query.key(tag)?.rule {
        Rule::Any(patterns) => patterns.iter().map(text).collect(),
        // Any one of them narrows down as well.
        Rule::All(patterns) => patterns.first().and_then(text).map(|text| vec![text]),
        Rule::Empty => None,
    }
}
