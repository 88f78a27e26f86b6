//! What is asked of pictures: media type, window, viewport, quality (PS3.18 §8.3.5.1).

use cairn_dicom::render::{BadParameter, Format, Parameters};
use hyper::header::{HeaderValue, WARNING};

use crate::dicomweb::accept::{Accept, Offer};
use crate::dicomweb::subject::hex;
use crate::http::conditional::Tag;
use crate::http::query::Query;
use crate::http::{Problem, Reply};

/// Media types of pictures, the default first (PS3.18 table 8.7.4-1).
const FORMATS: [Format; 2] = [Format::Jpeg, Format::Png];

/// Keywords of one annotation parameter: the standard has two.
const KEYWORDS_MAX: usize = 8;
/// The longest of them: what is written back into a header field has to be short.
const KEYWORD_BYTES_MAX: usize = 32;
const NO_PROFILE: &str = "iccprofile is not supported: pictures have no colour profile";

/// See the [module](self).
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// Of each picture.
    pub(crate) parameters: Parameters,
    /// What was asked for and is not done.
    pub(crate) notes: Vec<String>,
}

impl Wish {
    /// Reads the parameters of a request. Those that are unknown do not count (PS3.18 §8.3.5: not all of
    /// them have to be supported), and those that are known and not done are noted.
    ///
    /// # Errors
    /// 400 for values that make no sense.
    pub(crate) fn of(query: &Query) -> Result<Self, Problem> {
        let mut wish = Self::default();
        for (name, value) in query.pairs() {
            match name.as_str() {
                "annotation" => wish.annotate(value)?,
                "iccprofile" if !value.is_empty() && value != "no" => wish.note(NO_PROFILE),
                _ => {
                    wish.parameters.set(name, value).map_err(bad)?;
                }
            }
        }
        Ok(wish)
    }

    /// Reads an annotation parameter. Nothing is ever written into a picture, so its values are told to be
    /// unsupported, in the words of PS3.18 §8.3.5.1.1.
    ///
    /// # Errors
    /// 400 where there is no value, or one that is no keyword.
    pub(crate) fn annotate(&mut self, value: &str) -> Result<(), Problem> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let is_keyword =
            |text: &str| (1..=KEYWORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain);
        let keywords: Vec<&str> = value.split(',').map(str::trim).take(KEYWORDS_MAX + 1).collect();
        if keywords.len() > KEYWORDS_MAX || !keywords.iter().all(|keyword| is_keyword(keyword)) {
            return Err(Problem::bad("annotation is not patient, technique, or both with a comma"));
        }
        let values = keywords.join(",");
        self.note(format!("The following annotation values are not supported: {values}"));
        Ok(())
    }

    /// Adds what the client has to know.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Takes the format of an offer.
    pub(crate) fn take(&mut self, offer: &Offer<'_>) {
        self.parameters.format = Format::of(offer.media_type).unwrap_or_default();
    }

    /// What these pictures of `name` are called. Made differently by another version of this software
    /// they need another number.
    pub(crate) fn tag(&self, name: &str, indices: &[u64]) -> Tag {
        let mut hash = blake3::Hasher::new();
        hash.update(format!("{:?}", self.parameters).as_bytes());
        for index in indices {
            hash.update(&index.to_le_bytes());
        }
        Tag::new(&format!("{name}-rendered1-{}", hex(&hash.finalize().as_bytes()[..8])))
    }

    /// Puts the notes on a reply, as PS3.18 §8.3.4.2 words those of searches.
    pub(crate) fn warn(&self, mut reply: Reply, base: &str) -> Reply {
        for note in &self.notes {
            if let Ok(value) = HeaderValue::from_str(&format!("299 {base}: {note}")) {
                reply.headers.append(WARNING, value);
            }
        }
        reply
    }
}

/// Pictures alone, if there is one, and in parts.
pub(crate) fn offers(single: bool, multipart: bool) -> Vec<Offer<'static>> {
    let types = FORMATS.map(Format::media_type);
    let alone = types.into_iter().filter(|_| single).map(Offer::single);
    let parts = types.into_iter().filter(|_| multipart).map(Offer::multipart);
    alone.chain(parts).collect()
}

/// The best of the offers.
///
/// # Errors
/// 406 if none is accepted.
pub(crate) fn chosen<'a>(accept: &Accept, offers: &[Offer<'a>]) -> Result<Offer<'a>, Problem> {
    let place = accept.choose(offers)?;
    offers.get(place).copied().ok_or_else(Problem::not_acceptable)
}

/// 400, in the words of whoever read it.
pub(crate) fn bad(error: BadParameter) -> Problem {
    Problem::bad(error.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn annotations_are_told_or_refused() {
        let notes = |value: &str| {
            let mut wish = Wish::default();
            wish.annotate(value).map(|()| wish.notes)
        };
        let told = "The following annotation values are not supported: patient,technique";
        assert_eq!(notes("patient, technique").unwrap(), [told]);
        let long = "x".repeat(KEYWORD_BYTES_MAX + 1);
        let many = ["patient"; KEYWORDS_MAX + 1].join(",");
        for wrong in ["", ",", "patient,", "a b", "a\r\nX: y", "\u{e4}", &long, &many] {
            assert_eq!(notes(wrong).unwrap_err().status.as_u16(), 400, "{wrong}");
        }
    }
}
