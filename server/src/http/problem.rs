//! What a client is told when it does not get what it asked for.
//!
//! Two texts that are never the same string: a sentence for the client, and what really happened
//! for the log. Neither holds anything of a patient. The body is a problem document (RFC 9457).

use std::borrow::Cow;

use cairn_store::{Error as StoreError, Kind};
use hyper::StatusCode;
use hyper::header::{
    ALLOW, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};

use super::limits::RETRY_AFTER_SECONDS;
use super::reply::Reply;
use crate::metrics::ErrorKind;

/// The client went away in the middle of a reply. Nobody is told; the connection ends.
pub(crate) fn gone(_: super::stream::Gone) -> Problem {
    Problem {
        kind: ErrorKind::Request,
        ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the client is gone")
    }
}

/// What to show instead (RFC 6750 §3): to who showed nothing, what does not count, and too little.
const CHALLENGE: &str = "Bearer realm=\"cairn\"";
const CHALLENGE_TOKEN: &str = "Bearer realm=\"cairn\", error=\"invalid_token\"";
const CHALLENGE_SCOPE: &str = "Bearer realm=\"cairn\", error=\"insufficient_scope\"";

/// A request that is not granted.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// The status of the reply.
    pub(crate) status: StatusCode,
    /// A sentence for the client.
    pub(crate) message: Cow<'static, str>,
    /// What happened, for the log.
    pub(crate) detail: Option<String>,
    /// The word under which it is counted.
    pub(crate) kind: ErrorKind,
    allow: Option<&'static str>,
    /// What to show instead, to somebody who is not let in.
    challenge: Option<&'static str>,
    /// How long a body is of which a part was asked for that it does not have.
    whole_bytes: Option<u64>,
}

impl Problem {
    /// A problem of the client's making.
    pub(crate) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let client = status.is_client_error();
        let kind = if client { ErrorKind::Request } else { ErrorKind::Internal };
        let message = message.into();
        Self {
            status,
            message,
            detail: None,
            kind,
            allow: None,
            challenge: None,
            whole_bytes: None,
        }
    }

    /// 400: what was asked makes no sense.
    pub(crate) fn bad(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: it is not known who asks. `shown`: what they showed does not count (RFC 6750 §3.1).
    pub(crate) fn unknown(message: impl Into<Cow<'static, str>>, shown: bool) -> Self {
        let challenge = if shown { CHALLENGE_TOKEN } else { CHALLENGE };
        Self { challenge: Some(challenge), ..Self::new(StatusCode::UNAUTHORIZED, message) }
    }

    /// 403: it is known who asks, and they may not.
    pub(crate) fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self { challenge: Some(CHALLENGE_SCOPE), ..Self::new(StatusCode::FORBIDDEN, message) }
    }

    /// 404: there is nothing by that name.
    pub(crate) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 405, with what is allowed.
    pub(crate) fn method(allow: &'static str) -> Self {
        let message = "this resource does not take that method";
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, message) }
    }

    /// 406: there is no representation that the client takes (PS3.18 §8.7.8).
    pub(crate) fn not_acceptable() -> Self {
        let message = "none of the accepted media types and transfer syntaxes can be made";
        Self::new(StatusCode::NOT_ACCEPTABLE, message)
    }

    /// 413: the body is longer than this server takes.
    pub(crate) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than this server takes")
    }

    /// 415: the body is of a kind that this resource does not take.
    pub(crate) fn media_type(message: &'static str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// 416, with the length of what there is (RFC 9110 §14.4).
    pub(crate) fn range(length: u64) -> Self {
        let message = format!("the body has {length} bytes, and none of those asked for");
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        Self { whole_bytes: Some(length), ..Self::new(status, message) }
    }

    /// 503: no place free, or on the way out.
    pub(crate) fn busy(message: &'static str) -> Self {
        Self { kind: ErrorKind::Busy, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// Counted as this kind.
    pub(crate) fn kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// With what happened, for the log.
    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// 500: a bug.
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "an internal fault").detail(detail)
    }

    /// The reply that tells of it.
    pub(crate) fn into_reply(self, request_id: &str) -> Reply {
        let title = self.status.canonical_reason().unwrap_or("");
        let body = serde_json::json!({
            "status": self.status.as_u16(),
            "title": title,
            "detail": self.message,
            "request_id": request_id,
        });
        let mut reply = Reply::new(self.status)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))
            .bytes(body.to_string());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            reply = reply.header(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        if let Some(length) = self.whole_bytes {
            reply = reply.text_header(CONTENT_RANGE, &format!("bytes */{length}"));
        }
        if let Some(challenge) = self.challenge {
            reply = reply.header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(allow) = self.allow {
            reply = reply.header(ALLOW, HeaderValue::from_static(allow));
        }
        reply
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (status, message, kind) = match error.kind() {
            Kind::Input => {
                (StatusCode::BAD_REQUEST, "what was sent cannot be used", ErrorKind::Request)
            }
            Kind::NotFound => {
                (StatusCode::NOT_FOUND, "there is nothing by that name", ErrorKind::Request)
            }
            Kind::Damage => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "stored bytes are damaged; the operator has been told",
                ErrorKind::Damage,
            ),
            Kind::Storage => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the archive's storage does not answer as it should",
                ErrorKind::Storage,
            ),
            Kind::Setup => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the archive is not set up as it should be",
                ErrorKind::Setup,
            ),
            Kind::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "an internal fault", ErrorKind::Internal)
            }
        };
        // The store's text names what the caller asked for, which may be a UID: of a request's own
        // faults the log needs no detail.
        let detail = (kind != ErrorKind::Request).then(|| error.to_string());
        Self { detail, kind, ..Self::new(status, message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_status() {
        let missing = StoreError::NotFound { what: "study", name: "1.2.3".into() };
        let problem = Problem::from(missing);
        assert_eq!((problem.status, problem.detail), (StatusCode::NOT_FOUND, None));
        let full = StoreError::Io {
            action: "write",
            path: "p".into(),
            source: std::io::Error::from_raw_os_error(28),
        };
        let problem = Problem::from(StoreError::Stopped(std::sync::Arc::new(full)));
        assert_eq!(
            (problem.status, problem.kind),
            (StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Storage)
        );
        let reply = problem.into_reply("r");
        assert!(reply.headers.contains_key(RETRY_AFTER));
        let reply = Problem::range(64).into_reply("r");
        assert_eq!(reply.headers[CONTENT_RANGE], "bytes */64");
        let reply = Problem::method("GET, HEAD, OPTIONS").into_reply("r");
        assert_eq!(reply.headers[ALLOW], "GET, HEAD, OPTIONS");
    }
}
