//! How a socket between sites is set.

use socket2::SockRef;
use tokio::net::TcpStream;

/// Sends at the pace that the line delivers rather than slowing down at each packet lost: lines between
/// hospitals are long and lose some. Where the system does not have it, its own way stays.
pub(crate) fn tune(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(stream).set_tcp_congestion(b"bbr") {
        tracing::debug!(%error, "BBR is not to be had");
    }
    let _ = SockRef::from(stream).set_tcp_nodelay(true);
}
