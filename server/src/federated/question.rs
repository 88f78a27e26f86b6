//! A search as sites ask each other: what DICOMweb and C-FIND ask alike.

use cairn_dicom::attributes::Level;
use cairn_dicom::query::{BadQuery, Query};
use serde::{Deserialize, Serialize};

use crate::dicomweb::qido;
use crate::http;

/// Longest question in bytes.
pub(crate) const QUESTION_BYTES_MAX: usize = 64 << 10;

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sought {
    /// Studies.
    Study,
    /// Series.
    Series,
    /// Instances.
    Instance,
}

impl From<http::Level> for Sought {
    fn from(level: http::Level) -> Self {
        match level {
            http::Level::Study => Self::Study,
            http::Level::Series => Self::Series,
            http::Level::Instance => Self::Instance,
        }
    }
}

impl From<Level> for Sought {
    fn from(level: Level) -> Self {
        match level {
            // Patients are found by their studies.
            Level::Patient | Level::Study => Self::Study,
            Level::Series => Self::Series,
            Level::Instance => Self::Instance,
        }
    }
}

impl Sought {
    /// As a query has it.
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Study => Level::Study,
            Self::Series => Level::Series,
            Self::Instance => Level::Instance,
        }
    }

    /// The attribute that tells results apart.
    pub(super) fn unique_key(self) -> &'static str {
        match self {
            Self::Study => "0020000D",
            Self::Series => "0020000E",
            Self::Instance => "00080018",
        }
    }
}

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    /// What is searched for.
    pub(crate) sought: Sought,
    /// Only in this study.
    pub(crate) study: Option<String>,
    /// Only in this series.
    pub(crate) series: Option<String>,
    /// Parameters of QIDO-RS (PS3.18 §8.3.4), without `limit` and `offset`.
    pub(crate) parameters: Vec<(String, String)>,
    /// How many results at most.
    pub(crate) limit: u64,
}

impl Question {
    /// The query that it stands for.
    pub(crate) fn query(&self) -> Result<Query, BadQuery> {
        let (study, series) = (self.study.as_deref(), self.series.as_deref());
        let mut query = qido::query(self.sought.level(), study, series, &self.parameters)?;
        query.limit = Some(self.limit);
        query.offset = 0;
        Ok(query)
    }
}
