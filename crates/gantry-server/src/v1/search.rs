//! `/v1/search`: what `docker search HOST/TERM` and `podman search HOST/TERM` ask, over all repositories, whichever API they came by.
//!
//! Nobody is shown what does not stand in their catalog. Callers who are nobody get 401 where reading needs somebody, and never an
//! empty list: podman asks without credentials first, and again with them after anything but 200.

use std::collections::HashMap;
use std::sync::Arc;

use gantry_oci::v1::SearchQuery;
use gantry_storage::{Said, SearchView};
use serde::Serialize;

use super::{Context, json};
use crate::auth::{Credential, Identity};
use crate::http::Response;
use crate::http::legacy::Failure;
use crate::policy::{Denied, Rules};
use crate::registry::plain;

pub(super) async fn search(cx: &Context<'_>, query: SearchQuery) -> Result<Response, Failure> {
    let (identity, rules) = (&cx.caller.identity, &cx.caller.rules);
    if !rules.searches(identity) {
        return Err(match identity.credential {
            Credential::Nothing | Credential::Bearer => Failure::Unauthorized,
            _ => Failure::Denied(Denied::Closed),
        });
    }
    let view = Arc::new(View::new(identity.clone(), Arc::clone(rules), &query.term));
    let found = cx.app.registry.search(&query.term, query.page, query.n, view).await?;
    let results = found.results.iter().map(|result| Entry {
        name: &result.name,
        description: &result.description,
        star_count: 0,
        is_official: false,
        is_automated: false,
        is_trusted: false,
    });
    json(&Answer {
        query: &query.term,
        num_results: found.total,
        num_pages: found.total.div_ceil(query.n.max(1)),
        page: query.page,
        page_size: query.n,
        results: results.collect(),
    })
}

#[derive(Serialize)]
struct Answer<'a> {
    query: &'a str,
    num_results: usize,
    num_pages: usize,
    page: usize,
    page_size: usize,
    results: Vec<Entry<'a>>,
}

/// Stars and the like are what Docker Hub has; clients read the fields.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    description: &'a str,
    star_count: u64,
    is_official: bool,
    is_automated: bool,
    is_trusted: bool,
}

/// The repositories as one caller sees them.
struct View {
    identity: Identity,
    rules: Arc<Rules>,
    /// Descriptions of namespaces, by prefix, each with whether it holds the term.
    said: HashMap<String, (String, bool)>,
}

impl View {
    fn new(identity: Identity, rules: Arc<Rules>, term: &str) -> Self {
        let term = term.to_lowercase();
        let described = rules.namespaces().into_iter().filter_map(|namespace| {
            let text = plain(&namespace.description)?;
            let fits = text.to_lowercase().contains(&term);
            Some((namespace.prefix.clone(), (text, fits)))
        });
        let said = described.collect();
        Self { identity, rules, said }
    }
}

impl SearchView for View {
    fn shows(&self, repo: &str) -> bool {
        self.rules.lists(&self.identity, repo)
    }

    fn says(&self, repo: &str) -> Option<Said<'_>> {
        if self.said.is_empty() {
            return None;
        }
        let (text, fits) = self.said.get(&self.rules.namespace_of(repo).prefix)?;
        Some(Said { text, fits: *fits })
    }
}
