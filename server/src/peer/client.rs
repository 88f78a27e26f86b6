//! This side of a conversation with another site.

use std::ops::Range;

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::entry::SignedEntry;
use cairn_ledger::id::SiteId;
use cairn_ledger::keys::SiteSecret;
use cairn_ledger::note::NoteSignature;
use cairn_ledger::witness::CosignRequest;

use super::Error;

/// What this site shows of itself in TLS. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Identity {}

impl Identity {
    /// Makes the certificate of the site's TLS key.
    pub(crate) fn new(_secret: &SiteSecret) -> Result<Self, Error> {
        todo!()
    }
}

/// Another site at an address. Cheap to clone; connects when something is asked.
#[derive(Clone)]
pub(crate) struct Client {}

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
    Conflict { size: u64 },
    /// It will not: a status and its words.
    Refused { status: u16, why: String },
}

impl Client {
    /// A site at `url` (`https://HOST:PORT`) that has to show the TLS key `key`; `None`: any, for who is
    /// about to be introduced.
    pub(crate) fn new(_own: &Identity, _url: &str, _key: Option<[u8; 32]>) -> Result<Self, Error> {
        todo!()
    }

    /// Who is there?
    pub(crate) async fn hello(&self) -> Result<Hello, Error> {
        todo!()
    }

    /// The checkpoint that it publishes of its own log, with cosignatures.
    pub(crate) async fn checkpoint(&self) -> Result<SignedCheckpoint, Error> {
        todo!()
    }

    /// The last checkpoint that it has followed of another site's log, if it mirrors it.
    pub(crate) async fn seen_of(&self, _site: &SiteId) -> Result<Option<SignedCheckpoint>, Error> {
        todo!()
    }

    /// Entries of its own log, in order; fewer if it has no more.
    pub(crate) async fn entries(&self, _range: Range<u64>) -> Result<Vec<Vec<u8>>, Error> {
        todo!()
    }

    /// Asks it to cosign a checkpoint of this site's log.
    pub(crate) async fn cosign(&self, _request: &CosignRequest) -> Result<Cosigned, Error> {
        todo!()
    }

    /// Tells it that this site's log has grown, so that it looks now and not at its next turn.
    pub(crate) async fn nudge(&self) -> Result<(), Error> {
        todo!()
    }
}
