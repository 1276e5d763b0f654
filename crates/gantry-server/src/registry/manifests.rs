//! Manifests: the exact bytes that were pushed, and what they point to.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, Manifest, ManifestKind, ManifestRules, Reference, RepoName, Tag};
use gantry_storage::{Deleted, NewManifest, PutManifest, StoredManifest, TagLocks, Terms};

use super::{Asked, ByteSource, Registry, RegistryError, Result};

/// What a push of a manifest did.
#[derive(Debug)]
pub struct ManifestPut {
    /// The digest under which it can be pulled.
    pub digest: Digest,
    /// The subject that it was attached to.
    pub subject: Option<Digest>,
}

/// A manifest that is all here.
pub(super) struct ManifestToStore<'a> {
    /// Of `bytes`.
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
    /// What it is said to be.
    pub(super) content_type: Option<&'a str>,
    /// Tags to point at it.
    pub(super) tags: Vec<Tag>,
    /// Tags that may not be moved.
    pub(super) locks: TagLocks,
    /// The image of the repository that it was made of.
    pub(super) image: Option<ImageId>,
    /// What the v1 client said it was.
    pub(super) agent: &'a str,
}

impl Registry {
    /// A manifest by tag or digest (end-3).
    ///
    /// # Errors
    /// Neither repository nor manifest, or the store failed.
    pub async fn manifest(
        &self,
        repo: &RepoName,
        reference: &Reference,
        asked: Asked,
    ) -> Result<Arc<StoredManifest>> {
        match self.promised_manifest(repo, reference, asked).await? {
            Some(manifest) => Ok(manifest),
            None => Err(self.missing(repo, manifest_unknown(repo, reference)).await),
        }
    }

    /// A manifest that a client is about to be told of, and may name in an index: see `promised_blob`.
    async fn promised_manifest(
        &self,
        repo: &RepoName,
        reference: &Reference,
        asked: Asked,
    ) -> Result<Option<Arc<StoredManifest>>> {
        let Some(manifest) = self.meta.manifest(repo, reference).await? else { return Ok(None) };
        let due = |terms: Terms| terms.must_renew(manifest.idle_since, self.meta.now());
        if !self.limits.untagged.is_some_and(due) {
            return Ok(Some(manifest));
        }
        asked.renewed(self.meta.renew_manifest(repo, &manifest.digest).await, manifest)
    }

    /// Stores a manifest under its digest and tags (end-7). When this returns, all of it survives a power cut.
    ///
    /// # Errors
    /// The bytes are too many, break a rule, are not those of the digest, or name what is not in this repository:
    /// then nothing is stored. One of the tags is held by another manifest: likewise. The store failed.
    pub async fn put_manifest(
        &self,
        repo: &RepoName,
        reference: &Reference,
        mut tags: Vec<Tag>,
        locks: TagLocks,
        content_type: Option<&str>,
        body: ByteSource,
    ) -> Result<ManifestPut> {
        let bytes = self.collect_manifest(body).await?;
        let digest = match reference {
            Reference::Digest(expected) => {
                let actual = Digest::of(expected.algorithm(), &bytes);
                if actual != *expected {
                    return Err(RegistryError::DigestMismatch { expected: *expected, actual });
                }
                actual
            }
            Reference::Tag(tag) => {
                tags.push(tag.clone());
                Digest::sha256(&bytes)
            }
        };
        let manifest = ManifestToStore { digest, bytes, content_type, tags, locks, image: None, agent: "" };
        let subject = self.store_manifest(repo, manifest).await?;
        Ok(ManifestPut { digest, subject })
    }

    /// Stores a manifest whose digest is known; gives its subject.
    pub(super) async fn store_manifest(
        &self,
        repo: &RepoName,
        ManifestToStore { digest, bytes, content_type, tags, locks, image, agent }: ManifestToStore<'_>,
    ) -> Result<Option<Digest>> {
        let rules = ManifestRules { extra_media_types: &self.limits.manifest_types };
        let manifest = Manifest::parse(content_type, &bytes, &rules)?;
        let subject = manifest.subject.as_ref().map(|subject| subject.digest);
        let new = NewManifest {
            repo: repo.clone(),
            digest,
            bytes,
            tags,
            image,
            agent: agent.to_owned(),
            locks,
            subject,
            blobs: manifest.required_blobs(),
            manifests: manifest.children(),
            allow_missing: match manifest.kind {
                ManifestKind::Image => self.limits.sparse_image,
                ManifestKind::Index => self.limits.sparse_index,
            },
            media_type: manifest.media_type,
            artifact_type: manifest.artifact_type,
            annotations: manifest.annotations,
        };
        match self.meta.put_manifest(new).await? {
            PutManifest::Stored => Ok(subject),
            PutManifest::Missing(missing) => Err(RegistryError::ManifestReferencesUnknown(missing)),
            PutManifest::NoImage => Err(super::ImageError::Unknown.into()),
            PutManifest::Locked(locked) => Err(RegistryError::TagLocked(locked)),
        }
    }

    async fn collect_manifest(&self, mut body: ByteSource) -> Result<Bytes> {
        let limit = self.limits.manifest;
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(piece) = body.next().await {
            let piece = piece?;
            if (first.len() + all.len() + piece.len()) as u64 > limit {
                return Err(RegistryError::TooLarge { limit });
            }
            if first.is_empty() && all.is_empty() {
                first = piece; // most manifests come in one piece, which needs no copy
            } else {
                if all.is_empty() {
                    all.extend_from_slice(&std::mem::take(&mut first));
                }
                all.extend_from_slice(&piece);
            }
        }
        // A copy of its own: the piece may be a corner of a large receive buffer, and this lives in the cache.
        Ok(if all.is_empty() { Bytes::copy_from_slice(&first) } else { all.freeze() })
    }

    /// Removes a tag, or a manifest with all tags that point to it (end-9).
    ///
    /// # Errors
    /// Neither repository nor manifest, a tag that is held, or the store failed.
    pub async fn delete_manifest(
        &self,
        repo: &RepoName,
        reference: &Reference,
        locks: &TagLocks,
    ) -> Result<()> {
        let deleted = match reference {
            Reference::Tag(tag) => self.meta.delete_tag(repo, tag, locks).await?,
            Reference::Digest(digest) => self.meta.delete_manifest(repo, digest, locks).await?,
        };
        match deleted {
            Deleted::Done => Ok(()),
            Deleted::Unknown => Err(self.missing(repo, manifest_unknown(repo, reference)).await),
            Deleted::Locked(locked) => Err(RegistryError::TagLocked(locked)),
        }
    }
}

fn manifest_unknown(repo: &RepoName, reference: &Reference) -> RegistryError {
    RegistryError::ManifestUnknown { repo: repo.clone(), reference: reference.clone() }
}
