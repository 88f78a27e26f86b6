//! In what pieces bytes arrive: cheap, and the same for the same input, so that a finding repeats.

/// An endless row of piece lengths.
#[derive(Debug)]
pub struct Arrival {
    state: u64,
    most: usize,
}

impl Arrival {
    /// Pieces of up to `most` bytes; `control` chooses the row.
    #[must_use]
    pub fn new(control: u64, most: usize) -> Self {
        Self { state: control ^ 0x9e37_79b9_7f4a_7c15, most: most.max(1) }
    }

    /// The next length: 1 to the most.
    pub fn piece(&mut self) -> usize {
        self.below(self.most) + 1
    }

    /// A number below `bound` (xorshift64; the bias does not matter here).
    pub fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as usize % bound.max(1)
    }
}
