//! DCMTK's tools over TLS and with identities, against the real binary. Where they are not installed
//! nothing is tested, and that is said.

use crate::support::dcmtk::{Storescp, installed, run};
use crate::support::ports::free_port;
use crate::support::server::Server;
use crate::support::tls::{Authority, address, settings, start};
use crate::support::{Site, dicom};

fn tls_port(server: &Server) -> String {
    address(server).port().to_string()
}

#[test]
fn behaviour_36_dcmtk_over_tls() {
    if !installed("+tls") {
        return;
    }
    let (site, authority) = (Site::new(), Authority::new());
    let own = authority.issue(&["127.0.0.1"]);
    authority.issue(&["modality"]).put(&site, "modality");
    Authority::new().issue(&["modality"]).put(&site, "strange");
    let paths = site.put_studies();
    let server = start(&site, &settings(&site, &own, &authority.pem));
    let (folder, port) = (site.folder.path(), tls_port(&server));
    let secured = |tool: &str, pair: &str, more: &[&str]| {
        let (key, certificate) = (format!("tls/{pair}.key"), format!("tls/{pair}.pem"));
        let own = ["+tls", &key, &certificate, "+cf", "tls/trusted.pem", "-aec", "CAIRN"];
        run(tool, &[&own[..], &["127.0.0.1", &port], more].concat(), folder)
    };
    for profile in ["+py", "+px", "+pz"] {
        let (good, told) = secured("echoscu", "modality", &[profile]);
        assert!(good, "{profile}: {told}");
    }
    let (good, told) = secured("storescu", "modality", &["+sd", "+r", "in"]);
    assert!(good, "{told}");
    assert_eq!(server.metric("cairn_ingest_instances_total{outcome=\"new\"}"), paths.len() as u64);
    // Of another authority, without a certificate, and without TLS.
    assert!(!secured("echoscu", "strange", &[]).0);
    let plain = ["-aec", "CAIRN", "127.0.0.1", &port];
    assert!(!run("echoscu", &[&["+tla", "+cf", "tls/trusted.pem"][..], &plain].concat(), folder).0);
    assert!(!run("echoscu", &plain, folder).0);
    // What was retired: RSA key exchange with CBC, and no encryption at all.
    for profile in ["+pa", "+pn"] {
        assert!(!secured("echoscu", "modality", &[profile]).0, "{profile}");
    }
}

#[test]
fn behaviour_36_dcmtk_receives_over_tls_what_is_moved() {
    if !installed("+tls") {
        return;
    }
    let (site, authority) = (Site::new(), Authority::new());
    let own = authority.issue(&["127.0.0.1"]);
    authority.issue(&["127.0.0.1"]).put(&site, "receiver");
    site.put("in/1.dcm", &dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &vec![3; 60_000]));
    site.good(&["import", "in"]);
    let mut settings = settings(&site, &own, &authority.pem);
    let port = free_port();
    settings.push(("DIMSE__PEERS", format!("DEST@tls://127.0.0.1:{port}")));
    let folder = site.folder.path();
    // It asks for the client's certificate, and gets the server's.
    let arguments = ["+tls", "tls/receiver.key", "tls/receiver.pem", "+cf", "tls/trusted.pem"];
    let arguments = [&arguments[..], &["-aet", "DEST"]].concat();
    let _storescp = Storescp::start(&arguments, port, folder, "got");
    let server = start(&site, &settings);
    let port = server.dimse.port().to_string();
    let keys = ["-S", "-aem", "DEST", "-k", "QueryRetrieveLevel=STUDY", "-k"];
    let keys = [&keys[..], &["StudyInstanceUID=1.2.1", "127.0.0.1", &port]].concat();
    let (good, told) = run("movescu", &keys, folder);
    assert!(good, "{told}");
    assert_eq!(crate::support::files_under(&folder.join("got")).len(), 1);
}

#[test]
fn behaviour_36_dcmtk_says_who_it_is() {
    if !installed("+tls") {
        return;
    }
    let site = Site::new();
    site.put("in/1.dcm", &dicom("1.2.1", "1.2.2", "1.2.3", "A^B", &[3; 40]));
    // The hash of "password", from the reference implementation of Argon2.
    let hash = "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$\
        wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA";
    let users = site.put("users.txt", format!("alice:{hash}\nct1\n").as_bytes());
    let settings =
        [("DIMSE__IDENTITY", "required"), ("DIMSE__IDENTITY_USERS", users.to_str().unwrap())];
    let server = Server::start(&site, &settings);
    let (folder, port) = (site.folder.path(), server.dimse.port().to_string());
    let stored = |user: &[&str]| {
        let place = ["-aec", "CAIRN", "127.0.0.1", port.as_str(), "in/1.dcm"];
        run("storescu", &[user, &place].concat(), folder)
    };
    let (good, told) = stored(&["-usr", "alice", "-pwd", "password", "-rsp"]);
    assert!(good, "{told}");
    let (good, told) = stored(&["-usr", "ct1", "-rsp"]);
    assert!(good, "{told}");
    assert!(!stored(&["-usr", "alice", "-pwd", "passwort", "-rsp"]).0);
    assert!(!stored(&["-usr", "alice"]).0);
    assert!(!stored(&[]).0);
}
