//! `[audit]`: the log of who looked at what.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::dimse::fault;
use crate::audit::syslog::Receiver;
use crate::dimse::{ClientCertificates, Files, Tls};
use crate::error::{Error, Result};

/// Where syslog over TLS listens unless it says otherwise (RFC 5425 §4.1).
const PORT: u16 = 6514;

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuditSection {
    /// Keep one.
    pub(crate) enabled: bool,
    /// Length at which a new file is begun.
    pub(crate) file_bytes: u64,
    /// What this system is called in messages to others.
    pub(crate) source: String,
    /// Where audit messages go, as `tls://host:port`, or `none`.
    pub(crate) syslog: String,
    /// File of certificates in PEM: of authorities, or of the receiver itself.
    pub(crate) syslog_trusted: String,
    /// File of the certificate to show there, in PEM.
    pub(crate) syslog_certificate: String,
    /// File of its private key, in PEM.
    pub(crate) syslog_key: String,
}

impl Default for AuditSection {
    fn default() -> Self {
        Self {
            enabled: true,
            file_bytes: 64 << 20,
            source: "cairn".into(),
            syslog: "none".into(),
            syslog_trusted: String::new(),
            syslog_certificate: String::new(),
            syslog_key: String::new(),
        }
    }
}

impl AuditSection {
    /// Refuses what cannot be used.
    pub(super) fn check(&self) -> Result<()> {
        let (least, most) = (4 << 10, 16 << 30);
        if !(least..=most).contains(&self.file_bytes) {
            let why = format!("{} is not between {least} and {most}", self.file_bytes);
            return Err(fault("audit.file_bytes", why));
        }
        let plain = |c: char| !c.is_control();
        if !(1..=128).contains(&self.source.len()) || !self.source.chars().all(plain) {
            return Err(fault("audit.source", "it has 1 to 128 characters".into()));
        }
        if self.address()?.is_none() {
            return Ok(());
        }
        if !self.enabled {
            return Err(fault("audit.syslog", "there is nothing to send: enabled is false".into()));
        }
        if self.syslog_trusted.is_empty() {
            let why = "it is missing: messages go to a receiver that is known";
            return Err(fault("audit.syslog_trusted", why.into()));
        }
        if self.syslog_certificate.is_empty() != self.syslog_key.is_empty() {
            let why = "certificate and key belong together";
            return Err(fault("audit.syslog_certificate", why.into()));
        }
        Ok(())
    }

    fn address(&self) -> Result<Option<(String, u16)>> {
        if self.syslog == "none" {
            return Ok(None);
        }
        let wrong = || fault("audit.syslog", "it is none, or tls://host or tls://host:port".into());
        let rest = self.syslog.strip_prefix("tls://").ok_or_else(wrong)?;
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (rest, PORT),
        };
        let host = host.trim_matches(['[', ']']);
        if host.is_empty() { Err(wrong()) } else { Ok(Some((host.to_owned(), port))) }
    }

    /// Where messages go. Reads files.
    pub(crate) fn receiver(&self) -> Result<Option<Receiver>> {
        let Some((host, port)) = self.address()? else { return Ok(None) };
        let own = (!self.syslog_certificate.is_empty())
            .then(|| (PathBuf::from(&self.syslog_certificate), PathBuf::from(&self.syslog_key)));
        let files = Files {
            own,
            trusted: Some(PathBuf::from(&self.syslog_trusted)),
            clients: ClientCertificates::None,
        };
        let tls = Tls::load(files).map_err(|unusable| Error::Config {
            place: "audit.syslog_trusted, syslog_certificate or syslog_key".into(),
            why: unusable.why,
        })?;
        Ok(Some(Receiver { host, port, tls, source: self.source.clone() }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_receiver_is_named_and_trusted() {
        let section = |text: &str| toml::from_str::<AuditSection>(text).unwrap();
        let good = section("syslog = 'tls://[::1]:7'\nsyslog_trusted = 't'");
        good.check().unwrap();
        assert_eq!(good.address().unwrap(), Some(("::1".to_owned(), 7)));
        let short = section("syslog = 'tls://h.example'");
        assert_eq!(short.address().unwrap(), Some(("h.example".to_owned(), PORT)));
        for (text, setting) in [
            ("file_bytes = 7", "audit.file_bytes"),
            ("source = ''", "audit.source"),
            ("syslog = 'h:1'", "audit.syslog"),
            ("syslog = 'tls://h:x'", "audit.syslog"),
            ("syslog = 'tls://:1'", "audit.syslog"),
            ("syslog = 'tls://h'", "audit.syslog_trusted"),
            ("syslog = 'tls://h'\nenabled = false", "audit.syslog"),
            (
                "syslog = 'tls://h'\nsyslog_trusted = 't'\nsyslog_key = 'k'",
                "audit.syslog_certificate",
            ),
        ] {
            let why = section(text).check().unwrap_err();
            assert!(why.to_string().starts_with(&format!("{setting}:")), "{text}: {why}");
        }
    }
}
