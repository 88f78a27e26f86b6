//! One request: read its head, find its route, let the handler answer, and do around it what every
//! reply needs.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName,
    HeaderValue, ORIGIN,
};
use hyper::{Method, Request, Response, StatusCode};

use super::access::{Exchange, REQUEST_ID, request_id};
use super::app::App;
use super::audited;
use super::body::RequestBody;
use super::cors::Origins;
use super::deadline::Activity;
use super::encoding::{self, Coding, Encoder};
use super::forwarded::BaseUrl;
use super::query::Query;
use super::reply::{Content, Reply, Run};
use super::stream::{Feed, Pieces, ReplyBody};
use super::{Ask, Problem, Route};
use crate::audit::Event;
use crate::identity::{Denied, Need, NotGood, Who, decide, need};
use crate::metrics::ErrorKind;
use crate::peer::PeerRoute;

const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// A body that is ready to be sent.
enum Outgoing {
    Full(Vec<Bytes>),
    Pieces(Pieces, Option<u64>),
}

type Prepared = (StatusCode, HeaderMap, Outgoing);

/// Who a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// People and programs.
    Web,
    /// Another site, which showed this TLS key.
    Site([u8; 32]),
}

/// A connection's side of its requests.
pub(super) struct Service {
    pub(super) app: Arc<App>,
    pub(super) activity: Arc<Activity>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) face: Face,
}

impl Service {
    /// Answers a request. Never fails: what goes wrong is a reply too.
    pub(super) async fn call(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let (head, incoming) = request.into_parts();
        let id = request_id(&head.headers);
        let app = &self.app;
        let mut exchange = Exchange::begin(
            Arc::clone(app),
            Arc::clone(&id),
            head.method.clone(),
            self.activity.busy(),
        );
        let (method, path) = (&head.method, head.uri.path());
        let (route, site_key) = match self.face {
            Face::Web => (Route::parse(method, path), None),
            Face::Site(key) => (PeerRoute::parse(method, path).map(Route::Peer), Some(key)),
        };
        if let Ok(route) = &route {
            exchange.routed(route.label());
        }
        let expects = head.headers.contains_key(EXPECT);
        let body = RequestBody::new(
            incoming,
            app.limits.request_bytes,
            exchange.received(),
            app.limits.idle,
            expects,
        );
        let is_head = head.method == Method::HEAD;
        let base = match &app.base_url {
            Some(base) => base.clone(),
            None => BaseUrl::of_request(&head, app.trust.of(self.peer), self.local),
        };
        let preflight = head.method == Method::OPTIONS
            && head.headers.contains_key(ORIGIN)
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        // A browser asks without the token that it is about to send.
        let route = route.map(|route| match route {
            Route::Capabilities if preflight => Route::Options { allow: "GET, HEAD, OPTIONS" },
            route => route,
        });
        let headers = head.headers.clone();
        let from = audited::origin(&headers, app.trust.of(self.peer), self.peer.ip());
        let mut audited = None;
        let admitted =
            self.admit(route, Query::parse(head.uri.query()), &headers, &mut audited).await;
        let answer = match admitted {
            Err(problem) => {
                body.linger();
                Err(problem)
            }
            Ok((Route::Options { allow }, ..)) => Ok(options(allow, preflight)),
            Ok((route, query, who)) => {
                let (headers, from, id) = (head.headers, from.clone(), Arc::clone(&id));
                let ask = Ask { site_key, who, from, id, headers, query, base, body };
                crate::dispatch::dispatch(app, route, ask).await
            }
        };
        let reply = answer.unwrap_or_else(|problem| self.refuse(problem, &id));
        let reply = match self.audit(audited, &reply, from, &id) {
            Ok(()) => reply,
            Err(problem) => self.refuse(problem, &id),
        };
        let (status, mut fields, body) = match self.prepare(&headers, is_head, reply).await {
            Ok(prepared) => prepared,
            Err(problem) => plain(self.refuse(problem, &id)),
        };
        app.origins.apply(&headers, &mut fields);
        fields.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
        if let Ok(id) = HeaderValue::from_str(&id) {
            fields.insert(REQUEST_ID, id);
        }
        exchange.answered(status);
        let mut response = Response::new(match body {
            Outgoing::Full(pieces) => ReplyBody::full(pieces, exchange),
            Outgoing::Pieces(pieces, length) => ReplyBody::pieces(pieces, length, exchange),
        });
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        response
    }

    /// Lets a request in, or not. Who is not known is not told either whether what they asked makes
    /// sense. What is to be audited of it is put into `audited`.
    async fn admit(
        &self,
        route: Result<Route, Problem>,
        query: Result<Query, Problem>,
        headers: &HeaderMap,
        audited: &mut Option<Event>,
    ) -> Result<(Route, Query, Who), Problem> {
        let app = &self.app;
        let asks_nobody = |route| matches!(need(route), Need::Nothing | Need::Signature);
        let is_public = route.as_ref().is_ok_and(asks_nobody);
        let known = match self.face {
            Face::Site(key) => Ok(Who::Site(key)),
            Face::Web if is_public => Ok(Who::Nobody),
            Face::Web => app.identity.who(headers).await.map_err(Refusal::Unknown),
        };
        let who = known.as_ref().unwrap_or(&Who::Nobody);
        *audited = audited::event(who, route.as_ref().ok(), query.as_ref().ok());
        if let Some(event) = audited {
            audited::name(event, who, app.site().as_deref());
            if !app.audit.is_well() {
                return Err(unaudited());
            }
        }
        let mut refuse = |why: Refusal| {
            app.metrics.refused(why.word());
            if let Some(event) = audited {
                why.word().clone_into(&mut event.why);
            }
            why.into()
        };
        let who = known.map_err(&mut refuse)?;
        if who == Who::Nobody && !is_public {
            return Err(refuse(Refusal::Denied(Denied::Unknown)));
        }
        let (route, query) = (route?, query?);
        decide(&who, &route, &query).map_err(|why| refuse(Refusal::Denied(why)))?;
        Ok((route, query, who))
    }

    /// Writes the line for a request into the audit log, before it is answered.
    fn audit(
        &self,
        event: Option<Event>,
        reply: &Reply,
        from: String,
        id: &str,
    ) -> Result<(), Problem> {
        let Some(mut event) = event else { return Ok(()) };
        let app = &self.app;
        reply.status.as_str().clone_into(&mut event.status);
        event.ok = reply.status.is_success() || reply.status == StatusCode::NOT_MODIFIED;
        event.about(reply.studies.iter().map(String::as_str));
        if let Some(patient) = &reply.patient {
            "patient".clone_into(&mut event.kind);
            patient.clone_into(&mut event.who);
        }
        event.from = from;
        id.clone_into(&mut event.request);
        app.audit.tell(event).map_err(|_| unaudited())
    }

    /// Tells the log what the client is not told.
    fn refuse(&self, problem: Problem, id: &str) -> Reply {
        self.app.metrics.error(problem.kind);
        if problem.kind != ErrorKind::Request {
            tracing::warn!(
                request = id,
                kind = problem.kind.name(),
                detail = problem.detail.as_deref().unwrap_or(""),
                "a request failed: {}",
                problem.message
            );
        }
        problem.into_reply(id)
    }

    /// Compresses what is worth it, begins what is streamed; of a reply to HEAD neither.
    async fn prepare(
        &self,
        request: &HeaderMap,
        is_head: bool,
        mut reply: Reply,
    ) -> Result<Prepared, Problem> {
        let coding = encoding::choose(request, &mut reply);
        if is_head {
            // The length is that of the body that is not sent; compressed, it is not known.
            if let Some(length) = reply.length().filter(|_| coding.is_none()) {
                reply.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            return Ok((reply.status, reply.headers, Outgoing::Full(Vec::new())));
        }
        let body = match reply.content {
            Content::Empty => Outgoing::Full(Vec::new()),
            Content::Full(bytes) => whole(compressed(coding, bytes).await?),
            Content::Pieces(pieces) => Outgoing::Full(pieces),
            Content::Stream { length, run } => {
                let pieces = self.start(run, coding).await?;
                Outgoing::Pieces(pieces, length.filter(|_| coding.is_none()))
            }
        };
        Ok((reply.status, reply.headers, body))
    }

    /// Starts the thread that brings a body.
    async fn start(&self, run: Run, coding: Option<Coding>) -> Result<Pieces, Problem> {
        let place = self.app.stream_place().await?;
        let encoder = coding.map(Encoder::new).transpose();
        let encoder = encoder.map_err(|error| Problem::internal(error.to_string()))?;
        let (mut feed, pieces) = Feed::pair(self.app.limits.idle, encoder);
        let app = Arc::clone(&self.app);
        tokio::task::spawn_blocking(move || {
            let _place = place;
            match run(&mut feed) {
                // The client may be gone before the end: its exchange says so.
                Ok(()) => drop(feed.end()),
                Err(problem) => {
                    app.metrics.error(problem.kind);
                    if problem.status.is_server_error() {
                        let detail = problem.detail.as_deref().unwrap_or("");
                        tracing::warn!(kind = problem.kind.name(), detail, "a reply broke off");
                    }
                }
            }
        });
        Ok(pieces)
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    /// What was shown does not say who it is.
    Unknown(NotGood),
    /// It is known who it is, and they may not; or it has to be.
    Denied(Denied),
}

impl Refusal {
    /// The word under which it is counted and audited.
    fn word(self) -> &'static str {
        match self {
            Self::Unknown(NotGood::Wrong(wrong)) => wrong.word(),
            Self::Unknown(NotGood::NoKeys) => "provider",
            Self::Denied(denied) => denied.word(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(why: Refusal) -> Self {
        match why {
            Refusal::Unknown(NotGood::Wrong(wrong)) => Self::unknown(wrong.to_string(), true),
            Refusal::Unknown(NotGood::NoKeys) => {
                Self::busy("the login provider does not answer, so the token cannot be looked at")
            }
            Refusal::Denied(Denied::Unknown) => Self::unknown(Denied::Unknown.to_string(), false),
            Refusal::Denied(denied) => Self::forbidden(denied.to_string()),
        }
    }
}

/// No line, no answer.
fn unaudited() -> Problem {
    Problem::busy("the audit log cannot be written, so nothing is given out")
}

/// 204 with what the resource takes; to a preflight, with what a page may send.
fn options(allow: &'static str, preflight: bool) -> Reply {
    let mut reply =
        Reply::new(StatusCode::NO_CONTENT).header(ALLOW, HeaderValue::from_static(allow));
    if preflight {
        Origins::preflight(allow, &mut reply.headers);
    }
    reply
}

/// A body in its coding. It is a few MiB at most, and the fastest levels are used; but not on a
/// thread of the runtime.
async fn compressed(coding: Option<Coding>, bytes: Bytes) -> Result<Bytes, Problem> {
    let Some(coding) = coding else { return Ok(bytes) };
    let made = tokio::task::spawn_blocking(move || encoding::whole(coding, &bytes)).await;
    let made = made.map_err(|_| Problem::internal("compressing panicked"))?;
    made.map_err(|error| Problem::internal(error.to_string()))
}

/// A reply that is at hand.
fn plain(reply: Reply) -> Prepared {
    let body = match reply.content {
        Content::Full(bytes) => whole(bytes),
        _ => Outgoing::Full(Vec::new()),
    };
    (reply.status, reply.headers, body)
}

/// A body in one piece, or none.
fn whole(bytes: Bytes) -> Outgoing {
    Outgoing::Full(if bytes.is_empty() { Vec::new() } else { vec![bytes] })
}
