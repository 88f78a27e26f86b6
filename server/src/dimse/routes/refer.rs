//! Referrals: a study that a rule is about is granted to another site.
//!
//! A site has a lane as a peer has, and its parcels are as durable. One look grants a study once, however
//! many parcels of its series are due. What cannot be granted, because the site is not known yet or the
//! patient wants to be asked, is tried again as refused objects are, and ends in the same list.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_store::Result;
use cairn_store::catalog::outbox::Parcel;
use cairn_store::catalog::{Outbox, Seqs};

use super::backoff::pause;
use super::lane::{RETRY_MAX, RETRY_WITHOUT_RULE, TRIES_WITHOUT_RULE, code};
use super::route::{Referral, Route};
use super::{Next, run_lane};
use crate::audit::Event;
use crate::clock::now_ms;
use crate::dimse::Dimse;
use crate::sharing::{Fault, Share, refer};

/// What tells a site in the queue from an AE title, which has at most 16 characters (PS3.5 table 6.2-1).
const PREFIX: &str = "referral to site ";
/// Parcels that are looked at once.
const PARCELS_MAX: usize = 256;

/// Under which name a site is owed something.
pub(super) fn owed_to(site: &str) -> String {
    format!("{PREFIX}{site}")
}

/// The site that is owed something under this name.
pub(super) fn site_of(title: &str) -> Option<&str> {
    title.strip_prefix(PREFIX)
}

/// Begins the lane of a site; false if there is no thread for it.
pub(super) fn begin(dimse: &Arc<Dimse>, title: &str, site: &str) -> bool {
    let (owed_to, site) = (title.to_owned(), site.to_owned());
    let lane = Lane { dimse: Arc::clone(dimse), owed_to, site };
    let begun = std::thread::Builder::new()
        .name("cairn-referral-lane".into())
        .spawn(move || run_lane(&lane.dimse, || lane.work()));
    if let Err(error) = &begun {
        tracing::warn!(%error, "there is no thread to refer with");
    }
    begun.is_ok()
}

struct Lane {
    dimse: Arc<Dimse>,
    owed_to: String,
    site: String,
}

impl Lane {
    /// Grants what is due.
    fn work(&self) -> Result<Next> {
        let due = self.outbox().due(&self.owed_to, now_ms(), PARCELS_MAX)?;
        let mut studies: BTreeMap<(String, String), Vec<Parcel>> = BTreeMap::new();
        for parcel in due {
            let which = (parcel.route.clone(), parcel.study_uid.clone());
            studies.entry(which).or_default().push(parcel);
        }
        if studies.is_empty() {
            return Ok(Next::Idle);
        }
        for ((route, study), parcels) in studies {
            let rule = self.dimse.settings.routes.iter().find(|rule| rule.name == route);
            // A rule that was taken out of the settings grants nothing any more.
            let referral = rule.and_then(|rule| rule.referral.as_ref());
            let done = referral.map_or(Ok(()), |referral| self.grant(&route, &study, referral));
            for parcel in parcels {
                self.note(rule, &parcel, &done)?;
            }
        }
        Ok(Next::Again)
    }

    fn grant(&self, rule: &str, study: &str, referral: &Referral) -> crate::error::Result<()> {
        let app = &self.dimse.app;
        let site = app.site().ok_or(Fault::NoLedger)?;
        let runtime = app.sharing_runtime().ok_or(Fault::NoLedger)?;
        let share = Share {
            study_uid: study.to_owned(),
            to: self.site.clone(),
            purpose: referral.purpose.clone(),
            seconds: referral.seconds,
            accept_first: false,
            no_retention: referral.no_retention,
            from_bucket: referral.from_bucket,
        };
        let granted = runtime.block_on(refer(app, &site, share))?;
        if let Some(shared) = granted {
            let line = Event::by_rule(rule, "share", &self.site, study);
            if app.audit.tell(line).is_err() {
                tracing::error!("a referral stands on the ledger, and not in the audit log");
            }
            app.metrics.sharing.referred();
            tracing::info!(
                to = self.site,
                grant = shared.grant,
                delivered = shared.is_delivered,
                "a study was referred"
            );
        }
        Ok(())
    }

    /// Notes what became of a parcel.
    fn note(
        &self,
        rule: Option<&Route>,
        parcel: &Parcel,
        done: &crate::error::Result<()>,
    ) -> Result<()> {
        let now = now_ms();
        let metrics = &self.dimse.app.metrics.routes;
        let Err(error) = done else {
            metrics.objects(&parcel.route, "sent", parcel.seqs.count());
            return self.outbox().tried(parcel.no, &[], &[], now);
        };
        let tries = parcel.tries.saturating_add(1);
        let status = code::NOT_GRANTED;
        tracing::warn!(route = parcel.route, to = self.site, tries, %error, "a study was not referred");
        if tries < rule.map_or(TRIES_WITHOUT_RULE, |rule| rule.tries) {
            let first = rule.map_or(RETRY_WITHOUT_RULE, |rule| rule.retry);
            let due_ms = now + pause(first, RETRY_MAX, parcel.tries).as_millis() as u64;
            metrics.objects(&parcel.route, "refused", parcel.seqs.count());
            return self.outbox().tried(
                parcel.no,
                &[Parcel { tries, status, due_ms, ..parcel.clone() }],
                &[],
                now,
            );
        }
        // One object stands for the study: tried again, all of it is granted.
        let one =
            parcel.seqs.bounds().map(|(first, _)| Seqs::from_iter([first])).unwrap_or_default();
        metrics.objects(&parcel.route, "given_up", 1);
        let given_up = Parcel { seqs: one, tries, status, ..parcel.clone() };
        self.outbox().tried(parcel.no, &[], &[given_up], now)
    }

    fn outbox(&self) -> &dyn Outbox {
        self.dimse.app.store.catalog().outbox()
    }
}
