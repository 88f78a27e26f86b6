//! What is done for all tokens at once where the core can.

use super::model::TOKENS;

/// Work on numbers of which several are done at once where the core can. All cores come to the same.
pub(super) trait Core: Copy {
    /// How many of ascending numbers are not above `number`.
    fn count_up_to(self, ascending: &[i16; TOKENS], number: i16) -> usize;

    /// Numbers moved towards their targets by 1 in 2^`rate` of the way, rounded down.
    fn nearer(self, numbers: &[i16; TOKENS], targets: &[i16; TOKENS], rate: u8) -> [i16; TOKENS];
}

/// Any core.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Core for Plain {
    #[inline(always)]
    fn count_up_to(self, ascending: &[i16; TOKENS], number: i16) -> usize {
        ascending.iter().filter(|one| **one <= number).count()
    }

    #[inline(always)]
    fn nearer(self, numbers: &[i16; TOKENS], targets: &[i16; TOKENS], rate: u8) -> [i16; TOKENS] {
        std::array::from_fn(|i| numbers[i] + ((targets[i] - numbers[i]) >> (rate & 15)))
    }
}
