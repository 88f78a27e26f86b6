//! The reply to a storing request: the Store Instances Response Module (PS3.18 annex I), as DICOM
//! JSON or as the Native DICOM Model in XML (PS3.19 §A.1). Written as it goes out: it has a line for
//! each instance.

use std::io::{self, BufWriter, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::results::{Results, Stored};

/// Written at once.
const PIECE_BYTES: usize = 64 << 10;
/// What may stand in a path segment as it is (RFC 3986 §3.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

const RETRIEVE_URL: Tag = Tag { hex: "00081190", vr: "UR", keyword: "RetrieveURL" };
const FAILED: Tag = Tag { hex: "00081198", vr: "SQ", keyword: "FailedSOPSequence" };
const REFERENCED: Tag = Tag { hex: "00081199", vr: "SQ", keyword: "ReferencedSOPSequence" };
const OTHER: Tag = Tag { hex: "0008119A", vr: "SQ", keyword: "OtherFailuresSequence" };
const CLASS: Tag = Tag { hex: "00081150", vr: "UI", keyword: "ReferencedSOPClassUID" };
const INSTANCE: Tag = Tag { hex: "00081155", vr: "UI", keyword: "ReferencedSOPInstanceUID" };
const WARNING: Tag = Tag { hex: "00081196", vr: "US", keyword: "WarningReason" };
const FAILURE: Tag = Tag { hex: "00081197", vr: "US", keyword: "FailureReason" };

struct Tag {
    hex: &'static str,
    vr: &'static str,
    keyword: &'static str,
}

/// Writes the results. `study` is the one that the request named.
pub(super) fn write(
    results: &Results,
    base: &str,
    study: Option<&str>,
    xml: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(PIECE_BYTES, out);
    if xml {
        response(results, base, study, &mut Xml { out: &mut out, items: 0 })?;
    } else {
        response(results, base, study, &mut Json { out: &mut out, firsts: Vec::new() })?;
    }
    out.flush()
}

/// The module, in ascending order of its tags.
fn response(
    results: &Results,
    base: &str,
    study: Option<&str>,
    out: &mut dyn Form,
) -> io::Result<()> {
    out.begin()?;
    // Of type 2 (table I.1-1): always there, and empty where there is no one study.
    out.text(&RETRIEVE_URL, &study_url(results, base, study).unwrap_or_default())?;
    if !results.failed.is_empty() {
        out.sequence(&FAILED)?;
        for (names, reason) in &results.failed {
            out.item()?;
            out.text(&CLASS, &names.class)?;
            out.text(&INSTANCE, &names.instance)?;
            out.number(&FAILURE, *reason)?;
            out.end_item()?;
        }
        out.end_sequence()?;
    }
    if !results.stored.is_empty() {
        out.sequence(&REFERENCED)?;
        for stored in &results.stored {
            referenced(results, base, stored, out)?;
        }
        out.end_sequence()?;
    }
    if !results.nameless.is_empty() {
        out.sequence(&OTHER)?;
        for reason in &results.nameless {
            out.item()?;
            out.number(&FAILURE, *reason)?;
            out.end_item()?;
        }
        out.end_sequence()?;
    }
    out.end()
}

/// The URL of the study that was stored into, if there is one: what was named, or what all of it
/// belongs to.
pub(super) fn study_url(results: &Results, base: &str, study: Option<&str>) -> Option<String> {
    let mut studies = results.series.iter().map(|(study, _)| &**study);
    let first = studies.next();
    let one = study.or(first.filter(|first| studies.all(|other| other == *first)));
    let one = one.filter(|_| !results.stored.is_empty());
    one.map(|one| format!("{base}/studies/{}", segment(one)))
}

fn referenced(
    results: &Results,
    base: &str,
    stored: &Stored,
    out: &mut dyn Form,
) -> io::Result<()> {
    let (study, series) = &results.series[stored.series as usize];
    out.item()?;
    out.text(&CLASS, &results.classes[stored.class as usize])?;
    out.text(&INSTANCE, &stored.instance)?;
    let url = format!(
        "{base}/studies/{}/series/{}/instances/{}",
        segment(study),
        segment(series),
        segment(&stored.instance)
    );
    out.text(&RETRIEVE_URL, &url)?;
    if let Some(warning) = stored.warning {
        out.number(&WARNING, warning)?;
    }
    out.end_item()
}

/// A UID in a URL: ill-formed ones are stored too.
fn segment(uid: &str) -> impl std::fmt::Display {
    utf8_percent_encode(uid, SEGMENT)
}

/// A way to write a data set.
trait Form {
    fn begin(&mut self) -> io::Result<()>;
    fn end(&mut self) -> io::Result<()>;
    fn text(&mut self, tag: &Tag, value: &str) -> io::Result<()>;
    fn number(&mut self, tag: &Tag, value: u16) -> io::Result<()>;
    fn sequence(&mut self, tag: &Tag) -> io::Result<()>;
    fn item(&mut self) -> io::Result<()>;
    fn end_item(&mut self) -> io::Result<()>;
    fn end_sequence(&mut self) -> io::Result<()>;
}

struct Json<W> {
    out: W,
    /// For each open object or array: does what comes next come first in it?
    firsts: Vec<bool>,
}

impl<W: Write> Json<W> {
    fn comma(&mut self) -> io::Result<()> {
        match self.firsts.last_mut() {
            Some(first) if *first => {
                *first = false;
                Ok(())
            }
            Some(_) => self.out.write_all(b","),
            None => Ok(()),
        }
    }
}

impl<W: Write> Form for Json<W> {
    fn begin(&mut self) -> io::Result<()> {
        self.firsts.push(true);
        self.out.write_all(b"{")
    }

    fn end(&mut self) -> io::Result<()> {
        self.firsts.pop();
        self.out.write_all(b"}")
    }

    fn text(&mut self, tag: &Tag, value: &str) -> io::Result<()> {
        self.comma()?;
        write!(self.out, "\"{}\":{{\"vr\":\"{}\"", tag.hex, tag.vr)?;
        // An empty value has no Value (annex F.2.5).
        if !value.is_empty() {
            self.out.write_all(b",\"Value\":[")?;
            serde_json::to_writer(&mut self.out, value)?;
            self.out.write_all(b"]")?;
        }
        self.out.write_all(b"}")
    }

    fn number(&mut self, tag: &Tag, value: u16) -> io::Result<()> {
        self.comma()?;
        write!(self.out, "\"{}\":{{\"vr\":\"{}\",\"Value\":[{value}]}}", tag.hex, tag.vr)
    }

    fn sequence(&mut self, tag: &Tag) -> io::Result<()> {
        self.comma()?;
        self.firsts.push(true);
        write!(self.out, "\"{}\":{{\"vr\":\"{}\",\"Value\":[", tag.hex, tag.vr)
    }

    fn item(&mut self) -> io::Result<()> {
        self.comma()?;
        self.firsts.push(true);
        self.out.write_all(b"{")
    }

    fn end_item(&mut self) -> io::Result<()> {
        self.firsts.pop();
        self.out.write_all(b"}")
    }

    fn end_sequence(&mut self) -> io::Result<()> {
        self.firsts.pop();
        self.out.write_all(b"]}")
    }
}

struct Xml<W> {
    out: W,
    items: u64,
}

impl<W: Write> Xml<W> {
    fn open(&mut self, tag: &Tag) -> io::Result<()> {
        let Tag { hex, vr, keyword } = tag;
        write!(self.out, "<DicomAttribute tag=\"{hex}\" vr=\"{vr}\" keyword=\"{keyword}\">")
    }

    fn close(&mut self) -> io::Result<()> {
        self.out.write_all(b"</DicomAttribute>")
    }
}

impl<W: Write> Form for Xml<W> {
    fn begin(&mut self) -> io::Result<()> {
        self.out.write_all(
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel \
              xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\">",
        )
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.write_all(b"</NativeDicomModel>\n")
    }

    fn text(&mut self, tag: &Tag, value: &str) -> io::Result<()> {
        self.open(tag)?;
        if !value.is_empty() {
            write!(self.out, "<Value number=\"1\">{}</Value>", quick_xml::escape::escape(value))?;
        }
        self.close()
    }

    fn number(&mut self, tag: &Tag, value: u16) -> io::Result<()> {
        self.open(tag)?;
        write!(self.out, "<Value number=\"1\">{value}</Value>")?;
        self.close()
    }

    fn sequence(&mut self, tag: &Tag) -> io::Result<()> {
        self.items = 0;
        self.open(tag)
    }

    fn item(&mut self) -> io::Result<()> {
        self.items += 1;
        write!(self.out, "<Item number=\"{}\">", self.items)
    }

    fn end_item(&mut self) -> io::Result<()> {
        self.out.write_all(b"</Item>")
    }

    fn end_sequence(&mut self) -> io::Result<()> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cairn_store::ingest::Receipt;

    use super::super::results::Names;
    use super::*;

    fn results() -> Results {
        let mut results = Results::default();
        let receipt = Receipt {
            study_uid: "1.2".into(),
            series_uid: "1.3".into(),
            sop_instance_uid: "../<\"4".into(),
            outcome: cairn_store::commit::Outcome::Conflict,
            visible: false,
            flags: cairn_dicom::flags::Flags::empty(),
            dataset_bytes: 1,
        };
        let names = || Names::from(("1.1".to_owned(), "1.5".to_owned()));
        results.answered(names(), Ok(receipt));
        results.refused(names(), 0xA900);
        results.refused(Names::default(), 0xC000);
        results
    }

    #[test]
    fn behaviour_25_json() {
        let mut out = Vec::new();
        let mut json = Json { out: &mut out, firsts: Vec::new() };
        response(&results(), "http://h/dicom-web", None, &mut json).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let wanted = serde_json::json!({
            "00081190": {"vr": "UR", "Value": ["http://h/dicom-web/studies/1.2"]},
            "00081198": {"vr": "SQ", "Value": [{
                "00081150": {"vr": "UI", "Value": ["1.1"]},
                "00081155": {"vr": "UI", "Value": ["1.5"]},
                "00081197": {"vr": "US", "Value": [0xA900]},
            }]},
            "00081199": {"vr": "SQ", "Value": [{
                "00081150": {"vr": "UI", "Value": ["1.1"]},
                "00081155": {"vr": "UI", "Value": ["../<\"4"]},
                "00081190": {"vr": "UR", "Value": [
                    "http://h/dicom-web/studies/1.2/series/1.3/instances/..%2F%3C%224"]},
                "00081196": {"vr": "US", "Value": [0xB006]},
            }]},
            "0008119A": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xC000]}}]},
        });
        assert_eq!(read, wanted);
    }

    #[test]
    fn behaviour_25_empty_sequences_are_left_out_and_the_url_is_not() {
        let mut out = Vec::new();
        let mut json = Json { out: &mut out, firsts: Vec::new() };
        response(&Results::default(), "http://h", Some("1.2"), &mut json).unwrap();
        assert_eq!(out, br#"{"00081190":{"vr":"UR"}}"#);
    }

    #[test]
    fn behaviour_25_xml() {
        let mut out = Vec::new();
        let mut xml = Xml { out: &mut out, items: 0 };
        response(&results(), "http://h", None, &mut xml).unwrap();
        let text = String::from_utf8(out).unwrap();
        for piece in [
            "<DicomAttribute tag=\"00081199\" vr=\"SQ\" keyword=\"ReferencedSOPSequence\">",
            "<Item number=\"1\">",
            "<Value number=\"1\">../&lt;&quot;4</Value>",
            "<Value number=\"1\">43264</Value>",
        ] {
            assert!(text.contains(piece), "{piece}: {text}");
        }
        let mut reader = quick_xml::Reader::from_str(&text);
        while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
    }
}
