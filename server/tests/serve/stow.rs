//! STOW-RS against the real binary: behaviours 25 to 27, and what goes wrong on the way.

use std::io::{Read, Write};
use std::time::Duration;

use crate::support::multipart::parts as parts_of;
use crate::support::server::{PARTS, Raw, Server, client, parts};
use crate::support::{Site, dicom};
use serde_json::Value;

fn post(url: &str, content_type: &str, body: Vec<u8>) -> (u16, Value) {
    let sent = client().post(url).header("content-type", content_type).body(body).send().unwrap();
    let status = sent.status().as_u16();
    (status, serde_json::from_slice(&sent.bytes().unwrap()).unwrap())
}

fn reasons(reply: &Value, sequence: &str, reason: &str) -> Vec<u64> {
    let items = reply[sequence]["Value"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item[reason]["Value"][0].as_u64().unwrap_or(0)).collect()
}

fn instances(site: &Site) -> u64 {
    site.object(&["stats"])["instances"].as_u64().unwrap()
}

#[test]
fn behaviour_25_all_stored_is_200_and_comes_back() {
    let site = Site::new();
    let files = site.put_studies();
    let bytes: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut server = Server::start(&site, &[]);
    let body = parts(&bytes.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let (status, reply) = post(&server.studies(), PARTS, body.clone());
    assert_eq!(status, 200, "{reply}");
    let stored = reply["00081199"]["Value"].as_array().unwrap();
    assert_eq!(stored.len(), files.len());
    for item in stored {
        let url = item["00081190"]["Value"][0].as_str().unwrap();
        let uid = item["00081155"]["Value"][0].as_str().unwrap();
        assert!(url.starts_with(&server.studies()) && url.ends_with(uid), "{url}");
        assert!(item.get("00081196").is_none() && item["00081150"]["Value"][0].is_string());
    }
    assert!(reply.get("00081198").is_none() && reply.get("0008119A").is_none(), "{reply}");
    // The same again is a success, and stores nothing.
    assert_eq!(post(&server.studies(), PARTS, body).0, 200);
    assert_eq!(server.metric("cairn_ingest_instances_total{outcome=\"duplicate\"}"), 6);
    assert_eq!(server.metric("cairn_store_instances"), 6);
    assert_eq!(server.terminate(), 0);
    site.good(&["export", "--all", "out"]);
    crate::support::assert_all_there(&files, &site.path("out"));
    assert!(site.good(&["verify", "--all"]).code == 0);
}

#[test]
fn behaviour_25_mixed_is_202_none_is_409() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let good = dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &[1; 64]);
    let (status, reply) = post(&server.studies(), PARTS, parts(&[&good, b"not DICOM", b""]));
    assert_eq!(status, 202);
    assert_eq!(reasons(&reply, "0008119A", "00081197"), [0xC000, 0xC000]);
    assert_eq!(reasons(&reply, "00081199", "00081196"), [0]);
    let (status, reply) = post(&server.studies(), PARTS, parts(&[b"<html>", b"x"]));
    assert_eq!((status, reasons(&reply, "0008119A", "00081197").len()), (409, 2));
    // Retrieve URL is of type 2 (PS3.18 table I.1-1): there, and empty.
    assert!(reply.get("00081199").is_none());
    assert_eq!(reply["00081190"], serde_json::json!({"vr": "UR"}));
    // Without a UID of its own an instance cannot be asked for.
    let nameless = dicom("", "1.2.2", "1.2.9", "A^B", &[1; 64]);
    let (status, reply) = post(&server.studies(), PARTS, parts(&[&nameless]));
    assert_eq!((status, reasons(&reply, "00081198", "00081197")), (409, vec![0x0121]));
    let failed = &reply["00081198"]["Value"][0];
    assert_eq!(failed["00081155"]["Value"][0], "1.2.9");
    assert_eq!(post(&server.studies(), PARTS, b"--b--".to_vec()).0, 400);
    assert_eq!(post(&server.studies(), PARTS, b"nothing of the kind".to_vec()).0, 400);
}

#[test]
fn behaviour_25_other_versions_are_warnings() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let file = |name: &str, pixel: u8| dicom("1.2.1", "1.2.2", "1.2.3", name, &[pixel; 64]);
    assert_eq!(post(&server.studies(), PARTS, parts(&[&file("A^B", 1)])).0, 200);
    let (status, reply) = post(&server.studies(), PARTS, parts(&[&file("A^C", 1)]));
    assert_eq!((status, reasons(&reply, "00081199", "00081196")), (202, vec![0xB000]));
    let (status, reply) = post(&server.studies(), PARTS, parts(&[&file("A^B", 2)]));
    assert_eq!((status, reasons(&reply, "00081199", "00081196")), (202, vec![0xB006]));
    drop(server);
    let server = Server::start(&site, &[("DUPLICATES__CONFLICT", "reject")]);
    let (status, reply) = post(&server.studies(), PARTS, parts(&[&file("A^B", 3)]));
    assert_eq!((status, reasons(&reply, "00081198", "00081197")), (409, vec![0x0111]));
}

#[test]
fn behaviour_25_xml_on_request_and_refusals_before_the_body() {
    let site = Site::new();
    let server = Server::start(&site, &[("SERVE__MAX_REQUEST_BYTES", "100000")]);
    let good = dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &[1; 64]);
    let ask = |accept: &str| {
        let request = client().post(server.studies()).header("content-type", PARTS);
        request.header("accept", accept).body(parts(&[&good])).send().unwrap()
    };
    let xml = ask("application/dicom+xml");
    assert_eq!(xml.headers()["content-type"], "application/dicom+xml");
    assert!(xml.text().unwrap().contains("keyword=\"ReferencedSOPSequence\""));
    // PS3.18 table 10.5.4-1: in a part as well.
    for (kind, text) in [("json", "\"00081199\""), ("xml", "keyword=\"ReferencedSOPSequence\"")] {
        let reply = ask(&format!("multipart/related; type=\"application/dicom+{kind}\""));
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.headers()["location"], format!("{}/1.2.1", server.studies()));
        let found = parts_of(reply);
        assert_eq!(found[0].content_type, format!("application/dicom+{kind}"));
        assert_eq!(found[0].length, Some(found[0].bytes.len() as u64));
        assert!(found.len() == 1 && String::from_utf8_lossy(&found[0].bytes).contains(text));
    }
    assert_eq!(ask("multipart/related; type=\"application/dicom\"").status(), 406);
    assert_eq!(ask("text/html").status(), 406);
    assert_eq!(ask("*/*").headers()["content-type"], "application/dicom+json");
    for content_type in ["text/plain", "multipart/form-data; boundary=b"] {
        assert_eq!(post(&server.studies(), content_type, parts(&[&good])).0, 415);
    }
    assert_eq!(post(&server.studies(), PARTS, vec![b'x'; 200_000]).0, 413);
    // Asked first, the client is not told to send.
    let asked = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\
         Content-Type: {PARTS}\r\nContent-Length: 200000\r\n\r\n"
    );
    let refused = server.raw(asked.as_bytes());
    assert_eq!(refused.status, 413, "{}", refused.text);
    let mut stream = server.connect();
    let body = parts(&[&good]);
    stream.write_all(asked.replace("200000", &body.len().to_string()).as_bytes()).unwrap();
    let mut line = [0; 25];
    stream.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&body).unwrap();
    assert_eq!(Raw::read(&mut stream).status, 200);
    // A body whose length is not told is cut when it passes the bound.
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: {PARTS}\r\n\r\n"
    );
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let part = "7\r\n--b\r\n\r\n\r\n";
    let long = server.raw(format!("{head}{part}{chunk}{chunk}0\r\n\r\n").as_bytes());
    assert_eq!(long.status, 413, "{}", long.text);
}

#[test]
fn behaviour_26_bodies_as_clients_send_them() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    // Pixels that hold what parts bodies.
    let pixels = b"\r\n\r\n--b\r\n--bb\r\nContent-Type: x\r\n\r\n--b-".repeat(3);
    let file =
        |number: u32| dicom("1.2.1", "1.2.2", &format!("1.2.3.{number}"), "A^B", &pixels[6..]);
    let part = |head: &str, file: &[u8]| [head.as_bytes(), b"\r\n\r\n", file].concat();
    let typed = "Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1";
    let bodies = [
        [b"\r\n--frontier\r\n", &part(typed, &file(1))[..], b"\r\n--frontier--"].concat(),
        [b"--frontier\r\n", &part("X: y", &file(2))[..], b"\r\n--frontier--\r\n"].concat(),
        [b"--frontier\r\n\r\n", &file(3)[..], b"\r\n--frontier--epilogue"].concat(),
    ];
    for (at, body) in bodies.into_iter().enumerate() {
        let content_type = "multipart/related; boundary=\"frontier\"; type=application/dicom";
        let (status, reply) = post(&server.studies(), content_type, body);
        assert_eq!(status, 200, "{at}: {reply}");
    }
    let (status, reply) = post(&server.studies(), "application/dicom", file(4));
    assert_eq!(status, 200, "{reply}");
    // HTTP/2 without TLS, and chunks of one byte.
    let h2 =
        reqwest::blocking::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let body = parts(&[&dicom("1.2.1", "1.2.2", "1.2.3.5", "A^B", &vec![5; 30_000])]);
    let sent = h2.post(server.studies()).header("content-type", PARTS).body(body).send().unwrap();
    assert_eq!((sent.version(), sent.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    let mut request = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\nContent-Type: {PARTS}\r\n\r\n"
    )
    .into_bytes();
    for byte in parts(&[&dicom("1.2.1", "1.2.2", "1.2.3.6", "A^B", &[6; 3000])]) {
        request.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let chunked = server.raw(&request);
    assert_eq!(chunked.status, 200, "{}", chunked.text);
    drop(server);
    assert_eq!(instances(&site), 6);
    site.good(&["verify", "--all"]);
}

#[test]
fn metadata_and_bulk_data_make_an_instance() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let instance = |sop: &str, uri: &str| {
        serde_json::json!({
            "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
            "00080018": {"vr": "UI", "Value": [sop]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "M\u{fc}ller^B"}]},
            "0020000D": {"vr": "UI", "Value": ["1.2.1"]},
            "0020000E": {"vr": "UI", "Value": ["1.2.2"]},
            "00280010": {"vr": "US", "Value": [8]},
            "00280011": {"vr": "US", "Value": [8]},
            "00280100": {"vr": "US", "Value": [8]},
            "7FE00010": {"vr": "OB", "BulkDataURI": uri},
        })
    };
    let metadata = serde_json::json!([instance("1.2.3", "bulk/1"), instance("1.2.4", "bulk/2")]);
    let mut body = b"--b\r\nContent-Type: application/dicom+json\r\n\r\n".to_vec();
    body.extend_from_slice(metadata.to_string().as_bytes());
    body.extend_from_slice(b"\r\n--b\r\nContent-Type: application/octet-stream\r\n");
    body.extend_from_slice(b"Content-Location: bulk/1\r\n\r\n");
    body.extend_from_slice(&[7; 64]);
    body.extend_from_slice(b"\r\n--b--");
    let kind = "multipart/related; type=\"application/dicom+json\"; boundary=b";
    let (status, reply) = post(&server.studies(), kind, body);
    assert_eq!((status, reasons(&reply, "00081198", "00081197")), (202, vec![0xC000]), "{reply}");
    assert_eq!(reply["00081198"]["Value"][0]["00081155"]["Value"][0], "1.2.4");
    assert_eq!(reply["00081199"]["Value"][0]["00081155"]["Value"][0], "1.2.3");
    let (status, _) = post(&server.studies(), kind, b"--b\r\n\r\nno JSON\r\n--b--".to_vec());
    assert_eq!(status, 400);
    drop(server);
    site.good(&["export", "--all", "out"]);
    let made = crate::support::files_under(&site.path("out"));
    let bytes = std::fs::read(&made[0]).unwrap();
    assert!(made.len() == 1 && bytes.windows(64).any(|window| window == [7; 64]));
}

/// 8 x 8 pixels of JPEG baseline, as far as its head.
const JPEG: &[u8] = b"\xFF\xD8\xFF\xC0\0\x0B\x08\0\x08\0\x08\x01\x01\x11\0\xFF\xDA\0\x08\x01\x01\0\0\x3F\0\x01\xFF\xD9";

/// A request of one instance as metadata, and its pixels in a part of this type.
fn with_pixels(sop: &str, media_type: &str, pixels: &[u8]) -> Vec<u8> {
    let metadata = serde_json::json!([{
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
        "00080018": {"vr": "UI", "Value": [sop]},
        "0020000D": {"vr": "UI", "Value": ["1.2.1"]},
        "0020000E": {"vr": "UI", "Value": ["1.2.2"]},
        "7FE00010": {"vr": "OB", "BulkDataURI": "pixels"},
    }]);
    let mut body = b"--b\r\nContent-Type: application/dicom+json\r\n\r\n".to_vec();
    body.extend_from_slice(metadata.to_string().as_bytes());
    let head = format!("\r\n--b\r\nContent-Type: {media_type}\r\nContent-Location: pixels\r\n\r\n");
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(pixels);
    body.extend_from_slice(b"\r\n--b--");
    body
}

#[test]
fn compressed_parts_are_never_native_pixels() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let kind = "multipart/related; type=\"application/dicom+json\"; boundary=b";
    // PS3.18 table 10.5.2-1: in the transfer syntax that the stream tells, or the default of its type.
    let jpeg = "1.2.840.10008.1.2.4.50";
    for (sop, media_type, pixels, syntax) in [
        ("1.3.1", "image/jpeg".to_owned(), JPEG, jpeg),
        ("1.3.2", format!("image/jpeg; transfer-syntax={jpeg}"), JPEG, jpeg),
        ("1.3.3", "video/mp4".to_owned(), &b"\0\0\0\x18ftyp"[..], "1.2.840.10008.1.2.4.102"),
    ] {
        let (status, reply) = post(&server.studies(), kind, with_pixels(sop, &media_type, pixels));
        assert_eq!(status, 200, "{media_type}: {reply}");
        let url = format!("{}/1.2.1/series/1.2.2/instances/{sop}", server.studies());
        let accept = "application/dicom; transfer-syntax=*";
        let file = client().get(url).header("accept", accept).send().unwrap();
        let expected = format!("application/dicom; transfer-syntax={syntax}");
        assert_eq!(file.headers()["content-type"], expected);
        let file = file.bytes().unwrap();
        assert!(file.windows(pixels.len()).any(|window| window == pixels), "{media_type}");
    }
    // What cannot be placed fails that instance, and says why.
    for (media_type, pixels) in [
        ("image/png", &b"\x89PNG"[..]),
        ("image/gif", &b"GIF89a"[..]),
        ("image/jpeg", &b"GIF89a"[..]),
        ("image/jpeg; transfer-syntax=1.2.840.10008.1.2.1", JPEG),
        ("application/octet-stream; transfer-syntax=1.2.3", &b"1234"[..]),
    ] {
        let (status, reply) =
            post(&server.studies(), kind, with_pixels("1.3.9", media_type, pixels));
        let found = (status, reasons(&reply, "00081198", "00081197"));
        assert_eq!(found, (409, vec![0xC122]), "{media_type}");
    }
}

#[test]
fn behaviour_27_another_study_is_refused() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let right = dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &[1; 64]);
    let wrong = dicom("1.9.1", "1.9.2", "1.9.3", "A^B", &[1; 64]);
    let url = format!("{}/1.2.1", server.studies());
    let (status, reply) = post(&url, PARTS, parts(&[&wrong]));
    assert_eq!((status, reasons(&reply, "00081198", "00081197")), (409, vec![0xA900]));
    let (status, reply) = post(&url, PARTS, parts(&[&wrong, &right]));
    assert_eq!((status, reasons(&reply, "00081198", "00081197")), (202, vec![0xA900]));
    assert_eq!(reply["00081198"]["Value"][0]["00081155"]["Value"][0], "1.9.3");
    assert_eq!(reply["00081190"]["Value"][0], url);
    drop(server);
    assert_eq!(instances(&site), 1);
}

#[test]
fn what_was_answered_survives_a_kill() {
    let site = Site::new();
    let mut server = Server::start(&site, &[]);
    let files: Vec<_> = (0..20)
        .map(|n| dicom("1.2.1", "1.2.2", &format!("1.2.3.{n}"), "A^B", &[n; 5000]))
        .collect();
    let body = parts(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert_eq!(post(&server.studies(), PARTS, body).0, 200);
    server.kill();
    assert_eq!(instances(&site), 20);
    site.good(&["verify", "--all"]);
    drop(server);
    let server = Server::start(&site, &[]);
    assert_eq!(server.metric("cairn_store_instances"), 20);
}

#[test]
fn a_broken_connection_leaves_nothing_half_stored() {
    let site = Site::new();
    let mut server = Server::start(&site, &[]);
    let body = parts(&[&dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &vec![1; 60_000])]);
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: h\r\nContent-Type: {PARTS}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    for cut in [100, 30_000, body.len() - 8] {
        let mut stream = server.connect();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body[..cut]).unwrap();
        drop(stream);
    }
    // A length that says more than comes, and one that says less.
    let mut stream = server.connect();
    stream
        .write_all(head.replace("Content-Length: 6", "Content-Length: 99999996").as_bytes())
        .unwrap();
    stream.write_all(&body[..body.len() - 9]).unwrap();
    drop(stream);
    let short = head.replace(&body.len().to_string(), "1000");
    let cut = server.raw(&[short.as_bytes(), &body].concat());
    assert_eq!(cut.status, 400, "{}", cut.text);
    let absurd = head.replace(&body.len().to_string(), "9223372036854775808");
    let absurd = server.raw(&[absurd.as_bytes(), b"--b\r\n"].concat());
    assert!(matches!(absurd.status, 0 | 400), "{}", absurd.text);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.metric("cairn_store_instances"), 0);
    assert_eq!(server.terminate(), 0);
    assert_eq!(instances(&site), 0);
}

#[test]
fn a_request_under_way_is_finished_when_the_server_ends() {
    let site = Site::new();
    let mut server = Server::start(&site, &[]);
    let body = parts(&[&dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &vec![1; 60_000])]);
    let mut stream = server.connect();
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: h\r\nContent-Type: {PARTS}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body[..1000]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    server.signal("-TERM");
    std::thread::sleep(Duration::from_millis(500));
    assert!(std::net::TcpStream::connect(server.address).is_err());
    stream.write_all(&body[1000..]).unwrap();
    let reply = Raw::read(&mut stream);
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(server.wait(), 0, "{}", server.log());
    assert_eq!(instances(&site), 1);
    // Its study has a name: ingest was finished.
    assert!(server.log().contains("studies=1"), "{}", server.log());
}

#[test]
fn clients_that_stand_still_do_not_stop_others() {
    let site = Site::new();
    let server = Server::start(&site, &[("SERVE__IDLE_SECONDS", "60")]);
    let large = parts(&[&cairn_dicom::phantom::ct(3, 1, 2048).next().unwrap().bytes]);
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: h\r\nContent-Type: {PARTS}\r\n\
         Content-Length: 99999999\r\n\r\n"
    );
    // Each holds some of the memory that all share, and together they hold all of it.
    let _hang: Vec<_> = (0..30)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&large[..4_000_000]).unwrap();
            stream
        })
        .collect();
    let begun = std::time::Instant::now();
    let (status, _) = post(&server.studies(), PARTS, large.clone());
    assert_eq!(status, 200, "{}", server.log());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn many_parts_cost_little() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let before = server.metric("process_resident_memory_bytes");
    let body = b"--b\r\n\r\nx\r\n".repeat(100_000);
    let (status, reply) = post(&server.studies(), PARTS, [&body[..], b"--b--"].concat());
    assert_eq!((status, reply["0008119A"]["Value"].as_array().unwrap().len()), (409, 100_000));
    let grown = server.metric("process_resident_memory_bytes").saturating_sub(before);
    assert!(grown < 50_000_000, "{grown}");
    let log = server.log();
    assert!(
        log.contains("route=\"store\"") && !log.contains("1.2.3") && !log.contains("dicom-web")
    );
}

#[test]
fn behaviour_17_no_place_is_503_with_the_time_to_wait() {
    let site = Site::new();
    let settings = [("SERVE__STORES_MAX", "1"), ("SERVE__IDLE_SECONDS", "60")];
    let server = Server::start(&site, &settings);
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: h\r\nContent-Type: {PARTS}\r\n\
         Content-Length: 1000\r\n\r\n--b\r\n"
    );
    let mut first = server.connect();
    first.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let good = parts(&[&dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &[1; 64])]);
    let request = client().post(server.studies()).header("content-type", PARTS).body(good.clone());
    let refused = request.send().unwrap();
    assert_eq!(refused.status(), 503, "{}", server.log());
    assert_eq!(refused.headers()["retry-after"], "5");
    drop(first);
    let (status, _) = post(&server.studies(), PARTS, good);
    assert_eq!(status, 200);
}
