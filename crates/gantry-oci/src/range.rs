//! Ranges: `Range` of downloads (RFC 9110, section 14), and the two headers of uploads that look like it.

use std::fmt;
use std::str::FromStr;

/// Bytes `start` to `end`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes these are.
    #[expect(clippy::len_without_is_empty, reason = "a range has at least one byte")]
    pub fn len(&self) -> u64 {
        self.end - self.start + 1
    }
}

/// What a `Range` header comes to for content of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeOutcome {
    /// Everything: 200.
    Full,
    /// One range: 206.
    One(ByteRange),
    /// Several ranges, in the order in which they were asked for: 206 in parts.
    Many(Vec<ByteRange>),
    /// Nothing of it lies in the content: 416.
    Unsatisfiable,
    /// More ranges than are served: 400, upon which clients ask for fewer.
    TooMany,
}

/// Ranges that are served in one answer.
pub const MAX_RANGES: usize = 2048;

/// Reads a `Range` header (E-2.5, X-3.1, X-3.4, X-3.5, T46, T47).
///
/// What is not understood is ignored, as the RFC allows. Several ranges are answered one by one and in order, or not at
/// all: clients count the parts.
pub fn parse_range(header: &str, size: u64) -> RangeOutcome {
    let Some((unit, set)) = header.split_once('=') else { return RangeOutcome::Full };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return RangeOutcome::Full;
    }
    let count = set.split(',').count();
    if count > MAX_RANGES {
        return RangeOutcome::TooMany;
    }
    if count == 1 {
        return match spec(set.trim(), size) {
            Spec::Range(range) => RangeOutcome::One(range),
            Spec::Outside => RangeOutcome::Unsatisfiable,
            Spec::Nonsense => RangeOutcome::Full,
        };
    }
    let mut ranges = Vec::with_capacity(count);
    let mut outside = 0;
    let mut total: u64 = 0;
    for part in set.split(',') {
        match spec(part.trim(), size) {
            Spec::Range(range) => {
                total = total.saturating_add(range.len());
                ranges.push(range);
            }
            Spec::Outside => outside += 1,
            Spec::Nonsense => return RangeOutcome::Full,
        }
    }
    if ranges.is_empty() {
        return RangeOutcome::Unsatisfiable;
    }
    // Overlapping ranges could ask for the content many times over.
    if outside > 0 || total > size { RangeOutcome::Full } else { RangeOutcome::Many(ranges) }
}

enum Spec {
    Range(ByteRange),
    Outside,
    Nonsense,
}

fn spec(text: &str, size: u64) -> Spec {
    let Some((first, last)) = text.split_once('-') else { return Spec::Nonsense };
    match (number(first), number(last)) {
        (None, Some(0)) if first.is_empty() => Spec::Outside,
        (None, Some(suffix)) if first.is_empty() => match size {
            0 => Spec::Outside,
            _ => Spec::Range(ByteRange { start: size.saturating_sub(suffix), end: size - 1 }),
        },
        (Some(start), None) if last.is_empty() => match start < size {
            true => Spec::Range(ByteRange { start, end: size - 1 }),
            false => Spec::Outside,
        },
        (Some(start), Some(end)) => match start <= end && start < size {
            true => Spec::Range(ByteRange { start, end: end.min(size - 1) }),
            false => Spec::Outside,
        },
        _ => Spec::Nonsense,
    }
}

/// Digits; more than fit mean "as far as it goes".
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `Content-Range` of a piece of an upload: `first-last` (E-7.2). The form of downloads, `bytes first-last/total`, is
/// understood too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end: u64,
}

/// Why a `Content-Range` is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentRangeError {
    /// It is not two numbers with a dash between them.
    #[error("expected <first>-<last>")]
    Malformed,
    /// It ends before it starts.
    #[error("the last byte lies before the first")]
    Inverted,
}

impl ContentRange {
    /// How many bytes these are.
    #[expect(clippy::len_without_is_empty, reason = "a range has at least one byte")]
    pub fn len(&self) -> u64 {
        (self.end - self.start).saturating_add(1)
    }
}

impl FromStr for ContentRange {
    type Err = ContentRangeError;

    fn from_str(text: &str) -> Result<Self, ContentRangeError> {
        let text = match text.strip_prefix("bytes ") {
            Some(rest) => rest.split('/').next().unwrap_or_default(),
            None => text,
        };
        let exact = |text: &str| -> Option<u64> {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten()
        };
        let (start, end) = text.split_once('-').ok_or(ContentRangeError::Malformed)?;
        let (Some(start), Some(end)) = (exact(start), exact(end)) else {
            return Err(ContentRangeError::Malformed);
        };
        if end < start { Err(ContentRangeError::Inverted) } else { Ok(Self { start, end }) }
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

/// `Content-Range` of a download: `bytes first-last/size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobContentRange {
    /// The bytes that follow.
    pub range: ByteRange,
    /// Of how many.
    pub size: u64,
}

impl fmt::Display for BlobContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/{}", self.range.start, self.range.end, self.size)
    }
}

/// `Range` in answers about an upload: `0-<last byte>`, without a unit, and `0-0` for nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadRange(
    /// Bytes that the session holds.
    pub u64,
);

impl fmt::Display for UploadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0-{}", self.0.saturating_sub(1))
    }
}
