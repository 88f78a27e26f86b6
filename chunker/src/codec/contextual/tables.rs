//! The tables of a chunk, shared by its stripes: which contexts have one together, and how often each
//! token occurs there.

use super::ans::{Decoding, Encoding, LEVEL_MAX, normalized};
use super::bits::{Reader, Writer};
use super::contexts::{CONTEXTS, low_bits};
use super::tokens::{DIRECT, TOKENS, extra_bits};

/// How often each token occurs in a table.
pub(super) type Count = [u32; TOKENS];

/// How often each token occurs in each context.
pub(super) type Counts = [Count; CONTEXTS];

/// Whole steps of a rest that are told one by one; what is more is told as a number.
const ONES_MAX: u32 = 12;
/// Bits of such a number.
const REST_BITS: u32 = 7;

/// What a table costs beside its tokens, in bits: what it is told by, and the time to make it.
const TABLE_COST: f32 = 600.0;
/// What each token of a table costs, in bits.
const TOKEN_COST: f32 = 3.2;

/// The logarithm to base 2, to a hundredth.
#[inline(always)]
fn log2(x: f32) -> f32 {
    let bits = x.to_bits();
    let exponent = (bits >> 23) as f32 - 127.0;
    let mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000);
    exponent + (-0.344_845 * mantissa + 2.024_658) * mantissa - 1.674_873
}

/// Bits of all tokens and of their table.
#[inline(always)]
fn cost(count: &Count) -> f32 {
    let mut total = 0;
    let mut sums = [0.0; 8];
    let mut last = 0;
    for (eight, count) in count.as_chunks::<8>().0.iter().enumerate() {
        // Most tables have few tokens.
        let some: u32 = count.iter().sum();
        if some == 0 {
            continue;
        }
        total += some;
        last = eight;
        for (sum, count) in sums.iter_mut().zip(count) {
            let count = (*count).max(1) as f32;
            *sum += count * log2(count);
        }
    }
    let tokens = 8.0 * last as f32 + 4.0;
    let total = total.max(1) as f32;
    total * log2(total) - sums.iter().sum::<f32>() + TABLE_COST + TOKEN_COST * tokens
}

/// Contexts that have one table: the first of them, and what is counted in all.
#[derive(Clone, Copy)]
struct Shared {
    first: usize,
    count: Count,
    cost: f32,
}

#[inline(always)]
fn together(a: &Count, b: &Count) -> Count {
    let mut all = *a;
    for (sum, count) in all.iter_mut().zip(b) {
        *sum += count;
    }
    all
}

/// Neighbours that may have one table: what is counted in both, and what that costs and gains.
#[derive(Clone, Copy)]
struct Pair {
    count: Count,
    cost: f32,
    gain: f32,
}

impl Pair {
    #[inline(always)]
    fn of(a: &Shared, b: &Shared) -> Self {
        let count = together(&a.count, &b.count);
        let cost = cost(&count);
        Self { count, cost, gain: a.cost + b.cost - cost }
    }
}

/// Joins neighbours for as long as that costs less.
#[inline(always)]
fn shared(counts: &Counts) -> Vec<Shared> {
    let mut all = Vec::with_capacity(CONTEXTS);
    for (first, count) in counts.iter().enumerate() {
        if count.iter().fold(0, |all, count| all | count) > 0 {
            all.push(Shared { first, count: *count, cost: cost(count) });
        }
    }
    let mut pairs = Vec::with_capacity(CONTEXTS);
    for two in all.windows(2) {
        pairs.push(Pair::of(&two[0], &two[1]));
    }
    // Each that is left, and its pair with the next one, stand where they stood.
    let mut left: Vec<usize> = (0..all.len()).collect();
    loop {
        let (mut i, mut best) = (0, 0.0);
        for (place, number) in left.iter().enumerate().take(left.len().saturating_sub(1)) {
            if pairs[*number].gain >= best {
                (i, best) = (place, pairs[*number].gain);
            }
        }
        if best <= 0.0 {
            return left.into_iter().map(|number| all[number]).collect();
        }
        left.remove(i + 1);
        let here = left[i];
        let Pair { count, cost, .. } = pairs[here];
        all[here] = Shared { first: all[here].first, count, cost };
        if let Some(next) = left.get(i + 1) {
            pairs[here] = Pair::of(&all[here], &all[*next]);
        }
        if let Some(before) = i.checked_sub(1).map(|before| left[before]) {
            pairs[before] = Pair::of(&all[before], &all[here]);
        }
    }
}

/// The levels of tokens by how often they occur.
#[inline(always)]
fn levels(count: &Count) -> [u8; TOKENS] {
    let most = count.iter().copied().max().unwrap_or(0).max(1) as f32;
    let total: u32 = count.iter().sum();
    let last = count.iter().rposition(|count| *count > 0).unwrap_or(0);
    let mut levels = [0; TOKENS];
    for (level, count) in levels.iter_mut().zip(count).take(last + 1) {
        if *count > 0 {
            let quarters = 4.0 * (log2(*count as f32) - log2(most));
            *level = (LEVEL_MAX as f32 + quarters).round().clamp(1.0, LEVEL_MAX as f32) as u8;
        } else if total < 2048 {
            // A gap costs more to tell than to have.
            *level = 1;
        }
    }
    levels
}

fn zigzag(difference: i32) -> u32 {
    (difference << 1 ^ difference >> 31).cast_unsigned()
}

#[inline(always)]
fn rice_bits(number: u32, rest: u32) -> u32 {
    if number >> rest < ONES_MAX { (number >> rest) + 1 + rest } else { ONES_MAX + REST_BITS }
}

#[inline(always)]
fn write_levels(levels: &[u8; TOKENS], writer: &mut Writer<'_>) {
    let last = levels.iter().rposition(|level| *level > 0).unwrap_or(0);
    let steps = levels[..=last].windows(2);
    let steps: Vec<u32> =
        steps.map(|pair| zigzag(i32::from(pair[1]) - i32::from(pair[0]))).collect();
    let bits = |rest: u32| steps.iter().map(|step| rice_bits(*step, rest)).sum::<u32>();
    let rest = (0..4).min_by_key(|rest| bits(*rest)).unwrap_or(0);
    writer.put(last as u32, 6);
    writer.put(rest, 2);
    writer.put(levels[0].into(), 6);
    for step in steps {
        let ones = step >> rest;
        if ones < ONES_MAX {
            writer.put((1 << ones) - 1, ones + 1);
            writer.put(step & ((1 << rest) - 1), rest);
        } else {
            writer.put((1 << ONES_MAX) - 1, ONES_MAX);
            writer.put(step, REST_BITS);
        }
    }
}

#[inline(always)]
fn read_levels(reader: &mut Reader<'_>) -> Option<[u8; TOKENS]> {
    let last = reader.number(6) as usize;
    let rest = reader.number(2);
    let mut level = reader.number(6);
    let mut levels = [0; TOKENS];
    for (i, to) in levels[..=last].iter_mut().enumerate() {
        if i > 0 {
            let ones = reader.peek().trailing_ones().min(ONES_MAX);
            let step = if ones < ONES_MAX {
                reader.skip(ones as usize + 1);
                ones << rest | reader.number(rest as usize)
            } else {
                reader.skip(ONES_MAX as usize);
                reader.number(REST_BITS as usize)
            };
            level = level.wrapping_add(step >> 1 ^ (step & 1).wrapping_neg());
        }
        if level > LEVEL_MAX {
            return None;
        }
        *to = level as u8;
    }
    levels.iter().any(|level| *level > 0).then_some(levels)
}

/// Bits of codes that are kept beside the tokens.
#[inline(always)]
fn kept_bits(counts: &Counts) -> u64 {
    let of_token = |low: u32, (token, count): (usize, &u32)| {
        u64::from(*count) * u64::from(low + extra_bits(token as u32))
    };
    let of_context = |(context, count): (usize, &Count)| {
        let low = low_bits(context);
        let from = if low == 0 { DIRECT as usize } else { 0 };
        count.iter().enumerate().skip(from).map(|count| of_token(low, count)).sum::<u64>()
    };
    counts.iter().enumerate().map(of_context).sum()
}

/// Makes the tables for what was counted, tells them, and gives about how many bits all codes take.
#[inline(always)]
pub(super) fn make(counts: &Counts, encoding: &mut Encoding, writer: &mut Writer<'_>) -> u64 {
    let mut all = shared(counts);
    if let Some(first) = all.first_mut() {
        first.first = 0;
    }
    let begins = |context| all.iter().any(|shared| shared.first == context);
    for context in 0..CONTEXTS {
        writer.put(begins(context).into(), 1);
    }
    for (table, shared) in all.iter().enumerate() {
        let behind = all.get(table + 1).map_or(CONTEXTS, |shared| shared.first);
        let levels = levels(&shared.count);
        write_levels(&levels, writer);
        encoding.fill(table, shared.first..behind, &normalized(&levels, encoding.log));
    }
    let bits: f32 = all.iter().map(|shared| shared.cost - TABLE_COST).sum();
    kept_bits(counts) + bits.max(0.0) as u64
}

/// Reads what [`make`] told; `None` if it is not that.
#[inline(always)]
pub(super) fn read(reader: &mut Reader<'_>, decoding: &mut Decoding) -> Option<()> {
    let begins: [bool; CONTEXTS] = std::array::from_fn(|_| reader.number(1) == 1);
    if !begins[0] {
        return None;
    }
    let mut tables = 0;
    for (context, begins) in begins.into_iter().enumerate() {
        tables += usize::from(begins);
        decoding.share(context, tables - 1);
    }
    for table in 0..tables {
        let levels = read_levels(reader)?;
        decoding.fill(table, &normalized(&levels, decoding.log));
    }
    Some(())
}
