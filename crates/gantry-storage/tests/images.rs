//! Random pushes, tags, links, deletes and sweeps of v1 images, against a model that says after each step what must be there.
//!
//! The model has no dates and counts nothing: what holds what is worked out anew from the rows each time. That no image that something
//! needs ever goes, nor its layer, and that all the rest goes in the end, follows from the two being equal.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a failed expectation is a failed test"
)]

mod scratch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, RepoName};
use gantry_storage::meta::suite::{blob, manifest, repo, tag};
use gantry_storage::{
    BeginImage, CandidateKind, Deleted, DerivedImage, ImageLayer, ImageState, ImageStep, LinkImage,
    MetaStore, NewImage, NewManifest, PutManifest, StorageId, StoredImage, Sweep, TagLocks, Terms, Verdict,
    View,
};

use self::scratch::{Scratch, open};

/// Everything that nothing names may go.
const AT_ONCE: Terms = Terms { grace: Duration::ZERO };
const LAYERS: usize = 4;
const MANIFESTS: usize = 5;
const TAGS: [&str; 2] = ["a", "b"];
const STEPS: usize = 500;

fn layer(number: usize) -> NewLayer {
    let text = format!("model layer {number}");
    NewLayer { digest: Digest::sha256(text.as_bytes()), text }
}

struct NewLayer {
    digest: Digest,
    text: String,
}

fn id(text: &str) -> ImageId {
    ImageId::from_bytes(Digest::sha256(text.as_bytes()).bytes().try_into().expect("32 bytes"))
}

/// The layers of a manifest, and the chain that is derived of it: manifests share bases.
fn layers_of(number: usize) -> Vec<usize> {
    [&[0][..], &[0, 1], &[0, 1, 2], &[0, 3], &[1, 1]].get(number).expect("so many").to_vec()
}

fn manifest_text(number: usize) -> String {
    format!("model manifest {number}")
}

fn manifest_digest(number: usize) -> Digest {
    Digest::sha256(manifest_text(number).as_bytes())
}

fn derive(number: usize) -> Vec<DerivedImage> {
    let mut name = String::new();
    let layers = layers_of(number).into_iter();
    layers
        .map(|number| {
            name += &format!("/{number}");
            let layer = layer(number);
            DerivedImage { id: id(&name), json: json(&name, 0), layer: layer.digest, size: 5 }
        })
        .collect()
}

fn json(name: &str, version: usize) -> Bytes {
    Bytes::from(format!("{name}, version {version}"))
}

/// Ids under which the clients of the model push: of their own, and some that are derived too.
const IDS: [&str; 7] = ["one", "two", "three", "four", "/0", "/0/1", "/0/3"];

#[derive(Clone, Debug, PartialEq)]
struct Image {
    state: ImageState,
    json: Bytes,
    ancestry: Vec<ImageId>,
    layer: Option<Digest>,
    generation: u64,
}

impl Image {
    fn is_complete(&self) -> bool {
        self.state == ImageState::Complete
    }
}

/// What a repository must have.
#[derive(Clone, Debug, Default, PartialEq)]
struct Repository {
    native: BTreeMap<ImageId, Image>,
    derived: BTreeMap<ImageId, Image>,
    links: BTreeSet<Digest>,
    manifests: BTreeSet<usize>,
    /// `None` among them: it is no image.
    views: BTreeMap<usize, Vec<Option<ImageId>>>,
    tags: BTreeMap<&'static str, (usize, Option<ImageId>)>,
}

impl Repository {
    fn rows(&self) -> impl Iterator<Item = &Image> {
        self.native.values().chain(self.derived.values())
    }

    fn is_held(&self, id: &ImageId) -> bool {
        self.rows().any(|image| image.ancestry.get(1) == Some(id))
            || self.views.values().flatten().any(|top| top.as_ref() == Some(id))
    }

    fn names(&self, digest: &Digest) -> bool {
        self.rows().any(|image| image.layer.as_ref() == Some(digest))
            || self
                .manifests
                .iter()
                .any(|number| layers_of(*number).iter().any(|n| layer(*n).digest == *digest))
    }

    /// The one that counts.
    fn image(&self, id: &ImageId) -> Option<&Image> {
        self.derived.get(id).or_else(|| self.native.get(id))
    }

    fn complete(&self, id: &ImageId) -> Option<&Image> {
        self.derived.get(id).or_else(|| self.native.get(id).filter(|image| image.is_complete()))
    }

    /// Derived images that nothing holds go by themselves.
    fn settle(&mut self) {
        while let Some(gone) = self.derived.keys().find(|id| !self.is_held(id)).copied() {
            self.derived.remove(&gone);
        }
    }

    /// Of those that were pushed, the sweep removes what nothing holds.
    fn sweep_images(&mut self) {
        while let Some(gone) = self.native.keys().find(|id| !self.is_held(id)).copied() {
            self.native.remove(&gone);
            self.settle();
        }
    }

    fn sweep_links(&mut self) {
        let gone: Vec<_> = self.links.iter().filter(|digest| !self.names(digest)).copied().collect();
        for digest in gone {
            self.links.remove(&digest);
        }
    }
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

struct Run {
    meta: Arc<dyn MetaStore>,
    dice: Dice,
    names: [RepoName; 3],
    model: [Repository; 3],
    /// How often what happened.
    told: BTreeMap<String, usize>,
}

impl Run {
    fn tell(&mut self, what: impl std::fmt::Debug) {
        let what = format!("{what:?}");
        let what = what.split('(').next().unwrap_or_default().trim_matches('"').to_owned();
        *self.told.entry(what).or_default() += 1;
    }

    async fn step(&mut self) -> usize {
        let at = self.dice.below(3);
        match self.dice.below(100) {
            0..16 => self.put_blob(at).await,
            16..29 => self.begin(at).await,
            29..45 => self.put_layer(at).await,
            45..61 => self.complete(at).await,
            61..75 => self.put_manifest(at).await,
            75..81 => self.put_view(at).await,
            81..84 => self.delete_manifest(at).await,
            84..87 => self.delete_tag(at).await,
            87..95 => self.link(at).await,
            95..96 => self.sweep(at, CandidateKind::Image).await,
            96..98 => self.sweep(at, CandidateKind::Link).await,
            98..99 if self.dice.below(3) == 0 => self.delete_repository(at).await,
            _ => self.delete_blob(at).await,
        }
        at
    }

    async fn put_blob(&mut self, at: usize) {
        let layer = layer(self.dice.below(LAYERS));
        self.meta.put_blob(blob(&self.names[at], &layer.text)).await.expect("stored");
        self.model[at].links.insert(layer.digest);
    }

    /// An id of the clients for which this holds, if there is one.
    fn some(&mut self, at: usize, holds: impl Fn(&Repository, &ImageId) -> bool) -> Option<ImageId> {
        let first = self.dice.below(IDS.len());
        let all = IDS.iter().cycle().skip(first).take(IDS.len()).map(|name| id(name));
        all.into_iter().find(|id| holds(&self.model[at], id))
    }

    async fn begin(&mut self, at: usize) {
        let name = IDS[self.dice.below(IDS.len())];
        let parent = match self.dice.below(6) {
            0..2 => None,
            2..5 => self.some(at, |model, id| model.complete(id).is_some()),
            _ => Some(id(IDS[self.dice.below(IDS.len())])),
        };
        let json = json(name, self.dice.below(8) / 7);
        let new = NewImage { repo: self.names[at].clone(), id: id(name), parent, json: json.clone() };
        let answer = self.meta.begin_image(new).await.expect("decided");
        let model = &mut self.model[at];
        let below = parent.map(|parent| model.complete(&parent).map(|image| image.ancestry.clone()));
        match (model.complete(&id(name)), &below) {
            (Some(_), _) => assert_eq!(answer, BeginImage::Exists),
            (None, Some(None)) => assert_eq!(answer, BeginImage::NoParent),
            (None, _) => {
                let BeginImage::Begun(generation) = answer else { unreachable!("{answer:?}") };
                let ancestry = [vec![id(name)], below.flatten().unwrap_or_default()].concat();
                let state = ImageState::Described;
                model.native.insert(id(name), Image { state, json, ancestry, layer: None, generation });
            }
        }
        self.model[at].settle();
        self.tell(answer);
    }

    /// An id, and what an image of that must do now; `Ok`: whatever the step says.
    fn in_progress(&mut self, at: usize) -> (ImageId, u64, Result<(), ImageStep>) {
        let unfinished = match self.dice.below(4) {
            0 => None,
            _ => self.some(at, |model, id| model.image(id).is_some_and(|image| !image.is_complete())),
        };
        let id = unfinished.unwrap_or_else(|| id(IDS[self.dice.below(IDS.len())]));
        let model = &self.model[at];
        let generation = model.image(&id).map_or(1, |image| image.generation);
        let early = match model.image(&id) {
            None => Err(ImageStep::Unknown),
            Some(_) if model.complete(&id).is_some() => Err(ImageStep::Exists),
            Some(_) if self.dice.below(10) == 0 => Err(ImageStep::Stale),
            Some(_) => Ok(()),
        };
        (id, if early == Err(ImageStep::Stale) { generation - 1 } else { generation }, early)
    }

    async fn put_layer(&mut self, at: usize) {
        let (id, generation, early) = self.in_progress(at);
        let digest = layer(self.dice.below(LAYERS)).digest;
        let layer = ImageLayer { digest, size: 5, content: None };
        let answer = self.meta.put_image_layer(&self.names[at], &id, generation, layer).await;
        let model = &mut self.model[at];
        let expected = match early {
            Err(early) => early,
            Ok(()) if !model.links.contains(&digest) => ImageStep::NoBlob,
            Ok(()) => {
                let image = model.native.get_mut(&id).expect("in progress");
                (image.state, image.layer) = (ImageState::WithLayer, Some(digest));
                ImageStep::Done
            }
        };
        assert_eq!(answer.expect("decided"), expected);
        self.tell(expected);
    }

    async fn complete(&mut self, at: usize) {
        let (id, generation, early) = self.in_progress(at);
        let layer = self.model[at].native.get(&id).and_then(|image| image.layer);
        let layer = layer.unwrap_or_else(|| Digest::sha256(b"no layer"));
        let answer =
            self.meta.complete_image(&self.names[at], &id, generation, &layer).await.expect("decided");
        let model = &mut self.model[at];
        let expected = match early {
            Err(early) => early,
            Ok(()) => {
                let image = model.native.get_mut(&id).expect("in progress");
                match image.layer {
                    None => ImageStep::NoLayer,
                    Some(layer) if !model.links.contains(&layer) => ImageStep::NoBlob,
                    Some(_) => {
                        image.state = ImageState::Complete;
                        ImageStep::Done
                    }
                }
            }
        };
        assert_eq!(answer, expected);
        self.tell(expected);
    }

    async fn put_manifest(&mut self, at: usize) {
        let (number, name) = (self.dice.below(MANIFESTS), TAGS[self.dice.below(TAGS.len())]);
        let image = match self.dice.below(8) {
            0..4 => None,
            4..7 => self.some(at, |model, id| model.complete(id).is_some()),
            _ => Some(id(IDS[self.dice.below(IDS.len())])),
        };
        let mut blobs: Vec<_> = layers_of(number).into_iter().map(|number| layer(number).digest).collect();
        blobs.dedup();
        let new = NewManifest {
            blobs: blobs.clone(),
            image,
            ..manifest(&self.names[at], &manifest_text(number), &[name])
        };
        let answer = self.meta.put_manifest(new).await.expect("decided");
        let model = &mut self.model[at];
        let missing: Vec<_> = blobs.into_iter().filter(|digest| !model.links.contains(digest)).collect();
        let expected = if !missing.is_empty() {
            PutManifest::Missing(missing)
        } else if image.is_some_and(|image| model.complete(&image).is_none()) {
            PutManifest::NoImage
        } else {
            model.manifests.insert(number);
            let kept = model.tags.get(name).filter(|(before, _)| *before == number);
            let kept = image.or(kept.and_then(|(_, image)| *image));
            model.tags.insert(name, (number, kept));
            if image.is_some() {
                let views = model.views.entry(number).or_default();
                views.retain(Option::is_some);
                if !views.contains(&image) {
                    views.push(image);
                }
            }
            PutManifest::Stored
        };
        assert_eq!(answer, expected);
        self.tell(answer);
    }

    async fn put_view(&mut self, at: usize) {
        let number = self.dice.below(MANIFESTS);
        let images = if self.dice.below(4) == 0 { Vec::new() } else { derive(number) };
        self.meta.put_view(&self.names[at], &manifest_digest(number), images.clone()).await.expect("done");
        let model = &mut self.model[at];
        if !model.manifests.contains(&number) || model.views.contains_key(&number) {
            return;
        }
        model.views.insert(number, vec![images.last().map(|top| top.id)]);
        let mut below = Vec::new();
        for image in images {
            below.insert(0, image.id);
            model.derived.entry(image.id).or_insert(Image {
                state: ImageState::Complete,
                json: image.json,
                ancestry: below.clone(),
                layer: Some(image.layer),
                generation: 0,
            });
        }
        self.tell("view");
    }

    async fn delete_manifest(&mut self, at: usize) {
        let number = self.dice.below(MANIFESTS);
        let digest = manifest_digest(number);
        let answer = self.meta.delete_manifest(&self.names[at], &digest, &TagLocks::default()).await;
        let model = &mut self.model[at];
        let there = model.manifests.remove(&number);
        assert_eq!(answer.expect("decided") == Deleted::Done, there);
        model.views.remove(&number);
        model.tags.retain(|_, (target, _)| *target != number);
        model.settle();
        self.tell(if there { "deleted" } else { "not there" });
    }

    async fn delete_tag(&mut self, at: usize) {
        let name = TAGS[self.dice.below(TAGS.len())];
        let answer = self.meta.delete_tag(&self.names[at], &tag(name), &TagLocks::default()).await;
        assert_eq!(answer.expect("decided") == Deleted::Done, self.model[at].tags.remove(name).is_some());
    }

    async fn link(&mut self, at: usize) {
        let to = self.dice.below(3);
        let id = self.some(at, |model, id| model.complete(id).is_some());
        let id = id.unwrap_or_else(|| self::id(IDS[self.dice.below(IDS.len())]));
        let answer = self.meta.link_image(&self.names[at], &self.names[to], &id, StorageId::DEFAULT).await;
        let expected = self.linked(at, to, &id);
        assert_eq!(answer.expect("decided"), expected);
        self.tell(expected);
    }

    fn linked(&mut self, at: usize, to: usize, id: &ImageId) -> LinkImage {
        let (from, mut target) = (self.model[at].clone(), self.model[to].clone());
        let Some(top) = from.complete(id) else { return LinkImage::Unknown };
        for id in top.ancestry.iter().rev() {
            let Some(image) = from.complete(id) else { return LinkImage::Unknown };
            let digest = image.layer.expect("complete images have one");
            match target.complete(id) {
                Some(there)
                    if (&there.json, &there.layer, &there.ancestry)
                        != (&image.json, &image.layer, &image.ancestry) =>
                {
                    return LinkImage::Differs(*id);
                }
                Some(_) => {}
                None => {
                    target.native.insert(*id, Image { generation: 0, ..image.clone() });
                }
            }
            if !target.links.contains(&digest) && !from.links.contains(&digest) {
                return LinkImage::Unknown;
            }
            target.links.insert(digest);
        }
        target.settle();
        self.model[to] = target;
        LinkImage::Linked
    }

    async fn sweep(&mut self, at: usize, kind: CandidateKind) {
        let mut after = None;
        loop {
            // More may lapse between two pages: what was removed lets go of others.
            let page = self.meta.candidates(kind, AT_ONCE.cutoff(self.meta.now()), after, 2).await;
            let page = page.expect("readable");
            let Some(last) = page.last() else { break };
            after = Some(last.cursor.clone());
            let candidates = page.into_iter().filter(|one| one.repo == self.names[at]).collect();
            let sweep = Sweep { candidates, terms: AT_ONCE, uploading: BTreeSet::new(), dry_run: false };
            for swept in self.meta.sweep(sweep).await.expect("swept") {
                assert_eq!(swept.verdict, Verdict::Remove);
                self.tell(format!("swept {:?}", swept.candidate.kind).to_lowercase());
            }
        }
        match kind {
            CandidateKind::Image => self.model[at].sweep_images(),
            _ => self.model[at].sweep_links(),
        }
    }

    async fn delete_repository(&mut self, at: usize) {
        let answer = self.meta.delete_repository(&self.names[at], &TagLocks::default()).await;
        if answer.expect("decided") == Deleted::Done {
            let links = std::mem::take(&mut self.model[at].links);
            self.model[at] = Repository { links, ..Repository::default() };
        }
    }

    async fn delete_blob(&mut self, at: usize) {
        let digest = layer(self.dice.below(LAYERS)).digest;
        let gone = self.meta.unlink_blob(&self.names[at], &digest).await.expect("done");
        assert_eq!(gone, self.model[at].links.remove(&digest));
    }

    /// Everything that can be asked of one repository.
    async fn compare(&mut self, at: usize) {
        let (meta, name) = (&self.meta, &self.names[at]);
        let ids =
            IDS.iter().map(|name| id(name)).chain((0..MANIFESTS).flat_map(derive).map(|image| image.id));
        for id in ids.collect::<BTreeSet<_>>() {
            let found = meta.image(name, &id).await.expect("readable");
            let model = &mut self.model[at];
            let (held, derived) = (model.is_held(&id), model.derived.contains_key(&id));
            let Some(found) = found else {
                assert_eq!(model.image(&id), None, "{id} in {name}");
                continue;
            };
            let StoredImage { state, generation, json, ancestry, layer, idle_since, .. } = (*found).clone();
            let rows = if derived { &mut model.derived } else { &mut model.native };
            let expected = rows.get_mut(&id).expect("what is found is in the model");
            // Drawn by the store.
            expected.generation = generation;
            let layer = layer.map(|layer| layer.digest);
            assert_eq!(*expected, Image { state, json, ancestry, layer, generation }, "{id} in {name}");
            assert_eq!((found.derived, idle_since.is_none()), (derived, held), "{id} in {name}");
        }
        let model = &self.model[at];
        for number in 0..LAYERS {
            let digest = layer(number).digest;
            let found = meta.blob(name, &digest).await.expect("readable");
            assert_eq!(found.is_some(), model.links.contains(&digest));
            if let Some(found) = found {
                assert_eq!(found.unreferenced_since.is_none(), model.names(&digest), "layer {number}");
            }
        }
        for number in 0..MANIFESTS {
            let view = meta.view(name, &manifest_digest(number)).await.expect("readable");
            let first = model.views.get(&number).and_then(|views| views.first());
            assert_eq!(view, first.map(|top| top.map_or(View::Nothing, View::Image)));
        }
        for text in TAGS {
            let found = meta.image_tag(name, &tag(text)).await.expect("readable");
            let expected = model.tags.get(text).map(|(number, image)| {
                let first = model.views.get(number).and_then(|views| views.first()).copied();
                (manifest_digest(*number), image.or(first.flatten()), image.is_none() && first == Some(None))
            });
            assert_eq!(found.map(|found| (found.manifest, found.image, found.is_nothing)), expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_something_needs_stays_and_all_else_goes() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let mut told = BTreeMap::new();
    for seed in 0..4 {
        let names = [
            repo(&format!("model/{seed}/a")),
            repo(&format!("model/{seed}/b")),
            RepoName::staging(&format!("{seed}")),
        ];
        let meta = Arc::clone(&store.meta);
        let mut run = Run { meta, dice: Dice(seed), names, model: Default::default(), told };
        for _ in 0..STEPS {
            let at = run.step().await;
            run.compare(at).await;
            run.compare((at + 1) % 3).await;
        }
        for at in 0..3 {
            for number in 0..MANIFESTS {
                let digest = manifest_digest(number);
                run.meta.delete_manifest(&run.names[at], &digest, &TagLocks::default()).await.expect("done");
            }
            let model = &mut run.model[at];
            model.manifests.clear();
            model.views.clear();
            model.tags.clear();
            model.settle();
            run.compare(at).await;
            run.sweep(at, CandidateKind::Image).await;
            run.sweep(at, CandidateKind::Link).await;
            assert_eq!(run.model[at], Repository::default(), "nothing is left to need anything");
            run.compare(at).await;
        }
        told = run.told;
    }
    println!("{told:#?}");
    for seen in [
        "Begun", "NoParent", "Exists", "Stale", "NoLayer", "NoBlob", "Linked", "Differs", "NoImage", "view",
        "image", "link",
    ] {
        assert!(told.keys().any(|key| key.contains(seen)), "it never came to {seen}: {told:?}");
    }
    store.close().await;
}
