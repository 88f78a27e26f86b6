//! What a client accepts, against what a resource can be given as (PS3.18 §8.7).
//!
//! A handler lists its [`Offer`]s in the order in which it likes them; [`Accept::choose`] picks one,
//! or says 406. The rules, in this order:
//!
//! 1. The most particular range that matches an offer gives it its weight (RFC 9110 §12.5.1).
//! 2. Of the offers, the one of most weight wins; of equals, the first.
//! 3. A range that names a media type and no transfer syntax means the default of that type:
//!    Explicit VR Little Endian for application/dicom and application/octet-stream, tables 8.7.3-2 to
//!    -5. `transfer-syntax=*`, and ranges with wildcards, take any.
//! 4. The `accept` parameter is looked at first; only if nothing of it can be given, the Accept field
//!    (§8.7.8.1).
//!
//! Rule 3 departs from §8.7.8.2 in one point: a wildcard means objects as they are stored, where the
//! standard has the default syntax of the default media type. Whoever asks for `*/*` (a browser, curl, a
//! script that sets nothing) wants the original; decoded, it would be several times as long, slow to
//! make, and another object than the one that was sent. Who needs Explicit VR Little Endian names
//! application/dicom, and gets it.
//!
//! Reading is lenient, since clients are: `type=` with quotes or without, parameters in any order and
//! case, `multipart/related` without a type. What cannot be read matches nothing and harms nothing.

mod parse;
mod table;

pub(in crate::dicomweb) use parse::{parameter, split as split_outside_quotes};
pub(crate) use table::{media_type_of, video_type_of};

use hyper::header::ACCEPT;

use crate::http::{Ask, Problem};
use parse::MediaRange;

/// JSON as DICOM has it (PS3.18 annex F).
pub(crate) const DICOM_JSON: &str = "application/dicom+json";
/// XML as DICOM has it: the Native DICOM Model (PS3.19 §A.1).
pub(crate) const DICOM_XML: &str = "application/dicom+xml";
/// A DICOM file.
pub(crate) const DICOM: &str = "application/dicom";
/// Bytes.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// The transfer syntax of an [`Offer`] for who names a media type and leaves the syntax open.
pub(crate) const LEFT_OPEN: &str = "";

/// One way in which a resource can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer<'a> {
    /// The media type; of the parts, in multipart.
    pub(crate) media_type: &'a str,
    /// The transfer syntax UID it would be in; `None` where there is no such thing (JSON, pictures).
    pub(crate) syntax: Option<&'a str>,
    /// In `multipart/related`, or alone?
    pub(crate) multipart: bool,
}

/// What the result of a store (PS3.18 table 10.5.4-1, annex F) or of a commitment (table 13.1.3-1) can
/// be, the default first: JSON, which clients read, comes before the same in one part.
pub(crate) const RESULTS: [Offer<'static>; 5] = [
    Offer { media_type: DICOM_JSON, syntax: None, multipart: false },
    Offer { media_type: "application/json", syntax: None, multipart: false },
    Offer { media_type: DICOM_XML, syntax: None, multipart: false },
    Offer { media_type: DICOM_JSON, syntax: None, multipart: true },
    Offer { media_type: DICOM_XML, syntax: None, multipart: true },
];

impl<'a> Offer<'a> {
    /// Alone, without a transfer syntax.
    pub(crate) fn single(media_type: &'a str) -> Self {
        Self { media_type, syntax: None, multipart: false }
    }

    /// In `multipart/related`, without a transfer syntax.
    pub(crate) fn multipart(media_type: &'a str) -> Self {
        Self { multipart: true, ..Self::single(media_type) }
    }

    /// In this transfer syntax.
    pub(crate) fn syntax(self, uid: &'a str) -> Self {
        Self { syntax: Some(uid), ..self }
    }
}

/// See the [module](self).
#[derive(Debug, Clone, Default)]
pub(crate) struct Accept {
    ranges: Vec<MediaRange>,
    /// What counts if nothing of those can be given.
    otherwise: Vec<MediaRange>,
}

impl Accept {
    /// What a request accepts: its `accept` parameter (PS3.18 §8.3.3.1), which exists for links and so
    /// comes first, else its Accept fields, else anything.
    pub(crate) fn of(ask: &Ask) -> Self {
        let parameter = ask.query.get("accept").filter(|text| !text.trim().is_empty());
        let field = ask.list(&ACCEPT).filter(|text| !text.trim().is_empty());
        match (parameter, field) {
            (Some(text), Some(field)) => Self::parse(text).or(&field),
            (Some(text), None) => Self::parse(text),
            (None, Some(text)) => Self::parse(&text),
            (None, None) => Self::parse("*/*"),
        }
    }

    /// Reads the value of an Accept field.
    pub(crate) fn parse(text: &str) -> Self {
        Self { ranges: parse::ranges(text), otherwise: Vec::new() }
    }

    /// With what counts if nothing of this can be given.
    fn or(self, field: &str) -> Self {
        Self { otherwise: parse::ranges(field), ..self }
    }

    /// The place of the best offer.
    ///
    /// # Errors
    /// 406 if none is accepted.
    pub(crate) fn choose(&self, offers: &[Offer<'_>]) -> Result<usize, Problem> {
        let place = best(&self.ranges, offers).or_else(|| best(&self.otherwise, offers));
        place.ok_or_else(Problem::not_acceptable)
    }
}

/// The place of the offer of most weight, the first of equals.
fn best(ranges: &[MediaRange], offers: &[Offer<'_>]) -> Option<usize> {
    let mut best: Option<(u16, usize)> = None;
    for (place, offer) in offers.iter().enumerate() {
        let weight = weight(ranges, offer);
        if weight > best.map_or(0, |(most, _)| most) {
            best = Some((weight, place));
        }
    }
    best.map(|(_, place)| place)
}

/// How much an offer is wanted, in thousandths; 0: not at all.
fn weight(ranges: &[MediaRange], offer: &Offer<'_>) -> u16 {
    let matches = ranges.iter().filter_map(|range| Some((fit(range, offer)?, range.weight)));
    matches.max().map_or(0, |(_, weight)| weight)
}

/// How particularly a range matches an offer; `None` if it does not.
fn fit(range: &MediaRange, offer: &Offer<'_>) -> Option<u8> {
    let (wanted, in_multipart) = if range.essence == "multipart/related" {
        // Without a type it is any part, in the default syntax of that part.
        (range.parameter("type").unwrap_or(offer.media_type), true)
    } else {
        (range.essence.as_str(), false)
    };
    let wildcard = wanted == "*/*" || wanted.ends_with("/*");
    // Any at all, or anything of multipart, takes both forms.
    let any_form = !in_multipart && (wanted == "*/*" || wanted == "multipart/*");
    if !any_form && in_multipart != offer.multipart {
        return None;
    }
    let of_type = match wanted.strip_suffix("/*") {
        Some("*") => true,
        Some("multipart") => offer.multipart,
        Some(kind) => offer.media_type.split('/').next().is_some_and(|known| known == kind),
        None => table::names(wanted, offer.media_type),
    };
    if !of_type {
        return None;
    }
    let particular = match (wanted, wildcard) {
        ("*/*", _) => 0,
        (_, true) => 1,
        (_, false) => 2,
    };
    let Some(syntax) = offer.syntax else { return Some(particular) };
    match range.parameter("transfer-syntax") {
        Some("*") => Some(particular + 1),
        Some(uid) => (uid == syntax && syntax != LEFT_OPEN).then_some(particular + 2),
        None if wildcard || syntax == LEFT_OPEN => Some(particular),
        // Without one the default is named (PS3.18 §8.7.3), as particularly as by its UID.
        None => table::is_default(offer.media_type, syntax).then_some(particular + 2),
    }
}

#[cfg(test)]
mod tests;
