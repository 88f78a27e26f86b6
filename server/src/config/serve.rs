//! `[serve]`: where the server listens, whom it believes, and its bounds.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::http::cors::Origins;
use crate::http::forwarded::{BaseUrl, Trust};
use crate::http::limits::Limits;

/// `[serve]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServeSection {
    /// Address and port to listen on.
    pub(crate) http: String,
    /// URL under which clients reach this server; empty: as each request says.
    pub(crate) base_url: String,
    /// Whose `Forwarded` and `X-Forwarded-*` are believed.
    pub(crate) trust_forwarded: TrustWord,
    /// Origins whose pages may read: `local`, `none`, `*`, or a list with commas.
    pub(crate) cors_origins: String,
    /// Connections at once; more wait in the backlog.
    pub(crate) connections_max: usize,
    /// Reading and decoding jobs at once; 0: four for each core, at least 16.
    pub(crate) jobs_max: usize,
    /// Requests at once that store.
    pub(crate) stores_max: usize,
    /// Replies at once that are streamed from the archive.
    pub(crate) streams_max: usize,
    /// Longest request body in bytes; 0: any length.
    pub(crate) max_request_bytes: u64,
    /// How long a client may take for the head of its first request.
    pub(crate) header_seconds: u64,
    /// How long a body may stand still, in either direction.
    pub(crate) idle_seconds: u64,
    /// How long a connection without a request is kept.
    pub(crate) keep_alive_seconds: u64,
    /// How long requests under way may go on after SIGTERM.
    pub(crate) drain_seconds: u64,
    /// How log lines are written.
    pub(crate) log: LogWord,
    /// Write a line for each request.
    pub(crate) access_log: bool,
}

/// `"loopback"`, `"always"` or `"never"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TrustWord {
    Loopback,
    Always,
    Never,
}

/// `"text"` or `"json"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogWord {
    Text,
    Json,
}

impl Default for ServeSection {
    fn default() -> Self {
        Self {
            http: "127.0.0.1:8080".into(),
            base_url: String::new(),
            trust_forwarded: TrustWord::Loopback,
            cors_origins: "local".into(),
            connections_max: 1024,
            jobs_max: 0,
            stores_max: 128,
            streams_max: 256,
            max_request_bytes: 0,
            header_seconds: 20,
            idle_seconds: 30,
            keep_alive_seconds: 75,
            drain_seconds: 30,
            log: LogWord::Text,
            access_log: true,
        }
    }
}

impl ServeSection {
    /// Refuses what cannot be used.
    pub(crate) fn check(&self) -> Result<()> {
        let bounds = [
            ("serve.connections_max", self.connections_max as u64, 1, 1 << 20),
            ("serve.jobs_max", self.jobs_max as u64, 0, 4096),
            ("serve.stores_max", self.stores_max as u64, 1, 4096),
            ("serve.streams_max", self.streams_max as u64, 1, 4096),
            ("serve.header_seconds", self.header_seconds, 1, 3600),
            ("serve.idle_seconds", self.idle_seconds, 1, 3600),
            ("serve.keep_alive_seconds", self.keep_alive_seconds, 1, 86_400),
            ("serve.drain_seconds", self.drain_seconds, 0, 86_400),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(fault(key, format!("{value} is not between {least} and {most}")));
            }
        }
        self.address()?;
        self.base_url()?;
        self.origins()?;
        Ok(())
    }

    /// Where to listen.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        self.http
            .parse()
            .map_err(|_| fault("serve.http", format!("{} is not an address and port", self.http)))
    }

    /// The URL that was set.
    pub(crate) fn base_url(&self) -> Result<Option<BaseUrl>> {
        if self.base_url.is_empty() {
            return Ok(None);
        }
        BaseUrl::from_setting(&self.base_url).map(Some).ok_or_else(|| {
            fault("serve.base_url", format!("{} is no http or https URL", self.base_url))
        })
    }

    /// Who may read from a page.
    pub(crate) fn origins(&self) -> Result<Origins> {
        Origins::from_setting(&self.cors_origins).ok_or_else(|| {
            fault("serve.cors_origins", "an origin is scheme://host or scheme://host:port".into())
        })
    }

    /// Whose forwarding headers are believed.
    pub(crate) fn trust(&self) -> Trust {
        match self.trust_forwarded {
            TrustWord::Loopback => Trust::Loopback,
            TrustWord::Always => Trust::Always,
            TrustWord::Never => Trust::Never,
        }
    }

    /// The bounds.
    pub(crate) fn limits(&self) -> Limits {
        let seconds = Duration::from_secs;
        Limits {
            connections: self.connections_max,
            jobs: match self.jobs_max {
                0 => (4 * super::threads()).max(16),
                jobs => jobs,
            },
            stores: self.stores_max,
            streams: self.streams_max,
            request_bytes: (self.max_request_bytes > 0).then_some(self.max_request_bytes),
            header: seconds(self.header_seconds),
            idle: seconds(self.idle_seconds),
            keep_alive: seconds(self.keep_alive_seconds),
            drain: seconds(self.drain_seconds),
        }
    }
}

fn fault(key: &str, why: String) -> Error {
    Error::Config { place: key.to_owned(), why }
}
