//! The raw values of indexed attributes, kept as they go by and decoded at the end: the character
//! set may come after the text.

use crate::attributes::{Attributes, TABLE, tags};
use crate::charset::Charset;
use crate::element::Vr;

/// One raw value inside [`Kept::bytes`].
#[derive(Clone, Copy, Debug)]
struct Raw {
    /// Index in [`TABLE`].
    row: usize,
    vr: Vr,
    big_endian: bool,
    start: usize,
    end: usize,
}

/// Raw values, one for each row of [`TABLE`] at most.
#[derive(Debug, Default)]
pub(super) struct Kept {
    values: Vec<Raw>,
    bytes: Vec<u8>,
    /// First row that is not below the last tag asked for: tags mostly ascend, so that finding rows
    /// costs one comparison an element.
    cursor: usize,
}

impl Kept {
    /// The row of [`TABLE`] to keep an element under. Of two elements with one tag the first counts, as
    /// in DCMTK.
    pub(super) fn wanted(&mut self, tag: u32) -> Option<usize> {
        if self.cursor > 0 && TABLE.get(self.cursor - 1).is_some_and(|row| row.tag >= tag) {
            self.cursor = TABLE.partition_point(|row| row.tag < tag);
        }
        while TABLE.get(self.cursor).is_some_and(|row| row.tag < tag) {
            self.cursor += 1;
        }
        let row = self.cursor;
        let found = TABLE.get(row).is_some_and(|entry| entry.tag == tag);
        (found && !self.values.iter().any(|raw| raw.row == row)).then_some(row)
    }

    /// Keeps a value under a row from [`Self::wanted`].
    pub(super) fn keep(&mut self, row: usize, vr: Vr, big_endian: bool, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.values.push(Raw { row, vr, big_endian, start, end: self.bytes.len() });
    }

    /// The first number of a value, if it has one that is not negative.
    pub(super) fn number(&self, tag: u32) -> Option<u64> {
        let raw = self.find(tag)?;
        let text = numbers(raw, self.value(raw)).unwrap_or_else(|| ascii(self.value(raw)));
        let first = text.split('\\').next()?.trim();
        first.strip_prefix('+').unwrap_or(first).parse().ok()
    }

    /// A value as trimmed ASCII.
    pub(super) fn text(&self, tag: u32) -> Option<String> {
        self.find(tag).map(|raw| trim(&ascii(self.value(raw)), true))
    }

    /// All values as UTF-8; false if some did not agree with the character set.
    pub(super) fn decode(&self) -> (Attributes, bool) {
        let charset = Charset::new(self.text(tags::SPECIFIC_CHARACTER_SET).as_deref());
        let mut clean = true;
        let values = self.values.iter().filter_map(|raw| {
            let value = self.value(raw);
            let vr = effective_vr(raw)?;
            let text = match &vr.0 {
                b"US" | b"SS" | b"UL" | b"SL" | b"FL" | b"FD" | b"UV" | b"SV" => {
                    numbers(raw, value)?
                }
                b"SH" | b"LO" | b"PN" | b"ST" | b"LT" | b"UT" | b"UC" => {
                    let (text, agrees) = charset.decode(value, vr.0 == *b"PN");
                    clean &= agrees;
                    // One text of many lines: leading blanks and backslashes belong to it.
                    trim(&text, !matches!(&vr.0, b"ST" | b"LT" | b"UT"))
                }
                b"AE" | b"AS" | b"CS" | b"DA" | b"DS" | b"DT" | b"IS" | b"TM" | b"UI" | b"UR" => {
                    clean &= value.is_ascii();
                    trim(&ascii(value), true)
                }
                _ => return None,
            };
            Some((TABLE.get(raw.row)?.tag, text))
        });
        let attributes = values.collect();
        (attributes, clean)
    }

    fn find(&self, tag: u32) -> Option<&Raw> {
        self.values.iter().find(|raw| TABLE.get(raw.row).is_some_and(|row| row.tag == tag))
    }

    fn value(&self, raw: &Raw) -> &[u8] {
        self.bytes.get(raw.start..raw.end).unwrap_or_default()
    }
}

/// The VR that the element says, or that of the dictionary where it says none or an unusable one.
fn effective_vr(raw: &Raw) -> Option<Vr> {
    if raw.vr.is_known() && raw.vr != Vr::UN {
        return Some(raw.vr);
    }
    TABLE.get(raw.row).map(|row| Vr(row.vr))
}

/// Binary numbers as decimal text, joined by backslashes; `None` if the VR is not one of numbers.
fn numbers(raw: &Raw, value: &[u8]) -> Option<String> {
    fn each<const N: usize>(
        value: &[u8],
        big_endian: bool,
        show: impl Fn([u8; N]) -> String,
    ) -> String {
        let values = value.as_chunks::<N>().0.iter().map(|chunk| {
            let mut bytes = *chunk;
            if big_endian {
                bytes.reverse();
            }
            show(bytes)
        });
        values.collect::<Vec<_>>().join("\\")
    }
    let big = raw.big_endian;
    Some(match &effective_vr(raw)?.0 {
        b"US" => each(value, big, |b| u16::from_le_bytes(b).to_string()),
        b"SS" => each(value, big, |b| i16::from_le_bytes(b).to_string()),
        b"UL" => each(value, big, |b| u32::from_le_bytes(b).to_string()),
        b"SL" => each(value, big, |b| i32::from_le_bytes(b).to_string()),
        b"UV" => each(value, big, |b| u64::from_le_bytes(b).to_string()),
        b"SV" => each(value, big, |b| i64::from_le_bytes(b).to_string()),
        b"FL" => each(value, big, |b| f32::from_le_bytes(b).to_string()),
        b"FD" => each(value, big, |b| f64::from_le_bytes(b).to_string()),
        _ => return None,
    })
}

fn ascii(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Without padding (PS3.5 §6.2): each of several values by itself, or the end of a single text.
fn trim(text: &str, each_value: bool) -> String {
    let padding = |c| c == ' ' || c == '\0';
    if !each_value {
        return text.trim_end_matches(padding).to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for (i, value) in text.split('\\').enumerate() {
        if i > 0 {
            out.push('\\');
        }
        out.push_str(value.trim_matches(padding));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_in_any_order_and_kept_once() {
        let mut kept = Kept::default();
        for tag in [tags::ROWS, tags::SOP_CLASS_UID, tags::COLUMNS, tags::ROWS, 1, u32::MAX] {
            if let Some(row) = kept.wanted(tag) {
                assert_eq!(TABLE.get(row).map(|row| row.tag), Some(tag));
                kept.keep(row, Vr::NONE, true, &[1, 2]);
            }
        }
        assert_eq!(kept.values.len(), 3);
        assert_eq!(kept.number(tags::ROWS), Some(0x0102));
    }

    #[test]
    fn numbers_and_text() {
        let mut kept = Kept::default();
        let values: [(u32, &[u8; 2], &[u8]); 6] = [
            (tags::NUMBER_OF_FRAMES, b"IS", b" +12 "),
            (tags::ROWS, b"US", &[2, 1]),
            (tags::COLUMNS, b"SS", &[0xFF, 0xFF]),
            (tags::SOP_INSTANCE_UID, b"UI", b"1.2.3\0"),
            (0x0008_0008, b"CS", b"ORIGINAL \\ PRIMARY"),
            (0x0042_0010, b"ST", b" a\\b "),
        ];
        for (tag, vr, value) in values {
            if let Some(row) = kept.wanted(tag) {
                kept.keep(row, Vr(*vr), false, value);
            }
        }
        assert_eq!(kept.number(tags::NUMBER_OF_FRAMES), Some(12));
        assert_eq!(kept.number(tags::ROWS), Some(258));
        assert_eq!(kept.number(tags::COLUMNS), None);
        let (attributes, clean) = kept.decode();
        assert!(clean);
        assert_eq!(attributes.get(tags::SOP_INSTANCE_UID), Some("1.2.3"));
        assert_eq!(attributes.get(tags::COLUMNS), Some("-1"));
        assert_eq!(attributes.get(0x0008_0008), Some("ORIGINAL\\PRIMARY"));
        assert_eq!(attributes.get(0x0042_0010), Some(" a\\b"));
    }
}
