//! A study of another site, opened in an emergency without a grant.

use std::sync::Arc;

use cairn_ledger::entry::Purpose;
use cairn_ledger::id::StudyId;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::demand::tell_until;
use super::{Error, Finished, Options, Order, Progress, Tenure, patiently, run};
use crate::audit::{Event, clean_note};
use crate::error::{Error as AnyError, Result};
use crate::http::App;
use crate::peer::Subject;
use crate::sharing::control::Teller;
use crate::sharing::{Break, Breaker, Fault, Opened, Site};

/// Says on the ledger that another site's study is opened in an emergency, after that was written down
/// here. `asked`: what is known of the request, for its line in the audit log.
pub(crate) async fn open_glass(
    app: &Arc<App>,
    site: &Arc<Site>,
    request: Break,
    by: Breaker,
    asked: Event,
) -> Result<Opened> {
    let owner = site.find_peer(&request.from)?.site;
    // Which version is the newest, as far as can be known now?
    drop(site.sync_peer(&owner).await);
    let (breaking, own) = (Arc::clone(site), Arc::clone(app));
    let opened = tokio::task::spawn_blocking(move || {
        let line = |study: &StudyId| Event {
            op: "emergency_override".into(),
            act: "break-glass".into(),
            ok: true,
            ledger_study: Some(study.to_string()),
            note: clean_note(&request.text),
            ..asked.clone()
        };
        let tell = |event| own.audit.tell(event).map_err(|_| Fault::Unaudited.into());
        let opened = breaking.break_glass(&request, &by, |_, study| tell(line(study)));
        if let (Err(AnyError::Sharing(Fault::Unreviewed { .. })), Some(study)) =
            (&opened, StudyId::from_hex(&request.study))
        {
            tell(Event { ok: false, why: "unreviewed".into(), ..line(&study) })?;
        }
        opened
    });
    let opened = match opened.await {
        Ok(opened) => opened?,
        Err(_) => return Err(Fault::Control("a job panicked".into()).into()),
    };
    // The owner answers for it as soon as it has seen the entry.
    site.spread(Some(&owner)).await;
    Ok(opened)
}

/// Fetches what the glass was broken for.
pub(crate) async fn in_an_emergency(
    app: &Arc<App>,
    site: &Arc<Site>,
    opened: &Opened,
    teller: &Teller,
) -> Result<Finished> {
    let opened = opened.clone();
    let subject =
        Subject { study: opened.study, version: opened.version, purpose: Purpose::Emergency };
    let (tell, told) = watch::channel(Progress::default());
    let (own, sharing) = (Arc::clone(app), Arc::clone(site));
    let fetching = tokio::task::spawn_blocking(move || {
        let client =
            sharing.client(&opened.owner).map_err(|error| Error::NoGrant(error.to_string()))?;
        let options = Options::default();
        let sealed =
            patiently(&options, || Ok(Handle::current().block_on(client.opening(&subject))?))?;
        let version = (opened.study, opened.version);
        let opening = sharing.unseal(&opened.owner, &sealed, version);
        let opening = opening.map_err(|_| Error::Lie("its opening is not of its commitment"))?;
        let (owner, right) = (opened.owner, opened.right);
        let (from_bucket, tenure) = (false, Tenure::Emergency);
        let order = Order { owner, subject, right, opening, tenure, from_bucket };
        run(&own, &sharing, &order, &options, &|progress| {
            tell.send_replace(progress);
        })
    });
    tell_until(fetching, told, teller).await
}
