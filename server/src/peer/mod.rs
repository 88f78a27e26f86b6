//! Other sites, spoken to over mutual TLS.
//!
//! Each site has one key for TLS, bound to it by the join entry of its log ([`keys`]). There is no
//! certificate authority: who has which key is read in the mirrored logs, at every request.

mod answer;
pub(crate) mod client;
mod connection;
mod consents;
mod error;
mod keys;
mod reading;
mod receipts;
pub(crate) mod right;
mod route;
#[cfg(test)]
mod route_examples;
mod studies;
mod tuning;
pub(crate) mod wire;

pub(crate) use answer::answer;
pub(crate) use client::{Client, Cosigned};
pub(crate) use error::Error;
pub(crate) use keys::{Identity, shown_key};
pub(crate) use reading::Subject;
pub(crate) use route::PeerRoute;
#[cfg(test)]
pub(crate) use route_examples::PEER_EXAMPLES;
pub(crate) use tuning::tune;

/// Where sites talk to each other: a version of its own, so that two can be spoken side by side.
const PREFIX: &str = "/peer/v1";
