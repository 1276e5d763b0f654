//! The `Authorization` header: what a caller presents, before anybody looks whether it is true.
//!
//! Two schemes are spoken, Basic (RFC 7617) and Bearer (RFC 6750). Nothing here knows an account; nothing here is logged.

use std::fmt;

use http::{HeaderMap, HeaderValue, header};

use super::bearer::TOKEN_MAX;

/// What a request presents.
#[derive(PartialEq, Eq)]
pub enum Presented {
    /// No header, a scheme without a value (`Bearer`, `Token`), or an empty name with an empty password (`Basic Og==`): clients
    /// that have no credentials say so in these ways.
    Nobody,
    /// Name and password, which may be a token.
    Basic(Credentials),
    /// A token.
    Bearer(String),
    /// Something that cannot be anybody's credentials: 401, never an anonymous answer.
    Malformed,
}

/// A name and a password, as they came.
#[derive(PartialEq, Eq)]
pub struct Credentials {
    /// May be empty: a token goes with any name.
    pub name: String,
    /// May contain colons, may be any bytes.
    pub password: Vec<u8>,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Presented::Nobody => "Nobody",
            Presented::Basic(_) => "Basic",
            Presented::Bearer(_) => "Bearer",
            Presented::Malformed => "Malformed",
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not even the name: people type passwords in the wrong field.
        f.write_str("Credentials")
    }
}

impl Presented {
    /// What these headers present. Two `Authorization` lines are none that could be trusted.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(header::AUTHORIZATION).iter();
        match (lines.next(), lines.next()) {
            (line, None) => Self::read(line),
            (_, Some(_)) => Presented::Malformed,
        }
    }

    /// What one line presents, or none.
    #[must_use]
    pub fn read(line: Option<&HeaderValue>) -> Self {
        line.map_or(Presented::Nobody, |line| Self::parse(line.as_bytes()))
    }

    fn parse(header: &[u8]) -> Self {
        let header = header.trim_ascii();
        let end = header.iter().position(u8::is_ascii_whitespace).unwrap_or(header.len());
        let (scheme, value) = header.split_at(end);
        let value = value.trim_ascii();
        if value.is_empty() {
            Presented::Nobody
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            basic(value).unwrap_or(Presented::Malformed)
        } else if scheme.eq_ignore_ascii_case(b"bearer") {
            bearer(value).unwrap_or(Presented::Malformed)
        } else {
            Presented::Malformed
        }
    }
}

#[cfg(feature = "fuzzing")]
impl Credentials {
    /// Reads a header value; `None` for anything but a name and a password.
    pub(super) fn parse(header: &[u8]) -> Option<Self> {
        match Presented::parse(header) {
            Presented::Basic(credentials) if !credentials.name.is_empty() => Some(credentials),
            _ => None,
        }
    }
}

fn basic(value: &[u8]) -> Option<Presented> {
    let decoded = base64_decode(value)?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8(decoded.get(..colon)?.to_vec()).ok()?;
    let password = decoded.get(colon + 1..)?.to_vec();
    match (name.is_empty(), password.is_empty()) {
        (true, true) => Some(Presented::Nobody),
        _ if name.chars().any(char::is_control) => None,
        _ => Some(Presented::Basic(Credentials { name, password })),
    }
}

/// RFC 6750, 2.1: `b64token`.
fn bearer(value: &[u8]) -> Option<Presented> {
    let text = std::str::from_utf8(value).ok()?;
    let stem = text.trim_end_matches('=');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let good = text.len() <= TOKEN_MAX && !stem.is_empty() && stem.bytes().all(fits);
    good.then(|| Presented::Bearer(text.to_owned()))
}

/// Standard base64, with or without padding.
fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine as _;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT).decode(text).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    fn basic_of(name: &str, password: &[u8]) -> Presented {
        Presented::Basic(Credentials { name: name.to_owned(), password: password.to_vec() })
    }

    fn encoded(text: &[u8]) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    }

    fn read(header: &str) -> Presented {
        Presented::parse(header.as_bytes())
    }

    #[test]
    fn splits_at_the_first_colon_and_ignores_the_case_of_the_scheme() {
        assert_eq!(read("Basic YTpiOmM="), basic_of("a", b"b:c"));
        assert_eq!(read("bAsIc YTpiOmM"), basic_of("a", b"b:c"));
        assert_eq!(read("  Basic \t YTpiOmM=  "), basic_of("a", b"b:c"));
        assert_eq!(read("bEARER abc"), Presented::Bearer("abc".to_owned()));
    }

    #[test]
    fn passwords_are_any_bytes_and_a_name_may_be_missing() {
        assert_eq!(read(&encoded(b"a:\xff\x00")), basic_of("a", b"\xff\x00"));
        assert_eq!(read(&encoded(b"a:")), basic_of("a", b""));
        assert_eq!(read(&encoded(b":gty_token")), basic_of("", b"gty_token"));
        assert_eq!(read(&encoded("jörg:ü".as_bytes())), basic_of("jörg", "ü".as_bytes()));
    }

    /// N-3
    #[test]
    fn nobody() {
        for header in
            ["", " ", "Basic", "Basic ", "Basic Og==", "Basic Og", "Bearer", "bearer  ", "Token", "Token "]
        {
            assert_eq!(read(header), Presented::Nobody, "{header:?}");
        }
        assert_eq!(Presented::of(&HeaderMap::new()), Presented::Nobody);
    }

    #[test]
    fn malformed_is_not_nobody() {
        for header in [
            "Basic YQ==", // no colon
            "Basic !!!",
            "Basic YTpi YTpi",
            "Basic YTpi\u{e9}",
            "Basic YTpiYQ=a",
            "Digest username=\"a\"",
            "Token abc",
            "BasicYTpi x",
            "Bearer a b",
            "Bearer a,b",
            "Bearer =",
            "Bearer a=b",
            "Bearer \u{e9}",
            "Bearer a\"b",
        ] {
            assert_eq!(read(header), Presented::Malformed, "{header}");
        }
        assert_eq!(read(&encoded(b"\xff:b")), Presented::Malformed, "a name is text");
        assert_eq!(read(&encoded(b"a\0:b")), Presented::Malformed);
        assert_eq!(read(&encoded(b"a\n:b")), Presented::Malformed);
        let twice = [(header::AUTHORIZATION, "Basic YTpi"), (header::AUTHORIZATION, "Basic YTpi")];
        let mut headers = HeaderMap::new();
        for (name, value) in twice {
            headers.append(name, value.parse().unwrap());
        }
        assert_eq!(Presented::of(&headers), Presented::Malformed);
    }

    #[test]
    fn long_headers_are_read_to_their_bounds() {
        let token = "x".repeat(TOKEN_MAX);
        assert_eq!(read(&format!("Bearer {token}")), Presented::Bearer(token.clone()));
        assert_eq!(read(&format!("Bearer {token}x")), Presented::Malformed);
        let password = vec![b'p'; 48 << 10];
        assert_eq!(read(&encoded(&[b"a:", &*password].concat())), basic_of("a", &password));
        assert_eq!(
            read(&"A".repeat(64 << 10)),
            Presented::Nobody,
            "one long word is a scheme without a value"
        );
        assert_eq!(read(&format!("{} x", "A".repeat(64 << 10))), Presented::Malformed);
    }

    #[test]
    fn what_is_presented_is_not_printed() {
        assert_eq!(format!("{:?}", read("Basic YWxpY2U6c2VjcmV0")), "Basic");
        assert_eq!(format!("{:?}", read("Bearer abc")), "Bearer");
    }
}
