//! From arrivals to parcels: which rules are about them.

use std::collections::{HashMap, HashSet};

use cairn_store::Result;
use cairn_store::catalog::outbox::{Arrival, Parcel, Subject};
use cairn_store::catalog::{Outbox, Seqs};
use cairn_store::commit::Source;

use super::route::{Referral, Route};
use crate::clock::now_ms;
use crate::dimse::Dimse;

/// Arrivals that are looked at in one transaction.
const ARRIVALS_MAX: usize = 500;

/// From which sequence number each rule counts.
#[derive(Default)]
pub(super) struct Sinces(HashMap<String, u64>);

impl Sinces {
    fn of(&mut self, outbox: &dyn Outbox, rule: &Route) -> Result<u64> {
        if let Some(since) = self.0.get(&rule.name) {
            return Ok(*since);
        }
        let since = outbox.route_since(&rule.name)?;
        self.0.insert(rule.name.clone(), since);
        Ok(since)
    }
}

/// Looks at the next arrivals; how many there were.
pub(super) fn dispatch(dimse: &Dimse, sinces: &mut Sinces) -> Result<usize> {
    let outbox = dimse.app.store.catalog().outbox();
    let rules = &dimse.settings.routes;
    let sinces = rules.iter().map(|rule| sinces.of(outbox, rule)).collect::<Result<Vec<_>>>()?;
    let arrivals = outbox.arrivals(ARRIVALS_MAX)?;
    let Some(last) = arrivals.last() else { return Ok(0) };
    let mut parcels = Vec::new();
    // A study has many series, and its priors are looked for once.
    let mut looked = HashSet::new();
    for arrival in &arrivals {
        // Deleted meanwhile, with its series: there is nothing to forward.
        let Some(subject) = outbox.subject(&arrival.study_uid, &arrival.series_uid)? else {
            continue;
        };
        for (rule, since) in rules.iter().zip(&sinces) {
            let asked = asked_for(rule, *since, arrival, &subject);
            let again = rule.priors.is_some()
                && !asked.is_empty()
                && !looked.insert((&rule.name, &arrival.study_uid));
            parcels.extend(asked.into_iter().filter(|_| !again));
        }
    }
    outbox.dispatch(last.no, &parcels)?;
    if !parcels.is_empty() {
        tracing::debug!(arrivals = arrivals.len(), parcels = parcels.len(), "rules were applied");
    }
    Ok(arrivals.len())
}

/// Nobody wants to know of arrivals.
pub(super) fn forget(dimse: &Dimse) -> Result<()> {
    dimse.app.store.catalog().outbox().dispatch(i64::MAX as u64, &[])
}

/// What a rule asks for because of an arrival.
fn asked_for(rule: &Route, since: u64, arrival: &Arrival, subject: &Subject) -> Vec<Parcel> {
    let seqs = arrival.seqs.from(since);
    if seqs.is_empty() || !rule.when.matches(arrival, subject) {
        return Vec::new();
    }
    let now = now_ms();
    let parcel = |peer: &String, series: &str, seqs: Seqs, due_ms| Parcel {
        no: 0,
        route: rule.name.clone(),
        peer: peer.clone(),
        study_uid: arrival.study_uid.clone(),
        series_uid: series.into(),
        seqs,
        priority: rule.priority,
        tries: 0,
        status: 0,
        added_ms: now,
        due_ms,
    };
    let Some(priors) = &rule.priors else {
        let due = now.max(arrival.received_ms + rule.quiet.as_millis() as u64);
        // Nothing goes back to whom it came from.
        let to = rule.to.iter().filter(|title| !title.eq_ignore_ascii_case(&arrival.calling));
        // What came from another site is that site's to grant.
        let is_ours = !matches!(arrival.source, Source::Peer | Source::Entrusted);
        let referral = rule.referral.iter().filter(|_| is_ours);
        let sites: Vec<String> = referral.flat_map(Referral::owed_to).collect();
        let all = to.chain(&sites);
        return all.map(|title| parcel(title, &arrival.series_uid, seqs.clone(), due)).collect();
    };
    // Without a series: priors are to be looked for. Those of another archive first.
    let whom = priors.from.as_ref().map_or(&rule.to[..], std::slice::from_ref);
    whom.iter().map(|title| parcel(title, "", Seqs::default(), now)).collect()
}
