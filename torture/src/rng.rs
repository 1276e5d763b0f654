//! Repeatable chance: one seed, one plan of operations.
//!
//! Not a generator for secrets. What the machine does is decided here; how its threads interleave is the kernel's matter.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// A stream of its own for each combination of parts.
    pub(crate) fn of(parts: &[u64]) -> Rng {
        let mut rng = Rng(0x9E37_79B9_7F4A_7C15);
        for part in parts {
            rng.0 ^= part.wrapping_mul(0xD6E8_FEB8_6659_FD93);
            rng.next();
        }
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`; 0 when that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    pub(crate) fn size(&mut self, from: usize, to: usize) -> usize {
        from + usize::try_from(self.below((to - from) as u64)).unwrap_or(0)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        among.get(usize::try_from(self.below(among.len() as u64)).unwrap_or(0))
    }
}

/// The bytes that `id` stands for.
pub(crate) fn bytes(id: u64, size: usize) -> Vec<u8> {
    let mut rng = Rng::of(&[id]);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&rng.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
