//! The reader against its twin, in pieces of every size; the writer against the reader.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

type Parts = Vec<(Option<String>, Vec<u8>)>;

/// Reads a body in pieces of these lengths, over and over.
fn read(boundary: &str, body: &[u8], lengths: &[usize]) -> Result<Parts, Fault> {
    let mut left = Bytes::copy_from_slice(body);
    let mut lengths = lengths.iter().copied().cycle();
    let mut reader = Reader::new(boundary, move || {
        let length = lengths.next().unwrap_or(1).clamp(1, left.len().max(1)).min(left.len());
        let piece = left.split_to(length);
        Ok((!piece.is_empty()).then_some(piece))
    });
    let mut parts = Vec::new();
    while let Some(headers) = reader.next_part()? {
        let mut body = Vec::new();
        while let Some(bytes) = reader.next_bytes()? {
            body.extend_from_slice(&bytes);
        }
        parts.push((headers.get("content-type").map(str::to_owned), body));
    }
    Ok(parts)
}

fn both(boundary: &str, body: &[u8], lengths: &[usize]) -> Option<Vec<Vec<u8>>> {
    let naive = naive::parts(boundary, body);
    let read = read(boundary, body, lengths);
    let bodies = naive.map(|parts| parts.into_iter().map(|(_, body)| body).collect::<Vec<_>>());
    let got = read.ok().map(|parts| parts.into_iter().map(|(_, body)| body).collect::<Vec<_>>());
    assert_eq!(got, bodies, "{}", String::from_utf8_lossy(body));
    got
}

#[test]
fn behaviour_26_boundaries_alone_part_the_body() {
    let pixels = b"\r\n\r\n--x\r\n--xy\r\n--x \t!\r\n--x-\r\n-- x\r\n\r\n\r\r\n--";
    let body = [
        b"--x\r\nContent-Type: application/dicom\r\n\r\n".as_slice(),
        // The first line of the pixels would be a delimiter with the line end before it.
        b"a",
        &pixels[4..],
        b"\r\n--x\r\n\r\nsecond\r\n--x--",
    ]
    .concat();
    for length in 1..=body.len() {
        let parts = both("x", &body, &[length]).unwrap();
        assert_eq!(parts, [[b"a", &pixels[4..]].concat(), b"second".to_vec()], "{length}");
    }
}

#[test]
fn behaviour_26_what_stands_around_the_parts() {
    let part = "--b\r\nContent-Type: application/dicom; transfer-syntax=1.2\r\n\r\nbody\r\n--b--";
    for (before, after) in
        [("", ""), ("\r\n", "\r\n"), ("remark\r\n", "\r\nepilogue --b\r\n--b\r\n"), ("", "--")]
    {
        let body = format!("{before}{part}{after}");
        for length in [1, 2, 3, 7, 1000] {
            let parts = read("b", body.as_bytes(), &[length]).unwrap();
            let wanted = Some("application/dicom; transfer-syntax=1.2".to_owned());
            assert_eq!(parts, [(wanted, b"body".to_vec())]);
        }
    }
    // No fields at all, an empty body, blanks behind the boundary, folded and odd-cased fields.
    let odd = "--b \t\r\n\r\n\r\n--b\r\nCONTENT-type:\r\n a/b\r\n\r\n\r\n--b--";
    for length in [1, 2, 5, 1000] {
        let parts = read("b", odd.as_bytes(), &[length]).unwrap();
        assert_eq!(parts, [(None, vec![]), (Some(" a/b".to_owned()), vec![])]);
    }
    assert_eq!(read("b", b"--b--", &[1]).unwrap(), []);
}

#[test]
fn behaviour_26_boundaries_of_content_types() {
    let cases = [
        ("multipart/related; type=\"application/dicom\"; boundary=abc", Some("abc")),
        ("multipart/related;boundary=\"a b'()+_,-./:=?c\"; type=x", Some("a b'()+_,-./:=?c")),
        ("multipart/related; BOUNDARY=abc ; type=\"x;boundary=no\"", Some("abc")),
        ("multipart/related", None),
        ("multipart/related; boundary=", None),
        ("multipart/related; boundary=\"\"", None),
        ("multipart/related; boundary=\"a \"", None),
        ("multipart/related; boundary=a\u{1}", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(boundary(text).as_deref(), wanted, "{text}");
    }
    assert!(boundary(&format!("m/r;boundary={}", "a".repeat(70))).is_some());
    assert!(boundary(&format!("m/r;boundary={}", "a".repeat(71))).is_none());
}

#[test]
fn what_is_malformed_is_told() {
    let long_head = format!("--b\r\nX: {}\r\n\r\nbody\r\n--b--", "x".repeat(9000));
    let long_preamble = format!("{}\r\n--b--", "x".repeat(70_000));
    for body in [
        "",
        "no boundary at all",
        "--b",
        "--b\r\n",
        "--b\r\nX: y\r\n",
        "--b\r\nX: y\r\n\r\nbody",
        "--b\r\nX: y\r\n\r\nbody\r\n--b",
        "--b\r\nX: y\r\n\r\nbody\r\n--b-",
        "--b\r\nno field\r\n\r\nbody\r\n--b--",
        &long_head,
        &long_preamble,
    ] {
        for length in [1, 3, 100_000] {
            let error = read("b", body.as_bytes(), &[length]).unwrap_err();
            assert!(matches!(error, Fault::Malformed(_)), "{body}");
        }
    }
}

#[test]
fn a_part_can_be_passed_over() {
    let body = b"--b\r\n\r\none\r\n--b\r\nX: 2\r\n\r\ntwo\r\n--b--";
    let mut pieces = body.chunks(4).map(Bytes::copy_from_slice).collect::<Vec<_>>().into_iter();
    let mut reader = Reader::new("b", move || Ok(pieces.next()));
    assert!(reader.next_part().unwrap().is_some());
    assert_eq!(reader.next_part().unwrap().unwrap().get("x"), Some("2"));
    assert!(reader.next_part().unwrap().is_none());
    assert!(reader.next_part().unwrap().is_none());
}

#[test]
fn behaviours_7_8_9_what_is_written() {
    let mut writer = Writer::new().unwrap();
    let content_type = writer.content_type("application/octet-stream");
    let boundary = boundary(&content_type).unwrap();
    assert!(boundary.len() >= 60);
    let part = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1";
    let mut body = Vec::new();
    for bytes in [b"\r\n--pixels".as_slice(), b""] {
        let length = Some(bytes.len() as u64);
        body.extend_from_slice(&writer.head(part, Some("http://h/frames/1"), length));
        body.extend_from_slice(bytes);
    }
    // Without its end a body is malformed, so nobody takes it for the whole.
    assert!(read(&boundary, &body, &[7]).is_err());
    body.extend_from_slice(&writer.close());
    let text = String::from_utf8_lossy(&body);
    let start = format!(
        "--{boundary}\r\nContent-Type: {part}\r\nContent-Length: 10\r\nContent-Location: http://h/"
    );
    assert!(
        text.starts_with(&start) && text.ends_with(&format!("\r\n--{boundary}--\r\n")),
        "{text}"
    );
    let parts = read(&boundary, &body, &[1000]).unwrap();
    let wanted = Some(part.to_owned());
    assert_eq!(parts, [(wanted.clone(), b"\r\n--pixels".to_vec()), (wanted, vec![])]);
    assert_ne!(Writer::new().unwrap().content_type("x"), Writer::new().unwrap().content_type("x"));
}

/// Bytes that are mostly what delimiters are made of.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "\r",
        "\n",
        "\r\n",
        "--",
        "-",
        "b",
        "bc",
        "--b",
        "\r\n--b",
        "\r\n--bc",
        "\r\n--bc\r\n",
        "\r\n--bc--",
        "\r\n\r\n",
        " ",
        "X: y",
        "pixels",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn pieces_of_any_size_give_the_same_parts(
        bodies in prop::collection::vec(tricky(), 0..4),
        lengths in prop::collection::vec(1usize..30, 1..20),
    ) {
        let mut whole = Vec::new();
        for body in &bodies {
            whole.extend_from_slice(b"\r\n--bc\r\nContent-Type: a/b\r\n\r\n");
            whole.extend_from_slice(body);
        }
        whole.extend_from_slice(b"\r\n--bc--");
        both("bc", &whole, &lengths);
    }

    #[test]
    fn any_bytes_read_as_the_twin_reads_them(
        body in tricky(),
        lengths in prop::collection::vec(1usize..30, 1..20),
    ) {
        both("bc", &body, &lengths);
    }
}
