//! Reading Accept fields: media ranges with parameters and weights.

/// Ranges that are looked at: more than viewers that list every syntax send, and a field of 64 KB
/// costs little however often it is matched.
const RANGES_MAX: usize = 256;
/// Parameters of one range that are kept.
const PARAMETERS_MAX: usize = 8;

/// One element of an Accept field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MediaRange {
    /// `type/subtype` in lower case, either part maybe `*`.
    pub(super) essence: String,
    /// Names in lower case, values without quotes.
    parameters: Vec<(String, String)>,
    /// In thousandths.
    pub(super) weight: u16,
}

impl MediaRange {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// All ranges of a field that can be read.
pub(super) fn ranges(text: &str) -> Vec<MediaRange> {
    split(text, ',').filter_map(range).take(RANGES_MAX).collect()
}

fn range(text: &str) -> Option<MediaRange> {
    let mut parts = split(text, ';').map(str::trim);
    let essence = parts.next()?.to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    if kind.is_empty() || subtype.is_empty() || (kind == "*" && subtype != "*") {
        return None;
    }
    let mut made = MediaRange { parameters: Vec::new(), weight: 1000, essence };
    for part in parts {
        let Some((name, value)) = part.split_once('=') else { continue };
        let name = name.trim().to_ascii_lowercase();
        let value = unquoted(value.trim());
        if name == "q" {
            made.weight = weight(&value);
        } else if made.parameters.len() < PARAMETERS_MAX {
            let value = if name == "type" { value.to_ascii_lowercase() } else { value };
            made.parameters.push((name, value));
        }
    }
    Some(made)
}

/// A weight in thousandths; what makes no sense weighs nothing.
fn weight(text: &str) -> u16 {
    match text.parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0).round() as u16,
        _ => 0,
    }
}

/// A value without its quotes, if it has any (RFC 9110 §5.6.4).
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => out.extend(characters.next()),
            c => out.push(c),
        }
    }
    out
}

/// A parameter of a media type, without quotes.
pub(in crate::dicomweb) fn parameter<'a>(media_type: &'a str, name: &str) -> Option<&'a str> {
    split(media_type, ';').skip(1).find_map(|parameter| {
        let (known, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        known.trim().eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Splits where a separator stands outside quotes.
pub(in crate::dicomweb) fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        if escaped {
            escaped = false;
        } else if quoted && c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        }
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_are_read() {
        let text =
            "Multipart/Related; Type=\"Application/DICOM\"; q=0.5;transfer-syntax=1.2, */*;q=0";
        let read = ranges(text);
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].essence, "multipart/related");
        assert_eq!(read[0].parameter("type"), Some("application/dicom"));
        assert_eq!(read[0].parameter("transfer-syntax"), Some("1.2"));
        assert_eq!((read[0].weight, read[1].weight), (500, 0));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert!(ranges("").is_empty());
        assert!(ranges(",,;;,=,/,*/json,json").is_empty());
        assert_eq!(ranges("a/b;q=2;x;=;c=\"un\\\"closed, d/e").len(), 1);
        assert_eq!(ranges("a/b;q=nonsense")[0].weight, 0);
        assert_eq!(ranges("a/b;c=\"d,e;f\"")[0].parameter("c"), Some("d,e;f"));
        let long = "a/b,".repeat(100_000);
        assert_eq!(ranges(&long).len(), RANGES_MAX);
    }
}
