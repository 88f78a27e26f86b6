//! The HTTP side of the real binary: deadlines, bounds, headers, probes.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::Site;
use crate::support::server::{PARTS, Server, client};

/// How long until the server closes the connection, once this was sent.
fn closed_after(server: &Server, bytes: &[u8], trickle: Option<&[u8]>) -> Duration {
    let begun = Instant::now();
    let mut stream = server.connect();
    stream.write_all(bytes).unwrap();
    let mut buffer = [0; 1024];
    if let Some(trickle) = trickle {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        while begun.elapsed() < Duration::from_secs(15) {
            if stream.write_all(trickle).is_err() {
                break;
            }
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                _ => {}
            }
        }
    } else {
        while stream.read(&mut buffer).is_ok_and(|got| got > 0) {}
    }
    begun.elapsed()
}

#[test]
fn slow_clients_do_not_hold_connections() {
    let site = Site::new();
    let settings = [
        ("SERVE__HEADER_SECONDS", "1"),
        ("SERVE__IDLE_SECONDS", "1"),
        ("SERVE__KEEP_ALIVE_SECONDS", "2"),
    ];
    let server = Server::start(&site, &settings);
    let within = |took: Duration, least: u64, most: u64| {
        let range = Duration::from_millis(least)..Duration::from_millis(most);
        assert!(range.contains(&took), "{took:?} {}", server.log());
    };
    // Silent; silent after HTTP/2's greeting; a head that never ends, in a trickle.
    within(closed_after(&server, b"", None), 900, 4000);
    within(closed_after(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None), 900, 4000);
    within(closed_after(&server, b"GET / HTTP/1.1\r\n", Some(b"X: y\r\n")), 900, 4000);
    // Kept for a while after a request.
    let request = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    within(closed_after(&server, request, None), 1800, 6000);
    // A body that stands still, and one that trickles.
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: h\r\nContent-Type: {PARTS}\r\n\
         Content-Length: 1000000\r\n\r\n--b\r\n"
    );
    within(closed_after(&server, head.as_bytes(), None), 900, 9000);
    within(closed_after(&server, head.as_bytes(), Some(b"x")), 900, 9000);
    // Others are served all the while.
    let _silent: Vec<_> = (0..50).map(|_| server.connect()).collect();
    assert_eq!(client().get(server.url("/readyz")).send().unwrap().status(), 200);
}

#[test]
fn heads_are_bounded_and_64_kb_of_accept_is_not_too_much() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let bomb = |fields: &str| {
        server.raw(format!("GET /dicom-web HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes()).status
    };
    assert_eq!(bomb(&format!("X: {}\r\n", "x".repeat(200_000))), 431);
    assert_eq!(bomb(&"X: y\r\n".repeat(1000)), 431);
    assert_eq!(bomb(&format!("Accept: {}*/*\r\n", "image/jls;q=0.1, ".repeat(3500))), 200);
    assert_eq!(server.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").status, 400);
    let path = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(70_000));
    assert!(matches!(server.raw(path.as_bytes()).status, 400 | 414), "a long path");
}

#[test]
fn every_reply_has_what_it_needs() {
    let site = Site::new();
    let server = Server::start(&site, &[("SERVE__CORS_ORIGINS", "https://viewer.example")]);
    let reply = client()
        .get(server.url("/dicom-web/nowhere"))
        .header("origin", "https://viewer.example")
        .header("x-request-id", "abc-1")
        .send()
        .unwrap();
    assert_eq!(reply.status(), 404);
    let headers = reply.headers();
    assert_eq!(headers["access-control-allow-origin"], "https://viewer.example");
    assert_eq!(
        (&headers["x-request-id"], &headers["x-content-type-options"]),
        (&"abc-1".parse().unwrap(), &"nosniff".parse().unwrap())
    );
    let problem: serde_json::Value = serde_json::from_slice(&reply.bytes().unwrap()).unwrap();
    assert_eq!((&problem["status"], &problem["request_id"]), (&404.into(), &"abc-1".into()));
}

#[test]
fn behaviour_16_other_origins_options_and_head() {
    let site = Site::new();
    let server = Server::start(&site, &[("SERVE__CORS_ORIGINS", "https://viewer.example")]);
    let refused = client().put(server.studies()).send().unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["allow"]),
        (405, &"GET, HEAD, POST, OPTIONS".parse().unwrap())
    );
    let preflight = client()
        .request(reqwest::Method::OPTIONS, server.studies())
        .header("origin", "https://viewer.example")
        .header("access-control-request-method", "POST")
        .send()
        .unwrap();
    assert_eq!(preflight.status(), 204);
    assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    let exposed = client()
        .get(server.url("/dicom-web"))
        .header("origin", "https://viewer.example")
        .send()
        .unwrap();
    let exposed = exposed.headers()["access-control-expose-headers"].to_str().unwrap().to_owned();
    for name in ["ETag", "Content-Range", "Warning", "Location"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let evil = client().get(server.url("/")).header("origin", "https://evil.example");
    assert!(!evil.send().unwrap().headers().contains_key("access-control-allow-origin"));

    let whole = client().get(server.url("/dicom-web")).send().unwrap();
    let head = client().head(server.url("/dicom-web")).send().unwrap();
    assert_eq!(head.headers()["content-length"], whole.headers()["content-length"]);
    assert!(head.bytes().unwrap().is_empty());
    let packed = client().get(server.url("/dicom-web")).header("accept-encoding", "gzip, br");
    let packed = packed.send().unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().unwrap().len() < whole.bytes().unwrap().len() / 2);
}

#[test]
fn urls_are_those_that_the_client_uses() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let root = |request: reqwest::blocking::RequestBuilder| request.send().unwrap().text().unwrap();
    let asked = client().get(server.url("/dicom-web"));
    assert!(root(asked).contains(&format!("base=\"{}/\"", server.url("/dicom-web"))));
    let proxied = client()
        .get(server.url("/dicom-web"))
        .header("forwarded", "for=192.0.2.1;proto=https;host=pacs.example")
        .header("x-forwarded-prefix", "/imaging");
    assert!(root(proxied).contains("base=\"https://pacs.example/imaging/dicom-web/\""));
    let set = Server::start(&Site::new(), &[("SERVE__BASE_URL", "https://set.example")]);
    let proxied = client().get(set.url("/dicom-web")).header("x-forwarded-host", "evil.example");
    assert!(root(proxied).contains("base=\"https://set.example/dicom-web/\""));
    let wary = Server::start(&Site::new(), &[("SERVE__TRUST_FORWARDED", "never")]);
    let proxied = client().get(wary.url("/dicom-web")).header("x-forwarded-host", "evil.example");
    assert!(!root(proxied).contains("evil"));
}

#[test]
fn probes_figures_and_log() {
    let site = Site::new();
    let mut server =
        Server::start(&site, &[("SERVE__LOG", "json"), ("INGEST__JOURNAL_BYTES_MAX", "123456789")]);
    for path in ["/", "/healthz", "/readyz", "/dicom-web/studies/1.2.3.4?PatientName=SECRET"] {
        let _ = client().get(server.url(path)).send().unwrap();
    }
    assert_eq!(
        server.metric("cairn_http_requests_total{method=\"GET\",route=\"healthz\",status=\"200\"}"),
        1
    );
    for name in ["process_open_fds", "process_resident_memory_bytes", "cairn_http_connections"] {
        assert!(server.metric(name) > 0, "{name}");
    }
    let bound = "cairn_ingest_queue_max{queue=\"uploads_bytes\"}";
    assert_eq!(server.metric(bound), 123_456_789, "the bound that is set");
    assert!(server.has_metric("cairn_ingest_queue{queue=\"uploads_bytes\"} 0"));
    assert!(server.has_metric("cairn_ingest_queue{queue=\"commits\"} 0"));
    assert!(server.has_metric("cairn_errors_total{kind=\"damage\"} 0"));
    assert_eq!(server.terminate(), 0);
    let log = server.log();
    assert!(!log.contains("SECRET") && !log.contains("1.2.3.4"), "{log}");
    let line = log.lines().find(|line| line.contains("\"route\":\"readyz\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["status"], &line["method"]), (&200.into(), &"GET".into()));
}

/// Scripts and service managers wait for the line and then signal: it ended at once with 143 when the
/// signal came before the handler was set.
#[test]
fn whoever_says_that_it_listens_can_be_asked_to_end() {
    let site = Site::new();
    for round in 0..5 {
        let mut server = Server::start(&site, &[]);
        #[cfg(target_os = "linux")]
        assert!(server.catches(15), "round {round}: no handler of SIGTERM");
        assert_eq!(server.terminate(), 0, "round {round}: {}", server.log());
    }
}

#[test]
fn a_probe_says_whether_it_is_ready() {
    let site = Site::new();
    let mut server = Server::start(&site, &[]);
    let asked = |arguments: &[&str]| site.run(&[&["probe"], arguments].concat());
    let (root, missing) = (server.url(""), server.url("/dicom-web/nowhere"));
    let ready = asked(&[&root]);
    assert_eq!((ready.code, ready.stderr.as_str()), (0, "ready\n"));
    assert_eq!(site.object(&["probe", &root])["status"], 200);
    let other = asked(&[&missing]);
    assert_eq!((other.code, other.stderr.as_str()), (1, "not ready: status 404\n"));
    for bad in ["https://127.0.0.1/", "nowhere"] {
        assert_eq!(asked(&[bad]).code, 2, "{bad}");
    }
    assert_eq!(server.terminate(), 0);
    assert_eq!(asked(&[&root, "--seconds", "2"]).code, 1, "nobody is there");
}

#[test]
fn what_cannot_be_is_said() {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let taken = site.run(&["serve", "--http", &server.address.to_string()]);
    assert_eq!(taken.code, 1);
    assert!(taken.stderr.contains("cannot listen on"), "{}", taken.stderr);
    // One writer at a time.
    assert_eq!(site.run(&["serve", "--http", "127.0.0.1:0"]).code, 1);
    for bad in [&["--http", "nowhere"][..], &["--base-url", "ftp://x"]] {
        assert_eq!(site.run(&[&["serve"], bad].concat()).code, 2, "{bad:?}");
    }
    let ran = site.command(&["serve"]).env("CAIRN_SERVE__DRAIN_SECONDS", "-1").output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
}
