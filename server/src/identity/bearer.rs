//! The Authorization field of a request (RFC 9110 §11.6.2, RFC 6750 §2.1).

use hyper::header::{AUTHORIZATION, HeaderMap};

use super::jwt::TOKEN_BYTES_MAX;

/// What was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// A token: printable, of a bounded length, not looked at yet.
    Token(&'a str),
    /// Something else, or more than one thing.
    Odd,
}

/// Reads it. Tokens in parameters or bodies do not count: they end up in logs (RFC 6750 §5.3).
pub(crate) fn shown(headers: &HeaderMap) -> Shown<'_> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Shown::Nothing,
        (Some(field), None) => token(field.as_bytes()).map_or(Shown::Odd, Shown::Token),
        (Some(_), Some(_)) => Shown::Odd,
    }
}

/// The token of a field's value: `Bearer`, in any case, blanks, one b64token.
pub(crate) fn token(field: &[u8]) -> Option<&str> {
    let field = std::str::from_utf8(field).ok()?.trim_ascii();
    let (scheme, rest) = field.split_once(' ')?;
    let token = rest.trim_ascii_start();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    let good = scheme.eq_ignore_ascii_case("bearer")
        && (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.bytes().all(plain);
    good.then_some(token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_token_or_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(shown(&headers), Shown::Nothing);
        headers.insert(AUTHORIZATION, "bearer  a.b-c_d~+/=".parse().unwrap());
        assert_eq!(shown(&headers), Shown::Token("a.b-c_d~+/="));
        headers.append(AUTHORIZATION, "Bearer x".parse().unwrap());
        assert_eq!(shown(&headers), Shown::Odd);
        let long = format!("Bearer {}", "a".repeat(TOKEN_BYTES_MAX + 1));
        for odd in ["Basic YTpi", "Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "", &long] {
            assert_eq!(token(odd.as_bytes()), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_refused_or_plain(field in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(token) = token(&field) {
                prop_assert!(!token.is_empty() && token.is_ascii() && !token.contains(' '));
            }
        }

        #[test]
        fn what_is_a_token_is_found(text in "[A-Za-z0-9._~+/=-]{1,100}", blanks in " {1,3}") {
            let field = format!("Bearer{blanks}{text}");
            prop_assert_eq!(token(field.as_bytes()), Some(text.as_str()));
        }
    }
}
