//! A consent becomes a grant: signed by the patient alone, checked, kept, and only then given.

use std::sync::Arc;

use cairn_ledger::id::{SiteId, StudyId};
use cairn_ledger::limits::CLOCK_SKEW_SECONDS;
use cairn_ledger::patient::{Consent, SignedStatement};
use cairn_ledger::state::Standing;
use cairn_store::Store;

use super::super::control::record;
use super::super::round::blocking;
use super::super::share::{Shared, Terms};
use super::super::site::Site;
use super::super::{Fault, folder};
use crate::clock::now;
use crate::error::Result;
use crate::http::App;

/// Grants what a patient consents to, and tells the others.
pub(crate) async fn grant_by_consent(
    app: &Arc<App>,
    site: &Arc<Site>,
    signed: &Arc<SignedStatement>,
) -> Result<Shared> {
    let (own, store, said) = (Arc::clone(site), Arc::clone(app), Arc::clone(signed));
    let granted = blocking(move || {
        let study = own.check_consent(&said)?.study;
        record(&store, &own.study_uid(&store.store, &study)?)?;
        own.take_consent(&store.store, &said)
    });
    let (shared, to) = granted.await?;
    Ok(site.deliver(shared, &to).await)
}

impl Site {
    /// Grants what a patient consents to: the study as it is now. Whoever shows the consent again is given
    /// the grant that there is. Blocks on the disk.
    fn take_consent(&self, store: &Store, signed: &SignedStatement) -> Result<(Shared, SiteId)> {
        let consent = self.check_consent(signed)?;
        let uid = self.study_uid(store, &consent.study)?;
        let (edition, is_new_version) = self.register(store, &uid)?;
        if edition.study != consent.study.0 {
            return Err(Fault::Consent("the study is registered under another name by now").into());
        }
        let terms = Terms {
            purpose: consent.purpose,
            not_before: consent.not_before,
            expires: consent.expires,
            conditions: consent.conditions,
            consent: Some(signed.id()),
        };
        let given = self.with_state(|state| {
            let mut grants = state.grants_of(consent.study);
            let same = |grant: &cairn_ledger::state::GrantRecord| {
                grant.consent == terms.consent && grant.version == edition.version
            };
            grants.find(|(_, grant)| same(grant)).map(|(sequence, _)| sequence)
        });
        // What it was given for stands before the grant that names it.
        folder::replace(&self.folder.consent(&signed.id()), signed.bytes())?;
        let to = consent.grantee.to_string();
        match given {
            Some(grant) => self.granted_before(grant, edition, &to, &terms),
            None => self.grant_edition(edition, is_new_version, &to, terms),
        }
    }

    /// Is it a consent of the patient whose key is bound to a study of this site, and does it hold now?
    fn check_consent<'a>(&self, signed: &'a SignedStatement) -> Result<&'a Consent> {
        let refused = |why: &'static str| Fault::Consent(why);
        let by = &signed.statement().by;
        let consent = signed.consent().ok_or(refused("it is no consent"))?;
        if by.owner != self.id() {
            return Err(refused("it is for a study of another site").into());
        }
        let study = self.with_state(|state| state.study(&consent.study).copied());
        let owned = study.filter(|study| study.standing == Standing::Owned);
        let bound = owned.and_then(|study| study.patient);
        if !bound.is_some_and(|bound| signed.opens(&bound.commitment)) {
            return Err(refused("it is not signed by the patient whose study this is").into());
        }
        let at = now();
        if by.signed > at + CLOCK_SKEW_SECONDS {
            return Err(refused("it is dated ahead").into());
        }
        if !consent.holds_at(at) {
            return Err(refused("its time is over, or has not come").into());
        }
        let binding = self.patients.of_study(&consent.study).map(|(_, binding)| binding);
        let withdrawn = binding.and_then(|binding| binding.withdrawn);
        let is_ended = |id| {
            self.with_state(|state| {
                let mut grants = state.grants_of(consent.study);
                grants.any(|(_, grant)| grant.consent == Some(id) && grant.revoked.is_some())
            })
        };
        if withdrawn.is_some_and(|until| by.signed <= until) || is_ended(signed.id()) {
            return Err(refused("it was withdrawn").into());
        }
        Ok(consent)
    }

    /// The UID of a study of this site by its name on the ledger.
    fn study_uid(&self, store: &Store, study: &StudyId) -> Result<String> {
        let unknown = || Fault::Consent("the study is not here any more");
        let version = self.with_state(|state| state.study(study).map(|study| study.version));
        let edition = match version {
            Some(version) => store.catalog().editions().edition(&study.0, version)?,
            None => None,
        };
        Ok(edition.ok_or_else(unknown)?.study_uid)
    }
}
