//! The audit log for others: DICOM audit messages over syslog/TLS, and as files.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::server::{Server, client};
use crate::support::tls::{Authority, front};
use crate::support::{Site, dicom, eventually};

/// A receiver of syslog, behind a front with TLS.
struct Receiver {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<String>>>,
    /// It hangs up on whoever calls, and on what is open.
    is_away: Arc<AtomicBool>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Self { address, messages: Arc::default(), is_away: Arc::default() };
        let (messages, is_away) = (Arc::clone(&receiver.messages), Arc::clone(&receiver.is_away));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (messages, is_away) = (Arc::clone(&messages), Arc::clone(&is_away));
                let stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Some(message) = message(&mut reader) {
                        if is_away.load(Ordering::Relaxed) {
                            return;
                        }
                        messages.lock().unwrap().push(message);
                    }
                });
            }
        });
        receiver
    }

    /// The numbers of the lines that came.
    fn numbers(&self) -> BTreeSet<u64> {
        let number = |message: &String| {
            let (_, rest) = message.split_once("n=\"").unwrap();
            rest.split('"').next().unwrap().parse().unwrap()
        };
        self.messages.lock().unwrap().iter().map(number).collect()
    }
}

/// One message: its length, a blank, and so many bytes (RFC 5425 §4.3).
fn message(reader: &mut impl BufRead) -> Option<String> {
    let mut length = Vec::new();
    reader.read_until(b' ', &mut length).ok()?;
    let length = std::str::from_utf8(length.strip_suffix(b" ")?).unwrap().parse().unwrap();
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).ok()?;
    Some(String::from_utf8(bytes).unwrap())
}

fn settings(site: &Site, receiver: SocketAddr) -> Vec<(&'static str, String)> {
    let authority = Authority::new();
    let front = front(receiver, &authority.issue(&["127.0.0.1"]));
    let trusted = site.put("tls/authority.pem", authority.pem.as_bytes());
    vec![
        ("AUDIT__SYSLOG", format!("tls://{front}")),
        ("AUDIT__SYSLOG_TRUSTED", trusted.display().to_string()),
        ("AUDIT__SOURCE", "PACS <1>".into()),
        ("IDENTITY__REQUIRED", "always".into()),
    ]
}

fn start(site: &Site, settings: &[(&'static str, String)]) -> Server {
    let settings: Vec<_> = settings.iter().map(|(n, v)| (*n, v.as_str())).collect();
    Server::start(site, &settings)
}

/// Numbers of the lines for which there is a message.
fn told(site: &Site) -> BTreeSet<u64> {
    let lines = site.list(&["audit", "show"]);
    let has =
        |l: &&serde_json::Value| !["begin", "none", "roll"].map(Into::into).contains(&l["op"]);
    lines.iter().filter(has).map(|line| line["n"].as_u64().unwrap()).collect()
}

#[test]
fn messages_go_out_and_wait_while_the_receiver_is_away() {
    let site = Site::new();
    site.put("in/a.dcm", &dicom("1.2", "1.3", "1.4", "SECRET^NAME", &[1; 64]));
    site.good(&["import", "in"]);
    let receiver = Receiver::start();
    let settings = settings(&site, receiver.address);
    let mut server = start(&site, &settings);
    let get = |server: &Server| {
        client().get(server.url("/dicom-web/studies/1.2/metadata")).send().unwrap().status()
    };
    assert_eq!(get(&server), 401);
    eventually("they come", || receiver.numbers() == told(&site));
    let first = receiver.messages.lock().unwrap().last().unwrap().clone();
    assert!(first.starts_with("<85>1 20") && first.contains(" PACS<1> cairn "), "{first}");
    assert!(first.contains(" DICOM+RFC3881 [") && first.contains("\u{FEFF}<?xml"), "{first}");
    assert!(first.contains("AuditSourceID=\"PACS &lt;1&gt;\""), "{first}");
    assert!(first.contains("ParticipantObjectID=\"1.2\""), "{first}");

    // Away: nobody waits for it, and nothing is lost.
    receiver.is_away.store(true, Ordering::Relaxed);
    for _ in 0..20 {
        assert_eq!(get(&server), 401);
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(server.terminate(), 0);
    receiver.is_away.store(false, Ordering::Relaxed);
    let before = receiver.numbers().len();
    let server = start(&site, &settings);
    eventually("the rest comes", || receiver.numbers() == told(&site));
    assert!(receiver.numbers().len() >= before + 20);
    assert!(!receiver.messages.lock().unwrap().iter().any(|message| message.contains("SECRET")));
    drop(server);
}

#[test]
fn a_receiver_that_is_not_trusted_gets_nothing() {
    let site = Site::new();
    let receiver = Receiver::start();
    let mut settings = settings(&site, receiver.address);
    let other = site.put("tls/other.pem", Authority::new().pem.as_bytes());
    settings[1].1 = other.display().to_string();
    let server = start(&site, &settings);
    eventually("it says so", || server.log().contains("audit messages do not go out"));
    assert!(receiver.messages.lock().unwrap().is_empty());
    // And the archive is none the worse for it.
    assert_eq!(client().get(server.url("/readyz")).send().unwrap().status(), 200);
    let wrong = [("CAIRN_AUDIT__SYSLOG", "tls://h")];
    let ran = site.command(&["serve"]).envs(wrong).output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
}

#[test]
fn lines_in_the_words_of_standards() {
    let site = Site::new();
    site.put("in/a.dcm", &dicom("1.2", "1.3", "1.4", "SECRET^NAME", &[1; 64]));
    site.good(&["import", "in"]);
    let mut server = Server::start(&site, &[]);
    for path in ["/dicom-web/studies", "/dicom-web/studies/1.2", "/metrics", "/dicom-web/studies/9"]
    {
        client().get(server.url(path)).send().unwrap();
    }
    let one = "/dicom-web/studies/1.2/series/1.3/instances/1.4";
    client().get(server.url(one)).send().unwrap();
    client().delete(server.url("/dicom-web/studies/1.2")).send().unwrap();
    assert_eq!(server.terminate(), 0);
    let events = site.list(&["audit", "export", "--format", "fhir"]);
    let codes: Vec<_> = events
        .iter()
        .map(|event| ["code"].map(|key| event["type"][key].as_str().unwrap())[0])
        .collect();
    assert_eq!(codes, ["110100", "110112", "110103", "110103", "110103", "110105", "110100"]);
    assert_eq!(events[2]["entity"][0]["what"]["identifier"]["value"], "urn:oid:1.2");
    assert_eq!(events[4]["entity"][0]["detail"][0]["valueString"], "1.4");
    let outcomes: Vec<_> = events.iter().map(|event| event["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["0", "0", "0", "4", "0", "0", "0"]);
    let text = site.good(&["audit", "export", "--format", "dicom"]).stdout;
    assert_eq!(text.lines().count(), events.len());
    assert!(!text.contains("SECRET") && text.contains("<Instance UID=\"1.4\"/>"), "{text}");
    for line in text.lines() {
        let mut reader = quick_xml::Reader::from_str(line);
        while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
    }
}
