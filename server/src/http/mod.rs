//! The HTTP side: connections, routes, replies.
//!
//! hyper does the protocol (HTTP/1.1 and HTTP/2 without TLS on one port); everything around it is
//! here. What it owes to whoever writes a handler:
//!
//! - a request arrives as an [`Ask`]: its [`Route`], parameters, header fields, base URL and body;
//! - a handler answers with a [`Reply`] or a [`Problem`], and never blocks a thread of the runtime:
//!   [`App::blocking`] and [`Reply::stream`] lend it one that may;
//! - HEAD, CORS, compression, request ids, metrics and the access log are done around it.
//!
//! Invariants: nothing a client does holds memory, a thread or a connection without a bound and a
//! deadline ([`limits`]); a reply that fails halfway ends its connection, never cleanly; no log line
//! holds a path, a query or a UID.

mod access;
pub(crate) mod app;
mod audited;
pub(crate) mod body;
pub(crate) mod conditional;
pub(crate) mod cors;
mod deadline;
pub(crate) mod encoding;
pub(crate) mod forwarded;
pub(crate) mod limits;
mod listen;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod route;
#[cfg(test)]
mod route_examples;
mod service;
pub(crate) mod stream;

pub(crate) use app::App;
pub(crate) use audited::name_asker;
pub(crate) use listen::{Door, serve};
pub(crate) use problem::Problem;
pub(crate) use query::Query;
pub(crate) use reply::Reply;
pub(crate) use request::Ask;
pub(crate) use route::{Level, Route, Scope};
#[cfg(test)]
pub(crate) use route_examples::EXAMPLES;
pub(crate) use stream::Feed;

/// What a handler gives back.
pub(crate) type Answer = std::result::Result<Reply, Problem>;
