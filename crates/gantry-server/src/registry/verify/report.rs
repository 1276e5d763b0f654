//! What a full check tells while it goes on and in the end: plain values that are printed, or sent as JSON and read again.

use serde::{Deserialize, Serialize};

/// Something that a full check has to tell.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Where it stands; every second or so.
    Progress {
        /// What is being looked at.
        stage: Stage,
        /// Things looked at in this stage.
        done: u64,
        /// Bytes read in all.
        bytes: u64,
    },
    /// Something that is not as it should be.
    Finding(Finding),
    /// The end.
    Done(Report),
    /// It broke off.
    Failed {
        /// Why.
        message: String,
    },
}

/// What is being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The database's own structure.
    Database,
    /// Blobs, by their rows.
    Blobs,
    /// Manifests, by their rows.
    Manifests,
    /// Files of the blob store, whether a row knows them.
    Files,
    /// Bytes of uploads.
    Uploads,
}

impl Stage {
    /// In a sentence.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Database => "database",
            Stage::Blobs => "blobs",
            Stage::Manifests => "manifests",
            Stage::Files => "files",
            Stage::Uploads => "uploads",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// With what: a digest, a path.
    pub subject: String,
    /// In words.
    pub detail: String,
    /// Some of the repositories that it concerns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// What was done.
    pub action: Action,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The database contradicts itself, or cannot be read.
    Database,
    /// A row holds what cannot be.
    Row,
    /// A blob's file is not there.
    BlobMissing,
    /// A blob's file is too short or too long.
    BlobSize,
    /// A blob's bytes are not those of its digest.
    BlobDamaged,
    /// The disk does not give a blob's bytes.
    BlobUnreadable,
    /// A manifest's bytes are not those of its digest.
    ManifestDamaged,
    /// A file that no row knows.
    UnknownFile,
    /// Something in the blob store that is not named like a blob.
    OddFile,
    /// Bytes of no upload session.
    UploadLeftover,
    /// A manifest names something that its repository does not have.
    DanglingReference,
}

impl Kind {
    /// Whether something that was acknowledged is not there whole. Anything else is worth knowing and harmless.
    #[must_use]
    pub fn is_damage(self) -> bool {
        match self {
            Kind::Database
            | Kind::Row
            | Kind::BlobMissing
            | Kind::BlobSize
            | Kind::BlobDamaged
            | Kind::BlobUnreadable
            | Kind::ManifestDamaged => true,
            Kind::UnknownFile | Kind::OddFile | Kind::UploadLeftover | Kind::DanglingReference => false,
        }
    }

    /// In a line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Database => "damaged database",
            Kind::Row => "unreadable row",
            Kind::BlobMissing => "missing blob",
            Kind::BlobSize => "blob of the wrong size",
            Kind::BlobDamaged => "damaged blob",
            Kind::BlobUnreadable => "unreadable blob",
            Kind::ManifestDamaged => "damaged manifest",
            Kind::UnknownFile => "unknown file",
            Kind::OddFile => "odd file",
            Kind::UploadLeftover => "leftover of an upload",
            Kind::DanglingReference => "dangling reference",
        }
    }
}

/// What was done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing: it is only told.
    Reported,
    /// Nothing, for the reason that the detail gives.
    Kept,
    /// Clients do not find it any more; a new push heals it.
    Hidden,
    /// The same, and the file was moved to `quarantine/`.
    Quarantined,
    /// It was marked as damaged and is right again: clients find it.
    Healed,
}

impl Action {
    /// In a line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Action::Reported => "reported",
            Action::Kept => "kept",
            Action::Hidden => "hidden",
            Action::Quarantined => "quarantined",
            Action::Healed => "healed",
        }
    }
}

/// The end of a full check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Report {
    /// Whether something was to be done about what is found.
    pub repair: bool,
    /// Blobs looked at.
    pub blobs: u64,
    /// Manifests looked at.
    pub manifests: u64,
    /// Files looked at.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Findings that are damage.
    pub damage: u64,
    /// Those of them that were hidden, quarantined or healed.
    pub repaired: u64,
    /// Findings that are not damage.
    pub notes: u64,
}
