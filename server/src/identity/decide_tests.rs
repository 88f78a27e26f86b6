//! Every example of a route there is, asked by everybody there is.

#![allow(clippy::unwrap_used)]

use hyper::Method;

use super::*;
use crate::http::EXAMPLES;
use crate::identity::{Kind, Permissions, Principal};
use crate::peer::PEER_EXAMPLES;

fn somebody(allow: &str, studies: Option<&[&str]>) -> Who {
    Who::Known(Principal {
        kind: Kind::Service,
        name: "n".into(),
        allow: Permissions::named(allow).unwrap_or_default(),
        studies: studies.map(|studies| studies.iter().map(|uid| (*uid).to_owned()).collect()),
        groups: Vec::new(),
    })
}

fn ask(who: &Who, method: &str, target: &str) -> Result<(), Denied> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let route = match path.strip_prefix("/peer/") {
        Some(_) => Route::Peer(crate::peer::PeerRoute::parse(&method, path).unwrap()),
        None => Route::parse(&method, path).unwrap(),
    };
    decide(who, &route, &Query::parse(Some(query)).unwrap())
}

#[test]
fn who_is_not_known_may_ask_for_nothing_that_tells_anything() {
    for (method, path, label) in EXAMPLES {
        let public = matches!(*label, "healthz" | "readyz" | "options");
        // Its signature tells who it is.
        let open = public || *label == "patient_statement";
        let expected = if open { Ok(()) } else { Err(Denied::Unknown) };
        assert_eq!(ask(&Who::Nobody, method, path), expected, "{method} {path}");
        let named = matches!(*label, "break_glass" | "glass_review");
        let anybody = if named { Err(Denied::Nameless) } else { Ok(()) };
        assert_eq!(ask(&Who::Anybody, method, path), anybody, "{method} {path}");
        let site = if public { Ok(()) } else { Err(Denied::Port) };
        assert_eq!(ask(&Who::Site([7; 32]), method, path), site, "{method} {path}");
    }
    for (method, path, _) in PEER_EXAMPLES {
        assert_eq!(ask(&Who::Site([7; 32]), method, path), Ok(()), "{path}");
        for who in [Who::Nobody, Who::Anybody, somebody("all", None)] {
            assert_eq!(ask(&who, method, path), Err(Denied::Port), "{path}");
        }
    }
}

#[test]
fn a_permission_opens_what_it_says_and_nothing_else() {
    for (method, path, label) in EXAMPLES {
        let needed = match *label {
            "healthz" | "readyz" | "options" | "capabilities" | "patient_statement" => None,
            "metrics" => Some("metrics"),
            "store" => Some("store"),
            "commit" | "commitment" => Some("commit"),
            label if label.starts_with("delete") => Some("delete"),
            "home" => Some("search"),
            "break_glass" => Some("break-glass"),
            "glass_list" | "glass_review" => Some("privacy"),
            label if label.starts_with("search") || label.starts_with("federated") => {
                Some("search")
            }
            _ => Some("read"),
        };
        let words = ["search", "read", "store", "delete", "commit", "metrics", "break-glass"];
        for word in words.into_iter().chain(["privacy", "nothing"]) {
            let may = ask(&somebody(word, None), method, path).is_ok();
            assert_eq!(may, needed.is_none_or(|needed| needed == word), "{word} {method} {path}");
        }
        assert_eq!(ask(&somebody("all", None), method, path), Ok(()), "{path}");
    }
}

#[test]
fn who_may_see_one_study_sees_no_other() {
    let who = somebody("all", Some(&["1.2"]));
    for (method, target) in [
        ("GET", "/dicom-web/studies/1.2"),
        ("GET", "/dicom-web/studies/1.2/series/9/instances/9/frames/1"),
        ("POST", "/dicom-web/studies/1.2"),
        ("GET", "/dicom-web/studies?StudyInstanceUID=1.2"),
        ("GET", "/dicom-web/series?0020000d=1.2"),
        ("GET", "/wado?requestType=WADO&studyUID=1.2"),
        ("GET", "/metrics"),
        ("GET", "/healthz"),
        ("GET", "/dicom-web"),
    ] {
        assert_eq!(ask(&who, method, target), Ok(()), "{method} {target}");
    }
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/dicom-web/studies"),
        ("POST", "/break-glass"),
        ("GET", "/break-glass"),
        ("GET", "/dicom-web/studies?PatientID=7"),
        ("GET", "/dicom-web/studies?StudyInstanceUID="),
        ("GET", "/dicom-web/studies?StudyInstanceUID=1.2,1.3"),
        ("GET", "/dicom-web/studies?StudyInstanceUID=1.2%5C1.3"),
        ("GET", "/dicom-web/studies?StudyInstanceUID=1.2&StudyInstanceUID=1.3"),
        ("GET", "/dicom-web/studies?StudyInstanceUID=1.2&0020000D=*"),
        ("GET", "/dicom-web/studies/1.3/series?StudyInstanceUID=1.2"),
        ("GET", "/dicom-web/studies/1.3"),
        ("DELETE", "/dicom-web/studies/1.3"),
        ("POST", "/dicom-web/studies"),
        ("POST", "/dicom-web/studies/1.3"),
        ("GET", "/wado?requestType=WADO"),
        ("GET", "/wado?studyUID=1.3&StudyUID=1.2"),
        ("POST", "/dicom-web/commitment-requests/1.2"),
    ] {
        assert_eq!(ask(&who, method, target), Err(Denied::Study), "{method} {target}");
    }
    let none = somebody("all", Some(&[]));
    assert_eq!(ask(&none, "GET", "/dicom-web/studies/1.2"), Err(Denied::Study));
}
