//! Checks: what is stored is hashed and listed, and moved aside only if it is what was meant.

use gantry_oci::{Algorithm, Digest};

use super::{Blobs, content, open, read, store};
use crate::blobs::verify::{Hashed, Pace};

pub(super) async fn run(blobs: &Blobs) {
    assert!(blobs.is_at_home().await.expect("readable"));
    let pace = Pace::new(None);
    for (size, algorithm) in [(0, Algorithm::Sha512), (3_000_001, Algorithm::Sha256)] {
        let content = content(size);
        let (digest, location) = store(blobs, &content, algorithm).await;
        let location = location.as_deref();
        let identity = blobs.identity(&digest, location).await.expect("readable").expect("there");
        let hashed = blobs.hash(&digest, location, &pace).await.expect("readable");
        assert_eq!(hashed, Hashed::Bytes { actual: digest, size: size as u64, identity });
        let shard = u8::from_str_radix(&digest.hex()[..2], 16).expect("two digits");
        let found = blobs.list(algorithm, shard).await.expect("listed");
        let found = found.iter().find(|found| found.blob == Some((digest, identity))).expect("listed");
        assert_eq!(found.size, size as u64);
        assert!(found.changed.as_unix_seconds() > 1_600_000_000);

        // Stored anew: what was meant is not what is there.
        let reader = open(blobs, &digest, location, size as u64).await;
        assert_eq!(reader.identity(), identity);
        store(blobs, &content, algorithm).await;
        assert!(!blobs.set_aside(&digest, location, identity).await.expect("done"));
        assert!(
            read(&reader, 0..u64::MAX).await.expect("readable") == content,
            "an open blob stays readable"
        );
        for _ in 0..3 {
            let identity = blobs.identity(&digest, location).await.expect("readable").expect("there");
            assert!(blobs.set_aside(&digest, location, identity).await.expect("done"));
            assert!(!blobs.set_aside(&digest, location, identity).await.expect("done"), "gone already");
            assert!(blobs.open(&digest, location, size as u64).await.expect("readable").is_none());
            assert_eq!(blobs.identity(&digest, location).await.expect("readable"), None);
            assert_eq!(blobs.hash(&digest, location, &pace).await.expect("readable"), Hashed::Missing);
            // Each copy is kept.
            store(blobs, &content, algorithm).await;
        }
        open(blobs, &digest, location, size as u64).await;
    }
    let nothing = Digest::sha256(b"never stored");
    assert_eq!(blobs.hash(&nothing, None, &pace).await.expect("readable"), Hashed::Missing);
}
