//! Latencies in buckets that are at most 1.6 % wide: adding one is a few instructions, and threads' sum up exactly.

use std::time::Duration;

/// Sub-buckets per doubling.
const FINE: u32 = 64;
const FINE_BITS: u32 = FINE.trailing_zeros();
/// Enough for 64 bits of nanoseconds.
const BUCKETS: usize = ((64 - FINE_BITS + 1) * FINE) as usize;

/// How often each latency was seen.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Histogram {
    /// Counts one.
    pub(crate) fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// Counts all of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (own, others) in self.counts.iter_mut().zip(&other.counts) {
            *own += others;
        }
        self.total += other.total;
    }

    /// How many were counted.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The latency, in seconds, that a share (0.5, 0.99) stays at or below; 0 when nothing was counted.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(index) * 1e-9;
            }
        }
        0.0
    }
}

fn bucket(nanos: u64) -> usize {
    let bits = 64 - nanos.leading_zeros();
    let shift = bits.saturating_sub(FINE_BITS + 1);
    (u64::from(shift * FINE) + (nanos >> shift)) as usize
}

fn middle(index: usize) -> f64 {
    let (index, fine) = (index as u64, u64::from(FINE));
    let shift = (index / fine).saturating_sub(1);
    let low = (index - shift * fine) << shift;
    low as f64 + (1u64 << shift) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_is_found_within_its_bucket() {
        for nanos in (0..200u64).chain((0..63).map(|power| (1u64 << power) + power)).chain([u64::MAX]) {
            let found = middle(bucket(nanos));
            assert!((found - nanos as f64).abs() <= 1.0 + nanos as f64 / 64.0, "{nanos} became {found}");
            assert!(bucket(nanos) < BUCKETS);
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut half = Histogram::default();
        let mut other = Histogram::default();
        for millis in 1..=50 {
            half.add(Duration::from_millis(millis));
            other.add(Duration::from_millis(millis + 50));
        }
        half.merge(&other);
        assert_eq!(half.total(), 100);
        assert!((half.quantile(0.5) - 0.050).abs() < 0.001, "{}", half.quantile(0.5));
        assert!((half.quantile(0.99) - 0.099).abs() < 0.002, "{}", half.quantile(0.99));
        assert_eq!(Histogram::default().quantile(0.5), 0.0);
    }
}
