//! A mutator without coverage: the same seed gives the same bytes, for ordinary tests.

/// Words of the grammars, which chance does not find.
const WORDS: &[&[u8]] = &[
    b"sha256:",
    b"sha512:",
    b"/v2/",
    b"/blobs/uploads/",
    b"/manifests/",
    b"/referrers/",
    b"..",
    b"%2f",
    b"%00",
    b"?n=",
    b"&last=",
    b"\"layers\":",
    b"\"manifests\":",
    b"\"config\":",
    b"\"digest\":",
    b"\"size\":",
    b"\"mediaType\":",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"-1",
    b"18446744073709551616",
    b"bytes=",
    b"0-0",
    b",",
    b"\r\n",
    b"\r\n\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked",
    b"Basic ",
    b"Bearer ",
    b"realm=\"",
    b"\\\"",
    b"for=",
    b"[::1]",
    b"PROXY TCP4 ",
    b"$2y$05$",
    b"/v1/",
    b"/tags/",
    b"Token ",
    b"signature=",
    b"repository=\"",
    b"access=",
    b"\"id\":",
    b"\"parent\":",
    b"\"history\":",
    b"\"created\":",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\0",
];

/// A source of numbers.
pub struct Random(u64);

impl Random {
    /// The seed may be any number.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`; 0 when that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }
}

/// Changes `bytes` in one to four places, also with parts of `other`.
pub fn mutate(bytes: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let until = at + random.below(16.min(bytes.len() - at) + 1);
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).unwrap_or(0),
            2 => drop(bytes.drain(at..until)),
            3 => {
                let copy = bytes[at..until].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => bytes.truncate(at),
            5 => {
                let from = random.below(other.len() + 1);
                let to = from + random.below(64.min(other.len() - from) + 1);
                bytes.splice(at..until, other[from..to].iter().copied());
            }
            6 => {
                let again = bytes[at..until].repeat(random.below(64));
                bytes.splice(at..at, again);
            }
            _ => {
                let word = WORDS[random.below(WORDS.len())];
                bytes.splice(at..until, word.iter().copied());
            }
        }
    }
    bytes
}
