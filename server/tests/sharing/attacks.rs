//! What nobody may: reading without a right, and passing off other bytes than were registered. Attacks on
//! ledgers alone (forged entries, forks, roll-backs, withheld revocations) are tests of `cairn-ledger`
//! and of `sites`.

#[path = "../../src/peer/route_examples.rs"]
mod route_examples;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::Site;
use crate::support::peer::{Reply, ask, liar, recorder, secret};
use crate::support::sites::{Hospital, introduce};
use cairn_chunker::id::ChunkId;
use cairn_ledger::keys::SiteSecret;
use route_examples::PEER_EXAMPLES;
use serde_json::Value;

const A: &str = "a.example/cairn";
const B: &str = "b.example/cairn";
const C: &str = "c.example/cairn";

/// An owner with a study that is shared with B; C is known and has no grant.
struct Sharing {
    a: Hospital,
    b: Hospital,
    c: Hospital,
    study_uid: String,
    shared: Value,
}

impl Sharing {
    fn new() -> Self {
        let site = Site::new();
        site.put_studies();
        site.good(&["import", "in"]);
        let study_uid = site.list(&["ls"])[0]["study_uid"].as_str().unwrap().to_owned();
        let a = Hospital::start_on(site, A);
        let (b, c) = (Hospital::start(B), Hospital::start(C));
        introduce(&a, &b);
        introduce(&a, &c);
        let shared = a.site.object(&["share", &study_uid, "--to", B]);
        Self { a, b, c, study_uid, shared }
    }

    fn at(&self) -> SocketAddr {
        self.a.url().strip_prefix("https://").unwrap().parse().unwrap()
    }

    fn path(&self, what: &str, purpose: &str) -> String {
        let (study, version) = (self.shared["study"].as_str().unwrap(), &self.shared["version"]);
        format!("/peer/v1/studies/{study}/{version}/{what}?purpose={purpose}&codecs=3")
    }

    fn record_as(&self, secret: &SiteSecret, purpose: &str) -> Reply {
        ask(self.at(), secret, "GET", &self.path("record", purpose), b"").unwrap()
    }

    /// Makes B believe that A is where the liar listens.
    fn believe(&self, liar: SocketAddr) {
        let print = self.a.fingerprint();
        self.b.site.good(&["peers", "add", &format!("https://{liar}"), "--fingerprint", &print]);
    }

    fn fetch(&self) -> crate::support::Ran {
        self.b.site.run(&["--json", "fetch", &self.study_uid, "--from", A])
    }
}

#[test]
fn nobody_reads_without_a_right_of_their_own() {
    let sharing = Sharing::new();
    let (b, c) = (secret(&sharing.b.site), secret(&sharing.c.site));
    assert_eq!(sharing.record_as(&b, "TREAT").status, 200);

    let refused = |reply: Reply, why: &str| {
        assert_eq!(reply.status, 403, "{}", reply.text());
        assert!(reply.text().contains(why), "{}", reply.text());
        assert!(!reply.text().contains(&sharing.study_uid), "nothing is told");
    };
    refused(sharing.record_as(&c, "TREAT"), "there is no grant to this site");
    refused(sharing.record_as(&b, "HRESCH"), "the grant is for another purpose");
    let stranger = SiteSecret::generate().unwrap();
    refused(sharing.record_as(&stranger, "TREAT"), "the key belongs to no known site");
    let own_key_of_the_owner = secret(&sharing.a.site);
    refused(sharing.record_as(&own_key_of_the_owner, "TREAT"), "the key belongs to no known site");

    // For bytes as for the record: chunks, another version, another study.
    let chunks = sharing.path("chunks", "TREAT");
    let wants = [0x83, 0, 0, 1]; // the manifests of instances 0 to 1
    assert_eq!(ask(sharing.at(), &b, "POST", &chunks, &wants).unwrap().status, 200);
    refused(ask(sharing.at(), &c, "POST", &chunks, &wants).unwrap(), "no grant");
    let other = chunks.replace("/1/chunks", "/2/chunks");
    refused(ask(sharing.at(), &b, "POST", &other, &wants).unwrap(), "another version");
    let random = "07".repeat(32);
    let other = format!("/peer/v1/studies/{random}/1/record?purpose=TREAT");
    refused(ask(sharing.at(), &b, "GET", &other, b"").unwrap(), "no grant");

    // Strangers are told who is there, so that they can be introduced, and nothing else.
    assert_eq!(ask(sharing.at(), &stranger, "GET", "/peer/v1/hello", b"").unwrap().status, 200);
    for path in ["/peer/v1/log/checkpoint", "/peer/v1/log/tile/entries/000.p/1"] {
        assert_eq!(ask(sharing.at(), &stranger, "GET", path, b"").unwrap().status, 403, "{path}");
    }
    // The other faces of the server are not there.
    for path in ["/dicom-web/studies", "/metrics", "/", "/wado"] {
        assert_eq!(ask(sharing.at(), &b, "GET", path, b"").unwrap().status, 404, "{path}");
    }
}

/// Every route there is for sites, with a key that no ledger has: but for the greeting, nothing, and a line
/// for each.
#[test]
fn who_is_no_site_gets_nothing_at_any_route() {
    let a = Hospital::start(A);
    let address = a.url().strip_prefix("https://").unwrap().parse().unwrap();
    let stranger = SiteSecret::from_seed([0x5a; 32]);
    for (method, path, label) in PEER_EXAMPLES {
        let status = ask(address, &stranger, method, path, b"").unwrap().status;
        assert_eq!(status, if *label == "peer_hello" { 200 } else { 403 }, "{method} {path}");
    }
    let lines = a.site.list(&["audit", "show"]);
    for (_, path, label) in PEER_EXAMPLES.iter().filter(|(_, _, label)| *label != "peer_hello") {
        let refused = lines.iter().find(|line| line["op"] == *label && line["status"] == "403");
        assert!(
            refused.is_some_and(|line| line["who"].as_str().unwrap().starts_with("key ")),
            "{path}"
        );
    }
}

#[test]
fn a_chunk_is_given_to_nobody_for_its_name_alone() {
    let sharing = Sharing::new();
    let b = secret(&sharing.b.site);
    let file = std::fs::read(&crate::support::files_under(&sharing.a.site.path("in"))[0]).unwrap();
    let id = ChunkId::of(&file).to_string();
    for path in
        [format!("/peer/v1/chunks/{id}"), format!("/peer/v1/studies/{id}"), format!("/{id}")]
    {
        for method in ["GET", "POST"] {
            assert_eq!(ask(sharing.at(), &b, method, &path, b"").unwrap().status, 404, "{path}");
        }
    }
    // A place that the study does not have, and lists that are none.
    let chunks = sharing.path("chunks", "TREAT");
    let beyond = [0x82, 1, 0x81, 0x83, 0, 0, 0x19, 0xFF, 0xFF]; // chunks 0 to 65535 of instance 0
    // The answer breaks off, maybe before its head is out.
    if let Ok(reply) = ask(sharing.at(), &b, "POST", &chunks, &beyond) {
        assert!(reply.status != 200 || !ends_whole(&reply.body), "it breaks off");
    }
    assert_eq!(sharing.record_as(&b, "TREAT").status, 200, "others are served on");
    for hostile in
        [&b""[..], &[0xFF; 64], &[0x82, 1, 0x9B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]]
    {
        assert_eq!(ask(sharing.at(), &b, "POST", &chunks, hostile).unwrap().status, 400);
    }
    let long = vec![0; 16 << 20];
    assert_eq!(ask(sharing.at(), &b, "POST", &chunks, &long).unwrap().status, 413);
}

/// Does a stream of frames end with the frame that says so?
fn ends_whole(body: &[u8]) -> bool {
    body.ends_with(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

#[test]
fn a_right_ends_when_it_is_revoked_or_over() {
    let sharing = Sharing::new();
    let b = secret(&sharing.b.site);
    let grant = sharing.shared["grant"].to_string();
    sharing.a.site.good(&["revoke", &grant]);
    let reply = sharing.record_as(&b, "TREAT");
    assert_eq!((reply.status, reply.text().contains("revoked")), (403, true), "{}", reply.text());
    let short = ["share", &sharing.study_uid, "--to", B, "--seconds", "8"];
    sharing.a.site.good(&short);
    assert_eq!(sharing.record_as(&b, "TREAT").status, 200);
    crate::support::eventually("it is over", || sharing.record_as(&b, "TREAT").status == 403);
    let ran = sharing.fetch();
    assert_eq!(ran.code, 1, "{}", ran.stdout);
}

#[test]
fn a_request_cannot_be_replayed() {
    let sharing = Sharing::new();
    let b = secret(&sharing.b.site);
    let (tunnel, recorded) = recorder(sharing.at());
    let path = sharing.path("record", "TREAT");
    assert_eq!(ask(tunnel, &b, "GET", &path, b"").unwrap().status, 200);
    let recorded = recorded.lock().unwrap().clone();
    assert!(recorded.len() > 500, "the whole conversation");
    let asked = || sharing.a.server.log().matches("peer_record").count();
    crate::support::eventually("it was asked once", || asked() == 1);
    let mut again = TcpStream::connect(sharing.at()).unwrap();
    again.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    again.write_all(&recorded).unwrap();
    let mut answer = Vec::new();
    let _ = again.read_to_end(&mut answer);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(asked(), 1, "no request came of it");
}

#[test]
fn older_tls_and_certificates_are_refused() {
    let sharing = Sharing::new();
    // A hello of TLS 1.2 with the usual suites, as openssl would send it.
    let config = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS12])
    .unwrap()
    .with_root_certificates(rustls::RootCertStore::empty())
    .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("a.example").unwrap();
    let mut connection = rustls::ClientConnection::new(config.into(), name).unwrap();
    let mut socket = TcpStream::connect(sharing.at()).unwrap();
    let error = loop {
        if let Err(error) = connection.complete_io(&mut socket) {
            break error;
        }
        assert!(connection.is_handshaking(), "TLS 1.2 was spoken");
    };
    assert!(error.to_string().to_lowercase().contains("protocolversion"), "{error}");
    // No TLS at all.
    let mut plain = TcpStream::connect(sharing.at()).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    plain.write_all(b"GET /peer/v1/hello HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

/// What an owner makes of an answer before it sends it: path, body.
type Change = fn(&str, Vec<u8>) -> Vec<u8>;

/// An owner that sends other bytes than it registered is caught at the first of them, whatever it changes;
/// nothing of it is shown, and the honest study comes afterwards.
#[test]
fn a_lying_owner_is_caught_at_the_first_wrong_chunk() {
    let sharing = Sharing::new();
    let (owner, reader) = (secret(&sharing.a.site), secret(&sharing.b.site));
    let whole = sharing.shared["instances"].as_u64().unwrap();
    let lies: [(&str, Change, &str); 7] = [
        (
            "a bit of the record",
            |path, mut body| {
                if path.contains("/record") {
                    let plain = zstd::decode_all(&body[..]).unwrap();
                    let mut other = plain.clone();
                    let at = other.len() - 10;
                    other[at] ^= 1;
                    body = zstd::bulk::compress(&other, 3).unwrap();
                }
                body
            },
            "not signed",
        ),
        (
            "a swapped chunk",
            |path, body| {
                if path.contains("/chunks") { flipped(&body) } else { body }
            },
            "its name",
        ),
        (
            "a swapped manifest",
            |path, body| {
                if path.contains("/chunks") && body.first() == Some(&2) {
                    swapped(&body)
                } else {
                    body
                }
            },
            "manifest",
        ),
        (
            "an oversized manifest",
            |path, mut body| {
                if path.contains("/chunks") && body.first() == Some(&2) {
                    body[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
                }
                body
            },
            "longer than any",
        ),
        (
            "fewer than there are",
            |path, body| {
                if path.contains("/chunks") { body[body.len() - 12..].to_vec() } else { body }
            },
            "fewer",
        ),
        (
            "no frames at all",
            |path, body| {
                if path.contains("/chunks") { vec![0x41; body.len()] } else { body }
            },
            "unknown kind",
        ),
        // The last: all that was asked for is honest, so all of it may come before it is caught.
        (
            "more than was asked for",
            |path, body| {
                if path.contains("/chunks") {
                    let (frames, end) = body.split_at(body.len() - 12);
                    [frames, frames, end].concat()
                } else {
                    body
                }
            },
            "more than was asked for",
        ),
    ];
    for (name, change, words) in lies {
        let lie = move |path: &str, body: Vec<u8>| change(path, body);
        sharing.believe(liar(&owner, sharing.at(), reader.clone(), lie));
        let ran = sharing.fetch();
        assert_eq!(ran.code, 1, "{name}: {}", ran.stdout);
        assert!(ran.stderr.contains(words), "{name}: {}", ran.stderr);
        let url = sharing.b.server.url(&format!("/dicom-web/studies/{}/series", sharing.study_uid));
        let shown = crate::support::server::client().get(url).send().unwrap().text().unwrap();
        let images = sharing
            .b
            .site
            .list(&["ls"])
            .first()
            .map_or(0, |study| study["instances"].as_u64().unwrap());
        let is_last = words == "more than was asked for";
        assert!(is_last || images < whole, "{name}: {shown}");
    }
    // What did come before is proven and stays; from the owner itself comes the rest.
    let url: SocketAddr = sharing.at();
    sharing.believe(url);
    let fetched: Value = serde_json::from_str(&sharing.fetch().stdout).unwrap();
    let expected = (&whole.into(), &true.into());
    assert_eq!((&fetched["instances"], &fetched["receipt"]), expected, "{fetched}");
    sharing.b.site.good(&["verify", "--all"]);
}

/// The first frame of a stream, decoded, and what follows it.
fn first_group(body: &[u8]) -> (Vec<u8>, &[u8]) {
    let number = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let (group, rest) = body[12..].split_at(number(8));
    let stored = body[1] == 0;
    let plain =
        if stored { group.to_vec() } else { zstd::bulk::decompress(group, number(4)).unwrap() };
    (plain, rest)
}

/// The same stream with another first frame, of the same length decoded.
fn with_group(body: &[u8], group: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut out = body[..12].to_vec();
    out[1] = 0;
    out[8..12].copy_from_slice(&(group.len() as u32).to_le_bytes());
    out.extend_from_slice(group);
    out.extend_from_slice(rest);
    out
}

/// A stream of chunks with one bit of them changed; manifests, which are arrays of nine, are left alone.
fn flipped(body: &[u8]) -> Vec<u8> {
    let (mut group, rest) = first_group(body);
    if group[4] == 0x89 {
        return body.to_vec();
    }
    let last = group.len() - 1;
    group[last] ^= 1;
    with_group(body, &group, rest)
}

/// A group with the first two of its chunks in the other order.
fn swapped(body: &[u8]) -> Vec<u8> {
    let (group, rest) = first_group(body);
    let length = |at: usize| 4 + u32::from_le_bytes(group[at..at + 4].try_into().unwrap()) as usize;
    let first = length(0);
    if first == group.len() {
        return body.to_vec(); // there is only one
    }
    let second = length(first);
    let other = [&group[first..first + second], &group[..first], &group[first + second..]].concat();
    with_group(body, &other, rest)
}

/// Whoever has the bucket, or the catalog, or both, but no key, reads no image and cannot ask whether one
/// is there.
#[test]
fn a_stolen_bucket_and_catalog_tell_nothing_without_the_keys() {
    let sharing = Sharing::new();
    sharing.a.site.good(&["ledger", "verify"]);
    let known = std::fs::read(&crate::support::files_under(&sharing.a.site.path("in"))[0]).unwrap();
    // What a thief with a copy of the image could look for: its bytes, its hash, hashes of its parts.
    let mut names = vec![blake3::hash(&known).as_bytes().to_vec(), known[1000..1064].to_vec()];
    for step in [512, 4096, 1 << 15] {
        names.extend(known.chunks(step).map(|part| blake3::hash(part).as_bytes().to_vec()));
    }
    let root = sharing.shared["root"].as_str().unwrap().to_owned();
    names.push(sharing.study_uid.clone().into_bytes());
    names.push(root.into_bytes());
    let mut a = sharing.a;
    a.server.terminate();
    let bucket = crate::support::files_under(&a.site.data().join("bucket"));
    assert!(!bucket.is_empty());
    for file in bucket {
        let bytes = std::fs::read(&file).unwrap();
        for name in &names {
            let found = crate::support::multipart::find(&bytes, name);
            assert!(found.is_none(), "{} holds what a thief can name", file.display());
        }
    }
    // All of it in a thief's hands, but for the keys.
    std::fs::remove_dir_all(a.site.data().join("keys")).unwrap();
    std::fs::remove_file(a.site.data().join("ledger/site.key")).unwrap();
    let ran = a.site.run(&["export", &sharing.study_uid, "out"]);
    assert_ne!(ran.code, 0);
    assert!(crate::support::files_under(&a.site.path("out")).is_empty(), "{}", ran.stdout);
}
