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

    /// The moment `duration` after this one.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Whole seconds since 1970-01-01 UTC, rounded down.
    #[must_use]
    pub fn as_unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

/// In UTC, to the second (RFC 3339): `2025-01-31T09:05:00Z`. Moments outside of the years 0 to 9999 are the nearest of these.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.as_unix_seconds().clamp(-62_167_219_200, 253_402_300_799);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Years that begin in March end with the day that only some have.
        let since = days + 719_468;
        let (era, of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Text that is not a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a moment such as 2025-01-31T09:05:00Z (RFC 3339)")]
pub struct TimestampError;

/// RFC 3339, with a fraction of the second and any offset.
impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        parse(text).ok_or(TimestampError)
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let signs = [(4, "-"), (7, "-"), (13, ":"), (16, ":")];
    let separated = matches!(text.get(10..11)?, "T" | "t" | " ");
    if !separated || !signs.iter().all(|(at, sign)| text.get(*at..at + 1) == Some(*sign)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // 60 is a leap second, which is the first of the next minute.
    if !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
            (Some(rest.get(..end).filter(|digits| (1..=9).contains(&digits.len()))?), rest.get(end..)?)
        }
        None => (None, rest),
    };
    let micros = fraction.map_or(Some(0), |digits| format!("{digits:0<6}").get(..6)?.parse().ok())?;
    let ahead = match offset {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let two = |part: &str| {
                (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse::<i64>().ok())
            };
            let (hours, minutes) = (two(hours)??, two(minutes)??);
            let ahead = (hours < 24 && minutes < 60).then_some(hours * 3_600 + minutes * 60)?;
            match offset.get(..1)? {
                "+" => ahead,
                "-" => -ahead,
                _ => return None,
            }
        }
    };
    let year_of_march = year - i64::from(month <= 2);
    let (era, of_era) = (year_of_march.div_euclid(400), year_of_march.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - ahead;
    Some(Timestamp(seconds.checked_mul(1_000_000)?.checked_add(micros)?))
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
    fn moments_as_text() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("1969-12-31T23:59:59Z", -1),
            ("0000-01-01T00:00:00Z", -62_167_219_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            let moment = Timestamp(seconds * 1_000_000);
            assert_eq!(moment.to_string(), text);
            assert_eq!(text.parse(), Ok(moment));
        }
        assert_eq!("2000-02-29t13:34:56.25+01:00".parse(), Ok(Timestamp(951_827_696_250_000)));
        assert_eq!("2000-02-29 07:04:56.123456789-05:30".parse(), Ok(Timestamp(951_827_696_123_456)));
        assert_eq!(Timestamp(i64::MAX).to_string(), "9999-12-31T23:59:59Z");
        for text in [
            "", "2000-02-30T00:00:00Z", "2100-02-29T00:00:00Z", "2000-13-01T00:00:00Z", "2000-01-01T24:00:00Z",
            "2000-01-01T00:00:00", "2000-01-01", "2000-01-01T00:00:00.Z", "2000-01-01T00:00:00+1:00", "2000-01-01T00:00:00+é0:00",
            "+200-01-01T00:00:00Z", "2000-01-01T00:00:00Zz", "é000-01-01T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
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
