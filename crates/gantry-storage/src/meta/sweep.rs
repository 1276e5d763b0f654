//! What the sweep and the rows tell each other.

use std::collections::BTreeSet;

use gantry_oci::{Digest, RepoName};

use crate::clock::Timestamp;
use crate::lease::{Terms, Verdict};
use crate::meta::storages::StorageId;

/// A kind of thing that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    /// A repository's link to a blob that none of its manifests names. With a blob's last link goes the blob.
    Link,
    /// A manifest that neither a tag nor an index names, and that refers to no other.
    Manifest,
    /// A manifest whose subject was deleted.
    Referrer,
    /// An image of v1 that was pushed, and that neither a manifest is made of nor another image stands on.
    Image,
}

/// Something that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it is.
    pub kind: CandidateKind,
    /// Where it is.
    pub repo: RepoName,
    /// Of the blob or manifest; of an image its id, as a digest.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Its date: since when nothing names it; of a referrer: when its subject was deleted.
    pub since: Timestamp,
    /// The subject of a referrer.
    pub subject: Option<Digest>,
    /// Its place in the list.
    pub cursor: Cursor,
}

/// A place in a list of candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) since: i64,
    pub(crate) major: i64,
    pub(crate) minor: Vec<u8>,
}

impl Cursor {
    /// The place of a referrer in the list of its subject, for [`crate::MetaStore::orphaned_referrers`].
    #[must_use]
    pub fn number(&self) -> u64 {
        u64::try_from(self.major).unwrap_or(0)
    }
}

/// Candidates to be decided about in one transaction.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// From [`crate::MetaStore::candidates`] or [`crate::MetaStore::orphaned_referrers`].
    pub candidates: Vec<Candidate>,
    /// By which terms.
    pub terms: Terms,
    /// Repositories with an upload under way that has no row.
    pub uploading: BTreeSet<RepoName>,
    /// Decide, but change nothing.
    pub dry_run: bool,
}

/// What became of a candidate, or of an image below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Which one.
    pub candidate: Candidate,
    /// `Remove`: it is gone (or would be).
    pub verdict: Verdict,
    /// Whether the bytes go with it: it was the blob's last link, or a manifest.
    pub frees: bool,
}

/// A manifest that was deleted while others referred to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedSubject {
    /// Where.
    pub repo: RepoName,
    /// Of the deleted manifest.
    pub digest: Digest,
    /// When.
    pub since: Timestamp,
    /// Its place in the list.
    pub cursor: Cursor,
}

/// Bytes in the blob store without a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreedBlob {
    /// Its place in the list.
    pub number: u64,
    /// Whose blob store has them.
    pub storage: StorageId,
    /// Of the bytes.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Where they are, as the row said.
    pub location: Option<String>,
}
