//! Text of data sets to UTF-8 (PS3.3 C.12.1.1.2, PS3.5 §6.1).
//!
//! Single-byte sets, GB 18030, GBK and UTF-8 are decoded by dicom-encoding; code extensions by ISO
//! 2022 escape sequences are followed here, piece by piece. Decoding never fails: what does not agree
//! with the declared set is replaced, and reported.

use dicom_encoding::text::{SpecificCharacterSet, TextCodec};

const ESCAPE: u8 = 0x1B;

/// How one piece of text is coded.
#[derive(Clone, Debug, PartialEq)]
enum Code {
    /// The default repertoire, ISO IR 6.
    Ascii,
    /// ISO IR 192.
    Utf8,
    /// Latin-1 with some characters replaced: ISO IR 148 (Turkish) and ISO IR 203 (Latin-9), which
    /// dicom-encoding lacks.
    Latin(&'static [(u8, char)]),
    /// A set that dicom-encoding has.
    Set(SpecificCharacterSet),
    /// Two bytes a character without the high bit, with the escape sequence that selects it: JIS X
    /// 0208 and 0212. Delimiters are no delimiters inside.
    Jis(&'static [u8]),
}

const LATIN_5: &[(u8, char)] =
    &[(0xD0, 'Ğ'), (0xDD, 'İ'), (0xDE, 'Ş'), (0xF0, 'ğ'), (0xFD, 'ı'), (0xFE, 'ş')];
const LATIN_9: &[(u8, char)] = &[
    (0xA4, '€'),
    (0xA6, 'Š'),
    (0xA8, 'š'),
    (0xB4, 'Ž'),
    (0xB8, 'ž'),
    (0xBC, 'Œ'),
    (0xBD, 'œ'),
    (0xBE, 'Ÿ'),
];

/// Escape sequences after the escape byte itself (PS3.3 tables C.12-3 and C.12-4), with the numbers
/// of the sets that they select.
const ESCAPES: &[(&[u8], u16)] = &[
    (b"(B", 6),
    (b"(J", 13),
    (b")I", 13),
    (b"-A", 100),
    (b"-B", 101),
    (b"-C", 109),
    (b"-D", 110),
    (b"-L", 144),
    (b"-G", 127),
    (b"-F", 126),
    (b"-H", 138),
    (b"-M", 148),
    (b"-T", 166),
    (b"-b", 203),
    (b"$B", 87),
    (b"$(D", 159),
    (b"$)C", 149),
    (b"$)A", 58),
];

/// The character sets that a data set declares in (0008,0005).
#[derive(Clone, Debug, PartialEq)]
pub struct Charset {
    initial: Code,
    known: bool,
}

impl Charset {
    /// From the value of (0008,0005); `None` or empty is the default repertoire.
    #[must_use]
    pub fn new(value: Option<&str>) -> Self {
        let mut terms = value.unwrap_or_default().split('\\').map(str::trim);
        let (initial, mut known) = match terms.next() {
            None | Some("") => (Code::Ascii, true),
            Some(term) => term_code(term).map_or((Code::Ascii, false), |code| (code, true)),
        };
        // Further values only announce escapes; an unknown one may announce what is not decoded.
        known &= terms.all(|term| term.is_empty() || term_code(term).is_some());
        // JIS X 0208 cannot be in force at the start of a value: it has no control characters.
        let initial = if matches!(initial, Code::Jis(_)) { Code::Ascii } else { initial };
        Self { initial, known }
    }

    /// Decodes one value, or several with backslashes between. `person_name`: "^" and "=" end a code
    /// extension as well (PS3.5 §6.2.1.2). The flag is false if something had to be replaced, or if
    /// the set is not known and mattered.
    #[must_use]
    pub fn decode(&self, bytes: &[u8], person_name: bool) -> (String, bool) {
        if bytes.is_ascii() && !bytes.contains(&ESCAPE) {
            // Every initial set has ASCII in its lower half.
            return (bytes.iter().map(|b| char::from(*b)).collect(), true);
        }
        let mut out = String::with_capacity(bytes.len());
        let mut clean = self.known;
        if bytes.contains(&ESCAPE) {
            self.decode_extended(bytes, person_name, &mut out, &mut clean);
        } else {
            clean &= self.initial.decode(bytes, &mut out);
        }
        (out, clean)
    }

    fn decode_extended(&self, bytes: &[u8], names: bool, out: &mut String, clean: &mut bool) {
        let mut code = self.initial.clone();
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(&[ESCAPE]) {
                let found = ESCAPES.iter().find(|(sequence, _)| after.starts_with(sequence));
                let Some(&(sequence, number)) = found else {
                    *clean = false;
                    out.push(char::REPLACEMENT_CHARACTER);
                    rest = after;
                    continue;
                };
                rest = after.get(sequence.len()..).unwrap_or_default();
                match numbered(number) {
                    Some(selected) => code = selected,
                    None => *clean = false,
                }
                continue;
            }
            let delimits = |b: &u8| {
                !matches!(code, Code::Jis(_))
                    && (matches!(b, b'\\' | b'\r' | b'\n' | b'\t' | 0x0C)
                        || names && matches!(b, b'^' | b'='))
            };
            let ends = rest.iter().position(|b| *b == ESCAPE || delimits(b));
            // A delimiter goes with the piece that it ends.
            let (length, delimited) = match ends {
                Some(i) if rest.get(i) == Some(&ESCAPE) => (i, false),
                Some(i) => (i + 1, true),
                None => (rest.len(), false),
            };
            let (piece, after) = rest.split_at(length);
            *clean &= code.decode(piece, out);
            if delimited {
                code = self.initial.clone();
            }
            rest = after;
        }
    }
}

impl Code {
    /// Appends `bytes` as text; false if something had to be replaced.
    fn decode(&self, bytes: &[u8], out: &mut String) -> bool {
        match self {
            Self::Ascii if bytes.is_ascii() => out.extend(bytes.iter().map(|b| char::from(*b))),
            // Undeclared: nearly always UTF-8 or Latin-1.
            Self::Ascii => {
                match std::str::from_utf8(bytes) {
                    Ok(text) => out.push_str(text),
                    Err(_) => out.extend(bytes.iter().map(|b| char::from(*b))),
                }
                return false;
            }
            Self::Utf8 => {
                let text = String::from_utf8_lossy(bytes);
                out.push_str(&text);
                return matches!(text, std::borrow::Cow::Borrowed(_));
            }
            Self::Latin(replaced) => out.extend(bytes.iter().map(|b| {
                let found = replaced.iter().find(|(byte, _)| byte == b);
                found.map_or(char::from(*b), |(_, c)| *c)
            })),
            Self::Set(set) => return decode_set(set, bytes, bytes, out),
            Self::Jis(escape) => {
                let with_escape = [&[ESCAPE], *escape, bytes].concat();
                return decode_set(
                    &SpecificCharacterSet::from_code("ISO 2022 IR 87").unwrap_or_default(),
                    &with_escape,
                    // Backslashes here are halves of characters.
                    &[],
                    out,
                );
            }
        }
        true
    }
}

/// dicom-encoding writes what it cannot decode as a backslash and octal digits, which would look like
/// further values: such text is replaced by its ASCII part. `delimiting` holds the backslashes that
/// may stay.
fn decode_set(
    set: &SpecificCharacterSet,
    bytes: &[u8],
    delimiting: &[u8],
    out: &mut String,
) -> bool {
    let backslashes = |bytes: &[u8]| bytes.split(|b| *b == b'\\').count();
    match set.decode(bytes) {
        Ok(text) if backslashes(text.as_bytes()) <= backslashes(delimiting) => {
            out.push_str(&text);
            true
        }
        _ => {
            out.extend(bytes.iter().map(|b| match b {
                0x00..=0x7F => char::from(*b),
                _ => char::REPLACEMENT_CHARACTER,
            }));
            false
        }
    }
}

/// A defined term of PS3.3 C.12.1.1.2, or one of the ways in which it is misspelt.
fn term_code(term: &str) -> Option<Code> {
    let upper = term.to_ascii_uppercase();
    match upper.as_str() {
        "GB18030" | "GBK" | "GB2312" => {
            return SpecificCharacterSet::from_code(&upper).map(Code::Set);
        }
        "UTF-8" | "UTF8" => return Some(Code::Utf8),
        _ => {}
    }
    let rest = upper.strip_prefix("ISO")?;
    let (_, number) = rest.split_once("IR")?;
    numbered(number.trim_start_matches([' ', '_', '-']).parse().ok()?)
}

fn numbered(number: u16) -> Option<Code> {
    Some(match number {
        6 => Code::Ascii,
        192 => Code::Utf8,
        148 => Code::Latin(LATIN_5),
        203 => Code::Latin(LATIN_9),
        87 => Code::Jis(b"$B"),
        159 => Code::Jis(b"$(D"),
        58 => Code::Set(SpecificCharacterSet::from_code("GBK")?),
        _ => Code::Set(SpecificCharacterSet::from_code(&format!("ISO_IR {number}"))?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(set: &str, bytes: &[u8]) -> (String, bool) {
        Charset::new(Some(set)).decode(bytes, true)
    }

    #[test]
    fn examples_of_the_standard() {
        // PS3.5 H.3.1, H.3.2, I.2, K.2, J.1 and PS3.3 examples.
        let japanese =
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";
        let expected = "Yamada^Tarou=山田^太郎=やまだ^たろう";
        assert_eq!(decode("\\ISO 2022 IR 87", japanese), (expected.into(), true));
        let half = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J";
        let expected = "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎";
        assert_eq!(decode("ISO 2022 IR 13\\ISO 2022 IR 87", half), (expected.into(), true));
        let korean = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf";
        let expected = "Hong^Gildong=洪^吉洞=홍^길동";
        assert_eq!(decode("\\ISO 2022 IR 149", korean), (expected.into(), true));
        let chinese = b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=";
        assert_eq!(decode("GB18030", chinese), ("Wang^XiaoDong=王^小东=".into(), true));
        let chinese = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=";
        assert_eq!(decode("\\ISO 2022 IR 58", chinese), ("Zhang^XiaoDong=张^小东=".into(), true));
        let utf8 = "Wang^XiaoDong=王^小東=";
        assert_eq!(decode("ISO_IR 192", utf8.as_bytes()), (utf8.into(), true));
        assert_eq!(decode("ISO_IR 100", b"Buc^J\xe9r\xf4me"), ("Buc^Jérôme".into(), true));
        assert_eq!(decode("ISO_IR 144", b"\xbb\xee\xda^x"), ("Люк^x".into(), true));
        assert_eq!(decode("ISO_IR 148", b"\xdd\xfe"), ("İş".into(), true));
        // A Greek piece inside Latin-1, ended by the delimiter.
        assert_eq!(
            decode("ISO 2022 IR 100\\ISO 2022 IR 126", b"\xe9=\x1b-F\xc4\xe9^\xe9"),
            ("é=Δι^é".into(), true)
        );
    }

    #[test]
    fn lies_are_replaced_and_told() {
        assert_eq!(decode("", b"plain"), ("plain".into(), true));
        assert_eq!(decode("nonsense", b"plain"), ("plain".into(), true));
        assert_eq!(decode("nonsense", b"J\xe9"), ("Jé".into(), false));
        assert_eq!(decode("", "é".as_bytes()), ("é".into(), false));
        assert_eq!(decode("ISO_IR 192", b"J\xe9x"), ("J\u{FFFD}x".into(), false));
        assert_eq!(decode("GB18030", b"\xff\xffx"), ("\u{FFFD}\u{FFFD}x".into(), false));
        assert_eq!(decode("iso-ir 100", b"\xe9"), ("é".into(), true));
        assert!(!decode("ISO_IR 100", b"a\x1bzb").1);
        assert!(!decode("ISO 2022 IR 87", b"\x1b$B\xff\xff").1);
    }
}
