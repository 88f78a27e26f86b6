//! `kill -9` in the middle of C-STORE: what was answered with 0000 is there, whole and equal; and what
//! was reported as committed is in the bucket, without the journal and the catalog of this node.
//!
//! `CAIRN_KILLS` sets how often; 3 by default.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::support::commitment::{COMMITMENT, request, told};
use crate::support::dimse::{Client, EXPLICIT_LE, IMPLICIT_LE, SECONDARY_CAPTURE, number, parted};
use crate::support::server::Server;
use crate::support::{Site, dicom};

const SENDERS: usize = 4;
/// One in so many objects is asked about: each report waits for the bucket.
const ASKED_EVERY: usize = 40;

/// What the server promised.
#[derive(Default)]
struct Promised {
    /// Data sets by UID that were answered with 0000.
    stored: BTreeMap<String, Vec<u8>>,
    /// UIDs that were reported as committed.
    committed: BTreeSet<String>,
    /// Objects that were answered with something else than success.
    refused: u64,
}

fn lock(promised: &Mutex<Promised>) -> MutexGuard<'_, Promised> {
    promised.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client whose server is killed panics; that is how its part ends.
fn until_the_end(part: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(part));
}

/// Sends objects until the server is gone.
fn send(address: SocketAddr, name: &str, promised: &Mutex<Promised>) {
    let mut client = Client::open(address, &[(SECONDARY_CAPTURE, &[EXPLICIT_LE])]);
    for n in 0_u32.. {
        let sop = format!("1.2.3.{name}.{n}");
        let pixels: Vec<u8> = (0..20_000_u32).map(|i| ((i * (n + 7)) >> 3) as u8).collect();
        let data = parted(&dicom("1.2.1", "1.2.2", &sop, "A", &pixels)).3;
        let status = client.store(1, SECONDARY_CAPTURE, &sop, &data);
        let mut promised = lock(promised);
        promised.refused += u64::from(status != 0);
        promised.stored.insert(sop, data);
    }
}

/// Asks about what was stored until the server is gone.
fn ask(address: SocketAddr, round: u64, promised: &Mutex<Promised>) {
    let mut client = Client::open(address, &[(COMMITMENT, &[IMPLICIT_LE])]);
    for n in 0_u32.. {
        let asked: Vec<String> =
            lock(promised).stored.keys().rev().step_by(ASKED_EVERY).cloned().collect();
        // One that never came: of it nothing good may be said.
        let never = "1.2.3.999999";
        let mut uids: Vec<&str> = asked.iter().map(String::as_str).collect();
        uids.push(never);
        let references: Vec<_> = uids.iter().map(|uid| (SECONDARY_CAPTURE, *uid)).collect();
        assert_eq!(request(&mut client, &format!("1.2.77.{round}.{n}"), &references), 0);
        let report = client.message();
        client.command(
            report.context,
            &[
                (0x0002, report.command[&0x0002].clone()),
                (0x0100, number(0x8100)),
                (0x0120, number(report.number(0x0110))),
                (0x0800, number(0x0101)),
                (0x0900, number(0)),
                (0x1000, report.command[&0x1000].clone()),
            ],
        );
        let (_, _, places) = told(&report, &uids);
        let said = uids.iter().zip(places).filter(|(_, place)| *place == "committed");
        lock(promised).committed.extend(said.map(|(uid, _)| (*uid).to_owned()));
    }
}

/// Data sets by UID of everything in an archive.
fn everything(site: &Site) -> BTreeMap<String, Vec<u8>> {
    site.good(&["verify", "--all"]);
    site.good(&["export", "--all", "out"]);
    let files = crate::support::files_under(&site.path("out"));
    let data_set = |path: &std::path::PathBuf| {
        let (_, sop, _, data) = parted(&std::fs::read(path).unwrap());
        (sop, data)
    };
    files.iter().map(data_set).collect()
}

#[test]
fn nothing_that_was_answered_is_lost() {
    let rounds: u64 = std::env::var("CAIRN_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let site = Site::new();
    let promised = Mutex::new(Promised::default());
    std::panic::set_hook(Box::new(|_| {}));
    for round in 0..rounds {
        let mut server = Server::start(&site, &[]);
        let (address, promised) = (server.dimse, &promised);
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let name = format!("{round}.{sender}");
                scope.spawn(move || until_the_end(|| send(address, &name, promised)));
            }
            scope.spawn(move || until_the_end(|| ask(address, round, promised)));
            std::thread::sleep(Duration::from_millis(700 + (round * 137) % 1300));
            server.kill();
        });
    }
    let _ = std::panic::take_hook();
    let Promised { stored, committed, refused } = promised.into_inner().unwrap();
    eprintln!("{rounds} kills; {} stored, {} committed", stored.len(), committed.len());
    assert_eq!(refused, 0);
    assert!(stored.len() as u64 >= rounds, "only {} were answered", stored.len());
    assert!(!committed.is_empty(), "nothing was reported as committed");
    // The node is lost: what is left are its bucket and its key.
    let other = Site::new();
    for folder in ["bucket", "keys"] {
        for file in crate::support::files_under(&site.data().join(folder)) {
            let to = other.data().join(file.strip_prefix(site.data()).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&file, to).unwrap();
        }
    }
    other.good(&["rebuild"]);
    let left = everything(&other);
    for sop in &committed {
        assert!(left.get(sop) == stored.get(sop), "{sop} was committed, and is not in the bucket");
    }
    let back = everything(&site);
    for (sop, data) in &stored {
        assert!(back.get(sop) == Some(data), "{sop} was answered, and is not there");
    }
}
