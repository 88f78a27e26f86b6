//! A connection that keeps deadlines.
//!
//! hyper's own begin late (the version of the protocol is awaited for ever) and do not exist for
//! bodies. Here, under hyper: a connection without a request must bring the head of one within a
//! time that no trickle of bytes prolongs; a write that the client does not take ends it. Bodies of
//! requests have their pace watched in [`super::body`], since a handler may rightly not read.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::Limits;

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    keep_alive: Duration,
}

#[derive(Debug)]
struct State {
    requests: usize,
    /// When the next head has to be here, while there is no request.
    due: Instant,
}

impl Activity {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let state = State { requests: 0, due: Instant::now() + limits.header };
        Arc::new(Self { state: Mutex::new(state), keep_alive: limits.keep_alive })
    }

    /// A request begins; it ends when the value is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.lock().requests += 1;
        Busy(Arc::clone(self))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the next head has to be here; `None` while there is a request.
    fn due(&self) -> Option<Instant> {
        let state = self.lock();
        (state.requests == 0).then_some(state.due)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        state.due = Instant::now() + self.0.keep_alive;
    }
}

/// See the [module](self).
pub(super) struct Guarded<S> {
    stream: S,
    activity: Arc<Activity>,
    idle: Duration,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, idle: Duration) -> Self {
        Self { stream, activity, idle, reading: None, writing: None }
    }

    /// Nothing could be written: has that been so for too long?
    fn stuck<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let idle = self.idle;
        let timer = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(late("the client does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: Read + Unpin> Read for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let due = self.activity.due();
        if due.is_some_and(|due| due <= Instant::now()) {
            return Poll::Ready(Err(late("no request came")));
        }
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(done) => {
                self.reading = None;
                Poll::Ready(done)
            }
            Poll::Pending => {
                let Some(due) = due else {
                    self.reading = None;
                    return Poll::Pending;
                };
                let timer = self.reading.get_or_insert_with(|| Box::pin(sleep_until(due)));
                if timer.deadline() != due {
                    timer.as_mut().reset(due);
                }
                match timer.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Err(late("no request came"))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl<S: Write + Unpin> Write for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.stuck(context),
            done @ Poll::Ready(_) => {
                self.writing = None;
                done
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, pieces) {
            Poll::Pending => self.stuck(context),
            done @ Poll::Ready(_) => {
                self.writing = None;
                done
            }
        }
    }
}
