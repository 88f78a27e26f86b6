//! Clients and peers that cost as little as can be, in this process.
//!
//! DCMTK's programs take up to a core to read, convert and send, or to receive, so on few cores a ratio
//! of two servers behind them is partly that of DCMTK with itself. These here send data sets out of
//! memory by one gathering write an object, and throw away what they receive. What they take at least is
//! measured too: they speak with each other as well.

mod associate;
mod client;
mod peer;
mod wire;

pub(super) use client::{get, request_move, send};
pub(super) use peer::{Peer, Shelf};
