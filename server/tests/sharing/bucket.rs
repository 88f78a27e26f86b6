//! Chunks that are read straight from the owner's bucket. With `CAIRN_TEST_STORE=s3` and the environment
//! that `.ci/s3-server.sh` prints the bucket is one that can lend; a directory cannot, and the owner's
//! server sends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::Site;
use crate::support::peer::{ask, secret};
use crate::support::sites::{Hospital, introduce};
use cairn_chunker::cbor::Reader as Cbor;
use cairn_ledger::id::{SiteId, StudyId};
use cairn_ledger::sealing::{Content, SealedFor, open};
use cairn_store::keys::RecordKey;
use cairn_store::pack::PackId;
use cairn_store::read::Loan;
use serde_json::Value;

const A: &str = "a.example/cairn";
const B: &str = "b.example/cairn";

/// An archive with slices of 512 KiB, whose chunks have records of their own; its Study Instance UID.
fn fill(site: &Site) -> String {
    for file in cairn_dicom::phantom::ct(7, 6, 512) {
        site.put(&format!("in/{}", file.name), &file.bytes);
    }
    site.good(&["import", "in"]);
    site.list(&["ls"])[0]["study_uid"].as_str().unwrap().to_owned()
}

/// B, which may read from these buckets, has fetched what A shared with it under such a grant.
fn fetched(site: Site, buckets: &str, grant: &[&str]) -> (Hospital, Hospital, Value) {
    let study = fill(&site);
    let a = Hospital::start_on(site, A);
    let b = Hospital::start_with(Site::new(), B, &[("SHARING__BUCKETS", buckets)]);
    introduce(&a, &b);
    a.site.good(&[&["share", &study, "--to", B], grant].concat());
    let fetched = b.site.object(&["fetch", &study, "--from", A]);
    assert_eq!((&fetched["instances"], &fetched["receipt"]), (&6.into(), &true.into()));
    b.site.good(&["verify", "--all"]);
    b.site.good(&["export", &study, "out"]);
    crate::support::assert_all_there(
        &crate::support::files_under(&a.site.path("in")),
        &b.site.path("out"),
    );
    (a, b, fetched)
}

fn bytes(fetched: &Value, which: &str) -> u64 {
    fetched[which].as_u64().unwrap()
}

#[test]
fn a_directory_lends_nothing_and_the_server_sends() {
    let buckets = r#"["http://127.0.0.1:1/"]"#;
    let (_a, b, fetched) = fetched(Site::new(), buckets, &["--from-bucket"]);
    assert_eq!(bytes(&fetched, "bytes_from_bucket"), 0);
    assert!(b.server.log().contains("it lends nothing"), "{}", b.server.log());
}

#[test]
fn chunks_come_straight_from_a_bucket_where_both_sides_allow_it() {
    let Some((site, bucket)) = Site::new_on_s3("lends") else { return };
    let (_a, b, fetched) = fetched(site, &format!("[{bucket:?}]"), &["--from-bucket"]);
    let (lent, moved) = (bytes(&fetched, "bytes_from_bucket"), bytes(&fetched, "bytes_moved"));
    assert!(lent * 10 > moved * 9, "{lent} of {moved}");
    assert!(!b.server.log().contains("X-Amz"), "no signature is logged");
}

#[test]
fn nothing_comes_from_a_bucket_that_one_of_the_two_does_not_allow() {
    let Some((site, bucket)) = Site::new_on_s3("grant-without") else { return };
    let (_a, _b, other) = fetched(site, &format!("[{bucket:?}]"), &[]);
    assert_eq!(bytes(&other, "bytes_from_bucket"), 0, "the grant does not say so");
    let (site, bucket) = Site::new_on_s3("another-bucket").unwrap();
    let beside = format!("[{:?}]", bucket.replace("another", "no-such"));
    let (_a, b, other) = fetched(site, &beside, &["--from-bucket"]);
    assert_eq!(bytes(&other, "bytes_from_bucket"), 0, "the settings do not say so");
    assert!(b.server.log().contains("sharing.buckets"), "{}", b.server.log());
}

/// A way to a server on which what is read under a signature, and nothing else, has a bit changed. Gives its
/// address.
fn tampering(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let far = TcpStream::connect(to).unwrap();
            let lent = Arc::new(AtomicBool::new(false));
            let (asks, answers) = (Arc::clone(&lent), lent);
            let ends = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || {
                relay(ends.0, ends.1, |request| {
                    let signed = crate::support::multipart::find(request, b"X-Amz-Signature=");
                    asks.store(signed.is_some(), Ordering::SeqCst);
                });
            });
            std::thread::spawn(move || {
                relay(far, near, |answer| {
                    if let Some(last) = answer.last_mut().filter(|_| answers.load(Ordering::SeqCst))
                    {
                        *last ^= 1;
                    }
                });
            });
        }
    });
    address
}

fn relay(mut from: TcpStream, mut to: TcpStream, mut change: impl FnMut(&mut [u8])) {
    let mut piece = vec![0; 1 << 16];
    while let Ok(got @ 1..) = from.read(&mut piece) {
        change(&mut piece[..got]);
        if to.write_all(&piece[..got]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// A bucket that gives other bytes than its owner laid there costs nothing but time.
#[test]
fn what_a_bucket_changes_comes_from_its_owner() {
    let by = |endpoint: String| {
        let server = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        format!("http://{}", tampering(server))
    };
    let Some((site, bucket)) = Site::new_on_s3_by("tampers", by) else { return };
    let (_a, b, _fetched) = fetched(site, &format!("[{bucket:?}]"), &["--from-bucket"]);
    let log = b.server.log();
    assert!(log.contains("the owner's bucket is not read any more"), "{log}");
    assert!(log.contains("flipped bit") || log.contains("error"), "{log}");
}

/// Something of a pack under a URL that opens it, as it was lent.
struct Lent {
    url: String,
    range: (u64, u64),
    records: Vec<(u64, u32, RecordKey)>,
    pack: PackId,
}

/// Reads what a site lends, as another implementation would (`ARCHITECTURE.md`, "From the bucket").
fn read(plain: &[u8]) -> Vec<Lent> {
    let mut reader = Cbor::new(plain, "what is lent");
    reader.array_of(2).unwrap();
    assert_eq!(reader.uint().unwrap(), 1);
    let ranges = (0..reader.array().unwrap()).map(|_| {
        reader.array_of(5).unwrap();
        let url = reader.text(9999).unwrap().to_owned();
        let pack = PackId(reader.bytes(16).unwrap().try_into().unwrap());
        let range = (reader.uint().unwrap(), reader.uint().unwrap());
        let records = (0..reader.array().unwrap()).map(|_| {
            reader.array_of(4).unwrap();
            reader.uint().unwrap();
            let (offset, bytes) = (reader.uint().unwrap(), reader.uint().unwrap());
            (offset, bytes as u32, RecordKey(reader.hash().unwrap()))
        });
        let records = records.collect();
        Lent { url, range, records, pack }
    });
    ranges.collect()
}

/// What is lent opens what was asked for and nothing beside it, for who has a grant that says so.
#[test]
fn what_is_lent_opens_nothing_else() {
    let Some((site, _)) = Site::new_on_s3("attacked") else { return };
    let study = fill(&site);
    let (a, b) = (Hospital::start_on(site, A), Hospital::start(B));
    introduce(&a, &b);
    let shared = a.site.object(&["share", &study, "--to", B]);
    let at: SocketAddr = a.url().strip_prefix("https://").unwrap().parse().unwrap();
    let path = |shared: &Value, purpose: &str| {
        let (study, version) = (shared["study"].as_str().unwrap(), &shared["version"]);
        format!("/peer/v1/studies/{study}/{version}/loans?purpose={purpose}&codecs=3")
    };
    let reader = secret(&b.site);
    let wants = |instance: u8, chunk: u8| [0x82, 1, 0x81, 0x83, instance, chunk, chunk + 1];
    let reply = ask(at, &reader, "POST", &path(&shared, "TREAT"), &wants(0, 0)).unwrap();
    assert_eq!(reply.status, 403, "the grant lets nothing come from the bucket");
    let shared =
        a.site.object(&["share", &study, "--to", B, "--from-bucket", "--purpose", "HRESCH"]);
    let manifests = [0x83, 0, 0, 1];
    let refused = ask(at, &reader, "POST", &path(&shared, "HRESCH"), &manifests).unwrap();
    assert_eq!(refused.status, 400, "manifests are not lent");

    let id = |hospital: &Hospital| SiteId::from_hex(&hospital.id()).unwrap();
    let named = StudyId::from_hex(shared["study"].as_str().unwrap()).unwrap();
    let whom = SealedFor { from: id(&a), to: id(&b), study: named, version: 1 };
    let lend = |instance| {
        // Small chunks come first, and are not lent: those with pixels are behind them.
        let mut lent = (0..9).map(|chunk| {
            let wanted = wants(instance, chunk);
            let reply = ask(at, &reader, "POST", &path(&shared, "HRESCH"), &wanted).unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
            let others = open(Content::Loans, &whom, &secret(&a.site), &reply.body);
            assert!(others.is_err(), "another's key");
            read(&open(Content::Loans, &whom, &reader, &reply.body).unwrap())
        });
        lent.find(|lent| !lent.is_empty()).unwrap()
    };
    let lent = lend(0);
    let [lent] = &lent[..] else { panic!("{} ranges", lent.len()) };
    let [(offset, record_bytes, key)] = &lent.records[..] else { panic!("one record") };
    assert_eq!(lent.range, (*offset, offset + u64::from(*record_bytes)), "nothing beside it");

    let get = |range: Option<(u64, u64)>| {
        let asked = crate::support::server::client().get(&lent.url);
        let asked = match range {
            Some((from, to)) => asked.header("Range", format!("bytes={from}-{}", to - 1)),
            None => asked,
        };
        let answer = asked.send().unwrap();
        (answer.status().as_u16(), answer.bytes().unwrap())
    };
    let (status, record) = get(Some(lent.range));
    assert_eq!((status, record.len()), (206, *record_bytes as usize));
    for other in [None, Some((0, lent.range.1)), Some((lent.range.0, lent.range.1 + 100))] {
        assert_eq!(get(other).0, 403, "another range than was signed: {other:?}");
    }
    let loan =
        Loan { pack: lent.pack, offset: *offset, record_bytes: *record_bytes, key: key.clone() };
    let chunk = |bytes| cairn_chunker::manifest::ChunkRef {
        id: cairn_chunker::id::ChunkId([0; 32]),
        bytes,
        class: cairn_chunker::manifest::Class::Pixels,
    };
    let frame = 512 * 512 * 2;
    assert!(loan.open(&record, &chunk(frame)).is_ok(), "the pixels");
    assert!(loan.open(&record, &chunk(frame - 2)).is_err(), "a chunk of another length");
    for at in [4, 20, 50, 70, 100, record.len() - 1] {
        let mut changed = record.to_vec();
        changed[at] ^= 1;
        assert!(loan.open(&changed, &chunk(frame)).is_err(), "bit of byte {at}");
    }
    let elsewhere = Loan { offset: offset + 1, ..loan.clone() };
    assert!(elsewhere.open(&record, &chunk(frame)).is_err(), "a record that was moved");
    // Another record of the same pack does not open with this key.
    let other = lend(1);
    let answer = crate::support::server::client()
        .get(&other[0].url)
        .header("Range", format!("bytes={}-{}", other[0].range.0, other[0].range.1 - 1))
        .send()
        .unwrap();
    let record = answer.bytes().unwrap();
    let (offset, record_bytes, _) = other[0].records[0].clone();
    let mixed = Loan { pack: other[0].pack, offset, record_bytes, key: key.clone() };
    assert!(mixed.open(&record, &chunk(frame)).is_err(), "the key of another record");
}
