//! A study changes hands: its owner hands it over, and the new owner takes it over.
//!
//! Two entries in two logs. The first ends what the old owner granted, and seals the root to the new one,
//! who may fetch the study by it. The second says that the new owner has that very root; its commitment
//! is blinded anew, so nobody else sees that both are to the same. Between the two the study can be
//! read by nobody under a grant: whoever hands over tells the other side first.

use cairn_ledger::entry::{Body, SignedEntry, TransferIn, TransferOut};
use cairn_ledger::id::{Link, SiteId, StudyId};
use cairn_ledger::opening::{Opening, SealedFor};
use cairn_ledger::state::Standing;
use cairn_ledger::tiles::TileReader;
use cairn_store::Store;
use serde::{Deserialize, Serialize};

use super::editions::{Named, edition_of, opening_of};
use super::entries::entry_at;
use super::site::Site;
use super::{Fault, lock};
use crate::error::Result;

/// A study that this site has handed over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HandedOver {
    /// The entry in this site's log.
    pub(crate) entry: u64,
    /// Study Instance UID.
    pub(crate) study_uid: String,
    /// The study's name on the ledger.
    pub(crate) study: String,
    /// Its version there.
    pub(crate) version: u64,
    /// Names its content.
    pub(crate) root: String,
    /// The new owner.
    pub(crate) to: String,
    /// Its name.
    pub(crate) to_name: String,
    /// Sites that have cosigned it.
    pub(crate) cosigned: usize,
    /// Sites that were asked.
    pub(crate) witnesses: usize,
    /// Does the new owner know of it already?
    pub(crate) is_delivered: bool,
}

/// A study that another site has handed to this one, which has not taken it over yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Handed {
    /// The old owner.
    pub(crate) site: String,
    /// Its name.
    pub(crate) site_name: String,
    /// The entry in its log.
    pub(crate) entry: u64,
    /// The study's name on the ledger.
    pub(crate) study: String,
    /// Its version there.
    pub(crate) version: u64,
}

/// What another site handed to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HandOver {
    /// The old owner.
    pub(crate) from: SiteId,
    /// The entry in its log.
    pub(crate) link: Link,
    /// Which study.
    pub(crate) study: StudyId,
    /// Which version of it.
    pub(crate) version: u64,
}

impl Site {
    /// Hands a study over as it is now, without telling anybody yet. Blocks on the disk.
    pub(super) fn hand_over(&self, store: &Store, uid: &str, to: &str) -> Result<HandedOver> {
        let (peer, seal) = self.reader_to_seal_for(to)?;
        let editions = store.catalog().editions();
        // What came from another site and was never registered here is that site's.
        let is_ours = editions.editions(Some(uid))?.iter().any(|edition| self.owns(edition));
        if !is_ours && !editions.all_fetched(Some(uid))?.is_empty() {
            return Err(Fault::NotOwned.into());
        }
        let (edition, _) = self.register(store, uid)?;
        let (study, version) = (StudyId(edition.study), edition.version);
        let whom = SealedFor { from: self.id(), to: peer.site, study, version };
        let opening = opening_of(&edition).seal(&whom, &seal)?;
        let body = TransferOut { study, version, to: peer.site, opening };
        let logged = self.append(Body::TransferOut(Box::new(body)))?;
        Ok(HandedOver {
            entry: logged.link.sequence,
            study_uid: edition.study_uid,
            study: study.to_string(),
            version,
            root: edition.root.to_string(),
            to: peer.site.to_string(),
            to_name: peer.name,
            cosigned: 0,
            witnesses: 0,
            is_delivered: false,
        })
    }

    /// What others handed to this site and it has not taken over; of one site, if one is named.
    pub(crate) fn hand_overs(&self, from: Option<&SiteId>) -> Vec<HandOver> {
        let own = self.id();
        let sites: Vec<_> = self.peers().iter().map(|peer| peer.site).collect();
        let meant = sites.into_iter().filter(|site| from.is_none_or(|from| from == site));
        self.with_federation(|federation| {
            let mut handed = Vec::new();
            for from in meant {
                let Some(member) = federation.member(&from) else { continue };
                let to_us = Standing::HandedTo(own);
                let studies = member.state.studies().filter(|(_, it)| it.standing == to_us);
                handed.extend(studies.filter_map(|(study, _)| {
                    let (link, version) = federation.handed_to(&from, *study, &own)?;
                    Some(HandOver { from, link, study: *study, version })
                }));
            }
            handed
        })
    }

    /// The same for people.
    pub(super) fn handed(&self) -> Vec<Handed> {
        let peers = self.peers();
        let name = |site: &SiteId| {
            let known = peers.iter().find(|peer| peer.site == *site);
            known.map_or_else(|| site.to_string(), |peer| peer.name.clone())
        };
        let told = |handed: HandOver| Handed {
            site: handed.from.to_string(),
            site_name: name(&handed.from),
            entry: handed.link.sequence,
            study: handed.study.to_string(),
            version: handed.version,
        };
        self.hand_overs(None).into_iter().map(told).collect()
    }

    /// Opens what a hand-over seals to this site, if the study was its former owner's. Blocks on the disk.
    pub(crate) fn open_hand_over(&self, handed: &HandOver) -> Result<Opening> {
        let HandOver { from, link, study, version } = *handed;
        self.with_federation(|federation| federation.check_hand_over(&link, study))
            .map_err(|why| Fault::Disowned(why.to_string()))?;
        let size = self.with_view(&from, |view| view.state.next());
        let reader =
            TileReader::new(&self.folder.mirror(&from), size.ok_or(Fault::NoMirror(from))?);
        let signed: SignedEntry = entry_at(&reader, link.sequence)?;
        let Body::TransferOut(out) = &signed.entry().body else {
            return Err(Fault::NoEntry(link.sequence).into());
        };
        self.unseal(&from, &out.opening, (study, version))
    }

    /// Takes a study over whose content is here under this UID. Blocks on the disk.
    pub(crate) fn take_over(
        &self,
        store: &Store,
        handed: &HandOver,
        root: &Opening,
        study_uid: &str,
    ) -> Result<u64> {
        let _turn = lock(&self.registering);
        self.check_trouble()?;
        let HandOver { from, link, study, version } = *handed;
        if !self.hand_overs(Some(&from)).contains(handed) {
            return Err(Fault::NotHanded.into());
        }
        let (tree, seqs) = store.study_content(study_uid)?;
        if tree.root() != root.root {
            return Err(Fault::OtherContent.into());
        }
        let opening = Opening::generate(tree.root())?;
        let named = Named { study, version, study_uid, salt: None };
        let mut edition = edition_of(named, &opening, &tree, seqs);
        // Before its entry, as with every edition. In the place of one from when the study was here before,
        // under which nothing is granted any more.
        store.catalog().editions().replace_edition(&edition)?;
        let commitment = opening.commitment();
        let body = TransferIn { study, from: link, version, commitment };
        let sequence = self.append(Body::TransferIn(body))?.link.sequence;
        store.catalog().editions().edition_logged(&study.0, version, sequence)?;
        edition.sequence = Some(sequence);
        self.attest(store.catalog(), &edition)?;
        Ok(sequence)
    }
}
