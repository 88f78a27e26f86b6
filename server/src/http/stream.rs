//! Bodies on their way out: from a thread that reads the archive to the socket.
//!
//! The thread hands pieces to a [`Feed`]; a short channel carries them to hyper. A slow client makes
//! the thread wait, and one that stands still for the idle deadline ends it. Only a thread that came
//! to its end well says so: whatever else happens, the client sees a broken connection.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::access::Exchange;
use super::encoding::Encoder;
use super::limits::STREAM_PIECES_MAX;

/// Nobody reads any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone, or has stood still for too long")]
pub(crate) struct Gone;

/// The reply broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reply broke off")]
pub(crate) struct Aborted;

enum Piece {
    Bytes(Bytes),
    End,
}

/// Where a blocking thread puts a body.
pub(crate) struct Feed {
    sender: Sender<Piece>,
    runtime: Handle,
    idle: Duration,
    encoder: Option<Encoder>,
}

impl Feed {
    /// Both ends. Called on the runtime.
    pub(super) fn pair(idle: Duration, encoder: Option<Encoder>) -> (Self, Pieces) {
        let (sender, receiver) = channel(STREAM_PIECES_MAX);
        let feed = Self { sender, runtime: Handle::current(), idle, encoder };
        (feed, Pieces { receiver, ended: false })
    }

    /// Hands on a piece, without a copy; waits while the client is behind.
    pub(crate) fn send(&mut self, bytes: Bytes) -> Result<(), Gone> {
        if let Some(encoder) = &mut self.encoder {
            // Encoders write into memory, which does not fail.
            encoder.write_all(&bytes).map_err(|_| Gone)?;
            let made = encoder.take();
            return if made.is_empty() { Ok(()) } else { self.push(Piece::Bytes(made)) };
        }
        if bytes.is_empty() { Ok(()) } else { self.push(Piece::Bytes(bytes)) }
    }

    /// The body is complete.
    pub(super) fn end(mut self) -> Result<(), Gone> {
        if let Some(encoder) = self.encoder.take() {
            let rest = encoder.finish().map_err(|_| Gone)?;
            if !rest.is_empty() {
                self.push(Piece::Bytes(rest))?;
            }
        }
        self.push(Piece::End)
    }

    fn push(&self, piece: Piece) -> Result<(), Gone> {
        let piece = match self.sender.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => return Err(Gone),
            Err(tokio::sync::mpsc::error::TrySendError::Full(piece)) => piece,
        };
        let sent = self.runtime.block_on(tokio::time::timeout(self.idle, self.sender.send(piece)));
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(Gone) }
    }
}

/// For writers of text; each write becomes a piece, so put a `BufWriter` around it.
impl Write for Feed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(Bytes::copy_from_slice(bytes))
            .map_err(|gone| io::Error::new(io::ErrorKind::BrokenPipe, gone))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The other end.
pub(super) struct Pieces {
    receiver: Receiver<Piece>,
    ended: bool,
}

/// What hyper sends. Counts what it hands over, and ends the exchange when it is dropped.
pub(super) struct ReplyBody {
    source: Source,
    length: Option<u64>,
    exchange: Exchange,
}

enum Source {
    /// What is left, and how much that is.
    Full(std::vec::IntoIter<Bytes>, u64),
    Pieces(Pieces),
}

impl ReplyBody {
    /// `pieces`: none of them empty.
    pub(super) fn full(pieces: Vec<Bytes>, mut exchange: Exchange) -> Self {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        exchange.expect(Some(length));
        Self { source: Source::Full(pieces.into_iter(), length), length: Some(length), exchange }
    }

    pub(super) fn pieces(pieces: Pieces, length: Option<u64>, mut exchange: Exchange) -> Self {
        exchange.expect(length);
        Self { source: Source::Pieces(pieces), length, exchange }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let next = match &mut self.source {
            Source::Full(pieces, left) => {
                let next = pieces.next();
                *left -= next.as_ref().map_or(0, |piece| piece.len() as u64);
                Ok(next)
            }
            Source::Pieces(pieces) if pieces.ended => Ok(None),
            Source::Pieces(pieces) => match pieces.receiver.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Piece::Bytes(bytes))) => Ok(Some(bytes)),
                Poll::Ready(Some(Piece::End)) => {
                    pieces.ended = true;
                    Ok(None)
                }
                Poll::Ready(None) => Err(Aborted),
            },
        };
        Poll::Ready(match next {
            Ok(Some(bytes)) => {
                self.exchange.sent(bytes.len());
                Some(Ok(Frame::data(bytes)))
            }
            Ok(None) => {
                self.exchange.completed();
                None
            }
            Err(aborted) => {
                self.exchange.aborted();
                Some(Err(aborted))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Full(pieces, _) => pieces.len() == 0,
            Source::Pieces(pieces) => pieces.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Full(_, left) => SizeHint::with_exact(*left),
            // Only read before the first piece.
            Source::Pieces(_) => self.length.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
