//! Exact caches: what they answer is what the database would answer.
//!
//! One store, one budget in bytes, five kinds of key: a tag, a manifest, a blob link, the referrers of a subject, an image.
//! Only what exists is cached; a repository that exists has a list of referrers for every subject, if only an empty one.
//!
//! Exactness rests on the one writer of the process. Before a COMMIT it *marks* the keys that the transaction touches:
//! they leave the cache, and nothing may enter their shard. After the COMMIT it lifts the marks. A reader that missed notes the
//! shard's generation before it reads the database, and inserts what it found only if the generation is still the same and no
//! mark is set. So a value read before a commit cannot enter after it, and once a write is acknowledged no older value is
//! answered. A shard covers many keys, so a commit sometimes refuses an innocent insert; that costs one more read.
//!
//! A hit takes one hash and one short lock, and allocates nothing.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, Reference, RepoName};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};

use crate::meta::images::StoredImage;
use crate::meta::{BlobContent, ReferrersPage, StoredBlob, StoredManifest};

/// Enough that a commit hardly ever refuses a reader's insert, few enough to walk.
const SHARDS: usize = 256;

/// What one entry costs beside its bytes: key, pointers, allocator, index.
const ENTRY_OVERHEAD: u64 = 256;

/// A cached thing's name.
#[derive(Clone, Debug)]
pub(super) enum Key {
    /// A manifest by tag.
    Tag(RepoName, Box<str>),
    /// A manifest by digest.
    Manifest(RepoName, Digest),
    /// A blob link.
    Blob(RepoName, Digest),
    /// The first page of those who refer to a subject.
    Referrers(RepoName, Digest),
    /// An image.
    Image(RepoName, ImageId),
    /// Where an image is: it changes with any [`Key::Image`] of that id.
    Homes(ImageId),
}

/// The same name, borrowed, for asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyRef<'a> {
    Tag(&'a str, &'a str),
    Manifest(&'a str, &'a Digest),
    Blob(&'a str, &'a Digest),
    Referrers(&'a str, &'a Digest),
    Image(&'a str, &'a ImageId),
    Homes(&'a ImageId),
}

impl Key {
    pub(super) fn reference(repo: &RepoName, reference: &Reference) -> Key {
        match reference {
            Reference::Tag(tag) => Key::Tag(repo.clone(), tag.as_str().into()),
            Reference::Digest(digest) => Key::Manifest(repo.clone(), *digest),
        }
    }

    fn borrow(&self) -> KeyRef<'_> {
        match self {
            Key::Tag(repo, tag) => KeyRef::Tag(repo.as_str(), tag),
            Key::Manifest(repo, digest) => KeyRef::Manifest(repo.as_str(), digest),
            Key::Blob(repo, digest) => KeyRef::Blob(repo.as_str(), digest),
            Key::Referrers(repo, digest) => KeyRef::Referrers(repo.as_str(), digest),
            Key::Image(repo, image) => KeyRef::Image(repo.as_str(), image),
            Key::Homes(image) => KeyRef::Homes(image),
        }
    }
}

impl<'a> KeyRef<'a> {
    pub(super) fn reference(repo: &'a RepoName, reference: &'a Reference) -> KeyRef<'a> {
        match reference {
            Reference::Tag(tag) => KeyRef::Tag(repo.as_str(), tag.as_str()),
            Reference::Digest(digest) => KeyRef::Manifest(repo.as_str(), digest),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.borrow() == other.borrow()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrow().hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.borrow()
    }
}

/// A cached thing.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Manifest(Arc<StoredManifest>),
    Blob(Arc<StoredBlob>),
    Image(Arc<StoredImage>),
    /// With the limit for which they were read.
    Homes {
        repos: Arc<[RepoName]>,
        limit: usize,
    },
    /// With the limit for which it was read.
    Referrers {
        page: Arc<ReferrersPage>,
        limit: usize,
    },
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Value> for Bytes {
    fn weight(&self, key: &Key, value: &Value) -> u64 {
        let key = match key {
            Key::Tag(_, tag) => tag.len(),
            Key::Manifest(..) | Key::Blob(..) | Key::Referrers(..) | Key::Image(..) | Key::Homes(..) => 0,
        };
        let value = match value {
            Value::Manifest(manifest) => manifest.bytes.len() + manifest.media_type.len(),
            Value::Blob(blob) => match &blob.content {
                BlobContent::Inline(bytes) => bytes.len(),
                BlobContent::Stored { location, .. } => location.as_ref().map_or(0, String::len),
            },
            Value::Image(image) => image.json.len() + size_of_val(image.ancestry.as_slice()),
            Value::Homes { repos, .. } => {
                size_of_val(&repos[..]) + repos.iter().map(|repo| repo.as_str().len()).sum::<usize>()
            }
            Value::Referrers { page, .. } => page.weight(),
        };
        ENTRY_OVERHEAD.saturating_add(u64::try_from(key + value).unwrap_or(u64::MAX))
    }
}

type Entries = Cache<Key, Value, Bytes, DefaultHashBuilder, DefaultLifecycle<Key, Value>>;

/// The cache. Shared by readers and the writer.
pub(super) struct ExactCache {
    /// `None`: switched off.
    entries: Option<Entries>,
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    hits: [AtomicU64; 4],
    misses: [AtomicU64; 4],
}

#[derive(Default)]
struct Shard {
    /// Rises with every mark.
    generation: u64,
    /// Marks that are set now.
    marks: u64,
}

/// A reader's note of when it began to read.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    generation: u64,
}

impl ExactCache {
    /// A cache of at most `bytes` by its own reckoning; 0 switches it off.
    pub(super) fn new(bytes: u64) -> ExactCache {
        // Each part of the cache must hold more than one large manifest, so a small cache has few parts.
        let parts = usize::try_from(bytes / (4 << 20)).unwrap_or(1).clamp(1, 64);
        let items = usize::try_from(bytes / 2048).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        let options = OptionsBuilder::new()
            .shards(parts)
            .estimated_items_capacity(items)
            .weight_capacity(bytes)
            .build()
            .ok()
            .filter(|_| bytes > 0);
        ExactCache {
            entries: options.map(|options| {
                Cache::with_options(
                    options,
                    Bytes,
                    DefaultHashBuilder::default(),
                    DefaultLifecycle::default(),
                )
            }),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            hits: Default::default(),
            misses: Default::default(),
        }
    }

    /// The value, counted as a hit or a miss.
    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Value> {
        self.answer(key, Some)
    }

    /// What `answer` makes of the value; `None`, also from it, is a miss.
    pub(super) fn answer<T>(&self, key: KeyRef<'_>, answer: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let found = self.entries.as_ref().and_then(|entries| entries.get(&key)).and_then(answer);
        let counters = if found.is_some() { &self.hits } else { &self.misses };
        let [manifests, blobs, referrers, images] = counters;
        let counter = match key {
            KeyRef::Tag(..) | KeyRef::Manifest(..) => manifests,
            KeyRef::Blob(..) => blobs,
            KeyRef::Referrers(..) => referrers,
            KeyRef::Image(..) | KeyRef::Homes(..) => images,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// To be called before the database is read. `None`: the key is being written, do not insert.
    pub(super) fn begin_read(&self, key: KeyRef<'_>) -> Option<Ticket> {
        let shard = self.shard(&key)?;
        (shard.marks == 0).then_some(Ticket { generation: shard.generation })
    }

    /// Inserts what was read since `ticket`, unless a write touched the shard meanwhile.
    pub(super) fn end_read(&self, ticket: Ticket, key: Key, value: Value) {
        let Some(entries) = &self.entries else { return };
        let Some(shard) = self.shard(&key.borrow()) else { return };
        if shard.marks == 0 && shard.generation == ticket.generation {
            // Under the shard's lock: a mark that comes later also removes this.
            entries.insert(key, value);
        }
    }

    /// Drops an entry, so that the next reader asks the database. Always right: nothing is promised to be cached.
    pub(super) fn forget(&self, key: KeyRef<'_>) {
        if let Some(entries) = &self.entries {
            entries.remove(&key);
        }
    }

    /// Before the COMMIT: the keys leave the cache, and nothing enters their shards until [`ExactCache::unmark`].
    pub(super) fn mark(&self, keys: &[Key]) {
        let Some(entries) = &self.entries else { return };
        for key in keys {
            let Some(mut shard) = self.shard(&key.borrow()) else { continue };
            shard.generation = shard.generation.wrapping_add(1);
            shard.marks += 1;
            entries.remove(key);
        }
    }

    /// After the COMMIT, or after it failed: the same keys.
    pub(super) fn unmark(&self, keys: &[Key]) {
        if self.entries.is_none() {
            return;
        }
        for key in keys {
            let Some(mut shard) = self.shard(&key.borrow()) else { continue };
            shard.generation = shard.generation.wrapping_add(1);
            shard.marks = shard.marks.saturating_sub(1);
        }
    }

    /// Bytes held by the cache's own reckoning.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.as_ref().map_or(0, Cache::weight)
    }

    /// Hits and misses of manifests, then of blob links, then of pages of referrers, then of images.
    pub(super) fn counts(&self) -> [(u64, u64); 4] {
        let [manifest_hits, blob_hits, page_hits, image_hits] = &self.hits;
        let [manifest_misses, blob_misses, page_misses, image_misses] = &self.misses;
        [
            (manifest_hits, manifest_misses),
            (blob_hits, blob_misses),
            (page_hits, page_misses),
            (image_hits, image_misses),
        ]
        .map(|(hits, misses)| (hits.load(Ordering::Relaxed), misses.load(Ordering::Relaxed)))
    }

    fn shard(&self, key: &KeyRef<'_>) -> Option<MutexGuard<'_, Shard>> {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % (SHARDS as u64)).unwrap_or(0);
        self.shards.get(index).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tag: &str) -> Key {
        Key::Tag("a/b".parse().expect("a name"), tag.into())
    }

    fn value(text: &'static str) -> Value {
        Value::Manifest(Arc::new(StoredManifest {
            digest: Digest::sha256(text.as_bytes()),
            media_type: String::from("x/y"),
            bytes: bytes::Bytes::from_static(text.as_bytes()),
            idle_since: None,
        }))
    }

    #[test]
    fn what_was_read_before_a_commit_does_not_enter_after_it() {
        let cache = ExactCache::new(1 << 20);
        let keys = [key("1")];
        let ask = KeyRef::Tag("a/b", "1");

        let early = cache.begin_read(ask).expect("no write yet");
        cache.mark(&keys);
        assert!(cache.begin_read(ask).is_none(), "no insert is allowed during a commit");
        cache.end_read(early, key("1"), value("old"));
        assert!(cache.get(ask).is_none());
        cache.unmark(&keys);
        cache.end_read(early, key("1"), value("old"));
        assert!(cache.get(ask).is_none(), "the reader began before the commit");

        let late = cache.begin_read(ask).expect("the write is over");
        cache.end_read(late, key("1"), value("new"));
        assert!(cache.get(ask).is_some());
        cache.mark(&keys);
        assert!(cache.get(ask).is_none(), "a mark removes what is there");
        assert_eq!(cache.counts(), [(1, 3), (0, 0), (0, 0), (0, 0)]);
    }

    #[test]
    fn the_budget_holds_and_zero_switches_off() {
        let cache = ExactCache::new(64 << 10);
        for number in 0..10_000 {
            let key = key(&number.to_string());
            let ticket = cache.begin_read(key.borrow()).expect("no write");
            cache.end_read(ticket, key, value("some text"));
        }
        assert!(cache.bytes() <= 64 << 10, "{}", cache.bytes());
        assert!(cache.bytes() > 16 << 10, "{}", cache.bytes());

        let off = ExactCache::new(0);
        let ticket = off.begin_read(KeyRef::Tag("a/b", "1")).expect("no write");
        off.end_read(ticket, key("1"), value("x"));
        assert!(off.get(KeyRef::Tag("a/b", "1")).is_none());
    }
}
