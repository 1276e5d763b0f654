//! The server's own: credentials, accounts, proxies, configuration.

use std::net::IpAddr;

use gantry_server::config::Config;
use gantry_server::config::{Sources, load};
use gantry_server::fuzzing;
use http::{HeaderMap, HeaderValue};

pub(crate) fn basic(bytes: &[u8]) {
    if let Some((name, password)) = fuzzing::credentials(bytes) {
        assert!(!name.is_empty() && !name.contains(':'));
        assert!(name.len() + password.len() < bytes.len());
    }
}

pub(crate) fn htpasswd(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for (name, hash) in fuzzing::htpasswd(&text) {
        assert!(!name.is_empty() && !name.contains([':', '\n']), "{name:?}");
        assert!(hash.len() == 60 && hash.starts_with("$2"), "{hash:?}");
        assert!(text.contains(&format!("{name}:{hash}")));
    }
}

/// One header line each, of `X-Forwarded-For` or after a `!` of `Forwarded`.
pub(crate) fn forwarded(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let (name, value) = match line.strip_prefix(b"!") {
            Some(value) => ("forwarded", value),
            None => ("x-forwarded-for", line),
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let peer = ([10, 0, 0, 1], 4711).into();
    let trusted = ["10.0.0.0/8", "::1/128"].map(|network| network.parse().expect("a network"));
    let client = fuzzing::client_address(peer, &headers, &trusted);
    assert_eq!(client, client.to_canonical());
    // With nobody trusted beyond the peer it is what the last one said, or the peer itself.
    let alone: [ipnet::IpNet; 0] = [];
    let _: IpAddr = fuzzing::client_address(peer, &headers, &alone);
}

pub(crate) fn proxy(bytes: &[u8]) {
    if let Some((_, length)) = fuzzing::proxy_header(bytes) {
        assert!(length <= bytes.len());
        let again = fuzzing::proxy_header(&bytes[..length]);
        assert_eq!(again, fuzzing::proxy_header(bytes), "nothing behind the header is read");
    }
}

/// A configuration file; lines that begin with `--set ` are arguments.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (arguments, lines): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("--set "));
    let arguments = arguments.iter().map(|line| line.trim_start_matches("--set ").to_owned()).collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), lines.join("\n")).expect("written");
    let sources = Sources { file: Some(file.path().to_owned()), environment: Vec::new(), arguments };
    let settings = match load(&sources) {
        Ok(settings) => settings,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    // What was understood, written down, is understood as the same.
    let written = toml::to_string(&settings).expect("settings can be shown");
    std::fs::write(file.path(), &written).expect("written");
    let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
    let again = load(&sources).unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!(toml::to_string(&again).expect("settings can be shown"), written);
    let _ = Config::new(settings, "/nonexistent".into());
}
