//! `[[auth.issuer]]` and `[[auth.oidc]]`: whose tokens count beside our own, and what is asked of such an entry.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::settings::{Auth, table};
use super::value::Texts;
use super::{ConfigError, wrong};

table! {
    /// `[[auth.issuer]]`: a token server whose tokens say what they allow.
    Issuer {
        /// `iss` of its tokens.
        issuer: String = String::new(),
        /// What `aud` must hold.
        audience: Texts = Texts::default(),
        /// Its keys: the URL or the file of a JSON Web Key Set.
        jwks: Option<String> = None,
        /// Its certificates, PEM.
        certificates: Option<PathBuf> = None,
        /// By which certificates its HTTPS is trusted, PEM.
        ca: Option<PathBuf> = None,
    }
}

table! {
    /// `[[auth.oidc]]`: an OpenID provider whose tokens say who somebody is.
    Oidc {
        /// `iss` of its tokens, below which its keys are found.
        issuer: String = String::new(),
        /// What `aud` must hold.
        audience: Texts = Texts::default(),
        /// The claim that names the subject.
        subject_claim: String = "sub".to_owned(),
        /// The claim that names groups.
        groups_claim: Option<String> = None,
        /// Its keys, when they are not to be looked up: the URL or the file of a JSON Web Key Set.
        jwks: Option<String> = None,
        /// By which certificates its HTTPS is trusted, PEM.
        ca: Option<PathBuf> = None,
        /// Groups by claims.
        rules: Vec<OidcRule> = Vec::new(),
    }
}

/// Groups for tokens with certain claims.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OidcRule {
    /// All of these must match: a claim, and a pattern or several of which one suffices.
    pub claims: BTreeMap<String, Texts>,
    /// What the caller then belongs to.
    pub groups: Vec<String>,
}

/// The longest name, pattern or claim, in bytes.
const TEXT_MAX: usize = 512;
const LIFETIMES: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(300);

/// Refuses what cannot work, or would let in more than was meant.
pub(super) fn check(auth: &Auth, own: &str) -> Result<(), ConfigError> {
    if !LIFETIMES.contains(&auth.token_lifetime.0) {
        return Err(wrong("auth.token_lifetime", "is out of range: expected 60s to 300s"));
    }
    if auth.refresh_lifetime.0 < Duration::from_secs(3600) {
        return Err(wrong("auth.refresh_lifetime", "is too short: expected at least 1h"));
    }
    if let Some(realm) = &auth.realm {
        let good = Url::parse(realm).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        // It is written into a header between quotes.
        if !good || realm.contains(['"', '\\']) || realm.contains(char::is_whitespace) {
            return Err(wrong(
                "auth.realm",
                &format!("is `{realm}`: expected an URL such as \"https://registry.example.com/v2/token\""),
            ));
        }
    }
    auth.issuer.iter().try_for_each(check_issuer)?;
    auth.oidc.iter().try_for_each(check_oidc)?;
    check_names(auth, own)
}

fn check_issuer(issuer: &Issuer) -> Result<(), ConfigError> {
    check_text("auth.issuer.issuer", &issuer.issuer)?;
    check_audience("auth.issuer.audience", &issuer.audience)?;
    check_place("auth.issuer.jwks", issuer.jwks.as_deref())?;
    if issuer.jwks.is_none() && issuer.certificates.is_none() {
        return Err(wrong(
            "auth.issuer.jwks",
            &format!("and `certificates` are missing for `{}`: one says which keys count", issuer.issuer),
        ));
    }
    Ok(())
}

fn check_oidc(oidc: &Oidc) -> Result<(), ConfigError> {
    check_text("auth.oidc.issuer", &oidc.issuer)?;
    check_audience("auth.oidc.audience", &oidc.audience)?;
    check_text("auth.oidc.subject_claim", &oidc.subject_claim)?;
    if let Some(claim) = &oidc.groups_claim {
        check_text("auth.oidc.groups_claim", claim)?;
    }
    // Whoever is between us and an issuer without TLS is the issuer, wherever the keys come from.
    if oidc.jwks.is_none() || oidc.issuer.starts_with("http:") {
        web_address(&oidc.issuer)
            .map_err(|what| wrong("auth.oidc.issuer", &format!("is `{}`: {what}", oidc.issuer)))?;
    }
    check_place("auth.oidc.jwks", oidc.jwks.as_deref())?;
    for rule in &oidc.rules {
        if rule.claims.is_empty() {
            return Err(wrong(
                "auth.oidc.rules",
                "has a rule without claims: write claims = { sub = \"**\" } for everybody whom the issuer knows",
            ));
        }
        if rule.groups.is_empty() {
            return Err(wrong("auth.oidc.rules", "has a rule without groups, which does nothing"));
        }
        for (claim, patterns) in &rule.claims {
            check_text("auth.oidc.rules", claim)?;
            if patterns.0.is_empty() {
                return Err(wrong("auth.oidc.rules", &format!("has no pattern for the claim `{claim}`")));
            }
            patterns.0.iter().try_for_each(|pattern| check_text("auth.oidc.rules", pattern))?;
        }
        rule.groups.iter().try_for_each(|group| check_text("auth.oidc.rules", group))?;
    }
    Ok(())
}

fn check_text(key: &'static str, text: &str) -> Result<(), ConfigError> {
    if text.is_empty() {
        return Err(wrong(key, "is missing or empty"));
    }
    if text.len() > TEXT_MAX || text.contains(char::is_control) {
        return Err(wrong(key, &format!("is longer than {TEXT_MAX} bytes, or holds control characters")));
    }
    Ok(())
}

fn check_audience(key: &'static str, audience: &Texts) -> Result<(), ConfigError> {
    if audience.0.is_empty() {
        return Err(wrong(key, "is missing: without it tokens that were made for others would count here"));
    }
    audience.0.iter().try_for_each(|one| check_text(key, one))
}

fn check_place(key: &'static str, place: Option<&str>) -> Result<(), ConfigError> {
    let Some(place) = place else { return Ok(()) };
    check_text(key, place)?;
    if is_url(place) {
        web_address(place).map_err(|what| wrong(key, &format!("is `{place}`: {what}")))?;
    }
    Ok(())
}

/// Each issuer once, and none whose subjects could be written like those of another: `https://a` with the subject `8443:x` and
/// `https://a:8443` with `x` are the same text.
fn check_names(auth: &Auth, own: &str) -> Result<(), ConfigError> {
    let all: Vec<&str> = auth
        .issuer
        .iter()
        .map(|one| one.issuer.as_str())
        .chain(auth.oidc.iter().map(|one| one.issuer.as_str()))
        .collect();
    for (place, one) in all.iter().enumerate() {
        if *one == own {
            return Err(wrong("auth.issuer", &format!("`{one}` is the name of this server's own tokens")));
        }
        for other in &all[place + 1..] {
            if one == other {
                let what = format!("`{one}` stands there twice: a token could be taken for one or the other");
                return Err(wrong("auth.issuer", &what));
            }
            let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
            if long.strip_prefix(*short).is_some_and(|rest| rest.starts_with(':')) {
                let what =
                    format!("`{short}` is the beginning of `{long}`: their subjects could not be told apart");
                return Err(wrong("auth.issuer", &what));
            }
        }
    }
    Ok(())
}

/// Whether a place for keys is on the web, and not a file.
pub(crate) fn is_url(place: &str) -> bool {
    place.starts_with("http://") || place.starts_with("https://")
}

/// An address from which keys may be taken: `https`, or `http` on this machine.
pub(crate) fn web_address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "expected an URL such as \"https://auth.example.com\"")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected an URL without a password in it");
    }
    let here = url.host_str().is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    match url.scheme() {
        "https" if url.host_str().is_some() => Ok(url),
        "http" if here => Ok(url),
        "http" => Err("expected https: without it anybody on the way can make tokens"),
        _ => Err("expected an URL such as \"https://auth.example.com\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let auth: Auth = toml::from_str(text).unwrap();
        check(&auth, "https://registry.example.com").err().map(|error| error.to_string()).unwrap_or_default()
    }

    const ISSUER: &str = "[[issuer]]\nissuer = 'a'\naudience = 'r'\njwks = 'a.json'\n";
    const OIDC: &str = "[[oidc]]\nissuer = 'https://ci.example'\naudience = ['r', 's']\n";

    #[test]
    fn issuers_that_cannot_work_or_let_in_too_many_are_refused() {
        assert_eq!(told(&format!("{ISSUER}{OIDC}")), "");
        for (text, key) in [
            ("token_lifetime = '59s'", "auth.token_lifetime"),
            ("token_lifetime = '301s'", "auth.token_lifetime"),
            ("refresh_lifetime = '1m'", "auth.refresh_lifetime"),
            ("realm = 'registry.example.com'", "auth.realm"),
            ("realm = 'https://x/\"'", "auth.realm"),
            ("realm = 'ftp://x/'", "auth.realm"),
            ("[[issuer]]\naudience = 'r'\njwks = 'a.json'", "auth.issuer.issuer"),
            ("[[issuer]]\nissuer = 'a'\njwks = 'a.json'", "auth.issuer.audience"),
            ("[[issuer]]\nissuer = 'a'\naudience = []\njwks = 'a.json'", "auth.issuer.audience"),
            ("[[issuer]]\nissuer = 'a'\naudience = ['']\njwks = 'a.json'", "auth.issuer.audience"),
            ("[[issuer]]\nissuer = 'a'\naudience = 'r'", "auth.issuer.jwks"),
            ("[[issuer]]\nissuer = 'a'\naudience = 'r'\njwks = ''", "auth.issuer.jwks"),
            ("[[issuer]]\nissuer = 'a'\naudience = 'r'\njwks = 'http://keys.example/'", "auth.issuer.jwks"),
            ("[[issuer]]\nissuer = 'a'\naudience = 'r'\njwks = 'https://'", "auth.issuer.jwks"),
            (
                "[[issuer]]\nissuer = 'a'\naudience = 'r'\njwks = 'https://u:p@keys.example/'",
                "auth.issuer.jwks",
            ),
            ("[[oidc]]\nissuer = 'http://ci.example'\naudience = 'r'", "auth.oidc.issuer"),
            ("[[oidc]]\nissuer = 'http://ci.example'\naudience = 'r'\njwks = 'a.json'", "auth.oidc.issuer"),
            ("[[oidc]]\nissuer = 'http://127.0.0.1.example'\naudience = 'r'", "auth.oidc.issuer"),
            ("[[oidc]]\nissuer = 'http://localhost.example'\naudience = 'r'", "auth.oidc.issuer"),
            ("[[oidc]]\nissuer = 'ci.example'\naudience = 'r'", "auth.oidc.issuer"),
            ("[[oidc]]\nissuer = 'https://ci.example'", "auth.oidc.audience"),
            (&format!("{OIDC}subject_claim = ''"), "auth.oidc.subject_claim"),
            (&format!("{OIDC}rules = [{{ claims = {{}}, groups = ['g'] }}]"), "auth.oidc.rules"),
            (&format!("{OIDC}rules = [{{ claims = {{ a = 'b' }}, groups = [] }}]"), "auth.oidc.rules"),
            (&format!("{OIDC}rules = [{{ claims = {{ a = [] }}, groups = ['g'] }}]"), "auth.oidc.rules"),
            (&format!("{OIDC}rules = [{{ claims = {{ a = '' }}, groups = ['g'] }}]"), "auth.oidc.rules"),
            (&format!("{ISSUER}{ISSUER}"), "twice"),
            (&format!("{OIDC}{OIDC}"), "twice"),
            (&format!("{OIDC}{}", OIDC.replace("ci.example", "ci.example:8443")), "told apart"),
            (&OIDC.replace("ci.example", "registry.example.com"), "own tokens"),
        ] {
            let told = told(text);
            assert!(told.contains(key), "{text}: {told}");
        }
        for here in
            ["http://127.0.0.1:8080", "http://[::1]:8080/realms/x", "http://localhost", "http://127.9.9.9"]
        {
            assert_eq!(told(&format!("[[oidc]]\nissuer = '{here}'\naudience = 'r'")), "", "{here}");
        }
    }

    #[test]
    fn what_was_understood_is_written_as_it_is_read() {
        let text =
            format!("{ISSUER}{OIDC}rules = [{{ claims = {{ a = ['b', 'c'], d = 'e' }}, groups = ['g'] }}]");
        let auth: Auth = toml::from_str(&text).unwrap();
        assert_eq!(toml::from_str::<Auth>(&toml::to_string(&auth).unwrap()).unwrap(), auth);
        assert_eq!(auth.oidc[0].rules[0].claims["d"], Texts(vec!["e".to_owned()]));
    }
}
