//! Registering what is shared: an edition in the catalog, then its entry.

use std::collections::BTreeMap;

use cairn_chunker::tree::StudyTree;
use cairn_ledger::entry::{Body, Register, SignedEntry, Supersede};
use cairn_ledger::id::{Commitment, StudyId, random};
use cairn_ledger::opening::{Blinding, Opening};
use cairn_ledger::state::Standing;
use cairn_store::catalog::editions::Edition;
use cairn_store::catalog::{Catalog, Seqs};

use cairn_store::{Error as StoreError, Store};

use super::site::Site;
use super::tombstones::remains;
use super::{Fault, lock};
use crate::error::Result;

/// What an edition's entry commits to.
pub(super) fn opening_of(edition: &Edition) -> Opening {
    Opening { root: edition.root, blinding: Blinding(edition.blinding) }
}

/// How a version is named: on the ledger and here.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) study: StudyId,
    pub(super) version: u64,
    pub(super) study_uid: &'a str,
    /// Of version 1 if it is registered here: what its name is made from.
    pub(super) salt: Option<[u8; 32]>,
}

/// What is written down of a version before its entry.
pub(super) fn edition_of(
    named: Named<'_>,
    opening: &Opening,
    tree: &StudyTree,
    seqs: Seqs,
) -> Edition {
    let Named { study, version, study_uid, salt } = named;
    Edition {
        study: study.0,
        version,
        study_uid: study_uid.to_owned(),
        salt,
        root: opening.root,
        blinding: opening.blinding.0,
        seqs,
        instances: tree.instances(),
        bytes: tree.bytes(),
        sequence: None,
        created_ms: crate::clock::now() * 1000,
    }
}

impl Site {
    /// The edition of a study as it is now, registered if it is not yet. Says whether it was not.
    pub(super) fn register(&self, store: &Store, study_uid: &str) -> Result<(Edition, bool)> {
        // Two at once would register the study twice.
        let _turn = lock(&self.registering);
        self.check_trouble()?;
        let (tree, seqs) = store.study_content(study_uid)?;
        if tree.instances() == 0 {
            let name = study_uid.to_owned();
            return Err(StoreError::NotFound { what: "study", name }.into());
        }
        let catalog = store.catalog();
        // What was deleted and stored again is another study on the ledger.
        self.end_among(catalog, catalog.editions().editions(Some(study_uid))?)?;
        let last = self.last_edition(catalog, study_uid)?;
        if let Some(last) = last.as_ref().filter(|last| last.root == tree.root())
            && remains(catalog, last)? == last.instances
        {
            self.attest(catalog, last)?;
            return Ok((last.clone(), false));
        }
        if last.is_none() {
            self.check_not_handed(catalog, study_uid)?;
        }
        let (salt, study, version) = if let Some(last) = &last {
            (None, StudyId(last.study), last.version + 1)
        } else {
            let salt = random()?;
            (Some(salt), StudyId::derive(&self.id(), &salt), 1)
        };
        let opening = Opening::generate(tree.root())?;
        let named = Named { study, version, study_uid, salt };
        let mut edition = edition_of(named, &opening, &tree, seqs);
        // Before its entry: an entry whose opening is lost can never be granted.
        store.catalog().editions().add_edition(&edition)?;
        let commitment = opening.commitment();
        let body = match salt {
            Some(salt) => Body::Register(Register { salt, commitment }),
            None => Body::Supersede(Supersede { study, version, commitment }),
        };
        let logged = self.append(body)?;
        let sequence = logged.link.sequence;
        store.catalog().editions().edition_logged(&study.0, version, sequence)?;
        edition.sequence = Some(sequence);
        self.attest(catalog, &edition)?;
        Ok((edition, true))
    }

    /// What was handed over is its new owner's to share.
    fn check_not_handed(&self, catalog: &dyn Catalog, study_uid: &str) -> Result<()> {
        let editions = catalog.editions().editions(Some(study_uid))?;
        let newest = editions.iter().max_by_key(|edition| edition.sequence);
        match newest.and_then(|newest| self.standing(newest)) {
            Some(Standing::HandedTo(to)) => Err(Fault::HandedOver(to).into()),
            _ => Ok(()),
        }
    }

    /// The last edition of a study that is on the ledger and still this site's.
    fn last_edition(&self, catalog: &dyn Catalog, study_uid: &str) -> Result<Option<Edition>> {
        let mut editions = catalog.editions().editions(Some(study_uid))?;
        // One whose entry failed is settled at the next start; its version is free until then.
        for stale in editions.extract_if(.., |edition| edition.sequence.is_none()) {
            let is_logged = self.with_state(|state| {
                state
                    .study(&StudyId(stale.study))
                    .is_some_and(|known| known.version >= stale.version)
            });
            if !is_logged {
                catalog.editions().drop_edition(&stale.study, stale.version)?;
            }
        }
        let owned = editions.into_iter().filter(|edition| self.owns(edition));
        Ok(owned.max_by_key(|edition| edition.sequence))
    }
}

/// Finds the entries of editions of which a crash left unknown whether they were logged, and drops
/// those that were not.
pub(crate) fn settle_editions(site: &Site, catalog: &dyn Catalog) -> Result<()> {
    let due = catalog.editions().unlogged_editions()?;
    if due.is_empty() {
        return Ok(());
    }
    let mut wanted: BTreeMap<[u8; 32], &Edition> =
        due.iter().map(|edition| (opening_of(edition).commitment().0, edition)).collect();
    let reader = site.log().reader();
    let mut found = Vec::new();
    reader.for_each(0..reader.size(), &mut |sequence, bytes| {
        let commitment = match &SignedEntry::decode(bytes)?.entry().body {
            Body::Register(register) => register.commitment,
            Body::Supersede(supersede) => supersede.commitment,
            Body::TransferIn(taken) => taken.commitment,
            _ => return Ok(()),
        };
        found
            .extend(wanted.remove(&Commitment::as_bytes(&commitment)[..]).map(|it| (it, sequence)));
        Ok(())
    })?;
    for (edition, sequence) in &found {
        catalog.editions().edition_logged(&edition.study, edition.version, *sequence)?;
    }
    for edition in wanted.values() {
        catalog.editions().drop_edition(&edition.study, edition.version)?;
    }
    tracing::info!(
        found = found.len(),
        dropped = wanted.len(),
        "editions were matched with the ledger"
    );
    Ok(())
}
