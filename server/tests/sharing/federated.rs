//! One search over several sites: over DICOMweb and by C-FIND.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::dimse::{Client, IMPLICIT_LE, find, implicit};
use crate::support::peer::{ask, liar, secret};
use crate::support::sites::{Hospital, introduce};
use crate::support::{Site, dicom};
use serde_json::Value;

const A: &str = "a.example/cairn";
const B: &str = "b.example/cairn";
const STUDY_FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const LEVEL: u32 = 0x0008_0052;
const NAME: u32 = 0x0010_0010;
const STUDY: u32 = 0x0020_000D;
const SOURCES: u32 = 0x0009_1001;

/// A site with these studies of one patient, an image each.
fn holding(name: &str, studies: &[&str]) -> Hospital {
    let site = Site::new();
    put(&site, studies, "Doe^Jane");
    Hospital::start_on(site, name)
}

fn put(site: &Site, studies: &[&str], patient: &str) {
    for study in studies {
        let (series, sop) = (format!("{study}.1"), format!("{study}.1.1"));
        let name = format!("in/{study}.dcm");
        site.put(&name, &dicom(study, &series, &sop, patient, &[1; 64]));
        // One by one: results stand in the order of arrival.
        site.good(&["import", &name]);
    }
}

fn address(hospital: &Hospital) -> SocketAddr {
    hospital.url().strip_prefix("https://").unwrap().parse().unwrap()
}

struct Found {
    results: Vec<Value>,
    warnings: Vec<String>,
    took: Duration,
}

impl Found {
    fn studies(&self) -> Vec<(&str, Vec<&str>)> {
        self.results
            .iter()
            .map(|result| {
                let uid = result["0020000D"]["Value"][0].as_str().unwrap();
                let sources = result["00091001"]["Value"].as_array().unwrap();
                (uid, sources.iter().map(|source| source.as_str().unwrap()).collect())
            })
            .collect()
    }
}

fn search(hospital: &Hospital, path: &str) -> Found {
    let begun = Instant::now();
    let url = hospital.server.url(&format!("/federated/dicom-web{path}"));
    let reply = crate::support::server::client().get(url).send().unwrap();
    assert_eq!(reply.status().as_u16(), 200, "{path}");
    let warnings = reply.headers().get_all("warning").iter();
    let warnings = warnings.map(|warning| warning.to_str().unwrap().to_owned()).collect();
    let results = serde_json::from_str(&reply.text().unwrap()).unwrap();
    Found { results, warnings, took: begun.elapsed() }
}

/// Four sites: B grants one of its studies, C is slow, D is gone. What is found is one list; who did not
/// answer is named; nobody is waited for longer than for C.
#[test]
fn one_search_over_several_sites() {
    let a = holding(A, &["1.2.1", "1.2.2"]);
    let b = holding(B, &["1.2.2", "1.2.3", "1.2.4"]);
    let (c, mut d) = (holding("c.example/cairn", &[]), holding("d.example/cairn", &["1.2.9"]));
    for other in [&b, &c, &d] {
        introduce(&a, other);
    }
    for study in ["1.2.2", "1.2.3"] {
        b.site.good(&["share", study, "--to", A]);
    }
    d.site.good(&["share", "1.2.9", "--to", A]);
    let all = search(&a, "/studies?PatientName=doe*");
    assert_eq!(
        all.studies(),
        [
            ("1.2.1", vec![A]),
            ("1.2.2", vec![A, B]),
            ("1.2.3", vec![B]),
            ("1.2.9", vec!["d.example/cairn"])
        ],
        "1.2.4 was not granted"
    );
    assert_eq!(all.warnings, Vec::<String>::new());
    assert_eq!(all.results[2]["00100010"]["Value"][0]["Alphabetic"], "Doe^Jane");
    assert_eq!(all.results[2]["00080056"]["Value"][0], "NEARLINE");
    // Pages of the one list, keys, and levels.
    let page = search(&a, "/studies?limit=2&offset=1");
    assert_eq!(page.studies().iter().map(|(uid, _)| *uid).collect::<Vec<_>>(), ["1.2.2", "1.2.3"]);
    assert!(page.warnings[0].contains("additional results"), "{:?}", page.warnings);
    assert_eq!(search(&a, "/studies?PatientName=roe").results.len(), 0);
    assert_eq!(search(&a, "/studies?StudyInstanceUID=1.2.3,1.2.4").studies(), [("1.2.3", vec![B])]);
    assert_eq!(search(&a, "/studies/1.2.4/series").results.len(), 0);
    let series = search(&a, "/studies/1.2.3/series");
    assert_eq!(series.results[0]["0020000E"]["Value"][0], "1.2.3.1");

    // C takes longer than anybody waits, and D is gone.
    d.server.terminate();
    let slow = liar(&secret(&c.site), address(&c), secret(&a.site), |path, body| {
        if path.contains("/search") {
            std::thread::sleep(Duration::from_secs(30));
        }
        body
    });
    let print = c.fingerprint();
    a.site.good(&["peers", "add", &format!("https://{slow}"), "--fingerprint", &print]);
    let part = search(&a, "/studies");
    assert_eq!(part.studies().len(), 3, "{:?}", part.studies());
    let warned = |site: &str, why: &str| {
        part.warnings
            .iter()
            .any(|told| told.starts_with("299 ") && told.contains(site) && told.contains(why))
    };
    assert!(warned("c.example/cairn", "did not answer in time"), "{:?}", part.warnings);
    assert!(warned("d.example/cairn", "cannot be reached"), "{:?}", part.warnings);
    assert!(part.took < Duration::from_secs(8), "{:?}", part.took);

    // The same by C-FIND.
    let contexts: &[(&str, &[&str])] = &[(STUDY_FIND, &[IMPLICIT_LE])];
    let mut wish = crate::support::dimse::Wish::new(contexts);
    wish.called = "CAIRN_FED".into();
    let mut client: Client = wish.open(a.server.dimse);
    let keys = implicit(&[(LEVEL, "STUDY"), (NAME, "DOE*"), (STUDY, "")]);
    let (found, last) = find(&mut client, STUDY_FIND, &keys);
    assert_eq!(last, 0);
    let found: Vec<(&str, &str)> =
        found.iter().map(|one| (one[&STUDY].as_str(), one[&SOURCES].as_str())).collect();
    let both = format!("{A}\\{B}");
    assert_eq!(found, [("1.2.1", A), ("1.2.2", &both), ("1.2.3", B)]);

    // What is found elsewhere comes when it is retrieved.
    let url = a.server.url("/federated/dicom-web/studies/1.2.3");
    let retrieved = crate::support::server::client().get(url).send().unwrap();
    assert_eq!(retrieved.status().as_u16(), 200);
    let bytes = retrieved.bytes().unwrap();
    let sent = std::fs::read(b.site.path("in/1.2.3.dcm")).unwrap();
    assert!(crate::support::multipart::find(&bytes, &sent[132..]).is_some(), "byte for byte");
    crate::support::eventually("it is here now", || {
        search(&a, "/studies").studies()[2] == ("1.2.3", vec![A, B])
    });
}

/// An owner shows what it granted, as it granted it, to whom it did.
#[test]
fn what_was_not_granted_is_not_found() {
    let (a, b) = (holding(A, &["1.2.1"]), holding(B, &["1.2.3"]));
    introduce(&a, &b);
    let found = || search(&a, "/studies?PatientID=").studies().len();
    assert_eq!(found(), 1, "nothing was granted");
    let shared = b.site.object(&["share", "1.2.3", "--to", A]);
    assert_eq!(found(), 2);
    // A correction is not what was granted.
    let corrected = dicom("1.2.3", "1.2.3.1", "1.2.3.1.1", "Smith^Jane", &[1; 64]);
    let url = b.server.studies();
    let stored = crate::support::server::client()
        .post(url)
        .header("Content-Type", crate::support::server::PARTS)
        .body(crate::support::server::parts(&[&corrected]))
        .send()
        .unwrap();
    assert!(stored.status().is_success(), "{}", stored.status());
    assert_eq!(found(), 1, "nobody shared the new name");
    b.site.good(&["share", "1.2.3", "--to", A]);
    assert_eq!(search(&a, "/studies?PatientName=Smith*").studies(), [("1.2.3", vec![B])]);
    b.site.good(&["revoke", "1.2.3", "--to", A]);
    assert_eq!(found(), 1, "{shared}");

    // Strangers are told nothing, and nonsense is refused.
    let stranger = cairn_ledger::keys::SiteSecret::generate().unwrap();
    let question = br#"{"sought":"study","study":null,"series":null,"parameters":[],"limit":9}"#;
    let path = "/peer/v1/search";
    assert_eq!(ask(address(&b), &stranger, "POST", path, question).unwrap().status, 403);
    let known = secret(&a.site);
    let reply = ask(address(&b), &known, "POST", path, question).unwrap();
    assert_eq!((reply.status, reply.text().contains("1.2.3")), (200, false));
    for nonsense in [&b"{}"[..], b"[]", br#"{"sought":"patient"}"#] {
        assert_eq!(ask(address(&b), &known, "POST", path, nonsense).unwrap().status, 400);
    }
    // Nothing is written under the federated path.
    let url = a.server.url("/federated/dicom-web/studies/1.2.1");
    assert_eq!(crate::support::server::client().delete(url).send().unwrap().status().as_u16(), 405);
}
