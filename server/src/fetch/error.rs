//! Why a study did not come.

use crate::peer;
use crate::peer::wire::record::Untrue;

/// Why a study did not come, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The other site cannot be reached, or refuses.
    #[error(transparent)]
    Peer(#[from] peer::Error),
    /// What the owner says the study is, is not what it registered.
    #[error("the study is not what its owner registered: {0}")]
    Untrue(#[from] Untrue),
    /// A chunk or a manifest is not what it is called, or does not belong to its instance.
    #[error("the owner sent something else than it registered: {0}")]
    Lie(&'static str),
    /// There is no grant to this site for it.
    #[error("no grant to this site: {0}")]
    NoGrant(String),
    /// The own archive cannot take it in, or does not give back what it has.
    #[error(transparent)]
    Store(#[from] cairn_store::Error),
    /// Chunks cannot be laid down meanwhile.
    #[error("chunks cannot be kept meanwhile: {0}")]
    Stage(std::io::Error),
    /// Some instances were not taken in, by this archive's own rules or because it failed.
    #[error("{0} of the study's instances were not taken in; the first: {1}")]
    NotTaken(u64, String),
    /// It is being fetched already.
    #[error("the study is being fetched already")]
    UnderWay,
    /// Somebody asked to stop. What came is kept for the next time.
    #[error("interrupted; what came is kept, and the next fetch goes on from there")]
    Interrupted,
}

impl Error {
    /// May it go better next time, with what is kept?
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Peer(peer::Error::Unreachable { .. }))
    }

    /// Did the owner's side say something untrue?
    pub(crate) fn is_lie(&self) -> bool {
        matches!(self, Self::Untrue(_) | Self::Lie(_) | Self::Peer(peer::Error::Wrong { .. }))
    }
}
