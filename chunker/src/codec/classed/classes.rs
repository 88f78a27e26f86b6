//! The stream of classes: each is told in the light of the classes to its left and above.

use super::bits::{Cursor, Writer};
use super::groups::CLASSES;
use super::huffman;

/// Longest word of a class, in bits.
pub(super) const WORD_BITS_MAX: usize = 8;

/// Entries of a decoding table.
pub(super) const TABLE: usize = 1 << WORD_BITS_MAX;

/// Words between two refills.
const WORDS: usize = 7;

/// How often each class occurs in each context.
pub(super) type Counts = [[u32; CLASSES]; CLASSES];

/// The mean of the class to the left and the one above. In the first row both are the one to the
/// left, which for the first group is 0.
#[inline(always)]
fn context(left: u8, above: Option<&u8>) -> usize {
    usize::midpoint(usize::from(*above.unwrap_or(&left)), usize::from(left))
}

/// Calls `each` with the context and class of all groups, `above` being groups in a row.
#[inline(always)]
fn in_context(classes: &[u8], above: usize, mut each: impl FnMut(usize, usize)) {
    let mut left = 0;
    for (i, class) in classes.iter().enumerate() {
        let over = i.checked_sub(above).and_then(|i| classes.get(i));
        each(context(left, over), usize::from(*class));
        left = *class;
    }
}

#[inline(always)]
pub(super) fn count(classes: &[u8], above: usize, counts: &mut Counts) {
    *counts = Counts::default();
    in_context(classes, above, |context, class| counts[context][class] += 1);
}

/// Appends the stream to `out`.
#[inline(always)]
pub(super) fn encode(classes: &[u8], above: usize, words: &[huffman::Words], out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    in_context(classes, above, |context, class| {
        let word = words[context][class];
        writer.put(word & 0xffff, word >> 16);
    });
    writer.finish();
}

/// Fills `classes`, all below [`CLASSES`], from the whole of `coded`. False if it is not a stream of
/// so many.
#[inline(always)]
pub(super) fn decode(
    coded: &[u8],
    above: usize,
    tables: &[[u16; TABLE]],
    classes: &mut [u8],
) -> bool {
    let mut cursor = Cursor::new(0);
    let mut left = 0;
    for start in (0..classes.len()).step_by(WORDS) {
        cursor.refill(coded);
        for i in start..classes.len().min(start + WORDS) {
            let over = i.checked_sub(above).and_then(|i| classes.get(i));
            // A class that there is not leads out of the tables.
            let Some(table) = tables.get(context(left, over)) else { return false };
            left = cursor.symbol(table);
            classes[i] = left;
        }
    }
    usize::from(left) < CLASSES && cursor.end() == coded.len()
}
