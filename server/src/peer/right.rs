//! The right under which a site reads, and whether it still holds.

use cairn_ledger::access::{Denial, Permit, Question};
use cairn_ledger::entry::Purpose;
use cairn_ledger::id::StudyId;
use hyper::StatusCode;

use crate::clock::now;
use crate::http::Problem;
use crate::sharing::Site;

/// Who reads what, and what for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) key: [u8; 32],
    pub(super) study: StudyId,
    pub(super) version: u64,
    pub(super) purpose: Purpose,
}

impl Reading {
    /// Is it granted, as of now?
    pub(super) fn permit(&self, site: &Site) -> Result<Permit, Denial> {
        let Self { key, study, version, purpose } = *self;
        let question = Question { owner: site.id(), study, version, key, purpose, now: now() };
        site.with_federation(|federation| federation.evaluate(&question))
    }
}

/// What who is refused is told. A site that has no grant at all does not learn whether there is such a
/// study.
pub(super) fn refusal(denial: Denial) -> Problem {
    let told = match denial {
        Denial::Disowned(_) => Denial::NoGrant,
        other => other,
    };
    Problem::new(StatusCode::FORBIDDEN, told.to_string()).detail(denial.to_string())
}
