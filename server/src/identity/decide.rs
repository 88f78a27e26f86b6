//! May somebody do this? The one place where that is decided for HTTP.
//!
//! Every [`Route`] has its need here, in matches without a default: a new route does not compile until
//! it has one. What is not allowed is denied.

use thiserror::Error;

use super::Who;
use super::roles::Permission;
use crate::http::{Query, Route};

/// Parameters of a search that name a study (PS3.18 §8.3.4), and that of WADO-URI.
pub(crate) const STUDY_PARAMETERS: [&str; 3] = ["StudyInstanceUID", "0020000D", "studyUID"];

/// What a route asks of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it tells nothing of the archive. Load balancers and browsers' preflights show no token.
    Nothing,
    /// To be somebody.
    Somebody,
    /// This.
    May(Permission),
    /// What is sent has to be signed by a patient: whose study it is about, the handler finds out.
    Signature,
    /// This, and a name that somebody answers for: also where nobody is asked who they are.
    Named(Permission),
    /// To be a site. What each site may is asked of the ledgers, study by study, in [`crate::peer`].
    Site,
}

/// Why somebody may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Denied {
    /// 401: nobody knows who it is.
    #[error("this server has to know who asks: send a token")]
    Unknown,
    /// 403: no role of theirs allows it.
    #[error("no role of yours allows this; it takes the permission to {}", .0.word())]
    Permission(Permission),
    /// 403: they may do that with some studies, of which this is none.
    #[error("your token is for some studies only, and this is not about one of them")]
    Study,
    /// 403: nobody is asked here who they are, and this has to be somebody's.
    #[error(
        "this takes somebody's name, and this server asks nobody who they are; issuer or required in \
         [identity] changes that"
    )]
    Nameless,
    /// 403: this is not the port for it.
    #[error("this is asked at another port")]
    Port,
}

impl Denied {
    /// The word under which it is counted and audited.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Permission(_) => "permission",
            Self::Study => "study",
            Self::Nameless => "nameless",
            Self::Port => "port",
        }
    }
}

/// What a route asks for.
pub(crate) fn need(route: &Route) -> Need {
    match route {
        Route::Health | Route::Ready | Route::Options { .. } => Need::Nothing,
        Route::Capabilities => Need::Somebody,
        Route::Metrics => Need::May(Permission::Metrics),
        Route::Home | Route::Search { .. } | Route::Federated { .. } => {
            Need::May(Permission::Search)
        }
        Route::Store { .. } => Need::May(Permission::Store),
        Route::Delete(_) => Need::May(Permission::Delete),
        Route::Commit { .. } | Route::Commitment { .. } => Need::May(Permission::Commit),
        Route::WadoUri
        | Route::Retrieve(_)
        | Route::Metadata(_)
        | Route::Rendered { .. }
        | Route::Thumbnail { .. }
        | Route::Bulkdata { .. }
        | Route::Pixeldata(_)
        | Route::Frames { .. } => Need::May(Permission::Read),
        Route::Statement => Need::Signature,
        Route::BreakGlass => Need::Named(Permission::BreakGlass),
        Route::GlassReview => Need::Named(Permission::Privacy),
        Route::GlassList => Need::May(Permission::Privacy),
        Route::Peer(_) => Need::Site,
    }
}

/// May `who` ask for `route` with these parameters?
pub(crate) fn decide(who: &Who, route: &Route, query: &Query) -> Result<(), Denied> {
    match (need(route), who) {
        (Need::Nothing, _)
        | (Need::Signature, Who::Nobody | Who::Anybody | Who::Known(_))
        | (Need::Site, Who::Site(_))
        | (Need::Somebody | Need::May(_), Who::Anybody)
        | (Need::Somebody, Who::Known(_)) => Ok(()),
        (Need::Site, _) | (_, Who::Site(_)) => Err(Denied::Port),
        (_, Who::Nobody) => Err(Denied::Unknown),
        (Need::Named(_), Who::Anybody) => Err(Denied::Nameless),
        (Need::May(permission) | Need::Named(permission), Who::Known(known)) => {
            if !known.allow.has(permission) {
                return Err(Denied::Permission(permission));
            }
            match &known.studies {
                // Figures tell nothing of a study.
                Some(studies) if permission != Permission::Metrics => within(studies, route, query),
                _ => Ok(()),
            }
        }
    }
}

/// Is it about these studies alone? Who may see some studies has to say which it means: what names
/// none is of all of them.
fn within(studies: &[String], route: &Route, query: &Query) -> Result<(), Denied> {
    let by_path = study(route).into_iter();
    let parameters = query
        .pairs()
        .iter()
        .filter(|(name, _)| STUDY_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name)));
    // Lists have commas between, or backslashes (PS3.18 §8.3.4.1).
    let by_query = parameters.flat_map(|(_, value)| value.split([',', '\\']));
    let mut named = by_path.chain(by_query).peekable();
    let says_which = named.peek().is_some();
    let all_theirs = named.all(|uid| studies.iter().any(|study| study == uid));
    if says_which && all_theirs { Ok(()) } else { Err(Denied::Study) }
}

/// The study in a path.
fn study(route: &Route) -> Option<&str> {
    match route {
        Route::Store { study } => study.as_deref(),
        route => route.scope().and_then(|scope| scope.study.as_deref()),
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
