//! Objects on their way out: which presentation context they go under, in which encoding, and their
//! data sets, read a few ahead.

use std::sync::Arc;

use bytes::Bytes;
use cairn_dicom::syntax::{EXPLICIT_LE, IMPLICIT_LE};
use cairn_store::catalog::VersionRow;

use crate::dicomweb::ahead::Job;
use crate::dicomweb::image::Image;
use crate::dicomweb::transcode::{Encoding, Part10, Section, encodings};
use crate::dimse::negotiate::Context;
use crate::http::{App, Problem};

/// Data sets up to this length are read ahead, a few at once. Longer ones are read as they are sent.
const WHOLE_BYTES_MAX: u64 = 8 << 20;
/// A converted one is made whole up to this length, so that what cannot be decoded fails before its
/// first byte is sent and not after, when only an abort is left.
const CONVERTED_BYTES_MAX: u64 = 64 << 20;

/// How an object goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dimse) enum Form {
    /// Byte for byte.
    Stored,
    /// Converted to Explicit VR Little Endian.
    Explicit,
    /// And from there to Implicit.
    Implicit,
}

/// The context and form for an object, among contexts under which the receiver takes objects.
pub(in crate::dimse) fn route(contexts: &[Context], version: &VersionRow) -> Option<(u8, Form)> {
    let stored = version.transfer_syntax_uid.as_str();
    let under = |syntax: &str| {
        let fits = |c: &&Context| c.class == version.sop_class_uid && c.transfer_syntax == syntax;
        contexts.iter().find(fits).map(|context| context.id)
    };
    if let Some(id) = under(stored) {
        return Some((id, Form::Stored));
    }
    // `encodings` of Explicit VR Little Endian has no conversion to itself.
    if stored != EXPLICIT_LE && !encodings(stored).contains(&Encoding::Explicit) {
        return None;
    }
    let explicit = under(EXPLICIT_LE).map(|id| (id, Form::Explicit));
    explicit.or_else(|| under(IMPLICIT_LE).map(|id| (id, Form::Implicit)))
}

/// A data set that is ready to be sent.
pub(in crate::dimse) enum Content {
    /// At hand.
    Whole(Vec<Bytes>),
    /// To be read as it is sent.
    Sections(Vec<Section>),
}

/// An object that is ready to be sent, or why not.
pub(in crate::dimse) struct Prepared {
    pub(in crate::dimse) class: String,
    pub(in crate::dimse) instance: String,
    pub(in crate::dimse) context: u8,
    pub(in crate::dimse) form: Form,
    pub(in crate::dimse) content: Content,
}

/// Something to be sent, as a job for [`Ahead`](crate::dicomweb::ahead::Ahead).
pub(in crate::dimse) fn job(
    app: Arc<App>,
    version: VersionRow,
    route: Option<(u8, Form)>,
) -> Job<Prepared> {
    Box::new(move || {
        let (context, form) = route.ok_or_else(Problem::not_acceptable)?;
        let (class, instance) = (version.sop_class_uid.clone(), version.sop_instance_uid.clone());
        let image = Image::open(&app, version)?;
        let encoding = match form {
            Form::Stored => Encoding::Stored,
            Form::Explicit | Form::Implicit => Encoding::Explicit,
        };
        let file = Part10::of(&app, &image, encoding)?;
        let max = if form == Form::Stored { WHOLE_BYTES_MAX } else { CONVERTED_BYTES_MAX };
        let length = file.length();
        // The first section is preamble and group 0002, which DIMSE has not.
        let sections: Vec<Section> = file.sections.into_iter().skip(1).collect();
        let content = if length > max {
            Content::Sections(sections)
        } else {
            Content::Whole(whole(sections)?)
        };
        Ok(Prepared { class, instance, context, form, content })
    })
}

fn whole(sections: Vec<Section>) -> Result<Vec<Bytes>, Problem> {
    let mut pieces = Vec::new();
    for section in sections {
        match section {
            Section::Bytes(bytes) => pieces.push(bytes),
            Section::Body(body) => {
                let length = body.length();
                body.give(0..length, &mut |bytes| {
                    pieces.push(bytes);
                    Ok(())
                })?;
            }
        }
    }
    Ok(pieces)
}
