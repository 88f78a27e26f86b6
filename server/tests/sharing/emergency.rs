//! Breaking the glass where people work: over HTTP with a token, seen by both sites' officers, and what an
//! access that nobody reviews keeps from being done. Real servers on this machine.

use std::time::{Duration, Instant};

use crate::support::Site;
use crate::support::peer::{ask, secret};
use crate::support::provider::Provider;
use crate::support::server::client;
use crate::support::sites::{Hospital, introduce, study_of};
use reqwest::blocking::Response;
use serde_json::{Value, json};

const A: &str = "a.example/cairn";
const B: &str = "b.example/cairn";
/// What somebody writes as their reason, which may name anybody.
const TEXT: &str = "Polytrauma: Erika Mustermann, \"no\\allergies\"?";
/// Long enough for a slow machine to do everything in between.
const REVIEW_SECONDS: u64 = 12;

/// A has studies on its ledger that B holds no grant to. At both everybody has to show a token.
struct Two {
    a: Hospital,
    b: Hospital,
    /// Study Instance UIDs.
    studies: Vec<String>,
    provider: Provider,
    /// Tokens of officers.
    officer_a: String,
    officer_b: String,
}

fn service(site: &Site, name: &str, role: &str) -> String {
    let made = site.object(&["token", "new", "--name", name, "--role", role]);
    made["token"].as_str().unwrap().to_owned()
}

fn two() -> Two {
    let site = Site::new();
    let studies = [1, 2, 3].map(|number| format!("2.25.4711{number}")).to_vec();
    for study in &studies {
        let [series, instance] = [1, 2].map(|part| format!("{study}.{part}"));
        let file = crate::support::dicom(study, &series, &instance, "A^B", &[7; 64]);
        site.put(&format!("in/{study}.dcm"), &file);
    }
    site.good(&["import", "in"]);
    let provider = Provider::start();
    let a = Hospital::start_with(site, A, &[("IDENTITY__REQUIRED", "always")]);
    let seconds = REVIEW_SECONDS.to_string();
    let settings = [
        ("IDENTITY__ISSUER", provider.url.as_str()),
        ("IDENTITY__AUDIENCE", "cairn"),
        ("IDENTITY__GROUPS_CLAIM", "groups"),
        ("SHARING__GLASS_REVIEW_SECONDS", &seconds),
    ];
    // Its archive is there before tokens can be made.
    let site = Site::new();
    site.put("in/a.dcm", &crate::support::dicom("9.2", "9.3", "9.4", "A^B", &[1; 64]));
    site.good(&["import", "in"]);
    let roles = "[identity.roles.doctor]\nclaims = \"doctor\"\nallow = \"search, read, break-glass\"\n\
        [identity.roles.reader]\nclaims = \"reader\"\nallow = \"read\"\n";
    site.put("data/cairn.toml", roles.as_bytes());
    let b = Hospital::start_with(site, B, &settings);
    introduce(&a, &b);
    for study in &studies {
        // They stand on the ledger, and nobody has a grant.
        a.site.good(&["share", study, "--to", B]);
        a.site.good(&["revoke", study]);
    }
    crate::support::eventually("b follows", || {
        let grants = b.site.list(&["grants"]);
        grants.len() == 3 && grants.iter().all(|grant| grant["is_usable"] == false)
    });
    let officer_a = service(&a.site, "officer-a", "privacy-officer");
    let officer_b = service(&b.site, "officer-b", "privacy-officer");
    Two { a, b, studies, provider, officer_a, officer_b }
}

impl Two {
    fn doctor(&self, name: &str, group: &str) -> String {
        self.provider.token(&json!({ "sub": name, "roles": ["doctor"], "groups": [group] }))
    }

    fn open(&self, token: &str, study: &str) -> Response {
        let wish = json!({ "study": study, "reason": "emergency", "text": TEXT });
        post(&self.b, "/break-glass", token, &wish)
    }
}

fn post(hospital: &Hospital, path: &str, token: &str, body: &Value) -> Response {
    let request = client().post(hospital.server.url(path)).bearer_auth(token);
    let request = request.header("content-type", "application/json").body(body.to_string());
    request.send().unwrap()
}

fn get(hospital: &Hospital, path: &str, token: &str) -> Response {
    client().get(hospital.server.url(path)).bearer_auth(token).send().unwrap()
}

fn json_of(reply: Response) -> Value {
    serde_json::from_str(&reply.text().unwrap()).unwrap()
}

/// What an officer sees.
fn listed(hospital: &Hospital, token: &str) -> Vec<Value> {
    json_of(get(hospital, "/break-glass", token)).as_array().unwrap().clone()
}

fn lines(hospital: &Hospital, op: &str) -> Vec<Value> {
    let all = hospital.site.list(&["audit", "show"]);
    all.into_iter().filter(|line| line["op"] == op).collect()
}

#[test]
fn a_doctor_opens_a_study_and_both_officers_see_it_at_once() {
    let two = two();
    let (a, b, study) = (&two.a, &two.b, &two.studies[0]);
    let alice = two.doctor("alice", "er");
    // Who may not, and what is no request.
    assert_eq!(two.open("x.y.z", study).status(), 401);
    let reader = two.provider.token(&json!({ "roles": ["reader"] }));
    for token in [&reader, &two.officer_b] {
        assert_eq!(two.open(token, study).status(), 403);
    }
    assert_eq!(get(b, "/break-glass", &alice).status(), 403);
    let plain = client().post(b.server.url("/break-glass")).bearer_auth(&alice).body("{}");
    assert_eq!(plain.send().unwrap().status(), 415);
    let good = json!({ "study": study, "reason": "emergency", "text": TEXT });
    for (field, value, status) in [
        ("text", json!(" "), 400),
        ("text", json!("x".repeat(1001)), 400),
        ("reason", json!("curiosity"), 400),
        ("hours", json!(25), 400),
        ("sudo", json!(true), 400),
        ("from", json!("d.example/cairn"), 404),
        ("study", json!("1.2.3.4.5"), 404),
        ("study", json!("07".repeat(32)), 404),
        ("study", json!("x".repeat(65)), 400),
    ] {
        let mut wish = good.clone();
        wish[field] = value;
        let refused = post(b, "/break-glass", &alice, &wish);
        assert_eq!(refused.status(), status, "{field}");
        assert!(!refused.text().unwrap().contains("Mustermann"));
    }
    assert!(listed(a, &two.officer_a).is_empty() && listed(b, &two.officer_b).is_empty());

    let begun = Instant::now();
    let opening = std::thread::spawn({
        let (url, alice, good) = (b.server.url("/break-glass"), alice.clone(), good.clone());
        move || {
            let request = client().post(url).bearer_auth(alice);
            let request = request.header("content-type", "application/json");
            request.body(good.to_string()).send().unwrap().text().unwrap()
        }
    });
    let mut seen = [None; 2];
    while seen.iter().any(Option::is_none) && begun.elapsed() < Duration::from_secs(10) {
        for (seen, (hospital, token)) in
            seen.iter_mut().zip([(a, &two.officer_a), (b, &two.officer_b)])
        {
            if seen.is_none() && !listed(hospital, token).is_empty() {
                *seen = Some(begun.elapsed());
            }
        }
    }
    let opened: Value = serde_json::from_str(&opening.join().unwrap()).unwrap();
    println!(
        "seen by the owner's and the own officer after {seen:?}, fetched after {:?}",
        begun.elapsed()
    );
    // Within a round: sites ask each other every second here, and are told before.
    assert!(
        seen.iter().all(|seen| seen.is_some_and(|seen| seen < Duration::from_secs(3))),
        "{seen:?}"
    );
    assert_eq!(opened["study_uid"], study.as_str(), "{opened}");
    let retrieved = client().get(opened["retrieve_url"].as_str().unwrap()).bearer_auth(&alice);
    assert_eq!(retrieved.send().unwrap().status(), 200);
    // Asked again it is the same access.
    let again = json_of(two.open(&alice, study));
    assert_eq!((&again["entry"], &again["study_uid"]), (&opened["entry"], &opened["study_uid"]));

    let (of_a, of_b) = (&listed(a, &two.officer_a)[0], &listed(b, &two.officer_b)[0]);
    assert_eq!((&of_a["is_own"], &of_b["is_own"]), (&false.into(), &true.into()));
    assert_eq!((&of_a["study_uid"], &of_b["study_uid"]), (&json!(study), &json!(study)));
    assert_eq!((&of_b["by"], &of_b["groups"]), (&json!("alice"), &json!(["er"])));
    assert_eq!(of_a["by"], Value::Null, "who it was stays at B");
    let page = client().get(a.server.url("/break-glass")).bearer_auth(&two.officer_a);
    let page = page.header("accept", "text/html").send().unwrap().text().unwrap();
    assert!(page.contains(B) && page.contains("waits"), "{page}");
    let (scraper_a, scraper_b) =
        (service(&a.site, "m", "monitor"), service(&b.site, "m", "monitor"));
    for (hospital, token, line) in [
        (a, &scraper_a, "cairn_glass_unreviewed{by=\"others\"} 1"),
        (b, &scraper_b, "cairn_glass_unreviewed{by=\"this_site\"} 1"),
    ] {
        crate::support::eventually("the figures tell", || {
            get(hospital, "/metrics", token).text().unwrap().lines().any(|known| known == line)
        });
    }

    // The line stands before the entry, with the words; the owner has one of its own, without.
    let own = &lines(b, "emergency_override")[0];
    assert_eq!(
        (&own["who"], &own["note"], &own["ok"]),
        (&json!("alice"), &json!(TEXT), &json!(true))
    );
    crate::support::eventually("the owner's line is there", || {
        lines(a, "emergency_override").len() == 1
    });
    let theirs = &lines(a, "emergency_override")[0];
    assert_eq!((&theirs["who"], &theirs["studies"]), (&json!(b.id()), &json!([study])));
    assert_eq!(theirs["note"], Value::Null);
    for hospital in [a, b] {
        for format in ["dicom", "fhir"] {
            let told = hospital.site.good(&["audit", "export", "--format", format]).stdout;
            assert!(told.contains("110127") && !told.contains("Mustermann"), "{told}");
        }
        assert!(!hospital.server.log().contains("Mustermann"));
        let entries = hospital.site.good(&["ledger", "entries"]).stdout;
        assert!(!entries.contains("Mustermann"), "{entries}");
        let journal = hospital.site.data().join("ledger/glass.jsonl");
        assert!(!std::fs::read_to_string(journal).unwrap().contains("Mustermann"));
        hospital.site.good(&["audit", "verify"]);
    }
    // The owner finds that it was not right: it ends, and both know.
    let entry = of_a["entry"].clone();
    let finding = json!({ "site": B, "entry": entry, "verdict": "unjustified" });
    assert_eq!(post(a, "/break-glass/reviews", &scraper_a, &finding).status(), 403);
    assert_eq!(post(a, "/break-glass/reviews", &two.officer_a, &finding).status(), 200);
    assert_eq!(post(a, "/break-glass/reviews", &two.officer_a, &finding).status(), 404, "twice");
    crate::support::eventually("nothing waits", || {
        listed(a, &two.officer_a).is_empty() && listed(b, &two.officer_b).is_empty()
    });
    crate::support::eventually("b has a line of it", || lines(b, "emergency_review").len() == 1);
    let all = json_of(get(b, "/break-glass?all=true", &two.officer_b));
    assert_eq!(all[0]["verdict"], "unjustified");
    let next = json_of(two.open(&alice, study));
    assert_ne!(next["entry"], entry, "another access, which has to be reviewed anew");
}

#[test]
fn an_access_that_nobody_reviews_blocks_its_group_and_nothing_else() {
    let mut two = two();
    let [first, second, third] = [0, 1, 2].map(|place| two.studies[place].clone());
    let (alice, bob) = (two.doctor("alice", "er"), two.doctor("bob", "er"));
    let carol = two.doctor("carol", "icu");
    let begun = Instant::now();
    let opened = two.open(&alice, &first);
    assert_eq!(opened.status(), 200, "{}", opened.text().unwrap());
    let entry = json_of(opened)["entry"].clone();
    assert_eq!(two.open(&bob, &first).status(), 200, "in time");
    assert!(begun.elapsed() < Duration::from_secs(REVIEW_SECONDS), "the machine is too slow");
    std::thread::sleep(Duration::from_secs(REVIEW_SECONDS + 1).saturating_sub(begun.elapsed()));
    let blocked = |two: &Two| {
        let refused = two.open(&bob, &second);
        let status = refused.status().as_u16();
        (status, refused.text().unwrap())
    };
    let (status, why) = blocked(&two);
    assert!(status == 403 && why.contains("er") && why.contains("reviewed"), "{status} {why}");
    // Whoever else may, and whatever else they may, goes on.
    assert_eq!(two.open(&carol, &second).status(), 200);
    for path in [format!("/dicom-web/studies/{first}"), "/dicom-web/studies".into()] {
        assert_eq!(get(&two.b, &path, &bob).status(), 200, "{path}");
    }
    let refused =
        lines(&two.b, "emergency_override").into_iter().filter(|line| line["ok"] == false);
    let refused: Vec<_> = refused.collect();
    assert_eq!((&refused[0]["who"], &refused[0]["why"]), (&json!("bob"), &json!("unreviewed")));
    // A restart, and a crash, change nothing.
    two.b.server.kill();
    two.b.restart();
    crate::support::eventually("it is in touch again", || !two.b.site.list(&["peers"]).is_empty());
    assert_eq!(blocked(&two).0, 403);
    let waiting = listed(&two.b, &two.officer_b);
    assert!(
        waiting.iter().any(|it| it["entry"] == entry && it["is_blocking"] == true),
        "{waiting:?}"
    );
    assert!(two.b.site.run(&["glass"]).stdout.contains("OVERDUE"));
    // The owner reviews one of the two, B's own officer the other: the group may go on.
    let justified =
        |site: &str, entry: &Value| json!({ "site": site, "entry": entry, "verdict": "justified" });
    let reviewed = post(&two.a, "/break-glass/reviews", &two.officer_a, &justified(B, &entry));
    assert_eq!(reviewed.status(), 200, "{}", reviewed.text().unwrap());
    crate::support::eventually("b knows", || {
        !listed(&two.b, &two.officer_b).iter().any(|it| it["entry"] == entry)
    });
    crate::support::eventually("the other one is overdue too", || {
        let waiting = listed(&two.b, &two.officer_b);
        waiting.iter().any(|it| it["by"] == "bob" && it["is_blocking"] == true)
    });
    assert_eq!(blocked(&two).0, 403, "the other one waits");
    let waiting = listed(&two.b, &two.officer_b);
    let other = waiting.iter().find(|it| it["by"] == "bob").unwrap()["entry"].clone();
    let reviewed = post(&two.b, "/break-glass/reviews", &two.officer_b, &justified(B, &other));
    assert_eq!(reviewed.status(), 200, "{}", reviewed.text().unwrap());
    assert_eq!(two.open(&bob, &third).status(), 200);
    // On the owner's ledger it still waits: what B's officer found is not the owner's word.
    assert!(listed(&two.a, &two.officer_a).iter().any(|it| it["entry"] == other));
}

/// Which studies there are by their UIDs is told to sites that are known, unless the owner keeps it to itself.
#[test]
fn an_owner_may_tell_nobody_which_studies_it_has() {
    for (setting, expected) in [("true", 200), ("false", 403)] {
        let site = Site::new();
        let study = study_of(&site);
        let a = Hospital::start_with(site, A, &[("SHARING__GLASS_BY_UID", setting)]);
        let b = Hospital::start(B);
        introduce(&a, &b);
        a.site.good(&["share", &study, "--to", B]);
        let address = a.url().strip_prefix("https://").unwrap().parse().unwrap();
        let ask_for = |uid: &str| {
            let key = secret(&b.site);
            ask(address, &key, "POST", "/peer/v1/emergency", uid.as_bytes()).unwrap().status
        };
        assert_eq!(ask_for(&study), expected);
        assert_eq!(ask_for("1.2.3.4"), if expected == 200 { 404 } else { 403 });
    }
}
