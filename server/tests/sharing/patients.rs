//! Patients with keys of their own, among real sites: bound, asked, granted and revoked by signature alone.

use std::net::SocketAddr;

use crate::support::peer::{ask, secret};
use crate::support::server::{PARTS, client, parts};
use crate::support::sites::{Hospital, grants, introduce, study_of};
use crate::support::{Site, files_under};
use cairn_ledger::entry::{Conditions, Purpose};
use cairn_ledger::id::{SiteId, StudyId};
use cairn_ledger::opening::Blinding;
use cairn_ledger::patient::{
    Consent, Inquiry, PatientSecret, SignedStatement, StatementBody, Withdrawal,
};
use serde_json::Value;

const A: &str = "a.example/cairn";
const B: &str = "b.example/cairn";
const C: &str = "c.example/cairn";

/// A patient's things: key, card, sheet, in a folder without an archive.
struct Patient(Site);

impl Patient {
    fn new() -> Self {
        let home = Site::new();
        home.good(&["patient", "keygen", "patient.key", "--card", "card.svg"]);
        let card = home.object(&["patient", "card"])["card"].as_str().unwrap().to_owned();
        home.put("card.txt", card.as_bytes());
        Self(home)
    }

    fn card(&self) -> String {
        std::fs::read_to_string(self.0.path("card.txt")).unwrap()
    }

    fn secret(&self) -> PatientSecret {
        PatientSecret::load(&self.0.path("patient.key")).unwrap()
    }

    /// Has the card bound; keeps the sheet.
    fn bind(&self, at: &Hospital, study: &str, more: &[&str]) -> Value {
        let card = self.card();
        let arguments = [&["patient", "bind", study, "--card", &card], more].concat();
        let sheet = at.site.object(&arguments);
        self.0.put("sheet.json", sheet.to_string().as_bytes());
        sheet
    }

    fn studies(&self, at: &Hospital) -> Value {
        let server = at.server.url("");
        self.0.object(&["patient", "studies", "--sheet", "sheet.json", "--server", &server])
    }

    /// Writes a consent to a file.
    fn consents(&self, study: &str, to: &str, file: &str) -> String {
        let sheet = ["--sheet", "sheet.json", "--study", study, "--to", to];
        let signed = self.0.good(&[&["patient", "grant"][..], &sheet].concat()).stdout;
        self.0.put(file, signed.as_bytes()).to_str().unwrap().to_owned()
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn site_id(hospital: &Hospital) -> SiteId {
    SiteId::from_hex(&hospital.id()).unwrap()
}

fn bytes(hex: &str) -> [u8; 32] {
    SiteId::from_hex(hex).unwrap().0
}

/// Sends a statement to a hospital: status and answer.
fn say(to: &Hospital, signed: &SignedStatement) -> (u16, String) {
    let url = to.server.url("/patient/v1/statements");
    let reply = client().post(url).body(signed.bytes().to_vec()).send().unwrap();
    (reply.status().as_u16(), reply.text().unwrap())
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// A has a study, and knows B and C, which know each other.
fn three() -> (Hospital, Hospital, Hospital, String) {
    let site = Site::new();
    let study = study_of(&site);
    let a = Hospital::start_on(site, A);
    let (b, c) = (Hospital::start(B), Hospital::start(C));
    introduce(&a, &b);
    introduce(&a, &c);
    (a, b, c, study)
}

/// The story: a key, a card, a sheet; a consent that counts by itself; who looked; and its end.
#[test]
fn a_patient_lets_a_site_read_by_signature_alone_and_takes_it_back() {
    let (a, b, c, study) = three();
    let patient = Patient::new();
    patient.bind(&a, &study, &[]);
    // C knows no witness but itself, and a head is published with one cosignature: B's, if B was quicker.
    // What the sheet proves, it proves with the cosignatures that were there when it was made.
    let mut before = Value::Null;
    crate::support::eventually("both have cosigned the newest head", || {
        before = a.site.object(&["ledger"]);
        before["published"] == before["entries"] && before["cosigned"] == 2
    });
    let sheet = patient.bind(&a, &study, &[]);
    assert_eq!(a.site.object(&["ledger"])["root"], before["root"], "it was bound already");
    let bound: Vec<&Value> = sheet["studies"].as_array().unwrap().iter().collect();
    let of = |uid: &str| *bound.iter().find(|it| it["study_uid"] == uid).unwrap();
    let name = text(of(&study), "study").to_owned();
    assert!(sheet["sites"][B] == b.id().as_str() && of(&study)["entry"].is_u64());
    let file = patient.consents(&name[..12], B, "consent.txt");

    // Anybody can check it: with the ledgers that are known, or with keys alone and no archive.
    let proof = patient.0.good(&["patient", "proof", "--sheet", "sheet.json", "--study", &name]);
    let proof = patient.0.put("binding.tlog-proof", proof.stdout.as_bytes());
    let proof = proof.to_str().unwrap();
    let checked = c.site.object(&["patient", "check", &file, proof]);
    assert_eq!((&checked["valid"], &checked["holds_now"]), (&true.into(), &true.into()));
    assert_eq!(checked["grantee"], b.id().as_str());
    let keys = a.site.object(&["ledger"]);
    let witness = c.site.object(&["ledger"]);
    let other_witness = b.site.object(&["ledger"]);
    let given = |signer: &str| {
        let nobody = Site::new();
        let log = ["--log", text(&keys, "log_key"), "--signer", signer];
        // One cosignature is asked for before a head is published: whose, is a matter of who was quicker.
        let both = [&witness, &other_witness].map(|site| ["--witness", text(site, "witness_key")]);
        let check = ["--json", "patient", "check", file.as_str(), proof, "--needed", "1"];
        nobody.run(&[&check[..], &log, both.as_flattened()].concat())
    };
    assert_eq!(given(text(&keys, "signer_key")).code, 0);
    assert_eq!(given(text(&witness, "signer_key")).code, 1, "another signer");
    let other = bound.iter().find(|it| it["study"] != name.as_str());
    if let Some(other) = other {
        let elsewhere = patient.0.put("other.tlog-proof", text(other, "proof").as_bytes());
        let checked = c.site.run(&["patient", "check", &file, elsewhere.to_str().unwrap()]);
        assert_eq!(checked.code, 1, "the binding of another study");
    }

    // C cannot use it; B shows it to A, and nobody at A does anything.
    assert!(c.site.run(&["fetch", "--consent", &file]).stderr.contains("for another site"));
    let fetched = b.site.object(&["fetch", "--consent", &file]);
    assert_eq!((text(&fetched, "study_uid"), &fetched["receipt"]), (study.as_str(), &true.into()));
    let shown = b.server.url(&format!("/dicom-web/studies/{study}/metadata"));
    assert_eq!(client().get(shown).send().unwrap().status(), 200);
    // Shown again, it is the same grant.
    let given = grants(&a.site).len();
    b.site.good(&["fetch", "--consent", &file]);
    assert_eq!((given, grants(&a.site).len()), (1, 1));
    assert_eq!(grants(&a.site)[0]["purpose"], "PATRQT");

    // Nothing of the patient is on any ledger, nor the key, nor what was signed.
    let public = a.site.list(&["ledger", "entries"]);
    assert_eq!(public.last().unwrap()["kind"], "receipt");
    let consented = public.iter().find(|entry| entry["kind"] == "consented-grant").unwrap();
    assert_eq!(consented["consent"], checked["consent"]);
    let logs = files_under(&a.site.data().join("ledger/log"));
    let dump: Vec<u8> = logs.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    for secret in [bytes(text(&sheet, "key")), bytes(text(of(&study), "blinding"))] {
        assert!(!dump.windows(32).any(|part| part == secret));
    }
    let said = std::fs::read_to_string(&file).unwrap();
    let said = SignedStatement::from_text(&said).unwrap();
    assert!(!dump.windows(64).any(|part| part == &said.bytes()[said.bytes().len() - 64..]));
    assert!(!dump.windows(study.len()).any(|part| part == study.as_bytes()));

    // Who may read, and who has.
    let told = patient.studies(&a);
    let mine = told["studies"].as_array().unwrap().iter().find(|it| it["study_uid"] == *study);
    let mine = mine.unwrap();
    let grant = &mine["grants"][0];
    assert_eq!((text(grant, "site_name"), &grant["by_consent"]), (B, &true.into()));
    let seen = &mine["seen"][0];
    assert_eq!((text(seen, "site_name"), text(seen, "how")), (B, "verified"));

    // It ends, and what was signed before ends with it.
    let server = a.server.url("");
    let meant = ["--sheet", "sheet.json", "--study", &name, "--server", &server];
    let ended = patient.0.object(&[&["patient", "revoke"][..], &meant].concat());
    assert_eq!(ended["grants"].as_array().unwrap().len(), 1);
    crate::support::eventually("b knows", || grants(&b.site)[0]["why"] == "the grant was revoked");
    let again = b.site.run(&["fetch", "--consent", &file]);
    assert!(again.code == 1 && again.stderr.contains("withdrawn"), "{}", again.stderr);
    // One that is signed afterwards counts again, handed to A by the patient.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let file = patient.consents(&name, B, "second.txt");
    a.site.good(&["patient", "take", &file]);
    assert_eq!(patient.studies(&a)["studies"][0]["grants"].as_array().unwrap().len(), 2);
    assert!(!a.server.log().contains(&study), "{}", a.server.log());
}

/// Where the patient wants to be asked, nothing else grants the study; and only what fits counts.
#[test]
fn a_required_signature_cannot_be_gone_around() {
    let (a, b, c, study) = three();
    let patient = Patient::new();
    let sheet = patient.bind(&a, &study, &["--required"]);
    let named = |it: &&Value| it["study_uid"] == study.as_str();
    let bound = sheet["studies"].as_array().unwrap().iter().find(named).unwrap().clone();
    assert_eq!(bound["required"], true);
    let refused = a.site.run(&["share", &study, "--to", B]);
    assert!(refused.code == 1 && refused.stderr.contains("patient's signature"));
    // Binding again without asking for it does not take it back.
    assert_eq!(patient.bind(&a, &study, &[])["studies"][0]["required"], true);

    let good = || Consent {
        study: StudyId(bytes(text(&bound, "study"))),
        blinding: Blinding(bytes(text(&bound, "blinding"))),
        grantee: site_id(&b),
        purpose: Purpose::PatientRequest,
        not_before: now() - 10,
        expires: now() + 3600,
        conditions: Conditions::default(),
    };
    let sign = |secret: &PatientSecret, owner: SiteId, signed: u64, consent: Consent| {
        SignedStatement::sign(secret, owner, signed, StatementBody::Consent(consent)).unwrap()
    };
    let (mine, at) = (patient.secret(), now());
    let bad = [
        ("another key", sign(&Patient::new().secret(), site_id(&a), at, good())),
        ("another owner", sign(&mine, site_id(&c), at, good())),
        ("another blinding", {
            let consent = Consent { blinding: Blinding([1; 32]), ..good() };
            sign(&mine, site_id(&a), at, consent)
        }),
        ("another study", {
            let consent = Consent { study: StudyId([1; 32]), ..good() };
            sign(&mine, site_id(&a), at, consent)
        }),
        ("over", sign(&mine, site_id(&a), at, Consent { expires: at - 1, ..good() })),
        ("not yet", {
            let consent = Consent { not_before: at + 60, ..good() };
            sign(&mine, site_id(&a), at, consent)
        }),
        ("dated ahead", sign(&mine, site_id(&a), at + 900, good())),
        ("an unknown site", {
            let consent = Consent { grantee: SiteId([1; 32]), ..good() };
            sign(&mine, site_id(&a), at, consent)
        }),
    ];
    let address: SocketAddr = a.url().strip_prefix("https://").unwrap().parse().unwrap();
    let present = |by: &Hospital, signed: &SignedStatement| {
        let path = "/peer/v1/consents";
        ask(address, &secret(&by.site), "POST", path, signed.bytes()).unwrap().status
    };
    for (why, signed) in &bad {
        assert_eq!(say(&a, signed).0, 403, "{why}");
        assert_eq!(present(&b, signed), 403, "{why}");
    }
    let good = sign(&mine, site_id(&a), now(), good());
    assert_eq!(present(&c, &good), 403, "C shows what is for B");
    assert!(grants(&a.site).is_empty());
    assert_eq!(present(&b, &good), 200);
    assert_eq!(grants(&a.site).len(), 1);
    for nothing in [&b""[..], b"x", &good.bytes()[1..]] {
        let reply = ask(address, &secret(&b.site), "POST", "/peer/v1/consents", nothing).unwrap();
        assert_eq!(reply.status, 400);
    }
    // An emergency does not wait for a signature.
    let broken = ["glass", "break", text(&bound, "study"), "--from", A, "--reason", "emergency"];
    c.site.good(&broken);
    crate::support::eventually("the patient sees it", || {
        let told = patient.studies(&a);
        let seen = told["studies"].as_array().unwrap().iter().find(named).unwrap()["seen"].clone();
        seen.as_array().unwrap().iter().any(|it| it["how"] == "emergency" && it["site_name"] == C)
    });
}

/// Statements over HTTP are for one ear, once, and soon; and there is a line for each.
#[test]
fn a_statement_is_heard_once_by_whom_it_is_for() {
    let site = Site::new();
    let study = study_of(&site);
    let settings = [("IDENTITY__REQUIRED", "always")];
    let a = Hospital::start_with(site, A, &settings);
    let patient = Patient::new();
    let sheet = patient.bind(&a, &study, &[]);
    let ask = |secret: &PatientSecret, owner: SiteId, signed: u64| {
        let nonce = cairn_ledger::id::random().unwrap();
        let body = StatementBody::Inquiry(Inquiry { nonce });
        SignedStatement::sign(secret, owner, signed, body).unwrap()
    };
    let (mine, id) = (patient.secret(), site_id(&a));
    let inquiry = ask(&mine, id, now());
    let (status, told) = say(&a, &inquiry);
    assert_eq!(status, 200);
    assert!(told.contains(&study));
    for (why, signed) in [
        ("heard before", inquiry),
        ("too late", ask(&mine, id, now() - 900)),
        ("too early", ask(&mine, id, now() + 900)),
        ("to another site", ask(&mine, SiteId([3; 32]), now())),
        ("of nobody", ask(&Patient::new().secret(), id, now())),
    ] {
        let (status, told) = say(&a, &signed);
        assert_eq!(status, 403, "{why}");
        assert!(!told.contains(&study), "{why}");
    }
    let name = StudyId(bytes(text(&sheet["studies"][0], "study")));
    let withdrawal = StatementBody::Withdrawal(Withdrawal { study: name, grant: None });
    let other = SignedStatement::sign(&Patient::new().secret(), id, now(), withdrawal.clone());
    assert_eq!(say(&a, &other.unwrap()).0, 403, "another's study");
    let old = SignedStatement::sign(&mine, id, now() - 900, withdrawal.clone()).unwrap();
    assert_eq!(say(&a, &old).0, 403, "an old withdrawal");
    assert_eq!(say(&a, &SignedStatement::sign(&mine, id, now(), withdrawal).unwrap()).0, 200);
    let url = a.server.url("/patient/v1/statements");
    for unsigned in [&b""[..], b"hello", &[0xd2; 5000]] {
        let reply = client().post(&url).body(unsigned.to_vec()).send().unwrap();
        assert_eq!(reply.status(), 401);
    }
    assert_eq!(client().post(&url).body(vec![0; 100_000]).send().unwrap().status(), 413);
    let lines = a.site.list(&["audit", "show"]);
    let said: Vec<&Value> = lines.iter().filter(|line| line["op"] == "patient_statement").collect();
    assert_eq!(said.len(), 13);
    let first = said[0];
    assert_eq!((text(first, "kind"), text(first, "status")), ("patient", "200"));
    assert!(first["studies"].as_array().unwrap().contains(&study.as_str().into()));
    assert!(text(first, "who").starts_with("key "));
    a.site.good(&["audit", "verify"]);
}

/// A key goes on to studies that arrive later, and a new card takes its place everywhere.
#[test]
fn what_arrives_is_bound_too_and_a_new_card_replaces_the_first() {
    let (a, b, _, study) = three();
    let (first, second) = (Patient::new(), Patient::new());
    let before = first.bind(&a, &study, &["--required"])["studies"].as_array().unwrap().len();
    // Another study of the same patient, and one of somebody else.
    let later: Vec<Vec<u8>> = cairn_dicom::phantom::mr(7, 3, 64).map(|file| file.bytes).collect();
    let others: Vec<Vec<u8>> = cairn_dicom::phantom::ct(8, 3, 64).map(|file| file.bytes).collect();
    for files in [&later, &others] {
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        let request = client().post(a.server.studies()).header("content-type", PARTS);
        assert!(request.body(parts(&files)).send().unwrap().status().is_success());
    }
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let arrived = loop {
        let told = first.studies(&a);
        let studies = told["studies"].as_array().unwrap().clone();
        if studies.len() > before {
            break studies.last().unwrap().clone();
        }
        assert!(std::time::Instant::now() < patience, "it is bound once it has been quiet");
        std::thread::sleep(std::time::Duration::from_millis(500));
    };
    assert_eq!((text(&arrived, "modalities"), &arrived["required"]), ("MR", &true.into()));
    assert_eq!(first.studies(&a)["studies"].as_array().unwrap().len(), before + 1);

    let old = first.consents(text(&arrived, "study"), B, "old.txt");
    let sheet = second.bind(&a, &study, &[]);
    assert_eq!(sheet["studies"].as_array().unwrap().len(), before + 1);
    assert_eq!(sheet["studies"][0]["required"], true, "the new key is asked for as well");
    let refused = b.site.run(&["fetch", "--consent", &old]);
    assert!(refused.code == 1 && refused.stderr.contains("not signed by the patient"));
    let new = second.consents(text(&arrived, "study"), B, "new.txt");
    b.site.good(&["fetch", "--consent", &new]);
    assert_eq!(a.site.list(&["patient", "ls"]).len(), 1);
    // The card of one patient is nobody else's.
    let other = a.site.list(&["ls"]);
    let other = other
        .iter()
        .find(|it| {
            !text(it, "patient_id")
                .contains(text(&a.site.list(&["patient", "ls"])[0], "patient_id"))
        })
        .unwrap();
    let card = second.card();
    let refused = a.site.run(&["patient", "bind", text(other, "study_uid"), "--card", &card]);
    assert!(refused.code == 1 && refused.stderr.contains("another patient"));
    let wrong = card.replace("CAIRN-PATIENT-1:", "CAIRN-PATIENT-1:0");
    assert_eq!(a.site.run(&["patient", "bind", &study, "--card", &wrong]).code, 1);
    assert_eq!(a.site.run(&["patient", "bind", "1.2.3.4", "--card", &card]).code, 1);
}

/// A crash between what is written down and what is logged: bound once, whichever came to be.
#[test]
fn a_binding_that_a_crash_cut_short_is_finished() {
    let site = Site::new();
    let study = study_of(&site);
    let mut a = Hospital::start_on(site, A);
    let patient = Patient::new();
    let sheet = patient.bind(&a, &study, &[]);
    let entries = || {
        let all = a.site.list(&["ledger", "entries"]);
        all.iter().filter(|entry| entry["kind"] == "patient-key").count()
    };
    let (bound, before) = (sheet["studies"].as_array().unwrap().len(), entries());
    assert_eq!(bound, before);
    let file = files_under(&a.site.data().join("ledger/patients")).pop().unwrap();
    let whole = std::fs::read_to_string(&file).unwrap();
    // Logged, and the number of the entry not written down.
    let cut: String = whole
        .lines()
        .filter(|line| !line.starts_with("entry"))
        .fold(String::new(), |all, line| all + line + "\n");
    a.server.kill();
    std::fs::write(&file, &cut).unwrap();
    a.restart();
    let again = patient.bind(&a, &study, &[]);
    let told = |sheet: &Value| {
        sheet["studies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["entry"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&again), told(&sheet));
    let count = a.site.list(&["ledger", "entries"]);
    assert_eq!(count.iter().filter(|entry| entry["kind"] == "patient-key").count(), before);
    // Written down, and not logged: as if the file were ahead of the ledger.
    a.server.kill();
    let ahead = whole.replacen("blinding = \"", &format!("blinding = \"{}", "00".repeat(32)), 1);
    let ahead: String = {
        // One blinding that never came to the ledger.
        let at = ahead.find(&"00".repeat(32)).unwrap();
        let mut text = ahead.clone();
        text.replace_range(at + 64..at + 128, "");
        text.lines()
            .filter(|line| !line.starts_with("entry"))
            .fold(String::new(), |all, line| all + line + "\n")
    };
    std::fs::write(&file, ahead).unwrap();
    a.restart();
    let again = patient.bind(&a, &study, &[]);
    assert!(told(&again).iter().all(Value::is_u64));
    let count = a.site.list(&["ledger", "entries"]);
    assert_eq!(count.iter().filter(|entry| entry["kind"] == "patient-key").count(), before + 1);
}

/// What is drawn is a card that a scanner reads as such, and a key is private.
#[test]
fn keys_and_cards_are_files_that_are_what_they_should_be() {
    use std::os::unix::fs::PermissionsExt;
    let home = Site::new();
    let made = home.object(&["patient", "keygen", "k.key", "--card", "c.svg", "--paper", "p.svg"]);
    assert!(text(&made, "card").starts_with("CAIRN-PATIENT-1:"));
    let mode =
        |name: &str| std::fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("k.key"), mode("p.svg")), (0o600, 0o600));
    let svg = std::fs::read_to_string(home.path("c.svg")).unwrap();
    assert!(svg.contains("<svg") && svg.len() > 10_000);
    let key = std::fs::read_to_string(home.path("k.key")).unwrap();
    assert_eq!(home.run(&["patient", "keygen", "k.key"]).code, 1, "never over another");
    assert_eq!(std::fs::read_to_string(home.path("k.key")).unwrap(), key);
    assert_eq!(home.run(&["patient", "card", "--key", "c.svg"]).code, 1);
    assert_eq!(home.object(&["patient", "card", "--key", "k.key"])["card"], made["card"]);
}
