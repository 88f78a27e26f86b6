//! From the connection's task to the storing thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::MissedTickBehavior;

use crate::http::body::{Broken, RequestBody};

/// Pieces that may wait for the thread. A piece is what hyper read at once, 128 KiB at most.
const PIECES_MAX: usize = 8;

/// How often a body is looked at while the store is short of memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks that it may fail, one after the other.
const LOOKS_MAX: u32 = 3;
/// What it has to bring between two looks.
const LOOK_BYTES_MIN: usize = 16 << 10;

type Piece = Result<Option<Bytes>, Broken>;

/// Is the store short of memory?
type Short = Box<dyn Fn() -> bool + Send>;

/// Reads the body and hands it on.
///
/// A part that is longer than what is read ahead holds memory of the store while it comes. When others
/// wait for memory, a body that holds some and brings next to nothing is ended long before the idle
/// deadline: sixteen clients that stand still would otherwise stop everybody for that time.
pub(super) struct Pump {
    body: RequestBody,
    sender: Sender<Piece>,
    borrows: Arc<AtomicBool>,
    short: Short,
}

/// The thread's end.
pub(super) struct Pieces {
    receiver: Receiver<Piece>,
    /// What broke the body, once it did.
    pub(super) broken: Option<Broken>,
    ended: bool,
    /// The part under way holds memory of the store.
    pub(super) borrows: Arc<AtomicBool>,
}

pub(super) fn pair(body: RequestBody, short: Short) -> (Pieces, Pump) {
    let (sender, receiver) = channel(PIECES_MAX);
    let borrows = Arc::new(AtomicBool::new(false));
    let pump = Pump { body, sender, borrows: Arc::clone(&borrows), short };
    (Pieces { receiver, broken: None, ended: false, borrows }, pump)
}

/// What became of waiting for a piece.
enum Came {
    Piece(Piece),
    Unwanted,
}

impl Pump {
    /// Runs until the body ends, breaks, or nobody wants more of it; then gives back the rest.
    pub(super) async fn run(mut self) -> Option<RequestBody> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut brought, mut failed) = (0, 0);
        loop {
            let came = {
                let mut next = std::pin::pin!(self.body.next());
                loop {
                    tokio::select! {
                        piece = &mut next => break Came::Piece(piece),
                        () = self.sender.closed() => break Came::Unwanted,
                        _ = look.tick() => {}
                    }
                    let idles = brought < LOOK_BYTES_MIN && self.borrows.load(Ordering::Relaxed);
                    failed = if idles && (self.short)() { failed + 1 } else { 0 };
                    brought = 0;
                    if failed > LOOKS_MAX {
                        break Came::Piece(Err(Broken::Slow));
                    }
                }
            };
            let Came::Piece(piece) = came else { return Some(self.body) };
            brought += piece.as_ref().map_or(0, |piece| piece.as_ref().map_or(0, Bytes::len));
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
