//! The wall clock, read in this one place.
//!
//! Times are for display and expiry only. Nothing is ordered by them: order comes from row numbers, because clocks jump.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment: microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment of the call by the machine's clock.
    #[must_use]
    pub fn now() -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
        let now = SystemTime::now();
        Timestamp::from(now)
    }

    /// The moment `duration` before this one.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Whole seconds since 1970-01-01 UTC, rounded down.
    #[must_use]
    pub fn as_unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

/// A file's time as the system tells it.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        Timestamp(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => micros(after),
            Err(before) => micros(before.duration()).saturating_neg(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_down_and_subtraction_never_overflows() {
        assert_eq!(Timestamp(1_999_999).as_unix_seconds(), 1);
        assert_eq!(Timestamp(-1).as_unix_seconds(), -1);
        assert_eq!(Timestamp(5_000_000).minus(Duration::from_secs(2)), Timestamp(3_000_000));
        assert_eq!(Timestamp(i64::MIN).minus(Duration::MAX), Timestamp(i64::MIN));
        assert!(Timestamp::now() > Timestamp(1_600_000_000_000_000));
    }
}
