//! Cookies of browsers (RFC 6265), as far as a registry has any.

use http::{HeaderMap, header};

/// The cookie of a web session.
pub(crate) const SESSION_COOKIE: &str = "gantry_session";

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several() {
        let headers =
            HeaderMap::from_iter([(header::COOKIE, "a=1; gantry_session=gts_x; b".parse().unwrap())]);
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("gts_x"));
        assert_eq!(cookie(&headers, "b"), None);
    }
}
