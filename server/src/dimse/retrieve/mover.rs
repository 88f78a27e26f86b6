//! C-MOVE (PS3.4 §C.4.2): objects go to another application entity, which the settings know.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use cairn_dicom::syntax::{EXPLICIT_LE, IMPLICIT_LE};
use cairn_store::catalog::VersionRow;

use super::counts::Counts;
use super::prepare::{job, route};
use super::send::{command, send};
use super::{Final, Selected};
use crate::dicomweb::ahead::Ahead;
use crate::dimse::association::Association;
use crate::dimse::command::{Command, field};
use crate::dimse::end::End;
use crate::dimse::limits::PENDING_EVERY;
use crate::dimse::negotiate::Context;
use crate::dimse::scu::{Scu, Wanted};
use crate::dimse::service::Model;
use crate::dimse::settings::Peer;
use crate::dimse::status;

/// How often a receiver that breaks off is called again in one retrieval.
const CALLS_MAX: usize = 3;

impl Association {
    /// Sends what is asked for to somebody else.
    pub(in crate::dimse) fn move_to(
        &mut self,
        context: &Context,
        request: &Command,
        model: Model,
    ) -> Result<(), End> {
        let begun = Instant::now();
        let title = request.text(field::MOVE_DESTINATION).unwrap_or_default();
        let may = self.grant.may_move_to(&title);
        let peer = self.dimse.settings.peer(&title).cloned();
        // The identifier is read in any case: it stands in the way of the next command.
        let selected = self.selected(context, request, model)?;
        let (counts, last) = match (selected, peer) {
            _ if !may => {
                let comment = "objects may not be moved there";
                (Counts::default(), (status::NOT_AUTHORIZED, Some(comment.into())))
            }
            (_, None) => {
                let comment = "the move destination is not known here";
                (Counts::default(), (status::DESTINATION_UNKNOWN, Some(comment.into())))
            }
            (Selected::Refused(last), _) => (Counts::default(), last),
            (Selected::Versions(versions), Some(peer)) => {
                let mut counts = Counts::new(versions.len());
                let last = self.bring_to(&peer, context, request, versions, &mut counts)?;
                let last = last.unwrap_or_else(|| counts.status());
                (counts, last)
            }
        };
        self.operated("move", last.0, begun);
        self.conclude(context, request, &counts, last)
    }

    fn bring_to(
        &mut self,
        peer: &Peer,
        context: &Context,
        request: &Command,
        versions: Vec<VersionRow>,
        counts: &mut Counts,
    ) -> Result<Option<Final>, End> {
        let mut left = versions;
        for _ in 0..CALLS_MAX {
            if left.is_empty() {
                break;
            }
            let scu = match Scu::open(&self.dimse.settings, peer, &wanted(&left), Vec::new()) {
                Ok(scu) => scu,
                Err(why) => {
                    tracing::warn!(to = peer.title, %why, "a move destination is out of reach");
                    break;
                }
            };
            let before = left.len();
            let ended = self.bring_over(scu, context, request, &mut left, counts)?;
            if ended.is_some() {
                return Ok(ended);
            }
            if left.len() == before {
                break;
            }
        }
        for version in left {
            counts.count(None, &version.sop_instance_uid);
        }
        Ok(None)
    }

    /// Sends over one association; what is done with is taken off `left`. A receiver that breaks off
    /// leaves the rest there.
    fn bring_over(
        &mut self,
        mut scu: Scu,
        context: &Context,
        request: &Command,
        left: &mut Vec<VersionRow>,
        counts: &mut Counts,
    ) -> Result<Option<Final>, End> {
        let app = Arc::clone(&self.dimse.app);
        let contexts = scu.contexts.clone();
        let versions = left.clone();
        let jobs = versions.into_iter().map(move |version| {
            let route = route(&contexts, &version);
            job(Arc::clone(&app), version, route)
        });
        let mut told = Instant::now();
        let mut done = 0;
        let mut broken = false;
        for (n, prepared) in Ahead::new(jobs).enumerate() {
            if self.is_cancelled(request)? {
                scu.release();
                return Ok(Some((status::CANCELLED, None)));
            }
            let sop = left.get(n).map(|version| version.sop_instance_uid.as_str());
            let sop = sop.unwrap_or_default();
            let code = match prepared {
                Err(_) => None,
                Ok(prepared) => {
                    let id = request.get(field::MESSAGE_ID).unwrap_or(0);
                    let command = command(&prepared, n as u16)
                        .with_text(field::MOVE_ORIGINATOR, &self.calling)
                        .number(field::MOVE_ORIGINATOR_ID, id);
                    let sent = send(&mut scu.outbound, &command, prepared);
                    match sent.and_then(|()| scu.answer()) {
                        Ok(answer) => Some(answer.get(field::STATUS).unwrap_or(u16::MAX)),
                        Err(why) => {
                            tracing::warn!(%why, "a move destination broke off");
                            broken = true;
                            None
                        }
                    }
                }
            };
            counts.count(code, sop);
            done = n + 1;
            if broken {
                break;
            }
            if told.elapsed() >= PENDING_EVERY {
                told = Instant::now();
                self.answer(context, &counts.answer(request, status::PENDING, true))?;
            }
        }
        left.drain(..done.min(left.len()));
        if broken {
            scu.abort();
        } else {
            scu.release();
        }
        Ok(None)
    }
}

/// What to propose: each class in the syntaxes that are stored, then in those that everything else can
/// be converted to. A context has one syntax, so that the receiver cannot choose the wrong one.
fn wanted(versions: &[VersionRow]) -> Vec<Wanted> {
    let mut stored = BTreeSet::new();
    let mut plain = BTreeSet::new();
    for version in versions {
        let of = |syntax: &str| Wanted {
            class: version.sop_class_uid.clone(),
            transfer_syntax: syntax.to_owned(),
        };
        stored.insert(of(&version.transfer_syntax_uid));
        plain.extend([of(EXPLICIT_LE), of(IMPLICIT_LE)]);
    }
    let plain = plain.difference(&stored).cloned().collect::<Vec<_>>();
    stored.into_iter().chain(plain).collect()
}
