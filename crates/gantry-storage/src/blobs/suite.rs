//! What every [`BlobStore`] must do, as one function that runs every case on the store it is given, and then checks that nothing is
//! left behind.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a behaviour suite: a failed expectation is a failed test"
)]

mod verify;

use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::{Algorithm, Digest, Hasher, UploadId};

use super::{BlobHandle, BlobStore};
use crate::error::{Result, StorageError};

type Blobs = Arc<dyn BlobStore>;

/// Runs every case.
pub async fn run(blobs: Blobs) {
    let before = blobs.staged().await.expect("a list").len();
    what_goes_in_comes_out(&blobs).await;
    ranges_are_exact(&blobs).await;
    an_upload_goes_on_where_it_stopped(&blobs).await;
    bytes_can_be_hashed_again(&blobs).await;
    going_on_needs_the_bytes(&blobs).await;
    an_old_handle_writes_no_more(&blobs).await;
    publishing_needs_the_exact_size(&blobs).await;
    publishing_again_replaces(&blobs).await;
    many_publish_one_blob(&blobs).await;
    what_is_not_there_is_none(&blobs).await;
    discarding_frees_and_may_be_repeated(&blobs).await;
    space_makes_sense(&blobs).await;
    verify::run(&blobs).await;
    assert_eq!(blobs.staged().await.expect("a list").len(), before, "nothing is left behind");
    assert_eq!(blobs.read_only(), None);
}

/// Bytes that repeat late, so that a piece in the wrong place is noticed.
#[must_use]
pub fn content(size: usize) -> Bytes {
    (0_u64..)
        .flat_map(|number| (number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_le_bytes())
        .take(size)
        .collect()
}

/// Cuts bytes into pieces of at most `size`.
#[must_use]
pub fn pieces(bytes: &Bytes, size: usize) -> Vec<Bytes> {
    let mut rest = bytes.clone();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        pieces.push(rest.split_to(size.min(rest.len())));
    }
    pieces
}

/// Reads a range to its end or to its first error.
///
/// # Errors
/// What the stream gave.
pub async fn read(blob: &Arc<dyn BlobHandle>, range: Range<u64>) -> Result<Vec<u8>> {
    let mut stream = blob.read(range);
    let mut bytes = Vec::new();
    while let Some(piece) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

/// Stages and publishes.
pub async fn store(blobs: &Blobs, content: &Bytes, algorithm: Algorithm) -> (Digest, Option<String>) {
    let upload = new_upload();
    let mut staged = blobs.stage(&upload, 0, Hasher::new(algorithm)).await.expect("staged");
    for piece in pieces(content, 100_000) {
        staged.append(vec![piece]).await.expect("appended");
    }
    staged.flush().await.expect("written");
    assert_eq!(staged.offset(), content.len() as u64);
    let digest = staged.hasher().finish();
    assert_eq!(digest, Digest::of(algorithm, content));
    drop(staged);
    let location = blobs.publish(&upload, &digest, content.len() as u64).await.expect("published");
    (digest, location)
}

fn new_upload() -> UploadId {
    UploadId::from_uuid(uuid::Uuid::new_v4())
}

async fn open(blobs: &Blobs, digest: &Digest, location: Option<&str>, size: u64) -> Arc<dyn BlobHandle> {
    blobs.open(digest, location, size).await.expect("readable").expect("there")
}

async fn what_goes_in_comes_out(blobs: &Blobs) {
    for (size, algorithm) in [
        (0, Algorithm::Sha256),
        (1, Algorithm::Sha512),
        (65_536, Algorithm::Sha256),
        (300_001, Algorithm::Sha512),
        (20 << 20, Algorithm::Sha256),
    ] {
        let content = content(size);
        let (digest, location) = store(blobs, &content, algorithm).await;
        let blob = open(blobs, &digest, location.as_deref(), size as u64).await;
        assert_eq!(blob.size(), size as u64);
        assert!(read(&blob, 0..size as u64).await.expect("readable") == content, "{size} bytes");
    }
}

async fn ranges_are_exact(blobs: &Blobs) {
    let content = content(700_000);
    let (digest, location) = store(blobs, &content, Algorithm::Sha256).await;
    let blob = open(blobs, &digest, location.as_deref(), 700_000).await;
    for range in [0..1, 0..0, 65_535..65_537, 1..700_000, 699_999..700_000, 300_000..300_000] {
        let bytes = read(&blob, range.clone()).await.expect("readable");
        let expected = content
            .slice(usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small"));
        assert!(bytes == expected, "{range:?}");
    }
    assert_eq!(read(&blob, 699_990..u64::MAX).await.expect("readable").len(), 10, "cut to the size");
    assert!(read(&blob, 800_000..900_000).await.expect("readable").is_empty());
}

async fn an_upload_goes_on_where_it_stopped(blobs: &Blobs) {
    let content = content(1_500_000);
    let upload = new_upload();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut offset = 0_usize;
    for end in [0, 10, 700_000, 1_500_000] {
        let mut staged = blobs.stage(&upload, offset as u64, hasher.clone()).await.expect("staged");
        assert_eq!(staged.offset(), offset as u64);
        staged.append(pieces(&content.slice(offset..end), 1000)).await.expect("appended");
        staged.flush().await.expect("written");
        // What comes now is lost: the session's row will say `end`.
        staged.append(vec![Bytes::from(vec![7; 400_000])]).await.expect("appended");
        if end == 10 {
            staged.flush().await.expect("written");
        }
        hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&content.slice(..end));
        offset = end;
    }
    let staged = blobs.stage(&upload, offset as u64, hasher.clone()).await.expect("staged");
    let digest = staged.hasher().finish();
    assert_eq!(digest, Digest::sha256(&content));
    let location = blobs.publish(&upload, &digest, offset as u64).await.expect("published");
    let blob = open(blobs, &digest, location.as_deref(), offset as u64).await;
    assert!(read(&blob, 0..u64::MAX).await.expect("readable") == content);
}

async fn bytes_can_be_hashed_again(blobs: &Blobs) {
    let content = content(500_000);
    let upload = new_upload();
    assert!(blobs.hash_staged(&upload, 1, Algorithm::Sha256).await.expect("readable").is_none());
    let mut staged = blobs.stage(&upload, 0, Hasher::new(Algorithm::Sha256)).await.expect("staged");
    staged.append(vec![content.clone()]).await.expect("appended");
    staged.flush().await.expect("written");
    for (size, algorithm) in
        [(500_000_usize, Algorithm::Sha256), (499_999, Algorithm::Sha512), (0, Algorithm::Sha256)]
    {
        let hasher = blobs
            .hash_staged(&upload, size as u64, algorithm)
            .await
            .expect("readable")
            .expect("enough bytes");
        assert_eq!(hasher.finish(), Digest::of(algorithm, &content.slice(..size)));
    }
    assert!(blobs.hash_staged(&upload, 500_001, Algorithm::Sha256).await.expect("readable").is_none());
    let infos = blobs.staged().await.expect("a list");
    let info = infos.iter().find(|info| info.upload == upload).expect("listed");
    assert_eq!(info.size, 500_000);
    assert!(info.modified.as_unix_seconds() > 1_600_000_000);
    blobs.discard(&upload).await.expect("discarded");
}

async fn going_on_needs_the_bytes(blobs: &Blobs) {
    let upload = new_upload();
    let answer = blobs.stage(&upload, 5, Hasher::new(Algorithm::Sha256)).await;
    assert!(matches!(answer, Err(StorageError::Corrupt { .. })), "no bytes at all");
    assert!(
        blobs.staged().await.expect("a list").iter().all(|info| info.upload != upload),
        "and none were made"
    );
    let mut staged = blobs.stage(&upload, 0, Hasher::new(Algorithm::Sha256)).await.expect("staged");
    staged.append(vec![content(4)]).await.expect("appended");
    staged.flush().await.expect("written");
    let answer = blobs.stage(&upload, 5, Hasher::new(Algorithm::Sha256)).await;
    assert!(matches!(answer, Err(StorageError::Corrupt { .. })), "too few bytes");
    assert!(
        blobs.hash_staged(&upload, 4, Algorithm::Sha256).await.expect("readable").is_some(),
        "they are unharmed"
    );
    blobs.discard(&upload).await.expect("discarded");
}

async fn an_old_handle_writes_no_more(blobs: &Blobs) {
    let (old_content, content) = (Bytes::from(vec![7; 900_000]), content(900_000));
    let upload = new_upload();
    let mut old = blobs.stage(&upload, 0, Hasher::new(Algorithm::Sha256)).await.expect("staged");
    old.append(vec![old_content.clone()]).await.expect("appended");
    // Its request is gone, its batch may still be on its way.
    let mut new = blobs.stage(&upload, 0, Hasher::new(Algorithm::Sha256)).await.expect("staged");
    new.append(vec![content.clone()]).await.expect("appended");
    let mut refused = old.flush().await.is_err();
    refused |= old.append(vec![old_content]).await.is_err();
    refused |= old.flush().await.is_err();
    assert!(refused, "the old handle notices");
    new.flush().await.expect("written");
    let digest = new.hasher().finish();
    assert_eq!(digest, Digest::sha256(&content));
    let hashed = blobs
        .hash_staged(&upload, 900_000, Algorithm::Sha256)
        .await
        .expect("readable")
        .expect("enough bytes");
    assert_eq!(hashed.finish(), digest);
    blobs.discard(&upload).await.expect("discarded");
    new.append(vec![Bytes::from(vec![7; 900_000])]).await.expect("handed over");
    assert!(new.flush().await.is_err(), "an upload that was discarded");
}

async fn publishing_needs_the_exact_size(blobs: &Blobs) {
    let upload = new_upload();
    let digest = Digest::sha256(b"whatever");
    let answer = blobs.publish(&upload, &digest, 0).await;
    assert!(matches!(answer, Err(StorageError::Corrupt { .. })), "nothing staged");
    let mut staged = blobs.stage(&upload, 0, Hasher::new(Algorithm::Sha256)).await.expect("staged");
    staged.append(vec![content(10)]).await.expect("appended");
    staged.flush().await.expect("written");
    for size in [9, 11] {
        let answer = blobs.publish(&upload, &digest, size).await;
        assert!(matches!(answer, Err(StorageError::Corrupt { .. })), "{size}");
    }
    assert!(blobs.open(&digest, None, 10).await.expect("readable").is_none());
    blobs.discard(&upload).await.expect("discarded");
}

async fn publishing_again_replaces(blobs: &Blobs) {
    let content = content(200_000);
    let (digest, location) = store(blobs, &content, Algorithm::Sha256).await;
    let running = open(blobs, &digest, location.as_deref(), 200_000).await;
    let (again, location) = store(blobs, &content, Algorithm::Sha256).await;
    assert_eq!(digest, again);
    let blob = open(blobs, &digest, location.as_deref(), 200_000).await;
    for blob in [running, blob] {
        assert!(read(&blob, 0..200_000).await.expect("readable") == content);
    }
}

async fn many_publish_one_blob(blobs: &Blobs) {
    let content = content(123_456);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (blobs, content) = (Arc::clone(blobs), content.clone());
        tasks.spawn(async move {
            let (digest, location) = store(&blobs, &content, Algorithm::Sha256).await;
            let blob = open(&blobs, &digest, location.as_deref(), 123_456).await;
            assert!(read(&blob, 0..123_456).await.expect("readable") == content);
        });
    }
    tasks.join_all().await;
}

async fn what_is_not_there_is_none(blobs: &Blobs) {
    let absent = Digest::of(Algorithm::Sha512, b"never stored");
    assert!(blobs.open(&absent, None, 12).await.expect("readable").is_none());
    let (digest, location) = store(blobs, &content(77), Algorithm::Sha256).await;
    for size in [0, 76, 78] {
        let answer = blobs.open(&digest, location.as_deref(), size).await.expect("readable");
        assert!(answer.is_none(), "another length is another blob");
    }
}

async fn discarding_frees_and_may_be_repeated(blobs: &Blobs) {
    let upload = new_upload();
    blobs.discard(&upload).await.expect("nothing there is fine");
    let mut staged = blobs.stage(&upload, 0, Hasher::new(Algorithm::Sha256)).await.expect("staged");
    staged.append(vec![content(1_000_000)]).await.expect("appended");
    blobs.discard(&upload).await.expect("discarded");
    drop(staged);
    blobs.discard(&upload).await.expect("again");
    if blobs.hash_staged(&upload, 1, Algorithm::Sha256).await.expect("readable").is_some() {
        panic!("the bytes are still there");
    }
}

async fn space_makes_sense(blobs: &Blobs) {
    if let Some(space) = blobs.space().await.expect("an answer") {
        assert!(space.total > 0 && space.free <= space.total, "{space:?}");
    }
}
