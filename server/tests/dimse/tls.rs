//! DIMSE over TLS, both ways (behaviour 36).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::dimse::{
    Client, EXPLICIT_LE, IMPLICIT_LE, SECONDARY_CAPTURE, VERIFICATION, Wish, parted,
};
use crate::support::receiver::Receiver;
use crate::support::server::Server;
use crate::support::tls::{
    Authority, Pair, address, client_config, exchange, front, lone, settings, start, tunnel,
};
use crate::support::{Site, dicom, eventually};

const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

/// A site with a server that asks for certificates of one authority.
struct Mutual {
    site: Site,
    authority: Authority,
    server: Server,
}

impl Mutual {
    fn start(more: &[(&'static str, &str)]) -> Self {
        let (site, authority) = (Site::new(), Authority::new());
        let own = authority.issue(&LOCAL);
        let mut settings = settings(&site, &own, &authority.pem);
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let server = start(&site, &settings);
        Self { site, authority, server }
    }

    fn handshakes(&self, result: &str) -> u64 {
        let line = format!("cairn_dimse_tls_handshakes_total{{result=\"{result}\"}}");
        self.server.metric(&line)
    }
}

fn echo_request() -> Vec<u8> {
    Wish::new(&[(VERIFICATION, &[IMPLICIT_LE])]).pdu()
}

#[test]
fn behaviour_36_tls_and_plain_ports_together() {
    let it = Mutual::start(&[]);
    let client = it.authority.issue(&["modality"]);
    let to = tunnel(address(&it.server), client_config(&it.authority.pem, Some(&client)));
    // Some objects are larger than every buffer on the way, and all of it comes back as it went.
    for (place, sop, bytes) in
        [(to, "1.2.3.1", 60_000_usize), (it.server.dimse, "1.2.3.2", 60_000), (to, "1.2.3.3", 500)]
    {
        let pixels: Vec<u8> = (0..bytes).map(|n| (n * 7 % 251) as u8).collect();
        let file = dicom("1.2.1", "1.2.2", sop, "A^B", &pixels);
        let mut client = Client::open(place, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
        assert_eq!(client.store(1, SECONDARY_CAPTURE, sop, &parted(&file).3), 0);
        client.release();
    }
    let big = cairn_dicom::phantom::ct(3, 12, 512).map(|file| parted(&file.bytes));
    let wish = Wish::new(&[(crate::support::dimse::CT, &[EXPLICIT_LE])])
        .with(dicom_ul::pdu::UserVariableItem::Unknown(0x53, vec![0, 8, 0, 1]));
    let mut client = wish.open(to);
    let sent: Vec<_> = big.map(|(class, sop, _, data)| (class, sop, data)).collect();
    // A window: answers are written by another thread while this one goes on sending.
    for (class, sop, data) in &sent {
        client.send_store(1, class, sop, data);
    }
    for _ in &sent {
        assert_eq!(client.message().status(), 0);
    }
    client.release();
    drop(it.server);
    it.site.good(&["verify", "--all"]);
    it.site.good(&["export", "--all", "out"]);
    let back = crate::support::files_under(&it.site.path("out"));
    assert_eq!(back.len(), 3 + sent.len());
    let back: Vec<_> = back.iter().map(|path| parted(&std::fs::read(path).unwrap()).3).collect();
    assert!(sent.iter().all(|(_, _, data)| back.contains(data)));
}

#[test]
fn behaviour_36_client_certificates_are_required() {
    let it = Mutual::start(&[]);
    let to = address(&it.server);
    let good = it.authority.issue(&["modality"]);
    let strange = Authority::new().issue(&["modality"]);
    let of =
        |pair: Option<&Pair>| exchange(to, client_config(&it.authority.pem, pair), &echo_request());
    assert_eq!(of(Some(&good)), Ok(2));
    assert!(of(None).is_err());
    assert!(of(Some(&strange)).is_err());
    // A client that does not trust the server.
    let config = client_config(&Authority::new().pem, Some(&good));
    assert!(exchange(to, config, &echo_request()).is_err());
    eventually("three handshakes fail", || it.handshakes("refused") == 3);
    assert_eq!(it.handshakes("tls1.3"), 1);
    eventually("they are logged", || {
        it.server.log().contains("a connection has no TLS from=127.0.0.1")
    });
}

#[test]
fn behaviour_36_client_certificates_are_optional_or_none() {
    let it = Mutual::start(&[("DIMSE__TLS_CLIENTS", "optional")]);
    let to = address(&it.server);
    let strange = Authority::new().issue(&["modality"]);
    let of =
        |pair: Option<&Pair>| exchange(to, client_config(&it.authority.pem, pair), &echo_request());
    assert_eq!(of(None), Ok(2));
    assert_eq!(of(Some(&it.authority.issue(&["modality"]))), Ok(2));
    assert!(of(Some(&strange)).is_err());
    let it = Mutual::start(&[("DIMSE__TLS_CLIENTS", "none"), ("DIMSE__TLS_TRUSTED", "")]);
    let config = client_config(&it.authority.pem, Some(&strange));
    assert_eq!(exchange(address(&it.server), config, &echo_request()), Ok(2));
}

#[test]
fn behaviour_36_single_certificates_are_trusted_and_files_are_read_again() {
    let (site, authority) = (Site::new(), Authority::new());
    let own = authority.issue(&LOCAL);
    let (first, second) = (lone(&["a"]), lone(&["b"]));
    let server = start(&site, &settings(&site, &own, &first.certificate));
    let to = address(&server);
    let of = |pair: &Pair| exchange(to, client_config(&authority.pem, Some(pair)), &echo_request());
    assert_eq!(of(&first), Ok(2));
    assert!(of(&second).is_err());
    // What cannot be used changes nothing.
    site.put("tls/trusted.pem", b"no PEM");
    assert_eq!(of(&first), Ok(2));
    eventually("it is logged", || server.log().contains("a new file cannot be used"));
    site.put("tls/trusted.pem", format!("{}\n\n", second.certificate).as_bytes());
    assert_eq!(of(&second), Ok(2));
    assert!(of(&first).is_err());
    // A new certificate of its own, from another authority.
    let other = Authority::new();
    other.issue(&LOCAL).put(&site, "own");
    assert!(of(&second).is_err());
    assert_eq!(exchange(to, client_config(&other.pem, Some(&second)), &echo_request()), Ok(2));
}

/// A ClientHello for this version and these suites, without what newer versions need (RFC 5246
/// §7.4.1.2).
fn client_hello(version: u16, suites: &[u16]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    body.extend_from_slice(&(suites.len() as u16 * 2).to_be_bytes());
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend_from_slice(&[1, 0]);
    // supported_groups: secp256r1, x25519; signature_algorithms: ECDSA and RSA with SHA-256.
    let extensions = [0, 10, 0, 6, 0, 4, 0, 23, 0, 29, 0, 13, 0, 6, 0, 4, 4, 3, 4, 1];
    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(&extensions);
    let mut hello = vec![0x16, 3, 1];
    hello.extend_from_slice(&(body.len() as u16 + 4).to_be_bytes());
    hello.extend_from_slice(&[1, 0]);
    hello.extend_from_slice(&(body.len() as u16).to_be_bytes());
    hello.extend_from_slice(&body);
    hello
}

/// Type of the first record that comes back, and its last byte: of an alert, what it says.
fn first_record(it: &Mutual, hello: &[u8]) -> (u8, u8) {
    let mut stream = TcpStream::connect(address(&it.server)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(hello).unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut body).unwrap();
    (head[0], body.last().copied().unwrap())
}

#[test]
fn behaviour_36_old_versions_and_weak_suites_are_refused() {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    const HANDSHAKE_FAILURE: u8 = 40;
    const PROTOCOL_VERSION: u8 = 70;
    let it = Mutual::start(&[]);
    // ECDHE_ECDSA with AES-128-GCM: the hello is a good one, so the others fail for what they ask.
    assert_eq!(first_record(&it, &client_hello(0x0303, &[0xC02B])).0, HANDSHAKE);
    for version in [0x0300, 0x0301, 0x0302] {
        assert_eq!(
            first_record(&it, &client_hello(version, &[0xC02B, 0xC009, 0x002F])),
            (ALERT, PROTOCOL_VERSION),
            "{version:04X}"
        );
    }
    // RSA key exchange with AES-CBC and AES-GCM, ECDHE with CBC, 3DES, NULL.
    for suite in [0x002F, 0x009C, 0xC009, 0xC013, 0xC008, 0x000A, 0x0002, 0xC006] {
        assert_eq!(
            first_record(&it, &client_hello(0x0303, &[suite])),
            (ALERT, HANDSHAKE_FAILURE),
            "{suite:04X}"
        );
    }
}

#[test]
fn behaviour_36_who_knocks_at_the_wrong_port_is_told_apart() {
    let it = Mutual::start(&[]);
    // DICOM without TLS where TLS is due: closed at once.
    let mut plain = TcpStream::connect(address(&it.server)).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    plain.write_all(&echo_request()).unwrap();
    let begun = Instant::now();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(begun.elapsed() < Duration::from_secs(5) && answer.first() != Some(&2));
    assert_eq!(it.handshakes("plain"), 1);
    eventually("it is logged", || it.server.log().contains("the peer does not use TLS"));
    // TLS where none is spoken: an A-ABORT, which no TLS client understands.
    let config = client_config(&it.authority.pem, None);
    assert!(exchange(it.server.dimse, config, &echo_request()).is_err());
    eventually("it is logged", || it.server.log().contains("TLS on the port without it"));
}

#[test]
fn behaviour_36_a_stalled_handshake_ends() {
    let it = Mutual::start(&[("DIMSE__REQUEST_SECONDS", "2"), ("DIMSE__ASSOCIATIONS_MAX", "40")]);
    let to = address(&it.server);
    let hello = client_hello(0x0303, &[0xC02B]);
    // Silent, cut off in the middle, trickling.
    let mut held: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(to).unwrap()).collect();
    for (n, stream) in held.iter_mut().enumerate() {
        stream.write_all(&hello[..n * hello.len() / 40]).unwrap();
    }
    let begun = Instant::now();
    let mut trickling = TcpStream::connect(to).unwrap();
    for byte in hello.iter().cycle().take(400) {
        if trickling.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "a handshake trickles for ever");
    for mut stream in held {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("it was closed");
    }
    eventually("connections are let go", || it.server.metric("cairn_dimse_associations ") == 0);
    assert!(it.handshakes("slow") >= 30);
    let good = it.authority.issue(&["modality"]);
    let config = client_config(&it.authority.pem, Some(&good));
    assert_eq!(exchange(to, config, &echo_request()), Ok(2));
}

#[test]
fn behaviour_36_rubbish_after_the_handshake_ends_the_association() {
    let it = Mutual::start(&[]);
    let client = it.authority.issue(&["modality"]);
    let to = tunnel(address(&it.server), client_config(&it.authority.pem, Some(&client)));
    let mut client = Client::open(to, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    client.raw(&[9, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    client.assert_aborted();
    // Cut off in the middle of an object.
    let mut client = Client::open(to, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    client.raw(&[4, 0, 0, 1, 0, 0, 0]);
    drop(client);
    eventually("associations are let go", || it.server.metric("cairn_dimse_associations ") == 0);
}

#[test]
fn behaviour_36_a_move_goes_out_over_tls_and_only_to_who_is_trusted() {
    let (site, authority) = (Site::new(), Authority::new());
    let file = dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &vec![5; 60_000]);
    site.put("in/1.dcm", &file);
    site.good(&["import", "in"]);
    let receiver = Receiver::start(&[], |_| 0);
    let trusted = front(receiver.address, &authority.issue(&LOCAL));
    // Trusted, but with another name in its certificate.
    let misnamed = front(receiver.address, &authority.issue(&["elsewhere"]));
    let strange = front(receiver.address, &Authority::new().issue(&LOCAL));
    let peers = format!(
        "GOOD@tls://{trusted},MISNAMED@tls://{misnamed},STRANGE@tls://{strange},PLAIN@tls://{}",
        receiver.address
    );
    let own = authority.issue(&LOCAL);
    let mut settings = settings(&site, &own, &authority.pem);
    settings.push(("DIMSE__PEERS", peers));
    let server = start(&site, &settings);
    let moved = |title: &str| {
        let class = "1.2.840.10008.5.1.4.1.2.2.2";
        let mut client = Client::open(server.dimse, &[(class, &[IMPLICIT_LE])]);
        let keys =
            crate::support::dimse::implicit(&[(0x0008_0052, "STUDY"), (0x0020_000D, "1.2.1")]);
        let mut title = title.as_bytes().to_vec();
        title.resize(title.len().next_multiple_of(2), b' ');
        client.request(1, 0x0021, class, &[(0x0600, title), (0x0700, vec![0, 0])], Some(&keys));
        loop {
            let answer = client.message();
            if answer.status() != 0xFF00 {
                return answer.status();
            }
        }
    };
    assert_eq!(moved("GOOD"), 0);
    let (_, message) = receiver.next();
    assert_eq!(message.data.as_deref(), Some(&parted(&file).3[..]));
    for bad in ["MISNAMED", "STRANGE", "PLAIN"] {
        assert_ne!(moved(bad), 0, "{bad}");
    }
    assert!(receiver.all().is_empty());
}

#[test]
fn echo_over_tls_and_without() {
    let it = Mutual::start(&[]);
    let place = format!("CAIRN@{}", it.server.dimse);
    let plain = it.site.object(&["echo", &place]);
    assert_eq!((plain["status"].as_u64(), plain["tls"].as_bool()), (Some(0), Some(false)));
    assert!(plain["echo_seconds"].as_f64().unwrap() > 0.0);
    let (certificate, key) = it.authority.issue(&["workstation"]).put(&it.site, "client");
    let trusted = it.site.put("tls/ca.pem", it.authority.pem.as_bytes());
    let [certificate, key, trusted] =
        [&certificate, &key, &trusted].map(|path| path.to_str().unwrap());
    let place = format!("CAIRN@tls://{}", address(&it.server));
    let own = ["--tls-trusted", trusted, "--tls-certificate", certificate, "--tls-key", key];
    let told = it.site.good(&[&["echo"], &own[..], &[place.as_str()]].concat()).stdout;
    assert!(told.contains("CAIRN: success over TLS"), "{told}");
    // The flag is the same as the scheme.
    let bare = place.replace("tls://", "");
    it.site.good(&[&["echo", "--tls"], &own[..], &[bare.as_str()]].concat());
    // Without a certificate to show, and a server that is not trusted.
    let ran = it.site.run(&["echo", "--tls-trusted", trusted, &place]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("a certificate was refused"), "{}", ran.stderr);
    let strange = it.site.put("tls/strange.pem", Authority::new().pem.as_bytes());
    let ran = it.site.run(&["--json", "echo", "--tls-trusted", strange.to_str().unwrap(), &place]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("\"error\":\"the TLS handshake failed"), "{}", ran.stdout);
    // Nobody there, nobody trusted, no such peer, and a peer of the settings.
    assert_eq!(it.site.run(&["echo", "X@127.0.0.1:1"]).code, 1);
    for (arguments, word) in [
        (&["echo", place.as_str()][..], "dimse.tls_trusted"),
        (&["echo", "NOBODY"], "dimse.peers"),
        (&["echo", "X@"], "dimse.peers"),
    ] {
        let ran = it.site.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
    }
    let peers = format!("PACS@{}", it.server.dimse);
    let known = it.site.command(&["echo", "pacs"]).env("CAIRN_DIMSE__PEERS", peers).output();
    assert!(known.unwrap().status.success());
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (site, authority) = (Site::new(), Authority::new());
    let own = authority.issue(&LOCAL);
    let other = authority.issue(&LOCAL);
    let good = settings(&site, &own, &authority.pem);
    let rubbish = site.put("tls/rubbish.pem", b"-----BEGIN CERTIFICATE-----\n!\n");
    let empty = site.put("tls/empty.pem", b"");
    let (_, key) = other.put(&site, "other");
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let hollow = site.put("tls/hollow.pem", hollow.as_bytes());
    for (name, path, setting, word) in [
        ("DIMSE__TLS_CERTIFICATE", &rubbish, "dimse.tls_certificate", "PEM"),
        ("DIMSE__TLS_CERTIFICATE", &empty, "dimse.tls_certificate", "no certificate in PEM"),
        (
            "DIMSE__TLS_CERTIFICATE",
            &site.path("nowhere"),
            "dimse.tls_certificate",
            "cannot be read",
        ),
        ("DIMSE__TLS_KEY", &empty, "dimse.tls_key", "no private key in PEM"),
        ("DIMSE__TLS_KEY", &key, "dimse.tls_key", "does not belong to the certificate"),
        ("DIMSE__TLS_TRUSTED", &empty, "dimse.tls_trusted", "no certificate in PEM"),
        ("DIMSE__TLS_TRUSTED", &hollow, "dimse.tls_trusted", "cannot be used"),
    ] {
        let mut command = site.command(&["serve", "--http", "127.0.0.1:0", "--dimse", "none"]);
        for (known, value) in &good {
            command.env(format!("CAIRN_{known}"), value);
        }
        let output = command.env(format!("CAIRN_{name}"), path).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name} {}: {told}", path.display());
        assert!(told.contains(setting) && told.contains(word), "{told}");
    }
    assert!(!site.data().exists());
}
