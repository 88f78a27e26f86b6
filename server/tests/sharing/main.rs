//! Sites that share: real servers on this machine.
//!
//! One program: what the tests share is built once, and they wait beside each other.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod bucket;
mod commands;
mod emergency;
mod federated;
mod ownership;
mod patients;
mod referrals;
mod sites;
mod usage;
