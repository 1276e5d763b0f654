//! A look at the heads of HTTP/1.1 requests as they arrive, for the one thing that hyper does not tell.
//!
//! A request with both `Content-Length` and `Transfer-Encoding` is how requests are smuggled past a proxy that believes the
//! other one (RFC 9112, 6.1). hyper goes by the coding and takes the length away before we see it. So header names are
//! followed here, byte by byte and across reads; nothing is parsed that hyper does not parse again.
//!
//! Heads that come while another request is under way (pipelined ones) are not looked at: proxies do not pipeline.

use memchr::memchr;

/// The names that do not go together.
const NAMES: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];

/// How far the head of a request has come.
pub(super) struct Sniffer {
    /// Bytes of the current line's name that have fitted each name; `None` when it is another one.
    fits: [Option<usize>; 2],
    /// Nothing of the current line has come yet, except perhaps its `\r`.
    line_is_empty: bool,
    found: [bool; 2],
    ended: bool,
}

impl Sniffer {
    pub(super) fn new() -> Self {
        Self { fits: [None; 2], line_is_empty: false, found: [false; 2], ended: false }
    }

    /// Goes on with bytes that have come; whether both names are in the head.
    pub(super) fn sees_both(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first().filter(|_| !self.ended) {
            rest = after;
            match byte {
                b'\n' if self.line_is_empty => self.ended = true,
                b'\n' => {
                    self.line_is_empty = true;
                    self.fits = [Some(0); 2];
                }
                b'\r' if self.line_is_empty => {}
                b':' => {
                    for (found, (fit, name)) in self.found.iter_mut().zip(self.fits.iter_mut().zip(NAMES)) {
                        *found |= fit.take() == Some(name.len());
                    }
                }
                _ => {
                    self.line_is_empty = false;
                    for (fit, name) in self.fits.iter_mut().zip(NAMES) {
                        *fit = fit
                            .filter(|at| name.get(*at) == Some(&byte.to_ascii_lowercase()))
                            .map(|at| at + 1);
                    }
                    if self.fits == [None; 2] {
                        // Values are long; the next name is behind the next line feed.
                        let end = memchr(b'\n', rest).unwrap_or(rest.len());
                        rest = rest.get(end..).unwrap_or_default();
                    }
                }
            }
        }
        self.found == [true; 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &[u8] = b"PUT /content-length:x HTTP/1.1\r\nHost: x\r\nCONTENT-length: 3\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn both_names_are_seen_wherever_the_reads_are_cut() {
        for cut in 0..BOTH.len() {
            let (first, second) = BOTH.split_at(cut);
            let mut sniffer = Sniffer::new();
            let names_end = BOTH.windows(9).position(|window| window == b": chunked").unwrap();
            assert_eq!(sniffer.sees_both(first), cut > names_end, "{cut}");
            assert!(sniffer.sees_both(second), "{cut}");
        }
        let mut sniffer = Sniffer::new();
        assert!(BOTH.chunks(1).any(|byte| sniffer.sees_both(byte)));
        let bare = String::from_utf8(BOTH.to_vec()).unwrap().replace('\r', "");
        assert!(Sniffer::new().sees_both(bare.as_bytes()));
    }

    #[test]
    fn one_name_or_the_other_in_a_value_or_in_the_body_is_fine() {
        for head in [
            "PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nTransfer-Encoding: chunked\r\n",
            "PUT / HTTP/1.1\r\nContent-Length: 3\r\nX: Transfer-Encoding: chunked\r\n\r\n",
            "PUT / HTTP/1.1\r\nX-Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "PUT / HTTP/1.1\r\nContent-Lengthy: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "PUT / HTTP/1.1\nTransfer-Encoding: chunked\n\nContent-Length: 1\n",
        ] {
            for size in [1, 2, 7, 1000] {
                let mut sniffer = Sniffer::new();
                assert!(!head.as_bytes().chunks(size).any(|bytes| sniffer.sees_both(bytes)), "{head}");
            }
        }
    }
}
