//! Under which URL does this client reach us?
//!
//! Retrieve URLs and bulk data URIs are absolute (PS3.18 §8.2, annex F.2.2), so behind a proxy the
//! server has to know what the proxy is called. The setting `base_url` wins; else `Forwarded`
//! (RFC 7239) and `X-Forwarded-*` of a proxy that is trusted; else the Host field. A value that is no
//! plain host or path is not used: it would be written into what clients follow.

use std::net::SocketAddr;

use hyper::header::{FORWARDED, HOST, HeaderMap, HeaderName};
use hyper::http::request::Parts;

const X_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// Longest host with its port (RFC 1035 §2.3.4, and six for the port).
const HOST_BYTES_MAX: usize = 261;
/// Longest path prefix.
const PREFIX_BYTES_MAX: usize = 256;

/// Scheme, host and path prefix, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl(String);

/// Whose forwarding headers are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those of a peer on this machine: a reverse proxy beside the server.
    Loopback,
    /// Everybody's: the server can be reached through proxies only.
    Always,
    /// Nobody's.
    Never,
}

impl BaseUrl {
    /// Reads the setting.
    pub(crate) fn from_setting(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = format!("/{}", path.trim_end_matches('/'));
        let plain = is_scheme(scheme) && is_host(host) && (path.is_empty() || is_prefix(&prefix));
        plain.then(|| Self::new(scheme, host, if prefix == "/" { "" } else { &prefix }))
    }

    /// As a request says. `local` is where it came in.
    pub(super) fn of_request(head: &Parts, trusted: bool, local: SocketAddr) -> Self {
        let said = if trusted { Said::read(&head.headers) } else { Said::default() };
        let authority = head.uri.authority().map(hyper::http::uri::Authority::as_str);
        let asked = authority.or_else(|| text(&head.headers, &HOST)).filter(|host| is_host(host));
        let own = local.to_string();
        let mut host = said.host.or(asked).unwrap_or(&own).to_owned();
        // dicomweb-client for Python leaves the port out of Host. Where Host is this end of the
        // connection, no proxy stands between, and the port is the connection's.
        if said.host.is_none() && said.port.is_none() && local.port() != 80 && is_end(&host, local)
        {
            host = format!("{host}:{}", local.port());
        }
        if let (Some(port), false) = (said.port, has_port(&host)) {
            let usual = match said.scheme {
                Some("https") => "443",
                _ => "80",
            };
            if port != usual {
                host = format!("{host}:{port}");
            }
        }
        Self::new(said.scheme.unwrap_or("http"), &host, said.prefix.unwrap_or(""))
    }

    fn new(scheme: &str, host: &str, prefix: &str) -> Self {
        Self(format!("{}://{host}{prefix}", scheme.to_ascii_lowercase()))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Is this host, without a port, the address `local`?
fn is_end(host: &str, local: SocketAddr) -> bool {
    let address = local.ip().to_canonical();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    literal.parse() == Ok(address) || (host == "localhost" && address.is_loopback())
}

impl Trust {
    /// Is this peer believed?
    pub(super) fn of(self, peer: SocketAddr) -> bool {
        match self {
            Self::Loopback => peer.ip().to_canonical().is_loopback(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// What a proxy says, as far as it can be used.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said<'a> {
    scheme: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<&'a str>,
    prefix: Option<&'a str>,
}

impl<'a> Said<'a> {
    /// The first element of each list was added by the proxy next to the client.
    fn read(headers: &'a HeaderMap) -> Self {
        let first = |name| text(headers, name).map(first_of);
        let mut said = Self {
            scheme: first(&X_PROTO).filter(|scheme| is_scheme(scheme)),
            host: first(&X_HOST).filter(|host| is_host(host)),
            port: first(&X_PORT).filter(|port| is_port(port)),
            prefix: first(&X_PREFIX)
                .map(|prefix| prefix.trim_end_matches('/'))
                .filter(|prefix| is_prefix(prefix)),
        };
        let Some(forwarded) = text(headers, &FORWARDED) else { return said };
        for pair in forwarded.split(',').next().unwrap_or("").split(';') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("proto") && is_scheme(value) {
                said.scheme = Some(value);
            } else if name.trim().eq_ignore_ascii_case("host") && is_host(value) {
                said.host = Some(value);
            }
        }
        said
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn first_of(list: &str) -> &str {
    list.split(',').next().unwrap_or("").trim()
}

fn is_scheme(text: &str) -> bool {
    text.eq_ignore_ascii_case("http") || text.eq_ignore_ascii_case("https")
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0 && !text.starts_with('+'))
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| is_port(port) && !host.ends_with(']'))
}

/// A name or an address, with or without a port.
fn is_host(text: &str) -> bool {
    if text.is_empty() || text.len() > HOST_BYTES_MAX {
        return false;
    }
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, after)) if v6.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", after),
            _ => return false,
        },
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !name.is_empty()
        && name.bytes().all(plain)
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// A path of plain segments.
fn is_prefix(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~' | b'/');
    text.starts_with('/')
        && text.len() <= PREFIX_BYTES_MAX
        && text.bytes().all(plain)
        && !text.contains("//")
        && !text.split('/').any(|segment| segment == "..")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn base(headers: &[(&str, &str)], trusted: bool) -> String {
        let mut request = hyper::Request::builder().uri("/dicom-web/studies");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        BaseUrl::of_request(&head, trusted, "127.0.0.1:8080".parse().unwrap()).0
    }

    #[test]
    fn behaviour_12_urls_follow_the_proxy() {
        assert_eq!(base(&[("host", "pacs:8080")], true), "http://pacs:8080");
        assert_eq!(base(&[], true), "http://127.0.0.1:8080");
        assert_eq!(base(&[("host", "127.0.0.1")], true), "http://127.0.0.1:8080");
        assert_eq!(base(&[("host", "pacs.example")], true), "http://pacs.example");
        let forwarded = "for=192.0.2.4;proto=https;host=\"pacs.example\", for=10.0.0.1";
        assert_eq!(base(&[("forwarded", forwarded)], true), "https://pacs.example");
        let x = [
            ("host", "cairn:8080"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "pacs.example"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-prefix", "/imaging/"),
        ];
        assert_eq!(base(&x, true), "https://pacs.example:8443/imaging");
        assert_eq!(base(&x, false), "http://cairn:8080");
        let usual = [("x-forwarded-proto", "https"), ("x-forwarded-port", "443")];
        assert_eq!(base(&[&usual[..], &[("host", "h")]].concat(), true), "https://h");
    }

    #[test]
    fn hostile_values_are_not_used() {
        for host in ["evil\"><script>", "a b", "a/b", "user@evil", "a:99999", "[::1", ""] {
            assert_eq!(base(&[("host", "h"), ("x-forwarded-host", host)], true), "http://h");
        }
        for prefix in ["//evil", "/../..", "/a?b", "/<b>", "evil"] {
            assert_eq!(base(&[("host", "h"), ("x-forwarded-prefix", prefix)], true), "http://h");
        }
        assert_eq!(base(&[("host", "h"), ("x-forwarded-proto", "javascript")], true), "http://h");
    }

    #[test]
    fn settings() {
        let url = BaseUrl::from_setting("https://pacs.example/imaging/").unwrap();
        assert_eq!(url.as_str(), "https://pacs.example/imaging");
        assert_eq!(BaseUrl::from_setting("http://h:80").unwrap().as_str(), "http://h:80");
        assert_eq!(BaseUrl::from_setting("ftp://h"), None);
        assert_eq!(BaseUrl::from_setting("h"), None);
        let peer = |text: &str| text.parse().unwrap();
        assert!(Trust::Loopback.of(peer("[::ffff:127.0.0.1]:9")));
        assert!(!Trust::Loopback.of(peer("10.0.0.1:9")));
        assert!(!Trust::Never.of(peer("127.0.0.1:9")));
    }
}
