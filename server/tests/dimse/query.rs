//! C-FIND, C-GET and C-MOVE against the real binary: behaviours 32 to 34.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::dimse::{
    CT, Client, EXPLICIT_LE, IMPLICIT_LE, Message, SECONDARY_CAPTURE, Wish, element, elements,
    encode, find, implicit, number, parted, uid,
};
use crate::support::receiver::Receiver;
use crate::support::server::Server;
use crate::support::{Site, dicom};
use dicom_ul::pdu::{RequestorRoles, UserVariableItem};

const STUDY_FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const PATIENT_FIND: &str = "1.2.840.10008.5.1.4.1.2.1.1";
const STUDY_MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
const STUDY_GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";

const LEVEL: u32 = 0x0008_0052;
const NAME: u32 = 0x0010_0010;
const STUDY: u32 = 0x0020_000D;
const SERIES: u32 = 0x0020_000E;
const SOP: u32 = 0x0008_0018;

fn three(server: &Server) {
    let mut client = Client::open(server.dimse, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    for (study, series, sop, patient) in [
        ("1.2.1", "1.2.1.1", "1.2.1.1.1", "Doe^Jane"),
        ("1.2.1", "1.2.1.1", "1.2.1.1.2", "Doe^Jane"),
        ("1.2.2", "1.2.2.1", "1.2.2.1.1", "Roe^Richard"),
    ] {
        let data = parted(&dicom(study, series, sop, patient, &[1; 64])).3;
        assert_eq!(client.store(1, SECONDARY_CAPTURE, sop, &data), 0);
    }
    client.release();
}

/// A sender that has not turned Nagle's algorithm off holds the identifier back until the command before
/// it is acknowledged, which Linux puts off for 40 ms or more unless it is told not to.
#[test]
#[cfg(target_os = "linux")]
fn who_sends_a_message_in_two_pieces_does_not_wait_for_acknowledgements() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let mut client = Client::open(server.dimse, &[(STUDY_FIND, &[IMPLICIT_LE])]);
    client.stream.set_nodelay(false).unwrap();
    let keys = implicit(&[(LEVEL, "STUDY"), (STUDY, "1.2.9")]);
    let rounds = (0..20).map(|_| {
        let asked = Instant::now();
        assert_eq!(find(&mut client, STUDY_FIND, &keys), (Vec::new(), 0));
        asked.elapsed()
    });
    // The first ones are acknowledged at once anyway; of the others any may meet a busy machine.
    let fastest = rounds.skip(5).min().unwrap();
    assert!(fastest < Duration::from_millis(35), "{fastest:?}");
}

#[test]
fn behaviour_32_answers_at_every_level() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    three(&server);
    let mut client = Client::open(server.dimse, &[(STUDY_FIND, &[IMPLICIT_LE])]);
    let mut ask = |keys: &[(u32, &str)]| find(&mut client, STUDY_FIND, &implicit(keys));
    let (found, last) =
        ask(&[(LEVEL, "STUDY"), (0x0008_0050, ""), (0x0008_1030, ""), (NAME, "doe*"), (STUDY, "")]);
    assert_eq!((found.len(), last), (1, 0));
    let expected = BTreeMap::from([
        (LEVEL, "STUDY"),
        (0x0008_0050, ""), // without a value, and there
        (0x0008_0054, "CAIRN"),
        (0x0008_1030, ""),
        (NAME, "Doe^Jane"),
        (STUDY, "1.2.1"),
    ]);
    let found: BTreeMap<u32, &str> = found[0].iter().map(|(t, v)| (*t, v.as_str())).collect();
    assert_eq!(found, expected);
    // Everything, by an empty key, by a star, by a list of UIDs.
    assert_eq!(ask(&[(LEVEL, "STUDY"), (NAME, "")]).0.len(), 2);
    assert_eq!(ask(&[(LEVEL, "STUDY"), (NAME, "*")]).0.len(), 2);
    assert_eq!(ask(&[(LEVEL, "STUDY"), (STUDY, "1.2.1\\1.2.2\\1.2.3")]).0.len(), 2);
    assert_eq!(ask(&[(LEVEL, "STUDY"), (STUDY, "1.2.9")]), (vec![], 0));
    let (found, _) = ask(&[(LEVEL, "SERIES"), (0x0008_0060, ""), (STUDY, "1.2.1"), (SERIES, "")]);
    assert_eq!((found.len(), found[0][&0x0008_0060].as_str()), (1, "OT"));
    let (found, _) = ask(&[(LEVEL, "IMAGE"), (SOP, ""), (STUDY, "1.2.1"), (SERIES, "1.2.1.1")]);
    let sops: Vec<&str> = found.iter().map(|found| found[&SOP].as_str()).collect();
    assert_eq!(sops, ["1.2.1.1.1", "1.2.1.1.2"]);
    // Relational: no key of the levels above.
    assert_eq!(ask(&[(LEVEL, "IMAGE"), (SOP, "1.2.2.1.1")]).0.len(), 1);
    // What is asked for and not known is empty.
    let (found, _) = ask(&[(LEVEL, "STUDY"), (STUDY, "1.2.1"), (0x0032_4000, "")]);
    assert_eq!(found[0][&0x0032_4000], "");
    // No level, a level of the other model, rubbish.
    assert_eq!(ask(&[(NAME, "")]).1, 0xA900);
    assert_eq!(ask(&[(LEVEL, "PATIENT"), (NAME, "")]).1, 0xA900);
    assert_eq!(ask(&[(0x0008_0020, "yesterday"), (LEVEL, "STUDY")]).1, 0xA900);
    assert_eq!(find(&mut client, STUDY_FIND, b"rubbish").1, 0xA900);
    client.release();
    let mut client = Client::open(server.dimse, &[(PATIENT_FIND, &[EXPLICIT_LE, IMPLICIT_LE])]);
    assert_eq!(client.syntax(1), Some(EXPLICIT_LE));
    let keys = b"\x08\0\x52\0CS\x08\0PATIENT \x10\0\x10\0PN\0\0";
    assert_eq!(client.request(1, 0x0020, PATIENT_FIND, &[], Some(keys)), 2);
    let answer = client.message();
    assert_eq!(answer.status(), 0xFF00);
    let data = answer.data.unwrap();
    assert!(crate::support::multipart::find(&data, b"PN\x08\0Doe^Jane").is_some());
}

#[test]
fn behaviour_32_sequences_come_whole_and_names_in_their_letters() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    // A report has sequences that nothing indexes.
    let file = cairn_dicom::phantom::structured_report(7);
    let (class, sop, syntax, data) = parted(&file.bytes);
    let contexts: [(&str, &[&str]); 2] = [(STUDY_FIND, &[IMPLICIT_LE]), (&class, &[&syntax])];
    let mut client = Client::open(server.dimse, &contexts);
    assert_eq!(client.store(3, &class, &sop, &data), 0);
    let mut keys = implicit(&[(SOP, &sop), (LEVEL, "IMAGE")]);
    element(&mut keys, 0x0040_A043, b""); // Concept Name Code Sequence
    let (found, last) = find(&mut client, STUDY_FIND, &keys);
    assert_eq!((found.len(), last), (1, 0));
    assert!(!found[0][&0x0040_A043].is_empty());
    // UTF-8 both ways.
    let text = dicom("1.2.5", "1.2.5.1", "1.2.5.1.1", "Muller^Jurgen", &[1; 64]);
    let mut data = parted(&text).3;
    let at = crate::support::multipart::find(&data, b"Muller^Jurgen").unwrap();
    data.splice(at..at + 13, "Müller^Jürg".bytes());
    let charset = b"\x08\0\x05\0CS\x0A\0ISO_IR 192";
    data.splice(0..0, charset.iter().copied());
    let mut other = Client::open(server.dimse, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    assert_eq!(other.store(1, SECONDARY_CAPTURE, "1.2.5.1.1", &data), 0);
    let keys = implicit(&[(0x0008_0005, "ISO_IR 192"), (LEVEL, "STUDY"), (NAME, "müller*")]);
    let (found, _) = find(&mut client, STUDY_FIND, &keys);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0][&NAME].as_str(), found[0][&0x0008_0005].as_str()),
        ("Müller^Jürg", "ISO_IR 192")
    );
}

#[test]
fn behaviour_32_a_cancel_ends_it() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let wish = Wish::new(&[(SECONDARY_CAPTURE, &[EXPLICIT_LE]), (STUDY_FIND, &[IMPLICIT_LE])]);
    let mut client =
        wish.with(UserVariableItem::Unknown(0x53, vec![0, 0, 0, 1])).open(server.dimse);
    for n in 0..600_u32 {
        let sop = format!("1.2.3.{n}");
        let data = parted(&dicom("1.2.1", "1.2.2", &sop, "A", &n.to_le_bytes())).3;
        client.send_store(1, SECONDARY_CAPTURE, &sop, &data);
    }
    for _ in 0..600 {
        assert_eq!(client.message().status(), 0);
    }
    let keys = implicit(&[(SOP, ""), (LEVEL, "IMAGE"), (STUDY, "1.2.1")]);
    let all = |client: &mut Client, cancel: bool| {
        let id = client.request(3, 0x0020, STUDY_FIND, &[], Some(&keys));
        if cancel {
            let elements =
                [(0x0100, number(0x0FFF)), (0x0120, number(id)), (0x0800, number(0x0101))];
            client.command(3, &elements);
        }
        let mut found = 0;
        loop {
            match client.message().status() {
                0xFF00 => found += 1,
                last => return (found, last),
            }
        }
    };
    assert_eq!(all(&mut client, false), (600, 0)); // over more than one page
    let (found, last) = all(&mut client, true);
    assert!(found < 600 && last == 0xFE00, "{found} {last:04X}");
    assert_eq!(all(&mut client, false), (600, 0));
    client.release();
}

fn study_of(file: &[u8]) -> String {
    let at = crate::support::multipart::find(file, b"\x20\0\x0D\0UI").unwrap();
    let length = usize::from(file[at + 6]);
    String::from_utf8_lossy(&file[at + 8..at + 8 + length]).trim_end_matches('\0').to_owned()
}

/// Five CT slices and a report, imported; their files by SOP Instance UID, and their study.
fn imported(site: &Site) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
    let paths = site.put_studies();
    site.good(&["import", "in"]);
    let files: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut studies: Vec<String> = files.iter().map(|file| study_of(file)).collect();
    studies.sort();
    studies.dedup();
    (files.into_iter().map(|file| (parted(&file).1, file)).collect(), studies)
}

#[test]
fn behaviour_33_c_get_over_the_same_association() {
    let site = Site::new();
    let (files, studies) = imported(&site);
    let server = Server::start(&site, &[]);
    let study = study_of(files.values().find(|file| parted(file).0 == CT).unwrap());
    assert!(studies.contains(&study));
    let wish = Wish::new(&[(STUDY_GET, &[IMPLICIT_LE]), (CT, &[IMPLICIT_LE, EXPLICIT_LE])]);
    let keys = implicit(&[(LEVEL, "STUDY"), (STUDY, &study)]);
    let get = |wish: &Wish, keys: &[u8]| {
        let mut client = wish.open(server.dimse);
        let class = STUDY_GET;
        client.request(1, 0x0010, class, &[(0x0700, number(0))], Some(keys));
        let mut objects = Vec::new();
        loop {
            let message = client.message();
            if message.number(0x0100) == 0x0001 {
                let sop = message.text(0x1000);
                let answer = encode(&[
                    (0x0002, uid(CT)),
                    (0x0100, number(0x8001)),
                    (0x0120, number(message.number(0x0110))),
                    (0x0800, number(0x0101)),
                    (0x0900, number(0)),
                    (0x1000, uid(&sop)),
                ]);
                client.value(message.context, true, &answer);
                objects.push((sop, message.data.unwrap()));
            } else if message.status() != 0xFF00 {
                // The association lives on.
                client.release();
                return (objects, message);
            }
        }
    };
    let counts = |last: &Message| [0x1021, 0x1022, 0x1023].map(|n| last.number(n));
    let role = |scp| {
        UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), RequestorRoles { scu: true, scp })
    };
    let slices = files.values().filter(|file| study_of(file) == study && parted(file).0 == CT);
    let slices = slices.count() as u16;
    let others = files.values().filter(|file| study_of(file) == study).count() as u16 - slices;
    let (objects, last) = get(&wish.clone().with(role(true)), &keys);
    assert_eq!(counts(&last), [slices, others, 0]);
    assert_eq!(last.status(), if others > 0 { 0xB000 } else { 0 });
    assert_eq!(objects.len(), usize::from(slices));
    for (sop, data) in objects {
        assert!(parted(&files[&sop]).3 == data, "{sop} is not what is stored");
    }
    // Without the role nothing can be sent; the association is none the worse.
    let (objects, last) = get(&wish, &keys);
    assert_eq!((objects.len(), last.status()), (0, 0xA702));
    assert_eq!(counts(&last), [0, slices + others, 0]);
    let listed = elements(last.data.as_ref().unwrap());
    assert_eq!(listed[&0x0008_0058].split('\\').count(), usize::from(slices + others));
    // Nothing there, and no key.
    let (_, last) = get(&wish, &implicit(&[(LEVEL, "STUDY"), (STUDY, "1.2.99")]));
    assert_eq!((last.status(), counts(&last)), (0, [0, 0, 0]));
    assert_eq!(get(&wish, &implicit(&[(LEVEL, "STUDY")])).1.status(), 0xA900);
}

#[test]
fn behaviour_34_c_move_to_another_archive() {
    let (site, other) = (Site::new(), Site::new());
    let (files, studies) = imported(&site);
    let mut receiver = Server::start(&other, &[]);
    let peers = format!("OTHER@{}", receiver.dimse);
    let server = Server::start(&site, &[("DIMSE__PEERS", &peers)]);
    let mut client = Client::open(server.dimse, &[(STUDY_MOVE, &[IMPLICIT_LE])]);
    let mut request = |to: &str, keys: &[(u32, &str)]| {
        let more = [(0x0600, to.as_bytes().to_vec()), (0x0700, number(0))];
        client.request(1, 0x0021, STUDY_MOVE, &more, Some(&implicit(keys)));
        loop {
            let answer = client.message();
            if answer.status() != 0xFF00 {
                return answer;
            }
        }
    };
    let list = studies.join("\\");
    assert_eq!(request("NOBODY", &[(LEVEL, "STUDY"), (STUDY, &list)]).status(), 0xA801);
    let last = request("OTHER ", &[(LEVEL, "STUDY"), (STUDY, &list)]);
    let counts = [0x1021, 0x1022, 0x1023].map(|n| last.number(n));
    assert_eq!((last.status(), counts), (0, [files.len() as u16, 0, 0]));
    client.release();
    assert_eq!(receiver.terminate(), 0);
    other.good(&["export", "--all", "out"]);
    let back = crate::support::files_under(&other.path("out"));
    assert_eq!(back.len(), files.len());
    for path in back {
        let (_, sop, syntax, data) = parted(&std::fs::read(path).unwrap());
        let (_, _, sent_syntax, sent) = parted(&files[&sop]);
        assert!(syntax == sent_syntax && data == sent, "{sop} changed on the way");
    }
}

#[test]
fn behaviour_34_what_a_receiver_does_not_take_is_converted_or_fails() {
    let site = Site::new();
    let (files, studies) = imported(&site);
    // Takes Implicit VR Little Endian only, and dislikes every third object.
    let receiver = Receiver::start(&[IMPLICIT_LE], |message| {
        let last = message.text(0x1000).bytes().last().unwrap_or(0);
        if last % 3 == 0 { 0xA700 } else { 0 }
    });
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peers = format!("OLD@{}, GONE@{gone}", receiver.address);
    let server = Server::start(&site, &[("DIMSE__PEERS", &peers)]);
    let mut client = Client::open(server.dimse, &[(STUDY_MOVE, &[IMPLICIT_LE])]);
    let keys = implicit(&[(LEVEL, "STUDY"), (STUDY, &studies.join("\\"))]);
    let mut move_to = |to: &str| {
        let more = [(0x0600, to.as_bytes().to_vec())];
        let id = client.request(1, 0x0021, STUDY_MOVE, &more, Some(&keys));
        loop {
            let answer = client.message();
            if answer.status() != 0xFF00 {
                return (id, answer);
            }
        }
    };
    let (id, last) = move_to("OLD ");
    let counts = [0x1021, 0x1022, 0x1023].map(|n| last.number(n));
    let came = receiver.all();
    let refused = files.keys().filter(|sop| sop.bytes().last().unwrap() % 3 == 0).count() as u16;
    assert_eq!(counts, [files.len() as u16 - refused, refused, 0]);
    assert_eq!(last.status(), if refused > 0 { 0xB000 } else { 0 });
    assert_eq!(came.len(), files.len());
    for (syntax, message) in came {
        assert_eq!((syntax.as_str(), message.number(0x1031)), (IMPLICIT_LE, id));
        assert_eq!(message.text(0x1030), "TEST");
        let sent = elements(message.data.as_ref().unwrap());
        assert_eq!(sent[&SOP], message.text(0x1000));
        let pixels = crate::support::multipart::find(&files[&sent[&SOP]], &[0xE0, 0x7F, 0x10, 0]);
        assert_eq!(pixels.is_some(), sent.contains_key(&0x7FE0_0010));
    }
    let (_, last) = move_to("GONE");
    assert_eq!((last.status(), last.number(0x1022)), (0xA702, files.len() as u16));
}
