//! What is sealed to another site, and what others sealed to this one.

use cairn_ledger::id::{SiteId, StudyId};
use cairn_ledger::opening::{Opening, Sealed};
use cairn_ledger::sealing::{self, Content, SealedFor};
use cairn_ledger::tiles::TileReader;
use cairn_store::catalog::Catalog;
use zeroize::Zeroizing;

use super::Fault;
use super::editions::opening_of;
use super::site::Site;
use crate::error::Result;

impl Site {
    /// The opening of a version of this site's, sealed to a site that has a right to it.
    pub(crate) fn seal_for(
        &self,
        catalog: &dyn Catalog,
        reader: &SiteId,
        study: StudyId,
        version: u64,
    ) -> Result<Option<Sealed>> {
        let Some(edition) = self.edition(catalog, &study, version)? else { return Ok(None) };
        let whom = SealedFor { from: self.id(), to: *reader, study, version };
        Ok(Some(opening_of(&edition).seal(&whom, &self.seal_key(reader)?)?))
    }

    /// Opens what another site sealed to this one, and checks it against that site's ledger. Blocks on
    /// the disk.
    pub(crate) fn unseal(
        &self,
        owner: &SiteId,
        sealed: &Sealed,
        (study, version): (StudyId, u64),
    ) -> Result<Opening> {
        let size = self.with_view(owner, |view| view.state.next());
        let size = size.ok_or(Fault::NoMirror(*owner))?;
        let reader = TileReader::new(&self.folder.mirror(owner), size);
        let commitment = self.commitment(owner, &reader, (study, version))?;
        let whom = SealedFor { from: *owner, to: self.id(), study, version };
        let mut opened =
            self.keys().secrets().map(|secret| sealed.open(secret, &whom, &commitment));
        let found = opened.find_map(std::result::Result::ok);
        Ok(found.ok_or(cairn_ledger::Error::Sealed)?)
    }

    /// What is lent of the bucket to a site that has a right to it, sealed.
    pub(crate) fn seal_loans(
        &self,
        reader: &SiteId,
        study: StudyId,
        version: u64,
        loans: &[u8],
    ) -> Result<Vec<u8>> {
        let whom = SealedFor { from: self.id(), to: *reader, study, version };
        Ok(sealing::seal(Content::Loans, &whom, &self.seal_key(reader)?, loans)?)
    }

    /// What another site lends, as it sealed it.
    pub(crate) fn unseal_loans(
        &self,
        owner: &SiteId,
        sealed: &[u8],
        (study, version): (StudyId, u64),
    ) -> Result<Zeroizing<Vec<u8>>> {
        let whom = SealedFor { from: *owner, to: self.id(), study, version };
        let keys = self.keys();
        let mut opened =
            keys.secrets().map(|secret| sealing::open(Content::Loans, &whom, secret, sealed));
        Ok(opened.find_map(std::result::Result::ok).ok_or(cairn_ledger::Error::Sealed)?)
    }

    /// The key in force that something is sealed to for a site.
    fn seal_key(&self, site: &SiteId) -> Result<[u8; 32]> {
        let key = self.with_view(site, |view| view.state.keys().map(|keys| keys.seal)).flatten();
        Ok(key.ok_or(Fault::NoMirror(*site))?)
    }
}
