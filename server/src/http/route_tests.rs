//! Every route there is, walked.

#![allow(clippy::unwrap_used)]

use hyper::StatusCode;

use super::*;

const ALL: &[(&str, &str, &str)] = &[
    ("GET", "/", "home"),
    ("GET", "/metrics", "metrics"),
    ("GET", "/healthz", "healthz"),
    ("HEAD", "/readyz", "readyz"),
    ("GET", "/wado", "wado_uri"),
    ("OPTIONS", "/dicom-web", "capabilities"),
    ("GET", "/dicom-web/", "capabilities"),
    ("GET", "/dicom-web/studies", "search_studies"),
    ("GET", "/dicom-web/series", "search_series"),
    ("GET", "/dicom-web/instances", "search_instances"),
    ("POST", "/dicom-web/studies", "store"),
    ("POST", "/dicom-web/studies/1.2", "store"),
    ("GET", "/dicom-web/studies/1.2", "retrieve_study"),
    ("DELETE", "/dicom-web/studies/1.2", "delete_study"),
    ("GET", "/dicom-web/studies/1.2/metadata", "metadata_study"),
    ("GET", "/dicom-web/studies/1.2/rendered", "rendered_study"),
    ("GET", "/dicom-web/studies/1.2/thumbnail", "thumbnail"),
    ("GET", "/dicom-web/studies/1.2/bulkdata", "bulkdata"),
    ("GET", "/dicom-web/studies/1.2/pixeldata", "pixeldata"),
    ("GET", "/dicom-web/studies/1.2/series", "search_series"),
    ("GET", "/dicom-web/studies/1.2/instances", "search_instances"),
    ("GET", "/dicom-web/studies/1.2/series/1.3", "retrieve_series"),
    ("DELETE", "/dicom-web/studies/1.2/series/1.3", "delete_series"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/metadata", "metadata_series"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/rendered", "rendered_series"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/thumbnail", "thumbnail"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/bulkdata", "bulkdata"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/pixeldata", "pixeldata"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/instances", "search_instances"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/instances/1.4", "retrieve_instance"),
    ("DELETE", "/dicom-web/studies/1.2/series/1.3/instances/1.4", "delete_instance"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/instances/1.4/metadata", "metadata_instance"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/instances/1.4/rendered", "rendered_instance"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/instances/1.4/thumbnail", "thumbnail"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/instances/1.4/bulkdata", "bulkdata"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/instances/1.4/bulkdata/7FE00010", "bulkdata"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/instances/1.4/pixeldata", "pixeldata"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/instances/1.4/frames/1,2", "frames"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/instances/1.4/frames/1/rendered", "rendered_frames"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/instances/1.4/frames/1/thumbnail", "thumbnail"),
    ("POST", "/dicom-web/commitment-requests/1.2", "commit"),
    ("GET", "/dicom-web/commitment-requests/1.2", "commitment"),
    ("OPTIONS", "/dicom-web/studies", "options"),
];

fn parse(method: &str, path: &str) -> Result<Route, Problem> {
    Route::parse(&Method::from_bytes(method.as_bytes()).unwrap(), path)
}

#[test]
fn every_route_has_its_label_and_options() {
    for (method, path, label) in ALL {
        assert_eq!(parse(method, path).unwrap().label(), *label, "{method} {path}");
        assert!(!label.contains(|c: char| c.is_ascii_digit()));
        let allow = Resource::parse(path).unwrap().allow();
        assert!(allow.contains(method) && allow.contains("OPTIONS"), "{path}");
        assert!(!allow.contains("GET") || parse("HEAD", path).is_ok(), "{path}");
        let refused = parse("PATCH", path).unwrap_err();
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

const FEDERATED: &[(&str, &str, &str)] = &[
    ("GET", "/federated/dicom-web/studies", "federated_studies"),
    ("GET", "/federated/dicom-web/studies/1.2/series", "federated_series"),
    ("GET", "/federated/dicom-web/instances", "federated_instances"),
    ("GET", "/federated/dicom-web/studies/1.2", "retrieve_study"),
    ("OPTIONS", "/federated/dicom-web/studies", "options"),
    ("HEAD", "/federated/dicom-web/studies/1.2/metadata", "metadata_study"),
];

#[test]
fn all_sites_are_searched_and_none_is_written_to() {
    for (method, path, label) in FEDERATED {
        assert_eq!(parse(method, path).unwrap().label(), *label, "{method} {path}");
        for method in ["POST", "DELETE", "PUT"] {
            let refused = parse(method, path).unwrap_err();
            assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    for path in ["", "/", "/dicom-web", "/metrics", "/wado", "/federated/dicom-web/studies"] {
        let refused = parse("GET", &format!("/federated{path}")).unwrap_err();
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(parse("GET", "/federated/dicom-web/commitment-requests/1.2").is_err());
}

#[test]
fn uids_are_names_and_nothing_else() {
    let long = "1".repeat(64);
    let route = parse("GET", &format!("/dicom-web/studies/{long}")).unwrap();
    assert_eq!(route, Route::Retrieve(Scope { study: Some(long), ..Scope::default() }));
    let odd = parse("GET", "/dicom-web/studies/%2E%2E%2Fx%25/series/1.3").unwrap();
    let Route::Retrieve(scope) = odd else { panic!("{odd:?}") };
    assert_eq!(scope.study.as_deref(), Some("../x%"));
    for bad in ["", "%00", "%FF", "1%0A", &"1".repeat(65), &"%31".repeat(65)] {
        let path = format!("/dicom-web/studies/{bad}/series");
        assert_eq!(parse("GET", &path).unwrap_err().status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[test]
fn behaviour_10_frame_lists() {
    let frames = |list: &str| {
        let path = format!("/dicom-web/studies/1/series/2/instances/3/frames/{list}");
        parse("GET", &path).map(|route| match route {
            Route::Frames { frames, .. } => frames,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(frames("1").unwrap(), [1]);
    assert_eq!(frames("3,1,1").unwrap(), [3, 1, 1]);
    assert_eq!(frames("1%2C2").unwrap(), [1, 2]);
    let long = vec!["1"; FRAMES_MAX + 1].join(",");
    for bad in ["0", "-1", "1,", ",", "a", "+1", "1;2", "4294967296", &long] {
        assert_eq!(frames(bad).unwrap_err().status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[test]
fn what_is_no_resource_is_not_found() {
    for path in [
        "",
        "//",
        "/x",
        "/dicom-webx",
        "/dicom-web/patients",
        "/dicom-web/studies/1/x",
        "/dicom-web/studies/1/series/2/frames/1",
        "/dicom-web/studies/1/series/2/instances/3/frames",
        "/dicom-web/studies/1/series/2/instances/3/frames/1/2",
        "/dicom-web/studies/1/series/2/instances/3/bulkdata/..%2F..%2Fetc",
        "/dicom-web/commitment-requests",
        "/metrics/x",
    ] {
        assert_eq!(parse("GET", path).unwrap_err().status, StatusCode::NOT_FOUND, "{path}");
    }
    let path = "/dicom-web/studies/1/series/2/instances/3/bulkdata/54000100/0/5400100a";
    let Ok(Route::Bulkdata { path: Some(path), .. }) = parse("GET", path) else { panic!() };
    assert_eq!(path, "54000100.0.5400100A");
}
