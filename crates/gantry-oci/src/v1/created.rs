//! Times as old clients take them: RFC 3339 as Go reads it. With another `created` they refuse the whole image.

use serde_json::value::RawValue;

/// Whether a value is a string with such a time, written without escapes.
pub(super) fn is_time(value: &RawValue) -> bool {
    let text = value.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    text.is_some_and(|text| is_rfc_3339(text.as_bytes()))
}

/// `2014-05-13T16:53:20.123Z`, `...+02:00`
fn is_rfc_3339(text: &[u8]) -> bool {
    let Some((date, rest)) = text.split_at_checked(19) else { return false };
    let number = |at: std::ops::Range<usize>| digits(&date[at]);
    let punctuation = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) =
        (number(0..4), number(5..7), number(8..10), number(11..13), number(14..16), number(17..19))
    else {
        return false;
    };
    let in_range = (1..=12).contains(&month)
        && (1..=days(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let zone = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        zone => zone,
    };
    punctuation.iter().all(|(at, byte)| date[*at] == *byte) && in_range && is_zone(zone)
}

fn is_zone(zone: &[u8]) -> bool {
    match zone {
        b"Z" => true,
        [b'+' | b'-', hour @ .., b':', m, n] if hour.len() == 2 => {
            digits(hour).is_some_and(|hour| hour < 24) && digits(&[*m, *n]).is_some_and(|minute| minute < 60)
        }
        _ => false,
    }
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_that_go_reads() {
        for good in [
            "2014-05-13T16:53:20Z",
            "2014-05-13T16:53:20.123456789Z",
            "2024-02-29T23:59:59+02:00",
            "0001-01-01T00:00:00Z",
            "1970-01-01T00:00:00-23:59",
        ] {
            assert!(is_rfc_3339(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "2014-05-13",
            "2014-05-13T16:53:20",
            "2014-05-13 16:53:20Z",
            "2014-05-13t16:53:20z",
            "2014-05-13T16:53:20.Z",
            "2014-05-13T16:53:60Z",
            "2014-05-13T24:53:00Z",
            "2023-02-29T00:00:00Z",
            "2014-13-01T00:00:00Z",
            "2014-00-01T00:00:00Z",
            "2014-01-00T00:00:00Z",
            "2014-05-13T16:53:20+24:00",
            "2014-05-13T16:53:20+0200",
            "2014-05-13T16:53:20ZZ",
            "+014-05-13T16:53:20Z",
        ] {
            assert!(!is_rfc_3339(bad.as_bytes()), "{bad}");
        }
    }
}
