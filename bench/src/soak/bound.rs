//! How much memory a server with default settings may take for so many clients.
//!
//! The parts are those of the table in ARCHITECTURE.md and the limits of `store` and `server`, which
//! no other crate can see: a bound that is broken is a reason to look at both.

use std::fmt::Write as _;

/// Bytes in a MiB.
const MIB: u64 = 1 << 20;

/// Whatever the number of clients: what it is for, and MiB.
const FIXED: [(&str, u64); 6] = [
    ("received bytes (in_flight_bytes)", 64),
    ("coded chunks on their way", 64),
    ("catalog, the writer's pages", 32),
    ("reading: decoded blocks 48, chunks 128, manifests 16", 192),
    ("codec scratch and Zstandard contexts, all threads", 64),
    ("program, tables, metadata being made", 96),
];

/// For each client: what it is for, and KiB.
const EACH: [(&str, u64); 4] = [
    ("head of a request", 128),
    ("pieces of a body on their way, in and out (the instances are small)", 1024),
    ("catalog, pages of a reader", 2048),
    ("thread of a blocking request", 256),
];

/// An allocator keeps what was freed: a quarter more.
const ALLOCATOR_PERCENT: u64 = 125;

/// A bound and its parts.
#[derive(Debug)]
pub(super) struct Bound {
    clients: u64,
}

/// Of the server that so many clients speak to.
pub(super) fn of(clients: u32) -> Bound {
    Bound { clients: u64::from(clients) }
}

impl Bound {
    pub(super) fn bytes(&self) -> u64 {
        let fixed: u64 = FIXED.iter().map(|(_, mib)| mib * MIB).sum();
        let each: u64 = EACH.iter().map(|(_, kib)| kib * 1024).sum();
        (fixed + self.clients * each) * ALLOCATOR_PERCENT / 100
    }

    /// The parts, in words.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for (what, mib) in FIXED {
            let _ = write!(out, "{what} {mib} MiB; ");
        }
        let _ = write!(out, "for each of {} clients: ", self.clients);
        for (what, kib) in EACH {
            let _ = write!(out, "{what} {kib} KiB; ");
        }
        let _ = write!(out, "all by {ALLOCATOR_PERCENT} % for the allocator");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_clients_take_more() {
        assert!(of(64).bytes() < 1 << 30, "{}", of(64).bytes());
        assert!(of(64).bytes() > of(2).bytes());
        assert!(of(64).text().contains("64 clients"));
    }
}
