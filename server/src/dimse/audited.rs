//! The audit log's line for an operation, or for an association that was not let in.

use std::net::IpAddr;

use super::status;
use crate::audit::{Event, Face, clean};

/// Who speaks over an association.
#[derive(Debug, Clone, Default)]
pub(super) struct Speaker {
    /// The calling AE title, as it says itself.
    pub(super) calling: String,
    /// The user whose identity was checked.
    pub(super) user: Option<String>,
    /// Where the connection comes from.
    pub(super) from: Option<IpAddr>,
}

impl Speaker {
    /// An operation that is about to be answered with this status.
    pub(super) fn did(&self, operation: &str, code: u16) -> Event {
        let act = match operation {
            "store" => "store",
            "find" => "search",
            "get" | "move" => "read",
            "commit" => "commit",
            _ => "",
        };
        Event {
            act: act.to_owned(),
            status: format!("{code:04X}"),
            ok: matches!(status::class(code), "success" | "warning"),
            ..self.event(operation)
        }
    }

    /// An association that is about to be rejected.
    pub(super) fn rejected(&self, why: &str) -> Event {
        Event { status: "rejected".into(), why: why.to_owned(), ..self.event("associate") }
    }

    fn event(&self, operation: &str) -> Event {
        Event {
            face: Face::Dimse,
            op: operation.to_owned(),
            who: clean(&self.calling),
            kind: "ae".into(),
            user: self.user.as_deref().map(clean).unwrap_or_default(),
            from: self.from.map(|from| from.to_canonical().to_string()).unwrap_or_default(),
            ..Event::default()
        }
    }
}
