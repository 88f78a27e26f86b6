//! What goes back to a client.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::problem::Problem;
use super::stream::Feed;

/// Writes a body on a thread that may block.
pub(crate) type Run = Box<dyn FnOnce(&mut Feed) -> Result<(), Problem> + Send>;

/// The body of a reply.
pub(crate) enum Content {
    /// Nothing.
    Empty,
    /// All of it.
    Full(Bytes),
    /// All of it, in pieces that lie apart; not empty ones. Never text: it is not compressed.
    Pieces(Vec<Bytes>),
    /// As a thread brings it. It is not begun for a HEAD request.
    Stream {
        /// Its length, if it is known: then it goes into Content-Length.
        length: Option<u64>,
        /// What brings it. An error, or a panic, ends the connection, so that the client cannot
        /// take what it got for the whole.
        run: Run,
    },
}

/// A status, header fields and a body.
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: StatusCode,
    /// The header fields. Content-Length, CORS, Vary, Date and request id are added around it.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) content: Content,
    /// Studies that it is about beside those that the request named: for the audit log.
    pub(crate) studies: Vec<String>,
    /// The patient's key that signed what was asked: for the audit log.
    pub(crate) patient: Option<String>,
}

impl Reply {
    /// An empty reply.
    pub(crate) fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            content: Content::Empty,
            studies: Vec::new(),
            patient: None,
        }
    }

    /// 200 with a body that is at hand.
    pub(crate) fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK).content_type(content_type).bytes(body)
    }

    /// 200 with a body that a blocking thread brings.
    pub(crate) fn stream(
        content_type: &str,
        length: Option<u64>,
        run: impl FnOnce(&mut Feed) -> Result<(), Problem> + Send + 'static,
    ) -> Self {
        let content = Content::Stream { length, run: Box::new(run) };
        Self { content, ..Self::new(StatusCode::OK).content_type(content_type) }
    }

    /// Sets the status.
    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Names studies that it is about.
    pub(crate) fn about(self, studies: Vec<String>) -> Self {
        Self { studies, ..self }
    }

    /// Names the patient's key that signed what was asked.
    pub(crate) fn by_patient(self, key: String) -> Self {
        Self { patient: Some(key), ..self }
    }

    /// Sets a header field.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets a header field from text; text that cannot stand in a header is left out.
    pub(crate) fn text_header(self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.header(name, value),
            Err(_) => self,
        }
    }

    /// Sets the media type.
    pub(crate) fn content_type(self, media_type: &str) -> Self {
        self.text_header(CONTENT_TYPE, media_type)
    }

    /// Makes a browser save it, under this name. A DICOM file may begin with a TIFF or a program: it
    /// shall never be opened for what its first bytes look like.
    pub(crate) fn attachment(self, uid: &str, extension: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
        let name: String = uid.chars().map(plain).collect();
        let name = name.trim_start_matches('.');
        let value = format!("attachment; filename=\"{name}.{extension}\"");
        self.text_header(CONTENT_DISPOSITION, &value)
    }

    /// Sets the body.
    pub(crate) fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.content = Content::Full(body.into());
        self
    }

    /// Sets a body in pieces.
    pub(crate) fn pieces(mut self, pieces: Vec<Bytes>) -> Self {
        self.content = Content::Pieces(pieces);
        self
    }

    /// The length of the body, if it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.content {
            Content::Empty => Some(0),
            Content::Full(bytes) => Some(bytes.len() as u64),
            Content::Pieces(pieces) => Some(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Content::Stream { length, .. } => *length,
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_downloads_are_harmless() {
        let name = |uid: &str| {
            let reply = Reply::new(StatusCode::OK).attachment(uid, "dcm");
            reply.headers[CONTENT_DISPOSITION].to_str().map(str::to_owned).ok()
        };
        assert_eq!(name("1.2.3").as_deref(), Some("attachment; filename=\"1.2.3.dcm\""));
        let hostile = name("../..\"\r\nX: y\u{202e}");
        assert_eq!(hostile.as_deref(), Some("attachment; filename=\"_..___X__y_.dcm\""));
    }
}
