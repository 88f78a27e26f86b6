//! Accepting connections, and ending.
//!
//! Asked to end, the server accepts no more, lets messages under way come to their end, and aborts
//! associations that are quiet. What is left after the drain time is closed. Nothing depends on this:
//! what was answered with success survives a `kill -9`.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::admission::Way;
use super::limits::{ACCEPT_PAUSE, REFUSALS_MAX, STACK_BYTES, TICK};
use super::{Dimse, Open, association};

/// How long threads may take to see that their connection was closed.
const LET_GO: Duration = Duration::from_secs(2);

/// Where connections come in; each port has its own kind (PS3.15 annex B).
pub(crate) struct Ports {
    /// Without TLS.
    pub(crate) plain: Option<TcpListener>,
    /// With TLS, and nothing else.
    pub(crate) tls: Option<TcpListener>,
}

impl Ports {
    /// The next connection, and whether it is to speak TLS.
    async fn next(&self) -> std::io::Result<(TcpStream, bool)> {
        let (stream, tls) = tokio::select! {
            stream = next(self.plain.as_ref()) => (stream?, false),
            stream = next(self.tls.as_ref()) => (stream?, true),
        };
        Ok((stream.into_std()?, tls))
    }
}

async fn next(listener: Option<&TcpListener>) -> std::io::Result<tokio::net::TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Serves until `stop` comes, and then as long as draining takes.
pub(crate) async fn serve(dimse: Arc<Dimse>, ports: Ports, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let reporter = Arc::clone(&dimse);
    let reports = std::thread::Builder::new()
        .name("cairn-dimse-reports".into())
        .spawn(move || reporter.reports.run(&reporter));
    if let Err(error) = reports {
        tracing::warn!(%error, "storage commitments will not be reported");
    }
    let forwarder = Arc::clone(&dimse);
    let forwarding = std::thread::Builder::new()
        .name("cairn-dimse-routes".into())
        .spawn(move || super::routes::run(&forwarder));
    if let Err(error) = forwarding {
        tracing::warn!(%error, "nothing will be forwarded");
    }
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = ports.next() => accepted,
        };
        let begun = accepted.and_then(|(stream, tls)| begin(&dimse, stream, tls));
        if let Err(error) = begun {
            tracing::warn!(%error, "a DIMSE connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
    drop(ports);
    dimse.stopping.store(true, Ordering::Relaxed);
    let under_way = dimse.open().len();
    tracing::info!(associations = under_way, "draining DIMSE");
    if !is_empty_within(&dimse, dimse.settings.drain).await {
        tracing::warn!("associations were still open after the drain time; they are dropped");
        dimse.close_all();
        is_empty_within(&dimse, LET_GO).await;
    }
}

async fn is_empty_within(dimse: &Dimse, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    while !dimse.open().is_empty() {
        if Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(TICK / 10).await;
    }
    true
}

/// Gives a connection a thread.
pub(super) fn begin(dimse: &Arc<Dimse>, stream: TcpStream, tls: bool) -> std::io::Result<()> {
    let count = dimse.open().len();
    let max = dimse.settings.associations_max;
    if count >= max + REFUSALS_MAX {
        dimse.app.metrics.dimse.ended("dropped");
        return Ok(());
    }
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(dimse.settings.stall))?;
    let way = Way { address: stream.peer_addr()?.ip(), tls };
    let open = Open::new(dimse, stream.try_clone()?);
    let dimse = Arc::clone(dimse);
    std::thread::Builder::new()
        .name("cairn-dimse".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            association::run(&dimse, &open, &stream, way, count >= max);
        })
        .map(|_| ())
}
