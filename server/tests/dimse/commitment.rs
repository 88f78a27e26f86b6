//! Storage commitment against the real binary: behaviour 35.

use std::time::{Duration, Instant};

use crate::support::commitment::{COMMITMENT, request, told};
use crate::support::dimse::{
    Client, EXPLICIT_LE, IMPLICIT_LE, SECONDARY_CAPTURE, number, parted, uid,
};
use crate::support::receiver::Receiver;
use crate::support::server::Server;
use crate::support::{Site, dicom};

const CONTEXTS: [(&str, &[&str]); 2] =
    [(COMMITMENT, &[IMPLICIT_LE]), (SECONDARY_CAPTURE, &[EXPLICIT_LE])];

fn store(client: &mut Client, sop: &str) {
    let data = parted(&dicom("1.2.1", "1.2.2", sop, "A^B", &[1; 64])).3;
    assert_eq!(client.store(3, SECONDARY_CAPTURE, sop, &data), 0);
}

/// That a report was answered is noted a moment after.
fn await_delivered(server: &Server, count: u64) {
    let patience = Instant::now() + Duration::from_secs(20);
    while server.metric("cairn_dimse_reports_total{result=\"delivered\"}") < count {
        assert!(Instant::now() < patience, "reports are not delivered: {}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn behaviour_35_a_report_over_the_same_association() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let mut client = Client::open(server.dimse, &CONTEXTS);
    store(&mut client, "1.2.3.1");
    store(&mut client, "1.2.3.2");
    let good = [(SECONDARY_CAPTURE, "1.2.3.1"), (SECONDARY_CAPTURE, "1.2.3.2")];
    assert_eq!(request(&mut client, "1.2.77.1", &good), 0);
    let answer = |client: &mut Client| {
        let report = client.message();
        assert_eq!(report.number(0x0100), 0x0100);
        client.command(
            1,
            &[
                (0x0002, uid(COMMITMENT)),
                (0x0100, number(0x8100)),
                (0x0120, number(report.number(0x0110))),
                (0x0800, number(0x0101)),
                (0x0900, number(0)),
            ],
        );
        report
    };
    let report = answer(&mut client);
    let expected = (1, "1.2.77.1".to_owned(), vec!["committed"; 2]);
    assert_eq!(told(&report, &["1.2.3.1", "1.2.3.2"]), expected);
    // One that is not there, and one of another class.
    let mixed = [good[0], (SECONDARY_CAPTURE, "1.2.3.9"), ("1.2.840.10008.5.1.4.1.1.2", "1.2.3.2")];
    assert_eq!(request(&mut client, "1.2.77.2", &mixed), 0);
    let report = answer(&mut client);
    let (event, _, places) = told(&report, &["1.2.3.1", "1.2.3.9", "1.2.3.2"]);
    assert_eq!((event, places), (2, vec!["committed", "failed", "failed"]));
    let data = report.data.unwrap();
    for reason in [0x0112_u16, 0x0119] {
        let mut wanted = vec![8, 0, 0x97, 0x11, 2, 0, 0, 0];
        wanted.extend_from_slice(&reason.to_le_bytes());
        assert!(crate::support::multipart::find(&data, &wanted).is_some(), "{reason:04X}");
    }
    // The transaction is in use, by other references.
    assert_eq!(request(&mut client, "1.2.77.1", &mixed), 0x0110);
    assert_eq!(request(&mut client, "", &good), 0x0115);
    assert_eq!(request(&mut client, "1.2.77.3", &[]), 0x0115);
    client.release();
    // What is committed is in the bucket.
    assert!(!site.packs().is_empty());
    await_delivered(&server, 2);
}

#[test]
fn behaviour_35_a_report_after_the_modality_has_closed_and_after_a_restart() {
    let site = Site::new();
    let receiver = Receiver::start(&["1.2.840.10008.1.2"], |_| 0);
    let peers = format!("TEST@{}", receiver.address);
    let server = Server::start(&site, &[("DIMSE__PEERS", &peers)]);
    let mut client = Client::open(server.dimse, &CONTEXTS);
    store(&mut client, "1.2.3.1");
    assert_eq!(request(&mut client, "1.2.77.1", &[(SECONDARY_CAPTURE, "1.2.3.1")]), 0);
    client.abort();
    let (_, report) = receiver.next();
    assert_eq!(told(&report, &["1.2.3.1"]), (1, "1.2.77.1".into(), vec!["committed"]));
    await_delivered(&server, 1);
    drop(server);
    // Asked while nobody knows where the modality listens; told once somebody does.
    let mut server = Server::start(&site, &[]);
    let mut client = Client::open(server.dimse, &CONTEXTS);
    assert_eq!(request(&mut client, "1.2.77.2", &[(SECONDARY_CAPTURE, "1.2.3.1")]), 0);
    client.abort();
    server.kill();
    let server = Server::start(&site, &[("DIMSE__PEERS", &peers)]);
    let (_, report) = receiver.next();
    assert_eq!(told(&report, &["1.2.3.1"]), (1, "1.2.77.2".into(), vec!["committed"]));
    drop(server);
}
