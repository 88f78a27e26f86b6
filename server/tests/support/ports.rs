//! Ports for programs that take theirs by number.

#![allow(dead_code)]

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that the system gives to whoever asks for any, connections among them: one of these would
/// be somebody else's as soon as it is let go.
const FIRST: u16 = 15_000;
const PORTS: u16 = 17_000;

/// A port that nobody has, and that nobody gets by chance. Tests of one process get other ones each.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 97) as u16 * (PORTS / 97);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + next % PORTS) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
