//! Images of the v1 API: the steps of a push, views, tags.

mod held;

use bytes::Bytes;
use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, RepoName};

use super::{Meta, blob, by_tag, delete_manifest, delete_tag, get_blob, manifest, put, repo, tag};
use crate::meta::access::TagLocks;
use crate::meta::images::{
    ANCESTRY_MAX, BeginImage, Compression, DerivedImage, ImageLayer, ImageState, ImageStep, LayerContent,
    NewImage, StoredImage, View,
};
use crate::meta::{Deleted, NewManifest, PutManifest};

pub(super) async fn run(meta: &Meta) {
    an_image_is_pushed_in_steps(meta).await;
    an_image_is_begun_anew_until_it_is_complete(meta).await;
    a_parent_must_be_complete_in_the_same_repository(meta).await;
    chains_have_an_end(meta).await;
    a_layer_must_be_a_blob_of_the_repository(meta).await;
    an_id_is_looked_for_in_all_repositories(meta).await;
    a_manifest_that_was_made_of_an_image_knows_it(meta).await;
    an_id_stays_with_its_tag_until_that_moves(meta).await;
    a_manifest_without_its_image_is_not_written(meta).await;
    images_are_derived_once(meta).await;
    a_manifest_can_be_no_image(meta).await;
    manifests_nobody_has_looked_at_are_found(meta).await;
    staging_places_are_seen_by_nobody(meta).await;
    held::run(meta).await;
}

/// An id that is drawn from a text.
#[must_use]
pub fn id(text: &str) -> ImageId {
    let digest = Digest::sha256(text.as_bytes());
    ImageId::from_bytes(digest.bytes().try_into().expect("32 bytes"))
}

fn json(text: &str) -> Bytes {
    Bytes::from(format!("{{ \"id\":\t\"{text}\" }}"))
}

/// A layer that is described as what it is: a text.
#[must_use]
pub fn layer(content: &str) -> ImageLayer {
    ImageLayer {
        digest: Digest::sha256(content.as_bytes()),
        size: content.len() as u64,
        content: Some(LayerContent {
            compression: Compression::Bzip2,
            diff_id: Digest::sha256(b"plain"),
            payload: Digest::sha256(b"payload"),
        }),
    }
}

async fn begin(meta: &Meta, repo: &RepoName, image: &str, parent: Option<&str>) -> BeginImage {
    let new = NewImage { repo: repo.clone(), id: id(image), parent: parent.map(id), json: json(image) };
    meta.begin_image(new).await.expect("decided")
}

async fn begun(meta: &Meta, repo: &RepoName, image: &str, parent: Option<&str>) -> u64 {
    match begin(meta, repo, image, parent).await {
        BeginImage::Begun(generation) => generation,
        other => unreachable!("{image}: {other:?}"),
    }
}

async fn put_layer(meta: &Meta, repo: &RepoName, image: &str, generation: u64, content: &str) -> ImageStep {
    meta.put_image_layer(repo, &id(image), generation, layer(content)).await.expect("decided")
}

async fn complete(meta: &Meta, repo: &RepoName, image: &str, generation: u64) -> ImageStep {
    let found = meta.image(repo, &id(image)).await.expect("readable");
    let layer = found.and_then(|image| image.layer.as_ref().map(|layer| layer.digest));
    let layer = layer.unwrap_or_else(|| Digest::sha256(b"no layer"));
    meta.complete_image(repo, &id(image), generation, &layer).await.expect("decided")
}

/// Pushes an image whose layer is a text of its own, from first to last.
pub async fn push_image(meta: &Meta, repo: &RepoName, image: &str, parent: Option<&str>) {
    let content = layer_of(image);
    meta.put_blob(blob(repo, &content)).await.expect("stored");
    let generation = begun(meta, repo, image, parent).await;
    assert_eq!(put_layer(meta, repo, image, generation, &content).await, ImageStep::Done);
    assert_eq!(complete(meta, repo, image, generation).await, ImageStep::Done);
}

/// The text that [`push_image`] takes as a layer.
fn layer_of(image: &str) -> String {
    format!("the layer of {image}")
}

async fn image(meta: &Meta, repo: &RepoName, image: &str) -> Option<StoredImage> {
    let first = meta.image(repo, &id(image)).await.expect("readable");
    let again = meta.image(repo, &id(image)).await.expect("readable");
    assert_eq!(first, again, "from memory as from the rows");
    first.map(|image| (*image).clone())
}

/// Whether the blob is there, and if nothing names it.
async fn is_named(meta: &Meta, repo: &RepoName, content: &str) -> bool {
    let found = get_blob(meta, repo, &Digest::sha256(content.as_bytes())).await;
    found.expect("linked").unreferenced_since.is_none()
}

/// An image that is derived, with a layer of its own.
#[must_use]
pub fn derived(image: &str) -> DerivedImage {
    let layer = layer(&layer_of(image));
    DerivedImage { id: id(image), json: json(image), layer: layer.digest, size: layer.size }
}

/// A manifest that names the layers of these images.
async fn manifest_of(
    meta: &Meta,
    repo: &RepoName,
    content: &str,
    tags: &[&str],
    images: &[&str],
) -> NewManifest {
    let mut new = manifest(repo, content, tags);
    for image in images {
        let layer = blob(repo, &layer_of(image));
        new.blobs.push(layer.digest);
        meta.put_blob(layer).await.expect("stored");
    }
    new
}

async fn an_image_is_pushed_in_steps(meta: &Meta) {
    let a = repo("suite/images/steps");
    assert_eq!(image(meta, &a, "steps").await, None);
    meta.put_blob(blob(&a, "a layer")).await.expect("stored");
    assert!(!is_named(meta, &a, "a layer").await);
    let generation = begun(meta, &a, "steps", None).await;
    let found = image(meta, &a, "steps").await.expect("there");
    let since = found.idle_since.expect("nothing holds it");
    let expected = StoredImage {
        id: id("steps"),
        state: ImageState::Described,
        derived: false,
        generation,
        json: json("steps"),
        ancestry: vec![id("steps")],
        layer: None,
        idle_since: Some(since),
    };
    assert_eq!(found, expected);
    assert_eq!(complete(meta, &a, "steps", generation).await, ImageStep::NoLayer);
    assert_eq!(put_layer(meta, &a, "steps", generation, "a layer").await, ImageStep::Done);
    let found = image(meta, &a, "steps").await.expect("there");
    assert_eq!((found.state, found.layer.as_ref()), (ImageState::WithLayer, Some(&layer("a layer"))));
    assert!(is_named(meta, &a, "a layer").await);

    // Another attempt at the layer takes the place of the first.
    meta.put_blob(blob(&a, "a better layer")).await.expect("stored");
    assert_eq!(put_layer(meta, &a, "steps", generation, "a better layer").await, ImageStep::Done);
    assert!(!is_named(meta, &a, "a layer").await && is_named(meta, &a, "a better layer").await);
    // Whoever found the first to be right has not seen the second.
    let first = meta.complete_image(&a, &id("steps"), generation, &layer("a layer").digest).await;
    assert_eq!(first.expect("decided"), ImageStep::Stale);
    assert_eq!(complete(meta, &a, "steps", generation).await, ImageStep::Done);
    let found = image(meta, &a, "steps").await.expect("there");
    assert_eq!((found.state, found.layer.as_ref()), (ImageState::Complete, Some(&layer("a better layer"))));
    assert!(found.idle_since >= Some(since));

    for step in [
        complete(meta, &a, "steps", generation).await,
        put_layer(meta, &a, "steps", generation, "a layer").await,
    ] {
        assert_eq!(step, ImageStep::Exists);
    }
    assert_eq!(begin(meta, &a, "steps", None).await, BeginImage::Exists);
    // A blob that arrives after an image named it.
    meta.put_blob(blob(&a, "a better layer")).await.expect("stored");
    assert!(is_named(meta, &a, "a better layer").await);
}

async fn an_image_is_begun_anew_until_it_is_complete(meta: &Meta) {
    let a = repo("suite/images/anew");
    for content in ["first", "second"] {
        meta.put_blob(blob(&a, content)).await.expect("stored");
    }
    let first = begun(meta, &a, "anew", None).await;
    assert_eq!(put_layer(meta, &a, "anew", first, "first").await, ImageStep::Done);
    let second = begun(meta, &a, "anew", None).await;
    assert!(second > first);
    let found = image(meta, &a, "anew").await.expect("there");
    assert_eq!((found.state, found.layer, found.generation), (ImageState::Described, None, second));
    assert!(!is_named(meta, &a, "first").await, "the layer is forgotten");
    assert_eq!(put_layer(meta, &a, "anew", first, "first").await, ImageStep::Stale);
    assert_eq!(put_layer(meta, &a, "anew", second, "second").await, ImageStep::Done);
    assert_eq!(complete(meta, &a, "anew", first).await, ImageStep::Stale);
    assert_eq!(complete(meta, &a, "anew", second).await, ImageStep::Done);
    assert_eq!(image(meta, &a, "anew").await.expect("there").layer, Some(layer("second")));

    let nowhere = repo("suite/images/nowhere");
    for at in [&a, &nowhere] {
        assert_eq!(put_layer(meta, at, "never begun", 1, "first").await, ImageStep::Unknown);
        assert_eq!(complete(meta, at, "never begun", 1).await, ImageStep::Unknown);
        assert!(!meta.renew_image(at, &id("never begun")).await.expect("decided"));
    }
    assert!(!meta.repository_exists(&nowhere).await.expect("readable"));
}

async fn a_parent_must_be_complete_in_the_same_repository(meta: &Meta) {
    let (a, b) = (repo("suite/images/parents/a"), repo("suite/images/parents/b"));
    assert_eq!(begin(meta, &a, "child", Some("base")).await, BeginImage::NoParent);
    assert!(!meta.repository_exists(&a).await.expect("readable"), "what is refused makes nothing");
    let generation = begun(meta, &a, "base", None).await;
    assert_eq!(begin(meta, &a, "child", Some("base")).await, BeginImage::NoParent, "described only");
    meta.put_blob(blob(&a, "base layer")).await.expect("stored");
    assert_eq!(put_layer(meta, &a, "base", generation, "base layer").await, ImageStep::Done);
    assert_eq!(begin(meta, &a, "child", Some("base")).await, BeginImage::NoParent, "not complete");
    assert_eq!(complete(meta, &a, "base", generation).await, ImageStep::Done);
    assert_eq!(begin(meta, &a, "base", Some("base")).await, BeginImage::Exists);
    assert_eq!(begin(meta, &a, "self", Some("self")).await, BeginImage::NoParent);
    begun(meta, &a, "child", Some("base")).await;
    let found = image(meta, &a, "child").await.expect("there");
    assert_eq!(found.ancestry, [id("child"), id("base")]);
    assert_eq!(found.parent(), Some(&id("base")));
    assert_eq!(image(meta, &a, "base").await.expect("there").idle_since, None, "its child holds it");
    meta.put_blob(blob(&b, "something")).await.expect("stored");
    assert_eq!(begin(meta, &b, "child", Some("base")).await, BeginImage::NoParent, "another repository");

    // Another parent the next time: the first is let go.
    push_image(meta, &a, "other base", None).await;
    begun(meta, &a, "child", Some("other base")).await;
    assert!(image(meta, &a, "base").await.expect("there").idle_since.is_some());
    assert_eq!(image(meta, &a, "other base").await.expect("there").idle_since, None);
}

async fn chains_have_an_end(meta: &Meta) {
    let a = repo("suite/images/deep");
    meta.put_blob(blob(&a, "every layer")).await.expect("stored");
    let mut parent: Option<String> = None;
    for number in 0..ANCESTRY_MAX {
        let name = format!("link {number}");
        let generation = begun(meta, &a, &name, parent.as_deref()).await;
        assert_eq!(put_layer(meta, &a, &name, generation, "every layer").await, ImageStep::Done);
        assert_eq!(complete(meta, &a, &name, generation).await, ImageStep::Done);
        parent = Some(name);
    }
    let top = image(meta, &a, parent.as_deref().expect("a chain")).await.expect("there");
    assert_eq!(top.ancestry.len(), ANCESTRY_MAX);
    assert_eq!(top.ancestry.last(), Some(&id("link 0")));
    assert_eq!(begin(meta, &a, "too much", parent.as_deref()).await, BeginImage::TooDeep);
    assert_eq!(image(meta, &a, "too much").await, None);
}

async fn a_layer_must_be_a_blob_of_the_repository(meta: &Meta) {
    let (a, b) = (repo("suite/images/blobs/a"), repo("suite/images/blobs/b"));
    meta.put_blob(blob(&b, "of another repository")).await.expect("stored");
    let generation = begun(meta, &a, "blobs", None).await;
    for content in ["of another repository", "of nobody"] {
        assert_eq!(put_layer(meta, &a, "blobs", generation, content).await, ImageStep::NoBlob);
    }
    let new = blob(&a, "deleted meanwhile");
    meta.put_blob(new.clone()).await.expect("stored");
    assert_eq!(put_layer(meta, &a, "blobs", generation, "deleted meanwhile").await, ImageStep::Done);
    assert!(meta.unlink_blob(&a, &new.digest).await.expect("done"));
    assert_eq!(complete(meta, &a, "blobs", generation).await, ImageStep::NoBlob);
    assert_eq!(image(meta, &a, "blobs").await.expect("there").state, ImageState::WithLayer);
}

async fn an_id_is_looked_for_in_all_repositories(meta: &Meta) {
    let names = ["suite/images/where/a", "suite/images/where/b", "suite/images/where/c"].map(repo);
    let staging = RepoName::staging("alice of the suite");
    begun(meta, &staging, "where", None).await;
    for name in names.iter().rev() {
        begun(meta, name, "where", None).await;
    }
    let found = async |limit| meta.repositories_with_image(&id("where"), limit).await.expect("readable");
    assert_eq!(found(9).await, [&names[..], std::slice::from_ref(&staging)].concat());
    assert_eq!(found(2).await, names[..2]);
    assert_eq!(found(9).await.len(), 4);
    // What comes and goes is seen by the next who asks.
    let another = repo("suite/images/where/another");
    begun(meta, &another, "where", None).await;
    assert_eq!(found(9).await.len(), 5);
    assert_eq!(meta.delete_repository(&another, &TagLocks::default()).await.expect("done"), Deleted::Done);
    assert_eq!(found(9).await.len(), 4);
    assert!(meta.repositories_with_image(&id("nowhere"), 9).await.expect("readable").is_empty());
}

async fn a_manifest_that_was_made_of_an_image_knows_it(meta: &Meta) {
    let a = repo("suite/images/made");
    push_image(meta, &a, "made base", None).await;
    push_image(meta, &a, "made top", Some("made base")).await;
    let new = manifest_of(meta, &a, "made", &["one", "two"], &["made base", "made top"]).await;
    assert_eq!(meta.view(&a, &new.digest).await.expect("readable"), None);
    assert_eq!(meta.manifest_of_image(&a, &id("made top")).await.expect("readable"), None);
    let top = id("made top");
    put(meta, NewManifest { image: Some(top), ..new.clone() }).await;
    assert_eq!(meta.view(&a, &new.digest).await.expect("readable"), Some(View::Image(top)));
    assert_eq!(meta.manifest_of_image(&a, &top).await.expect("readable"), Some(new.digest));
    assert_eq!(meta.manifest_of_image(&a, &id("made base")).await.expect("readable"), None, "not its top");
    for name in ["one", "two"] {
        let found = meta.image_tag(&a, &tag(name)).await.expect("readable").expect("there");
        assert_eq!((found.manifest, found.image, found.is_nothing), (new.digest, Some(top), false));
    }

    // The same chain under other ids: the first counts for whoever does not ask by tag.
    push_image(meta, &a, "made again", None).await;
    put(meta, NewManifest { image: Some(id("made again")), ..manifest(&a, "made", &["two"]) }).await;
    put(meta, NewManifest { image: Some(id("made again")), ..manifest(&a, "made", &["two"]) }).await;
    assert_eq!(meta.view(&a, &new.digest).await.expect("readable"), Some(View::Image(top)));
    assert_eq!(meta.manifest_of_image(&a, &id("made again")).await.expect("readable"), Some(new.digest));
    let tags = meta.image_tags(&a, None, 9).await.expect("readable").expect("a repository");
    let tags: Vec<_> = tags.into_iter().map(|tag| (tag.tag, tag.image)).collect();
    assert_eq!(tags, [("one".to_owned(), Some(top)), ("two".to_owned(), Some(id("made again")))]);
    let page = meta.image_tags(&a, Some("one"), 1).await.expect("readable").expect("a repository");
    assert_eq!(page.iter().map(|tag| tag.tag.as_str()).collect::<Vec<_>>(), ["two"]);
    assert_eq!(meta.image_tags(&repo("suite/images/unknown"), None, 9).await.expect("readable"), None);
    assert_eq!(meta.image_tag(&a, &tag("three")).await.expect("readable"), None);
}

async fn an_id_stays_with_its_tag_until_that_moves(meta: &Meta) {
    let a = repo("suite/images/tags");
    for name in ["tags first", "tags second"] {
        push_image(meta, &a, name, None).await;
    }
    let of = async |name: &str| {
        meta.image_tag(&a, &tag(name)).await.expect("readable").and_then(|found| found.image)
    };
    let (first, second) = (id("tags first"), id("tags second"));
    put(meta, NewManifest { image: Some(first), ..manifest(&a, "one content", &["a"]) }).await;
    put(meta, NewManifest { image: Some(second), ..manifest(&a, "one content", &["b"]) }).await;
    assert_eq!((of("a").await, of("b").await), (Some(first), Some(second)));
    // V2 sets the tag to the manifest where it is: no move.
    put(meta, manifest(&a, "one content", &["b"])).await;
    assert_eq!(of("b").await, Some(second));
    // It moves, and comes back: what v1 said of it is past.
    put(meta, manifest(&a, "other content", &["b"])).await;
    assert_eq!(of("b").await, None);
    put(meta, manifest(&a, "one content", &["b"])).await;
    assert_eq!(of("b").await, Some(first));
    put(meta, NewManifest { image: Some(second), ..manifest(&a, "one content", &["b"]) }).await;
    assert!(delete_tag(meta, &a, &tag("b")).await);
    assert_eq!(meta.image_tag(&a, &tag("b")).await.expect("readable"), None);
    put(meta, manifest(&a, "one content", &["b"])).await;
    assert_eq!(of("b").await, Some(first));
    assert_eq!(by_tag(meta, &a, "b").await.expect("there").digest, Digest::sha256(b"one content"));
}

async fn a_manifest_without_its_image_is_not_written(meta: &Meta) {
    let (a, b) = (repo("suite/images/without/a"), repo("suite/images/without/b"));
    push_image(meta, &a, "without", None).await;
    let generation = begun(meta, &a, "unfinished", None).await;
    let attempt = async |at: &RepoName, image: &str| {
        let new = NewManifest { image: Some(id(image)), ..manifest(at, "without", &["latest"]) };
        meta.put_manifest(new).await.expect("decided")
    };
    for (at, image) in [(&a, "unfinished"), (&a, "unknown"), (&b, "without")] {
        assert_eq!(attempt(at, image).await, PutManifest::NoImage, "{image}");
    }
    assert!(by_tag(meta, &a, "latest").await.is_none());
    assert!(!meta.repository_exists(&b).await.expect("readable"));
    let missing = NewManifest {
        image: Some(id("unknown")),
        blobs: vec![Digest::sha256(b"not there")],
        ..manifest(&a, "without", &[])
    };
    assert!(matches!(meta.put_manifest(missing).await.expect("decided"), PutManifest::Missing(_)));
    assert_eq!(complete(meta, &a, "unfinished", generation).await, ImageStep::NoLayer);
    assert_eq!(attempt(&a, "without").await, PutManifest::Stored);
}

async fn images_are_derived_once(meta: &Meta) {
    let a = repo("suite/images/derived");
    let new = manifest_of(meta, &a, "derived", &["t"], &["d base", "d middle", "d top"]).await;
    let chain = || ["d base", "d middle", "d top"].map(derived).to_vec();
    meta.put_view(&a, &new.digest, chain()).await.expect("nothing to do");
    assert_eq!(image(meta, &a, "d top").await, None, "no such manifest");
    put(meta, new.clone()).await;
    meta.put_view(&a, &new.digest, chain()).await.expect("stored");
    meta.put_view(&a, &new.digest, Vec::new()).await.expect("nothing to do");
    assert_eq!(meta.view(&a, &new.digest).await.expect("readable"), Some(View::Image(id("d top"))));
    let top = image(meta, &a, "d top").await.expect("there");
    assert!(top.derived && top.state == ImageState::Complete && top.idle_since.is_none());
    assert_eq!(top.ancestry, [id("d top"), id("d middle"), id("d base")]);
    assert_eq!(top.json, json("d top"));
    assert_eq!(top.layer.expect("a layer"), ImageLayer { content: None, ..layer(&layer_of("d top")) });
    assert_eq!(begin(meta, &a, "d top", None).await, BeginImage::Exists);
    assert_eq!(put_layer(meta, &a, "d top", top.generation, "d top").await, ImageStep::Exists);
    let found = meta.image_tag(&a, &tag("t")).await.expect("readable").expect("there");
    assert_eq!((found.image, found.is_nothing), (Some(id("d top")), false));

    // Another manifest on the same base, and an image that v1 pushes on top of that.
    let other = manifest_of(meta, &a, "derived too", &["u"], &["d base", "d other"]).await;
    put(meta, other.clone()).await;
    meta.put_view(&a, &other.digest, ["d base", "d other"].map(derived).to_vec()).await.expect("stored");
    assert_eq!(image(meta, &a, "d other").await.expect("there").ancestry, [id("d other"), id("d base")]);
    push_image(meta, &a, "native", Some("d other")).await;
    assert_eq!(
        image(meta, &a, "native").await.expect("there").ancestry,
        [id("native"), id("d other"), id("d base")]
    );

    // With the manifests goes what nothing else holds.
    assert!(delete_manifest(meta, &a, &new.digest).await);
    assert_eq!(meta.view(&a, &new.digest).await.expect("readable"), None);
    for (name, there) in [("d top", false), ("d middle", false), ("d base", true), ("d other", true)] {
        assert_eq!(image(meta, &a, name).await.is_some(), there, "{name}");
    }
    assert!(!is_named(meta, &a, &layer_of("d top")).await);
    assert!(delete_manifest(meta, &a, &other.digest).await);
    assert!(image(meta, &a, "d other").await.is_some(), "an image on top of it");
    assert!(is_named(meta, &a, &layer_of("d base")).await);
}

async fn a_manifest_can_be_no_image(meta: &Meta) {
    let a = repo("suite/images/nothing");
    let new = manifest(&a, "an artifact", &["t"]);
    put(meta, new.clone()).await;
    let found = async || meta.image_tag(&a, &tag("t")).await.expect("readable").expect("there");
    assert_eq!((found().await.image, found().await.is_nothing), (None, false));
    meta.put_view(&a, &new.digest, Vec::new()).await.expect("stored");
    assert_eq!(meta.view(&a, &new.digest).await.expect("readable"), Some(View::Nothing));
    assert_eq!((found().await.image, found().await.is_nothing), (None, true));
    // A v1 push makes just this manifest: it is one after all.
    push_image(meta, &a, "something", None).await;
    put(meta, NewManifest { image: Some(id("something")), ..new.clone() }).await;
    assert_eq!(meta.view(&a, &new.digest).await.expect("readable"), Some(View::Image(id("something"))));
    assert_eq!(found().await.image, Some(id("something")));
    assert!(delete_manifest(meta, &a, &new.digest).await);
    assert_eq!(meta.view(&a, &new.digest).await.expect("readable"), None);
}

async fn manifests_nobody_has_looked_at_are_found(meta: &Meta) {
    let a = repo("suite/images/unseen");
    let left = async |after| {
        let all = meta.without_view(&a, after, 9).await.expect("readable");
        all.into_iter().collect::<Vec<(u64, Digest)>>()
    };
    assert_eq!(left(0).await, []);
    let digest = |content: &str| Digest::sha256(content.as_bytes());
    put(meta, manifest(&a, "first", &["a", "b"])).await;
    put(meta, manifest(&a, "without a tag", &[])).await;
    put(meta, manifest(&a, "second", &["c"])).await;
    let found = left(0).await;
    let digests: Vec<_> = found.iter().map(|(_, digest)| *digest).collect();
    assert_eq!(digests, [digest("first"), digest("second")]);
    let (first, second) = (found[0].0, found[1].0);
    assert!(first < second);
    assert_eq!(left(first).await, [(second, digest("second"))]);
    assert_eq!(meta.without_view(&a, 0, 1).await.expect("readable"), [(first, digest("first"))]);

    meta.put_view(&a, &digest("first"), Vec::new()).await.expect("stored");
    assert_eq!(left(0).await, [(second, digest("second"))]);
    meta.views_done(&a, second).await.expect("noted");
    assert_eq!(left(0).await, []);
    // What is tagged later is looked at later, however old it is.
    put(meta, manifest(&a, "without a tag", &["d"])).await;
    let digests: Vec<_> = left(0).await.into_iter().map(|(_, digest)| digest).collect();
    assert_eq!(digests, [digest("without a tag")]);
    meta.views_done(&repo("suite/images/nowhere"), 9).await.expect("nothing to do");
}

async fn staging_places_are_seen_by_nobody(meta: &Meta) {
    let (staging, a) = (RepoName::staging("bob of the suite"), repo("suite/images/staged"));
    push_image(meta, &staging, "staged", None).await;
    assert!(image(meta, &staging, "staged").await.is_some());
    assert!(meta.repository_exists(&staging).await.expect("readable"));
    let last = meta.catalog(Some("suite/zzz"), 100_000).await.expect("readable");
    assert!(!last.iter().any(|name| name.contains('~')), "{last:?}");
    let layer = Digest::sha256(layer_of("staged").as_bytes());
    assert!(meta.repositories_with_blob(&layer, 9).await.expect("readable").is_empty());
    meta.put_blob(blob(&a, &layer_of("staged"))).await.expect("stored");
    assert_eq!(meta.repositories_with_blob(&layer, 9).await.expect("readable"), [a]);
}
