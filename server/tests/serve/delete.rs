//! Deleting and storage commitment against the real binary.

use crate::support::multipart::parts as parts_of;
use crate::support::server::{PARTS, Server, client, parts};
use crate::support::{Site, dicom};
use serde_json::{Value, json};

const CLASS: &str = "1.2.840.10008.5.1.4.1.1.7";

fn store(server: &Server, files: &[&[u8]]) {
    let url = server.studies();
    let sent = client().post(url).header("content-type", PARTS).body(parts(files)).send().unwrap();
    assert_eq!(sent.status(), 200);
}

fn delete(server: &Server, path: &str) -> u16 {
    let url = format!("{}{path}", server.studies());
    client().delete(url).send().unwrap().status().as_u16()
}

fn commitment(server: &Server, transaction: &str) -> String {
    server.url(&format!("/dicom-web/commitment-requests/{transaction}"))
}

fn ask(server: &Server, transaction: &str, references: &[(&str, &str)]) -> (u16, Value) {
    let items: Vec<Value> = references
        .iter()
        .map(|(class, sop)| {
            json!({ "00081150": { "vr": "UI", "Value": [class] },
                    "00081155": { "vr": "UI", "Value": [sop] } })
        })
        .collect();
    let body = json!({ "00081199": { "vr": "SQ", "Value": items } }).to_string();
    let sent = client()
        .post(commitment(server, transaction))
        .header("content-type", "application/dicom+json")
        .body(body)
        .send()
        .unwrap();
    read(sent)
}

fn check(server: &Server, transaction: &str) -> (u16, Value) {
    read(client().get(commitment(server, transaction)).send().unwrap())
}

fn read(reply: reqwest::blocking::Response) -> (u16, Value) {
    let status = reply.status().as_u16();
    (status, serde_json::from_slice(&reply.bytes().unwrap()).unwrap_or(Value::Null))
}

fn uids(reply: &Value, sequence: &str) -> Vec<String> {
    let items = reply[sequence]["Value"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["00081155"]["Value"][0].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_deleted_is_gone_and_can_come_again() {
    let site = Site::new();
    let files = [
        dicom("1.2.1", "1.2.1.1", "1.2.1.1.1", "A^B", &[1; 64]),
        dicom("1.2.1", "1.2.1.1", "1.2.1.1.2", "A^B", &[2; 64]),
        dicom("1.2.1", "1.2.1.2", "1.2.1.2.1", "A^B", &[3; 64]),
        dicom("1.2.2", "1.2.2.1", "1.2.2.1.1", "C^D", &[4; 64]),
    ];
    let all: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let mut server = Server::start(&site, &[]);
    store(&server, &all);
    for path in ["/1.2.1/series/1.2.1.1/instances/1.2.1.1.1", "/1.2.1/series/1.2.1.2", "/1.2.2"] {
        assert_eq!(delete(&server, path), 204, "{path}");
        assert_eq!(delete(&server, path), 410, "{path}");
    }
    for path in ["/1.2.3", "/1.2.1/series/1.2.3", "/1.2.1/series/1.2.1.1/instances/1.2.3"] {
        assert_eq!(delete(&server, path), 404, "{path}");
    }
    // A tombstone was durable before its answer.
    server.kill();
    assert_eq!(site.object(&["stats"])["instances"], 1);
    let mut server = Server::start(&site, &[]);
    assert_eq!(delete(&server, "/1.2.2"), 410);
    store(&server, &all);
    assert_eq!(delete(&server, "/1.2.1/series/1.2.1.2"), 204);
    assert_eq!(server.terminate(), 0);
    assert_eq!(site.object(&["stats"])["instances"], 3);
    site.good(&["verify", "--all"]);
    site.good(&["export", "--all", "out", "--all-versions"]);
    crate::support::assert_all_there(
        &[site.put("a", &files[0]), site.put("b", &files[1]), site.put("c", &files[3])],
        &site.path("out"),
    );
    assert_eq!(
        crate::support::files_under(&site.path("out")).len(),
        3,
        "nothing deleted is exported"
    );
}

#[test]
fn a_commitment_is_for_what_is_in_the_bucket() {
    let site = Site::new();
    let files = [
        dicom("1.3.1", "1.3.1.1", "1.3.1.1.1", "A^B", &[1; 64]),
        dicom("1.3.1", "1.3.1.1", "1.3.1.1.2", "A^B", &[2; 64]),
    ];
    let mut server = Server::start(&site, &[]);
    store(&server, &files.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert!(site.packs().is_empty(), "what was stored is in the journal");
    let wrong = "1.2.840.10008.5.1.4.1.1.2";
    let asked = [(CLASS, "1.3.1.1.1"), (wrong, "1.3.1.1.2"), (CLASS, "1.3.9")];
    let (status, reply) = ask(&server, "1.3.100", &asked);
    assert_eq!(status, 200, "{reply}");
    assert_eq!(uids(&reply, "00081199"), ["1.3.1.1.1"]);
    assert_eq!(uids(&reply, "00081198"), ["1.3.1.1.2", "1.3.9"]);
    let failed = &reply["00081198"]["Value"];
    assert_eq!(failed[0]["00081197"]["Value"][0], 0x0119);
    assert_eq!(failed[1]["00081197"]["Value"][0], 0x0112);
    assert_eq!(site.packs().len(), 1);
    let item = &reply["00081199"]["Value"][0];
    let url = item["00081190"]["Value"][0].as_str().unwrap();
    assert_eq!(url, format!("{}/1.3.1/series/1.3.1.1/instances/1.3.1.1.1", server.studies()));
    // The root is the one that the archive itself names.
    let root = item["00991001"]["Value"][0].as_str().unwrap().to_owned();
    assert_eq!(item["00990010"]["Value"][0], "CAIRN");
    // Asked again, the answer is the same, also of another process.
    assert_eq!(check(&server, "1.3.100"), (200, reply.clone()));
    assert_eq!(ask(&server, "1.3.100", &asked).0, 409);
    assert_eq!(check(&server, "1.3.101").0, 404);
    server.kill();
    let mut server = Server::start(&site, &[]);
    let (status, again) = check(&server, "1.3.100");
    assert_eq!((status, uids(&again, "00081199")), (200, vec!["1.3.1.1.1".to_owned()]));
    // What was deleted is committed no more.
    assert_eq!(delete(&server, "/1.3.1/series/1.3.1.1/instances/1.3.1.1.1"), 204);
    let (_, reply) = ask(&server, "1.3.102", &asked[..1]);
    assert_eq!(uids(&reply, "00081198"), ["1.3.1.1.1"]);
    assert_eq!(server.terminate(), 0);
    assert_ne!(site.object(&["show", "1.3.1"])["root"], root.as_str(), "another content now");
}

/// Instances of one class by study and series, as table J.1-1 has them.
fn by_study(study: &str, series: &str, sops: &[&str]) -> Value {
    let ui = |uid: &str| json!({ "vr": "UI", "Value": [uid] });
    let sq = |items: Vec<Value>| json!({ "vr": "SQ", "Value": items });
    let instances = sops.iter().map(|sop| json!({ "00081155": ui(sop) })).collect();
    let class = json!({ "00081150": ui(CLASS), "0008114A": sq(instances) });
    let series = json!({ "0020000E": ui(series), "00081112": sq(vec![class]) });
    json!({ "00081110": sq(vec![json!({ "0020000D": ui(study), "00081115": sq(vec![series]) })]) })
}

#[test]
fn commitments_by_study_in_parts_and_in_xml() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    store(&server, &[&dicom("1.5.1", "1.5.1.1", "1.5.1.1.1", "A^B", &[1; 64])]);
    let body = by_study("1.5.1", "1.5.1.1", &["1.5.1.1.1", "1.5.9"]).to_string();
    let body = format!("--b\r\nContent-Type: application/dicom+json\r\n\r\n{body}\r\n--b--");
    let kind = "multipart/related; type=\"application/dicom+json\"; boundary=b";
    let request = client().post(commitment(&server, "1.5.100")).header("content-type", kind);
    let (status, reply) = read(request.body(body).send().unwrap());
    assert_eq!(status, 200, "{reply}");
    assert!(reply.get("00081199").is_none() && reply.get("00081198").is_none(), "{reply}");
    let inner = |sequence: &str| {
        let study = &reply[sequence]["Value"][0];
        assert_eq!(study["0020000D"]["Value"][0], "1.5.1");
        let series = &study["00081115"]["Value"][0];
        assert_eq!(series["0020000E"]["Value"][0], "1.5.1.1");
        let class = &series["00081112"]["Value"][0];
        assert_eq!(class["00081150"]["Value"][0], CLASS);
        class["0008114A"]["Value"].clone()
    };
    assert_eq!(inner("00081110")[0]["00081155"]["Value"][0], "1.5.1.1.1");
    let failed = inner("0008119B");
    assert_eq!(failed[0]["00081155"]["Value"][0], "1.5.9");
    assert_eq!(failed[0]["00081197"]["Value"][0], 0x0112);
    // Under another study it is not there.
    let body = by_study("1.5.2", "1.5.1.1", &["1.5.1.1.1"]).to_string();
    let request = client().post(commitment(&server, "1.5.101")).body(body).send().unwrap();
    assert!(read(request).1.get("00081110").is_none());
    // The answer in the other forms; `accept` in the query comes first (PS3.18 §8.7.8.1).
    let get = |query: &str, accept: &str| {
        let url = format!("{}{query}", commitment(&server, "1.5.100"));
        client().get(url).header("accept", accept).send().unwrap()
    };
    let json = "multipart/related; type=\"application/dicom+json\"";
    let part = &parts_of(get("", json))[0];
    assert_eq!(serde_json::from_slice::<Value>(&part.bytes).unwrap(), reply);
    let xml = get("?accept=application/dicom%2Bxml", "application/dicom+json");
    assert_eq!(xml.headers()["content-type"], "application/dicom+xml");
    assert!(xml.text().unwrap().contains("tag=\"0008119B\" vr=\"SQ\""));
    assert_eq!(get("?accept=image/png", "application/dicom+json").status(), 200);
    assert_eq!(get("?accept=image/png", "text/html").status(), 406);
}

#[test]
fn bad_commitment_requests_are_refused() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let post = |body: &str, media_type: &str, accept: &str| {
        let request = client().post(commitment(&server, "1.4.1")).body(body.to_owned());
        let request = request.header("content-type", media_type).header("accept", accept);
        request.send().unwrap().status().as_u16()
    };
    let json = "application/dicom+json";
    for body in ["", "{}", "[1]", "{\"00081199\":{\"vr\":\"SQ\",\"Value\":[{}]}}", "\u{0}"] {
        assert_eq!(post(body, json, json), 400, "{body}");
    }
    assert_eq!(post("{}", "application/dicom", json), 415);
    assert_eq!(post("{}", json, "image/png"), 406);
    let by_study = |value: Value| json!({ "00081110": { "vr": "SQ", "Value": value } }).to_string();
    for value in [json!([]), json!([{}]), json!([{ "0020000D": { "Value": ["1.2"] } }])] {
        assert_eq!(post(&by_study(value.clone()), json, json), 400, "{value}");
    }
    assert_eq!(post("<x/>", "application/dicom+xml", json), 415);
    let deep = "[".repeat(100_000);
    assert_eq!(post(&deep, json, json), 400);
}
