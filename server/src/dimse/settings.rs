//! What DIMSE is set to: names, peers, bounds.

use std::sync::Arc;
use std::time::Duration;

use super::identity::Identities;
use super::inbound::Patience;
use super::limits::PDU_BYTES_MAX;
use super::routes::Route;
use super::rules::Rule;
use super::transport::Tls;

/// Another application entity, and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// AE title.
    pub(crate) title: String,
    /// Host name or address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// It is spoken with over TLS only.
    pub(crate) tls: bool,
}

/// Whose associations are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Callers {
    /// Everybody's.
    Any,
    /// Those of known peers.
    Peers,
    /// Those of these AE titles.
    Listed(Vec<String>),
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// This server's AE title.
    pub(crate) title: String,
    /// Its AE title for searches over all sites.
    pub(crate) federated_title: String,
    /// Who is known, and where.
    pub(crate) peers: Vec<Peer>,
    /// Who may call.
    pub(crate) callers: Callers,
    /// Only who calls this server by its title is let in.
    pub(crate) called_own: bool,
    /// What callers may do; empty: everything.
    pub(crate) rules: Vec<Rule>,
    /// Keys and certificates, if TLS is spoken.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Who is behind an association, if that is asked for.
    pub(crate) identities: Option<Arc<Identities>>,
    /// Associations at once.
    pub(crate) associations_max: usize,
    /// Associations at once that this server opens to one receiver to send objects.
    pub(crate) out_associations_max: usize,
    /// How long such an association is kept for whoever sends next.
    pub(crate) out_idle: Duration,
    /// Longest PDU that is announced.
    pub(crate) pdu_bytes_max: u32,
    /// Operations that a peer may have under way at once.
    pub(crate) window_max: u16,
    /// From a connection to the end of its A-ASSOCIATE-RQ.
    pub(crate) request: Duration,
    /// An association without a message.
    pub(crate) idle: Duration,
    /// A message that stands still, in either direction.
    pub(crate) stall: Duration,
    /// Operations under way after SIGTERM.
    pub(crate) drain: Duration,
    /// What is forwarded to whom.
    pub(crate) routes: Vec<Route>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            title: "CAIRN".into(),
            federated_title: "CAIRN_FED".into(),
            peers: Vec::new(),
            callers: Callers::Any,
            called_own: false,
            rules: Vec::new(),
            tls: None,
            identities: None,
            associations_max: 256,
            out_associations_max: 4,
            out_idle: Duration::from_secs(5),
            pdu_bytes_max: PDU_BYTES_MAX,
            window_max: 16,
            request: Duration::from_secs(20),
            idle: Duration::from_secs(3600),
            stall: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            routes: Vec::new(),
        }
    }
}

impl Settings {
    /// Titles are compared without case: consoles are often set up by hand (behaviour 29).
    pub(super) fn is_called(&self, called: &str) -> bool {
        !self.called_own || called.eq_ignore_ascii_case(&self.title) || self.is_federated(called)
    }

    /// Does who calls by this title search all sites?
    pub(super) fn is_federated(&self, called: &str) -> bool {
        called.eq_ignore_ascii_case(&self.federated_title)
    }

    /// May an application entity of this title open associations?
    pub(super) fn may_call(&self, calling: &str) -> bool {
        match &self.callers {
            Callers::Any => true,
            Callers::Peers => self.peer(calling).is_some(),
            Callers::Listed(titles) => titles.iter().any(|t| t.eq_ignore_ascii_case(calling)),
        }
    }

    /// The peer of this title: in the same letters, else in any case.
    pub(super) fn peer(&self, title: &str) -> Option<&Peer> {
        let exact = self.peers.iter().find(|peer| peer.title == title);
        exact.or_else(|| self.peers.iter().find(|peer| peer.title.eq_ignore_ascii_case(title)))
    }

    pub(super) fn patience(&self) -> Patience {
        Patience { request: self.request, idle: self.idle, stall: self.stall }
    }
}
