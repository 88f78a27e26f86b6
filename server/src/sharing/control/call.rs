//! A command's side of the socket.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::listen::reachable;
use super::{ANSWER_BYTES_MAX, Request, socket};
use crate::error::{Error, Result};
use crate::sharing::Fault;

/// A line of an answer.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    /// Something on the way.
    Event { event: Value },
    /// The end of it.
    Result { result: Value },
    /// Or this.
    Error { error: String, code: u8 },
}

/// Asks the server on the archive in `data`; `None`: there is none.
pub(crate) fn call(
    data: &Path,
    request: &Request,
    on_event: &mut dyn FnMut(Value) -> Result<()>,
) -> Result<Option<Value>> {
    let path = socket(data);
    if !path.exists() {
        return Ok(None);
    }
    let (_folder, near) = reachable(data)?;
    let mut stream = match UnixStream::connect(&near) {
        Ok(stream) => stream,
        // A server that was killed leaves its socket behind.
        Err(error)
            if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("connect to", &path)(error)),
    };
    let broken = |why: String| Error::from(Fault::Control(why));
    let mut line = serde_json::to_vec(request).map_err(|error| broken(error.to_string()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(|error| broken(error.to_string()))?;
    let mut reading = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reading).take(ANSWER_BYTES_MAX);
        bounded.read_until(b'\n', &mut line).map_err(|error| broken(error.to_string()))?;
        if line.is_empty() {
            return Err(broken("it ended without an answer".into()));
        }
        let line = serde_json::from_slice(&line).map_err(|error| broken(error.to_string()))?;
        match line {
            Line::Event { event } => on_event(event)?,
            Line::Result { result } => return Ok(Some(result)),
            Line::Error { error, code } => return Err(Error::Answered { why: error, code }),
        }
    }
}
