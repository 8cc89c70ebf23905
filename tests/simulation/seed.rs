//! Where all of a run's chance comes from: small generators that give the same numbers everywhere.

/// A stream of numbers (xoshiro256**, seeded by splitmix64).
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(state)
        };
        Self([next(), next(), next(), next()])
    }

    /// Another stream of the same seed, by a name of its own.
    pub fn of(seed: u64, stream: u64) -> Self {
        Self::new(mix(seed ^ mix(stream.wrapping_add(0x5851_f42d_4c95_7f2d))))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number of `0..below`; 0 when that is empty.
    pub fn below(&mut self, below: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(below);
        (wide >> 64) as u64
    }

    /// The same, as an index.
    pub fn index(&mut self, below: usize) -> usize {
        self.below(below as u64) as usize
    }

    /// A time of `from..=to`.
    pub fn ms(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from).max(0) as u64 + 1) as i64
    }

    /// Yes so many times of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.index(of.len()))
    }

    /// Short more often than long: each doubling is as likely as the one before.
    pub fn spread_ms(&mut self, from: i64, to: i64) -> i64 {
        let doublings = u64::from((to / from.max(1)).max(1).unsigned_abs().ilog2());
        let low = (from << self.below(doublings + 1)).min(to);
        self.ms(low, (low * 2).min(to))
    }

    /// By weights: which of them.
    pub fn weighted<T: Copy>(&mut self, of: &[(u64, T)]) -> T {
        let total = of.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total);
        for (weight, value) in of {
            if left < *weight {
                return *value;
            }
            left -= weight;
        }
        of[0].1
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
