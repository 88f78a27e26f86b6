//! Cross-origin requests: whose pages may read (Fetch standard, §3.2).
//!
//! On its own machine the archive asks nobody who it is unless told to, so being able to reach it is
//! being allowed to read it. Therefore the default is not `*`: any page that somebody at the hospital
//! has open could then read the archive through that person's browser. `local` allows pages that come from the machine of
//! the browser itself (a viewer under development, or installed on the workstation). A viewer on
//! another server is named in the setting, or stands behind the same reverse proxy.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderValue, ORIGIN, VARY,
};

/// What a page may read of a reply besides its body.
const EXPOSED: &str = "Content-Type, Content-Length, Content-Encoding, Content-Location, \
    Content-Range, Content-Disposition, Accept-Ranges, ETag, Last-Modified, Location, Retry-After, \
    WWW-Authenticate, Warning, X-Request-Id";
/// Header fields that a page may send.
const ALLOWED: &str = "Accept, Accept-Charset, Accept-Language, Authorization, Cache-Control, \
    Content-Type, If-Match, If-None-Match, If-Range, Pragma, Range, X-Request-Id, \
    X-Requested-With";
/// How long a browser may remember the answer to a preflight, in seconds.
const MAX_AGE_SECONDS: &str = "7200";

/// Whose pages may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Nobody's.
    None,
    /// Everybody's.
    Any,
    /// Those that come from the browser's own machine.
    Local,
    /// Those of these origins.
    List(Vec<String>),
}

impl Origins {
    /// Reads the setting.
    pub(crate) fn from_setting(text: &str) -> Option<Self> {
        match text.trim() {
            "" | "none" => Some(Self::None),
            "*" => Some(Self::Any),
            "local" => Some(Self::Local),
            list => {
                let origins = list.split(',').map(|origin| {
                    let origin = origin.trim().trim_end_matches('/').to_ascii_lowercase();
                    host(&origin).is_some().then_some(origin)
                });
                origins.collect::<Option<_>>().map(Self::List)
            }
        }
    }

    fn allow(&self, origin: &str) -> bool {
        match self {
            Self::None => false,
            Self::Any => true,
            Self::Local => host(origin).is_some_and(is_local),
            Self::List(list) => list.iter().any(|known| known.eq_ignore_ascii_case(origin)),
        }
    }

    /// Adds what the reply to a request from another origin needs; also where it is an error, or a
    /// page could not tell why.
    pub(super) fn apply(&self, request: &HeaderMap, reply: &mut HeaderMap) {
        if *self == Self::None {
            return;
        }
        if *self != Self::Any {
            reply.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = request.get(ORIGIN) else { return };
        if !origin.to_str().is_ok_and(|origin| self.allow(origin)) {
            return;
        }
        let allowed =
            if *self == Self::Any { HeaderValue::from_static("*") } else { origin.clone() };
        reply.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        reply.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }

    /// Adds what the reply to a preflight needs besides.
    pub(super) fn preflight(methods: &'static str, reply: &mut HeaderMap) {
        reply.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        reply.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED));
        reply.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_SECONDS));
    }
}

/// The host of an origin, `scheme://host[:port]`.
fn host(origin: &str) -> Option<&str> {
    let (scheme, rest) = origin.split_once("://")?;
    let known = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    let host = match rest.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?.0,
        None => rest.split(':').next()?,
    };
    let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'_');
    (known && !host.is_empty() && host.bytes().all(harmless)).then_some(host)
}

fn is_local(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings() {
        assert_eq!(Origins::from_setting("none"), Some(Origins::None));
        let list = Origins::from_setting("https://ohif.example, http://v:3000/").unwrap();
        assert!(list.allow("https://ohif.example") && list.allow("http://v:3000"));
        assert!(!list.allow("http://ohif.example") && !list.allow("https://ohif.example.evil"));
        assert_eq!(Origins::from_setting("ohif.example"), None);
        assert_eq!(Origins::from_setting("https://a, x"), None);
    }

    #[test]
    fn local_is_the_browsers_own_machine() {
        for origin in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"] {
            assert!(Origins::Local.allow(origin), "{origin}");
        }
        let others =
            ["null", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "file://"];
        for origin in others {
            assert!(!Origins::Local.allow(origin), "{origin}");
        }
    }

    #[test]
    fn errors_can_be_read_too() {
        let mut request = HeaderMap::new();
        request.insert(ORIGIN, "http://localhost:3000".parse().unwrap());
        let mut reply = HeaderMap::new();
        Origins::Local.apply(&request, &mut reply);
        assert_eq!(reply[ACCESS_CONTROL_ALLOW_ORIGIN], "http://localhost:3000");
        assert_eq!(reply[VARY], "Origin");
        assert!(reply[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("Content-Range"));
        request.insert(ORIGIN, "http://evil.example".parse().unwrap());
        let mut reply = HeaderMap::new();
        Origins::Local.apply(&request, &mut reply);
        assert!(!reply.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}
