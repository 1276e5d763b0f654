//! Foreign tokens against real files and a real HTTP server.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::source::Pace;
use super::*;
use crate::auth::jwt::Algorithm;
use crate::auth::jwt::tests::{NOW, Signer, forgeries};
use crate::config::Texts;

mod certificates;
mod keys;

const AUDIENCE: &str = "registry.example.com";

fn now() -> Timestamp {
    Timestamp(NOW * 1_000_000)
}

/// What the server says to a path.
#[derive(Clone)]
enum Answer {
    Document(Vec<u8>),
    Status(u16),
    Redirect(String),
    /// Takes the request and says nothing.
    Silence,
    /// Sends without end, without saying how much.
    Endless,
}

/// An HTTP server on this machine.
struct Web {
    address: std::net::SocketAddr,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<AtomicUsize>,
}

impl Web {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers: Arc<Mutex<HashMap<String, Answer>>> = Arc::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let (known, count) = (Arc::clone(&answers), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (known, count) = (Arc::clone(&known), Arc::clone(&count));
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                            return;
                        }
                        head.push(byte[0]);
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    let path =
                        String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
                    let answer = known.lock().unwrap().get(&path).cloned().unwrap_or(Answer::Status(404));
                    let close = "connection: close\r\n";
                    let _ = match answer {
                        Answer::Document(body) => {
                            let head =
                                format!("HTTP/1.1 200 OK\r\n{close}content-length: {}\r\n\r\n", body.len());
                            stream.write_all(&[head.as_bytes(), &body].concat()).await
                        }
                        Answer::Status(status) => {
                            let head = format!("HTTP/1.1 {status} No\r\n{close}content-length: 0\r\n\r\n");
                            stream.write_all(head.as_bytes()).await
                        }
                        Answer::Redirect(to) => {
                            let head = format!(
                                "HTTP/1.1 302 Found\r\n{close}location: {to}\r\ncontent-length: 0\r\n\r\n"
                            );
                            stream.write_all(head.as_bytes()).await
                        }
                        Answer::Silence => {
                            tokio::time::sleep(Duration::from_secs(60)).await;
                            Ok(())
                        }
                        Answer::Endless => {
                            let head = format!("HTTP/1.1 200 OK\r\n{close}\r\n");
                            let mut sent = stream.write_all(head.as_bytes()).await;
                            while sent.is_ok() {
                                sent = stream.write_all(&[b' '; 4096]).await;
                            }
                            sent
                        }
                    };
                });
            }
        });
        Self { address, answers, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn says(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    fn has_keys(&self, path: &str, keys: &[&Signer]) {
        self.says(path, Answer::Document(key_set(keys)));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn key_set(keys: &[&Signer]) -> Vec<u8> {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string().into_bytes()
}

fn audience() -> Texts {
    Texts(vec![AUDIENCE.to_owned()])
}

fn issuer(name: &str, jwks: &str) -> IssuerSettings {
    IssuerSettings {
        issuer: name.to_owned(),
        audience: audience(),
        jwks: Some(jwks.to_owned()),
        ..IssuerSettings::default()
    }
}

fn oidc(name: &str) -> OidcSettings {
    OidcSettings { issuer: name.to_owned(), audience: audience(), ..OidcSettings::default() }
}

fn foreign(issuers: &[IssuerSettings], oidc: &[OidcSettings]) -> Foreign {
    Foreign::open(issuers, oidc).unwrap()
}

fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "sub": "somebody", "aud": AUDIENCE, "exp": NOW + 300, "nbf": NOW, "iat": NOW, "jti": "1",
        "access": [{ "type": "repository", "name": "team/app", "actions": ["pull"] }],
    })
}

fn with(value: &Value, key: &str, new: impl Into<Value>) -> Value {
    let mut value = value.clone();
    value[key] = new.into();
    value
}

/// Why a token does not count; hangs on nothing for long.
async fn refusal(foreign: &Foreign, token: &str) -> ForeignError {
    let told = tokio::time::timeout(Duration::from_secs(30), foreign.identify(token, now())).await.unwrap();
    told.unwrap_err()
}

#[tokio::test]
async fn a_token_servers_tokens_say_what_they_allow() {
    let web = Web::start().await;
    let signer = Signer::new(Algorithm::Rs256);
    web.has_keys("/keys", &[&signer]);
    let foreign = foreign(&[issuer("auth.example", &web.url("/keys"))], &[]);
    let good = claims("auth.example");
    let token = signer.sign(&good);
    assert!(foreign.concerns(&token));
    let identity = foreign.identify(&token, now()).await.unwrap();
    assert_eq!(identity.subject, "issuer:auth.example:somebody");
    assert_eq!(identity.groups, Vec::<String>::new());
    let access = identity.access.unwrap();
    assert_eq!(
        (access.len(), access[0].name.as_str(), access[0].actions.as_slice()),
        (1, "team/app", &["pull".to_owned()][..])
    );
    assert_eq!(identity.expires, NOW + 300);

    // Nothing there is nothing allowed, and nobody is nobody.
    for empty in
        [with(&good, "access", Value::Null), with(&good, "access", json!([])), with(&good, "sub", "")]
    {
        let identity = foreign.identify(&signer.sign(&empty), now()).await.unwrap();
        assert_eq!(identity.access.unwrap().len(), usize::from(empty["sub"] == ""));
    }
    for bad in [json!("all"), json!({}), json!([1]), json!([{ "type": "repository", "actions": ["*"] }])] {
        let told = refusal(&foreign, &signer.sign(&with(&good, "access", bad))).await;
        assert_eq!(told, ForeignError::BadToken(TokenError::Claims));
    }
    assert_eq!(web.asked(), 1);
}

#[tokio::test]
async fn every_algorithm_of_token_servers_counts() {
    let web = Web::start().await;
    let signers = Algorithm::ALL.map(Signer::new);
    web.has_keys("/keys", &signers.each_ref());
    let foreign = foreign(&[issuer("auth.example", &web.url("/keys"))], &[]);
    for signer in &signers {
        foreign.identify(&signer.sign(&claims("auth.example")), now()).await.unwrap();
    }
    // A key that says what it is for is for nothing else.
    let signer = Signer::new(Algorithm::Rs256);
    let mut jwk = signer.jwk();
    jwk["alg"] = "RS256".into();
    web.says("/one", Answer::Document(json!({ "keys": [jwk] }).to_string().into_bytes()));
    let foreign = self::foreign(&[issuer("auth.example", &web.url("/one"))], &[]);
    foreign.identify(&signer.sign(&claims("auth.example")), now()).await.unwrap();
    let other = signer.with(Algorithm::Ps256).sign(&claims("auth.example"));
    assert_eq!(refusal(&foreign, &other).await, ForeignError::BadToken(TokenError::Key));
}

#[tokio::test]
async fn no_forged_token_counts() {
    let web = Web::start().await;
    let signer = Signer::new(Algorithm::Es256);
    web.has_keys("/keys", &[&signer]);
    web.says(
        "/.well-known/openid-configuration",
        Answer::Document(
            json!({ "issuer": web.url(""), "jwks_uri": web.url("/keys") }).to_string().into_bytes(),
        ),
    );
    let directory = tempfile::tempdir().unwrap();
    let pem = directory.path().join("bundle.pem");
    std::fs::write(&pem, certificates::pem(&crate::auth::jwt::tests::self_signed(&signer))).unwrap();
    let certificates = IssuerSettings { jwks: None, certificates: Some(pem), ..issuer("bundle.example", "") };
    let foreign = foreign(&[issuer("auth.example", &web.url("/keys")), certificates], &[oidc(&web.url(""))]);
    for name in ["auth.example", "bundle.example", &web.url("")] {
        // The bundle's certificate is of today, and its key counts no longer than it does.
        let good = claims(name);
        if name != "bundle.example" {
            foreign.identify(&signer.sign(&good), now()).await.unwrap();
        }
        for (kind, token) in forgeries(&signer, &good) {
            let told = refusal(&foreign, &token).await;
            assert!(matches!(told, ForeignError::BadToken(_)), "{name}: {kind}: {token:.200}: {told:?}");
        }
    }
    // A header without `typ` is usual, and so is a place of keys that nobody asked for.
    let mut header = signer.header();
    header.as_object_mut().unwrap().remove("typ");
    header["jku"] = "http://127.0.0.1:1/keys".into();
    foreign.identify(&signer.sign_with(&header, &claims("auth.example")), now()).await.unwrap();
}

#[tokio::test]
async fn a_token_of_one_issuer_is_nothing_to_another() {
    let web = Web::start().await;
    let (one, other) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::Es256));
    web.has_keys("/one", &[&one]);
    web.has_keys("/other", &[&other]);
    let foreign = foreign(
        &[issuer("one.example", &web.url("/one"))],
        &[OidcSettings { jwks: Some(web.url("/other")), ..oidc("https://other.example") }],
    );
    foreign.identify(&one.sign(&claims("one.example")), now()).await.unwrap();
    foreign.identify(&other.sign(&claims("https://other.example")), now()).await.unwrap();
    for (signer, name) in [(&other, "one.example"), (&one, "https://other.example")] {
        for header in
            [signer.header(), if std::ptr::eq(signer, &one) { other.header() } else { one.header() }]
        {
            let told = refusal(&foreign, &signer.sign_with(&header, &claims(name))).await;
            assert!(
                matches!(told, ForeignError::BadToken(TokenError::Key | TokenError::Signature)),
                "{told:?}"
            );
        }
    }
    let nobody = one.sign(&claims("https://one.example"));
    assert!(!foreign.concerns(&nobody));
    assert_eq!(refusal(&foreign, &nobody).await, ForeignError::BadToken(TokenError::Issuer));
}

/// What GitHub, GitLab and Kubernetes put into theirs.
#[tokio::test]
async fn identity_tokens_name_subjects_and_groups() {
    let web = Web::start().await;
    let signer = Signer::new(Algorithm::Rs256);
    web.has_keys("/keys", &[&signer]);
    let rule = |text: &str| toml::from_str::<OidcSettings>(text).unwrap();
    let settings = rule(&format!(
        r#"
        issuer = "https://ci.example"
        audience = ["elsewhere.example", "{AUDIENCE}"]
        jwks = "{}"
        groups_claim = "/realm_access/roles"
        rules = [
            {{ claims = {{ repository = "org/*", ref = ["refs/heads/main", "refs/tags/*"] }}, groups = ["ci", "release"] }},
            {{ claims = {{ "/kubernetes.io/namespace" = "prod" }}, groups = ["prod"] }},
            {{ claims = {{ ref_protected = "true", project_id = "22" }}, groups = ["protected"] }},
        ]
        "#,
        web.url("/keys")
    ));
    let foreign = foreign(&[], std::slice::from_ref(&settings));
    let base = claims("https://ci.example");
    for (more, groups) in [
        (json!({}), &[][..]),
        (json!({ "repository": "org/app", "ref": "refs/heads/main" }), &["ci", "release"]),
        (json!({ "repository": "org/app", "ref": "refs/tags/v1" }), &["ci", "release"]),
        (json!({ "repository": "org/app", "ref": "refs/heads/other" }), &[]),
        (json!({ "repository": "org2/app", "ref": "refs/heads/main" }), &[]),
        (json!({ "repository": "org/app/x", "ref": "refs/heads/main" }), &[]),
        (json!({ "ref": "refs/heads/main" }), &[]),
        (json!({ "kubernetes.io": { "namespace": "prod" } }), &["prod"]),
        (json!({ "kubernetes.io": { "namespace": "production" } }), &[]),
        (json!({ "ref_protected": true, "project_id": 22 }), &["protected"]),
        (json!({ "realm_access": { "roles": ["b", "a", "b", "", 1, "x\ny"] } }), &["a", "b"]),
        (json!({ "realm_access": { "roles": "one" } }), &["one"]),
        (json!({ "groups": ["not asked for"] }), &[]),
    ] {
        let mut claims = base.clone();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let identity = foreign.identify(&signer.sign(&claims), now()).await.unwrap();
        assert_eq!(identity.groups, groups, "{more}");
        assert_eq!(identity.subject, "oidc:https://ci.example:somebody");
        assert_eq!(identity.access, None, "what an identity token says of access is nothing to us");
    }
    let github = with(&base, "sub", "repo:org/app:ref:refs/heads/main");
    let identity = foreign.identify(&signer.sign(&github), now()).await.unwrap();
    assert_eq!(identity.subject, "oidc:https://ci.example:repo:org/app:ref:refs/heads/main");
    for sub in [json!(""), json!(null), json!("a\nb"), json!(["a"]), json!("x".repeat(2000))] {
        let told = refusal(&foreign, &signer.sign(&with(&base, "sub", sub))).await;
        assert_eq!(told, ForeignError::BadToken(TokenError::Claims));
    }

    let uid = OidcSettings { subject_claim: "/kubernetes.io/serviceaccount/uid".to_owned(), ..settings };
    let foreign = self::foreign(&[], &[uid]);
    let account = with(&base, "kubernetes.io", json!({ "serviceaccount": { "uid": "1-2" } }));
    assert_eq!(
        foreign.identify(&signer.sign(&account), now()).await.unwrap().subject,
        "oidc:https://ci.example:1-2"
    );
    assert_eq!(refusal(&foreign, &signer.sign(&base)).await, ForeignError::BadToken(TokenError::Claims));
}

#[tokio::test]
async fn clocks_may_be_off_by_a_minute_and_not_by_ten() {
    let web = Web::start().await;
    let signer = Signer::new(Algorithm::Es256);
    web.has_keys("/keys", &[&signer]);
    let foreign = foreign(
        &[issuer("auth.example", &web.url("/keys"))],
        &[OidcSettings { jwks: Some(web.url("/keys")), ..oidc("https://ci.example") }],
    );
    for name in ["auth.example", "https://ci.example"] {
        let token = signer.sign(&claims(name));
        for (off, told) in [
            (-60, None),
            (-600, Some(TokenError::Early)),
            (360, None),
            (300 + 600, Some(TokenError::Expired)),
        ] {
            let told = told.map(ForeignError::BadToken);
            assert_eq!(
                foreign.identify(&token, Timestamp((NOW + off) * 1_000_000)).await.err(),
                told,
                "{off}"
            );
        }
    }
}
