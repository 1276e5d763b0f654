//! Ranges of blobs (RFC 9110, section 14): resumed downloads, seeking, and many parts in one answer.

use crate::harness::{Answer, Blob, Gantry, Repo, raw, repo};

/// A blob in a row and a blob in a file, both of 2048 bytes and more.
async fn blobs() -> (Repo, [Blob; 2]) {
    let repo = repo().await;
    let blobs = [Blob::new(2048), Blob::new(70_000)];
    for blob in &blobs {
        repo.push_blob(blob).await;
    }
    (repo, blobs)
}

async fn range(repo: &Repo, blob: &Blob, range: &str) -> Answer {
    repo.client.get(&repo.blob(&blob.digest)).header("range", range).await
}

/// What a range must be answered with, as first and last byte.
async fn holds(repo: &Repo, blob: &Blob, asked: &str, first: usize, last: usize) {
    range(repo, blob, asked)
        .await
        .status(206)
        .digest(&blob.digest)
        .header("content-type", "application/octet-stream")
        .header("content-range", &format!("bytes {first}-{last}/{}", blob.len()))
        .header("content-length", &(last - first + 1).to_string())
        .body(&blob.bytes[first..=last]);
}

/// A `multipart/byteranges` body: what each part says of itself, and its bytes.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let kind = answer.get("content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("a multipart type");
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    assert!(
        !boundary.is_empty() && boundary.bytes().all(token),
        "X-3.4: the boundary is a token: {boundary}"
    );
    let mut rest = &answer.body[..];
    let mut parts = Vec::new();
    let delimiter = format!("--{boundary}");
    loop {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        rest = rest.strip_prefix(delimiter.as_bytes()).expect("a delimiter");
        if rest.starts_with(b"--") {
            return parts;
        }
        rest = rest.strip_prefix(b"\r\n").expect("a line end");
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n").expect("headers");
        let head = String::from_utf8(rest[..end].to_vec()).expect("text").to_lowercase();
        assert!(head.contains("content-type: application/octet-stream"), "{head}");
        let range = head.split("content-range: ").nth(1).and_then(|rest| rest.lines().next());
        let range = range.expect("a range").to_owned();
        let (first, last) = range
            .strip_prefix("bytes ")
            .and_then(|range| range.split('/').next()?.split_once('-'))
            .expect("first and last byte");
        let length = last.parse::<usize>().expect("last") - first.parse::<usize>().expect("first") + 1;
        rest = &rest[end + 4..];
        parts.push((range, rest[..length].to_vec()));
        rest = &rest[length..];
    }
}

/// The parts must be these, in this order.
fn holds_parts(answer: &Answer, blob: &Blob, expected: &[(usize, usize)]) {
    let found = parts(answer);
    assert_eq!(found.len(), expected.len(), "T47: one part for each range");
    for ((range, bytes), (first, last)) in found.iter().zip(expected) {
        assert_eq!(*range, format!("bytes {first}-{last}/{}", blob.len()));
        assert_eq!(bytes.as_slice(), &blob.bytes[*first..=*last]);
    }
}

/// E-2.5, X-3.1: the cases of the specification.
#[tokio::test]
async fn e_2_5_one_range() {
    let (repo, blobs) = blobs().await;
    for blob in &blobs {
        let size = blob.len();
        holds(&repo, blob, "bytes=500-1499", 500, 1499).await;
        holds(&repo, blob, "bytes=500-", 500, size - 1).await;
        holds(&repo, blob, "bytes=-500", size - 500, size - 1).await;
        holds(&repo, blob, "bytes=2000-99999999", 2000, size - 1).await;
        holds(&repo, blob, "bytes=0-0", 0, 0).await;
        holds(&repo, blob, &format!("bytes=0-{}", size - 1), 0, size - 1).await;
    }
    holds(&repo, &blobs[0], "bytes=2000-5000", 2000, 2047).await;
    for alg in crate::harness::Alg::ALL {
        let blob = blobs[0].by(alg);
        repo.push_blob(&blob).await;
        holds(&repo, &blob, "bytes=1-2", 1, 2).await;
    }
}

/// E-2.5, T46: what lies outside.
#[tokio::test]
async fn t46_416_outside_of_the_blob() {
    let (repo, blobs) = blobs().await;
    for blob in &blobs {
        let size = blob.len();
        let all = format!("bytes */{size}");
        for asked in [
            "bytes=500-0".to_owned(),
            "bytes=500000-1000000".to_owned(),
            format!("bytes={size}-"),
            format!("bytes={size}-{size}"),
            "bytes=99999999999999999999999999-".to_owned(),
            "bytes=-0".to_owned(),
        ] {
            range(&repo, blob, &asked).await.status(416).header("content-range", &all);
        }
    }
    range(&repo, &blobs[0], "bytes=5000-10000").await.status(416).header("content-range", "bytes */2048");
}

/// T46: a suffix that is longer than the blob is the blob.
#[tokio::test]
async fn t46_a_long_suffix_is_the_whole_blob() {
    let (repo, blobs) = blobs().await;
    for blob in &blobs {
        holds(&repo, blob, "bytes=-9999999", 0, blob.len() - 1).await;
        holds(&repo, blob, "bytes=-99999999999999999999999", 0, blob.len() - 1).await;
    }
}

/// one client asks for one byte too many.
#[tokio::test]
async fn x_3_1_an_end_at_the_length_is_clamped() {
    let (repo, blobs) = blobs().await;
    for blob in &blobs {
        holds(&repo, blob, &format!("bytes=100-{}", blob.len()), 100, blob.len() - 1).await;
    }
}

/// a resumed download says where it goes on.
#[tokio::test]
async fn x_3_2_a_download_is_resumed_at_every_point() {
    let (repo, blobs) = blobs().await;
    for blob in &blobs {
        for first in [1, 1023, 1024, blob.len() - 1] {
            holds(&repo, blob, &format!("bytes={first}-"), first, blob.len() - 1).await;
        }
    }
}

/// parallel open-ended ranges, each cut off by the client after its piece.
#[tokio::test]
async fn x_3_3_aborted_downloads_are_normal() {
    let gantry = Gantry::start().await;
    let repo = gantry.repo();
    let blob = Blob::new(8 << 20);
    repo.push_blob(&blob).await;
    for first in (0..blob.len()).step_by(1 << 20) {
        let mut connection = raw::Raw::connect(gantry.address()).await;
        let path = repo.blob(&blob.digest);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nRange: bytes={first}-\r\n\r\n")).await;
        let answer = connection.answer(false).await.expect("an answer");
        let range = format!("bytes {first}-{}/{}", blob.len() - 1, blob.len());
        assert_eq!((answer.status, answer.get("content-range")), (206, Some(range.as_str())));
    }
    repo.has_blob(&blob).await;
    assert!(!gantry.log().contains("ERROR"), "{}", gantry.log());
}

/// T47: one part for each range, in the order of the request, nothing merged.
#[tokio::test]
async fn x_3_4_many_ranges_are_many_parts() {
    let (repo, blobs) = blobs().await;
    for blob in &blobs {
        let answer = range(&repo, blob, "bytes=0-9,100-199, 50-59,10-19,-5,2000-2010").await;
        let answer = answer.status(206).digest(&blob.digest).no_header("content-range");
        let size = blob.len();
        let expected = [(0, 9), (100, 199), (50, 59), (10, 19), (size - 5, size - 1), (2000, 2010)];
        holds_parts(&answer, blob, &expected);
    }
}

/// T47: 1,024 ranges in a header line of 20 KB.
#[tokio::test]
async fn t47_1024_ranges_in_one_header_line() {
    let repo = repo().await;
    let blob = Blob::new(30_000_000);
    repo.push_blob(&blob).await;
    let expected: Vec<_> =
        (0..1024).map(|n| (10_000_000 + n * 15_000, 10_000_000 + n * 15_000 + 99)).collect();
    let ranges: Vec<_> = expected.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    let header = format!("bytes={}", ranges.join(", "));
    assert!(header.len() > 19_000, "{}", header.len());
    let answer = range(&repo, &blob, &header).await.status(206);
    holds_parts(&answer, &blob, &expected);
    // The same over HTTP/2.
    let client = repo.client.http2(None);
    let answer = client.get(&repo.blob(&blob.digest)).header("range", &header).await.status(206);
    holds_parts(&answer, &blob, &expected);
}

/// T47: too many are 400, upon which clients halve their number; never 416, 431 or 501.
#[tokio::test]
async fn t47_too_many_ranges_are_400() {
    let (repo, blobs) = blobs().await;
    let ranges: Vec<_> = (0..5000).map(|_| "0-0").collect();
    let header = format!("bytes={}", ranges.join(","));
    range(&repo, &blobs[1], &header).await.status(400);
}

/// overlapping ranges must not ask for the blob many times over.
#[tokio::test]
async fn x_3_4_ranges_that_sum_to_more_than_the_blob_are_the_whole_blob() {
    let (repo, blobs) = blobs().await;
    for blob in &blobs {
        range(&repo, blob, "bytes=0-,0-,0-").await.status(200).body(&blob.bytes).no_header("content-range");
    }
}

/// a part that cannot be had must not go missing silently.
#[tokio::test]
async fn x_3_4_one_impossible_range_among_many() {
    let (repo, blobs) = blobs().await;
    for blob in &blobs {
        range(&repo, blob, "bytes=0-1,99999999-99999999").await.status(200).body(&blob.bytes);
        let size = blob.len();
        let answer = range(&repo, blob, &format!("bytes={size}-,99999999-")).await;
        answer.status(416).header("content-range", &format!("bytes */{size}"));
    }
}

/// what is not understood is ignored.
#[tokio::test]
async fn x_3_5_unknown_units_and_nonsense_are_ignored() {
    let (repo, blobs) = blobs().await;
    for blob in &blobs {
        for nonsense in [
            "lines=1-2",
            "bytes",
            "bytes=",
            "bytes=a-b",
            "bytes=1",
            "bytes=--1",
            "bytes=1-2-3",
            "0-1",
            "bytes=-",
        ] {
            range(&repo, blob, nonsense).await.status_in(&[200, 416]);
        }
        range(&repo, blob, "lines=1-2").await.status(200).body(&blob.bytes);
        holds(&repo, blob, "Bytes=1-2", 1, 2).await;
    }
}

/// T46: `If-Range`
#[tokio::test]
async fn x_3_5_if_range() {
    let (repo, blobs) = blobs().await;
    for blob in &blobs {
        let get = || repo.client.get(&repo.blob(&blob.digest)).header("range", "bytes=5-9");
        let tag = format!("\"{}\"", blob.digest);
        get().header("if-range", &tag).await.status(206).body(&blob.bytes[5..10]);
        get().header("if-range", "\"other\"").await.status(200).body(&blob.bytes);
        get().header("if-range", &format!("W/{tag}")).await.status(200).body(&blob.bytes);
        get().header("if-range", "Wed, 21 Oct 2015 07:28:00 GMT").await.status(200).body(&blob.bytes);
    }
}

/// E-2.5: the empty blob has no ranges.
#[tokio::test]
async fn e_2_5_ranges_of_the_empty_blob() {
    let repo = repo().await;
    let blob = Blob::new(0);
    repo.push_blob(&blob).await;
    range(&repo, &blob, "bytes=0-").await.status(416).header("content-range", "bytes */0");
    range(&repo, &blob, "bytes=0-0").await.status(416).header("content-range", "bytes */0");
    range(&repo, &blob, "bytes=-5").await.status_in(&[200, 416]);
}

/// E-2.5: HEAD tells of the whole blob.
#[tokio::test]
async fn e_2_5_head_has_no_ranges() {
    let (repo, blobs) = blobs().await;
    for blob in &blobs {
        let head = repo.client.head(&repo.blob(&blob.digest)).header("range", "bytes=0-1").await;
        head.status(200).header("content-length", &blob.len().to_string());
    }
}

/// E-3.8: manifests have none either.
#[tokio::test]
async fn e_3_8_range_on_a_manifest_is_ignored() {
    let repo = repo().await;
    let image = crate::harness::image().build();
    repo.push("v1", &image).await;
    let get = repo.client.get(&repo.manifest("v1")).header("range", "bytes=0-1").await;
    get.status(200).body(&image.manifest.bytes).no_header("content-range");
}

/// E-2.5, E-2.8: a client that has the blob gets 304 whatever range it asks for.
#[tokio::test]
async fn e_2_8_if_none_match_comes_before_range() {
    let (repo, blobs) = blobs().await;
    let tag = format!("\"{}\"", blobs[1].digest);
    let get = repo.client.get(&repo.blob(&blobs[1].digest)).header("range", "bytes=0-1");
    get.header("if-none-match", &tag).await.status(304);
}
