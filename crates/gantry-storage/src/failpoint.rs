//! Named places at which a build for tests can be made to fail.
//!
//! With the cargo feature `failpoints`, `GANTRY_FAIL_AT=name:n[:action]` makes the program act when it passes the place `name` for
//! the n-th time: die as by `kill -9`, fail as a broken or a full disk does, wait, or stop. So every step between two promises
//! can be cut exactly there, again and again. Without the feature [`hit`] is an empty function and the names are not in
//! the program.
//!
//! What this is not: a way to change what Gantry does in operation. No released binary has it; nothing reads the variable
//! but the program's start; a plan acts once.
//!
//! A new place is one line in the list below and `failpoint::hit(Point::TheName)?` where it is passed. The list is
//! what the torture machine goes through, so a place that is listed must be one that its load comes by.

/// Makes the list, with the feature and without.
macro_rules! points {
    ($($variant:ident = $name:literal, $sentence:literal;)*) => {
        /// A place. The name says what has been done when it is passed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the sentences in the list document them")]
        pub enum Point {
            $($variant,)*
        }

        /// All of them in the order of the list: place, name, sentence.
        #[cfg(feature = "failpoints")]
        pub const ALL: &[(Point, &str, &str)] = &[$((Point::$variant, $name, $sentence),)*];
    };
}

points! {
    // A store comes into being, or is opened again.
    StoreDirectoryMade = "store.directory-made", "the data directory is there; its entry is not durable yet";
    StoreLocked = "store.locked", "the lock is ours; nothing has been read";
    StoreExamined = "store.examined", "the database file is open (and made, on the first start); it has no new schema yet";
    StorePrepared = "store.prepared", "the schema is up to date and the store's id is in the database; no marker yet";
    StoreMarked = "store.marked", "the marker is durable; the database does not know it yet";
    StoreNoted = "store.noted", "the database knows of the marker; the note beside the directory is not written yet";
    StoreTreeMade = "store.tree-made", "the blob directories are there; the writer does not run yet";
    SmallFileWritten = "file.written", "a marker or note is written under its other name and not synced";
    SmallFileSynced = "file.synced", "a marker or note is synced and not renamed";
    SmallFileRenamed = "file.renamed", "a marker or note has its name; the directory is not synced";
    MigrationBegun = "migration.begun", "the transaction of a migration (the n-th in this start) has begun";
    MigrationApplied = "migration.applied", "its statements have run; the version is not raised";
    MigrationVersioned = "migration.versioned", "the version is raised; nothing is committed";
    MigrationCommitted = "migration.committed", "it is committed; the next has not begun";

    // An upload session.
    UploadStarting = "upload.starting", "a session is about to begin";
    UploadStarted = "upload.started", "a session has begun and is not answered";
    UploadReceiving = "upload.receiving", "a request has the session; none of its bytes is taken";
    UploadSaved = "upload.saved", "bytes were taken and the session says so; they are not answered";
    SessionNoting = "session.noting", "a session's row is about to be appended to the sessions' log";
    SessionNoted = "session.noted", "a session's row, or its end, is in the sessions' log";
    SessionsAnew = "session.anew", "the sessions' log is written anew, and not in its place yet";
    UploadChecked = "upload.checked", "the digest of a finished upload is right; nothing is published";
    UploadPublished = "upload.published", "a blob's bytes are durable under their digest; there is no row";
    UploadStored = "upload.stored", "the rows of a blob are durable; what was staged is still there, and nothing is answered";
    UploadClosing = "upload.closing", "a session is about to be cancelled or to expire";
    UploadDiscarded = "upload.discarded", "a cancelled or expired session's bytes are gone; its row is there";
    UploadClosed = "upload.closed", "a cancelled or expired session is gone and that is not answered";
    StageOpened = "stage.opened", "an upload's file is open";
    StageWriting = "stage.writing", "a batch is about to be written";
    StageWritten = "stage.written", "a batch is written and not hashed";

    // From an upload's file to a blob.
    PublishStarted = "publish.started", "the staged file is complete and not synced";
    PublishSynced = "publish.synced", "the bytes are durable; the directories are not made";
    PublishDirectories = "publish.directories", "the directories are made and not synced";
    PublishRenamed = "publish.renamed", "the blob has its name; its directory is not synced";
    PublishDirectorySynced = "publish.directory-synced", "the blob's directory is synced; the one above is not";
    SyncFile = "sync.file", "the fsync of a blob's bytes: here eio is the fsync failing, and the store turns read-only";
    SyncDirectory = "sync.directory", "the fsync of a directory, likewise";
    PublishDurable = "publish.durable", "the blob is durable under its name";

    // Inside the transaction that a group of writes shares.
    GroupBegin = "group.begin", "a group of writes is about to begin its transaction";
    GroupBegun = "group.begun", "the transaction has begun";
    GroupSessions = "group.sessions", "the rows of upload sessions that waited are written, not committed";
    GroupOperation = "group.operation", "one operation of a group is done, not committed";
    GroupCommit = "group.commit", "all operations of a group are done; COMMIT is next";
    GroupCommitted = "group.committed", "COMMIT has returned; nobody is answered";
    GroupAnswered = "group.answered", "one operation of a group is answered; others may not be";
    CheckpointBegin = "checkpoint.begin", "the log is about to be folded into the database";
    CheckpointEnd = "checkpoint.end", "the log is folded into the database";
    BlobRow = "blob.row", "a blob's row is written; the link is not";
    BlobLinked = "blob.linked", "a blob is linked; its session is not ended";
    BlobMounted = "blob.mounted", "a blob is linked from another repository, not committed";
    BlobUnlinked = "blob.unlinked", "a blob's link is removed, not committed";
    ManifestRow = "manifest.row", "a manifest's row is written; its edges are not";
    ManifestEdges = "manifest.edges", "a manifest's edges are written; its tags are not";
    ManifestUntagged = "manifest.untagged", "a deleted manifest's tags are gone; the manifest is not";
    ManifestDeleted = "manifest.deleted", "a manifest is gone, not committed";
    ImageBegun = "image.begun", "an image's JSON is written; its parent is not held";
    ImageLayer = "image.layer", "an image has its layer; the layer's link still has its date";
    ImageCompleted = "image.completed", "an image is complete, not committed";
    ImagesDerived = "image.derived", "the images of a manifest are there; nothing says that they are the manifest";
    ImageLinked = "image.linked", "one image of a chain is linked from another repository; those above it are not";
    ImageViewed = "image.viewed", "an image and a manifest are the same thing, not committed";
    ImageRemoved = "image.removed", "an image is gone; its layer and its parent are still held";
    RepositoryEmptying = "repository.emptying", "a part of what a repository had is gone, not committed";
    TagSet = "tag.set", "a tag points to its manifest, not committed";
    TagDeleted = "tag.deleted", "a tag is gone, not committed";

    // Bytes that no repository has any more.
    SweepFreed = "sweep.freed", "a blob's row is gone and its file is noted to go, not committed";
    SweepLooked = "sweep.looked", "the digest of a freed file is locked and has no row; the file is about to go";
    SweepRemoved = "sweep.removed", "a freed file is gone; its directory is not synced";
    SweepSettled = "sweep.settled", "removals are durable; the notes of them are there";
    SweepForgotten = "sweep.forgotten", "the notes of removed files are gone";

    // What nothing names for longer than the grace period.
    LapsedRemoved = "lapsed.removed", "the sweep removed a manifest or a link, not committed";
    LapsedDecided = "lapsed.decided", "a batch of the sweep's decisions is committed";
    LapsedRenewed = "lapsed.renewed", "a promise is renewed, not committed";
    LapsedSubject = "lapsed.subject", "the referrers of a deleted manifest are gone; it is still noted";

    // Bytes that were found wrong.
    DamageMarked = "damage.marked", "damaged bytes are not found any more; they are not moved aside";
    DamageAside = "damage.aside", "damaged bytes are moved aside; nothing is told";

    // Work that goes on after a restart: a namespace moves to another storage.
    JobOrdered = "job.ordered", "a job's row is written, not committed";
    JobBegun = "job.begun", "a job is noted as running; nothing of it is done in this process";
    JobStaged = "job.staged", "the bytes of a batch are staged in the target, right, and noted as nobody's; they are not published";
    JobPublished = "job.published", "a blob's bytes are durable in the target; no row there says so";
    JobRelinked = "job.relinked", "a link leads to the target, not committed";
    JobCommitted = "job.committed", "a batch of links leads to the target; the progress is not noted";
    JobNoted = "job.noted", "a job's state and progress are written, not committed";
    JobEnding = "job.ending", "nothing is left to be moved; the job is not noted as done";
}

#[cfg(not(feature = "failpoints"))]
mod plan {
    /// Passes a place: nothing happens.
    ///
    /// # Errors
    /// None.
    #[inline(always)]
    pub fn hit(_: super::Point) -> std::io::Result<()> {
        Ok(())
    }

    /// What is wrong with a plan.
    #[derive(Debug, thiserror::Error)]
    pub enum PlanError {
        /// There is nothing that could act on it.
        #[error(
            "GANTRY_FAIL_AT={0} is set, but this gantry has no failpoints: unset it, or build with `--features failpoints`"
        )]
        NotCompiled(String),
    }

    /// Refuses: a plan that nobody follows must not pass for a test.
    ///
    /// # Errors
    /// Always.
    pub fn arm(plan: &str) -> Result<(), PlanError> {
        Err(PlanError::NotCompiled(plan.to_owned()))
    }

    /// The list for people; `None`: this program has none.
    #[must_use]
    pub fn describe() -> Option<String> {
        None
    }
}

#[cfg(feature = "failpoints")]
mod plan;

pub use plan::{PlanError, arm, describe, hit};
