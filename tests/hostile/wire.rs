//! Request smuggling: messages that two readers would cut in different places.

use crate::harness::Gantry;
use crate::harness::raw::{Raw, RawAnswer};

/// A second request that must never be seen as one.
const HIDDEN: &str = "GET /v2/smuggled/tags/list HTTP/1.1\r\nHost: x\r\n\r\n";

/// All that comes back until the server closes the connection.
async fn answers(gantry: &Gantry, bytes: impl AsRef<[u8]>) -> Vec<RawAnswer> {
    let mut connection = Raw::connect(gantry.address()).await;
    connection.send(bytes).await;
    let mut found = Vec::new();
    while let Some(answer) = connection.answer(true).await {
        found.push(answer);
    }
    found
}

/// Lengths given twice, codings that are none, heads that are none: 400 or 501, and nothing behind them is a request.
#[tokio::test]
async fn a_request_with_two_ends_is_refused_and_the_connection_closed() {
    let gantry = Gantry::start().await;
    let post = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n";
    let hidden_length = HIDDEN.len();
    for attack in [
        // Content-Length and Transfer-Encoding, in both orders and spellings.
        format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}transfer-encoding: CHUNKED\r\ncontent-length: 0\r\n\r\n0\r\n\r\n{HIDDEN}"),
        // Two lengths.
        format!("{post}Content-Length: 0\r\nContent-Length: {hidden_length}\r\n\r\n{HIDDEN}"),
        format!("{post}Content-Length: {hidden_length}\r\nContent-Length: 0\r\n\r\n{HIDDEN}"),
        format!("{post}Content-Length: 0, {hidden_length}\r\n\r\n{HIDDEN}"),
        // Lengths that are none.
        format!("{post}Content-Length: +5\r\n\r\nhello{HIDDEN}"),
        format!("{post}Content-Length: 0x5\r\n\r\nhello{HIDDEN}"),
        format!("{post}Content-Length: 5 5\r\n\r\nhello{HIDDEN}"),
        format!("{post}Content-Length: 18446744073709551621\r\n\r\nhello{HIDDEN}"),
        format!("{post}Content-Length:\r\n\r\n{HIDDEN}"),
        format!("{post}Content-Length : 5\r\n\r\nhello{HIDDEN}"),
        format!("{post}Content\u{2d}Length\t: 5\r\n\r\nhello{HIDDEN}"),
        // Codings that are not `chunked`, or not only.
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post} Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!(
            "POST /v2/a/blobs/uploads/ HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
        ),
        // A header that goes on in the next line, and other things that are no head.
        format!("{post}X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello{HIDDEN}"),
        format!("{post}X: a\0b\r\n\r\n{HIDDEN}"),
        format!("{post}X: a\rb\r\n\r\n{HIDDEN}"),
        format!("{post}\0X: a\r\n\r\n{HIDDEN}"),
        format!("{post}: empty\r\n\r\n{HIDDEN}"),
        format!("POST /v2/a/blobs/uploads/\0 HTTP/1.1\r\nHost: x\r\n\r\n{HIDDEN}"),
        format!("POST  /v2/a/blobs/uploads/  HTTP/1.1\r\nHost: x\r\n\r\n{HIDDEN}"),
        format!("POST /v2/a/blobs/uploads/ HTTP/1.1 \r\nHost: x\r\n\r\n{HIDDEN}"),
        format!("POST /v2/a/blobs/uploads/ HTTP/2.0\r\nHost: x\r\n\r\n{HIDDEN}"),
    ] {
        let found = answers(&gantry, &attack).await;
        let shown = attack.escape_debug();
        assert!(found.len() <= 1, "{shown}: {found:?}");
        for answer in found {
            assert!([400, 501].contains(&answer.status), "{shown}: {answer:?}");
        }
        assert!(!gantry.log().contains("smuggled"), "{shown}");
    }
    super::goes_on(&gantry).await;
}

/// Chunks whose sizes are none, or that do not end where they say: whatever was answered to the head, nothing behind them is
/// a request.
#[tokio::test]
async fn a_broken_chunk_ends_the_connection() {
    let gantry = Gantry::start().await;
    let location = gantry.repo().start_upload().await;
    for start in ["POST /v2/a/blobs/uploads/", &format!("PATCH {location}"), "PUT /v2/a/manifests/v1"] {
        let post = format!("{start} HTTP/1.1\r\nHost: x\r\n");
        for attack in [
            format!("{post}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{HIDDEN}"),
            format!("{post}Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{HIDDEN}"),
            format!("{post}Transfer-Encoding: chunked\r\n\r\n g\r\n\r\n{HIDDEN}"),
            format!("{post}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{HIDDEN}"),
            format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n{HIDDEN}"),
            format!("{post}Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n{HIDDEN}"),
        ] {
            let found = answers(&gantry, &attack).await;
            assert!(found.len() <= 1, "{}: {found:?}", attack.escape_debug());
            assert!(!gantry.log().contains("smuggled"), "{}", attack.escape_debug());
        }
    }
    super::goes_on(&gantry).await;
}

/// What is odd but has one end only is read so by everybody, and what follows is the next request.
#[tokio::test]
async fn odd_messages_with_one_end_are_read_to_that_end() {
    let gantry = Gantry::shared().await;
    let next = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n";
    let last = "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (request, expected) in [
        (
            format!("{post}Transfer-Encoding: chunked\r\n\r\n0;ext=\"a;b\"\r\n\r\n{next}"),
            &[202, 200, 200][..],
        ),
        (
            format!(
                "{post}Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\nContent-Length: 9\r\n\r\n{next}"
            ),
            &[202, 200, 200],
        ),
        (format!("{post}Content-Length: 0\r\nContent-Length: 0\r\n\r\n{next}"), &[202, 200, 200]),
        (format!("GET http://elsewhere/v2/a/tags/list HTTP/1.1\r\nHost: x\r\n\r\n{next}"), &[404, 200, 200]),
        (format!("GET /v2/ HTTP/1.1\nHost: x\n\n{next}"), &[200, 200, 200]),
        (format!("{next}{next}{next}"), &[200, 200, 200, 200]),
        // A GET with a body has one as long as it says.
        (
            format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{next}{next}", next.len()),
            &[200, 200, 200],
        ),
    ] {
        let statuses: Vec<_> =
            answers(gantry, format!("{request}{last}")).await.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, expected, "{}", request.escape_debug());
    }
}

/// Trailers, chunk extensions and chunks of one byte without end cost no memory and end.
#[tokio::test]
async fn chunk_extensions_and_trailers_have_an_end() {
    let gantry = Gantry::start().await;
    let post = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for start in [format!("{post}0;"), format!("{post}0\r\nX: ")] {
        let mut connection = Raw::connect(gantry.address()).await;
        connection.send(start).await;
        let mut sent = 0;
        while sent < 16 << 20 && connection.send(vec![b'a'; 64 << 10]).await {
            sent += 64 << 10;
        }
        drop(connection);
    }
    let peak = crate::ops::process_kib(gantry.pid(), "VmHWM");
    assert!(peak < 48 << 10, "{peak} KiB");
    super::goes_on(&gantry).await;
}
