//! What a method and a path ask for. The only file that knows URLs (PS3.18 §10.1.1, table 10.1-1).
//!
//! Routes are data: a test walks all of them, and the label under which they are counted and logged
//! holds no UID.

use hyper::Method;
use percent_encoding::percent_decode_str;

use super::problem::Problem;
use crate::peer::PeerRoute;

/// Longest UID (PS3.5 §9.1).
const UID_BYTES_MAX: usize = 64;
/// Frames in one list: more than a client needs, and an answer of bounded bookkeeping.
const FRAMES_MAX: usize = 10_000;
/// Longest path of bulk data: one step is 15 characters or less, and nesting rarely passes four.
const BULK_PATH_BYTES_MAX: usize = 1024;

/// A level of the information model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Study,
    Series,
    Instance,
}

/// A study, a series of it, or an instance of that; or nothing, the whole archive. The UIDs are
/// names as outsiders write them: at most 64 bytes without control characters, but maybe ill-formed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) study: Option<String>,
    pub(crate) series: Option<String>,
    pub(crate) instance: Option<String>,
}

impl Scope {
    /// The lowest level that is named.
    pub(crate) fn level(&self) -> Option<Level> {
        match (&self.study, &self.series, &self.instance) {
            (_, _, Some(_)) => Some(Level::Instance),
            (_, Some(_), None) => Some(Level::Series),
            (Some(_), None, None) => Some(Level::Study),
            (None, None, None) => None,
        }
    }
}

/// A request, as far as method and path tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Home,
    Metrics,
    Health,
    Ready,
    /// WADO-URI (PS3.18 §9).
    WadoUri,
    /// What the server can do (PS3.18 §8.9).
    Capabilities,
    /// QIDO-RS: what there is at `level` within `scope` (§10.6).
    Search {
        level: Level,
        scope: Scope,
    },
    /// The same over all sites that this one knows.
    Federated {
        level: Level,
        scope: Scope,
    },
    /// STOW-RS, with or without a study that everything has to be in (§10.5).
    Store {
        study: Option<String>,
    },
    /// WADO-RS (§10.4).
    Retrieve(Scope),
    Delete(Scope),
    Metadata(Scope),
    /// `frames` is empty for the whole.
    Rendered {
        scope: Scope,
        frames: Vec<u32>,
    },
    Thumbnail {
        scope: Scope,
        frames: Vec<u32>,
    },
    /// `path` is `None` for all bulk data of the scope.
    Bulkdata {
        scope: Scope,
        path: Option<String>,
    },
    Pixeldata(Scope),
    /// Numbers from 1, as asked: in order, maybe repeated.
    Frames {
        scope: Scope,
        frames: Vec<u32>,
    },
    /// Storage commitment (§13): a request under this transaction UID.
    Commit {
        transaction: String,
    },
    /// What became of it.
    Commitment {
        transaction: String,
    },
    /// Something that a patient signed: a consent, a withdrawal, an inquiry.
    Statement,
    /// Open another site's study in an emergency.
    BreakGlass,
    /// Who did, here and elsewhere.
    GlassList,
    /// What somebody found of it.
    GlassReview,
    /// What another site asks, over a port of its own.
    Peer(PeerRoute),
    /// OPTIONS: the methods that the resource takes.
    Options {
        allow: &'static str,
    },
}

impl Route {
    /// Reads a method and a path, which is still percent-encoded.
    ///
    /// # Errors
    /// 404 for what is no resource, 405 for a method that it does not take, 400 for a UID or list
    /// that cannot be one.
    pub(crate) fn parse(method: &Method, path: &str) -> Result<Self, Problem> {
        if let Some(path) = federated(path) {
            return Self::parse_federated(method, path);
        }
        let resource = Resource::parse(path)?;
        let allow = resource.allow();
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let takes = allow.split(", ").any(|known| known == method.as_str());
        match (takes, method) {
            (true, &Method::OPTIONS) if resource == Resource::Root => Ok(Self::Capabilities),
            (true, &Method::OPTIONS) => Ok(Self::Options { allow }),
            (true, method) => Ok(resource.route(method)),
            (false, _) => Err(Problem::method(allow)),
        }
    }

    /// The same below `/federated`, where everything is read and nothing written: searches go to all sites,
    /// and what is not here is fetched when it is retrieved, as it always is.
    fn parse_federated(method: &Method, path: &str) -> Result<Self, Problem> {
        const ALLOW: &str = "GET, HEAD, OPTIONS";
        match *method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Ok(Self::Options { allow: ALLOW }),
            _ => return Err(Problem::method(ALLOW)),
        }
        match Self::parse(method, path)? {
            Self::Search { level, scope } => Ok(Self::Federated { level, scope }),
            Self::Commitment { .. } | Self::Capabilities => Err(nowhere()),
            route => Ok(route),
        }
    }

    /// The study, series or instance it is about, if its path names them.
    pub(crate) fn scope(&self) -> Option<&Scope> {
        match self {
            Self::Search { scope, .. }
            | Self::Federated { scope, .. }
            | Self::Retrieve(scope)
            | Self::Delete(scope)
            | Self::Metadata(scope)
            | Self::Pixeldata(scope)
            | Self::Rendered { scope, .. }
            | Self::Thumbnail { scope, .. }
            | Self::Bulkdata { scope, .. }
            | Self::Frames { scope, .. } => Some(scope),
            _ => None,
        }
    }

    /// The study out of which something is read, if it names one in its path.
    pub(crate) fn reads(&self) -> Option<&str> {
        let (Self::Retrieve(scope)
        | Self::Metadata(scope)
        | Self::Pixeldata(scope)
        | Self::Rendered { scope, .. }
        | Self::Thumbnail { scope, .. }
        | Self::Bulkdata { scope, .. }
        | Self::Frames { scope, .. }) = self
        else {
            return None;
        };
        scope.study.as_deref()
    }

    /// The word under which it is counted and logged.
    pub(crate) fn label(&self) -> &'static str {
        use Level::{Instance, Series, Study};
        match self {
            Self::Home => "home",
            Self::Metrics => "metrics",
            Self::Health => "healthz",
            Self::Ready => "readyz",
            Self::WadoUri => "wado_uri",
            Self::Capabilities => "capabilities",
            Self::Search { level: Study, .. } => "search_studies",
            Self::Search { level: Series, .. } => "search_series",
            Self::Search { level: Instance, .. } => "search_instances",
            Self::Federated { level: Study, .. } => "federated_studies",
            Self::Federated { level: Series, .. } => "federated_series",
            Self::Federated { level: Instance, .. } => "federated_instances",
            Self::Store { .. } => "store",
            Self::Retrieve(scope) => {
                by_level(scope, ["retrieve_study", "retrieve_series", "retrieve_instance"])
            }
            Self::Delete(scope) => {
                by_level(scope, ["delete_study", "delete_series", "delete_instance"])
            }
            Self::Metadata(scope) => {
                by_level(scope, ["metadata_study", "metadata_series", "metadata_instance"])
            }
            Self::Rendered { frames, .. } if !frames.is_empty() => "rendered_frames",
            Self::Rendered { scope, .. } => {
                by_level(scope, ["rendered_study", "rendered_series", "rendered_instance"])
            }
            Self::Thumbnail { .. } => "thumbnail",
            Self::Bulkdata { .. } => "bulkdata",
            Self::Pixeldata(_) => "pixeldata",
            Self::Frames { .. } => "frames",
            Self::Commit { .. } => "commit",
            Self::Commitment { .. } => "commitment",
            Self::Statement => "patient_statement",
            Self::BreakGlass => "break_glass",
            Self::GlassList => "glass_list",
            Self::GlassReview => "glass_review",
            Self::Peer(route) => route.label(),
            Self::Options { .. } => "options",
        }
    }
}

fn by_level(scope: &Scope, words: [&'static str; 3]) -> &'static str {
    match scope.level() {
        Some(Level::Instance) => words[2],
        Some(Level::Series) => words[1],
        _ => words[0],
    }
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Resource {
    Home,
    Metrics,
    Health,
    Ready,
    WadoUri,
    Root,
    /// `/break-glass`
    Glass,
    GlassReviews,
    /// `/studies`, `/series`, `/instances`, at the root or below a study or series.
    List {
        level: Level,
        scope: Scope,
    },
    Entity(Scope),
    Metadata(Scope),
    Rendered(Scope, Vec<u32>),
    Thumbnail(Scope, Vec<u32>),
    Bulkdata(Scope, Option<String>),
    Pixeldata(Scope),
    Frames(Scope, Vec<u32>),
    Commitment(String),
    /// `/patient/v1/statements`.
    Statements,
}

impl Resource {
    fn parse(path: &str) -> Result<Self, Problem> {
        match path {
            "/" => return Ok(Self::Home),
            "/metrics" => return Ok(Self::Metrics),
            "/healthz" => return Ok(Self::Health),
            "/readyz" => return Ok(Self::Ready),
            "/wado" => return Ok(Self::WadoUri),
            "/patient/v1/statements" => return Ok(Self::Statements),
            "/break-glass" => return Ok(Self::Glass),
            "/break-glass/reviews" => return Ok(Self::GlassReviews),
            _ => {}
        }
        let rest = path.strip_prefix("/dicom-web").ok_or_else(nowhere)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let Some(rest) = rest.strip_prefix('/') else {
            return if rest.is_empty() { Ok(Self::Root) } else { Err(nowhere()) };
        };
        let segments: Vec<&str> = rest.split('/').collect();
        let mut scope = Scope::default();
        match segments[..] {
            ["studies"] => Ok(Self::List { level: Level::Study, scope }),
            ["series"] => Ok(Self::List { level: Level::Series, scope }),
            ["instances"] => Ok(Self::List { level: Level::Instance, scope }),
            ["commitment-requests", transaction] => Ok(Self::Commitment(uid(transaction)?)),
            ["studies", study, ref rest @ ..] => {
                scope.study = Some(uid(study)?);
                Self::in_study(scope, rest)
            }
            _ => Err(nowhere()),
        }
    }

    fn in_study(mut scope: Scope, segments: &[&str]) -> Result<Self, Problem> {
        match *segments {
            ["series"] => Ok(Self::List { level: Level::Series, scope }),
            ["instances"] => Ok(Self::List { level: Level::Instance, scope }),
            ["series", series, ref rest @ ..] => {
                scope.series = Some(uid(series)?);
                match *rest {
                    ["instances"] => Ok(Self::List { level: Level::Instance, scope }),
                    ["instances", instance, ref rest @ ..] => {
                        scope.instance = Some(uid(instance)?);
                        Self::in_instance(scope, rest)
                    }
                    _ => Self::of_any(scope, rest),
                }
            }
            _ => Self::of_any(scope, segments),
        }
    }

    fn in_instance(scope: Scope, segments: &[&str]) -> Result<Self, Problem> {
        match *segments {
            ["frames", list] => Ok(Self::Frames(scope, frames(list)?)),
            ["frames", list, "rendered"] => Ok(Self::Rendered(scope, frames(list)?)),
            ["frames", list, "thumbnail"] => Ok(Self::Thumbnail(scope, frames(list)?)),
            ["bulkdata", ref path @ ..] if !path.is_empty() => {
                Ok(Self::Bulkdata(scope, Some(bulk_path(&path.join("/"))?)))
            }
            _ => Self::of_any(scope, segments),
        }
    }

    /// What studies, series and instances have alike.
    fn of_any(scope: Scope, segments: &[&str]) -> Result<Self, Problem> {
        match *segments {
            [] => Ok(Self::Entity(scope)),
            ["metadata"] => Ok(Self::Metadata(scope)),
            ["rendered"] => Ok(Self::Rendered(scope, Vec::new())),
            ["thumbnail"] => Ok(Self::Thumbnail(scope, Vec::new())),
            ["bulkdata"] => Ok(Self::Bulkdata(scope, None)),
            ["pixeldata"] => Ok(Self::Pixeldata(scope)),
            _ => Err(nowhere()),
        }
    }

    /// The methods that it takes, as an Allow field has them.
    fn allow(&self) -> &'static str {
        match self {
            Self::List { level: Level::Study, .. } | Self::Commitment(_) | Self::Glass => {
                "GET, HEAD, POST, OPTIONS"
            }
            Self::Entity(scope) if scope.level() == Some(Level::Study) => {
                "GET, HEAD, POST, DELETE, OPTIONS"
            }
            Self::Entity(_) => "GET, HEAD, DELETE, OPTIONS",
            Self::Statements | Self::GlassReviews => "POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// The request that a method which it takes makes of it.
    fn route(self, method: &Method) -> Route {
        match (self, method) {
            (Self::Home, _) => Route::Home,
            (Self::Metrics, _) => Route::Metrics,
            (Self::Health, _) => Route::Health,
            (Self::Ready, _) => Route::Ready,
            (Self::WadoUri, _) => Route::WadoUri,
            (Self::Root, _) => Route::Capabilities,
            (Self::Glass, &Method::POST) => Route::BreakGlass,
            (Self::Glass, _) => Route::GlassList,
            (Self::GlassReviews, _) => Route::GlassReview,
            (Self::List { .. }, &Method::POST) => Route::Store { study: None },
            (Self::List { level, scope }, _) => Route::Search { level, scope },
            (Self::Entity(scope), &Method::POST) => Route::Store { study: scope.study },
            (Self::Entity(scope), &Method::DELETE) => Route::Delete(scope),
            (Self::Entity(scope), _) => Route::Retrieve(scope),
            (Self::Metadata(scope), _) => Route::Metadata(scope),
            (Self::Rendered(scope, frames), _) => Route::Rendered { scope, frames },
            (Self::Thumbnail(scope, frames), _) => Route::Thumbnail { scope, frames },
            (Self::Bulkdata(scope, path), _) => Route::Bulkdata { scope, path },
            (Self::Pixeldata(scope), _) => Route::Pixeldata(scope),
            (Self::Frames(scope, frames), _) => Route::Frames { scope, frames },
            (Self::Statements, _) => Route::Statement,
            (Self::Commitment(transaction), &Method::POST) => Route::Commit { transaction },
            (Self::Commitment(transaction), _) => Route::Commitment { transaction },
        }
    }
}

/// The path of what is asked of all sites.
fn federated(path: &str) -> Option<&str> {
    path.strip_prefix("/federated").filter(|path| path.starts_with("/dicom-web/"))
}

fn nowhere() -> Problem {
    Problem::not_found("there is no such resource")
}

/// A UID in a path. Ill-formed ones are stored too, so only what cannot be a name is refused.
fn uid(segment: &str) -> Result<String, Problem> {
    let uid = percent_decode_str(segment).decode_utf8();
    let uid = uid.map_err(|_| Problem::bad("a UID in the path is not UTF-8"))?;
    if uid.is_empty() || uid.len() > UID_BYTES_MAX || uid.chars().any(char::is_control) {
        return Err(Problem::bad("a UID in the path is empty, too long, or not a name"));
    }
    Ok(uid.into_owned())
}

/// Frame numbers from 1, by commas (PS3.18 §10.4.1.1.6; also percent-encoded commas).
fn frames(segment: &str) -> Result<Vec<u32>, Problem> {
    let fault = || Problem::bad("a frame list is numbers from 1 with commas");
    let list = percent_decode_str(segment).decode_utf8().map_err(|_| fault())?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number > 0).ok_or_else(fault)
    };
    if list.split(',').count() > FRAMES_MAX {
        return Err(Problem::bad("the frame list is too long"));
    }
    list.split(',').map(number).collect()
}

/// A tag, or tags and item numbers with points between.
fn bulk_path(path: &str) -> Result<String, Problem> {
    let path = percent_decode_str(path).decode_utf8().unwrap_or_default();
    let plain = path.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b'/'));
    if path.is_empty() || path.len() > BULK_PATH_BYTES_MAX || !plain {
        return Err(Problem::not_found("there is no bulk data by that path"));
    }
    Ok(path.replace('/', ".").to_ascii_uppercase())
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
