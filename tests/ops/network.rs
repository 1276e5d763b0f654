//! Connections: proxies before the server, silences, too many at once, and the end.

use std::time::{Duration, Instant};

use super::eventually;
use crate::harness::raw::{Raw, exchange};
use crate::harness::{Blob, Gantry, pieces};

const PING: &str = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";

/// The client's address as the log has it, of the last request.
async fn logged_client(app: &Gantry, requests: usize) -> String {
    let log = eventually("the line is written", async || {
        Some(app.log()).filter(|log| log.matches("\"access\"").count() >= requests)
    })
    .await;
    let line = log.lines().rev().find(|line| line.contains("\"access\"")).expect("a line");
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    line["client"].as_str().expect("an address").to_owned()
}

/// T44: forwarding headers are believed from trusted peers only.
#[tokio::test]
async fn t44_forwarding_headers_of_strangers_are_ignored() {
    let strict = Gantry::options().set("log.format", "json").start().await;
    strict.client().get("/v2/").header("x-forwarded-for", "192.0.2.7").header("x-request-id", "mine").await;
    assert_eq!(logged_client(&strict, 1).await, "127.0.0.1");
    assert!(!strict.log().contains("\"mine\""));

    let trusting = Gantry::options()
        .set("log.format", "json")
        .set("server.trusted_proxies", "['127.0.0.0/8']")
        .start()
        .await;
    let answer = trusting
        .client()
        .get("/v2/")
        .header("x-forwarded-for", "6.6.6.6, 192.0.2.7")
        .header("x-request-id", "mine")
        .await;
    answer.status(200).header("x-request-id", "mine");
    assert_eq!(logged_client(&trusting, 1).await, "192.0.2.7");
    trusting.client().get("/v2/").header("forwarded", "for=\"[2001:db8::1]:80\";proto=https").await;
    assert_eq!(logged_client(&trusting, 2).await, "2001:db8::1");
    // A host that is claimed does not bend addresses in answers.
    let answer = trusting
        .client()
        .post("/v2/a/blobs/uploads/")
        .header("x-forwarded-host", "evil.example")
        .await
        .status(202);
    assert!(answer.get("location").expect("a location").starts_with("/v2/a/blobs/uploads/"));
}

#[tokio::test]
async fn the_proxy_protocol_is_spoken_with_trusted_proxies_only() {
    let options = || Gantry::options().set("log.format", "json").set("server.proxy_protocol", "true");
    let app = options().set("server.trusted_proxies", "['127.0.0.0/8']").start().await;
    let answer = exchange(app.address(), format!("PROXY TCP4 192.0.2.9 10.0.0.1 4711 5000\r\n{PING}")).await;
    assert_eq!(answer.expect("an answer").status, 200);
    assert_eq!(logged_client(&app, 1).await, "192.0.2.9");
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    v2.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9].repeat(2));
    v2.extend([0x12, 0x34, 0x13, 0x88]);
    v2.extend(PING.as_bytes());
    assert_eq!(exchange(app.address(), v2).await.expect("an answer").status, 200);
    assert_eq!(logged_client(&app, 2).await, "2001:db8::9");
    assert!(exchange(app.address(), PING).await.is_none(), "a trusted proxy without its header is cut");

    let others = options().set("server.trusted_proxies", "['192.0.2.0/24']").start().await;
    assert_eq!(exchange(others.address(), PING).await.expect("an answer").status, 200);
    let spoofed =
        exchange(others.address(), format!("PROXY TCP4 192.0.2.9 10.0.0.1 4711 5000\r\n{PING}")).await;
    assert_ne!(spoofed.map(|answer| answer.status), Some(200), "a stranger's PROXY header is not believed");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let app = Gantry::options().set("limits.connections", "3").start().await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut connection = Raw::connect(app.address()).await;
        connection.send(PING).await;
        assert_eq!(connection.answer(true).await.expect("an answer").status, 200);
        open.push(connection);
    }
    let answer = exchange(app.address(), PING).await.expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    assert_eq!(answer.get("retry-after"), Some("5"));
    open.clear();
    eventually("there is room again", async || {
        exchange(app.address(), PING).await.filter(|answer| answer.status == 200)
    })
    .await;
}

/// Half a head, silence before the first request, and silence after the last: each has its limit, and a request that the
/// server itself takes long over has none.
#[tokio::test]
async fn silent_connections_are_closed() {
    let app = Gantry::options()
        .set("limits.header_timeout", "500ms")
        .set("limits.idle_timeout", "1500ms")
        .set("limits.body_timeout", "700ms")
        .start()
        .await;
    for before in ["", "G", "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let started = Instant::now();
        let mut connection = Raw::connect(app.address()).await;
        connection.send(before).await;
        assert!(connection.is_closed().await, "{before:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{before:?}: {:?}", started.elapsed());
    }
    // The head of a second request on the same connection, drop by drop.
    let mut connection = Raw::connect(app.address()).await;
    connection.send(PING).await;
    connection.answer(true).await.expect("an answer");
    let started = Instant::now();
    let drip = async {
        for _ in 0..100 {
            connection.send("X").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), drip).await;
    assert!(connection.is_closed().await && started.elapsed() < Duration::from_secs(5));

    let mut idle = Raw::connect(app.address()).await;
    idle.send(PING).await;
    idle.answer(true).await.expect("an answer");
    tokio::time::sleep(Duration::from_millis(900)).await;
    idle.send(PING).await;
    assert_eq!(idle.answer(true).await.expect("idle for less than its limit").status, 200);
    assert!(idle.is_closed().await);

    let repo = app.client().repo();
    let location = repo.start_upload().await;
    let mut slow = Raw::connect(app.address()).await;
    slow.send(format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n12345")).await;
    let answer = slow.answer(true).await.expect("an answer");
    assert_eq!(answer.status, 408);
    assert_eq!(repo.progress(&location).await, "0-4", "what came is kept");
}

/// T65: expiry ends sessions that nobody touches, and never one that is alive, however slow.
#[tokio::test]
async fn t65_idle_upload_sessions_expire_and_slow_ones_do_not() {
    let app = Gantry::options().set("sweep.upload_expiry", "1s").start().await;
    let repo = app.client().repo();
    let idle = repo.start_upload().await;
    let idle_with_bytes = repo.start_upload().await;
    repo.client.patch(&idle_with_bytes, Blob::new(100_000).bytes).await.status(202);
    let live = repo.start_upload().await;
    let (sender, body) = pieces();
    let patch = tokio::spawn(repo.client.patch(&live, "").stream(body).try_send());
    let blob = Blob::new(200_000);
    for piece in blob.bytes.chunks(10_000) {
        sender.send(Ok(bytes::Bytes::copy_from_slice(piece))).await.expect("the request goes on");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(sender);
    patch.await.expect("a patch").expect("an answer").status(202);
    repo.client.put(&format!("{live}?digest={}", blob.digest), "").await.status(201);
    for gone in [idle, idle_with_bytes] {
        eventually("the session expires", async || {
            (repo.client.get(&gone).await.status == 404).then_some(())
        })
        .await;
        repo.client.patch(&gone, "x").await.missing("BLOB_UPLOAD_UNKNOWN");
    }
    let left = std::fs::read_dir(app.data().join("uploads")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "their bytes are gone too");
}

/// E-8.1, T36: a cancel does not wait for a client that has gone silent in the middle of its piece.
#[tokio::test]
async fn e_8_1_cancelling_ends_a_patch_that_waits() {
    let app = Gantry::shared().await;
    let repo = app.client().repo();
    let location = repo.start_upload().await;
    let (sender, body) = pieces();
    let patch = tokio::spawn(repo.client.patch(&location, "").stream(body).try_send());
    sender.send(Ok(bytes::Bytes::from(vec![7; 100_000]))).await.expect("the request goes on");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    repo.client.delete(&location).await.status(204);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    patch.await.expect("a patch").expect("an answer").missing("BLOB_UPLOAD_UNKNOWN");
    drop(sender);
    repo.client.get(&location).await.missing("BLOB_UPLOAD_UNKNOWN");
}

/// SIGTERM: requests under way finish, idle connections close, nothing new is accepted.
#[tokio::test]
async fn sigterm_lets_requests_under_way_finish() {
    let mut app = Gantry::start().await;
    let repo = app.client().repo();
    let location = repo.start_upload().await;
    let mut idle = Raw::connect(app.address()).await;
    idle.send(PING).await;
    idle.answer(true).await.expect("an answer");
    let (sender, body) = pieces();
    let blob = Blob::new(100_000);
    let put = tokio::spawn(
        repo.client.put(&format!("{location}?digest={}", blob.digest), "").stream(body).try_send(),
    );
    sender.send(Ok(blob.bytes.slice(..50_000))).await.expect("the request goes on");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let address = app.address();
    let rest = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let refused = tokio::net::TcpStream::connect(address).await.is_err();
        sender.send(Ok(blob.bytes.slice(50_000..))).await.expect("the request goes on");
        refused
    });
    let (status, log) = app.sigterm().await;
    put.await.expect("a put").expect("an answer").status(201);
    assert!(rest.await.expect("sent"), "no new connections");
    assert!(idle.is_closed().await);
    assert!(status.success() && log.contains("stopped"), "{status}\n{log}");
}

/// The grace period ends connections that do not.
#[tokio::test]
async fn the_grace_period_has_an_end() {
    let mut app = Gantry::options().set("server.shutdown_grace", "300ms").start().await;
    let repo = app.client().repo();
    let location = repo.start_upload().await;
    let (sender, body) = pieces();
    let patch = tokio::spawn(repo.client.patch(&location, "").stream(body).try_send());
    sender.send(Ok(bytes::Bytes::from_static(b"x"))).await.expect("the request goes on");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (status, _) = app.sigterm().await;
    assert!(status.success());
    drop(sender);
    assert!(patch.await.expect("a patch").is_err());
}

/// In HTTP/2 a client that does not read keeps its socket open for pings; it is cut all the same.
#[tokio::test]
async fn a_stalled_http_2_stream_is_cut() {
    let app = Gantry::options()
        .set("limits.header_timeout", "500ms")
        .set("limits.body_timeout", "700ms")
        .set("limits.idle_timeout", "1s")
        .start()
        .await;
    let repo = app.client().repo();
    let blob = Blob::new(1 << 20);
    repo.push_blob(&blob).await;
    let path = repo.blob(&blob.digest);
    let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).expect("short")];
    block.extend(path.as_bytes());
    block.extend(b"\x01\x01x");
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend([0, 0, u8::try_from(block.len()).expect("short"), 1, 5, 0, 0, 0, 1]);
    bytes.extend(block);
    let mut connection = Raw::connect(app.address()).await;
    connection.send(bytes).await;
    // The window of 64 KiB is taken and never opened again.
    let started = Instant::now();
    connection.drain().await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

/// RFC 9112: one Host, and no transfer coding that would be stored instead of undone.
#[tokio::test]
async fn requests_that_are_framed_oddly_are_refused() {
    let address = Gantry::shared().await.address();
    for head in ["GET /v2/ HTTP/1.1\r\n\r\n", "GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"] {
        let answer = exchange(address, head).await.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (400, "UNSUPPORTED"), "{head}");
    }
    let coded =
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(exchange(address, coded).await.expect("an answer").status, 501);
}
