//! What a line means in the words of the standard: the codes that DICOM audit messages (PS3.15 §A.5.3,
//! PS3.16 CID 400 and 401) and FHIR AuditEvents share.

use super::event::{Event, Face};

/// A code of DICOM's own scheme, with its meaning.
pub(super) type Code = (&'static str, &'static str);

const APPLICATION_ACTIVITY: Code = ("110100", "Application Activity");
const INSTANCES_ACCESSED: Code = ("110103", "DICOM Instances Accessed");
const INSTANCES_TRANSFERRED: Code = ("110104", "DICOM Instances Transferred");
const STUDY_DELETED: Code = ("110105", "DICOM Study Deleted");
const QUERY: Code = ("110112", "Query");
const SECURITY_ALERT: Code = ("110113", "Security Alert");
const USER_AUTHENTICATION: Code = ("110114", "User Authentication");

const OVERRIDE_STARTED: Code = ("110127", "Emergency Override Started");
const OVERRIDE_STOPPED: Code = ("110138", "Emergency Override Stopped");
const SECURITY_CONFIGURATION: Code = ("110129", "Security Configuration");
const OBJECT_SECURITY: Code = ("110135", "Object Security Attributes Changed");
const USER_SECURITY: Code = ("110137", "User Security Attributes Changed");

const START: Code = ("110120", "Application Start");
const STOP: Code = ("110121", "Application Stop");
const LOGIN: Code = ("110122", "Login");
const NODE_AUTHENTICATION: Code = ("110126", "Node Authentication");
const RESTRICTED_FUNCTION: Code = ("110132", "Use of Restricted Function");

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    /// What happened.
    pub(super) event: Code,
    /// More closely.
    pub(super) kind: Option<Code>,
    /// Create, read, update, delete, execute.
    pub(super) action: char,
    /// 0 it was done, 4 it was not, 8 somebody was not let in.
    pub(super) outcome: &'static str,
}

/// `None`: the standard has no message for it, as of figures and pings.
pub(super) fn meaning(event: &Event) -> Option<Meaning> {
    let outcome = if event.ok { "0" } else { "4" };
    let of = |code, action| Some(Meaning { event: code, kind: None, action, outcome });
    let alert =
        |code, kind| Some(Meaning { event: code, kind: Some(kind), action: 'E', outcome: "8" });
    let change =
        |kind| Some(Meaning { event: SECURITY_ALERT, kind: Some(kind), action: 'E', outcome });
    match (event.face, event.op.as_str(), event.why.as_str(), event.act.as_str()) {
        (_, "emergency_override", "", _) => change(OVERRIDE_STARTED),
        (_, "emergency_override", ..) => alert(SECURITY_ALERT, RESTRICTED_FUNCTION),
        // Found justified, the access goes on until it ends by itself.
        (_, "emergency_review", ..) if event.status == "unjustified" => change(OVERRIDE_STOPPED),
        (_, "emergency_review", ..) => change(OBJECT_SECURITY),
        (Face::Command, op, ..) => match op {
            "share" | "revoke" | "accept" | "hand_over" | "take_over" => change(OBJECT_SECURITY),
            "join" | "rotate" | "add_peer" | "remove_peer" => change(SECURITY_CONFIGURATION),
            "token_new" | "token_revoke" => change(USER_SECURITY),
            "fetch" => of(INSTANCES_TRANSFERRED, 'C'),
            _ => None,
        },
        (Face::Log, "open" | "close", ..) => {
            let kind = Some(if event.op == "open" { START } else { STOP });
            Some(Meaning { event: APPLICATION_ACTIVITY, kind, action: 'E', outcome })
        }
        (Face::Log, ..) => None,
        (Face::Dimse, "associate", ..) => alert(SECURITY_ALERT, NODE_AUTHENTICATION),
        (_, _, "permission" | "study" | "nameless" | "port", _) => {
            alert(SECURITY_ALERT, RESTRICTED_FUNCTION)
        }
        (_, _, why, _) if !why.is_empty() => alert(USER_AUTHENTICATION, LOGIN),
        (.., "store") => of(INSTANCES_TRANSFERRED, 'C'),
        (Face::Http, "delete_study", ..) => of(STUDY_DELETED, 'D'),
        (.., "delete") => of(INSTANCES_ACCESSED, 'D'),
        (Face::Dimse, .., "read") => of(INSTANCES_TRANSFERRED, 'R'),
        (.., "read") => of(INSTANCES_ACCESSED, 'R'),
        (Face::Peer, ..) if event.ledger_study.is_some() => of(INSTANCES_TRANSFERRED, 'R'),
        (Face::Peer, "peer_search" | "peer_emergency", ..) | (.., "search" | "commit") => {
            of(QUERY, 'E')
        }
        _ => None,
    }
}

/// Is it a UID, which can be an OID?
pub(super) fn is_oid(uid: &str) -> bool {
    let plain = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits && (part == "0" || !part.starts_with('0'))
    };
    uid.len() <= 64 && uid.contains('.') && uid.split('.').all(plain)
}
