//! `[gc]`: when a server collects by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dimse::fault;
use crate::error::Result;

/// `[gc]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GcSection {
    /// Hours between two collections of a server; 0: it never collects by itself.
    pub(crate) every_hours: u32,
    /// Percent of a pack that have to be dead before it is written anew.
    pub(crate) dead_percent: u8,
    /// Code pixels anew for size alone.
    pub(crate) recompress: bool,
    /// Only what was stored so many days ago: it takes longer to read then.
    pub(crate) recompress_days: u32,
}

impl Default for GcSection {
    fn default() -> Self {
        Self { every_hours: 24, dead_percent: 0, recompress: false, recompress_days: 90 }
    }
}

impl GcSection {
    /// Refuses what cannot be used.
    pub(super) fn check(&self) -> Result<()> {
        if self.dead_percent > 100 {
            let why = format!("{} is not between 0 and 100", self.dead_percent);
            return Err(fault("gc.dead_percent", why));
        }
        Ok(())
    }

    /// Between two collections.
    pub(crate) fn every(&self) -> Option<Duration> {
        (self.every_hours > 0).then(|| Duration::from_secs(u64::from(self.every_hours) * 3600))
    }
}
