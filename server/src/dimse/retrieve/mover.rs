//! C-MOVE (PS3.4 §C.4.2): objects go to another application entity, which the settings know.

use std::sync::Arc;
use std::time::Instant;

use cairn_store::catalog::VersionRow;

use super::counts::Counts;
use super::{Final, Selected};
use crate::dimse::association::Association;
use crate::dimse::command::{Command, field};
use crate::dimse::end::End;
use crate::dimse::limits::PENDING_EVERY;
use crate::dimse::negotiate::Context;
use crate::dimse::service::Model;
use crate::dimse::settings::Peer;
use crate::dimse::ship::{Fate, Shipment};
use crate::dimse::status;

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
        self.operated("move", last.0, begun)?;
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
        let id = request.get(field::MESSAGE_ID).unwrap_or(0);
        let shipment = Arc::new(Shipment {
            app: Arc::clone(&self.dimse.app),
            settings: self.dimse.settings.clone(),
            pool: Arc::clone(&self.dimse.pool),
            peer: peer.clone(),
            originator: Some((self.calling.clone(), id)),
        });
        let names: Vec<String> =
            versions.iter().map(|version| version.sop_instance_uid.clone()).collect();
        let mut told = Instant::now();
        let mut cancelled = false;
        shipment.run(versions, &mut |event| {
            if let Some((index, fate)) = event {
                let status = match fate {
                    Fate::Answered(status) => Some(status),
                    _ => None,
                };
                counts.count(status, names.get(index).map_or("", String::as_str));
            }
            cancelled = cancelled || self.is_cancelled(request)?;
            if !cancelled && told.elapsed() >= PENDING_EVERY {
                told = Instant::now();
                self.answer(context, &counts.answer(request, status::PENDING, true))?;
            }
            Ok::<bool, End>(!cancelled)
        })?;
        Ok(cancelled.then_some((status::CANCELLED, None)))
    }
}
