//! How far searches came, for the page after.
//!
//! QIDO-RS pages by offset alone (PS3.18 §8.3.4.4), and to pass over so many matches they have to be
//! found again. A search that may look at no more would end at the same place each time. So the place
//! of the last pages is remembered: who asks for what comes next begins there.
//!
//! Only a memory: what is forgotten is searched for from the beginning. What is put right behind a
//! client's back (a corrected attribute, a deletion) may be missed by whoever is in the middle of paging,
//! as ever; a new search from the start replaces the places that it passes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_dicom::query::Query;

/// Places that are remembered: some fifty bytes each.
const PLACES_MAX: usize = 1024;
/// And for how long: a client pages on within seconds, a person within minutes.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// A place in the results of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// So many matches stand before it.
    pub(super) offset: u64,
    /// The last number before it.
    pub(super) after: u64,
}

/// What is searched for, without what page of it. Its hash: no name that was looked for stays here.
type Name = [u8; 32];

#[derive(Debug)]
struct Kept {
    name: Name,
    place: Place,
    since: Instant,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Bookmarks {
    places: Mutex<VecDeque<Kept>>,
}

impl Bookmarks {
    /// The last known place at or before the offset of a query; the beginning if none is.
    pub(super) fn nearest(&self, query: &Query) -> Place {
        let name = name(query);
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let of_query = places.iter().filter(|kept| kept.name == name);
        let known =
            of_query.filter(|kept| kept.since.elapsed() < REMEMBERED).map(|kept| kept.place);
        known.filter(|place| place.offset <= query.offset).max().unwrap_or_default()
    }

    /// Remembers a place, instead of what was known of the same offset.
    pub(super) fn keep(&self, query: &Query, place: Place) {
        let name = name(query);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|kept| kept.name != name || kept.place.offset != place.offset);
        if places.len() >= PLACES_MAX {
            places.pop_front();
        }
        places.push_back(Kept { name, place, since: Instant::now() });
    }
}

fn name(query: &Query) -> Name {
    let Query { level, study, series, keys, pairs, modes, .. } = query;
    let text = format!("{:?}", (level, study, series, keys, pairs, modes));
    *blake3::hash(text.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cairn_dicom::attributes::Level;

    use super::*;

    fn query(parameters: &[(&str, &str)]) -> Query {
        Query::all(Level::Instance).with_parameters(parameters).unwrap()
    }

    #[test]
    fn the_nearest_place_before_an_offset() {
        let bookmarks = Bookmarks::default();
        let at = |offset: &str| query(&[("InstanceNumber", "1"), ("offset", offset)]);
        assert_eq!(bookmarks.nearest(&at("5")), Place::default());
        for (offset, after) in [(3, 30), (7, 70)] {
            bookmarks.keep(&at("0"), Place { offset, after });
        }
        assert_eq!(bookmarks.nearest(&at("2")), Place::default());
        assert_eq!(bookmarks.nearest(&at("6")), Place { offset: 3, after: 30 });
        assert_eq!(bookmarks.nearest(&at("7")), Place { offset: 7, after: 70 });
        bookmarks.keep(&at("0"), Place { offset: 7, after: 90 });
        assert_eq!(bookmarks.nearest(&at("9")), Place { offset: 7, after: 90 });
        // The limit is of the page, the rest of the search.
        let page = query(&[("InstanceNumber", "1"), ("offset", "3"), ("limit", "1")]);
        assert_eq!(bookmarks.nearest(&page), Place { offset: 3, after: 30 });
        let other = query(&[("InstanceNumber", "2"), ("offset", "9")]);
        assert_eq!(bookmarks.nearest(&other), Place::default());
    }

    #[test]
    fn they_are_bounded() {
        let bookmarks = Bookmarks::default();
        for offset in 0..2 * PLACES_MAX as u64 {
            bookmarks.keep(&query(&[]), Place { offset, after: offset });
        }
        assert_eq!(bookmarks.places.lock().unwrap().len(), PLACES_MAX);
    }
}
