//! What a search finds: one row for each repository that has a tag, with its description.
//!
//! Rows are made after the fact: a push notes in memory that its repository changed, and parses nothing. Whoever searches, and the
//! background, deal with the notes: [`SearchRows::outdated`] says what has to be described anew, [`SearchRows::describe`] writes it.
//! After a start every repository is looked at once, since notes do not survive the process.
//!
//! Rows are numbered as they come, and that is the order of what is found: what is new comes last, so it moves nothing from one page
//! to another.

use std::sync::Arc;

use async_trait::async_trait;
use gantry_oci::{Digest, RepoName};

use crate::error::Result;

/// The longest description, in bytes. What is longer is cut by whoever describes.
pub const DESCRIPTION_MAX: usize = 1024;

/// The part of [`crate::MetaStore`] that searches.
#[async_trait]
pub trait SearchRows {
    /// Takes repositories, at most `limit`, from the list of those that may have changed, and tells which of them need another row.
    /// Nobody else is told of them again before they change again; so there is one caller at a time, who ends with
    /// [`Self::describe`] or [`Self::give_back`].
    async fn outdated(&self, limit: usize) -> Result<OutdatedRows>;

    /// Puts repositories on the list again that could not be described.
    fn give_back(&self, outdated: &[Outdated]);

    /// Writes rows, each only if the repository is still as [`Outdated`] had it: else it is on the list again.
    async fn describe(&self, descriptions: Vec<Description>) -> Result<()>;

    /// Rows in the order of their numbers, without waiting for what is outdated.
    async fn search(&self, search: Search) -> Result<Found>;
}

/// What [`SearchRows::outdated`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutdatedRows {
    /// What needs another row.
    pub rows: Vec<Outdated>,
    /// Whether the list has more.
    pub more: bool,
}

/// A repository whose row is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outdated {
    /// Which one.
    pub repo: RepoName,
    /// What its description is to be taken from: what the tag `latest` points to, else the tag that was set last. `None`: it has no tag.
    pub source: Option<Source>,
}

/// A manifest that describes its repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its number, which no other manifest ever gets.
    pub number: u64,
    /// Its digest.
    pub digest: Digest,
}

/// A row to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// What for, and by what.
    pub of: Outdated,
    /// What is said; empty: nothing is. `None`: it could not be read, and is to be looked for again after the next start.
    pub text: Option<String>,
}

/// What is looked for.
#[derive(Clone)]
pub struct Search {
    /// In lower case; empty: everything.
    pub term: String,
    /// Results to leave out, from the beginning.
    pub skip: usize,
    /// Results to give at most.
    pub limit: usize,
    /// Which rows there are for whoever searches.
    pub view: Arc<dyn SearchView>,
}

/// How a search looks to whoever makes it. Asked for many rows: it should be quick.
pub trait SearchView: Send + Sync {
    /// Whether the repository is there at all.
    fn shows(&self, repo: &str) -> bool;

    /// What is said of the repository instead of its own description.
    fn says(&self, repo: &str) -> Option<Said<'_>>;
}

/// A description that does not come from the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// What it says.
    pub text: &'a str,
    /// Whether it holds the term.
    pub fits: bool,
}

/// What [`SearchRows::search`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The page.
    pub results: Vec<FoundRepository>,
    /// Results in all pages.
    pub total: usize,
}

/// A repository that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRepository {
    /// Its name.
    pub name: String,
    /// Empty: none.
    pub description: String,
}
