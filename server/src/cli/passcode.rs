//! `cairn passcode`: a line for the file of users.

use std::io::{BufRead, Read};

use clap::Args;

use super::{Exit, Session};
use crate::dimse::user_line;
use crate::error::{Error, Result};

/// Longest passcode that is read, in bytes; one more shows that it is too long.
const READ_BYTES_MAX: u64 = (1 << 16) + 2;

/// Hash a passcode, for the file of users of [dimse]
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the passcode from the first line of standard input, and prints a line for the file that \
identity_users names: the user, a colon, and the Argon2id hash of the passcode. The passcode itself \
is kept nowhere.

Exit codes: 0 the line was printed; 1 no passcode came; 2 wrong usage or settings.

Examples:
  cairn passcode ct1 < secret.txt >> users.txt
  systemd-ask-password | cairn passcode alice >> users.txt")]
pub(crate) struct PasscodeArgs {
    /// Name of the user
    #[arg(value_name = "USER")]
    user: String,
}

pub(super) fn run(session: &Session, args: &PasscodeArgs) -> Result<Exit> {
    let mut passcode = Vec::new();
    let mut input = std::io::stdin().lock().take(READ_BYTES_MAX);
    input.read_until(b'\n', &mut passcode).map_err(|source| Error::Io {
        action: "read a passcode from",
        path: "standard input".into(),
        source,
    })?;
    let text = passcode.strip_suffix(b"\n").unwrap_or(&passcode);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let line = user_line(&args.user, text)?;
    session.output.text(&format!("{line}\n"))?;
    Ok(Exit::Good)
}
