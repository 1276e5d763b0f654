//! What lies below a prefix goes to another storage, while everything else goes on.
//!
//! Which storage that is has been said before ([`super::Placement`]), so pushes go there already; here the rest follows. Bytes
//! are copied and hashed on the way, become durable in the target, and only then a batch of links goes over in one transaction.
//! Before bytes get their name there it is noted that they belong to nobody, so that a sweep removes what a crash leaves.
//! The old row loses its link like that of a deleted blob, and the next sweep removes its file; whoever reads it reads on,
//! and whoever was about to open it asks its row once more ([`Registry::open_blob`]). Nothing is remembered that the rows do
//! not say: a move that was cut short anywhere begins again with what is not in its place yet.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use gantry_oci::{Digest, Hasher, UploadId};
use gantry_storage::failpoint::Point;
use gantry_storage::{BlobHandle, Link, LinkCursor, LinksPage, Relink, Storage, StorageError};
use serde::{Deserialize, Serialize};

use super::locks::Publishing;
use super::{Registry, Result, pass};

/// Links looked at in one step.
const PAGE: usize = 64;
/// Bytes copied before their links go over.
const BATCH: u64 = 64 << 20;
/// Bytes handed on at once.
const PIECES: usize = 1 << 20;
/// How often everything is looked through for what came to the old storage meanwhile: uploads that had begun before.
const PASSES: u32 = 100;

/// What is to go where.
#[derive(Clone)]
pub struct Move {
    /// Of repositories, whole components; the empty text is all of them.
    pub prefix: String,
    /// The target. Repositories below the prefix that belong elsewhere (a longer prefix may say so) stay.
    pub to: Storage,
}

/// How far a move came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moving {
    /// Links that have gone over, or needed it no more.
    pub done: u64,
    /// All that were to go over; `None`: not counted yet.
    pub total: Option<u64>,
    /// Bytes that were copied.
    pub bytes: u64,
    /// Links that stay, because their bytes are damaged, missing or cannot be read.
    pub left: u64,
    /// Why the first of them stays.
    pub why: Option<String>,
    /// Whether this pass found anything to do.
    found: bool,
    passes: u32,
    after: Option<Place>,
}

/// Where a pass goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    repo: String,
    blob: i64,
}

/// What came of copying.
enum Copied {
    /// It is whole in the target, without its name.
    Staged(UploadId),
    /// It was deleted or moved by somebody else.
    Gone,
    /// It stays, for this reason.
    Stays(String),
    /// It stays: these bytes are those of another digest. Open until that is told, so that they are not taken for others.
    Wrong(Arc<dyn BlobHandle>, Digest),
    /// It stays: there are no such bytes.
    Lost,
}

impl Registry {
    /// Begins, or begins again after an interruption: counts what is left to be done.
    ///
    /// # Errors
    /// The store failed.
    pub async fn begin_move(&self, order: &Move, moving: &mut Moving) -> Result<()> {
        (moving.left, moving.why, moving.found, moving.passes, moving.after) = (0, None, false, 0, None);
        let (mut waiting, mut after) = (0, None);
        loop {
            let page = self.meta.links_below(&order.prefix, after, PAGE).await?;
            waiting += page.links.iter().filter(|link| self.is_to_go(order, link)).count() as u64;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let total = moving.total.unwrap_or(0).max(moving.done + waiting);
        moving.done = total - waiting;
        moving.total = Some(total);
        Ok(())
    }

    /// Moves a few links. False: everything is where it belongs, as far as that can be.
    ///
    /// # Errors
    /// The store failed, or the target has no room: to be tried again.
    pub async fn go_on_moving(&self, order: &Move, moving: &mut Moving) -> Result<bool> {
        let after = moving.after.take().map(|Place { repo, blob }| LinkCursor { repo, blob });
        let LinksPage { links, next } = self.meta.links_below(&order.prefix, after, PAGE).await?;
        let (mut batch, mut outcome) = (Batch::default(), Ok(()));
        for link in links.into_iter().filter(|link| self.is_to_go(order, link)) {
            outcome = self.take_along(order, link, moving, &mut batch).await;
            if outcome.is_err() {
                break;
            }
            if batch.bytes >= BATCH {
                self.go_over(std::mem::take(&mut batch), order, moving).await?;
            }
        }
        // What has come so far is not to be copied again.
        self.go_over(batch, order, moving).await?;
        outcome?;
        moving.after = next.map(|LinkCursor { repo, blob }| Place { repo, blob });
        if moving.after.is_some() {
            return Ok(true);
        }
        moving.passes += 1;
        let again = std::mem::take(&mut moving.found) && moving.passes < PASSES;
        if again {
            // They are met once more.
            (moving.left, moving.why) = (0, None);
        } else {
            // Some were deleted or pushed anew meanwhile, and some came.
            let total = moving.total.unwrap_or(0).max(moving.done + moving.left);
            (moving.done, moving.total) = (total - moving.left, Some(total));
        }
        Ok(again)
    }

    fn is_to_go(&self, order: &Move, link: &Link) -> bool {
        !link.storage.is_in_rows()
            && link.storage != order.to.id
            && self.places.placement.storage_of(&link.repo) == order.to.id
    }

    /// Brings a link's bytes to the target, if they are not there.
    async fn take_along(
        &self,
        order: &Move,
        link: Link,
        moving: &mut Moving,
        batch: &mut Batch,
    ) -> Result<()> {
        let to = &order.to;
        // From before the bytes have their name there until a row says so, or nobody wants them.
        let hold = self.locks.publishing(&link.digest).await;
        let known = batch.taken.iter().find(|(other, _)| other.digest == link.digest);
        let staged = if let Some((_, staged)) = known {
            *staged
        } else if self.meta.has_blob(to.id, &link.digest).await? {
            None
        } else {
            match self.copy(&link, to).await? {
                Copied::Staged(upload) => {
                    batch.bytes += link.size;
                    moving.bytes += link.size;
                    Some(upload)
                }
                Copied::Gone => {
                    moving.found = true;
                    return Ok(());
                }
                stays => {
                    // Who condemns it must be alone with it.
                    drop(hold);
                    let why = self.tell(&link, stays).await;
                    moving.left += 1;
                    let what = format!("blob {} of {}: {why}", link.digest, link.repo);
                    tracing::warn!(target: "jobs", "{what}; it stays where it is");
                    moving.why.get_or_insert(what);
                    return Ok(());
                }
            }
        };
        batch.holds.push(hold);
        batch.taken.push((link, staged));
        Ok(())
    }

    /// Why a blob stays, in words; what is wrong with it is hidden from clients, who will push it again.
    async fn tell(&self, link: &Link, stays: Copied) -> String {
        match stays {
            Copied::Stays(why) => why,
            Copied::Wrong(handle, actual) => {
                self.verifier.wrong(link.storage, link.digest, actual, handle.identity()).await;
                format!("its bytes are those of {actual}")
            }
            Copied::Lost => {
                self.verifier.lost(link.storage, &link.digest, link.size).await;
                "its file is missing, or has the wrong length".to_owned()
            }
            Copied::Staged(_) | Copied::Gone => String::new(),
        }
    }

    async fn go_over(&self, batch: Batch, order: &Move, moving: &mut Moving) -> Result<()> {
        if batch.taken.is_empty() {
            return Ok(());
        }
        let staged: Vec<_> = batch.taken.iter().filter_map(|(_, staged)| *staged).collect();
        let outcome = self.publish_and_relink(batch.taken, &order.to, moving).await;
        if outcome.is_err() {
            for upload in staged {
                discard(&order.to, upload).await;
            }
        }
        drop(batch.holds);
        outcome
    }

    async fn publish_and_relink(
        &self,
        taken: Vec<(Link, Option<UploadId>)>,
        to: &Storage,
        moving: &mut Moving,
    ) -> Result<()> {
        moving.found = true;
        // Until a row has them, the bytes belong to nobody. All of these notes share a commit.
        let copied = taken.iter().filter(|(_, staged)| staged.is_some());
        let notes = copied.map(|(link, _)| self.meta.free_bytes(to.id, &link.digest, link.size, None));
        futures_util::future::try_join_all(notes).await?;
        pass(Point::JobStaged)?;
        let mut published: HashMap<UploadId, Option<String>> = HashMap::new();
        let mut links = Vec::with_capacity(taken.len());
        for (link, staged) in taken {
            let location = match staged {
                None => None,
                // Two repositories have it.
                Some(upload) if published.contains_key(&upload) => published.get(&upload).cloned().flatten(),
                Some(upload) => {
                    let location = to.blobs.publish(&upload, &link.digest, link.size).await?;
                    pass(Point::JobPublished)?;
                    published.insert(upload, location.clone());
                    location
                }
            };
            links.push(Relink { link, to: to.id, location, copied: staged.is_some() });
        }
        let relinked = self.meta.relink(links).await?;
        pass(Point::JobCommitted)?;
        moving.done += relinked.moved;
        Ok(())
    }

    /// Copies a blob's bytes, hashing them. What fails here is the source's failure and does not keep the others, or the target's,
    /// and is an error.
    async fn copy(&self, link: &Link, to: &Storage) -> Result<Copied> {
        let from = self.storages().blobs(link.storage)?;
        let handle = match from.open(&link.digest, link.location.as_deref(), link.size).await {
            Ok(Some(handle)) => handle,
            Ok(None) => return self.not_there(link).await,
            Err(error @ StorageError::Unavailable { .. }) => return Err(error.into()),
            Err(error) => return Ok(Copied::Stays(error.to_string())),
        };
        let upload = UploadId::from_uuid(uuid::Uuid::new_v4());
        let copied = self.copy_as(upload, link, handle, to).await;
        if !matches!(copied, Ok(Copied::Staged(_))) {
            discard(to, upload).await;
        }
        copied
    }

    async fn copy_as(
        &self,
        upload: UploadId,
        link: &Link,
        handle: Arc<dyn BlobHandle>,
        to: &Storage,
    ) -> Result<Copied> {
        let mut staged = to.blobs.stage(&upload, 0, Hasher::new(link.digest.algorithm())).await?;
        let mut bytes = handle.read(0..link.size);
        let (mut pieces, mut gathered) = (Vec::new(), 0);
        while let Some(piece) = bytes.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => return Ok(Copied::Stays(error.to_string())),
            };
            gathered += piece.len();
            pieces.push(piece);
            if gathered >= PIECES {
                gathered = 0;
                staged.append(std::mem::take(&mut pieces)).await?;
            }
        }
        staged.append(pieces).await?;
        staged.flush().await?;
        let actual = staged.hasher().finish();
        if actual != link.digest {
            return Ok(Copied::Wrong(handle, actual));
        }
        drop(staged);
        Ok(Copied::Staged(upload))
    }

    /// A blob whose file is not there: deleted or moved since its link was read, or lost.
    async fn not_there(&self, link: &Link) -> Result<Copied> {
        let now = self.meta.reread_blob(&link.repo, &link.digest).await?;
        if now.is_some_and(|now| now.content.storage() == link.storage) {
            return Ok(Copied::Lost);
        }
        let reason = "it is known to be damaged, and waits for a push that heals it";
        Ok(if link.damaged { Copied::Stays(reason.to_owned()) } else { Copied::Gone })
    }
}

/// Links whose bytes are whole in the target, staged there or found, and the locks that keep them there.
#[derive(Default)]
struct Batch {
    taken: Vec<(Link, Option<UploadId>)>,
    holds: Vec<Publishing>,
    bytes: u64,
}

/// What does not go away now is cleared up as what an upload left.
async fn discard(to: &Storage, upload: UploadId) {
    if let Err(error) = to.blobs.discard(&upload).await {
        tracing::debug!(%error, "the bytes of a move that failed are left to be cleared up");
    }
}
