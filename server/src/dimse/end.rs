//! Why an association is over, and what its peer is told.

use thiserror::Error;

use super::pdu::Malformed;

/// See the [module](self). Texts hold nothing of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum End {
    /// In order (PS3.8 §7.2).
    #[error("released")]
    Released,
    /// The peer sent an A-ABORT.
    #[error("the peer aborted")]
    Aborted,
    /// The connection closed or was reset without either.
    #[error("the peer closed the connection")]
    Closed,
    /// TLS could not be set up, or what came was not what was sent. In TLS 1.3 a client learns only
    /// here that its certificate was refused.
    #[error("TLS failed: a certificate was refused, or what came was altered")]
    Insecure,
    /// The association was not accepted.
    #[error("rejected")]
    Rejected,
    /// A message stood still, or trickled.
    #[error("the peer stood still in the middle of a message")]
    Slow,
    /// No message for long.
    #[error("the association was idle for too long")]
    Idle,
    /// The server ends.
    #[error("the server is ending")]
    Stopped,
    /// A PDU that is not allowed at this point.
    #[error("{0}")]
    Unexpected(&'static str),
    /// A PDU or message that cannot be read.
    #[error("{0}")]
    Malformed(&'static str),
    /// A fault of this server.
    #[error("{0}")]
    Failed(&'static str),
}

impl From<Malformed> for End {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}

impl End {
    /// The word under which it is counted.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Aborted => "aborted",
            Self::Closed => "closed",
            Self::Insecure => "insecure",
            Self::Rejected => "rejected",
            Self::Slow => "slow",
            Self::Idle => "idle",
            Self::Stopped => "stopped",
            Self::Unexpected(_) | Self::Malformed(_) => "protocol",
            Self::Failed(_) => "failed",
        }
    }

    /// Source and reason of the A-ABORT that tells of it (PS3.8 table 9-26); `None`: there is nobody
    /// to tell.
    pub(super) fn abort(self) -> Option<(u8, u8)> {
        const USER: u8 = 0;
        const PROVIDER: u8 = 2;
        match self {
            Self::Released | Self::Aborted | Self::Closed | Self::Insecure | Self::Rejected => None,
            Self::Stopped | Self::Failed(_) => Some((USER, 0)),
            Self::Slow | Self::Idle => Some((PROVIDER, 0)),
            Self::Unexpected(_) => Some((PROVIDER, 2)),
            Self::Malformed(_) => Some((PROVIDER, 6)),
        }
    }

    /// Is it a fault of the peer that whoever looks after it should hear of?
    pub(super) fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Insecure
                | Self::Slow
                | Self::Unexpected(_)
                | Self::Malformed(_)
                | Self::Failed(_)
        )
    }
}
