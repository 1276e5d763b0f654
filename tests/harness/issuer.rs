//! An issuer of tokens on this machine: keys, a server that publishes them, and whatever somebody wants to have signed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A key for ES256.
pub(crate) struct Key {
    /// Its name.
    pub(crate) kid: String,
    pair: rcgen::KeyPair,
}

impl Key {
    pub(crate) fn new(kid: &str) -> Key {
        Key { kid: kid.to_owned(), pair: rcgen::KeyPair::generate().expect("a key") }
    }

    /// The public key, PEM.
    pub(crate) fn pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// The public key as a JSON Web Key.
    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key_raw().get(1..).expect("a point").split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid, "use": "sig" })
    }

    /// The header of its tokens.
    pub(crate) fn header(&self) -> Value {
        json!({ "typ": "JWT", "alg": "ES256", "kid": self.kid })
    }

    /// A token with this header, whatever that says.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let key = EncodingKey::from_ec_der(self.pair.serialized_der());
        let message = unsigned(header, claims);
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::ES256).expect("a signature");
        format!("{message}.{signature}")
    }

    /// A token.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }
}

/// The two parts of a token that are signed.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "tokens are made for the time that the server sees")]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}

/// A server with an OpenID configuration and a key set, as long as the test runs.
pub(crate) struct Issuer {
    address: SocketAddr,
    said: Arc<Said>,
}

#[derive(Default)]
struct Said {
    keys: Mutex<Vec<Value>>,
    silent: AtomicBool,
    asked: AtomicUsize,
}

impl Issuer {
    /// Publishes these keys.
    pub(crate) async fn start(keys: &[&Key]) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("its address");
        let issuer = Issuer { address, said: Arc::default() };
        issuer.publish(keys);
        let said = Arc::clone(&issuer.said);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, address, Arc::clone(&said)));
            }
        });
        issuer
    }

    /// Its name.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where its keys are.
    pub(crate) fn jwks(&self) -> String {
        format!("{}/keys", self.url())
    }

    /// Publishes these keys and no others.
    pub(crate) fn publish(&self, keys: &[&Key]) {
        *self.said.keys.lock().expect("the keys") = keys.iter().map(|key| key.jwk()).collect();
    }

    /// From now on takes connections and answers nothing.
    pub(crate) fn fall_silent(&self) {
        self.said.silent.store(true, Ordering::Relaxed);
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        self.said.asked.load(Ordering::Relaxed)
    }
}

async fn answer(mut stream: TcpStream, address: SocketAddr, said: Arc<Said>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    if said.silent.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_secs(300)).await;
    }
    let (status, document) = match String::from_utf8_lossy(&head).split(' ').nth(1) {
        Some("/.well-known/openid-configuration") => {
            let url = format!("http://{address}");
            ("200 OK", json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string())
        }
        Some("/keys") => {
            said.asked.fetch_add(1, Ordering::Relaxed);
            ("200 OK", json!({ "keys": *said.keys.lock().expect("the keys") }).to_string())
        }
        _ => ("404 Not Found", String::new()),
    };
    let length = document.len();
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let _ = stream.write_all(format!("{head}{document}").as_bytes()).await;
}
