//! Searches against the real binary: what `qido/tests.rs` cannot see, which is everything of HTTP.

use crate::support::Site;
use crate::support::multipart::parts as parts_of;
use crate::support::object::{EXPLICIT_LE, Object};
use crate::support::server::{PARTS, Server, client, parts};
use reqwest::blocking::Response;
use serde_json::{Value, json};

const STUDY: &str = "1.2.3";
const JSON: &str = "application/dicom+json";
const XML: &str = "multipart/related; type=\"application/dicom+xml\"";

/// A study of three instances in one series; what they are called has to be escaped in XML.
fn start() -> (Site, Server) {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let files: Vec<Vec<u8>> = (1..=3)
        .map(|number| {
            Object::new(EXPLICIT_LE, &format!("1.2.3.4.{number}"))
                .text(0x0008_103E, *b"LO", "Before & after <contrast>")
                .text(0x0020_0013, *b"IS", &number.to_string())
                .text(0x0018_0050, *b"DS", "2.5")
                .file()
        })
        .collect();
    // One after the other: results stand in the order of arrival.
    for file in &files {
        let body = parts(&[file]);
        let sent = client().post(server.studies()).header("content-type", PARTS).body(body).send();
        assert_eq!(sent.unwrap().status(), 200);
    }
    (site, server)
}

fn get(server: &Server, path: &str, accept: &str) -> Response {
    let url = server.url(&format!("/dicom-web{path}"));
    client().get(url).header("accept", accept).send().unwrap()
}

fn found(server: &Server, path: &str) -> Vec<Value> {
    let reply = get(server, path, JSON);
    assert_eq!(reply.status(), 200, "{path}");
    assert_eq!(reply.headers()["content-type"], JSON);
    serde_json::from_slice(&reply.bytes().unwrap()).unwrap()
}

/// The first value of an attribute in each result.
fn values(results: &[Value], tag: &str) -> Vec<Value> {
    results.iter().map(|result| result[tag]["Value"][0].clone()).collect()
}

fn warnings(reply: &Response) -> Vec<String> {
    let all = reply.headers().get_all("warning").iter();
    all.map(|warning| warning.to_str().unwrap().to_owned()).collect()
}

#[test]
fn all_six_resources_answer_in_json() {
    let (_site, server) = start();
    for (path, count) in [
        ("/studies", 1),
        ("/series", 1),
        ("/instances", 3),
        ("/studies/1.2.3/series", 1),
        ("/studies/1.2.3/instances", 3),
        ("/studies/1.2.3/series/1.2.3.4/instances", 3),
    ] {
        let results = found(&server, path);
        assert_eq!(values(&results, "0020000D"), vec![json!(STUDY); count], "{path}");
        let url = results[0]["00081190"]["Value"][0].as_str().unwrap();
        assert!(url.starts_with(&server.url("/dicom-web/studies/1.2.3")), "{url}");
    }
    // Behaviour 18: an empty array, not 204.
    let nobody = get(&server, "/studies?PatientID=nobody", JSON);
    assert_eq!((nobody.status().as_u16(), nobody.bytes().unwrap().as_ref()), (200, &b"[]"[..]));
    for (accept, sent) in [("", JSON), ("*/*", JSON), ("application/json", "application/json")] {
        let reply = get(&server, "/studies", accept);
        assert_eq!(reply.headers()["content-type"], sent, "{accept}");
    }
    assert_eq!(get(&server, "/studies", "image/png").status(), 406);
}

#[test]
fn keys_and_fields_pass_through_the_query_string() {
    let (_site, server) = start();
    for key in ["PatientName=Doe%5EJane", "PatientName=doe*", "00100010=Doe%5e*", "PatientName=*+*"]
    {
        let count = usize::from(!key.ends_with("*+*"));
        assert_eq!(found(&server, &format!("/studies?{key}")).len(), count, "{key}");
    }
    let uids = "SOPInstanceUID=1.2.3.4.1%5C1.2.3.4.3";
    let results = found(&server, &format!("/instances?{uids}"));
    assert_eq!(values(&results, "00080018"), [json!("1.2.3.4.1"), json!("1.2.3.4.3")]);
    let plain = found(&server, "/instances?limit=1");
    assert!(plain[0].get("00180050").is_none());
    for fields in [
        "includefield=SliceThickness&includefield=00080070",
        "includefield=00180050,Manufacturer",
        "includefield=00180050%2C00080070",
    ] {
        let one = found(&server, &format!("/instances?limit=1&{fields}"));
        assert_eq!(one[0]["00180050"], json!({ "vr": "DS", "Value": [2.5] }), "{fields}");
        assert_eq!(one[0]["00080070"], json!({ "vr": "LO" }), "{fields}");
    }
    let all = found(&server, "/studies/1.2.3/series?includefield=all");
    assert_eq!(values(&all, "0008103E"), [json!("Before & after <contrast>")]);
    let unknown = get(&server, "/studies?includefield=NotYetDefined", JSON);
    assert_eq!(unknown.status(), 200);
    assert!(warnings(&unknown)[0].starts_with(&format!("299 {}: ", server.url("/dicom-web"))));
}

#[test]
fn xml_has_one_part_for_each_result_and_says_what_json_says() {
    let (_site, server) = start();
    let results = found(&server, "/instances?includefield=SeriesDescription");
    let reply = get(&server, "/instances?includefield=SeriesDescription", XML);
    assert_eq!(reply.status(), 200);
    let documents = parts_of(reply);
    assert_eq!(documents.len(), 3);
    for (document, result) in documents.iter().zip(&results) {
        assert_eq!(document.content_type, "application/dicom+xml");
        let text = std::str::from_utf8(&document.bytes).unwrap();
        assert_is_well_formed(text);
        let tags: Vec<&str> = text
            .match_indices("<DicomAttribute tag=\"")
            .map(|(at, head)| {
                let from = at + head.len();
                &text[from..from + 8]
            })
            .collect();
        let expected: Vec<&String> = result.as_object().unwrap().keys().collect();
        assert_eq!(tags, expected);
        let sop = result["00080018"]["Value"][0].as_str().unwrap();
        for part in [
            format!(
                "<DicomAttribute tag=\"00080018\" vr=\"UI\" keyword=\"SOPInstanceUID\">\
                 <Value number=\"1\">{sop}</Value></DicomAttribute>"
            ),
            "<Value number=\"1\">Before &amp; after &lt;contrast&gt;</Value>".to_owned(),
            "<FamilyName>Doe</FamilyName><GivenName>Jane</GivenName>".to_owned(),
        ] {
            assert!(text.contains(&part), "{part}\n{text}");
        }
    }
    // Without a result there is no part to be sent (PS3.18 table 10.6.3-1).
    let nothing = get(&server, "/instances?SOPInstanceUID=9.9", XML);
    assert_eq!((nothing.status().as_u16(), nothing.bytes().unwrap().len()), (204, 0));
}

/// Every tag is closed by its own, and nothing stands around the root.
fn assert_is_well_formed(text: &str) {
    let text = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").unwrap().trim();
    let mut open = Vec::new();
    for (at, tag) in text.split('<').skip(1).enumerate() {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        assert!(at == 0 || !open.is_empty(), "something behind the root");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn behaviour_23_pages_over_http_with_warning_299() {
    let (_site, server) = start();
    let more = "There are additional results that can be requested";
    let mut seen = Vec::new();
    for (offset, left) in [(0, true), (1, true), (2, false), (3, false)] {
        let path = format!("/studies/1.2.3/instances?limit=1&offset={offset}");
        for accept in [JSON, XML] {
            let reply = get(&server, &path, accept);
            let expected = left.then(|| format!("299 {}: {more}", server.url("/dicom-web")));
            assert_eq!(
                warnings(&reply),
                expected.into_iter().collect::<Vec<_>>(),
                "{path} {accept}"
            );
        }
        seen.extend(values(&found(&server, &path), "00080018"));
    }
    assert_eq!(seen, [json!("1.2.3.4.1"), json!("1.2.3.4.2"), json!("1.2.3.4.3")]);
}

#[test]
fn bad_parameters_are_400_and_say_which() {
    let (_site, server) = start();
    for (query, word) in [
        ("limit=many", "limit"),
        ("limit=-1", "limit"),
        ("offset=1e3", "offset"),
        ("PatientNme=x", "PatientNme"),
        ("StudyDate=yesterday", "StudyDate"),
        ("fuzzymatching=perhaps", "fuzzymatching"),
    ] {
        for accept in [JSON, XML] {
            let reply = get(&server, &format!("/studies?{query}"), accept);
            assert_eq!(reply.status(), 400, "{query}");
            assert_eq!(reply.headers()["content-type"], "application/problem+json");
            let problem: Value = serde_json::from_slice(&reply.bytes().unwrap()).unwrap();
            assert!(problem["detail"].as_str().unwrap().contains(word), "{query}: {problem}");
        }
    }
    // A name that was looked for is not told again, neither to the client nor to the log.
    let log = server.log();
    assert!(!log.contains("PatientNme") && !log.contains("yesterday"), "{log}");
}

#[test]
fn head_is_get_without_a_body() {
    let (_site, server) = start();
    for path in ["/studies", "/instances?limit=1", "/studies?PatientID=nobody"] {
        let url = server.url(&format!("/dicom-web{path}"));
        let whole = client().get(&url).send().unwrap();
        let head = client().head(&url).send().unwrap();
        assert_eq!(head.status(), whole.status());
        for name in ["content-type", "content-length", "warning"] {
            assert_eq!(head.headers().get(name), whole.headers().get(name), "{path} {name}");
        }
        assert!(head.bytes().unwrap().is_empty());
    }
    assert_eq!(
        client().head(server.url("/dicom-web/studies?limit=x")).send().unwrap().status(),
        400
    );
}
