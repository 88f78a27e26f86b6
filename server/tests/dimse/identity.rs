//! User identity negotiation (PS3.7 §D.3.3.7, behaviour 36).

use std::io::Write;
use std::process::Stdio;

use crate::support::dimse::{IMPLICIT_LE, VERIFICATION, Wish};
use crate::support::provider::Provider;
use crate::support::server::Server;
use crate::support::{Site, eventually};
use dicom_ul::Pdu;
use dicom_ul::pdu::{UserIdentity, UserIdentityType as Type, UserVariableItem};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;

const PASSCODE: &str = "correct horse battery";

/// A line for the file of users, made as an operator makes it.
fn user_line(site: &Site, user: &str, passcode: &str) -> String {
    let mut child = site
        .command(&["passcode", user])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{passcode}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn identity(answer: bool, kind: Type, primary: &str, secondary: &str) -> UserVariableItem {
    UserVariableItem::UserIdentityItem(UserIdentity::new(
        answer,
        kind,
        primary.as_bytes().to_vec(),
        secondary.as_bytes().to_vec(),
    ))
}

/// What becomes of an association with this identity: a word.
fn asked(server: &Server, item: Option<UserVariableItem>) -> &'static str {
    let mut wish = Wish::new(&[(VERIFICATION, &[IMPLICIT_LE])]);
    if let Some(item) = item {
        wish = wish.with(item);
    }
    let (answer, mut client) = wish.ask(server.dimse);
    match answer {
        Pdu::AssociationAC(accepted) => {
            assert_eq!(client.echo(1), 0);
            client.release();
            let is_answer = |item: &UserVariableItem| matches!(item, UserVariableItem::Unknown(0x59, value) if value[..] == [0, 0]);
            if accepted.user_variables.iter().any(is_answer) { "answered" } else { "accepted" }
        }
        Pdu::AssociationRJ(_) => "rejected",
        other => panic!("{other:?}"),
    }
}

#[test]
fn behaviour_36_identities_by_passcode_and_by_name() {
    let site = Site::new();
    let users =
        site.put("users.txt", format!("{}ct1\n", user_line(&site, "alice", PASSCODE)).as_bytes());
    let users = users.to_str().unwrap();
    let server =
        Server::start(&site, &[("DIMSE__IDENTITY", "required"), ("DIMSE__IDENTITY_USERS", users)]);
    let passcode = |answer, user, code| Some(identity(answer, Type::UsernamePassword, user, code));
    assert_eq!(asked(&server, None), "rejected");
    assert_eq!(asked(&server, passcode(false, "alice", PASSCODE)), "accepted");
    assert_eq!(asked(&server, passcode(true, "alice", PASSCODE)), "answered");
    assert_eq!(asked(&server, passcode(true, "alice", "open sesame")), "rejected");
    assert_eq!(asked(&server, passcode(true, "mallory", PASSCODE)), "rejected");
    assert_eq!(asked(&server, Some(identity(true, Type::Username, "ct1", ""))), "answered");
    // A name alone does not do for somebody who has a passcode.
    assert_eq!(asked(&server, Some(identity(true, Type::Username, "alice", ""))), "rejected");
    for kind in [Type::KerberosServiceTicket, Type::SamlAssertion, Type::Jwt] {
        assert_eq!(asked(&server, Some(identity(true, kind, "alice", PASSCODE))), "rejected");
    }
    assert_eq!(server.metric("cairn_dimse_rejections_total{reason=\"identity\"}"), 7);
    // A user who is taken out is out.
    std::fs::write(users, "ct1\n").unwrap();
    assert_eq!(asked(&server, passcode(true, "alice", PASSCODE)), "rejected");
    eventually("it is logged", || server.log().contains("user=\"alice\""));
    let log = server.log();
    for secret in [PASSCODE, "sesame", "mallory", "$argon2"] {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(log.contains("a user identity is wrong"), "{log}");
}

#[test]
fn behaviour_36_identities_are_optional_or_passed_over() {
    let site = Site::new();
    let users = site.put("users.txt", user_line(&site, "alice", PASSCODE).as_bytes());
    let users = users.to_str().unwrap();
    let wrong = || Some(identity(true, Type::UsernamePassword, "alice", "open sesame"));
    let server =
        Server::start(&site, &[("DIMSE__IDENTITY", "optional"), ("DIMSE__IDENTITY_USERS", users)]);
    assert_eq!(asked(&server, None), "accepted");
    assert_eq!(asked(&server, wrong()), "rejected");
    // Of a type that is not taken: let in as nobody in particular.
    assert_eq!(
        asked(&server, Some(identity(true, Type::SamlAssertion, "<saml/>", ""))),
        "accepted"
    );
    drop(server);
    // Off by default: then nobody is told that an identity was taken (§D.3.3.7.2).
    let server = Server::start(&site, &[]);
    assert_eq!(asked(&server, wrong()), "accepted");
}

#[test]
fn behaviour_36_identities_by_token() {
    let site = Site::new();
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let key = site.put("jwt.pem", pair.public_key_pem().as_bytes());
    let server = Server::start(
        &site,
        &[
            ("DIMSE__IDENTITY", "required"),
            ("DIMSE__IDENTITY_JWT_KEY", key.to_str().unwrap()),
            ("DIMSE__IDENTITY_JWT_ISSUER", "https://login.example"),
            ("DIMSE__IDENTITY_JWT_AUDIENCE", "cairn"),
            ("DIMSE__RULES", "[{user = \"dr.*\", allow = \"echo\"}]"),
        ],
    );
    let signing = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let token = |user: &str, lives: i64| {
        let claims = json!({
            "iss": "https://login.example", "aud": "cairn", "sub": user,
            "exp": get_current_timestamp().saturating_add_signed(lives),
        });
        let token = encode(&Header::new(Algorithm::ES256), &claims, &signing).unwrap();
        Some(identity(true, Type::Jwt, &token, ""))
    };
    assert_eq!(asked(&server, token("dr.who", 60)), "answered");
    assert_eq!(asked(&server, token("dr.who", -600)), "rejected");
    // Known, and allowed nothing.
    assert_eq!(asked(&server, token("somebody", 60)), "rejected");
    assert_eq!(asked(&server, Some(identity(true, Type::Username, "dr.who", ""))), "rejected");
    assert_eq!(server.metric("cairn_dimse_rejections_total{reason=\"identity\"}"), 2);
    assert_eq!(server.metric("cairn_dimse_rejections_total{reason=\"rules\"}"), 1);
}

/// Who logs in over HTTP is known to modalities' associations too, by the same provider and its keys.
#[test]
fn behaviour_36_identities_by_the_login_provider() {
    let provider = Provider::start();
    let site = Site::new();
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let key = site.put("jwt.pem", pair.public_key_pem().as_bytes());
    let by_login = [
        ("IDENTITY__ISSUER", provider.url.as_str()),
        ("IDENTITY__AUDIENCE", "cairn"),
        ("DIMSE__IDENTITY", "required"),
        ("DIMSE__IDENTITY_LOGIN", "true"),
    ];
    let by_key = [
        ("DIMSE__IDENTITY_JWT_KEY", key.to_str().unwrap()),
        ("DIMSE__IDENTITY_JWT_ISSUER", "https://login.example"),
        ("DIMSE__IDENTITY_JWT_AUDIENCE", "cairn"),
    ];
    let token = |change| Some(identity(true, Type::Jwt, &provider.token(&change), ""));
    // Beside a key of its own, or alone.
    for settings in [by_login.to_vec(), [&by_login[..], &by_key].concat()] {
        let server = Server::start(&site, &settings);
        assert_eq!(asked(&server, token(json!({}))), "answered");
        let now = Provider::now();
        for wrong in [
            json!({ "aud": "other" }),
            json!({ "iss": "https://login.example" }),
            json!({ "exp": now - 600 }),
            json!({ "sub": "" }),
            json!({ "sub": "x".repeat(129) }),
        ] {
            assert_eq!(asked(&server, token(wrong.clone())), "rejected", "{wrong}");
        }
        for forged in provider.forgeries(&json!({})) {
            assert_eq!(asked(&server, Some(identity(true, Type::Jwt, &forged, ""))), "rejected");
        }
        eventually("it is logged", || server.log().contains("user=\"alice\""));
        assert!(!server.log().contains("eyJ"), "a token is in the log");
    }
    // Nobody can tell, so nobody is let in; and it starts all the same.
    provider.go_away();
    let server = Server::start(&site, &by_login);
    assert_eq!(asked(&server, token(json!({}))), "rejected");
    eventually("it says why", || server.log().contains("the login provider does not answer"));
    // Without an issuer it cannot be meant.
    let ran = site.command(&["serve"]).env("CAIRN_DIMSE__IDENTITY_LOGIN", "true").output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
}

#[test]
fn files_of_users_that_cannot_be_used_are_named() {
    let site = Site::new();
    let users = site.put("users.txt", b"alice:open sesame\n");
    let ran = site
        .command(&["serve", "--http", "127.0.0.1:0", "--dimse", "127.0.0.1:0"])
        .env("CAIRN_DIMSE__IDENTITY", "required")
        .env("CAIRN_DIMSE__IDENTITY_USERS", users)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2), "{told}");
    assert!(told.contains("line 1") && !told.contains("sesame"), "{told}");
    let ran = site.run(&["passcode", "a:b"]);
    assert_eq!(ran.code, 2);
}
