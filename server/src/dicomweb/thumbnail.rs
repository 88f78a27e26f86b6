//! GET thumbnails (PS3.18 §10.4.1.1.4): one small picture for a study, series, instance or frame.
//!
//! Of several instances it is the middle one by number, of several frames the middle one: what there is
//! at the ends is rarely what a series shows. The same each time, as long as nothing arrives. A thumbnail
//! holds nothing that identifies a patient (§10.4.3.3.4), so what says that names are burned into it is
//! passed over.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_dicom::attributes::{Attributes, Level, tags};
use cairn_dicom::query::Query;
use cairn_dicom::render::{Parameters, Viewport};
use cairn_store::catalog::Search;
use hyper::StatusCode;
use hyper::header::{CONTENT_LOCATION, HeaderMap};

use super::accept::Accept;
use super::image::Image;
use super::rendered::picture::{Pictures, is_of_one_picture};
use super::rendered::wish::{Wish, bad, chosen, offers};
use super::subject::{self, hex};
use crate::http::route::Scope;
use crate::http::{Answer, App, Ask, Problem, Reply};

/// Pixels of the longer side, unless a viewport says otherwise: lists show 128 to 256 of them.
const SIDE: u32 = 256;
/// Instances among which the middle one is looked for, in the order of arrival.
const INSTANCES_MAX: u64 = 4096;
/// Instances that are tried, from the middle on.
const TRIES_MAX: usize = 5;

const INSTANCE_NUMBER: u32 = 0x0020_0013;
const BURNED_IN_ANNOTATION: u32 = 0x0028_0301;

/// GET a thumbnail.
pub(crate) async fn thumbnail(app: &Arc<App>, scope: Scope, frames: Vec<u32>, ask: Ask) -> Answer {
    let mut wish = Wish { parameters: Parameters::thumbnail(SIDE), ..Wish::default() };
    if let Some(viewport) = ask.query.get("viewport") {
        // As large as possible within it, and of the whole image (PS3.18 §8.3.5.1.3).
        wish.parameters.viewport = Some(Viewport::parse_size(viewport).map_err(bad)?);
        wish.parameters.enlarge = true;
    }
    let frame = match *frames.as_slice() {
        [] => None,
        [number] => Some(u64::from(number) - 1),
        _ => return Err(Problem::bad("a thumbnail is of one frame")),
    };
    let (accept, base) = (Accept::of(&ask), ask.dicomweb());
    wish.take(&chosen(&accept, &offers(true, false))?);
    let headers = ask.headers;
    app.blocking(move |app| {
        for scope in candidates(app, &scope)? {
            match of_instance(app, &scope, frame, &wish, &headers, &base) {
                Err(problem) if is_of_one_picture(&problem) => {}
                answer => return answer,
            }
        }
        Err(nothing())
    })
    .await
}

/// 404: the archive makes this resource, and has not made it of this.
fn nothing() -> Problem {
    Problem::not_found("there is no thumbnail of this")
}

fn of_instance(
    app: &App,
    scope: &Scope,
    frame: Option<u64>,
    wish: &Wish,
    headers: &HeaderMap,
    base: &str,
) -> Answer {
    let version = subject::instance(app, scope)?;
    let pictures = Pictures::open(app, &Image::open(app, version)?)?;
    let index = frame.unwrap_or(pictures.count() / 2);
    let tag = wish.tag(&hex(pictures.version().leaf_hash().as_bytes()), &[index]);
    if tag.is_known(headers) {
        return Ok(tag.not_modified());
    }
    let picture = pictures.picture(app, index, &wish.parameters)?;
    let media_type = wish.parameters.format.media_type();
    let reply = Reply::new(StatusCode::OK).content_type(media_type).bytes(picture);
    Ok(tag.mark(reply).text_header(CONTENT_LOCATION, &pictures.location(base, index)))
}

/// The instances that may stand for all, the best first.
fn candidates(app: &App, scope: &Scope) -> Result<Vec<Scope>, Problem> {
    if let Scope { study: Some(study), series: Some(series), instance: Some(sop) } = scope {
        let attributes = app.store.catalog().attributes(study, series, sop)?;
        let Some(attributes) = attributes else { return Err(subject::absent(app, scope)?) };
        return if is_burned_in(&attributes) { Err(nothing()) } else { Ok(vec![scope.clone()]) };
    }
    let mut query = Query::all(Level::Instance);
    if let Some(study) = &scope.study {
        query = query.in_study(study);
    }
    if let Some(series) = &scope.series {
        query = query.in_series(series);
    }
    // It names a study, and no key: no row has to be looked at.
    let rows_max = u64::MAX;
    let search = Search { query: &query, after: 0, skip: 0, take: INSTANCES_MAX, rows_max };
    let mut found = 0_u64;
    let mut series: BTreeMap<String, Shown> = BTreeMap::new();
    app.store.catalog().search(&search, &mut |instance| {
        found += 1;
        let uids = instance.series_uid.zip(instance.sop_instance_uid);
        if let Some((series_uid, sop)) = uids
            && instance.attributes.get(tags::ROWS).is_some()
            && !is_burned_in(&instance.attributes)
        {
            series.entry(series_uid).or_default().add(&instance.attributes, sop);
        }
        Ok(())
    })?;
    if found == 0 {
        return Err(subject::absent(app, scope)?);
    }
    // Of equals, the one whose UID comes first.
    let best = series.into_iter().rev().max_by_key(|(_, shown)| shown.frames);
    let Some((series_uid, shown)) = best else { return Ok(Vec::new()) };
    let scopes = shown.into_uids().into_iter().take(TRIES_MAX).map(|sop| Scope {
        study: scope.study.clone(),
        series: Some(series_uid.clone()),
        instance: Some(sop),
    });
    Ok(scopes.collect())
}

/// Instances of a series that may be shown.
#[derive(Debug, Default)]
struct Shown {
    frames: u64,
    /// Instance Number and SOP Instance UID.
    instances: Vec<(i64, String)>,
}

impl Shown {
    fn add(&mut self, attributes: &Attributes, sop: String) {
        let number = |tag| attributes.get(tag)?.trim().parse::<i64>().ok();
        let frames = number(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1).unsigned_abs();
        self.frames = self.frames.saturating_add(frames);
        self.instances.push((number(INSTANCE_NUMBER).unwrap_or(0), sop));
    }

    /// Their UIDs: the middle one, and then those around it.
    fn into_uids(mut self) -> Vec<String> {
        self.instances.sort_unstable();
        let behind = self.instances.split_off(self.instances.len() / 2);
        let (mut before, mut behind) = (self.instances.into_iter().rev(), behind.into_iter());
        let mut uids = Vec::new();
        loop {
            let pair = (behind.next(), before.next());
            if pair == (None, None) {
                return uids;
            }
            uids.extend([pair.0, pair.1].into_iter().flatten().map(|(_, sop)| sop));
        }
    }
}

fn is_burned_in(attributes: &Attributes) -> bool {
    attributes.get(BURNED_IN_ANNOTATION).is_some_and(|value| value.trim() == "YES")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_middle_outwards() {
        let of = |numbers: &[i64]| {
            let instances = numbers.iter().map(|n| (*n, n.to_string())).collect();
            Shown { frames: 0, instances }.into_uids()
        };
        assert_eq!(of(&[5, 1, 10, 3]), ["5", "3", "10", "1"]);
        assert_eq!(of(&[2, 3, 1]), ["2", "1", "3"]);
        assert_eq!(of(&[7]), ["7"]);
        assert!(of(&[]).is_empty());
    }
}
