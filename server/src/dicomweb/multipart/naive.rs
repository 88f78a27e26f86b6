//! The same reader, as one writes it with the whole body at hand: the twin for tests.

/// The bodies of the parts with their header blocks; `None` where the body is malformed.
pub(super) fn parts(boundary: &str, body: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let body = [b"\r\n", body].concat();
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    let mut parts = Vec::new();
    let mut begun = None;
    let mut at = 0;
    while at < body.len() {
        let Some((bytes, last)) = delimiter_at(&body[at..], &delimiter) else {
            at += 1;
            continue;
        };
        if let Some((head, start)) = begun.take() {
            parts.push((head, body[start..at].to_vec()));
        }
        at += bytes;
        if last {
            return Some(parts);
        }
        // The line end of the delimiter may be the beginning of the empty line.
        let end = (at - 2..body.len()).find(|i| body[*i..].starts_with(b"\r\n\r\n"))?;
        if !is_fields(&body[at.min(end)..end]) {
            return None;
        }
        begun = Some((body[(at).min(end)..end].to_vec(), end + 4));
        at = end + 4;
    }
    None
}

/// Every line is a field, or goes on with one.
fn is_fields(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).into_owned();
    let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
    let first =
        lines.next().is_none_or(|line| line.contains(':') && !line.starts_with([' ', '\t']));
    first && lines.all(|line| line.contains(':') || line.starts_with([' ', '\t']))
}

fn delimiter_at(bytes: &[u8], delimiter: &[u8]) -> Option<(usize, bool)> {
    let after = bytes.strip_prefix(delimiter)?;
    if after.starts_with(b"--") {
        return Some((delimiter.len() + 2, true));
    }
    let blanks = after.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    after[blanks..].starts_with(b"\r\n").then_some((delimiter.len() + blanks + 2, false))
}
