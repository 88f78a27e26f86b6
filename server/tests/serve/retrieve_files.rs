//! Whole instances over the web (PS3.18 §10.4): behaviours 1 to 9, 14 and 17, and damage.

use std::path::PathBuf;

use crate::support::Site;
use crate::support::multipart::{Part, find, parts};
use crate::support::object::{
    EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, MPEG4, Object, RLE, Value, rle,
};
use crate::support::server::{Server, client};
use reqwest::blocking::Response;

const STAR: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
const DEFAULT: &str = "multipart/related; type=\"application/dicom\"";
const SERIES: &str = "/dicom-web/studies/1.2.3/series/1.2.3.4";

fn get(server: &Server, path: &str, accept: &str) -> Response {
    client().get(server.url(path)).header("accept", accept).send().unwrap()
}

fn status(server: &Server, path: &str, accept: &str) -> u16 {
    get(server, path, accept).status().as_u16()
}

/// Sixteen pixels of 16 bits.
fn words() -> Value {
    Value::Words((0..16).map(|n| 0x0102 + n * 0x0311).collect())
}

fn little_endian() -> Vec<u8> {
    (0..16_u16).flat_map(|n| (0x0102 + n * 0x0311).to_le_bytes()).collect()
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

fn instance(sop: &str) -> String {
    format!("{SERIES}/instances/{sop}")
}

fn compressed(sop: &str) -> Object {
    let frame: Vec<u8> = (0..64).collect();
    Object::new(RLE, sop).image(8, 8, 8, 1).pixels(*b"OB", Value::Fragments(vec![rle(&frame)]))
}

fn video(sop: &str) -> Object {
    let stream = Value::Fragments(vec![vec![7; 500], vec![8; 300]]);
    Object::new(MPEG4, sop).image(8, 8, 8, 2).pixels(*b"OB", stream)
}

#[test]
fn behaviour_1_quotes_or_none() {
    let object = compressed("1.9");
    let (_site, server) = serve(std::slice::from_ref(&object));
    for accept in [
        STAR,
        "multipart/related; type=application/dicom; transfer-syntax=*",
        "multipart/related; type=\"application/dicom\"; transfer-syntax=\"*\"",
        "multipart/related;type=application/dicom;transfer-syntax=\"*\"",
        "Multipart/Related; Transfer-Syntax=*; Type=\"Application/DICOM\"",
    ] {
        assert_eq!(parts(get(&server, SERIES, accept))[0].bytes, object.file(), "{accept}");
    }
}

#[test]
fn behaviour_2_several_types_with_weights_and_parameters() {
    let object = compressed("1.9");
    let (_site, server) = serve(std::slice::from_ref(&object));
    for (accept, as_stored) in [
        (format!("text/html, {STAR}; q=0.5, */*;q=0.1"), true),
        (format!("{STAR};q=0.4,{DEFAULT};q=0.9"), false),
        (format!("{DEFAULT};q=0.4 , {STAR} ; q=0.9"), true),
        (format!("image/jpeg;q=1.0, {DEFAULT};q=0.001"), false),
    ] {
        let found = parts(get(&server, SERIES, &accept));
        assert_eq!(found[0].bytes == object.file(), as_stored, "{accept}");
    }
    // What Orthanc took for one type (its issue 216).
    let accept = "application/dicom+json, multipart/related; type=\"application/dicom+xml\"";
    let reply = get(&server, &format!("{SERIES}/metadata"), accept);
    assert_eq!(reply.headers()["content-type"], "application/dicom+json");
    assert_eq!(status(&server, SERIES, &format!("{STAR};q=0, text/html")), 406);
}

#[test]
fn behaviour_3_as_stored_is_byte_for_byte() {
    let site = Site::new();
    let files: Vec<PathBuf> = site.put_studies();
    site.good(&["import", "in"]);
    let server = Server::start(&site, &[]);
    let known: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut seen = 0;
    for study in site.list(&["ls"]) {
        let uid = study["study_uid"].as_str().unwrap();
        for accept in [STAR, DEFAULT, "*/*"] {
            let reply = get(&server, &format!("/dicom-web/studies/{uid}"), accept);
            assert_eq!(reply.status(), 200);
            for part in parts(reply) {
                assert!(known.contains(&part.bytes));
                assert_eq!(
                    part.content_type,
                    format!("application/dicom; transfer-syntax={EXPLICIT_LE}")
                );
                let location = part.location.unwrap();
                // What it is said to be is what is there.
                let path = location.strip_prefix(&server.url("")).unwrap();
                let again = get(&server, path, "application/dicom; transfer-syntax=*");
                assert_eq!(again.bytes().unwrap(), part.bytes);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, files.len() * 3);
}

#[test]
fn behaviour_3_compressed_is_decoded_unless_asked_otherwise() {
    let (_site, server) = serve(&[compressed("1.9")]);
    let plain: Vec<u8> = (0..64).collect();
    let path = instance("1.9");
    for accept in [STAR, "*/*", "multipart/related; transfer-syntax=1.2.840.10008.1.2.5"] {
        let stored = parts(get(&server, &path, accept));
        assert_eq!(stored[0].bytes, compressed("1.9").file(), "{accept}");
        assert!(stored[0].content_type.ends_with("transfer-syntax=1.2.840.10008.1.2.5"));
    }
    for accept in
        [DEFAULT, "multipart/related; type=application/dicom;transfer-syntax=1.2.840.10008.1.2.1"]
    {
        let decoded = parts(get(&server, &path, accept));
        assert!(decoded[0].content_type.ends_with(EXPLICIT_LE));
        let bytes = &decoded[0].bytes;
        // Pixel Data, OB, 64 bytes, and the pixels at the end.
        let element = [b"\xE0\x7F\x10\x00OB\0\0\x40\0\0\0".as_slice(), &plain].concat();
        assert_eq!(bytes[bytes.len() - element.len()..], element);
        assert!(find(bytes, b"1.2.840.10008.1.2.1\0").is_some());
        assert!(find(bytes, b"1.9\0").is_some());
    }
}

#[test]
fn behaviour_4_implicit_and_big_endian_are_converted() {
    let objects = [
        Object::new(IMPLICIT_LE, "1.5").image(4, 4, 16, 1).pixels(*b"OW", words()),
        Object::new(EXPLICIT_BE, "1.6").image(4, 4, 16, 1).pixels(*b"OW", words()),
    ];
    let (_site, server) = serve(&objects);
    for accept in [STAR, DEFAULT, "*/*"] {
        let found = parts(get(&server, SERIES, accept));
        assert_eq!(found.len(), 2);
        // In no order that anybody is promised.
        for sop in ["1.5", "1.6"] {
            let named = |part: &&Part| find(&part.bytes, format!("{sop}\0").as_bytes()).is_some();
            let part = found.iter().find(named).unwrap();
            assert!(part.content_type.ends_with(EXPLICIT_LE), "{}", part.content_type);
            // The same as if it had been written so, but for the File Meta Information.
            let expected =
                Object::new(EXPLICIT_LE, sop).image(4, 4, 16, 1).pixels(*b"OW", words()).file();
            let start = find(&expected, b"\x08\0\x16\0UI").unwrap();
            let end = part.bytes.len() - (expected.len() - start);
            assert_eq!(part.bytes[end..], expected[start..], "{sop}");
            assert!(part.bytes.ends_with(&little_endian()));
        }
    }
    for uid in [IMPLICIT_LE, EXPLICIT_BE] {
        assert_eq!(status(&server, SERIES, &format!("{DEFAULT}; transfer-syntax={uid}")), 406);
    }
}

#[test]
fn behaviour_5_single_part_for_single_instances() {
    let (_site, server) = serve(&[compressed("1.9"), compressed("1.10")]);
    let reply = get(&server, &instance("1.9"), "application/dicom; transfer-syntax=*");
    assert_eq!(
        reply.headers()["content-type"],
        format!("application/dicom; transfer-syntax={RLE}")
    );
    assert_eq!(reply.headers()["content-disposition"], "attachment; filename=\"1.9.dcm\"");
    let length = reply.headers()["content-length"].to_str().unwrap().to_owned();
    let file = reply.bytes().unwrap();
    assert_eq!((file.to_vec(), length), (compressed("1.9").file(), file.len().to_string()));
    // The length of a file that is made on the way is known beforehand, too.
    let reply = get(&server, &instance("1.9"), "application/dicom");
    let length = reply.content_length().unwrap();
    assert_eq!(reply.bytes().unwrap().len() as u64, length);
    assert_eq!(status(&server, SERIES, "application/dicom"), 406);
    let both = "application/dicom, multipart/related; type=application/dicom";
    assert_eq!(parts(get(&server, SERIES, both)).len(), 2);
    let head = client().head(server.url(&instance("1.9"))).header("accept", "application/dicom");
    assert_eq!(head.send().unwrap().headers()["content-length"], length.to_string());
}

#[test]
fn behaviour_6_octets_of_an_instance_are_its_bulk_data() {
    let (_site, server) = serve(&[compressed("1.9")]);
    let octets = "multipart/related; type=\"application/octet-stream\"";
    let found = parts(get(&server, &instance("1.9"), octets));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].bytes, (0..64).collect::<Vec<u8>>());
    let location = server.url(&format!("{}/bulkdata/7FE00010", instance("1.9")));
    assert_eq!(found[0].location.as_deref(), Some(location.as_str()));
}

/// A syntax that nobody knows.
fn private(sop: &str) -> Object {
    Object::new("1.2.3.4.5", sop)
        .image(8, 8, 8, 1)
        .pixels(*b"OB", Value::Fragments(vec![vec![9; 100]]))
}

#[test]
fn behaviour_9_what_cannot_be_given_is_told() {
    let (_site, server) = serve(&[compressed("1.9"), private("1.11")]);
    // All of it as stored; one of two decoded; nothing of the other alone.
    assert_eq!(parts(get(&server, SERIES, STAR)).len(), 2);
    let some = get(&server, SERIES, DEFAULT);
    assert_eq!(some.status(), 206);
    assert_eq!(parts(some).len(), 1);
    assert_eq!(status(&server, &instance("1.11"), DEFAULT), 406);
    assert_eq!(status(&server, &instance("1.11"), STAR), 200);
    assert_eq!(status(&server, SERIES, "text/html"), 406);
}

#[test]
fn behaviour_9_video_has_no_other_form() {
    let (_site, server) = serve(&[compressed("1.9"), video("1.11")]);
    for accept in [STAR, DEFAULT] {
        let reply = get(&server, SERIES, accept);
        assert_eq!(reply.status(), 200);
        let found = parts(reply);
        assert_eq!(found[0].bytes, video("1.11").file());
        assert!(found[0].content_type.ends_with(MPEG4));
    }
    let explicit = format!("{DEFAULT}; transfer-syntax={EXPLICIT_LE}");
    assert_eq!(get(&server, SERIES, &explicit).status(), 206);
    assert_eq!(status(&server, &instance("1.11"), &explicit), 406);
}

#[test]
fn behaviour_9_an_undecodable_object_breaks_one_reply_and_is_left_out_of_the_next() {
    let mut broken = rle(&[1; 64]);
    broken.truncate(90); // the run ends too early
    let bad =
        Object::new(RLE, "1.12").image(8, 8, 8, 1).pixels(*b"OB", Value::Fragments(vec![broken]));
    let (_site, server) = serve(&[compressed("1.10"), bad.clone(), compressed("1.13")]);
    // Depending on when it is found out, the reply says so, or the connection breaks: in its body, or
    // before the client has read its head.
    let first = client().get(server.url(SERIES)).header("accept", DEFAULT).send();
    assert!(first.map_or(true, |first| first.status() == 206 || first.bytes().is_err()));
    let next = get(&server, SERIES, DEFAULT);
    assert_eq!(next.status(), 206);
    assert_eq!(parts(next).len(), 2);
    assert_eq!(status(&server, &instance("1.12"), DEFAULT), 406);
    assert_eq!(parts(get(&server, SERIES, STAR))[1].bytes, bad.file());
}

#[test]
fn behaviour_14_tags_name_content_and_syntax() {
    let (_site, server) = serve(&[compressed("1.9")]);
    let tag = |path: &str, accept: &str| {
        get(&server, path, accept).headers()["etag"].to_str().unwrap().to_owned()
    };
    let (stored, decoded) = (tag(SERIES, STAR), tag(SERIES, DEFAULT));
    assert_ne!(stored, decoded);
    assert_eq!(stored, tag(SERIES, STAR));
    for path in [SERIES.to_owned(), instance("1.9"), "/dicom-web/studies/1.2.3".into()] {
        let request = client().get(server.url(&path)).header("accept", STAR);
        let reply = request.header("if-none-match", tag(&path, STAR)).send().unwrap();
        assert_eq!((reply.status().as_u16(), reply.bytes().unwrap().len()), (304, 0), "{path}");
    }
}

#[test]
fn behaviour_17_missing_and_deleted() {
    let (_site, server) = serve(&[compressed("1.9"), compressed("1.10")]);
    for path in ["/dicom-web/studies/9.9", "/dicom-web/studies/1.2.3/series/9"] {
        for below in ["", "/metadata", "/bulkdata", "/pixeldata"] {
            assert_eq!(status(&server, &format!("{path}{below}"), "*/*"), 404, "{path}{below}");
        }
    }
    for below in ["", "/metadata", "/frames/1", "/bulkdata/7FE00010"] {
        let path = format!("{}{below}", instance("9.9"));
        assert_eq!(status(&server, &path, "*/*"), 404, "{path}");
    }
    let deleted = client().delete(server.url(&instance("1.9"))).send().unwrap();
    assert!(deleted.status().is_success());
    for below in ["", "/metadata", "/frames/1", "/bulkdata/7FE00010", "/bulkdata"] {
        let path = format!("{}{below}", instance("1.9"));
        assert_eq!(status(&server, &path, "*/*"), 410, "{path}");
    }
    assert_eq!(parts(get(&server, SERIES, STAR)).len(), 1);
}

#[test]
fn a_file_without_a_header_gets_one() {
    let whole = compressed("1.9").file();
    let start = find(&whole, b"\x08\0\x16\0UI").unwrap();
    let site = Site::new();
    let bare = Object::new(EXPLICIT_LE, "1.14").image(4, 4, 16, 1).pixels(*b"OW", words()).file();
    let bare = &bare[find(&bare, b"\x08\0\x16\0UI").unwrap()..];
    site.put("in/bare.dcm", bare);
    site.put("in/whole.dcm", &whole);
    site.good(&["import", "in"]);
    let server = Server::start(&site, &[]);
    let found = parts(get(&server, &instance("1.14"), STAR));
    assert_eq!(&found[0].bytes[128..132], b"DICM");
    assert!(found[0].bytes.ends_with(bare) && start > 0);
}

#[test]
fn damage_breaks_the_connection_and_is_never_sent() {
    let site = Site::new();
    let files: Vec<Vec<u8>> =
        site.put_studies().iter().map(|path| std::fs::read(path).unwrap()).collect();
    site.good(&["import", "in"]);
    let whole = site.list(&["ls"]);
    for pack in site.packs() {
        let mut bytes = std::fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(&pack, bytes).unwrap();
    }
    let server = Server::start(&site, &[]);
    let mut broken = 0;
    for study in whole {
        let uid = study["study_uid"].as_str().unwrap();
        let url = server.url(&format!("/dicom-web/studies/{uid}"));
        // A connection may break before the client has read the head.
        let reply = client().get(url).header("accept", STAR).send();
        let Some(reply) = reply.ok().filter(|reply| !reply.status().is_server_error()) else {
            broken += 1;
            continue;
        };
        assert_eq!(reply.status(), 200);
        let content_type = reply.headers()["content-type"].to_str().unwrap().to_owned();
        match reply.bytes() {
            Err(_) => broken += 1,
            Ok(body) => {
                // A study that the flipped bit does not touch.
                assert!(files.iter().any(|file| find(&body, file).is_some()), "{content_type}");
            }
        }
    }
    assert!(broken > 0);
    // Frame by frame, and as one value: right, or an error.
    let instances = get(&server, "/dicom-web/instances?limit=100", "*/*").bytes().unwrap();
    let instances: serde_json::Value = serde_json::from_slice(&instances).unwrap();
    for row in instances.as_array().unwrap() {
        let url = row["00081190"]["Value"][0].as_str().unwrap();
        for below in ["/frames/1", "/bulkdata/7FE00010", ""] {
            let request = client().get(format!("{url}{below}"));
            let accept =
                if below.is_empty() { "application/dicom" } else { "application/octet-stream" };
            let Ok(reply) = request.header("accept", accept).send() else { continue };
            let whole = reply.status() == 200;
            if let (true, Ok(body)) = (whole, reply.bytes()) {
                assert!(files.iter().any(|file| find(file, &body).is_some()), "{url}{below}");
            }
        }
    }
    assert!(server.metric("cairn_errors_total{kind=\"damage\"}") > 0);
}
