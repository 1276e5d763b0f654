//! The Basic scheme (RFC 7617): `Basic base64(name:password)`.

/// A name and a password, as they came.
pub(super) struct Credentials {
    /// Never empty.
    pub(super) name: String,
    /// May contain colons, may be any bytes.
    pub(super) password: Vec<u8>,
}

impl Credentials {
    /// Reads a header value; `None` for another scheme, bad base64, no colon or an empty name (`Basic Og==`).
    pub(super) fn parse(header: &[u8]) -> Option<Self> {
        let space = header.iter().position(|byte| *byte == b' ')?;
        let (scheme, value) = header.split_at(space);
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        }
        let decoded = base64_decode(value.trim_ascii())?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8(decoded.get(..colon)?.to_vec()).ok()?;
        let password = decoded.get(colon + 1..)?.to_vec();
        (!name.is_empty()).then_some(Self { name, password })
    }
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
    use super::*;

    fn parse(header: &str) -> Option<(String, Vec<u8>)> {
        Credentials::parse(header.as_bytes()).map(|c| (c.name, c.password))
    }

    #[test]
    fn splits_at_the_first_colon_and_ignores_the_case_of_the_scheme() {
        assert_eq!(parse("Basic YTpiOmM="), Some(("a".into(), b"b:c".to_vec())));
        assert_eq!(parse("bAsIc YTpiOmM"), Some(("a".into(), b"b:c".to_vec())));
    }

    #[test]
    fn nobody() {
        for header in ["", "Basic", "Basic ", "Basic Og==", "Basic YQ==", "Basic !!!", "Bearer YTpi", "Token"]
        {
            assert_eq!(parse(header), None, "{header}");
        }
    }
}
