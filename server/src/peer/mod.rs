//! Other sites, spoken to over mutual TLS.
//!
//! Each site has one key for TLS, bound to it by the join entry of its log; certificates are made from
//! that key and say nothing more. So there is no certificate authority: who has which key is read in
//! the mirrored logs, at every request.

pub(crate) mod client;
mod error;

pub(crate) use client::{Client, Cosigned, Hello, Identity};
pub(crate) use error::Error;
