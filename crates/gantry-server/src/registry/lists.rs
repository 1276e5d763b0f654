//! Lists: tags, repositories, referrers. All in pages that continue after a key, never at an offset.

use std::sync::Arc;

use gantry_oci::{Digest, Page, RepoName};
use gantry_storage::ReferrersPage;

use super::{Registry, RegistryError, Result};

/// One page of a list.
#[derive(Debug)]
pub struct Listing<T> {
    /// The entries, in order.
    pub entries: Vec<T>,
    /// Entries that the page was allowed to have.
    pub size: usize,
    /// Whether something comes after the last entry.
    pub more: bool,
}

impl<T> Listing<T> {
    fn empty() -> Self {
        Self { entries: Vec::new(), size: 0, more: false }
    }

    /// From up to `size + 1` entries, of which the last only says that there are more.
    fn cut(mut entries: Vec<T>, size: usize) -> Self {
        let more = entries.len() > size;
        entries.truncate(size);
        Self { entries, size, more }
    }
}

impl Registry {
    /// Names of repositories in byte order: those that `lists`, so that pages stay full whatever is left out. All of them
    /// stand below one of the prefixes `below` (`None`: anywhere), which are in byte order and none below another: what
    /// the caller cannot see is not walked through.
    ///
    /// # Errors
    /// The store failed.
    pub async fn catalog(
        &self,
        page: &Page,
        below: Option<&[String]>,
        lists: impl Fn(&str) -> bool,
    ) -> Result<Listing<String>> {
        let size = page.n.unwrap_or(100).min(self.limits.catalog_page);
        if size == 0 {
            return Ok(Listing::empty());
        }
        let everywhere = [String::new()];
        let mut found = Vec::new();
        for prefix in below.unwrap_or(&everywhere) {
            let mut after = match &page.last {
                Some(last) if last.as_str() >= prefix.as_str() => Some(last.clone()),
                _ => just_before(prefix),
            };
            loop {
                let wanted = (size - found.len()).saturating_add(1);
                // More than is wanted, where much is left out; not one more, where nothing is.
                let limit = if below.is_none() && found.is_empty() { wanted } else { wanted.max(BATCH) };
                let names = self.meta.catalog(after.as_deref(), limit).await?;
                let whole = names.len() < limit;
                let beyond = names.last().is_some_and(|name| !name.starts_with(prefix.as_str()));
                after = names.last().cloned();
                let within = |name: &&String| {
                    let rest = name.strip_prefix(prefix.as_str());
                    rest.is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
                };
                found.extend(names.iter().filter(within).filter(|name| lists(name)).take(wanted).cloned());
                if found.len() > size {
                    return Ok(Listing::cut(found, size));
                }
                if whole || beyond {
                    break;
                }
            }
        }
        Ok(Listing::cut(found, size))
    }

    /// Tags of a repository in byte order (end-8).
    ///
    /// # Errors
    /// The repository is unknown, or the store failed.
    pub async fn tags(&self, repo: &RepoName, page: &Page) -> Result<Listing<String>> {
        let size = page.n.unwrap_or(usize::MAX).min(self.limits.tags_page);
        // One more than the page, and at least one: a page of none still tells an unknown repository.
        let tags = self.meta.tags(repo, page.last.as_deref(), size.saturating_add(1)).await?;
        let tags = tags.ok_or_else(|| RegistryError::NameUnknown(repo.clone()))?;
        Ok(if size == 0 { Listing::empty() } else { Listing::cut(tags, size) })
    }

    /// Manifests whose subject is `subject`, in the order in which they came (end-12). None is an answer, also for a
    /// repository that is not there.
    ///
    /// # Errors
    /// The store failed.
    pub async fn referrers(
        &self,
        repo: &RepoName,
        subject: &Digest,
        artifact_types: &[String],
        after: Option<u64>,
        n: Option<usize>,
    ) -> Result<Arc<ReferrersPage>> {
        let size = n.filter(|n| *n > 0).unwrap_or(usize::MAX).min(self.limits.referrers_page);
        Ok(self.meta.referrers(repo, subject, artifact_types, after, size).await?)
    }
}

/// Names that are looked at together, where some are left out.
const BATCH: usize = 100;

/// Text behind which names begin that are this one or greater; there is nothing greater than `~` in a name.
fn just_before(name: &str) -> Option<String> {
    let last = name.bytes().last()?;
    let kept = name.get(..name.len() - 1)?;
    Some(format!("{kept}{}~", char::from(last.saturating_sub(1))))
}
