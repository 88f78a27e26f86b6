//! STUB
#![allow(clippy::all)]
use crate::error::Result;
use cairn_chunker::id::StudyRoot;
use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::federation::Federation;
use cairn_ledger::id::*;
use cairn_ledger::keys::SiteSecret;
use cairn_ledger::log::SiteLog;
use cairn_ledger::note::NoteSignature;
use cairn_ledger::witness::{CosignRequest, Refusal};
use cairn_store::catalog::{Catalog, Seqs};
use std::sync::Arc;

pub(crate) struct Site;
pub(crate) struct Edition {
    pub(crate) study_uid: String,
    pub(crate) root: StudyRoot,
    pub(crate) seqs: Seqs,
}
impl Site {
    pub(crate) fn id(&self) -> SiteId {
        todo!()
    }
    pub(crate) fn secret(&self) -> &SiteSecret {
        todo!()
    }
    pub(crate) fn log(&self) -> &SiteLog {
        todo!()
    }
    pub(crate) fn with_federation<T>(&self, job: impl FnOnce(&Federation<'_>) -> T) -> T {
        todo!()
    }
    pub(crate) fn is_known_key(&self, tls_key: &[u8; 32]) -> Option<SiteId> {
        todo!()
    }
    pub(crate) fn client(&self, site: &SiteId) -> Result<crate::peer::Client> {
        todo!()
    }
    pub(crate) fn cosign(
        &self,
        request: &CosignRequest,
    ) -> std::result::Result<NoteSignature, Refusal> {
        todo!()
    }
    pub(crate) fn seen_of(&self, site: &SiteId) -> Option<SignedCheckpoint> {
        todo!()
    }
    pub(crate) fn published(&self) -> Result<SignedCheckpoint> {
        todo!()
    }
    pub(crate) fn nudge(&self, site: &SiteId) {
        todo!()
    }
    pub(crate) fn edition(
        &self,
        catalog: &dyn Catalog,
        study: &StudyId,
        version: u64,
    ) -> Result<Option<Edition>> {
        todo!()
    }
}
impl Site {
    pub(crate) fn stage(&self, study: &StudyId, version: u64) -> std::path::PathBuf {
        todo!()
    }
}
