//! `cairn pull` from another `cairn serve`, and from one that does not answer.

#![allow(clippy::unwrap_used)]

mod support;

use support::dimse::parted;
use support::server::Server;
use support::{Site, dicom};

#[test]
fn a_study_is_pulled_byte_for_byte_and_again_for_nothing() {
    let (from, to) = (Site::new(), Site::new());
    let files: Vec<Vec<u8>> = (0..20_u8)
        .map(|n| dicom("1.2.1", "1.2.2", &format!("1.2.3.{n}"), "Doe^Jane", &[n; 500]))
        .collect();
    for (n, file) in files.iter().enumerate() {
        from.put(&format!("in/{n}.dcm"), file);
    }
    from.good(&["import", "in"]);
    let server = Server::start(&from, &[]);
    let place = format!("CAIRN@{}", server.dimse);
    let pulled = to.object(&["pull", "--from", &place, "1.2.1"]);
    assert_eq!((pulled["instances"].as_u64(), pulled["failed"].as_u64()), (Some(20), Some(0)));
    assert_eq!(pulled["duplicates"], 0);
    let pulled = to.object(&["pull", "--from", &place, "1.2.1"]);
    assert_eq!(pulled["duplicates"], 20);
    to.good(&["export", "--all", "out"]);
    let back = support::files_under(&to.path("out"));
    assert_eq!(back.len(), files.len());
    for path in back {
        let data = parted(&std::fs::read(path).unwrap()).3;
        assert!(files.iter().any(|file| parted(file).3 == data));
    }
    // What is not there, and who is not there.
    assert_eq!(to.run(&["pull", "--from", &place, "1.2.99"]).code, 1);
    drop(server);
    assert_eq!(to.run(&["pull", "--from", &place, "1.2.1"]).code, 1);
    assert_eq!(to.run(&["pull", "--from", "nowhere", "1.2.1"]).code, 2);
}
