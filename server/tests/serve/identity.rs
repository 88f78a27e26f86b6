//! Who is let in over HTTP, against the real binary: every route, with a token, without, with a wrong one.

#[path = "../../src/http/route_examples.rs"]
mod route_examples;
use crate::support::provider::Provider;
use crate::support::server::{PARTS, Server, client, parts};
use crate::support::{Site, dicom};
use reqwest::Method;
use reqwest::blocking::Response;
use route_examples::EXAMPLES;
use serde_json::Value;

const PUBLIC: [&str; 3] = ["healthz", "readyz", "options"];

fn ask(server: &Server, method: &str, path: &str, token: Option<&str>) -> Response {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = client().request(method, server.url(path));
    match token {
        Some(token) => request.bearer_auth(token).send().unwrap(),
        None => request.send().unwrap(),
    }
}

fn challenge(reply: &Response) -> &str {
    reply.headers()["www-authenticate"].to_str().unwrap()
}

/// A token of this archive for these arguments.
fn token(site: &Site, arguments: &[&str]) -> String {
    let made = site.object(&[&["token", "new"], arguments].concat());
    made["token"].as_str().unwrap().to_owned()
}

/// An archive with one study in it, and a server that asks who everybody is.
fn closed(settings: &[(&str, &str)]) -> (Site, Server) {
    let site = Site::new();
    site.put("in/a.dcm", &dicom("1.2", "1.3", "1.4", "A^B", &[1; 64]));
    site.good(&["import", "in"]);
    let server = Server::start(&site, &[&[("IDENTITY__REQUIRED", "always")], settings].concat());
    (site, server)
}

#[test]
fn every_route_asks_who_is_there() {
    let (site, server) = closed(&[]);
    let low = token(&site, &["--name", "scraper", "--role", "monitor"]);
    let made_up = low.replace(|c: char| c.is_ascii_digit(), "0");
    for (method, path, label) in EXAMPLES {
        if PUBLIC.contains(label) {
            assert!(ask(&server, method, path, None).status().is_success(), "{path}");
            assert!(ask(&server, method, path, Some("x.y.z")).status().is_success(), "{path}");
            continue;
        }
        let reply = ask(&server, method, path, None);
        assert_eq!(reply.status(), 401, "{method} {path}");
        assert_eq!(challenge(&reply), "Bearer realm=\"cairn\"");
        if *label == "patient_statement" {
            // No token opens it: what counts is who signed what is sent.
            assert_eq!(ask(&server, method, path, Some(&low)).status(), 401);
            continue;
        }
        for wrong in ["x.y.z", &made_up] {
            let reply = ask(&server, method, path, Some(wrong));
            assert_eq!(reply.status(), 401, "{method} {path} {wrong}");
            assert!(challenge(&reply).contains("error=\"invalid_token\""), "{path}");
        }
        let reply = ask(&server, method, path, Some(&low));
        if matches!(*label, "metrics" | "capabilities") {
            assert_eq!(reply.status(), 200, "{method} {path}");
        } else {
            assert_eq!(reply.status(), 403, "{method} {path}");
            assert!(challenge(&reply).contains("insufficient_scope"), "{path}");
        }
    }
    // And each has its line, with why.
    let lines = site.list(&["audit", "show"]);
    for (method, path, label) in EXAMPLES.iter().filter(|(_, _, label)| !PUBLIC.contains(label)) {
        let refused = lines.iter().filter(|line| line["op"] == *label && line["status"] == "401");
        let asked = EXAMPLES.iter().filter(|(_, _, other)| other == label).count();
        let each = if *label == "patient_statement" { 2 } else { 3 };
        let whys: Vec<_> = refused.map(|line| line["why"].as_str().unwrap_or_default()).collect();
        assert_eq!(whys.len(), each * asked, "{method} {path}");
        assert!(*label == "patient_statement" || whys.iter().all(|why| !why.is_empty()), "{path}");
    }
    // What is no resource is not told apart for who is not known.
    assert_eq!(ask(&server, "GET", "/no-such", None).status(), 401);
    assert_eq!(ask(&server, "PATCH", "/metrics", None).status(), 401);
    assert_eq!(ask(&server, "GET", "/no-such", Some(&low)).status(), 404);
    let basic = client().get(server.studies()).basic_auth("a", Some("b")).send().unwrap();
    assert_eq!(basic.status(), 401);
    let in_query = ask(&server, "GET", &format!("/metrics?access_token={low}"), None);
    assert_eq!(in_query.status(), 401);
    assert!(!server.log().contains(&low[6..]), "a token is in the log");
}

#[test]
fn roles_open_what_they_say_until_the_token_ends() {
    let (site, server) = closed(&[]);
    let reader = token(&site, &["--name", "viewer", "--role", "reader"]);
    let writer = token(&site, &["--name", "gateway", "--role", "writer"]);
    let admin = token(&site, &["--name", "admin", "--role", "admin"]);
    let store = |token: &str, study: &str| {
        let file = dicom(study, "2.3", &format!("{study}.4"), "A^B", &[2; 64]);
        let body = parts(&[file.as_slice()]);
        let request = client().post(server.studies()).bearer_auth(token);
        request.header("content-type", PARTS).body(body).send().unwrap().status().as_u16()
    };
    assert_eq!((store(&reader, "2.2"), store(&writer, "2.2")), (403, 200));
    let get = |token: &str, path: &str| ask(&server, "GET", path, Some(token)).status().as_u16();
    assert_eq!(get(&reader, "/dicom-web/studies/2.2"), 200);
    assert_eq!(get(&writer, "/dicom-web/studies/2.2"), 403);
    assert_eq!(ask(&server, "DELETE", "/dicom-web/studies/2.2", Some(&reader)).status(), 403);
    assert_eq!(ask(&server, "DELETE", "/dicom-web/studies/2.2", Some(&admin)).status(), 204);

    // For one study alone.
    let trial = ["--name", "trial", "--role", "reader", "--study", "1.2"];
    let trial = token(&site, &trial);
    assert_eq!(get(&trial, "/dicom-web/studies/1.2/metadata"), 200);
    assert_eq!(get(&trial, "/dicom-web/studies?StudyInstanceUID=1.2"), 200);
    for other in ["/dicom-web/studies", "/dicom-web/studies/2.2", "/"] {
        assert_eq!(get(&trial, other), 403, "{other}");
    }
    site.good(&["token", "revoke", "viewer"]);
    assert_eq!(get(&reader, "/dicom-web/studies/1.2"), 401);
    assert_eq!(site.list(&["token", "ls"]).len(), 3);
    assert!(site.run(&["token", "revoke", "viewer"]).code != 0);
    assert_eq!(site.run(&["token", "new", "--name", "x", "--role", "king"]).code, 2);
}

#[test]
fn beyond_this_machine_a_server_lets_nobody_in_and_says_why() {
    let site = Site::new();
    let server = Server::start_anywhere(&site, &[]);
    let get = |path: &str| ask(&server, "GET", path, None).status().as_u16();
    assert_eq!((get("/healthz"), get("/readyz"), get("/dicom-web/studies")), (200, 200, 401));
    assert!(server.log().contains("cairn token new"), "{}", server.log());
    drop(server);
    let server = Server::start_anywhere(&site, &[("IDENTITY__REQUIRED", "never")]);
    assert_ne!(ask(&server, "GET", "/dicom-web/studies", None).status(), 401);
    assert!(server.log().contains("whoever reaches the port"), "{}", server.log());
}

#[test]
fn tokens_of_a_login_provider() {
    let provider = Provider::start();
    let config = format!(
        "[identity]\nissuer = '{}'\naudience = 'cairn'\nroles_claim = 'realm_access.roles'\n\
         skew_seconds = 5\nstudies_claim = 'studies'\n\
         [identity.roles.radiologist]\nclaims = 'radiology'\nscopes = 'imaging.read'\n\
         allow = 'search, read'\n",
        provider.url
    );
    let site = Site::new();
    site.put("in/a.dcm", &dicom("1.2", "1.3", "1.4", "A^B", &[1; 64]));
    site.good(&["import", "in"]);
    site.put("data/cairn.toml", config.as_bytes());
    // It begins though the provider is away.
    provider.go_away();
    let server = Server::start(&site, &[]);
    let get = |token: &str| {
        let reply = ask(&server, "GET", "/dicom-web/studies/1.2/metadata", Some(token));
        let status = reply.status().as_u16();
        (status, serde_json::from_slice::<Value>(&reply.bytes().unwrap()).unwrap_or_default())
    };
    let radiology = serde_json::json!({ "realm_access": { "roles": ["radiology"] } });
    let good = provider.token(&radiology);
    assert_eq!(get(&good).0, 503);
    provider.come_back();
    crate::support::eventually("the keys are asked for again", || get(&good).0 == 200);
    let scoped = serde_json::json!({ "scope": "openid imaging.read" });
    assert_eq!(get(&provider.token(&scoped)).0, 200);
    let mut one = radiology.clone();
    one["studies"] = serde_json::json!(["1.2"]);
    assert_eq!(get(&provider.token(&one)).0, 200);
    one["studies"] = serde_json::json!(["1.9"]);
    assert_eq!(get(&provider.token(&one)).0, 403);
    // Another system's word for its own people is nothing here.
    let admin = serde_json::json!({ "realm_access": { "roles": ["admin", "reader"] } });
    let (status, told) = get(&provider.token(&admin));
    assert_eq!(status, 403);
    assert!(told["detail"].as_str().unwrap().contains("permission to read"), "{told}");
    let with = |change: Value| {
        let mut claims = radiology.clone();
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        get(&provider.token(&claims))
    };
    let now = Provider::now();
    assert_eq!(with(serde_json::json!({ "exp": now - 3 })).0, 200);
    for (change, why) in [
        (serde_json::json!({ "exp": now - 60 }), "expired"),
        (serde_json::json!({ "nbf": now + 60 }), "not count yet"),
        (serde_json::json!({ "aud": "other" }), "another server"),
        (serde_json::json!({ "iss": "https://elsewhere" }), "another issuer"),
        (serde_json::json!({ "sub": "" }), "has to"),
    ] {
        let (status, told) = with(change);
        assert_eq!(status, 401);
        assert!(told["detail"].as_str().unwrap().contains(why), "{told}");
    }
    for forged in provider.forgeries(&radiology) {
        assert_eq!(get(&forged).0, 401, "{forged}");
    }
    // A rotation: the next token with the new key has the keys asked for again.
    let old = provider.token(&radiology);
    provider.rotate();
    let new = provider.token(&radiology);
    crate::support::eventually("the new key counts", || get(&new).0 == 200);
    assert_eq!(get(&old).0, 401);
}
