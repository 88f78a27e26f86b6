//! Text values: how DICOM pads and parts them, and how JSON wants strings and numbers.

use std::borrow::Cow;
use std::io::Write as _;

use crate::element::Vr;

/// How the values of a text VR are to be read (PS3.5 table 6.2-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// Specific Character Set applies.
    pub(super) localised: bool,
    /// Backslashes part values.
    pub(super) several: bool,
    /// Leading blanks mean nothing either.
    pub(super) trim_start: bool,
}

/// The rules of a text VR; nothing if it is not one.
pub(super) fn rules(vr: Vr) -> Option<Rules> {
    let (localised, several, trim_start) = match &vr.0 {
        b"AE" | b"CS" | b"DS" | b"IS" => (false, true, true),
        b"AS" | b"DA" | b"DT" | b"TM" | b"UI" => (false, true, false),
        b"UR" => (false, false, false),
        b"LO" | b"SH" => (true, true, true),
        b"PN" | b"UC" => (true, true, false),
        b"LT" | b"ST" | b"UT" => (true, false, false),
        _ => return None,
    };
    Some(Rules { localised, several, trim_start })
}

/// One value without its padding: blanks, or NUL where UIDs have it and sloppy writers everywhere.
pub(super) fn trim(value: &str, rules: Rules) -> &str {
    let value = value.trim_end_matches([' ', '\0']);
    if rules.trim_start { value.trim_start_matches(' ') } else { value }
}

/// Printable ASCII that needs no escape in JSON.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    // No early exit: so it runs over many bytes at once.
    let special = |byte: u8| {
        u8::from(byte.wrapping_sub(b' ') >= 0x7F - b' ') | u8::from(byte == b'"' || byte == b'\\')
    };
    bytes.iter().fold(0, |found, byte| found | special(*byte)) == 0
}

/// Appends a JSON string.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    if is_plain(text.as_bytes()) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing to memory does not fail.
        let written = serde_json::to_writer(&mut *out, text);
        debug_assert!(written.is_ok());
    }
}

/// The most digits that every double keeps: a decimal text of no more is one number exactly, wherever
/// it is read (IEEE 754, binary64).
const EXACT_DIGITS: usize = 15;

/// A decimal or integer string as a JSON number (RFC 8259 §6), if it is one exactly: not one with a digit
/// that a reader's double would lose, nor one that is no number at all. PS3.18 table F.2.3-1 lets the others
/// be strings.
pub(super) fn number(text: &str, integer: bool) -> Option<Cow<'_, str>> {
    let bytes = text.as_bytes();
    let negative = bytes.first() == Some(&b'-');
    let signed = usize::from(negative || bytes.first() == Some(&b'+'));
    let unsigned = text.get(signed..)?;
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(i) => (unsigned.get(..i)?, Some(unsigned.get(i + 1..)?)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    if integer && whole.len() != unsigned.len() {
        return None;
    }
    if let Some(exponent) = exponent {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        // A double has exponents to 308; the mantissa adds some.
        if unsigned.is_empty() || unsigned.len() > 3 || !digits(unsigned) {
            return None;
        }
        let exponent: i32 = exponent.parse().ok()?;
        if exponent.abs() > 270 || whole.len() > 16 || fraction.len() > 16 {
            return None;
        }
    }
    let significant = whole.trim_start_matches('0').len() + fraction.len();
    if significant > EXACT_DIGITS && !is_shortest(text, whole, fraction) {
        return None;
    }
    let shaped = (whole == "0" || !whole.is_empty() && !whole.starts_with('0'))
        && (!fraction.is_empty() || whole.len() == mantissa.len())
        && bytes.first() != Some(&b'+');
    if shaped {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len() + 2);
    if negative {
        out.push('-');
    }
    let whole = whole.trim_start_matches('0');
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        out.push('e');
        out.push_str(exponent);
    }
    Some(Cow::Owned(out))
}

/// Do all of the digits come back from a double that was read from them?
fn is_shortest(text: &str, whole: &str, fraction: &str) -> bool {
    let Ok(value) = text.parse::<f64>() else { return false };
    let mut shortest = Vec::new();
    if !value.is_finite() || write!(shortest, "{:e}", value.abs()).is_err() {
        return false;
    }
    let kept = shortest.iter().copied().take_while(|b| *b != b'e').filter(|b| *b != b'.');
    let said: Vec<u8> = whole.bytes().chain(fraction.bytes()).skip_while(|b| *b == b'0').collect();
    let end = said.iter().rposition(|b| *b != b'0').map_or(0, |last| last + 1);
    kept.eq(said.iter().copied().take(end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimal_strings() {
        for (text, expected) in [
            ("1.50", "1.50"),
            ("-0.5", "-0.5"),
            ("+7", "7"),
            ("007", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-.25", "-0.25"),
            ("1E5", "1E5"),
            ("00.1e+05", "0.1e+05"),
            ("0", "0"),
            ("0.1234567890123", "0.1234567890123"),
            ("0.3000000000000000", "0.3000000000000000"),
        ] {
            assert_eq!(number(text, false).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "NaN",
            "1e400",
            "1,5",
            "1.2.3",
            "--1",
            "1e",
            "e5",
            ".",
            "-",
            "12345678901234567",
            " 1",
            "0x1",
        ] {
            assert_eq!(number(text, false), None, "{text}");
        }
        assert_eq!(number("12", true).as_deref(), Some("12"));
        assert_eq!(number("1.0", true), None);
        assert_eq!(number("1e1", true), None);
    }

    proptest! {
        /// What is given out is a JSON number of the same value.
        #[test]
        fn numbers_are_json(text in "[-+]?[0-9]{0,17}[.]?[0-9]{0,17}([eE][-+]?[0-9]{0,4})?", int: bool) {
            if let Some(number) = number(&text, int) {
                let parsed: f64 = serde_json::from_str(&number).unwrap();
                prop_assert_eq!(parsed.to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
        }

        #[test]
        fn doubles_stay_numbers(value in -1e9f64..1e9) {
            let text = format!("{value}");
            prop_assert!(number(&text, false).is_some(), "{}", text);
        }

        #[test]
        fn strings_as_serde(text in any::<String>()) {
            let mut out = Vec::new();
            string(&text, &mut out);
            prop_assert_eq!(out, serde_json::to_vec(&text).unwrap());
        }
    }
}
