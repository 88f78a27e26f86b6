//! The body of a request on its way in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use super::limits::{BODY_BYTES_PER_SECOND_MIN, LINGER, LINGER_BYTES_MAX};
use super::problem::Problem;

/// Why a body cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// It is longer than the bound.
    #[error("the body is longer than this server takes")]
    TooLarge,
    /// It stands still, or trickles.
    #[error("the body came too slowly")]
    Slow,
    /// The client is gone, or broke the protocol.
    #[error("the body broke off")]
    Cut,
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::TooLarge => Self::too_large(),
            Broken::Slow => Self::new(hyper::StatusCode::REQUEST_TIMEOUT, broken.to_string()),
            Broken::Cut => Self::bad(broken.to_string()),
        }
    }
}

/// See the [module](self).
pub(crate) struct RequestBody {
    /// What is still to be read, unless it is thrown away.
    incoming: Option<Incoming>,
    bytes_max: Option<u64>,
    received: Arc<AtomicU64>,
    idle: Duration,
    /// Bytes in this idle period, and how long the server has waited for them.
    period_bytes: u64,
    waited: Duration,
    ended: bool,
    /// The client waits for "100 Continue" before it sends.
    pub(super) expects: bool,
}

impl RequestBody {
    pub(super) fn new(
        incoming: Incoming,
        bytes_max: Option<u64>,
        received: Arc<AtomicU64>,
        idle: Duration,
        expects: bool,
    ) -> Self {
        Self {
            ended: incoming.is_end_stream(),
            incoming: Some(incoming),
            bytes_max,
            received,
            idle,
            period_bytes: 0,
            waited: Duration::ZERO,
            expects,
        }
    }

    /// The length that the client declares, if it does. A claim, no more.
    pub(crate) fn declared(&self) -> Option<u64> {
        self.incoming.as_ref().and_then(|incoming| incoming.size_hint().exact())
    }

    /// Refuses what is declared to be too long, before any of it is read.
    pub(crate) fn refuse_early(&self) -> Result<(), Problem> {
        let too_long = |most: u64| self.declared().is_some_and(|bytes| bytes > most);
        if self.bytes_max.is_some_and(too_long) { Err(Problem::too_large()) } else { Ok(()) }
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let Some(incoming) = self.incoming.as_mut().filter(|_| !self.ended) else {
                return Ok(None);
            };
            let asked = Instant::now();
            let frame = tokio::time::timeout(self.idle, incoming.frame()).await;
            let frame = frame.map_err(|_| Broken::Slow)?;
            self.waited += asked.elapsed();
            if self.waited >= self.idle {
                if self.period_bytes < BODY_BYTES_PER_SECOND_MIN * self.idle.as_secs().max(1) {
                    return Err(Broken::Slow);
                }
                (self.waited, self.period_bytes) = (Duration::ZERO, 0);
            }
            let Some(frame) = frame else {
                self.ended = true;
                return Ok(None);
            };
            let Ok(frame) = frame else { return Err(Broken::Cut) };
            // Trailers say nothing here.
            let Ok(bytes) = frame.into_data() else { continue };
            let all = self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if self.bytes_max.is_some_and(|most| all + bytes.len() as u64 > most) {
                return Err(Broken::TooLarge);
            }
            self.period_bytes += bytes.len() as u64;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    /// All of it, where it is small. What is longer is read on for a moment: see [`Self::linger`].
    pub(crate) async fn whole(&mut self, bytes_max: u64) -> Result<Bytes, Broken> {
        let mut all = BytesMut::new();
        loop {
            match self.next().await {
                Ok(Some(bytes)) if (all.len() + bytes.len()) as u64 <= bytes_max => {
                    all.extend_from_slice(&bytes);
                }
                Ok(None) => return Ok(all.freeze()),
                Ok(Some(_)) | Err(Broken::TooLarge) => {
                    self.throw_away();
                    return Err(Broken::TooLarge);
                }
                Err(broken) => return Err(broken),
            }
        }
    }

    /// Reads on for a moment and throws away: a client that first sends and then reads shall get its
    /// answer, and not a reset. One that waits for "100 Continue" is not asked to send.
    pub(crate) fn linger(mut self) {
        self.throw_away();
    }

    fn throw_away(&mut self) {
        let Some(mut incoming) = self.incoming.take().filter(|_| !self.ended && !self.expects)
        else {
            return;
        };
        tokio::spawn(tokio::time::timeout(LINGER, async move {
            let mut left = LINGER_BYTES_MAX;
            while let Some(Ok(frame)) = incoming.frame().await {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        }));
    }
}
