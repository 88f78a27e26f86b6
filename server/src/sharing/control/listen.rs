//! The server's side of the socket.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use super::{Caller, Host, REQUEST_BYTES_MAX, Request, Teller, answer, socket};
use crate::error::{Error, Result};

/// Requests at once.
const REQUESTS_MAX: usize = 32;
/// Events that wait for a slow reader.
const EVENTS_MAX: usize = 64;
/// How long a request may take to come in.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait when a connection cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A path by which the socket can be named however long the data directory's is: the system takes some
/// hundred bytes. The handle has to live as long as the path is used.
pub(super) fn reachable(data: &Path) -> Result<(std::fs::File, PathBuf)> {
    let folder = std::fs::File::open(data).map_err(Error::io("open", data))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/cairn.sock", folder.as_raw_fd()));
    Ok((folder, path))
}

/// Opens the socket and answers, until it is dropped. The caller has the archive to itself, so what an
/// earlier server left is in nobody's use.
pub(crate) fn listen(host: Arc<Host>, data: &Path) -> Result<impl Future<Output = ()> + use<>> {
    let path = socket(data);
    match std::fs::symlink_metadata(&path) {
        Ok(left) if left.file_type().is_socket() => {
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        _ => {} // what is no socket is somebody's, and binding fails on it
    }
    let (_folder, near) = reachable(data)?;
    let listener = UnixListener::bind(&near).map_err(Error::io("listen at", &path))?;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, private).map_err(Error::io("protect", &path))?;
    let owner = std::fs::metadata(&path).map_err(Error::io("look at", &path))?.uid();
    let guard = Remove(path);
    Ok(async move {
        let _guard = guard;
        let places = Arc::new(Semaphore::new(REQUESTS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // The mode says the same; between binding and setting it, it did not.
            let Ok(peer) = stream.peer_cred() else { continue };
            if peer.uid() != owner && peer.uid() != 0 {
                continue;
            }
            let caller = Caller::of(Some(peer.uid()));
            let host = Arc::clone(&host);
            tokio::spawn(async move {
                if let Err(error) = converse(&host, stream, caller).await {
                    tracing::debug!(%error, "a command went away");
                }
                drop(place);
            });
        }
    })
}

/// Takes the socket away with the server.
struct Remove(PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn converse(host: &Arc<Host>, mut stream: UnixStream, caller: Caller) -> std::io::Result<()> {
    let (reading, mut writing) = stream.split();
    let mut line = Vec::new();
    let mut reading = BufReader::new(reading.take(REQUEST_BYTES_MAX));
    let read = reading.read_until(b'\n', &mut line);
    tokio::time::timeout(REQUEST_PATIENCE, read).await??;
    let request = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => request,
        Err(error) => {
            let error = super::Fault::Request(error.to_string()).to_string();
            return say(&mut writing, &json!({ "error": error, "code": 1 })).await;
        }
    };
    let (events, mut told) = mpsc::channel(EVENTS_MAX);
    let answering = Arc::clone(host);
    // A task of its own: what was begun is finished, even if whoever asked goes away.
    let answered =
        tokio::spawn(
            async move { answer(&answering, request, &caller, &Teller::new(events)).await },
        );
    while let Some(event) = told.recv().await {
        say(&mut writing, &json!({ "event": event })).await?;
    }
    let last = match answered.await {
        Ok(Ok(result)) => json!({ "result": result }),
        Ok(Err(error)) => json!({ "error": error.to_string(), "code": error.exit_code() }),
        Err(_) => json!({ "error": "the request failed by a bug; the log says more", "code": 1 }),
    };
    say(&mut writing, &last).await
}

async fn say(
    writing: &mut (impl tokio::io::AsyncWrite + Unpin),
    line: &serde_json::Value,
) -> std::io::Result<()> {
    let mut bytes = line.to_string().into_bytes();
    bytes.push(b'\n');
    writing.write_all(&bytes).await
}
