//! The scenarios: what is asked, by how many clients, of whom.

use std::time::Duration;

use anyhow::Result;

use crate::content::{self, Template};
use crate::http::Request;
use crate::load::{Until, Work};
use crate::push::{Fetch, Mixed, PushBlobs, PushImages, PushTags, Way};
use crate::seed::{self, Facts, IMAGE, MANY, PAGE, TAGS};
use crate::servers::Kind;

/// What a scenario does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Ping,
    ManifestGetTag,
    ManifestGetDigest,
    ManifestHeadTag,
    ManifestHeadDigest,
    BlobHead,
    BlobGetSmall,
    BlobGetLarge,
    ImagePull,
    TagsPage,
    CatalogPage,
    ReferrersPage,
    Mixed,
    BlobPushSmall,
    BlobPushLarge,
    ImagePush,
    /// `ManifestGetTag` once more, beside a Gantry that writes its access log.
    Log,
    /// `ManifestGetTag` once more, beside Gantrys that know who asks.
    Access,
    /// By the v1 API, beside a Gantry that is asked for what comes nearest by V2.
    V1Json,
    V1Ancestry,
    V1LayerSmall,
    V1LayerLarge,
    /// Not a load by clients: see `growth`, `steps`.
    Growth,
    Steps,
}

/// A row of the comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) clients: usize,
    pub(crate) action: Action,
}

/// All of them, in the order in which they run.
pub(crate) const ALL: &[Scenario] = &[
    row("ping", "GET /v2/", 8, Action::Ping),
    row("manifest-get-tag", "GET of a manifest by tag", 8, Action::ManifestGetTag),
    row("manifest-get-digest", "GET of a manifest by digest", 8, Action::ManifestGetDigest),
    row("manifest-head-tag", "HEAD of a manifest by tag", 8, Action::ManifestHeadTag),
    row("manifest-head-digest", "HEAD of a manifest by digest", 8, Action::ManifestHeadDigest),
    row("blob-head", "HEAD of a blob", 8, Action::BlobHead),
    row("blob-get-small", "GET of a 4 KiB blob", 8, Action::BlobGetSmall),
    row("blob-get-large-1", "GET of a 256 MiB blob", 1, Action::BlobGetLarge),
    row("blob-get-large-4", "GET of a 256 MiB blob", 4, Action::BlobGetLarge),
    row("blob-get-large-16", "GET of a 256 MiB blob", 16, Action::BlobGetLarge),
    row(
        "image-pull-1",
        "pull of an image: HEAD and GET of its manifest, GET of 5 blobs, 1.3 MiB",
        1,
        Action::ImagePull,
    ),
    row(
        "image-pull-4",
        "pull of an image: HEAD and GET of its manifest, GET of 5 blobs, 1.3 MiB",
        4,
        Action::ImagePull,
    ),
    row("tags-page", "a page of 100 tags out of 10,000", 8, Action::TagsPage),
    row("catalog-page", "a page of 100 repositories out of 10,000", 8, Action::CatalogPage),
    row("referrers-page", "the 100 referrers of a subject", 8, Action::ReferrersPage),
    row(
        "mixed",
        "nine reads (manifests, small blobs), then one push (small blob, manifest)",
        8,
        Action::Mixed,
    ),
    row("log", "GET of a manifest by tag, beside a Gantry with its access log", 8, Action::Log),
    row(
        "access",
        "GET of a manifest by tag, by nobody, with a bearer token and with a password",
        8,
        Action::Access,
    ),
    row("v1-json", "GET of a v1 image's JSON, beside GET of a manifest by tag", 8, Action::V1Json),
    row("v1-ancestry", "GET of a v1 image's ancestry, beside the same", 8, Action::V1Ancestry),
    row("v1-layer-small", "GET of a v1 layer of 4 KiB, beside GET of the blob", 8, Action::V1LayerSmall),
    row("v1-layer-large-1", "GET of a v1 layer of 256 MiB, beside GET of the blob", 1, Action::V1LayerLarge),
    row("v1-layer-large-4", "GET of a v1 layer of 256 MiB, beside GET of the blob", 4, Action::V1LayerLarge),
    row("blob-push-small-1", "push of new 4 KiB blobs", 1, Action::BlobPushSmall),
    row("blob-push-small-4", "push of new 4 KiB blobs", 4, Action::BlobPushSmall),
    row("blob-push-small-8", "push of new 4 KiB blobs", 8, Action::BlobPushSmall),
    row("image-push-1", "push of a new image: 5 blobs, 1.3 MiB, and its manifest", 1, Action::ImagePush),
    row("image-push-4", "push of a new image: 5 blobs, 1.3 MiB, and its manifest", 4, Action::ImagePush),
    row("blob-push-large-1", "push of new 256 MiB blobs", 1, Action::BlobPushLarge),
    row("blob-push-large-4", "push of new 256 MiB blobs", 4, Action::BlobPushLarge),
    row("blob-push-large-8", "push of new 256 MiB blobs", 8, Action::BlobPushLarge),
    row("steps", "durable steps (fsync and its kin) per push", 1, Action::Steps),
    row("growth", "a small store of Gantry beside a large one, and its start", 1, Action::Growth),
];

const fn row(name: &'static str, what: &'static str, clients: usize, action: Action) -> Scenario {
    Scenario { name, what, clients, action }
}

/// The scenarios that names choose: a whole name, or its first words (`blob-push-small` is three).
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Scenario>, String> {
    if names.is_empty() {
        return Ok(ALL.to_vec());
    }
    let matches = |scenario: &Scenario, name: &str| {
        scenario.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    for name in names {
        if !ALL.iter().any(|scenario| matches(scenario, name)) {
            return Err(format!("there is no scenario {name:?}; --list shows them"));
        }
    }
    Ok(ALL.iter().filter(|scenario| names.iter().any(|name| matches(scenario, name))).copied().collect())
}

impl Scenario {
    /// Whether stores grow by it; such scenarios run on stores of their own that are thrown away.
    pub(crate) fn pushes(&self) -> bool {
        matches!(self.action, Action::BlobPushSmall | Action::BlobPushLarge | Action::ImagePush)
    }

    /// Whether a server takes part.
    pub(crate) fn is_for(&self, kind: Kind) -> bool {
        match self.action {
            Action::Log => matches!(kind, Kind::Gantry | Kind::GantryLog),
            Action::Access => kind == Kind::Gantry || kind.has_accounts() && !kind.is_v1(),
            Action::V1Json | Action::V1Ancestry | Action::V1LayerSmall | Action::V1LayerLarge => {
                matches!(kind, Kind::Gantry | Kind::GantryBearer) || kind.is_v1()
            }
            Action::BlobPushLarge => kind.is_registry() && !kind.is_variant() || kind == Kind::Local,
            _ if kind.is_variant() || kind == Kind::Local => false,
            // Distribution has no such API.
            Action::ReferrersPage => !kind.is_distribution(),
            Action::Mixed | Action::BlobPushSmall | Action::ImagePush => kind.is_registry(),
            _ => true,
        }
    }

    /// Whether what is interesting is bytes per second.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.action, Action::BlobGetLarge | Action::BlobPushLarge | Action::V1LayerLarge)
    }

    /// How long a round lasts.
    pub(crate) fn until(&self, seconds: f64) -> Until {
        match (self.action, self.clients) {
            (Action::BlobGetLarge | Action::V1LayerLarge, 1) => Until::Steps(4),
            (Action::BlobGetLarge | Action::V1LayerLarge, 4) | (Action::BlobPushLarge, 1) => Until::Steps(2),
            (Action::BlobGetLarge | Action::BlobPushLarge, _) => Until::Steps(1),
            _ => Until::Time(Duration::from_secs_f64(seconds)),
        }
    }

    /// The clients' work; `authorization` is a line of the head of requests, or nothing.
    pub(crate) fn works(&self, kind: Kind, facts: &Facts, authorization: &str) -> Vec<Box<dyn Work>> {
        let large = (self.action == Action::BlobPushLarge).then(|| Template::new(content::LARGE));
        let work = |client| self.work(kind, facts, client, large.as_ref(), authorization);
        (0..self.clients).map(work).collect()
    }

    fn work(
        &self,
        kind: Kind,
        facts: &Facts,
        client: usize,
        large: Option<&Template>,
        authorization: &str,
    ) -> Box<dyn Work> {
        let repository = "bench/push".to_owned();
        match (self.action, large) {
            (Action::BlobPushLarge, Some(template)) => {
                Box::new(PushBlobs { repository, template: template.clone(), way: Way::Put })
            }
            (Action::BlobPushSmall, _) => {
                Box::new(PushBlobs { repository, template: Template::new(content::SMALL), way: Way::Put })
            }
            (Action::ImagePush, _) => {
                let templates = content::IMAGE.iter().map(|size| Template::new(*size)).collect();
                Box::new(PushImages { repository, templates })
            }
            (Action::Mixed, _) => {
                let lists = [
                    Action::ManifestGetTag,
                    Action::BlobGetSmall,
                    Action::ManifestHeadTag,
                    Action::BlobHead,
                    Action::ManifestGetDigest,
                ]
                .iter()
                .flat_map(|action| requests(*action, facts))
                .collect();
                let writes: Vec<Box<dyn Work>> = vec![
                    Box::new(PushBlobs {
                        repository,
                        template: Template::new(content::SMALL),
                        way: Way::Put,
                    }),
                    Box::new(PushTags { repository: IMAGE.to_owned(), blobs: facts.blobs.clone() }),
                ];
                Box::new(Mixed { reads: Fetch { lists, next: client }, writes, step: client })
            }
            (action, _) => {
                let lists = requests_as(action.of(kind), facts, authorization);
                Box::new(Fetch { lists, next: client })
            }
        }
    }
}

impl Action {
    /// What a server is asked: one that is asked by V2 for what comes nearest to a question of v1.
    pub(crate) fn of(self, kind: Kind) -> Self {
        match self {
            Action::V1Json | Action::V1Ancestry if !kind.is_v1() => Action::ManifestGetTag,
            Action::V1LayerSmall if !kind.is_v1() => Action::BlobGetSmall,
            Action::V1LayerLarge if !kind.is_v1() => Action::BlobGetLarge,
            action => action,
        }
    }
}

/// The requests of a reading action by somebody.
pub(crate) fn requests_as(action: Action, facts: &Facts, authorization: &str) -> Vec<Vec<Request>> {
    let with = |request: Request| request.with_headers(authorization);
    requests(action, facts).into_iter().map(|list| list.into_iter().map(with).collect()).collect()
}

/// The requests of a reading action; each inner list is one operation.
pub(crate) fn requests(action: Action, facts: &Facts) -> Vec<Vec<Request>> {
    let manifest = |method: &str, reference: &str| {
        Request::new(method, &format!("/v2/{IMAGE}/manifests/{reference}"), &seed::accept(), 200)
    };
    let blob =
        |method: &str, digest: &str| Request::new(method, &format!("/v2/{IMAGE}/blobs/{digest}"), "", 200);
    let get = |path: &str| Request::new("GET", path, "", 200);
    let image = |id: &str, part: &str| get(&format!("/v1/images/{id}/{part}"));
    // 64 places, so that no answer can be kept whole.
    let places = || (0..64).map(|place| MANY / 128 + place * (MANY - PAGE * 2) / 64);
    let one = match action {
        Action::Ping => get("/v2/"),
        Action::ManifestGetTag | Action::Log | Action::Access => manifest("GET", "latest"),
        Action::ManifestGetDigest => manifest("GET", &facts.manifest_digest),
        Action::ManifestHeadTag => manifest("HEAD", "latest"),
        Action::ManifestHeadDigest => manifest("HEAD", &facts.manifest_digest),
        Action::BlobHead => blob("HEAD", &facts.small),
        Action::BlobGetSmall => blob("GET", &facts.small),
        Action::BlobGetLarge => blob("GET", &facts.large),
        Action::V1Json => image(&facts.v1.top, "json"),
        Action::V1Ancestry => image(&facts.v1.top, "ancestry"),
        Action::V1LayerSmall => image(&facts.v1.top, "layer"),
        Action::V1LayerLarge => image(&facts.v1_large.top, "layer"),
        Action::ReferrersPage => get(&format!("/v2/{IMAGE}/referrers/{}", facts.manifest_digest)),
        Action::ImagePull => {
            let mut list = vec![manifest("HEAD", "latest"), manifest("GET", &facts.manifest_digest)];
            list.extend(facts.blobs.iter().map(|(digest, _)| blob("GET", digest)));
            return vec![list];
        }
        Action::TagsPage => {
            let page = |last| vec![get(&format!("/v2/{TAGS}/tags/list?n={PAGE}&last={}", seed::tag(last)))];
            return places().map(page).collect();
        }
        Action::CatalogPage => {
            let page = |last| vec![get(&format!("/v2/_catalog?n={PAGE}&last={}", seed::repository(last)))];
            return places().map(page).collect();
        }
        Action::Mixed
        | Action::BlobPushSmall
        | Action::BlobPushLarge
        | Action::ImagePush
        | Action::Growth
        | Action::Steps => return Vec::new(),
    };
    vec![vec![one]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> Result<Vec<&'static str>, String> {
        let wanted: Vec<_> = of.iter().map(|name| (*name).to_owned()).collect();
        Ok(chosen(&wanted)?.iter().map(|scenario| scenario.name).collect())
    }

    #[test]
    fn scenarios_are_chosen_by_their_first_words() {
        assert_eq!(names(&["ping", "image-pull"]).unwrap(), ["ping", "image-pull-1", "image-pull-4"]);
        assert_eq!(names(&[]).unwrap().len(), ALL.len());
    }

    #[test]
    fn a_scenario_that_is_not_there_is_an_error() {
        assert!(names(&["ping", "pin"]).unwrap_err().contains("\"pin\""));
    }
}
