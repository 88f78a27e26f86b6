//! C-ECHO to another application entity (PS3.4 annex A): is it there, and does it know this one?

use std::time::{Duration, Instant};

use cairn_dicom::syntax::{EXPLICIT_LE, IMPLICIT_LE};
use thiserror::Error;

use super::command::{Command, field, operation};
use super::end::End;
use super::scu::{Scu, Unreached, Wanted};
use super::service::VERIFICATION;
use super::settings::{Peer, Settings};

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum EchoError {
    /// There is no association.
    #[error(transparent)]
    Unreached(#[from] Unreached),
    /// The association broke.
    #[error("the association ended: {0}")]
    Broken(#[from] End),
    /// It accepts the association, and not what it was opened for.
    #[error("it does not accept C-ECHO")]
    NotOffered,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Echoed {
    /// 0: success.
    pub(crate) status: u16,
    /// From calling to an open association, TLS included.
    pub(crate) association: Duration,
    /// From the request to its answer.
    pub(crate) echo: Duration,
}

/// Asks once.
pub(crate) fn echo(settings: &Settings, peer: &Peer) -> Result<Echoed, EchoError> {
    let begun = Instant::now();
    let wanted = [IMPLICIT_LE, EXPLICIT_LE]
        .map(|uid| Wanted { class: VERIFICATION.into(), transfer_syntax: uid.into() });
    let mut scu = Scu::open(settings, peer, &wanted, Vec::new())?;
    let association = begun.elapsed();
    let Some(context) = scu.contexts.first().map(|context| context.id) else {
        scu.release();
        return Err(EchoError::NotOffered);
    };
    let begun = Instant::now();
    let request = Command::new(operation::ECHO)
        .with_uid(field::AFFECTED_CLASS, VERIFICATION)
        .number(field::MESSAGE_ID, 1);
    let answered = scu.outbound.command(context, &request).and_then(|()| scu.answer());
    let answer = match answered {
        Ok(answer) => answer,
        Err(why) => {
            scu.abort();
            return Err(why.into());
        }
    };
    let echo = begun.elapsed();
    scu.release();
    let status = answer.get(field::STATUS).unwrap_or(u16::MAX);
    Ok(Echoed { status, association, echo })
}
