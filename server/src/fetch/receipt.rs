//! The receipt for a study that came: signed by both sides, in both logs.

use cairn_ledger::entry::{Access, Body, Outcome, Receipt};
use cairn_ledger::id::{LeafHash, Link, SiteId, StudyId};
use cairn_ledger::order::Order;
use cairn_store::catalog::editions::{FetchState, Fetched};
use tokio::runtime::Handle;

use super::error::Error;
use crate::http::App;
use crate::peer::Client;
use crate::sharing::Site;

/// The number of the next access under this right.
pub(super) fn next_number(site: &Site, right: &Link) -> u64 {
    let mut next = 1;
    site.log().read(&mut |state| next = state.next_receipt(right));
    next
}

fn access(site: &Site, row: &Fetched, outcome: Outcome) -> Access {
    let site_id = SiteId(row.right_site);
    Access {
        owner: SiteId(row.owner),
        reader: site.id(),
        right: Link { site: site_id, sequence: row.right_sequence, leaf: LeafHash(row.right_leaf) },
        study: StudyId(row.study),
        version: row.version,
        number: row.number,
        began: row.began_ms / 1000,
        ended: row.ended_ms.max(row.began_ms) / 1000,
        outcome,
    }
}

/// Has the owner sign for the access, and logs what it signed. False if the owner cannot be reached now:
/// what is due is tried again later.
pub(super) fn exchange(
    app: &App,
    site: &Site,
    client: &Client,
    row: &mut Fetched,
) -> Result<bool, Error> {
    let access = access(site, row, Outcome::Verified);
    if !sign_and_log(site, client, access)? {
        return Ok(false);
    }
    row.state = FetchState::Receipted;
    app.store.catalog().editions().put_fetched(row)?;
    Ok(true)
}

/// Tries again what is due.
pub(crate) fn retry(app: &App, site: &Site) -> Result<(), Error> {
    let editions = app.store.catalog().editions();
    let due = editions.all_fetched(None)?.into_iter();
    for mut row in due.filter(|row| row.state == FetchState::ReceiptDue) {
        // A site that is no peer any more signs for nothing.
        let Ok(client) = site.client(&SiteId(row.owner)) else { continue };
        exchange(app, site, &client, &mut row)?;
    }
    Ok(())
}

/// Both sides note that something did not verify. The access is over; the next one has a number of its
/// own.
pub(super) fn mismatch(
    app: &App,
    site: &Site,
    client: &Client,
    row: &Fetched,
) -> Result<(), Error> {
    let access = access(site, row, Outcome::Mismatch);
    // Whoever lies may not sign either. What was found is told to the caller in any case.
    if let Ok(true) = sign_and_log(site, client, access) {
        let row = Fetched { number: row.number + 1, ..row.clone() };
        app.store.catalog().editions().put_fetched(&row)?;
    }
    Ok(())
}

fn sign_and_log(site: &Site, client: &Client, access: Access) -> Result<bool, Error> {
    let secret = site.secret();
    let own = Receipt {
        access,
        key: secret.public().sign,
        countersignature: access.countersign(&secret.entry_key()),
    };
    let theirs = match Handle::current().block_on(client.receipt(&own)).map_err(Error::from) {
        Ok(theirs) => theirs,
        Err(error) if error.is_lie() => return Err(error),
        Err(error) => {
            // Also a refusal: two clocks may disagree. What is due is tried again.
            tracing::info!(%error, "the owner does not sign for an access yet");
            return Ok(false);
        }
    };
    let known = site.with_federation(|federation| {
        let owner = federation.member(&access.owner);
        owner.is_some_and(|owner| owner.state.has_signed_with(&theirs.key))
    });
    if theirs.access != access || !theirs.holds() || !known {
        return Err(Error::Lie("its signature for the receipt does not hold"));
    }
    let mut next = 0;
    site.log().read(&mut |state| next = state.next_receipt(&access.right));
    // It may be there: a crash came between the log and the catalog.
    if access.number >= next
        && let Err(error) = site.append(Body::Receipt(Box::new(theirs)))
    {
        tracing::warn!(%error, "a receipt cannot be logged here yet");
        return Ok(false);
    }
    Ok(true)
}
