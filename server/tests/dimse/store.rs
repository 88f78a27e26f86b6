//! Associations and C-STORE against the real binary: behaviours 28 to 31, and what goes wrong on the
//! way.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::dimse::{
    CT, Client, EXPLICIT_LE, IMPLICIT_LE, SECONDARY_CAPTURE, VERIFICATION, Wish, encode, fragment,
    number, parted, uid,
};
use crate::support::server::Server;
use crate::support::{Site, dicom};
use dicom_ul::Pdu;
use dicom_ul::pdu::UserVariableItem;

const PRIVATE_CLASS: &str = "1.3.46.670589.5.0.1";
const PRIVATE_SYNTAX: &str = "1.2.840.113619.5.2.7";

/// A small object: its UID and data set.
fn small(sop: &str, patient: &str, pixel: u8) -> Vec<u8> {
    parted(&dicom("1.2.1", "1.2.2", sop, patient, &[pixel; 64])).3
}

fn instances(server: &Server) -> u64 {
    // The sums are counted anew every 15 s only; the catalog knows at once.
    let url = server.url("/dicom-web/instances?limit=5000");
    let body = crate::support::server::client().get(url).send().unwrap().text().unwrap();
    serde_json::from_str::<Vec<serde_json::Value>>(&body).unwrap().len() as u64
}

#[test]
fn behaviour_28_128_contexts_each_with_its_answer() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let mut wish = Wish::new(&[(VERIFICATION, &[IMPLICIT_LE])]);
    for n in 0..125 {
        let class = format!("1.2.840.10008.5.1.4.1.1.{}", 1000 + n);
        wish.contexts.push((class, vec![EXPLICIT_LE.into(), format!("1.2.840.10008.1.2.4.{n}")]));
    }
    wish.contexts.push((PRIVATE_CLASS.into(), vec![PRIVATE_SYNTAX.into()]));
    wish.contexts.push(("1.2.840.10008.5.1.4.31".into(), vec![EXPLICIT_LE.into()]));
    let mut client = wish.open(server.dimse);
    assert_eq!(client.accepted.presentation_contexts.len(), 128);
    assert_eq!(client.syntax(253), Some(PRIVATE_SYNTAX));
    assert_eq!(client.syntax(255), None);
    assert_eq!(client.echo(1), 0);
    client.release();
}

#[test]
fn behaviour_28_any_class_and_syntax_is_kept_byte_for_byte() {
    let site = Site::new();
    let mut server = Server::start(&site, &[]);
    let contexts: [(&str, &[&str]); 2] =
        [(SECONDARY_CAPTURE, &[EXPLICIT_LE]), (PRIVATE_CLASS, &[PRIVATE_SYNTAX])];
    let mut client = Client::open(server.dimse, &contexts);
    let data = small("1.2.3", "A^B", 7);
    assert_eq!(client.store(1, SECONDARY_CAPTURE, "1.2.3", &data), 0);
    // A private class in a syntax that nobody can decode; it says so itself.
    let text = String::from_utf8_lossy(&data).replace(SECONDARY_CAPTURE, "9");
    assert!(!text.contains(SECONDARY_CAPTURE));
    let at = crate::support::multipart::find(&data, b"1.2.840.10008.5.1.4.1.1.7").unwrap();
    let mut private = data[..at - 2].to_vec();
    private.extend_from_slice(&20_u16.to_le_bytes());
    private.extend_from_slice(PRIVATE_CLASS.as_bytes());
    private.push(0);
    private.extend_from_slice(&data[at + 26..]);
    let at = crate::support::multipart::find(&private, b"1.2.3").unwrap();
    private[at + 4] = b'4';
    assert_eq!(client.store(3, PRIVATE_CLASS, "1.2.4", &private), 0);
    client.release();
    assert_eq!(server.terminate(), 0);
    site.good(&["export", "--all", "out"]);
    for (sop, sent, syntax) in [("1.2.3", data, EXPLICIT_LE), ("1.2.4", private, PRIVATE_SYNTAX)] {
        let files = crate::support::files_under(&site.path("out"));
        let file = files.iter().find(|path| path.ends_with(format!("{sop}.dcm"))).unwrap();
        let (_, _, stored_syntax, stored) = parted(&std::fs::read(file).unwrap());
        assert_eq!((stored_syntax.as_str(), stored == sent), (syntax, true), "{sop}");
    }
    assert!(!server.log().contains("1.2.3") && !server.log().contains("A^B"), "{}", server.log());
}

#[test]
fn behaviour_29_values_split_anywhere_and_joined() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let mut client = Client::open(server.dimse, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    client.fragment = 7; // commands as well
    assert_eq!(client.store(1, SECONDARY_CAPTURE, "1.2.3", &small("1.2.3", "A", 1)), 0);
    // Command, data set and the next command in one PDU.
    let data = small("1.2.4", "A", 2);
    let command = |sop: &str, id: u16| {
        encode(&[
            (0x0002, uid(SECONDARY_CAPTURE)),
            (0x0100, number(1)),
            (0x0110, number(id)),
            (0x0800, number(0)),
            (0x1000, b"1.2.4 \0".iter().copied().chain(sop.bytes()).take(6).collect()),
        ])
    };
    let mut body = Vec::new();
    for (is_command, bytes) in [(true, command("", 77)), (false, data.clone())] {
        let (one, two) = bytes.split_at(bytes.len() / 2);
        body.extend_from_slice(&fragment(1, is_command, false, one)[6..]);
        body.extend_from_slice(&fragment(1, is_command, true, two)[6..]);
    }
    let mut pdu = vec![4, 0];
    pdu.extend_from_slice(&(body.len() as u32).to_be_bytes());
    pdu.extend_from_slice(&body);
    client.raw(&pdu);
    let answer = client.message();
    assert_eq!((answer.status(), answer.number(0x0120)), (0, 77));
    client.release();
    assert_eq!(instances(&server), 2);
}

#[test]
fn behaviour_29_pdu_lengths_of_0_and_tiny_and_odd_names() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    for max in [0, 1, 7, 20, 128, u32::MAX] {
        let mut wish = Wish::new(&[(VERIFICATION, &[IMPLICIT_LE])]);
        wish.called = "  cairn".into();
        wish = wish.with(UserVariableItem::MaxLength(max));
        wish.user.retain(|item| matches!(item, UserVariableItem::MaxLength(_)));
        let mut client = wish.open(server.dimse);
        assert_eq!(client.echo(1), 0, "{max}");
        client.release();
    }
    drop(server);
    let server = Server::start(&site, &[("DIMSE__CALLED", "own"), ("DIMSE__CALLERS", "TEST, X")]);
    let mut wish = Wish::new(&[(VERIFICATION, &[IMPLICIT_LE])]);
    assert!(matches!(wish.ask(server.dimse).0, Pdu::AssociationAC(_)));
    wish.called = "cairn".into();
    wish.calling = "x".into();
    assert!(matches!(wish.ask(server.dimse).0, Pdu::AssociationAC(_)));
    for (called, calling) in [("OTHER", "TEST"), ("CAIRN", "OTHER")] {
        (wish.called, wish.calling) = (called.into(), calling.into());
        assert!(matches!(wish.ask(server.dimse).0, Pdu::AssociationRJ(_)));
    }
    assert_eq!(server.metric("cairn_dimse_associations_total{end=\"rejected\"}"), 2);
}

#[test]
fn behaviour_30_answers_come_at_once_and_many_share_a_sync() {
    let site = Site::new();
    let server = Server::start(&site, &[("INGEST__COMMIT_INTERVAL_MS", "5000")]);
    let begun = Instant::now();
    let address = server.dimse;
    std::thread::scope(|scope| {
        for thread in 0..16 {
            scope.spawn(move || {
                let contexts: [(&str, &[&str]); 1] = [(SECONDARY_CAPTURE, &[EXPLICIT_LE])];
                let mut client = Client::open(address, &contexts);
                for n in 0..25 {
                    let sop = format!("1.2.3.{thread}.{n}");
                    let status = client.store(1, SECONDARY_CAPTURE, &sop, &small(&sop, "A", n));
                    assert_eq!(status, 0);
                }
                client.release();
            });
        }
    });
    // 25 commits each that waited for company would take two minutes.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(instances(&server), 400);
    let syncs = |stage: &str| {
        let name = format!("cairn_ingest_stage_duration_seconds_count{{stage=\"{stage}\"}}");
        server.metric(&name)
    };
    let syncs = syncs("sync") + syncs("spool_sync");
    assert!(syncs < 300, "{syncs} syncs for 400 objects");
    assert_eq!(server.metric("cairn_dimse_associations "), 0);
}

#[test]
fn behaviour_30_a_window_lets_answers_come_later() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let wish = Wish::new(&[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    let mut client =
        wish.with(UserVariableItem::Unknown(0x53, vec![0, 0, 0, 1])).open(server.dimse);
    let window = client.accepted.user_variables.iter().find_map(|item| match item {
        UserVariableItem::Unknown(0x53, value) => Some(value.clone()),
        _ => None,
    });
    assert_eq!(window, Some(vec![0, 16, 0, 1]));
    let mut sent = Vec::new();
    for n in 0..100 {
        let sop = format!("1.2.3.{n}");
        sent.push(client.send_store(1, SECONDARY_CAPTURE, &sop, &small(&sop, "A", n)));
    }
    let mut answered: Vec<u16> = (0..100)
        .map(|_| {
            let answer = client.message();
            assert_eq!(answer.status(), 0);
            answer.number(0x0120)
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, sent);
    client.release();
    assert_eq!(instances(&server), 100);
}

#[test]
fn behaviour_30_what_breaks_off_leaves_nothing() {
    let site = Site::new();
    let server = Server::start(&site, &[("DIMSE__STALL_SECONDS", "2")]);
    let long = dicom("1.2.1", "1.2.2", "1.2.9", "A", &vec![3; 60_000]);
    let data = parted(&long).3;
    let begin = |server: &Server| {
        let mut client = Client::open(server.dimse, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
        let more = [(0x0700, number(0)), (0x0800, number(0)), (0x1000, uid("1.2.9"))];
        let mut elements = vec![(0x0002, uid(SECONDARY_CAPTURE)), (0x0100, number(1))];
        elements.push((0x0110, number(5)));
        elements.extend(more);
        client.command(1, &elements);
        // All of it, but its end is not told.
        client.raw(&fragment(1, false, false, &data));
        client
    };
    begin(&server).abort();
    drop(begin(&server));
    let mut released = begin(&server);
    released.raw(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    released.assert_aborted();
    let mut other = begin(&server);
    other.raw(&fragment(3, false, true, &data));
    other.assert_aborted();
    let mut command = begin(&server);
    command.raw(&fragment(1, true, true, &encode(&[(0x0100, number(0x30))])));
    command.assert_aborted();
    begin(&server).assert_aborted(); // silent for two seconds
    assert_eq!(instances(&server), 0);
    let mut good = Client::open(server.dimse, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    assert_eq!(good.store(1, SECONDARY_CAPTURE, "1.2.9", &data), 0);
    good.release();
    assert_eq!(instances(&server), 1);
}

#[test]
fn behaviour_31_codes_of_c_store() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let contexts: [(&str, &[&str]); 2] =
        [(SECONDARY_CAPTURE, &[EXPLICIT_LE]), (CT, &[EXPLICIT_LE])];
    let mut client = Client::open(server.dimse, &contexts);
    let mut store =
        |context, class: &str, sop: &str, data: &[u8]| client.store(context, class, sop, data);
    let class = SECONDARY_CAPTURE;
    assert_eq!(store(1, class, "1.2.3", &small("1.2.3", "A", 1)), 0);
    assert_eq!(store(1, class, "1.2.3", &small("1.2.3", "A", 1)), 0);
    assert_eq!(store(1, class, "1.2.3", &small("1.2.3", "B", 1)), 0xB000);
    assert_eq!(store(1, class, "1.2.3", &small("1.2.3", "A", 2)), 0xB006);
    // Another instance, another class, no UIDs, nothing, rubbish.
    assert_eq!(store(1, class, "1.2.5", &small("1.2.3", "A", 1)), 0xA900);
    assert_eq!(store(3, CT, "1.2.3", &small("1.2.3", "A", 1)), 0xA900);
    assert_eq!(
        store(1, class, "1.2.3", &parted(&dicom("", "1", "1.2.3", "A", &[0; 64])).3),
        0xC000
    );
    assert_eq!(store(1, class, "1.2.3", b""), 0xC000);
    assert_eq!(store(1, class, "1.2.3", b"rubbish"), 0xC000);
    let id = client.request(1, 0x0001, class, &[(0x1000, uid("1.2.3"))], None);
    let answer = client.message();
    assert_eq!((answer.status(), answer.number(0x0120)), (0xC000, id));
    // An operation that nobody knows.
    client.request(1, 0x0140, class, &[], Some(b"x"));
    assert_eq!(client.message().status(), 0x0211);
    client.release();
    assert_eq!(instances(&server), 1);
    drop(server);
    let server = Server::start(&site, &[("DUPLICATES__CONFLICT", "reject")]);
    let mut client = Client::open(server.dimse, &[(class, &[EXPLICIT_LE])]);
    assert_eq!(client.store(1, class, "1.2.3", &small("1.2.3", "A", 3)), 0x0111);
}

#[test]
fn the_same_image_by_stow_is_one_content() {
    let site = Site::new();
    let file = dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &[1; 64]);
    let server = Server::start(&site, &[]);
    let mut client = Client::open(server.dimse, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    assert_eq!(client.store(1, SECONDARY_CAPTURE, "1.2.3", &parted(&file).3), 0);
    let sent = crate::support::server::client()
        .post(server.studies())
        .header("content-type", crate::support::server::PARTS)
        .body(crate::support::server::parts(&[&file]))
        .send();
    assert_eq!(sent.unwrap().status().as_u16(), 200);
    assert_eq!(server.metric("cairn_ingest_instances_total{outcome=\"duplicate\"}"), 1);
}

#[test]
fn malformed_pdus_at_every_state() {
    let site = Site::new();
    let server = Server::start(&site, &[("DIMSE__REQUEST_SECONDS", "2")]);
    let raw = |bytes: &[u8]| {
        let mut stream = std::net::TcpStream::connect(server.dimse).unwrap();
        stream.write_all(bytes).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let mut answer = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
        answer
    };
    // Before an association: rubbish, 4 GB, data, a release, silence.
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1],
        &[4, 0, 0, 0, 0, 8, 0, 0, 0, 4, 1, 3, 0, 0],
        &[5, 0, 0, 0, 0, 4, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 4, 0, 0, 0, 0],
        &[1, 0],
        b"",
    ] {
        assert_eq!(raw(bytes).first(), Some(&7), "{bytes:?}");
    }
    let contexts: [(&str, &[&str]); 1] = [(SECONDARY_CAPTURE, &[EXPLICIT_LE])];
    for bytes in [
        // A PDU of 4 GB, a value longer than its PDU, one without room, an unknown type, another
        // request, an answer, a context nobody knows, a command that is a lie.
        &[4, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 4, 1, 3][..],
        &[4, 0, 0, 0, 0, 8, 0xFF, 0, 0, 4, 1, 3, 0, 0],
        &[4, 0, 0, 0, 0, 2, 0, 0],
        &[9, 0, 0, 0, 0, 4, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 4, 0, 0, 0, 0],
        &[2, 0, 0, 0, 0, 4, 0, 0, 0, 0],
        &fragment(9, true, true, &encode(&[(0x0100, number(0x30))])),
        &fragment(1, true, true, b"\0\0\0\x01\xFF\xFF\xFF\xFF"),
        &fragment(1, true, true, &vec![0; 100_000]),
        &fragment(1, false, true, b"no command"),
    ] {
        let mut client = Client::open(server.dimse, &contexts);
        client.raw(bytes);
        client.assert_aborted();
    }
    // Cut off in the middle of everything.
    let whole = fragment(1, true, true, &encode(&[(0x0100, number(0x30)), (0x0110, number(1))]));
    for at in 0..whole.len() {
        let mut client = Client::open(server.dimse, &contexts);
        client.raw(&whole[..at]);
    }
    let mut good = Client::open(server.dimse, &contexts);
    assert_eq!(good.store(1, SECONDARY_CAPTURE, "1.2.3", &small("1.2.3", "A", 1)), 0);
    good.release();
    let patience = Instant::now() + Duration::from_secs(10);
    while server.metric("cairn_dimse_associations ") > 0 {
        assert!(Instant::now() < patience, "associations are left over");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn two_hundred_associations_and_more_than_there_may_be() {
    let site = Site::new();
    let mut server = Server::start(&site, &[("DIMSE__ASSOCIATIONS_MAX", "200")]);
    let before = server.metric("process_resident_memory_bytes ");
    let wish = Wish::new(&[(VERIFICATION, &[IMPLICIT_LE])]);
    let mut clients: Vec<Client> = (0..200).map(|_| wish.open(server.dimse)).collect();
    assert!(matches!(wish.ask(server.dimse).0, Pdu::AssociationRJ(_)));
    for client in &mut clients {
        assert_eq!(client.echo(1), 0);
    }
    assert_eq!(server.metric("cairn_dimse_associations "), 200);
    let grown = server.metric("process_resident_memory_bytes ").saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for 200 associations");
    // Asked to end, it does not wait for associations that are quiet.
    let begun = Instant::now();
    assert_eq!(server.terminate(), 0);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
