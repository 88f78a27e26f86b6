//! Frames, bulk data and metadata over the web: behaviours 7, 8, 10 to 15 and 17.

use crate::support::Site;
use crate::support::multipart::{find, parts};
use crate::support::object::{EXPLICIT_BE, EXPLICIT_LE, MPEG4, Object, RLE, Value, rle};
use crate::support::server::{Server, client};
use reqwest::blocking::Response;
use serde_json::Value as Json;

const SERIES: &str = "/dicom-web/studies/1.2.3/series/1.2.3.4";
const OCTETS: &str = "multipart/related; type=\"application/octet-stream\"";
const AS_STORED: &str = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
const ONE: &str = "application/octet-stream";

fn ask(server: &Server, path: &str, fields: &[(&str, &str)]) -> Response {
    let mut request = client().get(server.url(path));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.send().unwrap()
}

fn get(server: &Server, path: &str, accept: &str) -> Response {
    ask(server, path, &[("accept", accept)])
}

fn instance(sop: &str) -> String {
    format!("{SERIES}/instances/{sop}")
}

/// An archive with these objects, and a server on it.
fn serve(objects: &[Object]) -> (Site, Server) {
    let site = Site::new();
    for object in objects {
        site.put(&format!("in/{}.dcm", object.sop), &object.file());
    }
    site.good(&["import", "in"]);
    let server = Server::start(&site, &[]);
    (site, server)
}

/// Frame `n` of 8 × 8 bytes.
fn frame(n: u8) -> Vec<u8> {
    (0..64).map(|i: u8| i.wrapping_mul(n).wrapping_add(n)).collect()
}

fn native(sop: &str) -> Object {
    let all = (0..3).flat_map(frame).collect();
    Object::new(EXPLICIT_LE, sop).image(8, 8, 8, 3).pixels(*b"OB", Value::Bytes(all))
}

fn coded(sop: &str) -> Object {
    let all = (0..3).map(|n| rle(&frame(n))).collect();
    Object::new(RLE, sop).image(8, 8, 8, 3).pixels(*b"OB", Value::Fragments(all))
}

#[test]
fn behaviour_10_lists_of_frames_in_order() {
    let (_site, server) = serve(&[native("1.1"), coded("1.2")]);
    for sop in ["1.1", "1.2"] {
        let path = format!("{}/frames/3,1,1", instance(sop));
        let reply = get(&server, &path, OCTETS);
        assert_eq!(reply.status(), 200);
        let found = parts(reply);
        let bytes: Vec<Vec<u8>> = found.iter().map(|part| part.bytes.clone()).collect();
        assert_eq!(bytes, [frame(2), frame(0), frame(0)], "{sop}");
        for part in found {
            let expected = format!("application/octet-stream; transfer-syntax={EXPLICIT_LE}");
            assert_eq!(part.content_type, expected);
        }
        for (list, status) in [("4", 404), ("1,4", 404), ("0", 400), ("x", 400), ("1,,2", 400)] {
            let reply = get(&server, &format!("{}/frames/{list}", instance(sop)), OCTETS);
            assert_eq!(reply.status(), status, "{list}");
        }
    }
    // No pixels, no frames.
    let (_site, server) = serve(&[Object::new(EXPLICIT_LE, "1.3")]);
    assert_eq!(get(&server, &format!("{}/frames/1", instance("1.3")), OCTETS).status(), 404);
}

#[test]
fn parts_and_single_ones_say_what_they_are() {
    let (_site, server) = serve(&[native("1.1"), coded("1.2")]);
    for sop in ["1.1", "1.2"] {
        let url = server.url(&instance(sop));
        // PS3.18 table 8.6.1-1, §10.4.3.3.6.
        for (list, numbers) in [("2", vec![2]), ("3,1,1", vec![3, 1, 1])] {
            let found = parts(get(&server, &format!("{}/frames/{list}", instance(sop)), OCTETS));
            for (part, number) in found.iter().zip(numbers) {
                assert_eq!(part.location.as_ref().unwrap(), &format!("{url}/frames/{number}"));
                assert_eq!(part.length, Some(64));
            }
        }
        let one = get(&server, &format!("{}/frames/2", instance(sop)), ONE);
        assert_eq!(one.headers()["content-location"], format!("{url}/frames/2"));
        let bulk = get(&server, &format!("{}/bulkdata/7FE00010", instance(sop)), ONE);
        assert_eq!(bulk.headers()["content-location"], format!("{url}/bulkdata/7FE00010"));
        let file = get(&server, &instance(sop), "application/dicom");
        assert_eq!(file.headers()["content-location"], url);
        let length = file.bytes().unwrap().len() as u64;
        let files =
            parts(get(&server, &instance(sop), "multipart/related; type=application/dicom"));
        assert_eq!((files[0].location.as_ref(), files[0].length), (Some(&url), Some(length)));
        assert_eq!(files[0].bytes.len() as u64, length);
    }
}

#[test]
fn behaviour_7_compressed_frames_bear_their_own_type() {
    let (_site, server) = serve(&[coded("1.2")]);
    let path = format!("{}/frames/2", instance("1.2"));
    let rle_type = format!("image/dicom-rle; transfer-syntax={RLE}");
    for (accept, content_type) in [
        ("*/*", rle_type.as_str()),
        ("multipart/related; type=\"image/dicom-rle\"", &rle_type),
        (AS_STORED, &format!("application/octet-stream; transfer-syntax={RLE}")),
        ("multipart/related; type=\"image/*\"", &rle_type),
    ] {
        let found = parts(get(&server, &path, accept));
        assert_eq!(found[0].content_type, content_type, "{accept}");
        // Without item heads.
        assert_eq!(found[0].bytes, rle(&frame(1)), "{accept}");
    }
    let alone = get(&server, &path, "image/dicom-rle");
    assert_eq!(alone.headers()["content-type"], rle_type);
    assert_eq!(alone.bytes().unwrap(), rle(&frame(1)));
    assert_eq!(get(&server, &path, ONE).bytes().unwrap(), frame(1));
    assert_eq!(get(&server, &path, "multipart/related; type=\"image/jpeg\"").status(), 406);
    // Several frames alone: there is no such thing.
    let several = format!("{}/frames/1,2", instance("1.2"));
    assert_eq!(get(&server, &several, ONE).status(), 406);
}

#[test]
fn behaviour_8_parts_as_simple_readers_take_them() {
    let (_site, server) = serve(&[native("1.1")]);
    let reply = get(&server, &format!("{}/frames/2", instance("1.1")), OCTETS);
    let content_type = reply.headers()["content-type"].to_str().unwrap().to_owned();
    let boundary = content_type.split("boundary=").nth(1).unwrap().to_owned();
    let body = reply.bytes().unwrap();
    // Cornerstone takes the first line for the boundary and looks for these very letters; it looks for
    // the boundary in the pixels too, so that it has to be long, and another one each time.
    let head = format!("--{boundary}\r\nContent-Type: application/octet-stream; transfer-syntax=");
    assert!(body.starts_with(head.as_bytes()), "{:?}", String::from_utf8_lossy(&body[..100]));
    assert!((32..=70).contains(&boundary.len()), "{boundary}");
    let pixels = find(&body, b"\r\n\r\n").unwrap() + 4;
    let rest = &body[pixels..];
    assert_eq!(rest[..64], frame(1));
    assert_eq!(rest[64..], *format!("\r\n--{boundary}--\r\n").as_bytes(), "one frame, one part");
    let again = get(&server, &format!("{}/frames/2", instance("1.1")), OCTETS);
    assert_ne!(again.headers()["content-type"], content_type);
}

#[test]
fn behaviour_10_frames_of_bits_and_of_big_endian_words() {
    // Three frames of 3 × 3 bits: 27 bits without padding between them.
    let bits = Value::Bytes(vec![0b1111_1111, 0b0000_0011, 0b1010_1000, 0b0000_0101]);
    let words = Value::Words((0..8).collect());
    let objects = [
        Object::new(EXPLICIT_LE, "1.4").image(3, 3, 1, 3).pixels(*b"OB", bits),
        Object::new(EXPLICIT_BE, "1.5").image(2, 2, 16, 2).pixels(*b"OW", words),
    ];
    let (_site, server) = serve(&objects);
    let frames = |sop: &str, list: &str| {
        let found = parts(get(&server, &format!("{}/frames/{list}", instance(sop)), OCTETS));
        found.into_iter().map(|part| part.bytes).collect::<Vec<_>>()
    };
    assert_eq!(frames("1.4", "1,2,3"), [[0xFF, 0x01], [0x01, 0x00], [0x6A, 0x01]]);
    assert_eq!(frames("1.5", "2"), [[4, 0, 5, 0, 6, 0, 7, 0]]);
}

#[test]
fn behaviour_11_ranges_of_a_frame_and_of_bulk_data() {
    let (_site, server) = serve(&[native("1.1"), coded("1.2")]);
    let all: Vec<u8> = (0..3).flat_map(frame).collect();
    for (path, whole) in [
        (format!("{}/frames/2", instance("1.1")), frame(1)),
        (format!("{}/frames/2", instance("1.2")), frame(1)),
        (format!("{}/bulkdata/7FE00010", instance("1.1")), all.clone()),
        (format!("{}/bulkdata/7FE00010", instance("1.2")), all),
    ] {
        let length = whole.len();
        let reply = ask(&server, &path, &[("accept", ONE)]);
        assert_eq!(reply.headers()["accept-ranges"], "bytes", "{path}");
        let tag = reply.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(reply.bytes().unwrap(), whole, "{path}");
        for (range, bytes) in
            [("bytes=10-19", 10..20), ("bytes=-3", length - 3..length), ("bytes=60-", 60..length)]
        {
            let reply = ask(&server, &path, &[("accept", ONE), ("range", range)]);
            assert_eq!(reply.status(), 206, "{path} {range}");
            let told = format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1);
            assert_eq!(reply.headers()["content-range"], told);
            assert_eq!(reply.bytes().unwrap(), whole[bytes], "{path} {range}");
        }
        let beyond = ask(&server, &path, &[("accept", ONE), ("range", "bytes=500-600")]);
        assert_eq!(beyond.status(), 416);
        // RFC 9110 §15.5.17.
        assert_eq!(beyond.headers()["content-range"], format!("bytes */{length}"));
        let stale = [("accept", ONE), ("range", "bytes=0-1"), ("if-range", "\"other\"")];
        assert_eq!(ask(&server, &path, &stale).status(), 200);
        let known = [("accept", ONE), ("if-none-match", tag.as_str())];
        assert_eq!(ask(&server, &path, &known).status(), 304);
        let head = client().head(server.url(&path)).header("accept", ONE).send().unwrap();
        assert_eq!(head.headers()["content-length"], length.to_string());
    }
}

#[test]
fn behaviour_12_metadata_at_each_level() {
    let (_site, server) = serve(&[native("1.1"), coded("1.2")]);
    for (path, count) in [
        ("/dicom-web/studies/1.2.3/metadata".to_owned(), 2),
        (format!("{SERIES}/metadata"), 2),
        (format!("{}/metadata", instance("1.1")), 1),
    ] {
        let reply = get(&server, &path, "application/dicom+json");
        assert_eq!(reply.headers()["content-type"], "application/dicom+json");
        assert_eq!(reply.headers()["content-location"], server.url(&path));
        let tag = reply.headers()["etag"].to_str().unwrap().to_owned();
        let json: Json = serde_json::from_slice(&reply.bytes().unwrap()).unwrap();
        let objects = json.as_array().unwrap();
        assert_eq!(objects.len(), count, "{path}");
        for object in objects {
            assert_eq!(object["00100010"]["Value"][0]["Alphabetic"], "Doe^Jane");
            let uri = object["7FE00010"]["BulkDataURI"].as_str().unwrap();
            let below = uri.strip_prefix(&server.url("")).unwrap();
            assert_eq!(get(&server, below, ONE).bytes().unwrap().len(), 192);
        }
        let known = ask(&server, &path, &[("if-none-match", &tag)]);
        assert_eq!(known.status(), 304);
        // Behind a proxy the URIs, and so the tag, are others.
        let proxied = [("x-forwarded-host", "pacs.example"), ("x-forwarded-proto", "https")];
        let reply = ask(&server, &path, &proxied);
        assert_ne!(reply.headers()["etag"].to_str().unwrap(), tag);
        let text = reply.text().unwrap();
        assert!(text.contains("\"BulkDataURI\":\"https://pacs.example/dicom-web/studies/1.2.3/"));
    }
    assert_eq!(get(&server, &format!("{SERIES}/metadata"), "text/html").status(), 406);
}

#[test]
fn behaviour_12_metadata_in_xml() {
    let (_site, server) = serve(&[native("1.1"), coded("1.2")]);
    let accept = "multipart/related; type=\"application/dicom+xml\"";
    let found = parts(get(&server, &format!("{SERIES}/metadata"), accept));
    assert_eq!(found.len(), 2);
    for (part, sop) in found.iter().zip(["1.1", "1.2"]) {
        assert_eq!(part.content_type, "application/dicom+xml");
        let url = server.url(&format!("{}/metadata", instance(sop)));
        assert_eq!(part.location.as_ref(), Some(&url));
        assert_eq!(part.length, Some(part.bytes.len() as u64));
        assert!(find(&part.bytes, b"<FamilyName>Doe</FamilyName>").is_some());
        assert!(find(&part.bytes, b"<BulkData uri=\"http://").is_some());
        assert!(part.bytes.ends_with(b"</NativeDicomModel>\n"));
    }
}

#[test]
fn behaviour_13_long_arrays_of_numbers_by_their_address() {
    let floats = |count: u16| -> Vec<u8> {
        (0..count).flat_map(|n| (f32::from(n) * 0.5 - 3.0).to_le_bytes()).collect()
    };
    let object = Object::new(EXPLICIT_LE, "1.1")
        .with(0x0066_0016, *b"OF", Value::Bytes(floats(40_000)))
        .with(0x0070_0022, *b"FL", Value::Bytes(floats(12_000)))
        .with(0x0028_3002, *b"US", Value::Words(vec![16; 3]))
        .with(0x0028_3006, *b"US", Value::Words((0..20_000).collect()))
        .with(0x0072_0076, *b"FL", Value::Bytes(floats(8)));
    let (_site, server) = serve(&[object]);
    let reply = get(&server, &format!("{SERIES}/metadata"), "application/dicom+json");
    let text = reply.text().unwrap();
    assert!(text.len() < 5000, "{} bytes", text.len());
    let json: Json = serde_json::from_str(&text).unwrap();
    for (tag, vr, bytes) in [
        ("00660016", "OF", floats(40_000)),
        ("00700022", "FL", floats(12_000)),
        ("00283006", "US", (0..20_000_u16).flat_map(u16::to_le_bytes).collect()),
    ] {
        let element = &json[0][tag];
        assert_eq!((&element["vr"], element.get("Value")), (&vr.into(), None), "{tag}");
        let uri = element["BulkDataURI"].as_str().unwrap();
        let below = uri.strip_prefix(&server.url("")).unwrap();
        assert_eq!(get(&server, below, ONE).bytes().unwrap(), bytes, "{tag}");
    }
    assert_eq!(json[0]["00720076"]["Value"][7], 0.5, "a short array is in its place");
}

#[test]
fn behaviour_14_metadata_is_compressed_and_made_again_when_it_changes() {
    let (_site, server) = serve(&[native("1.1")]);
    let path = format!("{SERIES}/metadata");
    let plain = ask(&server, &path, &[]);
    let tag = plain.headers()["etag"].to_str().unwrap().to_owned();
    let plain = plain.bytes().unwrap();
    let gzip = ask(&server, &path, &[("accept-encoding", "gzip")]);
    assert_eq!(gzip.headers()["content-encoding"], "gzip");
    let mut text = Vec::new();
    let bytes = gzip.bytes().unwrap();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text).unwrap();
    assert_eq!(text, plain);
    let deleted = client().delete(server.url(&instance("1.1"))).send().unwrap();
    assert!(deleted.status().is_success());
    assert_eq!(ask(&server, &path, &[("if-none-match", &tag)]).status(), 410);
}

#[test]
fn damaged_metadata_are_made_again() {
    let (site, server) = serve(&[native("1.1"), coded("1.2")]);
    let path = format!("{SERIES}/metadata");
    let before = ask(&server, &path, &[]).bytes().unwrap();
    let kept = crate::support::files_under(&site.data());
    let kept: Vec<_> =
        kept.iter().filter(|path| path.extension().is_some_and(|e| e == "metadata")).collect();
    assert_eq!(kept.len(), 1);
    let mut bytes = std::fs::read(kept[0]).unwrap();
    let end = bytes.len() - 60;
    bytes[end] ^= 1;
    std::fs::write(kept[0], bytes).unwrap();
    let after = ask(&server, &path, &[]);
    assert_eq!((after.status().as_u16(), after.bytes().unwrap()), (200, before));
}

#[test]
fn behaviour_15_documents_and_video_under_their_own_type() {
    let pdf = b"%PDF-1.7 and so on".to_vec();
    let stream = Value::Fragments(vec![(0..200).collect(), (0..100).collect()]);
    let objects = [
        Object::new(EXPLICIT_LE, "1.6").text(0x0042_0012, *b"LO", "application/pdf").with(
            0x0042_0011,
            *b"OB",
            Value::Bytes(pdf.clone()),
        ),
        Object::new(EXPLICIT_LE, "1.7").text(0x0042_0012, *b"LO", "text/html").with(
            0x0042_0011,
            *b"OB",
            Value::Bytes(b"<script>x</script>".to_vec()),
        ),
        Object::new(MPEG4, "1.8").image(8, 8, 8, 2).pixels(*b"OB", stream),
    ];
    let (_site, server) = serve(&objects);
    let document = format!("{}/bulkdata/00420011", instance("1.6"));
    for accept in ["*/*", "application/pdf"] {
        let reply = get(&server, &document, accept);
        assert_eq!(reply.headers()["content-type"], "application/pdf");
        assert_eq!(reply.bytes().unwrap(), pdf);
    }
    let part = parts(get(&server, &document, "multipart/related; type=\"application/pdf\""));
    assert_eq!((part[0].content_type.as_str(), &part[0].bytes), ("application/pdf", &pdf));
    assert_eq!(get(&server, &document, ONE).bytes().unwrap(), pdf);
    // Nothing that a browser would run.
    let script = get(&server, &format!("{}/bulkdata/00420011", instance("1.7")), "*/*");
    assert!(script.headers()["content-type"].to_str().unwrap().starts_with(ONE));
    let video = format!("{}/bulkdata/7FE00010", instance("1.8"));
    let joined: Vec<u8> = (0..200).chain(0..100).collect();
    let reply = get(&server, &video, "video/mp4");
    assert_eq!(reply.headers()["content-type"], format!("video/mp4; transfer-syntax={MPEG4}"));
    assert_eq!(reply.bytes().unwrap(), joined);
    let some = ask(&server, &video, &[("accept", "*/*"), ("range", "bytes=190-209")]);
    assert_eq!(
        (some.status().as_u16(), some.bytes().unwrap().to_vec()),
        (206, joined[190..210].into())
    );
    assert_eq!(get(&server, &video, ONE).status(), 406);
}

#[test]
fn behaviour_6_all_bulk_data_of_each_level() {
    let (_site, server) = serve(&[native("1.1"), coded("1.2"), Object::new(EXPLICIT_LE, "1.3")]);
    for path in ["/dicom-web/studies/1.2.3", SERIES] {
        for (below, accept, count) in [
            ("/bulkdata", OCTETS, 2),
            ("/pixeldata", OCTETS, 2),
            ("/bulkdata", "*/*", 4), // three frames as they are stored
            ("/pixeldata", AS_STORED, 4),
        ] {
            let reply = get(&server, &format!("{path}{below}"), accept);
            assert_eq!(reply.status(), 200, "{path}{below}");
            let found = parts(reply);
            assert_eq!(found.len(), count, "{path}{below} {accept}");
            assert!(found.iter().all(|part| part.location.is_some()));
        }
    }
    let nothing = get(&server, &format!("{}/bulkdata", instance("1.3")), "*/*");
    assert_eq!(nothing.status(), 404);
    assert_eq!(
        get(&server, &format!("{}/bulkdata/00100010.x", instance("1.1")), "*/*").status(),
        404
    );
    assert_eq!(
        get(&server, &format!("{}/bulkdata/00091010", instance("1.1")), "*/*").status(),
        404
    );
}
