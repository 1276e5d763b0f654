//! Searching repositories, and the descriptions by which they are found too.
//!
//! A description is what the manifest behind the tag `latest` says of itself (the annotation `org.opencontainers.image.description`),
//! else what the image's configuration says (the label of the same name); without `latest` it is the tag that was set last. Rows hold
//! it: a push leaves only a note behind, with which the next search deals, or the background. Whose repositories are shown, and what
//! a namespace says instead, is up to whoever searches.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures_util::StreamExt as _;
use gantry_oci::{Digest, Manifest, ManifestRules, Reference, RepoName, media_type};
use gantry_storage::{DESCRIPTION_MAX, Description, Found, Outdated, Search, SearchView, StoredManifest};
use serde::Deserialize;
use tokio::sync::{Mutex, Semaphore};

use super::{Registry, Result};

/// The annotation, and the label.
const DESCRIPTION: &str = "org.opencontainers.image.description";
/// Repositories that are described together.
const BATCH: usize = 128;
/// So many a search describes before it goes by what is known,
const AT_A_SEARCH: usize = 8 * BATCH;
/// and so long it takes part in that.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest configuration that is read, in bytes.
const CONFIG_MAX: u64 = 4 << 20;
/// Manifests of an index that are looked at.
const CHILDREN: usize = 4;

/// What searches share.
pub(super) struct Searching {
    /// Whoever takes notes of changes writes the rows before the next one looks.
    describing: Mutex<()>,
    /// Each search goes through all rows: some processors are left for others.
    at_once: Semaphore,
}

impl Default for Searching {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { describing: Mutex::default(), at_once: Semaphore::new((processors / 2).clamp(1, 4)) }
    }
}

impl Registry {
    /// A page of repositories with this term in their name or description, in whatever case. Which ones stand on a page follows from
    /// when they were first tagged: what is new comes on the last page, and moves nothing from one page to another. On its page the
    /// one that is named so comes first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn search(
        &self,
        term: &str,
        page: usize,
        size: usize,
        view: Arc<dyn SearchView>,
    ) -> Result<Found> {
        let term = term.to_lowercase();
        if let Err(error) = self.catch_up().await {
            // What is known can be searched all the same; the background says what is wrong.
            tracing::debug!(%error, "a search goes by what was known before");
        }
        let _permit = self.searching.at_once.acquire().await;
        let skip = page.saturating_sub(1).saturating_mul(size);
        let mut found = self.meta.search(Search { term: term.clone(), skip, limit: size, view }).await?;
        found.results.sort_by_key(|result| Reverse(closeness(&result.name, &term)));
        Ok(found)
    }

    /// Describes a number of repositories that changed. Says whether there are more.
    ///
    /// # Errors
    /// The store failed.
    pub async fn describe_changed(&self) -> Result<bool> {
        let _alone = self.searching.describing.lock().await;
        Ok(self.describe_some().await?.1)
    }

    async fn catch_up(&self) -> Result<()> {
        let begun = Instant::now();
        // Whatever was noted before this search began, and was taken by somebody else, is written when the lock is free.
        let Ok(_alone) = tokio::time::timeout(PATIENCE, self.searching.describing.lock()).await else {
            return Ok(());
        };
        let mut described = 0;
        while described < AT_A_SEARCH && begun.elapsed() < PATIENCE {
            let (some, more) = self.describe_some().await?;
            described += some;
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// How many, and whether there are more.
    async fn describe_some(&self) -> Result<(usize, bool)> {
        let outdated = self.meta.outdated(BATCH).await?;
        // Until it is written it may be forgotten half-way: by a failure, or by a client that hangs up.
        let mut taken = Taken { registry: self, rows: outdated.rows };
        let mut descriptions = Vec::with_capacity(taken.rows.len());
        for of in &taken.rows {
            let text = self.description_of(of).await;
            descriptions.push(Description { of: of.clone(), text });
        }
        self.meta.describe(descriptions).await?;
        let count = taken.rows.len();
        taken.rows.clear();
        Ok((count, outdated.more))
    }

    async fn description_of(&self, outdated: &Outdated) -> Option<String> {
        let Some(source) = outdated.source else { return Some(String::new()) };
        let repo = &outdated.repo;
        let said = match self.stored(repo, &source.digest).await? {
            (manifest, Some(text)) => (manifest, Some(text)),
            (manifest, None) => {
                let mut text = self.label(repo, &manifest).await;
                for child in manifest.children().iter().take(CHILDREN) {
                    if text.is_some() {
                        break;
                    }
                    text = match self.stored(repo, child).await {
                        Some((_, Some(text))) => Some(text),
                        Some((child, None)) => self.label(repo, &child).await,
                        None => None,
                    };
                }
                (manifest, text)
            }
        };
        Some(said.1.unwrap_or_default())
    }

    /// A manifest, and its annotation.
    async fn stored(&self, repo: &RepoName, digest: &Digest) -> Option<(Manifest, Option<String>)> {
        let stored: Arc<StoredManifest> =
            self.meta.manifest(repo, &Reference::Digest(*digest)).await.ok()??;
        let rules = ManifestRules { extra_media_types: &self.limits.manifest_types };
        let manifest = Manifest::parse(Some(&stored.media_type), &stored.bytes, &rules).ok()?;
        let text = manifest.annotations.get(DESCRIPTION).and_then(|text| plain(text));
        Some((manifest, text))
    }

    /// What the configuration of an image says.
    async fn label(&self, repo: &RepoName, manifest: &Manifest) -> Option<String> {
        #[derive(Deserialize)]
        struct Configuration {
            config: Option<Settings>,
        }
        #[derive(Deserialize)]
        struct Settings {
            #[serde(rename = "Labels")]
            labels: Option<Labels>,
        }
        #[derive(Deserialize)]
        struct Labels {
            #[serde(rename = "org.opencontainers.image.description")]
            description: Option<String>,
        }
        let config = manifest.config.as_ref().filter(|config| {
            [media_type::DOCKER_CONFIG, media_type::OCI_CONFIG].contains(&config.media_type.as_str())
        })?;
        let blob = self.meta.blob(repo, &config.digest).await.ok()??;
        if blob.size > CONFIG_MAX {
            return None;
        }
        let mut pieces = self.open_blob(repo, &blob).await.ok()?.read(0..blob.size);
        let mut bytes = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.ok()?);
        }
        let read: Configuration = serde_json::from_slice(&bytes).ok()?;
        plain(&read.config?.labels?.description?)
    }
}

/// Repositories whose notes were taken: those that are left go back.
struct Taken<'a> {
    registry: &'a Registry,
    rows: Vec<Outdated>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.rows.is_empty() {
            self.registry.meta.give_back(&self.rows);
        }
    }
}

/// A description as people may be shown it in a terminal: one line, without letters that a terminal obeys or that turn text around,
/// of bounded length. `None`: nothing is left.
#[must_use]
pub fn plain(text: &str) -> Option<String> {
    let obeyed = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut short = String::new();
    for word in text.split(|letter: char| letter.is_whitespace() || obeyed(letter)) {
        if word.is_empty() {
            continue;
        }
        if !short.is_empty() {
            short.push(' ');
        }
        short.push_str(word);
        if short.len() > DESCRIPTION_MAX {
            break;
        }
    }
    short.truncate(short.floor_char_boundary(DESCRIPTION_MAX));
    let end = short.trim_end().len();
    short.truncate(end);
    (!short.is_empty()).then_some(short)
}

/// How well a name fits a term.
fn closeness(name: &str, term: &str) -> u8 {
    let last = name.rsplit('/').next().unwrap_or_default();
    match () {
        () if name == term => 4,
        () if last == term => 3,
        () if last.starts_with(term) => 2,
        () if name.contains(term) => 1,
        () => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_one_line_that_no_terminal_obeys() {
        assert_eq!(plain(" a\tb\r\n c\u{1b}[31md\u{202e}e\0 ").as_deref(), Some("a b c [31md e"));
        assert_eq!(plain(" \u{7} \n"), None);
        let long = plain(&"ä".repeat(3 * DESCRIPTION_MAX)).unwrap();
        assert!(long.len() <= DESCRIPTION_MAX && long.chars().all(|letter| letter == 'ä'));
        assert!(plain(&"word ".repeat(DESCRIPTION_MAX)).unwrap().len() <= DESCRIPTION_MAX);
    }

    #[test]
    fn the_name_itself_is_closest() {
        let mut names = ["x/my-web", "web/x", "library/web", "web-two", "web"];
        names.sort_by_key(|name| Reverse(closeness(name, "web")));
        assert_eq!(names, ["web", "library/web", "web-two", "x/my-web", "web/x"]);
    }
}
