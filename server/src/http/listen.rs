//! Accepting connections, and ending.
//!
//! Asked to end, the server stops accepting, tells load balancers (`/readyz` turns 503), lets
//! requests under way go on for the drain time, and drops what is left. Nothing depends on this:
//! what was acknowledged survives a `kill -9`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::app::App;
use super::deadline::{Activity, Guarded};
use super::limits::{
    H2_CONNECTION_WINDOW_BYTES, H2_PING_EVERY, H2_SEND_BUFFER_BYTES, H2_STREAM_WINDOW_BYTES,
    H2_STREAMS_MAX, HEAD_BYTES_MAX, HEADERS_MAX, Limits,
};
use super::service::{Face, Service};
use crate::peer;
use crate::sharing::Site;

/// How long to wait when the system has no more files or memory for connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is let in at a port.
#[derive(Clone)]
pub(crate) enum Door {
    /// Whoever reaches it.
    Web,
    /// Sites, by TLS with this site's key in force. What each may is asked of the logs.
    Sites(Arc<Site>),
}

/// Serves until `stop` comes, and then as long as draining takes.
pub(crate) async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    door: Door,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let local = listener.local_addr()?;
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(app.limits.connections));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let (app, door, watcher) = (Arc::clone(&app), door.clone(), graceful.watcher());
        app.metrics.connections.inc();
        tokio::spawn(async move {
            match door {
                Door::Web => {
                    let ends = Ends { peer, local, face: Face::Web };
                    converse(&app, stream, ends, watcher).await;
                }
                Door::Sites(site) => {
                    // What is sent is whole studies, over lines that may be long and lossy.
                    peer::tune(&stream);
                    match shake_hands(&site, stream, app.limits.header).await {
                        Ok(stream) => {
                            let shown = stream.get_ref().1.peer_certificates();
                            // Without one there is no connection.
                            if let Some(key) = peer::shown_key(shown) {
                                let ends = Ends { peer, local, face: Face::Site(key) };
                                converse(&app, stream, ends, watcher).await;
                            }
                        }
                        Err(error) => tracing::debug!(%error, "a site's handshake failed"),
                    }
                }
            }
            app.metrics.connections.dec();
            drop(place);
        });
    }
    drop(listener);
    app.drain();
    let under_way = graceful.count();
    tracing::info!(connections = under_way, "draining");
    if tokio::time::timeout(app.limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way after the drain time; they are dropped");
    }
    Ok(())
}

/// TLS with another site.
async fn shake_hands(
    site: &Site,
    stream: TcpStream,
    patience: Duration,
) -> std::io::Result<TlsStream<TcpStream>> {
    let identity = site.identity().map_err(std::io::Error::other)?;
    let accepting = TlsAcceptor::from(identity.server()).accept(stream);
    tokio::time::timeout(patience, accepting).await?
}

/// The ends of a connection, and who is at the other one.
struct Ends {
    peer: SocketAddr,
    local: SocketAddr,
    face: Face,
}

/// Answers the requests of one connection.
async fn converse<S>(app: &Arc<App>, stream: S, ends: Ends, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = builder(&app.limits);
    let activity = Activity::new(&app.limits);
    let io = Guarded::new(TokioIo::new(stream), Arc::clone(&activity), app.limits.idle);
    let Ends { peer, local, face } = ends;
    let service = Arc::new(Service { app: Arc::clone(app), activity, peer, local, face });
    let connection = builder.serve_connection(
        io,
        service_fn(move |request| {
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(service.call(request).await) }
        }),
    );
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        // A client that goes, or breaks the protocol: nothing an operator could mend.
        tracing::debug!(error = %error, "a connection ended early");
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// The next connection. A place for it comes first, so that more clients than the bound wait in the
/// system's backlog.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// HTTP/1.1 and HTTP/2 on one port. The timers are what makes hyper keep any deadline at all.
fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Also how long hyper keeps an idle connection; `Guarded` is the stricter one on the first.
        .header_read_timeout(limits.keep_alive.max(limits.header))
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES)
        .keep_alive_interval(H2_PING_EVERY)
        .keep_alive_timeout(H2_PING_EVERY);
    builder
}
