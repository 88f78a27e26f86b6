//! `kill -9` in the middle of C-STORE: what was answered with 0000 is there, whole and equal, and
//! what was reported as committed is in the bucket.
//!
//! `CAIRN_KILLS` sets how often; 3 by default.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::dimse::{Client, EXPLICIT_LE, SECONDARY_CAPTURE, parted};
use support::server::Server;
use support::{Site, dicom};

const SENDERS: usize = 4;

/// Objects that were answered with something else than success.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Sends objects until the server is gone; notes those that were answered with success.
fn send(address: std::net::SocketAddr, name: &str, kept: &Mutex<BTreeMap<String, Vec<u8>>>) {
    let contexts: [(&str, &[&str]); 1] = [(SECONDARY_CAPTURE, &[EXPLICIT_LE])];
    let Ok(stream) = std::net::TcpStream::connect(address) else { return };
    drop(stream);
    let mut client = Client::open(address, &contexts);
    for n in 0_u32.. {
        let sop = format!("1.2.3.{name}.{n}");
        let pixels: Vec<u8> = (0..20_000_u32).map(|i| ((i * (n + 7)) >> 3) as u8).collect();
        let data = parted(&dicom("1.2.1", "1.2.2", &sop, "A", &pixels)).3;
        let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            client.store(1, SECONDARY_CAPTURE, &sop, &data)
        }));
        match answered {
            Ok(status) => {
                REFUSED.fetch_add(u64::from(status != 0), Ordering::Relaxed);
                kept.lock().unwrap().insert(sop, data);
            }
            Err(_) => return,
        }
    }
}

#[test]
fn nothing_that_was_answered_is_lost() {
    let rounds = std::env::var("CAIRN_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let site = Site::new();
    let kept = Arc::new(Mutex::new(BTreeMap::new()));
    // A sender whose server is killed ends with a panic of its client, which is no failure here.
    std::panic::set_hook(Box::new(|_| {}));
    for round in 0..rounds {
        let mut server = Server::start(&site, &[]);
        let address = server.dimse;
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || send(address, &format!("{round}.{sender}"), &kept))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300 + 137 * round));
        server.kill();
        for sender in senders {
            let _ = sender.join();
        }
    }
    let _ = std::panic::take_hook();
    assert_eq!(REFUSED.load(Ordering::Relaxed), 0);
    let kept = kept.lock().unwrap();
    assert!(kept.len() as u64 >= rounds, "only {} were answered", kept.len());
    site.good(&["verify", "--all"]);
    site.good(&["export", "--all", "out"]);
    let mut back = BTreeMap::new();
    for path in support::files_under(&site.path("out")) {
        let (_, sop, _, data) = parted(&std::fs::read(path).unwrap());
        back.insert(sop, data);
    }
    for (sop, data) in kept.iter() {
        assert!(back.get(sop) == Some(data), "{sop} was answered, and is not there");
    }
}
