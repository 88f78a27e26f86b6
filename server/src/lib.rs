//! The `cairn` program: a content-addressed archive for medical images. `main.rs` only calls [`main`];
//! it is a library so that fuzz targets can be one more caller.
//!
//! One command, one file under `cli`; settings in `config`. Nothing here decides how bytes are
//! stored or read: that is `cairn-store`'s. Patient data reaches standard output where a command
//! asks for it, and nothing else: no log, no error text.
//!
//! Exit codes: 0 all is well, 1 something failed or is damaged, 2 wrong usage or settings, 130
//! interrupted.

mod audit;
mod cli;
mod clock;
mod collection;
mod config;
mod dicomweb;
mod dimse;
mod dispatch;
mod emergency;
mod error;
mod federated;
mod fetch;
mod health;
mod home;
mod http;
mod identity;
mod interrupt;
mod logging;
mod metrics;
mod output;
mod patient;
mod peer;
mod progress;
mod reread;
mod sharing;

use std::process::ExitCode;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use dimse::fuzzing;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use {audit::fuzzing as audit_fuzzing, identity::fuzzing as identity_fuzzing};

use clap::Parser;

/// Does what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli::run(&cli) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            if !error.is_broken_pipe() {
                eprintln!("cairn: {error}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}
