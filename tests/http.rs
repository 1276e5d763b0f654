//! HTTP itself: both versions, TLS, what is too large, what is refused early, and what keeps a connection alive (2.3).

use std::time::Duration;

use http::Version;

use crate::harness::raw::{Raw, exchange};
use crate::harness::repo::with;
use crate::harness::tls::Authority;
use crate::harness::{Alg, Blob, Gantry, bytes, image, pieces, repo, types};

/// T48: HTTP/2 with prior knowledge.
#[tokio::test]
async fn t48_http_2_with_prior_knowledge() {
    let gantry = Gantry::shared().await;
    let repo = gantry.client().http2(None).repo();
    let image = image().layers(types::OCI_LAYER, &[Blob::new(3_000_000), Blob::new(0)]).build();
    repo.push("v1", &image).await;
    repo.has_manifest("v1", &image.manifest).await;
    for blob in &image.blobs {
        repo.has_blob(blob).await;
        let head = repo.client.head(&repo.blob(&blob.digest)).await.status(200);
        assert_eq!(head.version, Version::HTTP_2);
    }
    // Chunks and a stream without a length.
    let blob = Blob::new(2_000_000);
    let location = repo.start_upload().await;
    let patch = repo.client.call("PATCH", &location).chunked(blob.bytes.slice(..1_000_000)).await;
    patch.status(202).header("range", "0-999999");
    let patch = repo.client.patch(&location, blob.bytes.slice(1_000_000..)).header("content-range", "1-2");
    patch.await.status(416).header("range", "0-999999");
    repo.client
        .put(&with(&location, "digest", &blob.digest), blob.bytes.slice(1_000_000..))
        .await
        .status(201);
    repo.has_blob(&blob).await;
    repo.client.get(&repo.manifest("missing")).await.missing("MANIFEST_UNKNOWN");
}

/// T48: many streams on one connection.
#[tokio::test]
async fn t48_many_streams_on_one_connection() {
    let repo = Gantry::shared().await.client().http2(None).repo();
    let blobs: Vec<_> = (0..40).map(|n| Blob::new(n * 20_000)).collect();
    futures_util::future::join_all(blobs.iter().map(|blob| repo.push_blob(blob))).await;
    futures_util::future::join_all(blobs.iter().map(|blob| repo.has_blob(blob))).await;
}

/// T48: a stream that the client resets is no trouble for the others.
#[tokio::test]
async fn t48_a_reset_stream_is_nobodys_trouble() {
    let gantry = Gantry::start().await;
    let repo = gantry.client().http2(None).repo();
    let blob = Blob::new(5_000_000);
    repo.push_blob(&blob).await;
    for _ in 0..20 {
        let get = repo.client.get(&repo.blob(&blob.digest)).into_future();
        let _ = tokio::time::timeout(Duration::from_millis(3), get).await;
    }
    let location = repo.start_upload().await;
    let (sender, body) = pieces();
    let patch = tokio::spawn(repo.client.call("PATCH", &location).stream(body).into_future());
    sender.send(Ok(bytes(1_000))).await.expect("a connection");
    patch.abort();
    repo.has_blob(&blob).await;
    assert!(!gantry.log().contains("ERROR"), "{}", gantry.log());
}

/// TLS, with HTTP/1.1 and with HTTP/2 as ALPN says.
#[tokio::test]
async fn t48_tls_with_both_versions() {
    let authority = Authority::new();
    let gantry = Gantry::options().tls(&authority).start().await;
    assert!(gantry.greeting().contains("https://"), "{}", gantry.greeting());
    let http1 = gantry.client();
    assert_eq!(http1.get("/v2/").await.status(200).version, Version::HTTP_11);
    let http2 = http1.http2(Some(&authority));
    assert_eq!(http2.get("/v2/").await.status(200).version, Version::HTTP_2);
    for client in [http1, http2] {
        let repo = client.repo();
        let image = image().build();
        repo.push("v1", &image).await;
        repo.has_manifest("v1", &image.manifest).await;
        // T43: a path, so scheme and host are the client's own.
        assert!(repo.start_upload().await.starts_with("/v2/"));
    }
    // Plain HTTP finds nobody who speaks it.
    let plain = exchange(gantry.address(), "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(plain.is_none_or(|answer| answer.status >= 400));
}

/// 2.3: header lines of 32 KB, in both versions; a name of that size in a path is merely wrong.
#[tokio::test]
async fn t47_a_header_line_of_32_kb() {
    let repo = repo().await;
    let blob = Blob::new(100);
    repo.push_blob(&blob).await;
    for client in [repo.client.clone(), repo.client.http2(None)] {
        let get = client.get(&repo.blob(&blob.digest)).header("x-long", &"a".repeat(32 << 10)).await;
        get.status(200).body(&blob.bytes);
    }
}

/// 2.3: URLs of 16 KB.
#[tokio::test]
async fn e_10_11_a_url_of_16_kb() {
    let repo = repo().await;
    let image = image().build();
    repo.push_parts(&image).await;
    for client in [repo.client.clone(), repo.client.http2(None)] {
        let tags: Vec<_> = (0..90).map(|n| format!("{n}-{}", "x".repeat(125))).collect();
        let mut target = repo.manifest(&format!("{}?tag={}", image.digest(), tags.join("&tag=")));
        target = format!("{target}&ignored={}", "y".repeat((16 << 10) - target.len()));
        assert!(target.len() >= 16 << 10);
        let put =
            client.put(&target, image.manifest.bytes.clone()).header("content-type", types::OCI_MANIFEST);
        assert_eq!(put.await.status(201).all("oci-tag"), tags);
    }
    assert_eq!(repo.tags().await.len(), 90);
}

/// 2.3: a head without end is cut off, and the server goes on.
#[tokio::test]
async fn x_3_4_an_endless_head_is_refused() {
    let gantry = Gantry::shared().await;
    for start in ["GET /v2/?", "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: "] {
        let mut connection = Raw::connect(gantry.address()).await;
        connection.send(start).await;
        let mut sent = 0;
        while sent < 4 << 20 && connection.send(vec![b'a'; 64 << 10]).await {
            sent += 64 << 10;
        }
        if let Some(answer) = connection.answer(false).await {
            assert!([400, 414, 431].contains(&answer.status), "{answer:?}");
        }
    }
    gantry.client().get("/v2/").await.status(200);
}

/// what is not HTTP gets 400 or a closed connection.
#[tokio::test]
async fn x_3_8_nonsense_on_the_wire() {
    let gantry = Gantry::shared().await;
    for nonsense in [
        &b"\r\n\r\n\r\n"[..],
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v2/ HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        &[0; 4096],
    ] {
        let mut connection = Raw::connect(gantry.address()).await;
        connection.send(nonsense).await;
        connection.end().await;
        if let Some(answer) = connection.answer(false).await {
            assert!(answer.status == 202 || (400..500).contains(&answer.status), "{answer:?}");
        }
    }
    gantry.client().get("/v2/").await.status(200);
}

/// Clients that try TLS first fall back to plain HTTP only when the answer to their hello is HTTP.
#[tokio::test]
async fn x_3_8_a_tls_hello_on_a_plain_port_is_answered_in_http() {
    let gantry = Gantry::shared().await;
    let mut hello = b"\x16\x03\x01\x00\x8b\x01\x00\x00\x87\x03\x03".to_vec();
    hello.extend_from_slice(&bytes(133));
    let answer = exchange(gantry.address(), hello).await.expect("an answer in HTTP");
    assert!(answer.head.starts_with("HTTP/1.") && answer.status == 400, "{answer:?}");
}

/// many requests on one connection, errors among them; HTTP/1.1 closes when it is asked to.
#[tokio::test]
async fn x_3_8_keep_alive() {
    let gantry = Gantry::shared().await;
    let mut connection = Raw::connect(gantry.address()).await;
    for (request, status) in [
        ("GET /v2/", 200),
        ("GET /v2/a/manifests/none", 404),
        ("HEAD /v2/a/manifests/none", 404),
        ("GET /v2/UPPER/tags/list", 400),
        ("GET /nothing", 404),
        ("DELETE /v2/", 405),
        ("HEAD /v2/", 200),
        ("GET /v2/", 200),
    ] {
        connection.send(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let answer = connection.answer(!request.starts_with("HEAD")).await.expect("an answer");
        assert_eq!(answer.status, status, "{request}: {answer:?}");
    }
    // Pipelined, and closed by the client's wish.
    connection
        .send("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    for _ in 0..2 {
        assert_eq!(connection.answer(true).await.expect("an answer").status, 200);
    }
    assert!(connection.is_closed().await);
}

/// X-7, T66: `Expect: 100-continue`: the go-ahead comes when the body is wanted.
#[tokio::test]
async fn t66_expect_100_continue() {
    let gantry = Gantry::shared().await;
    let repo = gantry.repo();
    let blob = Blob::new(50_000);
    let target = with(&repo.start_upload().await, "digest", &blob.digest);
    let mut connection = Raw::connect(gantry.address()).await;
    let head = |target: &str| {
        format!(
            "PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            blob.len()
        )
    };
    connection.send(head(&target)).await;
    assert_eq!(connection.answer(false).await.expect("the go-ahead").status, 100);
    connection.send(&blob.bytes).await;
    assert_eq!(connection.answer(true).await.expect("an answer").status, 201);
    repo.has_blob(&blob).await;
    // The session is gone: no body is asked for.
    let mut connection = Raw::connect(gantry.address()).await;
    connection.send(head(&target)).await;
    let answer = connection.answer(true).await.expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (404, "BLOB_UPLOAD_UNKNOWN"));
}

/// X-7, T66: without credentials the answer is 401, before any go-ahead.
#[tokio::test]
async fn t66_401_before_the_body() {
    let gantry = Gantry::options().account("alice", "a").start().await;
    let mut connection = Raw::connect(gantry.address()).await;
    connection
        .send("PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let answer = connection.answer(true).await.expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHORIZED"), "{answer:?}");
}

/// T66: whoever sends a large body that is refused still gets the answer, though it does not read while it sends.
#[tokio::test]
async fn t66_an_early_refusal_reaches_a_client_that_is_still_sending() {
    let gantry = Gantry::options().account("alice", "a").start().await;
    let alice = gantry.client().basic("alice", "a").repo();
    let auth = "Authorization: Basic YWxpY2U6YQ==\r\n";
    let session = "7b1f1e2c-66a5-4a4e-9d39-0c1e4b5a6d7e";
    let unknown = alice.path(&format!("blobs/uploads/{session}"));
    let digest = Alg::Sha256.of(b"x");
    for (method, target, auth, status) in [
        ("PATCH", unknown.clone(), "", 401),
        ("PATCH", unknown.clone(), auth, 404),
        ("PUT", with(&unknown, "digest", &digest), auth, 404),
        ("PUT", alice.manifest("v1"), auth, 413),
        ("POST", with(&alice.uploads(), "digest", "sha256:bad"), auth, 400),
    ] {
        for framing in ["Content-Length: 6000000\r\n", "Transfer-Encoding: chunked\r\n"] {
            let mut connection = Raw::connect(gantry.address()).await;
            connection.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{auth}{framing}\r\n")).await;
            let chunked = framing.starts_with('T');
            for _ in 0..60 {
                let piece = [b'a'; 100_000];
                // A client in Go sends on until it has sent all or is cut off.
                let sent = if chunked {
                    let mut chunk = b"186a0\r\n".to_vec();
                    chunk.extend_from_slice(&piece);
                    chunk.extend_from_slice(b"\r\n");
                    connection.send(chunk).await
                } else {
                    connection.send(piece).await
                };
                assert!(
                    sent,
                    "{method} {target} {framing}: the connection was cut while the client was sending"
                );
            }
            if chunked {
                connection.send("0\r\n\r\n").await;
            }
            let answer = connection.answer(true).await;
            let answer = answer.unwrap_or_else(|| panic!("{method} {target} {framing}: no answer"));
            assert_eq!(answer.status, status, "{method} {target} {framing}: {answer:?}");
            assert!(!answer.code().is_empty(), "{answer:?}");
        }
    }
}

/// T66: a limit on blobs is told before the body is read.
#[tokio::test]
async fn t66_413_for_a_blob_over_the_limit() {
    let gantry = Gantry::options().set("limits.upload", "\"100KiB\"").start().await;
    let repo = gantry.repo();
    let (fits, over) = (Blob::new(100 << 10), Blob::new((100 << 10) + 1));
    repo.push_blob(&fits).await;
    for chunked in [false, true] {
        let body = |call: crate::harness::Call| match chunked {
            true => call.chunked(over.bytes.clone()),
            false => call.body(over.bytes.clone()),
        };
        let post = repo.client.post(&with(&repo.uploads(), "digest", &over.digest));
        body(post).await.status(413).error("SIZE_INVALID");
        let put = repo.client.call("PUT", &with(&repo.start_upload().await, "digest", &over.digest));
        body(put).await.status(413).error("SIZE_INVALID");
        let location = repo.start_upload().await;
        body(repo.client.call("PATCH", &location)).await.status(413).error("SIZE_INVALID");
    }
    repo.lacks_blob(&over.digest).await;
}

/// E-4.7: a request body with a coding around it is refused, not stored.
#[tokio::test]
async fn x_3_6_a_coded_request_body_is_refused() {
    let repo = repo().await;
    let blob = Blob::new(100);
    let put = repo.client.put(&with(&repo.start_upload().await, "digest", &blob.digest), blob.bytes.clone());
    put.header("content-encoding", "gzip").await.status(415).error("UNSUPPORTED");
    repo.lacks_blob(&blob.digest).await;
}

/// The operator's address has metrics and health; the registry's has no metrics.
#[tokio::test]
async fn the_operator_address_is_another_one() {
    let gantry = Gantry::start().await;
    let operator = gantry.operator();
    operator.get("/healthz").await.status(200);
    operator.get("/readyz").await.status(200);
    let metrics = operator.get("/metrics").await.status(200);
    assert!(String::from_utf8_lossy(&metrics.body).contains("# TYPE"));
    gantry.client().get("/metrics").await.status(404);
    operator.get("/v2/").await.status(404);
}

/// T66: the same over HTTP/2: the answer comes although the body does not end.
#[tokio::test]
async fn t66_an_early_refusal_over_http_2() {
    let gantry = Gantry::options().account("alice", "a").start().await;
    let alice = gantry.client().basic("alice", "a").http2(None).repo();
    let anon = gantry.client().http2(None).at(&alice.name);
    let unknown = alice.path("blobs/uploads/7b1f1e2c-66a5-4a4e-9d39-0c1e4b5a6d7e");
    for (repo, method, target, status) in [
        (&anon, "PATCH", unknown.clone(), 401),
        (&alice, "PATCH", unknown.clone(), 404),
        (&alice, "PUT", alice.manifest("v1"), 413),
        (&alice, "POST", with(&alice.uploads(), "digest", "sha256:bad"), 400),
    ] {
        let (sender, body) = pieces();
        let call = tokio::spawn(repo.client.call(method, &target).stream(body).try_send());
        for _ in 0..60 {
            if sender.send(Ok(bytes(100_000))).await.is_err() {
                break;
            }
        }
        let answer = call.await.expect("the request ends").expect("an answer");
        answer.status(status);
        drop(sender);
        // The connection goes on.
        repo.client.head("/v2/").await.status_in(&[200, 401]);
    }
}

/// T66: a body that is cut off in the middle, over HTTP/2.
#[tokio::test]
async fn e_7_10_a_reset_patch_over_http_2_keeps_what_came() {
    let repo = Gantry::shared().await.client().http2(None).repo();
    let blob = Blob::new(300_000);
    let location = repo.start_upload().await;
    let (sender, body) = pieces();
    let patch = tokio::spawn(repo.client.call("PATCH", &location).stream(body).try_send());
    sender.send(Ok(blob.bytes.slice(..100_000))).await.expect("a connection");
    tokio::time::sleep(Duration::from_millis(200)).await;
    sender.send(Err(std::io::Error::other("the test breaks off"))).await.expect("a connection");
    drop(sender);
    patch.await.expect("the request ends").expect_err("a reset stream");
    let mut answer = repo.client.patch(&location, "").header("content-range", "0-0").await;
    // While the server still takes leave of the first request, it says so.
    for _ in 0..50 {
        if answer.get("range") == Some("0-99999") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = repo.client.get(&location).await;
    }
    let rest = repo.client.patch(&location, blob.bytes.slice(100_000..));
    rest.header("content-range", "100000-299999").await.status(202).header("range", "0-299999");
    repo.client.put(&with(&location, "digest", &blob.digest), "").await.status(201);
    repo.has_blob(&blob).await;
}
