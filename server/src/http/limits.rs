//! Every bound on what a client may make the server do, with its reason.

use std::time::Duration;

/// How long whoever reads a study waits for what was acknowledged of it. It takes as long as coding
/// does; a spool that is full and all of one study takes some seconds.
pub(crate) const SETTLE_PATIENCE: Duration = Duration::from_secs(30);

/// Bytes in a MiB.
pub(crate) const MEBIBYTE: u64 = 1 << 20;

/// Most that hyper gathers for the head of a request. Accept fields of 64 KB were seen from viewers
/// that list every syntax; 1,024 connections in their heads then cost 128 MiB at most.
pub(crate) const HEAD_BYTES_MAX: usize = 128 << 10;

/// Header fields in a request.
pub(crate) const HEADERS_MAX: usize = 128;

/// Requests at once on one HTTP/2 connection: OHIF asks every series of a study together.
pub(crate) const H2_STREAMS_MAX: u32 = 128;

/// What a client may send on one HTTP/2 stream before it is read: a stream at full speed over a
/// campus line (10 ms, 1 Gbit/s).
pub(crate) const H2_STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// The same for all streams of a connection together.
pub(crate) const H2_CONNECTION_WINDOW_BYTES: u32 = 2 << 20;

/// What hyper buffers of a reply on one HTTP/2 stream.
pub(crate) const H2_SEND_BUFFER_BYTES: usize = 512 << 10;

/// How often a silent HTTP/2 peer is asked whether it is there, and how long it may take to answer.
pub(crate) const H2_PING_EVERY: Duration = Duration::from_secs(20);

/// Pieces that may wait between the thread that reads the archive and the socket. A piece is at
/// most a chunk (1 MiB), so a slow client holds a few MiB and its thread waits.
pub(crate) const STREAM_PIECES_MAX: usize = 4;

/// A body has to bring this much in each idle period: what trickles slower holds memory for nothing.
/// A satellite line brings ten times as much.
pub(crate) const BODY_BYTES_PER_SECOND_MIN: u64 = 256;

/// How long a request waits for a free place among jobs, stores or streams before it gets 503.
pub(crate) const PLACE_PATIENCE: Duration = Duration::from_secs(10);

/// Requests at once that bring metadata and bulk data apart: each is held whole, some 350 MiB at most.
pub(crate) const COMPOSES_MAX: usize = 2;

/// What a refused client is asked to wait before it tries again.
pub(crate) const RETRY_AFTER_SECONDS: u32 = 5;

/// Of a body that is refused, this much is read and thrown away, so that a client that sends first
/// and reads later gets the answer rather than a reset.
pub(crate) const LINGER_BYTES_MAX: u64 = 64 * MEBIBYTE;

/// And for this long.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

/// Bodies below this length are not compressed: they fit into one packet as they are.
pub(crate) const COMPRESS_BYTES_MIN: usize = 1024;

/// Bounds that can be set.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Connections at once.
    pub(crate) connections: usize,
    /// Blocking jobs at once.
    pub(crate) jobs: usize,
    /// Storing requests at once, a thread each.
    pub(crate) stores: usize,
    /// Streamed replies at once, a thread each.
    pub(crate) streams: usize,
    /// Longest request body.
    pub(crate) request_bytes: Option<u64>,
    /// From accepting a connection to the end of its first request's head.
    pub(crate) header: Duration,
    /// A body that stands still, in either direction.
    pub(crate) idle: Duration,
    /// A connection without a request.
    pub(crate) keep_alive: Duration,
    /// Requests under way after the signal to stop.
    pub(crate) drain: Duration,
}
