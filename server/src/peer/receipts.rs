//! Receipts: an access has ended, and both sides sign for it.
//!
//! The reader sends its signature; the owner logs it and answers with its own, which the reader logs. The
//! same receipt sent again (the answer was lost) is answered again and logged once.

use std::sync::Arc;

use cairn_ledger::entry::{Body, Receipt};
use cairn_ledger::id::{Link, SiteId};
use cairn_ledger::limits::CLOCK_SKEW_SECONDS;
use cairn_ledger::order::Order;
use hyper::StatusCode;

use super::answer::trouble;
use crate::clock::now;
use crate::error::Error;
use crate::http::{Answer, App, Ask, Problem, Reply};
use crate::sharing::Site;

/// Longest receipt in bytes: some 300.
pub(super) const RECEIPT_BYTES_MAX: usize = 1 << 10;
/// How far back in the log a receipt is looked for that comes again.
const AGAIN_WITHIN_ENTRIES: u64 = 4096;

/// Signs for an access that another site reports.
pub(super) async fn sign(app: &Arc<App>, site: Arc<Site>, reader: SiteId, mut ask: Ask) -> Answer {
    let body = ask.body.whole(RECEIPT_BYTES_MAX as u64).await?;
    let receipt = Receipt::decode(&body).map_err(|_| Problem::bad("that is no receipt"))?;
    app.blocking(move |_| {
        check(&site, reader, &receipt)?;
        log(&site, &receipt)?;
        let secret = site.secret();
        let answer = Receipt {
            access: receipt.access,
            key: secret.public().sign,
            countersignature: receipt.access.countersign(&secret.entry_key()),
        };
        Ok(Reply::ok("application/octet-stream", answer.encode()))
    })
    .await
}

fn forbidden(message: &'static str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, message)
}

fn check(site: &Site, reader: SiteId, receipt: &Receipt) -> Result<(), Problem> {
    let access = &receipt.access;
    if access.owner != site.id() || access.reader != reader {
        return Err(forbidden("the receipt is of other sites"));
    }
    if access.began > access.ended || access.ended > now() + CLOCK_SKEW_SECONDS {
        return Err(Problem::bad("the receipt's times cannot be"));
    }
    // Also: is it signed with the reader's key, and is the right on the ledger?
    if !site.with_federation(|federation| federation.receipt_holds(&site.id(), receipt)) {
        return Err(forbidden("the receipt is not signed by its reader, or names no right"));
    }
    Ok(())
}

/// Logs it, unless it is there.
fn log(site: &Site, receipt: &Receipt) -> Result<(), Problem> {
    let right = receipt.access.right;
    let mut next = 0;
    site.log().read(&mut |state| next = state.next_receipt(&right));
    if receipt.access.number < next {
        return if is_logged(site, &right, receipt)? {
            Ok(())
        } else {
            Err(Problem::new(StatusCode::CONFLICT, "another access has that number"))
        };
    }
    match site.append(Body::Receipt(Box::new(receipt.clone()))) {
        Ok(_) => Ok(()),
        Err(Error::Ledger(cairn_ledger::Error::Rejected(why))) => {
            Err(Problem::new(StatusCode::CONFLICT, format!("the receipt is refused: {why}")))
        }
        Err(error) => Err(Problem::internal(error.to_string())),
    }
}

fn is_logged(site: &Site, right: &Link, receipt: &Receipt) -> Result<bool, Problem> {
    let size = site.log().head().checkpoint().size;
    let from = size.saturating_sub(AGAIN_WITHIN_ENTRIES);
    let entries = site.log().entries(from..size).map_err(trouble)?;
    Ok(entries.iter().rev().any(|bytes| {
        let entry = cairn_ledger::entry::SignedEntry::decode(bytes);
        entry.is_ok_and(|entry| match &entry.entry().body {
            Body::Receipt(known) => known.access.right == *right && known.access == receipt.access,
            _ => false,
        })
    }))
}
