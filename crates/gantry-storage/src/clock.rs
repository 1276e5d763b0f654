//! The wall clock, read in this one place, and the store's own time.
//!
//! Times are for display and expiry only. Nothing is ordered by them: order comes from row numbers, because clocks jump.
//! What expires (promises to clients, upload sessions) goes by [`StoreClock`], which does not.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment: microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// RFC 3339, UTC, to the microsecond where there are any.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = jiff::Timestamp::from_microsecond(self.0);
        shown.unwrap_or(if self.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX }).fmt(f)
    }
}

/// Text that is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a moment as RFC 3339 has it, such as 2026-11-21T18:00:00Z")]
pub struct TimestampError;

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        Ok(Timestamp(moment.as_microsecond()))
    }
}

/// The store's own time: goes on while the store is open, stands still while it is not, and never jumps.
///
/// It begins as the wall clock's time of the first start, and is saved with the rows. So a wall clock that is set a day
/// forward, between two runs too, ends no promise early; a night during which the server is off prolongs them.
#[derive(Clone, Copy, Debug)]
pub struct StoreClock {
    base: Timestamp,
    since: Instant,
}

impl StoreClock {
    /// Goes on from what was saved; without that, from the wall clock.
    #[must_use]
    pub fn resume(saved: Option<Timestamp>) -> StoreClock {
        StoreClock { base: saved.unwrap_or_else(Timestamp::now), since: Instant::now() }
    }

    /// The moment of the call.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.since.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.base.0.saturating_add(passed))
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
    fn moments_are_written_as_rfc_3339() {
        assert_eq!(Timestamp(1_795_284_000_000_000).to_string(), "2026-11-21T18:00:00Z");
        assert_eq!("2026-11-21T19:00:00.5+01:00".parse(), Ok(Timestamp(1_795_284_000_500_000)));
        assert!(!Timestamp(i64::MAX).to_string().is_empty() && "yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn seconds_round_down_and_subtraction_never_overflows() {
        assert_eq!(Timestamp(1_999_999).as_unix_seconds(), 1);
        assert_eq!(Timestamp(-1).as_unix_seconds(), -1);
        assert_eq!(Timestamp(5_000_000).minus(Duration::from_secs(2)), Timestamp(3_000_000));
        assert_eq!(Timestamp(i64::MIN).minus(Duration::MAX), Timestamp(i64::MIN));
        assert!(Timestamp::now() > Timestamp(1_600_000_000_000_000));
    }
}
