//! Where the value of one element lies.

use std::io;

use bytes::Bytes;

use super::inflate::inflate;
use super::piece::Piece;
use super::vr::unit;
use super::walk::{Element, Event, Walk};
use crate::attributes::tags;
use crate::element::Vr;
use crate::limits::DEPTH_MAX;
use crate::source::Source;
use crate::syntax::Syntax;

/// A value that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As the metadata says.
    pub vr: Vr,
    /// The value, little-endian. Of encapsulated pixel data: every item with its head, offset table first,
    /// without the delimiter behind them.
    pub value: Piece,
    /// The value is a run of fragments (PS3.5 A.4).
    pub encapsulated: bool,
}

/// Finds an element by its bulk path: `7FE00010`, or `54000100.0.54001010` for one inside the first item
/// of a sequence. Nothing if there is no such element, or the path is none.
///
/// # Errors
/// Those of the source; [`io::ErrorKind::FileTooLarge`] for a deflated data set that is too large to be
/// inflated.
pub fn find(
    source: &mut dyn Source,
    transfer_syntax: &str,
    path: &str,
) -> io::Result<Option<Found>> {
    let Some((steps, tag)) = parse(path) else { return Ok(None) };
    let syntax = Syntax::of(transfer_syntax);
    if syntax.deflated {
        let mut bytes = inflate(source)?;
        let stored = bytes.clone();
        let found = search(&mut bytes, syntax, &steps, tag)?;
        return Ok(found.map(|element| found_in(&element, syntax, Some(&stored))));
    }
    let found = search(source, syntax, &steps, tag)?;
    Ok(found.map(|element| found_in(&element, syntax, None)))
}

/// Sequences with their items, and the tag of the element.
fn parse(path: &str) -> Option<(Vec<(u32, u64)>, u32)> {
    let tag = |text: &str| {
        let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
    };
    let mut steps = Vec::new();
    let mut parts = path.split('.');
    let mut last = tag(parts.next()?)?;
    while let Some(item) = parts.next() {
        if steps.len() >= DEPTH_MAX || !item.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        steps.push((last, item.parse().ok()?));
        last = tag(parts.next()?)?;
    }
    Some((steps, last))
}

fn search(
    source: &mut dyn Source,
    syntax: Syntax,
    steps: &[(u32, u64)],
    tag: u32,
) -> io::Result<Option<Element>> {
    let mut walk = Walk::new(source, syntax.encoding, DEPTH_MAX)?;
    // Each open sequence, and how many items of it have been opened.
    let mut open: Vec<(u32, u64)> = Vec::new();
    loop {
        match walk.next()? {
            Event::Element(element) => {
                let here = element.tag == tag && open.len() == steps.len();
                let on_path = || {
                    open.iter()
                        .zip(steps)
                        .all(|(open, step)| open.0 == step.0 && open.1 == step.1 + 1)
                };
                if here && on_path() {
                    return Ok(Some(element));
                }
            }
            Event::Sequence(tag) => open.push((tag, 0)),
            Event::Item => {
                if let Some((_, items)) = open.last_mut() {
                    *items += 1;
                }
            }
            Event::SequenceEnd => {
                open.pop();
            }
            Event::ItemEnd => {}
            Event::End => return Ok(None),
        }
    }
}

/// The value of an element as a piece: of the source, or of inflated bytes.
pub(super) fn found_in(element: &Element, syntax: Syntax, inflated: Option<&Bytes>) -> Found {
    let (start, end) = (element.at, element.at + element.length);
    let value = if let Some(bytes) = inflated {
        Piece::Bytes(bytes.clone()).part(start, end)
    } else {
        let pixels = syntax.big_endian_pixels && element.tag == tags::PIXEL_DATA;
        let turned = (element.big_endian || pixels) && !element.encapsulated;
        Piece::Stored { range: start..end, unit: if turned { unit(element.vr) } else { 1 } }
    };
    Found { vr: element.vr, value, encapsulated: element.encapsulated }
}
