//! DIMSE: PACS, modalities and workstations talk to the archive (PS3.7, PS3.8, PS3.4).
//!
//! ```text
//! listen ─▶ a thread for each association ─▶ admission ─▶ negotiate ─▶ commands, one after the other
//!                  │ transport: TLS or not                │ store ─▶ Ingest::receive
//!                  │ inbound: PDUs, fragments             └ …
//!                  └ outbound: messages in PDUs
//! ```
//!
//! An association is a thread with a blocking socket: what it stores is read by the store straight
//! from the fragments as they come, and nothing of it is ever whole in memory. Only accepting is done
//! on the runtime. What several associations hand in goes to disk together ([`store`]).
//!
//! Invariants: nothing a peer does holds memory, a thread or a connection without a bound and a
//! deadline ([`limits`]); a data set is stored as it was sent, byte for byte; nothing is answered
//! with success before it is durable; an association that breaks leaves nothing visible of the object
//! under way; no log line holds a UID or anything of a patient.

mod admission;
mod association;
mod audited;
mod command;
mod commitment;
mod echo;
mod end;
mod find;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod identifier;
mod identity;
mod implicit;
mod inbound;
mod limits;
mod listen;
mod migrate;
mod negotiate;
mod outbound;
mod pdu;
mod pool;
mod pull;
mod retrieve;
mod routes;
mod rules;
mod scu;
mod send;
mod service;
mod settings;
mod ship;
mod status;
mod store;
mod transport;

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use echo::{Echoed, echo};
pub(crate) use identity::{
    Demand, Identities, Logins, NotHashed, Sources, TokenSource, line as user_line,
};
pub(crate) use listen::{Ports, serve};
pub(crate) use migrate::{By, Migration, Slice, Summary, Way, migrate};
pub(crate) use pull::{PullError, Pulled, pull};
pub(crate) use routes::{Priors, Referral, Route, When, Words, meaning, register};
pub(crate) use rules::{Rule, Services, capitals};
pub(crate) use send::{Sent, send};
pub(crate) use settings::{Callers, Peer, Settings};
pub(crate) use transport::{ClientCertificates, Files, Tls};

use crate::http::App;

/// What every association shares.
pub(crate) struct Dimse {
    app: Arc<App>,
    settings: Settings,
    /// The server was asked to end.
    stopping: Arc<AtomicBool>,
    /// Connections by number, so that they can be closed from outside.
    open: Mutex<HashMap<u64, Connection>>,
    next: AtomicU64,
    /// Storage commitments that have to be reported.
    reports: commitment::Reports,
    /// Associations that this server has opened.
    pool: Arc<pool::Pool>,
}

impl Dimse {
    /// For an archive, and under these settings.
    pub(crate) fn new(app: Arc<App>, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            app,
            settings,
            stopping: Arc::default(),
            open: Mutex::default(),
            next: AtomicU64::new(0),
            reports: commitment::Reports::default(),
            pool: Arc::default(),
        })
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every connection; whoever reads or writes there finds it closed.
    fn close_all(&self) {
        for connection in self.open().values() {
            let _ = connection.socket.shutdown(Shutdown::Both);
        }
    }
}

/// An open connection, and whose it is.
struct Connection {
    socket: TcpStream,
    /// The calling AE title in capitals, once it is known and let in.
    calling: Option<String>,
}

/// A connection in the list of the open ones. Dropped, it is not there any more.
struct Open {
    dimse: Arc<Dimse>,
    number: u64,
}

impl Open {
    fn new(dimse: &Arc<Dimse>, socket: TcpStream) -> Self {
        let number = dimse.next.fetch_add(1, Ordering::Relaxed);
        dimse.open().insert(number, Connection { socket, calling: None });
        dimse.app.metrics.dimse.associations.inc();
        Self { dimse: Arc::clone(dimse), number }
    }

    /// Takes one of the associations that an AE title may have; false if it has them all.
    fn claim(&self, title: &str, max: Option<usize>) -> bool {
        let title = Some(capitals(title));
        let mut open = self.dimse.open();
        let others = open.values().filter(|connection| connection.calling == title).count();
        if max.is_some_and(|max| others >= max) {
            return false;
        }
        if let Some(connection) = open.get_mut(&self.number) {
            connection.calling = title;
        }
        true
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.dimse.open().remove(&self.number);
        self.dimse.app.metrics.dimse.associations.dec();
    }
}
