//! Whoever looks after a site hears of emergency accesses: in the log, in the figures, and with a line of the
//! audit log for each.

use std::sync::Arc;

use cairn_ledger::id::{SiteId, StudyId};

use super::journal::Line;
use super::{Broken, fetched_uid, own_uid};
use crate::audit::{Event, Face};
use crate::error::Result;
use crate::http::App;
use crate::sharing::Fault;
use crate::sharing::site::Site;

/// Of an access, and of the review of one.
const OPENED: &str = "opened";
const REVIEWED: &str = "reviewed";

/// How many wait for a review, and what that keeps from being done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GlassFigures {
    /// Of others, to this site's studies.
    pub(crate) suffered: u64,
    /// Of this site, to others' studies.
    pub(crate) broken: u64,
    /// Of these, those that keep a group from opening another.
    pub(crate) blocking: u64,
}

impl Site {
    /// What is measured.
    pub(in crate::sharing) fn glass_figures(&self) -> GlassFigures {
        // Without a catalog nothing can fail.
        let waiting = self.broken(None, false).unwrap_or_default();
        let own = waiting.iter().filter(|it| it.is_own).count() as u64;
        let blocking = waiting.iter().filter(|it| it.is_blocking).count() as u64;
        GlassFigures { suffered: waiting.len() as u64 - own, broken: own, blocking }
    }

    /// Tells whoever looks after this site of emergency accesses that have just become known.
    pub(in crate::sharing) fn tell_of_broken_glass(self: &Arc<Self>, before: usize) {
        let pending = self.with_federation(|federation| federation.pending_reviews().len());
        if pending > before {
            tracing::error!(
                waiting = pending,
                "GLASS WAS BROKEN: another site opened a study of this one in an emergency; \
                 `cairn glass` lists it, and it has to be reviewed"
            );
        }
    }
}

/// Writes a line into the audit log for each access to this site's studies, and for each review by the
/// owner of what this site opened; once, but for a crash in between. What this site opens has its line
/// before it is opened.
pub(in crate::sharing) fn tell(app: &App, site: &Site) -> Result<()> {
    // Without a catalog, as of most nothing has to be told any more.
    for broken in site.broken(None, true)? {
        let what = if broken.is_own { REVIEWED } else { OPENED };
        let known = site.glass.read(|lines| {
            lines.iter().any(|line| match line {
                Line::Told { site, entry, what: told } => {
                    *site == broken.site && *entry == broken.entry && told == what
                }
                _ => false,
            })
        });
        if known || broken.is_own && broken.verdict.is_none() {
            continue;
        }
        let study_uid = uid_of(app, &broken)?;
        let mut event = Event {
            face: Face::Peer,
            op: if broken.is_own { "emergency_review" } else { "emergency_override" }.into(),
            act: "break-glass".into(),
            status: broken.verdict.filter(|_| broken.is_own).unwrap_or_default(),
            ok: true,
            who: if broken.is_own { broken.owner } else { broken.site.clone() },
            kind: "site".into(),
            ledger_study: Some(broken.study),
            ..Event::default()
        };
        event.about(study_uid.as_deref());
        app.audit.tell(event).map_err(|_| Fault::Unaudited)?;
        let (site_id, entry, what) = (broken.site, broken.entry, what.to_owned());
        site.glass.add(Line::Told { site: site_id, entry, what })?;
    }
    Ok(())
}

/// The study's UID, as far as the archive knows it.
fn uid_of(app: &App, broken: &Broken) -> Result<Option<String>> {
    let (Some(study), Some(owner)) =
        (StudyId::from_hex(&broken.study), SiteId::from_hex(&broken.owner))
    else {
        return Ok(None);
    };
    let catalog = Some(app.store.catalog());
    if broken.is_own { fetched_uid(catalog, &owner, &study) } else { own_uid(catalog, &study) }
}
