//! Every route there is, walked.

#![allow(clippy::unwrap_used)]

use hyper::StatusCode;

use super::*;
use crate::http::EXAMPLES;

fn parse(method: &str, path: &str) -> Result<Route, Problem> {
    Route::parse(&Method::from_bytes(method.as_bytes()).unwrap(), path)
}

#[test]
fn every_route_has_its_label_and_options() {
    for (method, path, label) in EXAMPLES {
        assert_eq!(parse(method, path).unwrap().label(), *label, "{method} {path}");
        assert!(!label.contains(|c: char| c.is_ascii_digit()));
        let allow = resource(path).allow();
        assert!(allow.contains(method) && allow.contains("OPTIONS"), "{path}");
        assert!(!allow.contains("GET") || parse("HEAD", path).is_ok(), "{path}");
        let refused = parse("PATCH", path).unwrap_err();
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

/// What a path names, here or at all sites.
fn resource(path: &str) -> Resource {
    Resource::parse(federated(path).unwrap_or(path)).unwrap()
}

/// Where a route stands among all there are. A new one does not compile until it is counted here, and
/// then needs an example.
fn place(route: &Route) -> usize {
    match route {
        Route::Home => 0,
        Route::Metrics => 1,
        Route::Health => 2,
        Route::Ready => 3,
        Route::WadoUri => 4,
        Route::Capabilities => 5,
        Route::Search { .. } => 6,
        Route::Store { .. } => 7,
        Route::Retrieve(_) => 8,
        Route::Delete(_) => 9,
        Route::Metadata(_) => 10,
        Route::Rendered { .. } => 11,
        Route::Thumbnail { .. } => 12,
        Route::Bulkdata { .. } => 13,
        Route::Pixeldata(_) => 14,
        Route::Frames { .. } => 15,
        Route::Commit { .. } => 16,
        Route::Commitment { .. } => 17,
        Route::Options { .. } => 18,
        Route::Peer(_) => 19,
        Route::Federated { .. } => 20,
        Route::BreakGlass => 21,
        Route::GlassList => 22,
        Route::GlassReview => 23,
        Route::Statement => 24,
    }
}

/// The same for what paths name.
fn resource_place(resource: &Resource) -> usize {
    match resource {
        Resource::Home => 0,
        Resource::Metrics => 1,
        Resource::Health => 2,
        Resource::Ready => 3,
        Resource::WadoUri => 4,
        Resource::Root => 5,
        Resource::List { .. } => 6,
        Resource::Entity(_) => 7,
        Resource::Metadata(_) => 8,
        Resource::Rendered(..) => 9,
        Resource::Thumbnail(..) => 10,
        Resource::Bulkdata(..) => 11,
        Resource::Pixeldata(_) => 12,
        Resource::Frames(..) => 13,
        Resource::Commitment(_) => 14,
        Resource::Glass => 15,
        Resource::GlassReviews => 16,
        Resource::Statements => 17,
    }
}

#[test]
fn every_route_has_an_example() {
    let (mut routes, mut resources) = ([false; 25], [false; 18]);
    for (method, path, _) in EXAMPLES {
        routes[place(&parse(method, path).unwrap())] = true;
        resources[resource_place(&resource(path))] = true;
    }
    // Those of other sites are parsed elsewhere, and have their own.
    routes[19] = true;
    assert_eq!((routes, resources), ([true; 25], [true; 18]));
}

#[test]
fn all_sites_are_searched_and_none_is_written_to() {
    let everywhere = EXAMPLES.iter().filter(|(_, path, _)| federated(path).is_some());
    for (_, path, _) in everywhere {
        for method in ["POST", "DELETE", "PUT"] {
            let refused = parse(method, path).unwrap_err();
            assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    for path in
        ["", "/", "/dicom-web", "/metrics", "/wado", "/break-glass", "/federated/dicom-web/studies"]
    {
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
