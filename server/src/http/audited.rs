//! The audit log's line for a request.

use std::net::IpAddr;

use hyper::header::{HeaderMap, HeaderName};

use super::query::Query;
use super::route::{Route, Scope};
use crate::audit::{Event, Face, clean};
use crate::dicomweb::subject::hex;
use crate::identity::{Kind, Need, Who, decide::STUDY_PARAMETERS, need};
use crate::peer::PeerRoute;
use crate::sharing::Site;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What is known of a request before it is answered. `None`: it tells nothing of the archive, and is
/// not kept: probes come every few seconds for ever.
pub(super) fn event(who: &Who, route: Option<&Route>, query: Option<&Query>) -> Option<Event> {
    let need = route.map(need);
    if need == Some(Need::Nothing) {
        return None;
    }
    let act = match need {
        Some(Need::May(permission) | Need::Named(permission)) => permission.word(),
        _ => "",
    };
    let mut event = Event {
        face: if matches!(who, Who::Site(_)) { Face::Peer } else { Face::Http },
        op: route.map_or("none", Route::label).to_owned(),
        act: act.to_owned(),
        ..Event::default()
    };
    if let Some(route) = route {
        subject(&mut event, route, query);
    }
    Some(event)
}

/// Names what it is about.
fn subject(event: &mut Event, route: &Route, query: Option<&Query>) {
    if let Some(Scope { study, series, instance }) = route.scope() {
        event.about(study.as_deref());
        event.series = series.as_deref().map(clean);
        event.instance = instance.as_deref().map(clean);
    }
    if let Route::Store { study } = route {
        event.about(study.as_deref());
    }
    if let Route::Peer(
        PeerRoute::Record(study, _)
        | PeerRoute::Opening(study, _)
        | PeerRoute::Chunks(study, _)
        | PeerRoute::Loans(study, _),
    ) = route
    {
        event.ledger_study = Some(hex(&study.0));
    }
    let Some(query) = query else { return };
    for (name, value) in query.pairs() {
        if STUDY_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            event.about(value.split([',', '\\']));
        }
    }
    if *route == Route::WadoUri {
        event.series = query.get("seriesUID").map(clean);
        event.instance = query.get("objectUID").map(clean);
    }
}

/// Names who asks.
pub(super) fn name(event: &mut Event, who: &Who, site: Option<&Site>) {
    let (kind, name) = match who {
        Who::Nobody => ("nobody", String::new()),
        Who::Anybody => ("anybody", String::new()),
        Who::Known(known) => {
            let kind = match known.kind {
                Kind::Login => "login",
                Kind::Service => "service",
            };
            (kind, clean(&known.name))
        }
        Who::Site(key) => {
            let known = site.and_then(|site| site.is_known_key(key));
            ("site", known.map_or_else(|| format!("key {}", hex(key)), |site| site.to_string()))
        }
    };
    kind.clone_into(&mut event.kind);
    event.who = name;
}

/// Names who asks on a port for people and programs.
pub(crate) fn name_asker(event: &mut Event, who: &Who) {
    name(event, who, None);
}

/// Where a request comes from: as a proxy that is trusted says, else where the connection does. Of
/// several in a row the last is the one that such a proxy saw itself.
pub(super) fn origin(headers: &HeaderMap, trusted: bool, peer: IpAddr) -> String {
    let said = headers.get_all(X_FORWARDED_FOR).iter().next_back().filter(|_| trusted);
    let last = said.and_then(|list| list.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    last.unwrap_or(peer).to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use hyper::Method;

    fn of(path: &str, query: &str) -> Event {
        let query = Query::parse(Some(query)).unwrap();
        let route = Route::parse(&Method::GET, path).unwrap();
        event(&Who::Nobody, Some(&route), Some(&query)).unwrap()
    }

    #[test]
    fn a_line_names_studies_and_nothing_that_was_searched_for() {
        let found =
            of("/dicom-web/studies", "PatientName=DOE*&StudyInstanceUID=1.2,1.3&PatientID=7");
        assert_eq!((found.op.as_str(), found.act.as_str()), ("search_studies", "search"));
        assert_eq!(found.studies, ["1.2", "1.3"]);
        assert!(!serde_json::to_string(&found).unwrap().contains("DOE"));
        let found = of("/wado", "requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4%0A");
        assert_eq!((found.studies, found.series), (vec!["1.2".to_owned()], Some("1.3".into())));
        assert_eq!(found.instance.as_deref(), Some("1.4\u{FFFD}"));
        let found = of("/dicom-web/studies/1.2/series/1.3/metadata", "");
        assert_eq!((found.studies, found.series), (vec!["1.2".to_owned()], Some("1.3".into())));
        let probe = Route::Health;
        assert_eq!(event(&Who::Nobody, Some(&probe), None), None);
        assert_eq!(event(&Who::Nobody, None, None).unwrap().op, "none");
    }

    #[test]
    fn a_proxy_is_believed_if_it_is_trusted() {
        let mut headers = HeaderMap::new();
        let peer: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(origin(&headers, true, peer), "10.0.0.1");
        headers.insert(X_FORWARDED_FOR, "1.1.1.1, 192.0.2.7".parse().unwrap());
        assert_eq!(origin(&headers, true, peer), "192.0.2.7");
        assert_eq!(origin(&headers, false, peer), "10.0.0.1");
        headers.insert(X_FORWARDED_FOR, "unknown".parse().unwrap());
        assert_eq!(origin(&headers, true, peer), "10.0.0.1");
    }
}
