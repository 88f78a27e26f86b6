//! What a method and a path of another site ask for. See [`crate::http::route`] for the other ports.

use cairn_ledger::id::{SiteId, StudyId};
use hyper::Method;

use super::PREFIX;
use crate::http::Problem;

/// Longest path of a file of the log.
const LOG_PATH_BYTES_MAX: usize = 128;

/// A request of another site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PeerRoute {
    /// Who is there: the first entry of the log. For anybody: sites are introduced by it.
    Hello,
    /// A file of this site's log (C2SP tlog-tiles). For sites that are known here.
    Log(String),
    /// The last checkpoint followed of another site's log. For sites that are known here.
    Seen(SiteId),
    /// Cosign a checkpoint (C2SP tlog-witness). For sites that are known here.
    AddCheckpoint,
    /// The asking site's log has grown. For sites that are known here.
    Nudge,
    /// What of a search's question is here that the asking site was granted.
    Search,
    /// What a study whose UID is told is called on this site's ledger: for who is about to break the
    /// glass. For sites that are known here.
    Emergency,
    /// What a version of a study is. Under a grant.
    Record(StudyId, u64),
    /// The opening of what the owner committed to, sealed to who asks. Under a grant, or broken glass.
    Opening(StudyId, u64),
    /// Manifests and chunks of it. Under a grant.
    Chunks(StudyId, u64),
    /// Ranges of the bucket with some of its chunks, and their keys. Under a grant that says so.
    Loans(StudyId, u64),
    /// An access has ended: sign for it. Under the grant that it names.
    Receipt,
    /// A patient lets the asking site read a study: grant it. By the patient's signature.
    Consent,
}

impl PeerRoute {
    /// Reads a method and a path.
    ///
    /// # Errors
    /// 404 for what is no resource, 405 for a method that it does not take.
    pub(crate) fn parse(method: &Method, path: &str) -> Result<Self, Problem> {
        let nowhere = || Problem::not_found("there is no such resource");
        let path = path.strip_prefix(PREFIX).ok_or_else(nowhere)?;
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let route = match segments[..] {
            ["hello"] => Self::Hello,
            ["log", ..] if path.len() <= LOG_PATH_BYTES_MAX => {
                Self::Log(path["/log/".len().min(path.len())..].to_owned())
            }
            ["seen", site] => Self::Seen(SiteId::from_hex(site).ok_or_else(nowhere)?),
            ["add-checkpoint"] => Self::AddCheckpoint,
            ["nudge"] => Self::Nudge,
            ["search"] => Self::Search,
            ["emergency"] => Self::Emergency,
            ["studies", study, version, what] => {
                let study = StudyId::from_hex(study).ok_or_else(nowhere)?;
                let version = version.parse().map_err(|_| nowhere())?;
                match what {
                    "record" => Self::Record(study, version),
                    "opening" => Self::Opening(study, version),
                    "chunks" => Self::Chunks(study, version),
                    "loans" => Self::Loans(study, version),
                    _ => return Err(nowhere()),
                }
            }
            ["receipts"] => Self::Receipt,
            ["consents"] => Self::Consent,
            _ => return Err(nowhere()),
        };
        match (route.posts(), method) {
            (true, &Method::POST) | (false, &(Method::GET | Method::HEAD)) => Ok(route),
            (true, _) => Err(Problem::method("POST")),
            (false, _) => Err(Problem::method("GET, HEAD")),
        }
    }

    fn posts(&self) -> bool {
        matches!(
            self,
            Self::AddCheckpoint
                | Self::Nudge
                | Self::Chunks(..)
                | Self::Loans(..)
                | Self::Receipt
                | Self::Consent
                | Self::Search
                | Self::Emergency
        )
    }

    /// The word under which it is counted and logged.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Hello => "peer_hello",
            Self::Log(_) => "peer_log",
            Self::Seen(_) => "peer_seen",
            Self::AddCheckpoint => "peer_add_checkpoint",
            Self::Nudge => "peer_nudge",
            Self::Search => "peer_search",
            Self::Emergency => "peer_emergency",
            Self::Record(..) => "peer_record",
            Self::Opening(..) => "peer_opening",
            Self::Chunks(..) => "peer_chunks",
            Self::Loans(..) => "peer_loans",
            Self::Receipt => "peer_receipt",
            Self::Consent => "peer_consent",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A new route does not compile until it is counted here, and then needs an example.
    fn place(route: &PeerRoute) -> usize {
        match route {
            PeerRoute::Hello => 0,
            PeerRoute::Log(_) => 1,
            PeerRoute::Seen(_) => 2,
            PeerRoute::AddCheckpoint => 3,
            PeerRoute::Nudge => 4,
            PeerRoute::Record(..) => 5,
            PeerRoute::Opening(..) => 6,
            PeerRoute::Chunks(..) => 7,
            PeerRoute::Receipt => 8,
            PeerRoute::Loans(..) => 9,
            PeerRoute::Search => 10,
            PeerRoute::Consent => 11,
            PeerRoute::Emergency => 12,
        }
    }

    #[test]
    fn every_route_has_an_example() {
        let mut routes = [false; 13];
        for (method, path, label) in crate::peer::PEER_EXAMPLES {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let route = PeerRoute::parse(&method, path).unwrap();
            assert_eq!(route.label(), *label);
            routes[place(&route)] = true;
        }
        assert_eq!(routes, [true; 13]);
    }

    #[test]
    fn every_path_has_one_meaning() {
        let get = |path: &str| PeerRoute::parse(&Method::GET, path).map_err(|p| p.status.as_u16());
        let post =
            |path: &str| PeerRoute::parse(&Method::POST, path).map_err(|p| p.status.as_u16());
        let id = "07".repeat(32);
        assert_eq!(get("/peer/v1/hello"), Ok(PeerRoute::Hello));
        assert_eq!(get("/peer/v1/log/checkpoint"), Ok(PeerRoute::Log("checkpoint".into())));
        let tile = get("/peer/v1/log/tile/entries/x001/067.p/3");
        assert_eq!(tile, Ok(PeerRoute::Log("tile/entries/x001/067.p/3".into())));
        assert_eq!(get(&format!("/peer/v1/seen/{id}")), Ok(PeerRoute::Seen(SiteId([7; 32]))));
        let record = get(&format!("/peer/v1/studies/{id}/3/record"));
        assert_eq!(record, Ok(PeerRoute::Record(StudyId([7; 32]), 3)));
        let chunks = format!("/peer/v1/studies/{id}/3/chunks");
        assert_eq!(post(&chunks), Ok(PeerRoute::Chunks(StudyId([7; 32]), 3)));
        assert_eq!(get(&chunks), Err(405));
        let loans = format!("/peer/v1/studies/{id}/3/loans");
        assert_eq!(post(&loans), Ok(PeerRoute::Loans(StudyId([7; 32]), 3)));
        assert_eq!(post("/peer/v1/hello"), Err(405));
        assert_eq!(post("/peer/v1/receipts"), Ok(PeerRoute::Receipt));
        for nowhere in ["/", "/dicom-web/studies", "/peer/v1", "/peer/v1/", "/peer/v2/hello"] {
            assert_eq!(get(nowhere), Err(404), "{nowhere}");
        }
        for nowhere in ["/peer/v1/studies/07/1/record", "/peer/v1/seen/x", "/peer/v1/log"] {
            assert!(get(nowhere).is_err() || nowhere.ends_with("log"), "{nowhere}");
        }
    }
}
