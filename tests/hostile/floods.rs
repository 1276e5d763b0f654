//! Floods over HTTP/2: many cheap frames that would cost the server much.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, header, request,
};
use super::{cpu_time, goes_on};
use crate::harness::{Gantry, Options};
use crate::ops::{eventually, process_kib};

fn quiet() -> Options {
    Gantry::options().set("log.access", "false")
}

/// Sends frames until the server closes the connection or all are sent; what was taken. Answers are read and thrown away.
async fn flood(gantry: &Gantry, frames: impl Iterator<Item = Vec<u8>>) -> usize {
    let (mut read, mut write) = Frames::connect(gantry.address(), &[]).await.split();
    let reader = tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while read.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    });
    let (mut taken, mut batch) = (0, Vec::new());
    let mut pending = 0;
    for frame in frames {
        batch.extend(frame);
        pending += 1;
        if batch.len() >= 16 << 10 {
            let sent = tokio::time::timeout(Duration::from_secs(20), write.write_all(&batch)).await;
            if !matches!(sent, Ok(Ok(()))) {
                break;
            }
            taken += pending;
            (pending, batch) = (0, Vec::new());
        }
    }
    let _ = write.shutdown().await;
    let _ = tokio::time::timeout(Duration::from_secs(20), reader).await;
    taken
}

/// The server rests: no more than a tenth of a processor.
async fn rests(gantry: &Gantry) {
    eventually("the processor is free again", async || {
        let before = cpu_time(gantry.pid());
        tokio::time::sleep(Duration::from_millis(500)).await;
        (cpu_time(gantry.pid()) - before <= Duration::from_millis(50)).then_some(())
    })
    .await;
}

/// Stream numbers of a client.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| number * 2 + 1)
}

/// CVE-2023-44487: a hundred thousand streams, each reset at once: the connection is closed long before.
#[tokio::test]
async fn rapid_resets_close_the_connection() {
    let gantry = quiet().start().await;
    let repo = gantry.repo();
    let blob = crate::harness::Blob::new(1 << 20);
    repo.push_blob(&blob).await;
    for path in ["/v2/".to_owned(), repo.blob(&blob.digest)] {
        let block = request("GET", &path);
        let taken = flood(
            &gantry,
            streams(100_000).map(|stream| {
                let mut bytes = frame(HEADERS, END_STREAM | END_HEADERS, stream, &block);
                bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
                bytes
            }),
        )
        .await;
        println!("rapid reset of {path}: the connection was closed after {taken} streams at most");
        assert!(taken < 90_000, "{taken} resets were taken");
        rests(&gantry).await;
    }
    let peak = process_kib(gantry.pid(), "VmHWM");
    assert!(peak < 64 << 10, "{peak} KiB");
    goes_on(&gantry).await;
}

/// CVE-2025-8671 (MadeYouReset): streams that the server itself must reset, for windows that overflow.
#[tokio::test]
async fn resets_that_the_server_is_made_to_send_close_the_connection() {
    let gantry = quiet().start().await;
    let block = request("GET", "/v2/");
    let taken = flood(
        &gantry,
        streams(100_000).map(|stream| {
            let mut bytes = frame(HEADERS, END_HEADERS, stream, &block);
            bytes.extend(frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes()));
            bytes
        }),
    )
    .await;
    assert!(taken < 90_000, "{taken} streams were taken");
    rests(&gantry).await;
    goes_on(&gantry).await;
}

/// CVE-2023-45288: a head that goes on and on in CONTINUATION frames.
#[tokio::test]
async fn endless_continuations_close_the_connection() {
    let gantry = quiet().start().await;
    let mut piece = Vec::new();
    header(&mut piece, "x-long", &"a".repeat(8 << 10));
    for piece in [piece, Vec::new()] {
        let first = frame(HEADERS, END_STREAM, 1, &request("GET", "/v2/"));
        let more = std::iter::repeat_with(|| frame(CONTINUATION, 0, 1, &piece)).take(200_000);
        let taken = flood(&gantry, std::iter::once(first).chain(more)).await;
        assert!(taken < 100_000, "{taken} frames of {} bytes were taken", piece.len());
        rests(&gantry).await;
    }
    let peak = process_kib(gantry.pid(), "VmHWM");
    assert!(peak < 64 << 10, "{peak} KiB");
    goes_on(&gantry).await;
}

/// A small head that grows when it is taken apart: one long header in the table, referred to thousands of times.
#[tokio::test]
async fn a_head_that_unfolds_is_refused() {
    let gantry = quiet().start().await;
    let mut block = request("GET", "/v2/");
    // With indexing: entry 62 from now on.
    block.extend([0x40, 1, b'x', 127, 0x81, 0x1e]);
    block.extend([b'a'; 4000]);
    block.extend(vec![0x80 | 62; 12_000]);
    let mut connection = Frames::connect(gantry.address(), &[]).await;
    connection.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block)).await;
    let mut status = None;
    while let Some(frame) = connection.next().await {
        if frame.stream == 1 {
            status = frame.payload.first().copied();
            break;
        }
    }
    // 200 would be the first entry of the static table, 0x88.
    assert_ne!(status, Some(0x88), "48 MB of headers were taken");
    let peak = process_kib(gantry.pid(), "VmHWM");
    assert!(peak < 64 << 10, "{peak} KiB");
    goes_on(&gantry).await;
}

/// CVE-2019-9512, -9515, -9513, -9518, -9511: pings, settings, priorities, empty frames and tiny windows without end, from a
/// client that does not read what it gets.
#[tokio::test]
async fn floods_of_control_frames_cost_no_memory() {
    let gantry = quiet().set("limits.body_timeout", "1s").start().await;
    let block = request("POST", "/v2/a/blobs/uploads/");
    let begin = frame(HEADERS, END_HEADERS, 1, &block);
    for (what, one) in [
        ("ping", frame(PING, 0, 0, &[7; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
        ("priority", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7])),
        ("empty data", frame(DATA, 0, 1, &[])),
        ("window", frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())),
    ] {
        let mut connection = Frames::connect(gantry.address(), &[]).await;
        connection.send(&begin).await;
        let batch = one.repeat(1000);
        for _ in 0..500 {
            let sent = tokio::time::timeout(Duration::from_secs(3), connection.send(&batch)).await;
            if !sent.unwrap_or(false) {
                break;
            }
        }
        let resident = process_kib(gantry.pid(), "VmRSS");
        assert!(resident < 64 << 10, "{what}: {resident} KiB");
        drop(connection);
        rests(&gantry).await;
    }
    goes_on(&gantry).await;
}

/// Frames that break the rules end the connection, and nothing else.
#[tokio::test]
async fn broken_frames_end_their_connection_only() {
    let gantry = quiet().start().await;
    let get = request("GET", "/v2/");
    let mut upper = get.clone();
    header(&mut upper, "UPPER", "x");
    let mut twice = get.clone();
    header(&mut twice, ":path", "/v2/_catalog");
    let mut smuggled = request("POST", "/v2/a/blobs/uploads/");
    header(&mut smuggled, "content-length", "3");
    for (what, bytes) in [
        ("data on an idle stream", frame(DATA, 0, 1, b"x")),
        ("headers on stream 0", frame(HEADERS, END_STREAM | END_HEADERS, 0, &get)),
        ("an even stream", frame(HEADERS, END_STREAM | END_HEADERS, 2, &get)),
        ("a lone continuation", frame(CONTINUATION, END_HEADERS, 1, &get)),
        ("a ping of 7 bytes", frame(PING, 0, 0, &[0; 7])),
        ("settings of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("an absurd window", frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])),
        ("windows that overflow", frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())),
        ("a frame longer than allowed", frame(DATA, 0, 1, &vec![0; 1 << 20])),
        ("a header block that is none", frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 64])),
        ("padding longer than the frame", frame(DATA, 8, 1, &[200, 0, 0])),
    ] {
        let mut connection = Frames::connect(gantry.address(), &[]).await;
        connection.send(&bytes).await;
        assert!(connection.is_ended().await, "{what}");
    }
    for (what, block, body) in [
        ("a name in upper case", upper, &b""[..]),
        ("two paths", twice, b""),
        ("more than Content-Length says", smuggled, b"hello"),
    ] {
        let mut connection = Frames::connect(gantry.address(), &[]).await;
        let flags = END_HEADERS | if body.is_empty() { END_STREAM } else { 0 };
        let mut bytes = frame(HEADERS, flags, 1, &block);
        if !body.is_empty() {
            bytes.extend(frame(DATA, END_STREAM, 1, body));
        }
        connection.send(&bytes).await;
        while let Some(frame) = connection.next().await {
            if frame.stream == 1 {
                assert!(
                    frame.kind == RST_STREAM || frame.payload.first() != Some(&0x88),
                    "{what}: {frame:?}"
                );
                break;
            }
        }
    }
    goes_on(&gantry).await;
}
