//! From the connection's task to the storing thread.

use std::io;

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::http::body::{Broken, RequestBody};

/// Pieces that may wait for the thread. A piece is what hyper read at once, 128 KiB at most.
const PIECES_MAX: usize = 8;

type Piece = Result<Option<Bytes>, Broken>;

/// Reads the body and hands it on.
pub(super) struct Pump {
    body: RequestBody,
    sender: Sender<Piece>,
}

/// The thread's end.
pub(super) struct Pieces {
    receiver: Receiver<Piece>,
    /// What broke the body, once it did.
    pub(super) broken: Option<Broken>,
    ended: bool,
}

pub(super) fn pair(body: RequestBody) -> (Pieces, Pump) {
    let (sender, receiver) = channel(PIECES_MAX);
    (Pieces { receiver, broken: None, ended: false }, Pump { body, sender })
}

impl Pump {
    /// Runs until the body ends, breaks, or nobody wants more of it; then gives back the rest.
    pub(super) async fn run(mut self) -> Option<RequestBody> {
        loop {
            let piece = tokio::select! {
                piece = self.body.next() => piece,
                () = self.sender.closed() => return Some(self.body),
            };
            let is_last = !matches!(piece, Ok(Some(_)));
            let refused = matches!(piece, Err(Broken::TooLarge));
            if self.sender.send(piece).await.is_err() {
                return Some(self.body);
            }
            if is_last {
                return refused.then_some(self.body);
            }
        }
    }
}

impl Pieces {
    /// The next piece; `None` at the end. A body whose end never came is an error.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        let broken = match self.receiver.blocking_recv() {
            Some(Ok(Some(bytes))) => return Ok(Some(bytes)),
            Some(Ok(None)) => {
                self.ended = true;
                return Ok(None);
            }
            Some(Err(broken)) => broken,
            // The connection's task is gone, and the client with it.
            None => Broken::Cut,
        };
        let broken = *self.broken.get_or_insert(broken);
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, broken))
    }
}
