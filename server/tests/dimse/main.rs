//! DIMSE, spoken to the real binary.
//!
//! One program: what the tests share is built once, and they wait beside each other.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod commitment;
mod crash;
mod dcmtk;
mod identity;
mod pull;
mod query;
mod routes;
mod rules;
mod spool;
mod store;
mod tls;
mod tls_dcmtk;
