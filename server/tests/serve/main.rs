//! The real binary over HTTP and at the command line.
//!
//! One program: what the tests share is built once, and they wait beside each other.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod audit_export;
mod collection;
mod command_audit;
mod delete;
mod http;
mod identity;
mod importing;
mod qido;
mod read;
mod rendered;
mod retrieve_files;
mod retrieve_parts;
mod settings;
mod stow;
