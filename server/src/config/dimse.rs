//! `[dimse]`: where DIMSE is spoken, under which name, with whom, and its bounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access::{DemandWord, RuleSection};
use crate::dimse::{Callers, Peer, Settings};
use crate::error::{Error, Result};

/// Longest AE title (PS3.5 §6.2).
const TITLE_BYTES_MAX: usize = 16;
/// Shortest PDU that may be announced. Below this most senders give up.
const PDU_BYTES_MIN: u64 = 4096;

/// `[dimse]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DimseSection {
    /// Address and port to listen on, or `none`.
    pub(crate) listen: String,
    /// AE title for searches over all sites.
    pub(crate) federated_ae: String,
    /// This server's AE title.
    pub(crate) ae: String,
    /// Application entities that are known: `AE@host:port`, or `AE@tls://host:port`, with commas
    /// between.
    pub(crate) peers: String,
    /// Who may call: `any`, `peers`, or AE titles with commas between.
    pub(crate) callers: String,
    /// As whom this server may be called.
    pub(crate) called: CalledWord,
    /// Associations at once; more are told that it is too many.
    pub(crate) associations_max: usize,
    /// Associations at once to one receiver.
    pub(crate) out_associations_max: usize,
    /// How long an association to a receiver is kept for what is sent next.
    pub(crate) out_idle_seconds: u64,
    /// Longest PDU that is announced.
    pub(crate) pdu_bytes: u64,
    /// Operations that a peer may have under way at once, if it asks for several.
    pub(crate) window_max: u64,
    /// How long a peer may take to ask for an association, and before that for the TLS handshake.
    pub(crate) request_seconds: u64,
    /// How long an association without a message is kept.
    pub(crate) idle_seconds: u64,
    /// How long a message may stand still, in either direction.
    pub(crate) stall_seconds: u64,
    /// Address and port to listen on for TLS, or `none`.
    pub(crate) tls_listen: String,
    /// File of this server's certificate in PEM, then those between it and its authority.
    pub(crate) tls_certificate: String,
    /// File of its private key in PEM.
    pub(crate) tls_key: String,
    /// File of certificates in PEM: of authorities, and of peers that are trusted one by one.
    pub(crate) tls_trusted: String,
    /// Must those who call over TLS show a certificate?
    pub(crate) tls_clients: DemandWord,
    /// Must those who call say who they are (PS3.7 §D.3.3.7)?
    pub(crate) identity: DemandWord,
    /// File of users: `name:hash`, or `name` where no passcode is needed.
    pub(crate) identity_users: String,
    /// File of the public key in PEM with which tokens are signed.
    pub(crate) identity_jwt_key: String,
    /// `iss` of tokens.
    pub(crate) identity_jwt_issuer: String,
    /// `aud` of tokens.
    pub(crate) identity_jwt_audience: String,
    /// Claim of tokens that names the user.
    pub(crate) identity_jwt_claim: String,
    /// Do tokens of the issuer in `[identity]` count?
    pub(crate) identity_login: bool,
    /// Who may do what; none: all may do everything.
    pub(crate) rules: Vec<RuleSection>,
}

/// `"any"` or `"own"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CalledWord {
    Any,
    Own,
}

impl Default for DimseSection {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            listen: "127.0.0.1:11112".into(),
            federated_ae: settings.federated_title,
            ae: settings.title,
            peers: String::new(),
            callers: "any".into(),
            called: CalledWord::Any,
            associations_max: settings.associations_max,
            out_associations_max: settings.out_associations_max,
            out_idle_seconds: settings.out_idle.as_secs(),
            pdu_bytes: settings.pdu_bytes_max.into(),
            window_max: settings.window_max.into(),
            request_seconds: settings.request.as_secs(),
            idle_seconds: settings.idle.as_secs(),
            stall_seconds: settings.stall.as_secs(),
            tls_listen: "none".into(),
            tls_certificate: String::new(),
            tls_key: String::new(),
            tls_trusted: String::new(),
            tls_clients: DemandWord::Required,
            identity: DemandWord::None,
            identity_users: String::new(),
            identity_jwt_key: String::new(),
            identity_jwt_issuer: String::new(),
            identity_jwt_audience: String::new(),
            identity_jwt_claim: "sub".into(),
            identity_login: false,
            rules: Vec::new(),
        }
    }
}

impl DimseSection {
    /// Refuses what cannot be used.
    pub(crate) fn check(&self) -> Result<()> {
        let bounds = [
            ("dimse.associations_max", self.associations_max as u64, 1, 4096),
            ("dimse.out_associations_max", self.out_associations_max as u64, 1, 64),
            ("dimse.out_idle_seconds", self.out_idle_seconds, 0, 3600),
            ("dimse.pdu_bytes", self.pdu_bytes, PDU_BYTES_MIN, 16 << 20),
            ("dimse.window_max", self.window_max, 1, 256),
            ("dimse.request_seconds", self.request_seconds, 1, 3600),
            ("dimse.idle_seconds", self.idle_seconds, 1, 86_400),
            ("dimse.stall_seconds", self.stall_seconds, 1, 3600),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(fault(key, format!("{value} is not between {least} and {most}")));
            }
        }
        self.address()?;
        self.check_access()?;
        self.without_files(Duration::ZERO).map(|_| ())
    }

    /// Where to listen; `None`: nowhere.
    pub(crate) fn address(&self) -> Result<Option<SocketAddr>> {
        address("dimse.listen", &self.listen)
    }

    /// Where to listen for TLS; `None`: nowhere.
    pub(crate) fn tls_address(&self) -> Result<Option<SocketAddr>> {
        address("dimse.tls_listen", &self.tls_listen)
    }

    /// All of it but where to listen, and whose identities count. Certificates are read from their
    /// files.
    pub(crate) fn settings(&self, drain: Duration) -> Result<Settings> {
        let tls = self.tls()?.map(Arc::new);
        Ok(Settings { tls, ..self.without_files(drain)? })
    }

    pub(super) fn peers(&self) -> Result<Vec<Peer>> {
        words(&self.peers).map(peer).collect()
    }

    /// Title and place of a peer of this name, or the words themselves if they name a place.
    pub(crate) fn place_of(&self, peer: &str) -> Result<String> {
        if peer.contains('@') {
            return Ok(peer.to_owned());
        }
        let of = |known: &&str| {
            known.rsplit_once('@').is_some_and(|(title, _)| title.trim().eq_ignore_ascii_case(peer))
        };
        let found = words(&self.peers).find(of);
        let why = || format!("{peer} is not among them, and no AE@host:port");
        found.map(str::to_owned).ok_or_else(|| fault("dimse.peers", why()))
    }

    fn without_files(&self, drain: Duration) -> Result<Settings> {
        let peers = self.peers()?;
        let callers = match self.callers.trim() {
            "any" => Callers::Any,
            "peers" => Callers::Peers,
            listed => Callers::Listed(
                words(listed)
                    .map(|title| checked("dimse.callers", title))
                    .collect::<Result<_>>()?,
            ),
        };
        let seconds = Duration::from_secs;
        Ok(Settings {
            title: checked("dimse.ae", &self.ae)?,
            federated_title: checked("dimse.federated_ae", &self.federated_ae)?,
            peers,
            callers,
            called_own: self.called == CalledWord::Own,
            rules: self.rules()?,
            tls: None,
            identities: None,
            associations_max: self.associations_max,
            out_associations_max: self.out_associations_max,
            out_idle: seconds(self.out_idle_seconds),
            pdu_bytes_max: self.pdu_bytes as u32,
            window_max: self.window_max as u16,
            request: seconds(self.request_seconds),
            idle: seconds(self.idle_seconds),
            stall: seconds(self.stall_seconds),
            drain,
            routes: Vec::new(),
        })
    }
}

pub(super) fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn address(setting: &str, text: &str) -> Result<Option<SocketAddr>> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let why = || format!("{text} is not an address and port, or none");
    text.parse().map(Some).map_err(|_| fault(setting, why()))
}

/// `AE@host:port`, or `AE@tls://host:port`; an IPv6 address has brackets.
fn peer(text: &str) -> Result<Peer> {
    let parts = text.rsplit_once('@').and_then(|(title, place)| {
        let (place, tls) = place.strip_prefix("tls://").map_or((place, false), |p| (p, true));
        let (host, port) = place.rsplit_once(':')?;
        let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty()).then(|| (title, host.to_owned(), port, tls))
    });
    let (title, host, port, tls) = parts.ok_or_else(|| {
        fault("dimse.peers", format!("{text} is not AE@host:port or AE@tls://host:port"))
    })?;
    Ok(Peer { title: checked("dimse.peers", title)?, host, port, tls })
}

fn checked(key: &str, title: &str) -> Result<String> {
    let title = title.trim();
    let plain = title.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'\\');
    if plain && (1..=TITLE_BYTES_MAX).contains(&title.len()) {
        return Ok(title.to_owned());
    }
    Err(fault(key, format!("{title} is no AE title: 1 to 16 plain characters, no backslash")))
}

pub(super) fn fault(key: &str, why: String) -> Error {
    Error::Config { place: key.to_owned(), why }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn peers_and_callers() {
        let section = DimseSection {
            peers: "PACS@10.0.0.5:104, WS 1@ws.example:11112,V6@[::1]:104".into(),
            callers: "CT1, MR1".into(),
            ..DimseSection::default()
        };
        let settings = section.settings(Duration::ZERO).unwrap();
        let named = |title: &str| settings.peers.iter().find(|p| p.title == title).unwrap();
        assert_eq!((named("PACS").host.as_str(), named("PACS").port), ("10.0.0.5", 104));
        assert_eq!(named("WS 1").host, "ws.example");
        assert_eq!(named("V6").host, "::1");
        let section = DimseSection {
            peers: "A@tls://[::1]:2762,B@h:1".into(),
            tls_trusted: "t.pem".into(),
            ..DimseSection::default()
        };
        section.check().unwrap();
        let peers = section.peers().unwrap();
        assert_eq!((peers[0].host.as_str(), peers[0].port, peers[0].tls), ("::1", 2762, true));
        assert!(!peers[1].tls);
        assert_eq!(settings.callers, Callers::Listed(vec!["CT1".into(), "MR1".into()]));
        for bad in ["PACS", "PACS@host", "PACS@:104", "PACS@h:0", "@h:104", "12345678901234567@h:1"]
        {
            let section = DimseSection { peers: bad.into(), ..DimseSection::default() };
            assert!(section.check().is_err(), "{bad}");
        }
        let bad = DimseSection { ae: "A\\B".into(), ..DimseSection::default() };
        assert!(bad.check().is_err());
        let none = DimseSection { listen: "none".into(), ..DimseSection::default() };
        assert_eq!(none.address().unwrap(), None);
    }
}
