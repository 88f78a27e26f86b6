//! What callers may do, by rule (behaviours 31 and 36).

use crate::support::dimse::{
    Client, EXPLICIT_LE, IMPLICIT_LE, SECONDARY_CAPTURE, VERIFICATION, Wish, implicit, parted,
};
use crate::support::receiver::Receiver;
use crate::support::server::Server;
use crate::support::tls::{Authority, address, client_config, settings, start, tunnel};
use crate::support::{Site, dicom, eventually};
use dicom_ul::Pdu;
use dicom_ul::pdu::{PresentationContextResultReason as Reason, RequestorRoles, UserVariableItem};

const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
const GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
const COMMITMENT: &str = "1.2.840.10008.1.20.1";
/// In the order of the words below.
const CLASSES: [&str; 6] = [VERIFICATION, SECONDARY_CAPTURE, FIND, GET, MOVE, COMMITMENT];
const WORDS: [&str; 6] = ["echo", "store", "find", "get", "move", "commit"];

fn wish(calling: &str) -> Wish {
    let syntaxes: &[&str] = &[EXPLICIT_LE];
    let contexts: Vec<(&str, &[&str])> = CLASSES.iter().map(|class| (*class, syntaxes)).collect();
    Wish { calling: calling.into(), ..Wish::new(&contexts) }
}

/// Which services a caller is offered; `None`: it is not let in.
fn offered(server: &Server, calling: &str) -> Option<Vec<&'static str>> {
    let (answer, _client) = wish(calling).ask(server.dimse);
    match answer {
        Pdu::AssociationAC(accepted) => {
            let results = accepted.presentation_contexts.iter().zip(WORDS);
            Some(
                results
                    .filter_map(|(context, word)| match context.reason {
                        Reason::Acceptance => Some(word),
                        // The class is known: it is the user who is refused (PS3.8 table 9-18).
                        Reason::UserRejection => None,
                        ref other => panic!("{other:?}"),
                    })
                    .collect(),
            )
        }
        Pdu::AssociationRJ(_) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn behaviour_31_rules_for_each_service() {
    let site = Site::new();
    let only = |(n, word): (usize, &&str)| {
        format!("[[dimse.rules]]\ncalling = 'ONLY{n}'\nallow = '{word}'\n")
    };
    let rest = "[[dimse.rules]]\ncalling = 'WS*'\nallow = 'all'\n\
        [[dimse.rules]]\ncalling = 'ws1'\ndeny = 'store, commit'\n\
        [[dimse.rules]]\ncalling = 'FAR'\nnetwork = '10.0.0.0/8'\nallow = 'all'\n\
        [[dimse.rules]]\ncalling = 'NEAR'\nnetwork = '127.0.0.0/8'\nallow = 'find'\n\
        [[dimse.rules]]\ncalling = 'KNOWN'\nuser = '*'\nallow = 'find'\n\
        [[dimse.rules]]\ncalling = 'WS9'\ndeny = 'all'\n";
    let text = WORDS.iter().enumerate().map(only).chain([rest.to_owned()]).collect::<String>();
    site.put("data/cairn.toml", text.as_bytes());
    let server = Server::start(&site, &[]);
    for (n, word) in WORDS.iter().enumerate() {
        let expected = if n == 0 { vec!["echo"] } else { vec!["echo", *word] };
        assert_eq!(offered(&server, &format!("ONLY{n}")), Some(expected));
    }
    assert_eq!(offered(&server, "WS2"), Some(WORDS.to_vec()));
    assert_eq!(offered(&server, "WS1"), Some(vec!["echo", "find", "get", "move"]));
    assert_eq!(offered(&server, "NEAR"), Some(vec!["echo", "find"]));
    for nobody in ["FAR", "KNOWN", "WS9", "STRANGER"] {
        assert_eq!(offered(&server, nobody), None, "{nobody}");
    }
    assert_eq!(server.metric("cairn_dimse_rejections_total{reason=\"rules\"}"), 4);
}

#[test]
fn behaviour_31_who_may_only_retrieve_is_sent_objects_and_sends_none() {
    let site = Site::new();
    let file = dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &[3; 40]);
    site.put("in/1.dcm", &file);
    site.good(&["import", "in"]);
    let server = Server::start(&site, &[("DIMSE__RULES", "[{allow = \"get\"}]")]);
    let role = RequestorRoles { scu: true, scp: true };
    let wish = Wish::new(&[(GET, &[IMPLICIT_LE]), (SECONDARY_CAPTURE, &[EXPLICIT_LE])])
        .with(UserVariableItem::ScuScpRoleSelectionSubItem(SECONDARY_CAPTURE.into(), role));
    let mut client = wish.open(server.dimse);
    let granted = client.accepted.user_variables.iter().find_map(|item| match item {
        UserVariableItem::ScuScpRoleSelectionSubItem(_, roles) => Some((roles.scu, roles.scp)),
        _ => None,
    });
    assert_eq!(granted, Some((false, true)));
    let other = parted(&dicom("1.2.1", "1.2.2", "1.2.4", "A^B", &[4; 40])).3;
    assert_eq!(client.store(3, SECONDARY_CAPTURE, "1.2.4", &other), 0x0124);
    let keys = implicit(&[(0x0008_0052, "STUDY"), (0x0020_000D, "1.2.1")]);
    client.request(1, 0x0010, GET, &[(0x0700, vec![0, 0])], Some(&keys));
    let object = client.message();
    assert_eq!((object.number(0x0100), object.text(0x1000).as_str()), (0x0001, "1.2.3"));
    assert_eq!(object.data.as_deref(), Some(&parted(&file).3[..]));
    assert_eq!(server.metric("cairn_ingest_instances_total{outcome=\"new\"}"), 0);
}

#[test]
fn behaviour_31_moves_go_where_a_rule_lets_them() {
    let site = Site::new();
    site.put("in/1.dcm", &dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &[3; 40]));
    site.good(&["import", "in"]);
    let receiver = Receiver::start(&[], |_| 0);
    let peers = format!("WS1@{0},WS9@{0},OTHER@{0}", receiver.address);
    let rules = "[{allow = \"move\", destinations = \"WS*\"}, \
        {deny = \"move\", destinations = \"WS9\"}]";
    let server = Server::start(&site, &[("DIMSE__PEERS", &peers), ("DIMSE__RULES", rules)]);
    let moved = |title: &str| {
        let mut client = Client::open(server.dimse, &[(MOVE, &[IMPLICIT_LE])]);
        let keys = implicit(&[(0x0008_0052, "STUDY"), (0x0020_000D, "1.2.1")]);
        let mut title = title.as_bytes().to_vec();
        title.resize(title.len().next_multiple_of(2), b' ');
        client.request(1, 0x0021, MOVE, &[(0x0600, title), (0x0700, vec![0, 0])], Some(&keys));
        loop {
            let answer = client.message();
            if answer.status() != 0xFF00 {
                return answer.status();
            }
        }
    };
    assert_eq!(moved("ws1"), 0);
    receiver.next();
    assert_eq!(moved("OTHER"), 0x0124);
    assert_eq!(moved("WS9"), 0x0124);
    // Not known, and it would be allowed.
    assert_eq!(moved("WS5"), 0xA801);
    assert!(receiver.all().is_empty());
}

#[test]
fn behaviour_36_rules_over_tls_only() {
    let (site, authority) = (Site::new(), Authority::new());
    let own = authority.issue(&["127.0.0.1"]);
    let mut settings = settings(&site, &own, &authority.pem);
    let rules = "[{allow = \"find\"}, {tls = true, allow = \"all\"}]";
    settings.push(("DIMSE__RULES", rules.into()));
    let server = start(&site, &settings);
    assert_eq!(offered(&server, "X"), Some(vec!["echo", "find"]));
    let client = authority.issue(&["modality"]);
    let to = tunnel(address(&server), client_config(&authority.pem, Some(&client)));
    let client = wish("X").open(to);
    assert!((1..=11).step_by(2).all(|context| client.syntax(context).is_some()));
}

#[test]
fn behaviour_30_associations_of_one_title_are_counted() {
    let site = Site::new();
    let rules = "[{allow = \"all\"}, {calling = \"CT?\", associations_max = 2}]";
    let server = Server::start(&site, &[("DIMSE__RULES", rules)]);
    let ask = |title: &str| {
        let (answer, client) = wish(title).ask(server.dimse);
        match answer {
            Pdu::AssociationAC(_) => Ok(client),
            Pdu::AssociationRJ(rejection) => Err(rejection.result),
            other => panic!("{other:?}"),
        }
    };
    let first = ask("CT1").ok().unwrap();
    let _second = ask("ct1").ok().unwrap();
    // Transient: it may try again.
    assert_eq!(ask("CT1").err(), Some(dicom_ul::pdu::AssociationRJResult::Transient));
    let _other = ask("CT2").ok().unwrap();
    let _many: Vec<Client> = (0..5).map(|_| ask("MR").ok().unwrap()).collect();
    first.release();
    eventually("a place is given back", || ask("CT1").is_ok());
    assert!(server.metric("cairn_dimse_rejections_total{reason=\"too_many\"}") >= 1);
}

#[test]
fn rules_that_make_no_sense_are_named() {
    let site = Site::new();
    site.put(
        "data/cairn.toml",
        b"[[dimse.rules]]\nallow = 'all'\n[[dimse.rules]]\nallow = 'sing'\n",
    );
    let ran = site.run(&["ls"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("rule 2") && ran.stderr.contains("sing"), "{}", ran.stderr);
    site.put("data/cairn.toml", b"[[dimse.rules]]\nallows = 'all'\n");
    assert_eq!(site.run(&["ls"]).code, 2);
}
