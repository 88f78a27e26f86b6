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

/// Stack of a thread that codes chunks. While another thread has a part of its chunk, it works on the next
/// one, of which a part may be taken as well, and so on: some two dozen deep was seen, each of some 20 KiB.
/// Only what is used of it is memory.
const CODING_STACK_BYTES: usize = 16 << 20;

/// Makes the threads that code, decode and hash.
fn make_coding_threads() {
    let threads = rayon::ThreadPoolBuilder::new()
        .stack_size(CODING_STACK_BYTES)
        .thread_name(|_| "cairn-code".to_owned());
    // Where the system has no threads to give, whatever needs one says so.
    let _ = threads.build_global();
}

/// Does what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    make_coding_threads();
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
