//! C-GET and C-MOVE (PS3.4 §C.4.2, §C.4.3): from unique keys to objects on their way to a receiver.
//!
//! ```text
//! identifier ─▶ select: versions ─▶ prepare, a few ahead ─▶ send: C-STORE ─▶ answer ─▶ counters
//! ```
//!
//! A receiver is the peer itself (C-GET), or another one over associations of its own (C-MOVE, [`ship`](super::ship)). An
//! object goes out as it is stored where the receiver takes that; else as Explicit, else as Implicit
//! VR Little Endian; else its sub-operation fails, and the next begins.

mod counts;
mod get;
mod mover;
pub(super) mod prepare;
mod select;
pub(super) mod send;

use cairn_store::catalog::VersionRow;

use super::association::Association;
use super::command::Command;
use super::end::End;
use super::identifier::{Identifier, Level};
use super::negotiate::Context;
use super::service::Model;
use super::status;
use crate::fetch;
use crate::http::limits::SETTLE_PATIENCE;

/// A final status, and a comment on it.
type Final = (u16, Option<String>);

/// What there is to send, or why nothing can be.
enum Selected {
    Versions(Vec<VersionRow>),
    Refused(Final),
}

impl Association {
    /// Reads the identifier of a retrieval and looks up what it means.
    fn selected(
        &mut self,
        context: &Context,
        request: &Command,
        model: Model,
    ) -> Result<Selected, End> {
        let refused = |code, comment: &str| Ok(Selected::Refused((code, Some(comment.to_owned()))));
        if !request.has_data_set() {
            return refused(status::CANNOT_UNDERSTAND, "there is no identifier");
        }
        let bytes = self.inbound.identifier(context.id)?;
        let Some(identifier) = Identifier::parse(bytes, &context.transfer_syntax, model) else {
            let comment = "the identifier has no level of this model, or cannot be read";
            return refused(status::IDENTIFIER_MISMATCH, comment);
        };
        // What was acknowledged before is sent as well.
        let study = identifier.text(Level::Study.unique_key());
        self.about = study.iter().flat_map(|uids| uids.split('\\')).map(str::to_owned).collect();
        let study = study.filter(|uids| !uids.contains(['\\', '*', '?']));
        if !self.dimse.app.settle(study.as_deref(), SETTLE_PATIENCE) {
            let comment = "what was received is not in the archive yet";
            return refused(status::CANNOT_PERFORM, comment);
        }
        self.fetch(&identifier);
        match select::versions(self.dimse.app.store.catalog(), &identifier) {
            Ok(versions) => {
                // They come study by study.
                self.about = versions.iter().map(|version| version.study_uid.clone()).collect();
                self.about.dedup();
                Ok(Selected::Versions(versions))
            }
            Err(select::Refused::Key) => {
                let comment = "the unique key of the level is missing, or no list of UIDs";
                refused(status::IDENTIFIER_MISMATCH, comment)
            }
            Err(select::Refused::TooMany) => {
                refused(status::CANNOT_COUNT, "that is more than one retrieval may bring")
            }
            Err(select::Refused::Store(error)) => Ok(Selected::Refused(self.failed(&error))),
        }
    }

    /// Has studies here that are named, are not here, and were granted by other sites.
    fn fetch(&self, identifier: &Identifier) {
        let app = &self.dimse.app;
        let Some(runtime) = app.sharing_runtime() else { return };
        let named = identifier.text(Level::Study.unique_key()).unwrap_or_default();
        for study in named.split('\\').filter(|study| !study.is_empty()) {
            runtime.block_on(fetch::on_demand(app, study));
        }
    }
}
