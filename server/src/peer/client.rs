//! This side of a conversation with another site.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::entry::{Body, SignedEntry};
use cairn_ledger::id::{SiteId, StudyId};
use cairn_ledger::limits::{ENTRY_BYTES_MAX, NOTE_BYTES_MAX};
use cairn_ledger::note::NoteSignature;
use cairn_ledger::state::SiteState;
use cairn_ledger::tiles::{TILE_WIDTH, bundle_path, split_bundle};
use cairn_ledger::witness::CosignRequest;
use hyper::Method;

use super::connection::{Answer, Connection};
use super::keys::Identity;
use super::{Error, PREFIX};

/// Longest bundle of entries: each has its length before it.
const BUNDLE_BYTES_MAX: usize = TILE_WIDTH as usize * (ENTRY_BYTES_MAX + 2);

/// Another site at an address. Cheap to clone; connects when something is asked, and keeps a connection
/// for what is asked next.
#[derive(Clone)]
pub(crate) struct Client {
    pub(super) connection: Arc<Connection>,
}

/// What a site says of itself to anybody.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    /// The first entry of its log; its signature, and that of its possession, are checked.
    pub(crate) join: SignedEntry,
    /// The TLS key that it showed.
    pub(crate) tls_key: [u8; 32],
}

/// What a witness answers.
#[derive(Debug, Clone)]
pub(crate) enum Cosigned {
    /// It cosigned.
    Signed(NoteSignature),
    /// The last checkpoint that it cosigned has another size: try again from there.
    Conflict {
        /// That size.
        size: u64,
    },
    /// It will not.
    Refused {
        /// The status.
        status: u16,
        /// In its words.
        why: String,
    },
}

impl Client {
    /// A site at `url` (`https://HOST:PORT`) that has to show the TLS key `key`; `None`: any, for who is
    /// about to be introduced.
    pub(crate) fn new(own: &Identity, url: &str, key: Option<[u8; 32]>) -> Result<Self, Error> {
        Ok(Self { connection: Arc::new(Connection::new(own, url, key)?) })
    }

    /// The same site over connections of its own, for what goes on beside.
    pub(crate) fn fork(&self) -> Self {
        Self { connection: Arc::new(self.connection.fork()) }
    }

    /// Connects ahead of the first question.
    pub(crate) async fn warm(&self) {
        self.connection.warm().await;
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.connection.ask(Method::GET, &format!("{PREFIX}{path}"), Bytes::new()).await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, Error> {
        self.connection.ask(Method::POST, &format!("{PREFIX}{path}"), body.into()).await
    }

    /// Who is there?
    pub(crate) async fn hello(&self) -> Result<Hello, Error> {
        let answer = self.get("/hello").await?.good().await?;
        let tls_key = answer.key;
        let bytes = answer.whole(ENTRY_BYTES_MAX).await?;
        let wrong = |error: cairn_ledger::Error| self.connection.wrong(error);
        let join = SignedEntry::decode(&bytes).map_err(wrong)?;
        // The rules check what a log may begin with, signatures included.
        SiteState::default().apply(&join).map_err(|error| self.connection.wrong(error))?;
        if !matches!(join.entry().body, Body::Join(_)) {
            return Err(self.connection.wrong("its log does not begin with a join"));
        }
        Ok(Hello { join, tls_key })
    }

    async fn note(&self, path: &str) -> Result<Option<SignedCheckpoint>, Error> {
        let answer = self.get(path).await?;
        if answer.status() == 404 {
            return Ok(None);
        }
        let bytes = answer.good().await?.whole(NOTE_BYTES_MAX).await?;
        let note = SignedCheckpoint::parse(&bytes);
        note.map(Some).map_err(|error| self.connection.wrong(error))
    }

    /// The checkpoint that it publishes of its own log, with cosignatures.
    pub(crate) async fn checkpoint(&self) -> Result<SignedCheckpoint, Error> {
        let note = self.note("/log/checkpoint").await?;
        note.ok_or_else(|| self.connection.wrong("it has no checkpoint"))
    }

    /// The last checkpoint that it has followed of another site's log, if it mirrors it.
    pub(crate) async fn seen_of(&self, site: &SiteId) -> Result<Option<SignedCheckpoint>, Error> {
        self.note(&format!("/seen/{site}")).await
    }

    /// Entries of its own log, in order; fewer if it has no more.
    pub(crate) async fn entries(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, Error> {
        let mut entries = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let bundle = at / TILE_WIDTH;
            let width = (range.end - bundle * TILE_WIDTH).min(TILE_WIDTH);
            let answer = self.get(&format!("/log/{}", bundle_path(bundle, width))).await?;
            if answer.status() == 404 {
                break;
            }
            let bytes = answer.good().await?.whole(BUNDLE_BYTES_MAX).await?;
            let split = split_bundle(&bytes, width);
            let split = split.map_err(|error| self.connection.wrong(error))?;
            let from = (at - bundle * TILE_WIDTH) as usize;
            entries.extend(split.into_iter().skip(from).map(<[u8]>::to_vec));
            at = bundle * TILE_WIDTH + width;
        }
        Ok(entries)
    }

    /// Asks it to cosign a checkpoint of this site's log (C2SP tlog-witness).
    pub(crate) async fn cosign(&self, request: &CosignRequest) -> Result<Cosigned, Error> {
        let answer = self.post("/add-checkpoint", request.format()).await?;
        match answer.status() {
            200 => {
                let bytes = answer.whole(NOTE_BYTES_MAX).await?;
                let line = std::str::from_utf8(&bytes).ok().and_then(|text| text.lines().next());
                let signature = line.map(NoteSignature::parse);
                match signature {
                    Some(Ok(signature)) => Ok(Cosigned::Signed(signature)),
                    _ => Err(self.connection.wrong("its answer is no cosignature")),
                }
            }
            409 => {
                let bytes = answer.whole(NOTE_BYTES_MAX).await?;
                let size =
                    std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
                let size =
                    size.ok_or_else(|| self.connection.wrong("it does not say which size"))?;
                Ok(Cosigned::Conflict { size })
            }
            _ => match answer.refusal().await {
                Error::Refused { status, why, .. } => Ok(Cosigned::Refused { status, why }),
                other => Err(other),
            },
        }
    }

    /// What a study with this UID is called on its ledger, if it has one: for who is about to break the
    /// glass.
    pub(crate) async fn name_of(&self, study_uid: &str) -> Result<Option<StudyId>, Error> {
        let answer = self.post("/emergency", study_uid.as_bytes().to_vec()).await?;
        if answer.status() == 404 {
            return Ok(None);
        }
        let bytes = answer.good().await?.whole(2 * size_of::<StudyId>()).await?;
        let name = std::str::from_utf8(&bytes).ok().and_then(StudyId::from_hex);
        name.map(Some).ok_or_else(|| self.connection.wrong("its answer is no study's name"))
    }

    /// Tells it that this site's log has grown, so that it looks now and not at its next turn.
    pub(crate) async fn nudge(&self) -> Result<(), Error> {
        self.post("/nudge", Bytes::new()).await?.good().await?.whole(0).await.map(|_| ())
    }
}
