//! What two people read to each other to be sure that their sites are who they seem.
//!
//! One number over the site's id and the TLS key in force. The id is a hash of the name and of the first
//! key of the log, from which every later key follows by signatures; so whoever compared the number knows
//! which log is meant and who may speak for it over the network. 128 bits: to find another site with the
//! number of a given one takes 2^128 tries, and nothing is gained by finding two of one's own.

use std::fmt;

use cairn_ledger::id::SiteId;

const CONTEXT: &str = "cairn 2026-11 v1 site fingerprint";
const BYTES: usize = 16;

/// See the [module](self).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fingerprint([u8; BYTES]);

impl Fingerprint {
    /// Of a site that shows this TLS key.
    pub(crate) fn of(site: &SiteId, tls_key: &[u8; 32]) -> Self {
        let hash = blake3::derive_key(CONTEXT, &[site.0, *tls_key].concat());
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&hash[..BYTES]);
        Self(bytes)
    }

    /// Reads what somebody typed: 32 hexadecimal digits, in groups or not.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits: String =
            text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | ':')).collect();
        let plain = digits.len() == 2 * BYTES && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u128::from_str_radix(&digits, 16).ok().filter(|_| plain)?;
        Some(Self(number.to_be_bytes()))
    }
}

/// In groups of four, as it is read aloud.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, pair) in self.0.chunks(2).enumerate() {
            let space = if n == 0 { "" } else { " " };
            write!(f, "{space}{:02x}{:02x}", pair[0], pair[1])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_binds_site_and_key_and_is_read_as_it_is_written() {
        let print = Fingerprint::of(&SiteId([1; 32]), &[2; 32]);
        let text = print.to_string();
        assert_eq!(text.split(' ').count(), 8);
        assert_eq!(Fingerprint::parse(&text), Some(print));
        let shouted = text.to_uppercase().replace(' ', ":");
        assert_eq!(Fingerprint::parse(&shouted), Some(print));
        assert_ne!(Fingerprint::of(&SiteId([1; 32]), &[3; 32]), print);
        assert_ne!(Fingerprint::of(&SiteId([2; 32]), &[2; 32]), print);
        for wrong in ["", "12", &text[1..], &format!("{text}0"), &text.replace(' ', "+")] {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
        }
    }
}
