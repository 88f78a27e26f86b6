//! One connection, read on the thread that asks: for replies so quick that a client library's own
//! threads would take longer than the server.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::web::Reply;

/// See the [module](self). A server may close it after any reply: then another one is opened, before
/// the clock runs.
pub(crate) struct Line {
    runtime: Runtime,
    sender: Option<SendRequest<Empty<Bytes>>>,
    host: String,
    prefix: String,
    body: Vec<u8>,
}

impl Line {
    /// To the service at `root`, as `http://127.0.0.1:8080/dicom-web`.
    pub(crate) fn new(root: &str) -> Result<Self> {
        let (host, prefix) = root
            .strip_prefix("http://")
            .and_then(|root| root.split_once('/'))
            .context("a URL without http or path")?;
        let runtime = Builder::new_current_thread().enable_io().build().context("a runtime")?;
        let (host, prefix) = (host.to_owned(), format!("/{prefix}"));
        Ok(Self { runtime, sender: None, host, prefix, body: Vec::new() })
    }

    /// Reads a resource that has to be there.
    pub(crate) fn read(&mut self, path: &str, accept: &str) -> Result<Reply> {
        self.read_open(path, accept).with_context(|| format!("GET {path}"))
    }

    fn read_open(&mut self, path: &str, accept: &str) -> Result<Reply> {
        let request = Request::get(format!("{}{path}", self.prefix))
            .header(HOST, &self.host)
            .header(ACCEPT, accept)
            .body(Empty::new())?;
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        self.runtime.block_on(async {
            let mut kept = self.sender.take();
            if let Some(sender) = &mut kept
                && sender.ready().await.is_err()
            {
                kept = None;
            }
            let mut sender = match kept {
                Some(sender) => sender,
                None => open(&self.host).await?,
            };
            let begun = Instant::now();
            let mut reply = sender.send_request(request).await?;
            while let Some(frame) = reply.frame().await {
                if let Ok(bytes) = frame?.into_data() {
                    body.extend_from_slice(&bytes);
                }
            }
            let seconds = begun.elapsed().as_secs_f64();
            let status = reply.status().as_u16();
            ensure!(status == 200, "status {status}");
            let content_type = reply.headers().get(CONTENT_TYPE);
            let content_type = content_type.and_then(|value| value.to_str().ok());
            let content_type = content_type.unwrap_or_default().to_owned();
            self.sender = Some(sender);
            Ok(Reply { status, content_type, retry_after: None, body, seconds })
        })
    }

    /// Takes a body back, to read the next one into.
    pub(crate) fn reuse(&mut self, body: Vec<u8>) {
        self.body = body;
    }
}

async fn open(host: &str) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
