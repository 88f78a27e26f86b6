//! Doors for the fuzz targets: what a peer sends, taken apart, and whole associations.
//!
//! They are callers like any other: nothing is bypassed. What cannot be set up is a panic, since a fuzz
//! target has nobody to tell.

#![allow(clippy::expect_used, clippy::missing_panics_doc)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_store::{Access, Store};
use tempfile::TempDir;

use super::admission::Admitted;
use super::command::Command;
use super::identifier::{self, Identifier};
use super::pdu::{Associate, Outcome, Proposal};
use super::rules::Grant;
use super::service::Model;
use super::{Dimse, Settings, listen, negotiate};
use crate::config::Config;
use crate::http::App;
use crate::http::app::Parts;
use crate::metrics::Metrics;

/// How long an association may take to end once its peer has said everything.
const END_MAX: Duration = Duration::from_secs(10);

/// A command set: what is read of it is what is written again.
pub fn command(bytes: &[u8]) {
    let Ok(command) = Command::parse(bytes) else { return };
    let again = Command::parse(&command.encode()).expect("what was written is read");
    assert_eq!(command, again);
    let answer = command.answer(0xA700);
    let read = Command::parse(&answer.encode()).expect("answers are read");
    assert_eq!(read.get(super::command::field::STATUS), Some(0xA700));
}

/// A request for an association (without the head of its PDU): the answer to it is read, and has an
/// outcome for each context.
pub fn request(bytes: &[u8]) {
    let Ok(request) = Associate::<Proposal>::read(bytes) else { return };
    let admitted = Admitted { grant: Grant::all(), user: None };
    let Ok(agreed) = negotiate::agree(&request, &Settings::default(), &admitted) else { return };
    let written = agreed.answer.write();
    let body = written.get(6..).expect("an answer has a head");
    let answer = Associate::<Outcome>::read(body).expect("an answer is read");
    assert_eq!(answer.contexts.len(), request.contexts.len());
}

/// The identifier of a query or retrieval, in some transfer syntax.
pub fn identifier(bytes: &[u8], transfer_syntax: &str) {
    let Some(read) = identifier::read(bytes.to_vec(), transfer_syntax) else { return };
    let _ = identifier::encode(read, transfer_syntax);
    for model in [Model::Patient, Model::Study, Model::PatientStudy] {
        if let Some(parsed) = Identifier::parse(bytes.to_vec(), transfer_syntax, model) {
            let mut query = cairn_dicom::query::Query::all(parsed.level.searched());
            let _ = parsed.add_to(&mut query);
        }
    }
}

/// An archive in a folder that goes away with it, which speaks DIMSE.
pub struct Archive {
    dimse: Arc<Dimse>,
    listener: TcpListener,
    _folder: TempDir,
}

impl Default for Archive {
    fn default() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let config = Config::default();
        let store = Store::open(&config.store_config(&data, None), Access::Write);
        let store = store.expect("an archive");
        let ingest = store.ingest(config.ingest_config()).expect("a way in");
        let parts = Parts {
            limits: config.serve.limits(),
            base_url: None,
            trust: config.serve.trust(),
            origins: config.serve.origins().expect("origins"),
            access_log: false,
            journal_bytes_max: config.ingest.journal_bytes_max,
            in_flight_bytes_max: 64 << 20,
        };
        let metrics = Arc::new(Metrics::new().expect("figures"));
        let app = Arc::new(App::new(store, ingest, metrics, parts));
        let second = Duration::from_secs(1);
        let settings =
            Settings { request: second, idle: second, stall: second, ..Settings::default() };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        Self { dimse: Dimse::new(app, settings), listener, _folder: folder }
    }
}

impl Archive {
    /// Sends bytes as a peer would, says that there are no more, and gives what comes back until the
    /// server closes. Afterwards nothing of the association is left.
    #[must_use]
    pub fn converse(&self, sent: &[u8]) -> Vec<u8> {
        let address = self.listener.local_addr().expect("an address");
        let mut peer = TcpStream::connect(address).expect("a connection");
        let (stream, _) = self.listener.accept().expect("the other end of it");
        listen::begin(&self.dimse, stream, false).expect("a thread");
        peer.set_read_timeout(Some(END_MAX)).expect("a deadline");
        let mut answers = Vec::new();
        // The server may have closed by then.
        if peer.write_all(sent).is_ok() {
            let _ = peer.shutdown(Shutdown::Write);
        }
        let _ = peer.read_to_end(&mut answers);
        let until = Instant::now() + END_MAX;
        while !self.dimse.open().is_empty() {
            assert!(Instant::now() < until, "an association does not end");
            std::thread::sleep(Duration::from_micros(50));
        }
        answers
    }
}
