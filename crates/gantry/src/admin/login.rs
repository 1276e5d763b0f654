//! `gantry login` and `gantry logout`: credentials are tried, then kept as docker keeps them.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use reqwest::header::WWW_AUTHENTICATE;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde_json::Value;

use super::client::Reply;
use super::credentials::Files;
use super::problem::Refused;
use super::{password, remote};
use crate::args::{LoginArgs, LogoutArgs, Trust};
use crate::{say, tell};

pub(super) async fn login(args: &LoginArgs) -> anyhow::Result<ExitCode> {
    let (url, host) = registry(&args.host)?;
    let user = match &args.username {
        Some(user) => user.clone(),
        None => password::username()?,
    };
    let password = password::known(args.password_stdin, &user)?;
    let registry = Registry::find(url, &args.host, &args.trust).await?;
    registry.verify(&user, &password).await?;
    let place = Files::new(&args.trust).keep(&host, &user, &password)?;
    say(format_args!("logged in to {host} as {user}; the credentials are in {place}\n"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn logout(args: &LogoutArgs) -> anyhow::Result<ExitCode> {
    let (_, host) = registry(&args.host)?;
    match Files::new(&args.trust).forget(&host)?.as_slice() {
        [] => tell(format_args!("there are no credentials for {host}\n")),
        places => say(format_args!("the credentials for {host} are gone from {}\n", places.join(" and "))),
    }
    Ok(ExitCode::SUCCESS)
}

/// The registry's URL, and its name in credential files.
fn registry(host: &str) -> anyhow::Result<(Url, String)> {
    let with_scheme = if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
    let mut url = remote::parse(&with_scheme)?;
    // As docker does: what follows the host is of no concern.
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    let name = remote::authority(&url);
    Ok((url, name))
}

/// A registry that answered.
struct Registry {
    http: Client,
    url: Url,
    challenge: Challenge,
}

impl Registry {
    /// Over HTTPS; when nobody speaks that on this machine itself, over HTTP.
    async fn find(mut url: Url, given: &str, trust: &Trust) -> anyhow::Result<Self> {
        let secure = Self::ask(&url, trust).await;
        if secure.is_ok() || given.contains("://") || !remote::is_loopback(&url) {
            return secure;
        }
        // What does not speak HTTP either has said what is wrong already.
        let _ = url.set_scheme("http");
        Self::ask(&url, trust).await.or(secure)
    }

    async fn ask(url: &Url, trust: &Trust) -> anyhow::Result<Self> {
        let http = remote::http(url, trust.ca_file.as_deref())?;
        let url = url.join("v2/")?;
        let response = send(http.get(url.clone()), &url).await?;
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges: Vec<_> = challenges.filter_map(|value| value.to_str().ok()).collect();
        let challenge = match response.status() {
            StatusCode::OK => Challenge::Basic,
            StatusCode::UNAUTHORIZED => Challenge::choose(&challenges)
                .with_context(|| format!("{url}: asks for credentials in no way that is known here"))?,
            status => bail!("{url}: answered {status}: is this a registry?"),
        };
        Ok(Self { http, url, challenge })
    }

    async fn verify(&self, user: &str, password: &str) -> anyhow::Result<()> {
        let version = self.http.get(self.url.clone());
        let request = match &self.challenge {
            Challenge::Basic => version.basic_auth(user, Some(password)),
            Challenge::Bearer { realm, service } => {
                version.bearer_auth(self.token(realm, service.as_deref(), user, password).await?)
            }
        };
        good(request, &self.url).await.map(drop)
    }

    /// A token without any right: what docker asks for at a login.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        user: &str,
        password: &str,
    ) -> anyhow::Result<String> {
        let mut url = remote::parse(realm).with_context(|| format!("{}: the token server", self.url))?;
        let at = url.clone();
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .append_pair("client_id", "gantry")
            .append_pair("account", user);
        let reply = good(self.http.get(url).basic_auth(user, Some(password)), &at).await?;
        let document: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let token = document["token"].as_str().or_else(|| document["access_token"].as_str());
        Ok(token.with_context(|| format!("{at}: the answer has no token"))?.to_owned())
    }
}

async fn good(request: RequestBuilder, url: &Url) -> anyhow::Result<Reply> {
    let reply = remote::reply(send(request, url).await?).await?;
    if reply.status.is_success() {
        return Ok(reply);
    }
    let refused = Refused::new(&reply, None);
    Err(anyhow::Error::new(refused).context(format!("{url}: not logged in")))
}

async fn send(request: RequestBuilder, url: &Url) -> anyhow::Result<reqwest::Response> {
    request.send().await.map_err(reqwest::Error::without_url).with_context(|| url.to_string())
}

/// How a registry wants credentials.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// Tokens rather than passwords.
    fn choose(headers: &[&str]) -> Option<Self> {
        let bearer = headers.iter().find_map(|header| {
            let parameters = parameters(after_scheme(header, "bearer")?);
            let of = |name: &str| {
                let mut named = parameters.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
                named.next().map(|(_, value)| value.clone())
            };
            Some(Self::Bearer { realm: of("realm")?, service: of("service") })
        });
        let basic = || headers.iter().find_map(|header| after_scheme(header, "basic")).map(|_| Self::Basic);
        bearer.or_else(basic)
    }
}

fn after_scheme<'a>(header: &'a str, scheme: &str) -> Option<&'a str> {
    let header = header.trim_start();
    let (word, rest) = header.split_once(' ').unwrap_or((header, ""));
    word.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// `a="b, \"c\"", d=e`
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        let mut name = String::new();
        while let Some(letter) = letters.next_if(|letter| *letter != '=') {
            if !matches!(letter, ' ' | '\t' | ',') {
                name.push(letter);
            }
        }
        if letters.next().is_none() {
            return found;
        }
        let mut value = String::new();
        if letters.next_if_eq(&'"').is_some() {
            while let Some(letter) = letters.next_if(|letter| *letter != '"') {
                let escaped = if letter == '\\' { letters.next() } else { Some(letter) };
                value.extend(escaped);
            }
            letters.next();
        } else {
            while let Some(letter) = letters.next_if(|letter| *letter != ',') {
                value.push(letter);
            }
        }
        found.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_taken_apart() {
        let bearer = r#"Bearer realm="https://a.example/token?x=1,2",service="a \"b\"", scope=""#;
        let expected = Challenge::Bearer {
            realm: "https://a.example/token?x=1,2".to_owned(),
            service: Some("a \"b\"".to_owned()),
        };
        assert_eq!(Challenge::choose(&["Basic realm=\"x\"", bearer]), Some(expected));
        assert_eq!(Challenge::choose(&["basic"]), Some(Challenge::Basic));
        assert_eq!(Challenge::choose(&["Bearer service=x"]), None, "there is no realm");
        assert_eq!(Challenge::choose(&["Negotiate"]), None);
    }

    #[test]
    fn registries_are_named_as_in_credential_files() {
        for (given, name) in [
            ("registry.example.com", "registry.example.com"),
            ("https://registry.example.com/v2/", "registry.example.com"),
            ("localhost:5000", "localhost:5000"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(registry(given).unwrap().1, name);
        }
        for given in ["", "http://registry.example.com", "https://a:b@c", "ftp://x", "a b"] {
            assert!(registry(given).is_err(), "{given}");
        }
    }
}
