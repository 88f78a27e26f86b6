//! A patient takes back what others may do.

use cairn_ledger::entry::{Body, Revoke, RevokeReason};
use cairn_ledger::order::Order;
use cairn_ledger::patient::{SaidBy, Withdrawal};
use serde::{Deserialize, Serialize};

use super::super::site::Site;
use super::super::{Fault, lock};
use super::Binding;
use crate::clock::now;
use crate::error::Result;

/// What was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Withdrawn {
    /// The study's name on the ledger.
    pub(crate) study: String,
    /// Sequences of the grants that ended by it.
    pub(crate) grants: Vec<u64>,
    /// Consents signed until then hold no more, in seconds since the epoch; `None`: they do.
    pub(crate) consents_until: Option<u64>,
}

impl Site {
    /// Ends grants of a patient's study, and with all of them what was signed before. Blocks on the disk.
    pub(crate) fn withdraw(&self, by: &SaidBy, withdrawal: &Withdrawal) -> Result<Withdrawn> {
        let study = withdrawal.study;
        let _turn = lock(&self.binding);
        let record = self.patients.by_key(&by.key);
        let binding = record.as_ref().and_then(|record| record.binding(&study).cloned());
        let not_theirs = || Fault::Consent("it is not signed by the patient whose study this is");
        let (mut record, binding) = record.zip(binding).ok_or_else(not_theirs)?;
        let at = now();
        let mut consents_until = None;
        if withdrawal.grant.is_none() {
            // Before grants end: nobody shall get another for what is being withdrawn.
            let until = binding.withdrawn.unwrap_or(0).max(at).max(by.signed);
            record.bind(Binding { withdrawn: Some(until), ..binding });
            self.patients.put(&self.folder, record)?;
            consents_until = Some(until);
        }
        let grants: Vec<u64> = self.with_state(|state| {
            let holding = state
                .grants_of(study)
                .filter(|(_, grant)| grant.revoked.is_none() && at < grant.expires);
            let meant = holding
                .filter(|(sequence, _)| withdrawal.grant.is_none_or(|grant| grant == *sequence));
            meant.map(|(sequence, _)| sequence).collect()
        });
        if grants.is_empty() && withdrawal.grant.is_some() {
            return Err(Fault::NoGrant("none of it holds".into()).into());
        }
        let reason = RevokeReason::ConsentWithdrawn;
        let bodies = grants.iter().map(|grant| Body::Revoke(Revoke { grant: *grant, reason }));
        self.check_trouble()?;
        let logged = self.log.append_all(bodies.collect());
        self.grew();
        for logged in logged {
            logged?;
        }
        Ok(Withdrawn { study: study.to_string(), grants, consents_until })
    }
}
