//! HTTPS: versions, protocols, and a certificate that changes under a running server.

use std::net::SocketAddr;

use http::Version;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::eventually;
use crate::harness::tls::Authority;
use crate::harness::{Gantry, image};

#[tokio::test]
async fn https_speaks_http_1_1_and_http_2_by_alpn() {
    let authority = Authority::new();
    let app = Gantry::options().tls(&authority).start().await;
    assert!(app.greeting().contains("registry   https://127.0.0.1:"));
    let answer = app.client().get("/v2/").await.status(200);
    assert_eq!(answer.version, Version::HTTP_11);
    let h2 = app.client().http2(Some(&authority));
    let answer = h2.get("/v2/").await.status(200);
    assert_eq!(answer.version, Version::HTTP_2);
    let repo = app.client().repo();
    let image = image().build();
    repo.push("v1", &image).await.status(201);
    repo.has_manifest("v1", &image.manifest).await;
    let answer = h2.get(&repo.blob(&image.blobs[0].digest)).await.status(200);
    assert_eq!(answer.body, image.blobs[0].bytes);
}

#[tokio::test]
async fn a_new_certificate_is_taken_into_use_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let app = Gantry::options().tls(&old).start().await;
    app.client().get("/v2/").await.status(200);
    let with_new = app.client().http2(Some(&new));
    assert!(with_new.get("/v2/").try_send().await.is_err(), "signed by an authority that is not trusted");

    // Half of a change (a certificate without its key) must not break what runs.
    std::fs::write(app.dir().join("server.pem"), "nonsense").expect("written");
    eventually("the mistake is told", async || app.log().contains("cannot be used").then_some(())).await;
    app.client().get("/v2/").await.status(200);

    new.write_certificate(app.dir());
    eventually("the new certificate is served", async || with_new.get("/v2/").try_send().await.ok()).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named_at_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    std::fs::write(&certificate, "nothing").expect("written");
    std::fs::write(&key, "nothing").expect("written");
    let data = dir.path().join("data");
    let set = |name: &str, path: &std::path::Path| format!("server.tls.{name}={}", path.display());
    let (certificate, key) = (set("certificate", &certificate), set("key", &key));
    let data = data.to_str().expect("a path");
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--data", data, "--set", &certificate, "--set", &key];
    let (status, _, err) = crate::harness::server::run(&arguments).await;
    assert_eq!(status.code(), Some(1));
    assert!(err.contains("server.tls.certificate") && err.contains("c.pem"), "{err}");
}

/// TLS 1.1 and older are not spoken, and 1.2 is not when 1.3 is asked for.
#[tokio::test]
async fn the_oldest_version_is_a_setting() {
    let authority = Authority::new();
    let app = Gantry::options().tls(&authority).set("server.tls.minimum_version", "'1.3'").start().await;
    app.client().get("/v2/").await.status(200);
    let hello = tls12_client_hello();
    // An alert record (21), and nothing that a handshake (22) would go on with.
    assert_eq!(first_byte(app.address(), &hello).await, 21);

    let lenient = Gantry::options().tls(&authority).start().await;
    assert_eq!(first_byte(lenient.address(), &hello).await, 22);
}

/// What a server answers first to these bytes.
async fn first_byte(address: SocketAddr, bytes: &[u8]) -> u8 {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("sent");
    stream.read_u8().await.expect("an answer")
}

/// A ClientHello that knows nothing newer than TLS 1.2.
fn tls12_client_hello() -> Vec<u8> {
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, body: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
        extensions.extend(body);
    };
    extension(10, &[0, 4, 0, 29, 0, 23]); // groups: x25519, secp256r1
    extension(11, &[1, 0]); // uncompressed points
    extension(13, &[0, 6, 4, 3, 8, 4, 4, 1]); // ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256, rsa_pkcs1_sha256
    extension(23, &[]); // extended master secret
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x2f]); // ECDHE with AES-128-GCM
    hello.extend([1, 0]);
    hello.extend(u16::try_from(extensions.len()).expect("short").to_be_bytes());
    hello.extend(extensions);
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(hello.len() + 4).expect("short").to_be_bytes());
    record.push(1);
    record.extend(&u32::try_from(hello.len()).expect("short").to_be_bytes()[1..]);
    record.extend(hello);
    record
}
