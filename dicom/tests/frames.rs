//! Which fragments of encapsulated pixel data make up a frame.

mod common;

use cairn_chunker::frames::Frames;
use cairn_dicom::Flags;
use common::*;

const SOI: [u8; 4] = [0xFF, 0xD8, 0xFF, 0xE0];

/// An object whose fragments start with a magic or not, with its first fragment's offset.
struct Case {
    syntax: &'static str,
    frames: &'static str,
    table: Vec<u8>,
    extended: Vec<u64>,
    magics: &'static [bool],
}

const PLAIN: Case =
    Case { syntax: JPEG, frames: "2", table: Vec::new(), extended: Vec::new(), magics: &[] };

/// Every fragment is 20 bytes, so fragment `i` starts at `28 * i`.
fn run(case: &Case) -> (Scanned, Vec<u64>) {
    let mut set = Set::new(EXPLICIT_LE).named().image(1, case.frames, 2, 2, 8);
    if !case.extended.is_empty() {
        let values: Vec<u8> = case.extended.iter().flat_map(|o| o.to_le_bytes()).collect();
        set = set.element(0x7FE0_0001, b"OV", &values);
    }
    set = set.head(PIXELS, b"OB", UNDEFINED).item(&case.table);
    let base = set.bytes.len() as u64;
    for magic in case.magics {
        let mut value = [7; 20];
        if *magic {
            value[..4].copy_from_slice(&SOI);
        }
        set = set.item(&value);
    }
    let set = set.end(SEQUENCE_END).element(0xFFFC_FFFC, b"OB", &[0; 4]);
    let found = scan(&part10(case.syntax, &set));
    let starts = match &found.object.frames {
        Frames::Encapsulated { starts, end } => {
            assert_eq!(*end, base + 28 * case.magics.len() as u64);
            starts.iter().map(|start| (start - base) / 28).collect()
        }
        _ => Vec::new(),
    };
    (found, starts)
}

fn table(offsets: &[u32]) -> Vec<u8> {
    offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect()
}

#[test]
fn by_basic_offset_table() {
    let case = Case { table: table(&[0, 56]), magics: &[true, false, false, true], ..PLAIN };
    let (found, starts) = run(&case);
    assert_eq!(starts, [0, 2]);
    assert_eq!(found.kinds(), ["envelope", "header", "table", "frame", "frame", "table", "header"]);
    assert!(found.object.flags.is_empty());
}

#[test]
fn wrong_offset_tables_are_trusted_up_to_the_error() {
    let magics = &[true, false, true, false, true];
    let frames = "3";
    let (found, starts) = run(&Case { table: table(&[0, 57, 112]), magics, frames, ..PLAIN });
    assert_eq!(starts, [0, 2, 4], "one offset is inside a fragment");
    assert_eq!(found.flags(), ["frame_count"]);
    let (found, starts) = run(&Case { table: table(&[0, 56, 112, 999]), magics, frames, ..PLAIN });
    assert_eq!((starts, found.flags()), (vec![0, 2, 4], vec!["frame_count"]), "one too many");
    let (found, starts) = run(&Case { table: table(&[0]), magics, frames, ..PLAIN });
    assert_eq!((starts, found.flags()), (vec![0, 2, 4], vec![]), "a table of one says nothing");
    let (found, starts) = run(&Case { table: table(&[8, 64, 120]), magics, frames, ..PLAIN });
    assert_eq!((starts, found.flags()), (vec![0, 2, 4], vec![]), "does not start at 0");
    let (found, starts) = run(&Case { table: table(&[0, 56, 3]), magics, frames, ..PLAIN });
    assert_eq!((starts, found.flags()), (vec![0, 2, 4], vec!["frame_count"]), "descends");
}

#[test]
fn by_extended_offset_table() {
    let magics = &[false, false, false];
    let (found, starts) = run(&Case { extended: vec![0, 28], magics, ..PLAIN });
    assert_eq!((starts, found.flags()), (vec![0, 1], vec![]));
}

#[test]
fn without_tables() {
    let all = |magics| Case { magics, ..PLAIN };
    assert_eq!(run(&all(&[true, false, true, false, false])).1, [0, 2], "by magic");
    assert_eq!(run(&all(&[false, false])).1, [0, 1], "no magic at all");
    let (found, starts) = run(&all(&[true, false]));
    assert_eq!((starts, found.flags()), (vec![0], vec!["frame_count"]));
    let one = Case { frames: "1", magics: &[true, false, true], ..PLAIN };
    assert_eq!(run(&one).1, [0], "one frame takes all");
    let none = Case { frames: "", magics: &[true, false], ..PLAIN };
    assert_eq!(run(&none).1, [0], "Number of Frames is empty");
    let text = Case { frames: "many", magics: &[true, false], ..PLAIN };
    assert_eq!(run(&text).1, [0]);
    let rle = Case { syntax: RLE, frames: "3", magics: &[true, false, false], ..PLAIN };
    assert_eq!(run(&rle).1, [0, 1, 2], "RLE has one fragment a frame, whatever it looks like");
}

#[test]
fn streams_have_no_frames() {
    let (found, starts) = run(&Case { syntax: MPEG4, magics: &[true, true, false], ..PLAIN });
    assert!(starts.is_empty());
    assert_eq!(found.kinds(), ["envelope", "header", "table", "opaque", "table", "header"]);
    assert!(found.object.flags.is_empty());
}

#[test]
fn nonsense_between_fragments() {
    let start = Set::new(EXPLICIT_LE).named().image(1, "2", 2, 2, 8);
    let start = start.head(PIXELS, b"OB", UNDEFINED).item(&[]).item(&SOI);
    let run = |set: Set| scan(&part10(JPEG, &set));
    for nonsense in [
        start.clone().head(ITEM, b"  ", UNDEFINED).raw(&[0; 100]),
        start.clone().head(ITEM, b"  ", UNDEFINED - 1).raw(&[0; 100]),
        start.clone().raw(&[0x41; 64]),
    ] {
        let found = run(nonsense);
        assert_eq!(found.kinds(), ["envelope", "header", "table", "frame", "opaque"]);
        assert!(found.object.flags.contains(Flags::UNPARSED));
        assert_eq!(found.object.frames.count(), 1);
    }
    let past_the_end = run(start.clone().head(ITEM, b"  ", 1 << 30).raw(&SOI));
    assert!(past_the_end.object.flags.contains(Flags::TRUNCATED));
    assert_eq!(past_the_end.object.frames.count(), 2, "what is there of the last frame is kept");
    let no_delimiter = run(start.clone().item(&SOI));
    assert_eq!(no_delimiter.flags(), ["truncated"]);
    assert_eq!(no_delimiter.object.frames.count(), 2);
    let cut_delimiter = run(start.item(&SOI).raw(&[0xFE, 0xFF, 0xDD]));
    assert_eq!(cut_delimiter.flags(), ["truncated"]);
    assert_eq!(cut_delimiter.kinds().last(), Some(&"opaque"));
}

#[test]
fn no_fragments_at_all() {
    let set = Set::new(EXPLICIT_LE).named().head(PIXELS, b"OB", UNDEFINED);
    let empty = scan(&part10(JPEG, &set.clone().end(SEQUENCE_END)));
    assert_eq!(empty.object.frames, Frames::None);
    assert_eq!(scan(&part10(JPEG, &set.clone())).flags(), ["truncated", "frame_count"]);
    assert_eq!(scan(&part10(JPEG, &set.item(&[]).end(SEQUENCE_END))).flags(), ["frame_count"]);
}
