//! `[audit]`: the log of who looked at what.

use serde::{Deserialize, Serialize};

use super::dimse::fault;
use crate::error::Result;

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuditSection {
    /// Keep one.
    pub(crate) enabled: bool,
    /// Length at which a new file is begun.
    pub(crate) file_bytes: u64,
}

impl Default for AuditSection {
    fn default() -> Self {
        Self { enabled: true, file_bytes: 64 << 20 }
    }
}

impl AuditSection {
    /// Refuses what cannot be used.
    pub(super) fn check(&self) -> Result<()> {
        let (least, most) = (4 << 10, 16 << 30);
        if !(least..=most).contains(&self.file_bytes) {
            let why = format!("{} is not between {least} and {most}", self.file_bytes);
            return Err(fault("audit.file_bytes", why));
        }
        Ok(())
    }
}
