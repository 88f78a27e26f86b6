//! A door for the fuzz targets: a line of the log, as somebody may have left it.

#![allow(clippy::expect_used, clippy::missing_panics_doc)]

use super::chain::{self, Head};
use super::{dicom, fhir};

/// What is read of a line is written and read again, and has its messages.
pub fn line(bytes: &[u8]) {
    // Nobody guesses a hash.
    assert!(chain::read(Head::START, bytes).is_err(), "a made up line counts");
    let Some((line, hash)) = chain::claim(bytes) else { return };
    let head = Head { lines: line.n, hash };
    let (written, next) = chain::write(head, &line).expect("a line is written");
    let written = written.strip_suffix(b"\n").expect("it has an end");
    assert_eq!(chain::read(head, written).expect("it is read"), (line.clone(), next));
    let _ = (dicom::message(&line, "cairn"), fhir::resource(&line, "cairn"));
}
