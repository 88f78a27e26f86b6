//! Files as the demo compares them: read from where they came from, or taken out of what DICOMweb sends.

use std::collections::HashSet;
use std::path::PathBuf;

use cairn_dicom::syntax::{EXPLICIT_BE, IMPLICIT_LE};

use super::super::import;
use crate::error::{Error, Result};

/// Between the parts of a message that the demo sends.
pub(super) const BOUNDARY: &str = "cairn-demo";

/// The files of a study among those under some paths: those with its UID in their first part, where it
/// stands in every one of them.
pub(super) fn files_of(paths: &[PathBuf], study: &str) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut failed = None;
    import::walk(paths, &[], &mut |item| {
        let read = item.read(|reader, _| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        match read {
            Ok(Ok(bytes)) => {
                let head = &bytes[..bytes.len().min(64 << 10)];
                if has_value(head, study.as_bytes()) {
                    found.push(bytes);
                }
            }
            Ok(Err(error)) => failed = Some(error),
            // It is no file that was taken in, which its own step said.
            Err(_) => {}
        }
        failed.is_none()
    });
    failed.map_or(Ok(found), |error| Err(Error::Demo(error.to_string())))
}

/// Does the UID stand there, and not as the beginning of a longer one? UIDs are padded with a zero byte.
fn has_value(head: &[u8], uid: &[u8]) -> bool {
    memchr::memmem::find_iter(head, uid).any(|at| {
        let next = head.get(at + uid.len());
        next.is_none_or(|next| !matches!(next, b'0'..=b'9' | b'.'))
    })
}

/// The bytes in front of the last Pixel Data element (7FE0,0010), since icons have one too; all bytes
/// where none is seen.
pub(super) fn bytes_before_pixels(file: &[u8]) -> u64 {
    let little = memchr::memmem::rfind(file, &[0xE0, 0x7F, 0x10, 0x00]);
    let at = little.or_else(|| memchr::memmem::rfind(file, &[0x7F, 0xE0, 0x00, 0x10]));
    at.unwrap_or(file.len()) as u64
}

/// Does DICOMweb never carry a file as it is stored? It turns Implicit VR and big endian into Explicit VR
/// Little Endian (PS3.18 §8.7.3). The transfer syntax stands in the meta information at its head.
pub(super) fn is_converted(file: &[u8]) -> bool {
    const META_BYTES: usize = 1024;
    let head = &file[..file.len().min(META_BYTES)];
    [IMPLICIT_LE, EXPLICIT_BE].iter().any(|uid| has_value(head, uid.as_bytes()))
}

/// The bodies of a multipart message (RFC 2046 §5.1.1), whose first line is its boundary.
pub(super) fn parts_of(message: &[u8]) -> HashSet<&[u8]> {
    let first_line = memchr::memmem::find(message, b"\r\n").unwrap_or(message.len());
    let boundary = [b"\r\n", &message[..first_line]].concat();
    let ends = memchr::memmem::find_iter(message, &boundary);
    let mut begin = 0;
    let mut parts = HashSet::new();
    for end in ends {
        let part = &message[begin..end];
        if let Some(head) = memchr::memmem::find(part, b"\r\n\r\n") {
            parts.insert(&part[head + 4..]);
        }
        begin = end + boundary.len();
    }
    parts
}

/// Files as the parts of one message.
pub(super) fn multipart(files: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for file in files {
        let head = format!("--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_out_as_they_went_in() {
        let files = vec![b"one\r\n\r\n--two".to_vec(), Vec::new(), vec![0; 300]];
        let message = multipart(&files);
        let parts = parts_of(&message);
        assert_eq!(parts.len(), files.len());
        assert!(files.iter().all(|file| parts.contains(file.as_slice())));
        assert!(parts_of(b"no message").is_empty() && parts_of(b"").is_empty());
    }

    #[test]
    fn only_what_the_web_never_carries_is_converted() {
        let with = |uid: &str| [&[0; 132], uid.as_bytes(), &[0]].concat();
        for (uid, converted) in [
            ("1.2.840.10008.1.2", true),
            ("1.2.840.10008.1.2.2", true),
            ("1.2.840.10008.1.2.1", false),
        ] {
            assert_eq!(is_converted(&with(uid)), converted, "{uid}");
        }
    }

    #[test]
    fn headers_end_where_the_last_pixels_begin() {
        let pixels = [0xE0, 0x7F, 0x10, 0x00];
        let with_icon = [&[1; 10][..], &pixels, &[2; 6], &pixels, &[3; 50]].concat();
        assert_eq!(bytes_before_pixels(&with_icon), 20);
        assert_eq!(bytes_before_pixels(&[1; 10]), 10);
    }
}
