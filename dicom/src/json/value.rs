//! Values as JSON (PS3.18 F.2.3 to F.2.5).

use super::text::{self, Rules};
use super::{base64, vr};
use crate::charset::Charset;
use crate::element::Vr;

/// Not a number, and beyond all numbers: JSON has none for them. PS3.18 names no text; these are read by
/// JavaScript, Python, Java and Rust alike.
pub(super) const NAN: &str = "NaN";
/// See [`NAN`].
pub(super) const INFINITY: &str = "Infinity";
/// See [`NAN`].
pub(super) const NEGATIVE_INFINITY: &str = "-Infinity";

/// The largest whole number up to which every one is a double (2⁵³ - 1): readers of JSON keep no more.
const EXACT_INTEGER_MAX: u64 = (1 << 53) - 1;

/// Appends `,"Value":[…]` with the values of a text; nothing if there is none. False if the text does not
/// agree with its character set.
pub(super) fn strings(
    vr: Vr,
    rules: Rules,
    bytes: &[u8],
    charset: &Charset,
    out: &mut Vec<u8>,
) -> bool {
    if text::is_plain(bytes)
        && let Ok(ascii) = std::str::from_utf8(bytes)
    {
        // No backslash either: one value, and nothing to escape.
        let value = text::trim(ascii, rules);
        if !value.is_empty() {
            out.extend_from_slice(b",\"Value\":[");
            one(vr, value, out);
            out.push(b']');
        }
        return true;
    }
    let decoded;
    let (text, clean) = match std::str::from_utf8(bytes) {
        Ok(ascii) if ascii.is_ascii() && !bytes.contains(&0x1B) => (ascii, true),
        _ if rules.localised => {
            let (text, clean) = charset.decode(bytes, vr.0 == *b"PN");
            decoded = text;
            (decoded.as_str(), clean)
        }
        _ => {
            // The default repertoire in every data set, but some writers know better.
            decoded = Charset::new(None).decode(bytes, false).0;
            (decoded.as_str(), false)
        }
    };
    if text::trim(text, rules).is_empty() {
        return clean;
    }
    out.extend_from_slice(b",\"Value\":[");
    if rules.several {
        for (i, value) in text.split('\\').enumerate() {
            if i > 0 {
                out.push(b',');
            }
            match text::trim(value, rules) {
                "" => out.extend_from_slice(b"null"),
                value => one(vr, value, out),
            }
        }
    } else {
        one(vr, text::trim(text, rules), out);
    }
    out.push(b']');
    clean
}

fn one(vr: Vr, value: &str, out: &mut Vec<u8>) {
    match &vr.0 {
        b"PN" => person(value, out),
        b"DS" | b"IS" => match text::number(value, vr.0 == *b"IS") {
            Some(number) => out.extend_from_slice(number.as_bytes()),
            None => text::string(value, out),
        },
        _ => text::string(value, out),
    }
}

/// The component groups of a person name that are there (PS3.18 F.2.2). There should be three at most; the
/// third has whatever follows.
fn person(value: &str, out: &mut Vec<u8>) {
    let start = out.len();
    let names = ["\"Alphabetic\":", "\"Ideographic\":", "\"Phonetic\":"];
    for (name, group) in names.iter().zip(value.splitn(3, '=')) {
        if !group.is_empty() {
            out.push(if out.len() == start { b'{' } else { b',' });
            out.extend_from_slice(name.as_bytes());
            text::string(group, out);
        }
    }
    out.extend_from_slice(if out.len() == start { b"null" } else { b"}" });
}

/// Appends `,"Value":[…]` with numbers or attribute tags; false if `vr` has neither.
pub(super) fn numbers(vr: Vr, bytes: &[u8], big_endian: bool, out: &mut Vec<u8>) -> bool {
    match &vr.0 {
        b"US" => each(bytes, big_endian, out, |b, out| integer(u16::from_le_bytes(b), out)),
        b"SS" => each(bytes, big_endian, out, |b, out| integer(i16::from_le_bytes(b), out)),
        b"UL" => each(bytes, big_endian, out, |b, out| integer(u32::from_le_bytes(b), out)),
        b"SL" => each(bytes, big_endian, out, |b, out| integer(i32::from_le_bytes(b), out)),
        b"UV" => each(bytes, big_endian, out, |b, out| large(u64::from_le_bytes(b), false, out)),
        b"SV" => each(bytes, big_endian, out, |b, out| {
            let value = i64::from_le_bytes(b);
            large(value.unsigned_abs(), value < 0, out);
        }),
        b"FL" => each(bytes, big_endian, out, |b, out| {
            let value = f32::from_le_bytes(b);
            if value.is_finite() {
                let written = serde_json::to_writer(&mut *out, &value);
                debug_assert!(written.is_ok());
            } else {
                not_finite(f64::from(value), out);
            }
        }),
        b"FD" => each(bytes, big_endian, out, |b, out| {
            let value = f64::from_le_bytes(b);
            if value.is_finite() {
                let written = serde_json::to_writer(&mut *out, &value);
                debug_assert!(written.is_ok());
            } else {
                not_finite(value, out);
            }
        }),
        b"AT" => tags(bytes, big_endian, out),
        _ => return false,
    }
    true
}

/// Each number, from its bytes in little-endian order. A last one that is cut short is left out.
fn each<const N: usize>(
    bytes: &[u8],
    big_endian: bool,
    out: &mut Vec<u8>,
    write: impl Fn([u8; N], &mut Vec<u8>),
) {
    let (values, _) = bytes.as_chunks::<N>();
    if values.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"Value\":[");
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let mut value = *value;
        if big_endian {
            value.reverse();
        }
        write(value, out);
    }
    out.push(b']');
}

/// Appends a number that every reader of JSON keeps.
fn integer(value: impl Into<i64>, out: &mut Vec<u8>) {
    let value = value.into();
    let written = serde_json::to_writer(&mut *out, &value);
    debug_assert!(written.is_ok());
}

/// A number of 64 bits: as text where a reader's double would lose digits (PS3.18 table F.2.3-1).
fn large(magnitude: u64, negative: bool, out: &mut Vec<u8>) {
    let exact = magnitude <= EXACT_INTEGER_MAX;
    if !exact {
        out.push(b'"');
    }
    if negative {
        out.push(b'-');
    }
    let written = serde_json::to_writer(&mut *out, &magnitude);
    debug_assert!(written.is_ok());
    if !exact {
        out.push(b'"');
    }
}

fn not_finite(value: f64, out: &mut Vec<u8>) {
    let text = if value.is_nan() {
        NAN
    } else if value > 0.0 {
        INFINITY
    } else {
        NEGATIVE_INFINITY
    };
    text::string(text, out);
}

/// Attribute tags as eight hexadecimal digits (PS3.18 F.2.3).
fn tags(bytes: &[u8], big_endian: bool, out: &mut Vec<u8>) {
    let (values, _) = bytes.as_chunks::<4>();
    if values.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"Value\":[");
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(&hexadecimal(crate::element::tag_of(*value, big_endian)));
        out.push(b'"');
    }
    out.push(b']');
}

/// A tag as eight upper-case digits.
pub(super) fn hexadecimal(tag: u32) -> [u8; 8] {
    let mut digits = [0; 8];
    for (i, digit) in digits.iter_mut().enumerate() {
        let nibble = (tag >> (28 - 4 * i)) as u8 & 15;
        *digit = nibble + if nibble < 10 { b'0' } else { b'A' - 10 };
    }
    digits
}

/// Appends `,"InlineBinary":"…"` in little-endian order (PS3.18 F.2.7); nothing if there are no bytes.
pub(super) fn binary(vr: Vr, bytes: &[u8], big_endian: bool, out: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"InlineBinary\":\"");
    let unit = vr::unit(vr);
    if big_endian && unit > 1 {
        let mut swapped = bytes.to_vec();
        swap(&mut swapped, unit);
        base64::encode(&swapped, out);
    } else {
        base64::encode(bytes, out);
    }
    out.push(b'"');
}

/// Turns the bytes of each number of `unit` bytes around. What is left over at the end stays as it is.
pub fn swap(bytes: &mut [u8], unit: usize) {
    if unit > 1 {
        for number in bytes.chunks_exact_mut(unit) {
            number.reverse();
        }
    }
}
