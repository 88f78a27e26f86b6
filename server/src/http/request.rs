//! A request as a handler sees it.

use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderName};

use super::body::RequestBody;
use super::forwarded::BaseUrl;
use super::query::Query;
use crate::identity::Who;

/// What is asked, of which the route is known already.
pub(crate) struct Ask {
    /// The TLS key that the asking site showed; `None` on the ports for people and programs.
    pub(crate) site_key: Option<[u8; 32]>,
    /// Who asks.
    pub(crate) who: Who,
    /// The address that the request comes from.
    pub(crate) from: String,
    /// The request's id.
    pub(crate) id: Arc<str>,
    /// The header fields.
    pub(crate) headers: HeaderMap,
    /// The parameters.
    pub(crate) query: Query,
    /// Under which URL the client reaches this server.
    pub(crate) base: BaseUrl,
    /// The body.
    pub(crate) body: RequestBody,
}

impl Ask {
    /// A header field as text; of several with one name, the first.
    pub(crate) fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All fields of one name as one list, as RFC 9110 §5.3 joins them.
    pub(crate) fn list(&self, name: &HeaderName) -> Option<String> {
        let mut fields = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let mut list = fields.next()?.to_owned();
        for field in fields {
            list.push_str(", ");
            list.push_str(field);
        }
        Some(list)
    }

    /// The URL of the DICOMweb root, without a slash at the end.
    pub(crate) fn dicomweb(&self) -> String {
        format!("{}/dicom-web", self.base.as_str())
    }

    /// The same over all sites.
    pub(crate) fn federated(&self) -> String {
        format!("{}/federated/dicom-web", self.base.as_str())
    }
}
