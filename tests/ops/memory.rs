//! Memory stays small: a layer of 4 GiB, a thousand idle connections, a client that does not read.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::process_kib;
use crate::harness::{Gantry, pieces, skipped};

const MIB: u64 = 1024;
const LAYER: u64 = 4 << 30;

fn free_disk(path: &std::path::Path) -> u64 {
    let stat = rustix::fs::statvfs(path).expect("the file system");
    stat.f_bavail * stat.f_frsize
}

/// A 4 GiB layer goes up and down in less than 64 MiB of resident memory.
#[tokio::test]
async fn a_layer_of_4_gib_goes_up_and_down_in_64_mib() {
    let app = Gantry::options().set("log.access", "false").start().await;
    if free_disk(app.dir()) < 2 * LAYER {
        skipped("a_layer_of_4_gib_goes_up_and_down_in_64_mib", "less than 8 GiB of free disk");
        return;
    }
    let piece = Bytes::from(
        (0..1 << 20).map(|at: u32| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect::<Vec<u8>>(),
    );
    let count = LAYER / piece.len() as u64;
    let hash = {
        let piece = piece.clone();
        tokio::task::spawn_blocking(move || {
            let mut hash = Sha256::new();
            (0..count).for_each(|_| hash.update(&piece));
            format!("sha256:{}", hex::encode(hash.finalize()))
        })
    };
    let repo = app.client().repo();
    let location = repo.start_upload().await;
    let (sender, body) = pieces();
    let patch = tokio::spawn({
        let call = repo.client.patch(&location, "").stream(body);
        async move { call.try_send().await.expect("an answer") }
    });
    for _ in 0..count {
        sender.send(Ok(piece.clone())).await.expect("the request goes on");
    }
    drop(sender);
    patch.await.expect("a patch").status(202);
    let digest = hash.await.expect("a hash");
    repo.client.put(&format!("{location}?digest={digest}"), "").await.status(201);
    let up = process_kib(app.pid(), "VmHWM");

    let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", repo.blob(&digest));
    stream.write_all(request.as_bytes()).await.expect("sent");
    // Slow at first: what is not read must not pile up on the other side.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let mut buffer = vec![0; 1 << 20];
    let mut read = 0;
    loop {
        match stream.read(&mut buffer).await.expect("bytes") {
            0 => break,
            length => read += length as u64,
        }
    }
    assert!(read > LAYER, "{read} bytes came");
    let peak = process_kib(app.pid(), "VmHWM");
    println!("resident memory at most: {} MiB up, {} MiB up and down", up / MIB, peak / MIB);
    assert!(peak < 64 * MIB, "{peak} KiB");
}

/// 1,000 open idle connections cost less than 32 MiB.
#[tokio::test]
async fn a_thousand_idle_connections_cost_less_than_32_mib() {
    let app = Gantry::options().set("log.access", "false").start().await;
    app.client().get("/v2/").await.status(200);
    let before = process_kib(app.pid(), "VmRSS");
    let mut open = Vec::new();
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
        stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        let mut buffer = [0; 1024];
        assert!(stream.read(&mut buffer).await.expect("an answer") > 0);
        open.push(stream);
    }
    let cost = process_kib(app.pid(), "VmRSS").saturating_sub(before);
    println!("a thousand idle connections: {} MiB", cost / MIB);
    assert!(cost < 32 * MIB, "{cost} KiB");
    app.client().get("/v2/").await.status(200);
}

/// A body that comes byte by byte costs what it weighs, and not what its pieces cost one by one.
#[tokio::test]
async fn crumbs_of_an_upload_cost_what_they_weigh() {
    let app = Gantry::options().set("log.access", "false").start().await;
    let repo = app.client().repo();
    let before = process_kib(app.pid(), "VmRSS");
    let mut open = Vec::new();
    for _ in 0..10 {
        let location = repo.start_upload().await;
        let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
        let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(&b"1\r\nx\r\n".repeat(240_000)).await.expect("sent");
        open.push((location, stream));
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let cost = process_kib(app.pid(), "VmRSS").saturating_sub(before);
    assert!(cost < 32 * MIB, "{cost} KiB for ten uploads of 240,000 crumbs");
    for (location, mut stream) in open {
        stream.write_all(b"0\r\n\r\n").await.expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 202");
        assert_eq!(repo.progress(&location).await, "0-239999");
    }
}
