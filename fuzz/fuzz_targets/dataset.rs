//! Holds of any bytes in any transfer syntax, however the store hands them out:
//! - metadata are valid JSON within their bound, and the same from one piece and from many;
//! - every value that they name by a BulkDataURI is found by its path;
//! - rewritten as Explicit VR Little Endian, the data set says the same, and rewritten again it stays as
//!   it is.
#![no_main]

use std::io;

use bytes::Bytes;
use cairn_dicom::json;
use cairn_dicom::limits::JSON_BYTES_MAX;
use cairn_dicom::source::Source;
use cairn_dicom::syntax::{EXPLICIT_LE, Syntax};
use cairn_fuzz::arrival::Arrival;
use cairn_fuzz::input::SYNTAXES;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Bytes that come in small pieces.
struct Pieces(Bytes, Arrival);

impl Source for Pieces {
    fn read(&mut self, at: u64, most: usize) -> io::Result<Bytes> {
        let most = most.min(self.1.piece());
        self.0.read(at, most)
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(([syntax, pieces], bytes)) = data.split_first_chunk::<2>() else { return };
    let syntax = SYNTAXES[usize::from(*syntax) % SYNTAXES.len()];
    let bytes = Bytes::copy_from_slice(bytes);
    let (text, cut) = describe(&mut bytes.clone(), syntax);
    let mut parts = Pieces(bytes.clone(), Arrival::new(u64::from(*pieces), 1 << (pieces % 12)));
    assert_eq!(text, describe(&mut parts, syntax).0, "pieces change what is said");
    assert!(text.len() <= JSON_BYTES_MAX + 1024);
    let value: Value = serde_json::from_slice(&text).expect("metadata are JSON");
    find_all(&value, "", &mut |path| {
        let found = json::find(&mut bytes.clone(), syntax, path).expect("bytes are at hand");
        assert!(found.is_some(), "{path} is named and not found");
    });
    let Ok(rewritten) = json::explicit_le(&mut bytes.clone(), syntax, &[]) else { return };
    if cut || rewritten.cut || Syntax::of(syntax).deflated {
        return;
    }
    let mut once = Vec::new();
    for mut piece in rewritten.into_pieces() {
        while let Some(some) = piece.next(&mut bytes.clone()).expect("bytes are at hand") {
            once.extend_from_slice(&some);
        }
    }
    let mut again = Vec::new();
    let once = Bytes::from(once);
    // One that begins in a group like 1000 may be one of the other byte order that begins in 0010, which
    // many are: readers take it for that (`looks_like`). None that is real begins so.
    if once.first() == Some(&0) {
        return;
    }
    let rewritten = json::explicit_le(&mut once.clone(), EXPLICIT_LE, &[]).expect("bytes are at hand");
    for mut piece in rewritten.into_pieces() {
        while let Some(some) = piece.next(&mut once.clone()).expect("bytes are at hand") {
            again.extend_from_slice(&some);
        }
    }
    assert!(once == again, "rewriting does not settle");
});

fn describe(source: &mut dyn Source, syntax: &str) -> (Vec<u8>, bool) {
    let mut text = Vec::new();
    let written = json::write(source, syntax, "1.2.3", &mut text).expect("bytes are at hand");
    (text, written.cut)
}

/// Calls `visit` with every bulk path.
fn find_all(set: &Value, prefix: &str, visit: &mut impl FnMut(&str)) {
    for (tag, element) in set.as_object().into_iter().flatten() {
        if element.get("BulkDataURI").is_some() {
            visit(&format!("{prefix}{tag}"));
        }
        if element["vr"] == "SQ" {
            for (i, item) in element["Value"].as_array().into_iter().flatten().enumerate() {
                find_all(item, &format!("{prefix}{tag}.{i}."), visit);
            }
        }
    }
}
