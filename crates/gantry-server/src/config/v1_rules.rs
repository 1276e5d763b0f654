//! What is asked of `[v1]` beside what its tables ask of themselves: that it fits the rest of the configuration.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::settings::Settings;
use super::{ConfigError, wrong};

/// How long a token of the v1 API may live: a push takes one for all of it. Less than the time for which the rows of retired keys are
/// kept.
pub const V1_LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(12 * 3600);

/// Refuses what cannot work, or would let in more than was meant.
pub(super) fn check(settings: &Settings) -> Result<(), ConfigError> {
    let v1 = &settings.v1;
    if !V1_LIFETIMES.contains(&v1.token_lifetime.0) {
        return Err(wrong("v1.token_lifetime", "is out of range: expected 1s to 12h"));
    }
    for (key, hosts) in [("v1.hosts", &v1.hosts), ("v1.only_hosts", &v1.only_hosts)] {
        if let Some(host) = hosts.iter().find(|host| !is_host(host)) {
            return Err(wrong(
                key,
                &format!(
                    "holds `{host}`: expected the name of a host without scheme, port and path, such as \"v1.example.com\""
                ),
            ));
        }
    }
    if v1.enabled == Some(true) && !(v1.push || v1.pull || v1.search) {
        return Err(wrong(
            "v1.enabled",
            "is true, and v1.push, v1.pull and v1.search are all false: switch one of them on, or v1.enabled off",
        ));
    }
    if v1.sign_up && settings.auth.client_certificates.user.is_some() {
        return Err(wrong(
            "v1.sign_up",
            "cannot be on beside auth.client_certificates.user: whoever makes an account of the name in a certificate would be \
             whom its holder is taken for",
        ));
    }
    Ok(())
}

/// A name or an address, as clients ask for it, but for the port.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(letter)
    };
    text.parse::<IpAddr>().is_ok() || text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn told(text: &str) -> String {
        let settings: Settings = toml::from_str(text).expect("settings");
        Config::new(settings, "data".into()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    /// V-21
    #[test]
    fn what_makes_no_sense_is_told_with_what_to_do() {
        for good in [
            "",
            "hosts = ['v1.example.com', 'localhost', '127.0.0.1', '::1']",
            "only_hosts = ['V1.Example.com']\ntoken_lifetime = '12h'",
            "token_lifetime = '1s'\nsign_up = true",
            "enabled = false\npush = false\npull = false\nsearch = false",
        ] {
            assert_eq!(told(&format!("[v1]\n{good}")), "", "{good}");
        }
        for (text, key) in [
            ("token_lifetime = '999ms'", "v1.token_lifetime is out of range"),
            ("token_lifetime = '13h'", "v1.token_lifetime"),
            ("token_lifetime = '43200500ms'", "v1.token_lifetime"),
            ("hosts = ['https://v1.example.com']", "v1.hosts holds `https://v1.example.com`"),
            ("hosts = ['v1.example.com:5000']", "without scheme, port and path"),
            ("hosts = ['']", "v1.hosts"),
            ("hosts = ['*.example.com']", "v1.hosts"),
            ("only_hosts = ['a/b']", "v1.only_hosts"),
            ("enabled = true\npush = false\npull = false\nsearch = false", "v1.enabled"),
            (
                "sign_up = true\n[server.tls]\ncertificate = 'a'\nkey = 'b'\nclient_ca = 'c'\nclient_certificates = 'optional'\n\
                 [auth.client_certificates]\nuser = 'cn'",
                "v1.sign_up",
            ),
        ] {
            let told = told(&format!("[v1]\n{text}"));
            assert!(told.contains(key), "{text}: {told}");
        }
    }
}
