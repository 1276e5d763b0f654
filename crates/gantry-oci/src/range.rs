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
        self.end.saturating_sub(self.start).saturating_add(1)
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

/// Reads a `Range` header for content of `size` bytes (E-2.5, X-3.1, X-3.4, X-3.5, T46, T47).
///
/// What is not understood is ignored, as the RFC allows. Several ranges are answered one by one and in order, or not at
/// all: clients count the parts. So one that lies outside, or a sum that is more than the content (ranges may overlap, and
/// could ask for it many times over), means all of it.
pub fn parse_range(header: &str, size: u64) -> RangeOutcome {
    const BLANKS: [char; 2] = [' ', '\t'];
    let Some((unit, set)) = header.split_once('=') else { return RangeOutcome::Full };
    if !unit.trim_matches(BLANKS).eq_ignore_ascii_case("bytes") {
        return RangeOutcome::Full;
    }
    // RFC 9110, 5.6.1.2: empty elements of a list are skipped.
    let mut wanted = set.split(',').map(|text| text.trim_matches(BLANKS)).filter(|text| !text.is_empty());
    let Some(first) = wanted.next() else { return RangeOutcome::Full };
    let Some(second) = wanted.next() else {
        return match Wanted::parse(first, size) {
            Wanted::Inside(range) => RangeOutcome::One(range),
            Wanted::Outside => RangeOutcome::Unsatisfiable,
            Wanted::Nonsense => RangeOutcome::Full,
        };
    };
    let mut ranges = Vec::new();
    // Wider than a size: what fills it must not look as if it fitted.
    let (mut asked, mut total) = (0, 0_u128);
    for text in [first, second].into_iter().chain(wanted) {
        asked += 1;
        if asked > MAX_RANGES {
            return RangeOutcome::TooMany;
        }
        match Wanted::parse(text, size) {
            Wanted::Inside(range) => {
                total += u128::from(range.len());
                ranges.push(range);
            }
            Wanted::Outside => {}
            Wanted::Nonsense => return RangeOutcome::Full,
        }
    }
    match ranges.len() {
        0 => RangeOutcome::Unsatisfiable,
        inside if inside < asked || total > u128::from(size) => RangeOutcome::Full,
        _ => RangeOutcome::Many(ranges),
    }
}

/// One range that is asked for, measured against the content.
enum Wanted {
    Inside(ByteRange),
    Outside,
    Nonsense,
}

impl Wanted {
    fn parse(text: &str, size: u64) -> Self {
        let Some((first, last)) = text.split_once('-') else { return Wanted::Nonsense };
        let (start, end) = match (number(first), number(last)) {
            (Some(start), Some(end)) => (start, end),
            (Some(start), None) if last.is_empty() => (start, u64::MAX),
            // The last so many bytes. None of them is no range.
            (None, Some(0)) if first.is_empty() => return Wanted::Outside,
            (None, Some(suffix)) if first.is_empty() => (size.saturating_sub(suffix), u64::MAX),
            _ => return Wanted::Nonsense,
        };
        match size.checked_sub(1) {
            // an end past the content is cut off.
            Some(last) if start <= end && start <= last => {
                Wanted::Inside(ByteRange { start, end: end.min(last) })
            }
            _ => Wanted::Outside,
        }
    }
}

/// Digits; more than fit mean "as far as it goes".
fn number(text: &str) -> Option<u64> {
    is_digits(text).then(|| text.parse().unwrap_or(u64::MAX))
}

/// Digits that fit.
fn exact(text: &str) -> Option<u64> {
    // `parse` alone would take a plus sign.
    is_digits(text).then(|| text.parse().ok()).flatten()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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
    #[error("expected <first byte>-<last byte>")]
    Malformed,
    /// It ends before it starts.
    #[error("the last byte lies before the first")]
    Inverted,
}

impl ContentRange {
    /// How many bytes these are.
    #[expect(clippy::len_without_is_empty, reason = "a range has at least one byte")]
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start).saturating_add(1)
    }
}

impl FromStr for ContentRange {
    type Err = ContentRangeError;

    fn from_str(text: &str) -> Result<Self, ContentRangeError> {
        let range = match text.strip_prefix("bytes ") {
            None => text,
            Some(download) => match download.split_once('/') {
                None => download,
                Some((range, total)) if total == "*" || exact(total).is_some() => range,
                Some(_) => return Err(ContentRangeError::Malformed),
            },
        };
        let (start, end) = range.split_once('-').ok_or(ContentRangeError::Malformed)?;
        match (exact(start), exact(end)) {
            (Some(start), Some(end)) if start <= end => Ok(Self { start, end }),
            (Some(_), Some(_)) => Err(ContentRangeError::Inverted),
            _ => Err(ContentRangeError::Malformed),
        }
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

/// `Content-Range` of a download: `bytes first-last/size` (E-2.5, X-3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobContentRange {
    /// The bytes that follow.
    pub range: ByteRange,
    /// Of how many.
    pub size: u64,
}

impl BlobContentRange {
    /// What a 416 says instead: that there are only `size` bytes.
    pub fn unsatisfied(size: u64) -> String {
        format!("bytes */{size}")
    }
}

impl fmt::Display for BlobContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/{}", self.range.start, self.range.end, self.size)
    }
}

impl FromStr for BlobContentRange {
    type Err = ContentRangeError;

    fn from_str(text: &str) -> Result<Self, ContentRangeError> {
        let parts = text.strip_prefix("bytes ").and_then(|rest| rest.split_once('/'));
        let (range, size) = parts.ok_or(ContentRangeError::Malformed)?;
        let ContentRange { start, end } = range.parse()?;
        match exact(size) {
            Some(size) if end < size => Ok(Self { range: ByteRange { start, end }, size }),
            _ => Err(ContentRangeError::Malformed),
        }
    }
}

/// `Range` in answers about an upload: `0-<last byte>`, without a unit.
///
/// `0-0` is written for nothing yet, because clients refuse an end before the start, and for one byte. It is read
/// as nothing: a client that is wrong about it is told so, and has lost one byte of work.
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

impl FromStr for UploadRange {
    type Err = ContentRangeError;

    /// Reads what a registry says; some write a unit in front.
    fn from_str(text: &str) -> Result<Self, ContentRangeError> {
        let range: ContentRange = text.strip_prefix("bytes=").unwrap_or(text).parse()?;
        match (range.start, range.end.checked_add(1)) {
            (0, Some(1)) => Ok(Self(0)),
            (0, Some(held)) => Ok(Self(held)),
            _ => Err(ContentRangeError::Malformed),
        }
    }
}
