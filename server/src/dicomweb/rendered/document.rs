//! What is a document or a video: given as it was put in (PS3.18 §8.7.4; behaviour 15).

use hyper::header::{CONTENT_LOCATION, HeaderMap};

use super::wish::chosen;
use crate::dicomweb::accept::{Accept, Offer, video_type_of};
use crate::dicomweb::image::Image;
use crate::dicomweb::multipart::Writer;
use crate::dicomweb::subject::{hex, instance_url};
use crate::dicomweb::value::Value;
use crate::http::conditional::{self, Part, Tag};
use crate::http::{Answer, App, Problem, Reply};

/// Encapsulated Document.
const DOCUMENT: &str = "00420011";
/// Pixel Data.
const VIDEO: &str = "7FE00010";

/// See the [module](self).
pub(crate) struct Document {
    image: Image,
    value: Value,
    media_type: &'static str,
}

impl Document {
    /// The document or video in an instance, if there is one that is safe to be shown.
    ///
    /// # Errors
    /// What is damaged or cannot be read.
    pub(crate) fn of(image: &Image) -> Result<Option<Self>, Problem> {
        let path = if video_type_of(image.syntax()).is_some() {
            VIDEO
        } else if image.version.frames == 0 {
            DOCUMENT
        } else {
            return Ok(None);
        };
        let Some(value) = Value::find(image, path)? else { return Ok(None) };
        let Some(media_type) = value.shown_as() else { return Ok(None) };
        Ok(Some(Self { image: image.clone(), value, media_type }))
    }

    /// How it can be given.
    pub(crate) fn offers(&self) -> Vec<Offer<'static>> {
        vec![Offer::single(self.media_type), Offer::multipart(self.media_type)]
    }

    /// Gives it, or a range of it.
    ///
    /// # Errors
    /// 406 if its type is not accepted; what is damaged.
    pub(crate) fn answer(
        &self,
        app: &App,
        accept: &Accept,
        headers: &HeaderMap,
        base: &str,
    ) -> Answer {
        let offer = chosen(accept, &self.offers())?;
        let leaf = hex(self.image.version.leaf_hash().as_bytes());
        let tag = Tag::new(&format!("{leaf}-document1"));
        let tag = if offer.multipart { tag.weak() } else { tag };
        if tag.is_known(headers) {
            return Ok(tag.not_modified());
        }
        let body = self.value.body(app, &offer)?;
        let (media_type, length) = (offer.media_type, body.length());
        let url = instance_url(base, &self.image.version);
        if offer.multipart {
            let mut writer = Writer::new()?;
            return Ok(tag.mark(Reply::stream(&writer.content_type(media_type), None, {
                move |feed| {
                    writer.part(feed, media_type, Some(&url), Some(length))?;
                    body.send(feed, 0..length)?;
                    writer.end(feed)
                }
            })));
        }
        let reply = tag.mark(match conditional::part(headers, length, &tag)? {
            Part::Whole => {
                conditional::rangeable(Reply::stream(media_type, Some(length), move |feed| {
                    body.send(feed, 0..length)
                }))
            }
            Part::Bytes(range) => {
                let part = range.clone();
                let reply = Reply::stream(media_type, Some(range.end - range.start), move |feed| {
                    body.send(feed, part)
                });
                conditional::partial(reply, &range, length)
            }
        });
        Ok(reply.text_header(CONTENT_LOCATION, &url))
    }
}
