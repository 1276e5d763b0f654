//! Clients that hold what they do not use: heads and bodies drop by drop, answers that nobody reads.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, WINDOW_UPDATE, frame, request};

use crate::harness::raw::Raw;
use crate::harness::repo::with;
use crate::harness::{Blob, Gantry, Options, Repo};
use crate::ops::process_kib;

const SOCKETS: usize = 200;
const PER_SOCKET_KIB: u64 = 64;

fn patient() -> Options {
    Gantry::options().set("log.access", "false").set("limits.inline_blob", "\"16KiB\"")
}

/// The median of what others wait for an answer.
async fn others_wait(gantry: &Gantry) -> Duration {
    let client = gantry.client();
    let mut times = Vec::new();
    for _ in 0..31 {
        let started = Instant::now();
        client.get("/v2/").await.status(200);
        times.push(started.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

/// What is held while attackers hold their sockets: less than 64 KiB each, and others do not wait.
async fn held(gantry: &Gantry, what: &str, before: u64) {
    let mut wait = others_wait(gantry).await;
    for _ in 0..3 {
        if wait < Duration::from_millis(100) {
            break;
        }
        wait = others_wait(gantry).await;
    }
    assert!(wait < Duration::from_millis(100), "{what}: others wait for {wait:?}");
    let grown = process_kib(gantry.pid(), "VmRSS").saturating_sub(before);
    println!("{what}: {} KiB for each socket, others wait for {wait:?}", grown / SOCKETS as u64);
    assert!(grown < PER_SOCKET_KIB * SOCKETS as u64, "{what}: {grown} KiB for {SOCKETS} sockets");
}

/// Slow heads, slow bodies and answers that are not read, on fresh connections and on kept ones.
#[tokio::test]
async fn slow_sockets_cost_less_than_64_kib_each_and_nobody_waits_for_them() {
    let posted = Blob::new(300_000);
    for what in SLOW {
        let gantry = patient().start().await;
        let repo = gantry.repo();
        let large = Blob::new(16 << 20);
        repo.push_blob(&large).await;
        repo.has_blob(&large).await;
        let mut open = Vec::new();
        let before = process_kib(gantry.pid(), "VmRSS");
        for _ in 0..SOCKETS {
            let mut connection = Raw::connect(gantry.address()).await;
            begin(&mut connection, what, &repo, &large, &posted).await;
            open.push(connection);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        held(&gantry, what, before).await;
    }
}

const SLOW: [&str; 7] = [
    "half a head",
    "half a large head",
    "half a small body",
    "half a large body",
    "half a body in chunks",
    "an answer that is not read",
    "idle after a body",
];

/// Begins what is not brought to its end.
async fn begin(connection: &mut Raw, what: &str, repo: &Repo, large: &Blob, posted: &Blob) {
    let head = "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    let patch = async || format!("PATCH {} HTTP/1.1\r\nHost: x\r\n", repo.start_upload().await);
    let bytes = match what {
        "half a head" => head.to_owned(),
        "half a large head" => format!("{head}{}", "a".repeat(20_000)),
        "half a small body" => format!("{}Content-Length: 1000000\r\n\r\n0123456789", patch().await),
        "half a large body" => {
            format!("{}Content-Length: 1000000\r\n\r\n{}", patch().await, "b".repeat(100_000))
        }
        "half a body in chunks" => {
            format!("{}Transfer-Encoding: chunked\r\n\r\n{}", patch().await, "1\r\nc\r\n".repeat(3000))
        }
        "an answer that is not read" => {
            format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", repo.blob(&large.digest))
        }
        _ => {
            let target = with(&repo.uploads(), "digest", &posted.digest);
            connection
                .send(format!(
                    "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                    posted.len()
                ))
                .await;
            connection.send(&posted.bytes).await;
            assert_eq!(connection.answer(true).await.expect("an answer").status, 201);
            return;
        }
    };
    connection.send(bytes).await;
}

/// All of them are cut when their time is up, and their memory comes back.
#[tokio::test]
async fn slow_sockets_are_cut() {
    let gantry = patient()
        .set("limits.header_timeout", "500ms")
        .set("limits.body_timeout", "500ms")
        .set("limits.idle_timeout", "1s")
        .start()
        .await;
    let repo = gantry.repo();
    let large = Blob::new(8 << 20);
    repo.push_blob(&large).await;
    let mut open = Vec::new();
    for number in 0..SOCKETS {
        let mut connection = Raw::connect(gantry.address()).await;
        match number % 4 {
            0 => drop(connection.send("GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ").await),
            1 => drop(
                connection
                    .send(format!(
                        "PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx",
                        repo.manifest("v1")
                    ))
                    .await,
            ),
            2 => drop(
                connection
                    .send(format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", repo.blob(&large.digest)))
                    .await,
            ),
            _ => drop(connection.send("PRI * HTTP/2.0\r\n\r\nSM\r\n").await),
        }
        open.push(connection);
    }
    crate::ops::eventually("all are cut", async || {
        let metrics = gantry.operator().get("/metrics").await;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        let count =
            text.lines().find(|line| line.starts_with("gantry_http_connections ")).expect("the gauge");
        (count == "gantry_http_connections 0").then_some(())
    })
    .await;
    super::goes_on(&gantry).await;
}

/// The largest windows that there are: nothing but the socket holds the server back.
async fn wide_open(gantry: &Gantry) -> Frames {
    let mut connection = Frames::connect(gantry.address(), &[(4, 0x7fff_ffff)]).await;
    connection.send(&frame(WINDOW_UPDATE, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes())).await;
    connection
}

/// An HTTP/2 client with 32 streams that reads nothing, or reads for a while and then nothing more, holds less than 64 KiB for
/// each stream.
#[tokio::test]
async fn an_http_2_client_that_does_not_read_holds_little() {
    const CONNECTIONS: u64 = 10;
    const STREAMS: u64 = 32;
    let gantry = patient().start().await;
    let repo = gantry.repo();
    let large = Blob::new(24 << 20);
    repo.push_blob(&large).await;
    let block = request("GET", &repo.blob(&large.digest));
    for read in [0, 40 << 20] {
        gantry.client().get("/v2/").await.status(200);
        let before = process_kib(gantry.pid(), "VmRSS");
        let mut open = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut connection = wide_open(&gantry).await;
            let mut got = 0;
            for stream in 0..STREAMS {
                let number = u32::try_from(2 * stream + 1).expect("small");
                connection.send(&frame(HEADERS, END_HEADERS | END_STREAM, number, &block)).await;
                // One stream is read fast before the others begin, so that it is given large pieces.
                while stream < 2 && got < (stream + 1) * read / 4 {
                    got += connection.next().await.expect("a frame").payload.len() as u64;
                }
            }
            while got < read {
                got += connection.next().await.expect("a frame").payload.len() as u64;
            }
            open.push(connection);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let grown = process_kib(gantry.pid(), "VmRSS").saturating_sub(before) / CONNECTIONS;
        println!("an HTTP/2 client that reads {read} bytes and stops: {grown} KiB");
        assert!(grown < PER_SOCKET_KIB * STREAMS, "{grown} KiB for each connection of {STREAMS} streams");
        others_wait(&gantry).await;
    }
}

/// What keeps an HTTP/2 connection moving is that answers are read, and not that pings are answered.
#[tokio::test]
async fn pings_do_not_keep_an_unread_answer_alive() {
    let gantry = patient()
        .set("limits.header_timeout", "500ms")
        .set("limits.body_timeout", "700ms")
        .set("limits.idle_timeout", "1s")
        .start()
        .await;
    let repo = gantry.repo();
    let large = Blob::new(1 << 20);
    repo.push_blob(&large).await;
    // A window that is taken and never opened again; and one that does not even hold a small answer.
    for (window, path) in [(65_535, repo.blob(&large.digest)), (0, "/v2/nothing/tags/list".to_owned())] {
        let mut connection = Frames::connect(gantry.address(), &[(4, window)]).await;
        connection.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("GET", &path))).await;
        let started = Instant::now();
        let (mut read, mut write) = connection.split();
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while read.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
        });
        // More bytes of answers to pings than any allowance for them.
        let pings = frame(PING, 0, 0, b"still me").repeat(40);
        while !reader.is_finished() && started.elapsed() < Duration::from_secs(15) {
            let _ = write.write_all(&pings).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(reader.is_finished(), "{path}: the connection was not cut");
    }
}

/// A slow reader is not a client that does not read: a little each time is enough.
#[tokio::test]
async fn a_slow_reader_over_http_2_gets_everything() {
    let gantry = patient().set("limits.body_timeout", "1s").set("limits.idle_timeout", "1s").start().await;
    let repo = gantry.repo();
    let blob = Blob::new(300_000);
    repo.push_blob(&blob).await;
    let mut connection = Frames::connect(gantry.address(), &[(4, 16 << 10)]).await;
    connection
        .send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("GET", &repo.blob(&blob.digest))))
        .await;
    let mut got = Vec::new();
    while got.len() < blob.len() {
        let next = connection.next().await.expect("the connection goes on");
        if next.kind == DATA {
            got.extend_from_slice(&next.payload);
            tokio::time::sleep(Duration::from_millis(150)).await;
            let more = u32::try_from(next.payload.len()).expect("a frame").to_be_bytes();
            connection
                .send(&[frame(WINDOW_UPDATE, 0, 0, &more), frame(WINDOW_UPDATE, 0, 1, &more)].concat())
                .await;
        }
    }
    assert_eq!(got, blob.bytes);
}

/// Half-open HTTP/2 connections end, however lively their pings: a preface alone, half a head, half a body, and silence after an
/// answer.
#[tokio::test]
async fn half_open_http_2_connections_are_cut() {
    let gantry = patient()
        .set("limits.header_timeout", "500ms")
        .set("limits.body_timeout", "700ms")
        .set("limits.idle_timeout", "1s")
        .start()
        .await;
    let post = request("POST", &format!("/v2/a/blobs/uploads/?digest={}", Blob::new(10).digest));
    let get = request("GET", "/v2/");
    for (what, begin) in [
        ("a preface", Vec::new()),
        ("half a head", frame(HEADERS, END_STREAM, 1, &get)),
        ("half a body", [frame(HEADERS, END_HEADERS, 1, &post), frame(DATA, 0, 1, b"x")].concat()),
        ("a rest", frame(HEADERS, END_HEADERS | END_STREAM, 1, &get)),
    ] {
        let mut connection = Frames::connect(gantry.address(), &[]).await;
        connection.send(&begin).await;
        let (mut read, mut write) = connection.split();
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while read.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
        });
        let started = Instant::now();
        while !reader.is_finished() && started.elapsed() < Duration::from_secs(15) {
            // Within a head nothing else may come.
            if what != "half a head" {
                let _ = write.write_all(&frame(PING, 0, 0, b"still me")).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(reader.is_finished(), "{what}: the connection was not cut");
    }
    super::goes_on(&gantry).await;
}

/// Half a TLS handshake has the time that a head has.
#[tokio::test]
async fn half_a_tls_handshake_is_cut() {
    let authority = crate::harness::tls::Authority::new();
    let gantry = Gantry::options().tls(&authority).set("limits.header_timeout", "3s").start().await;
    let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    hello.extend([7; 100]);
    for length in [5, hello.len()] {
        let mut connection = Raw::connect(gantry.address()).await;
        connection.send(&hello[..length]).await;
        let started = Instant::now();
        connection.drain().await;
        assert!(started.elapsed() < Duration::from_secs(20), "{length} bytes of a hello");
    }
    gantry.client().get("/v2/").await.status(200);
}
