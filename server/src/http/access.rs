//! One request from its head to the last byte of its reply: its id, its figures, its log line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hyper::header::{HeaderMap, HeaderName};
use hyper::{Method, StatusCode};

use super::app::App;
use super::deadline::Busy;

/// The header field of a request's id, both ways.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over.
const ID_BYTES_MAX: usize = 64;

/// The id that the client, or a proxy, gave the request, if it is harmless in a log; else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> Arc<str> {
    let harmless = |id: &&str| {
        (1..=ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(harmless);
    given.map_or_else(made_id, Arc::from)
}

/// Unique in the life of a site: when the process began, and a count.
fn made_id() -> Arc<str> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static BEGUN: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let begun = BEGUN.get_or_init(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_micros() as u64)
    });
    format!("{begun:x}-{:x}", COUNT.fetch_add(1, Ordering::Relaxed)).into()
}

/// What is known of a request as it goes on. Dropped, it is over: it is counted and logged.
pub(super) struct Exchange {
    app: Arc<App>,
    id: Arc<str>,
    begun: Instant,
    method: Method,
    route: &'static str,
    status: StatusCode,
    received: Arc<AtomicU64>,
    sent: u64,
    /// How much is to be sent, if it is known.
    length: Option<u64>,
    outcome: Outcome,
    /// The connection is not idle while this lives.
    _busy: Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Dropped now, the client went before the end.
    UnderWay,
    Complete,
    Aborted,
}

impl Exchange {
    pub(super) fn begin(app: Arc<App>, id: Arc<str>, method: Method, busy: Busy) -> Self {
        app.metrics.requests_in_flight.inc();
        Self {
            app,
            id,
            begun: Instant::now(),
            method,
            route: "none",
            status: StatusCode::INTERNAL_SERVER_ERROR,
            received: Arc::default(),
            sent: 0,
            length: None,
            outcome: Outcome::UnderWay,
            _busy: busy,
        }
    }

    /// Where the bytes of the request's body are counted.
    pub(super) fn received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.received)
    }

    pub(super) fn routed(&mut self, route: &'static str) {
        self.route = route;
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }

    pub(super) fn expect(&mut self, length: Option<u64>) {
        self.length = length;
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    pub(super) fn completed(&mut self) {
        self.outcome = Outcome::Complete;
    }

    pub(super) fn aborted(&mut self) {
        self.outcome = Outcome::Aborted;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let metrics = &self.app.metrics;
        let seconds = self.begun.elapsed().as_secs_f64();
        let received = self.received.load(Ordering::Relaxed);
        metrics.requests_in_flight.dec();
        metrics.request(self.route, method_label(&self.method), self.status.as_u16(), seconds);
        metrics.received_bytes.inc_by(received);
        metrics.sent_bytes(self.route, self.sent);
        if !self.app.access_log {
            return;
        }
        let outcome = match self.outcome {
            // hyper asks for no more once the whole length is there.
            Outcome::UnderWay if self.length == Some(self.sent) => "complete",
            Outcome::UnderWay => "client_gone",
            Outcome::Complete => "complete",
            Outcome::Aborted => "aborted",
        };
        tracing::info!(
            target: "cairn::access",
            request = %self.id,
            route = self.route,
            method = method_label(&self.method),
            status = self.status.as_u16(),
            received_bytes = received,
            sent_bytes = self.sent,
            seconds = (seconds * 1e6).round() / 1e6,
            outcome,
        );
    }
}

/// Methods that a client makes up are one label.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_harmless_ids_are_taken_over() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, "abc-123_X".parse().unwrap());
        assert_eq!(&*request_id(&headers), "abc-123_X");
        for hostile in ["", "a b", "x\"y", "1.2.840/3", &"a".repeat(65)] {
            headers.insert(REQUEST_ID, hostile.parse().unwrap());
            assert_ne!(&*request_id(&headers), hostile);
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
