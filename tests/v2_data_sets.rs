//! The life of everything that can be pushed: blobs, manifests by digest, tags; lists; HEAD and GET; referrers; and the
//! deletion of it all, each with its effect seen at once. Every test is one data set.

use serde_json::{Value, json};

use crate::harness::repo::descriptors;
use crate::harness::{Alg, Blob, Gantry, Image, Manifest, Repo, bytes, image, index, repo, types};

/// What is pushed.
#[derive(Default)]
struct DataSet {
    /// In this order; what is in an index comes with it.
    images: Vec<Image>,
    /// Tags and what they point to.
    tags: Vec<(&'static str, usize)>,
    /// Whether tags go along as `?tag=` with the manifest.
    tag_parameter: bool,
}

impl DataSet {
    fn tagged(images: Vec<Image>) -> Self {
        const TAGS: [&str; 4] = ["tag-a", "tag-b", "tag-c", "tag-d"];
        let tags = (0..images.len().min(4)).map(|n| (TAGS[n], n)).collect();
        Self { images, tags, tag_parameter: false }
    }

    /// All manifests in the order in which they are pushed.
    fn manifests(&self) -> Vec<Manifest> {
        fn add(image: &Image, into: &mut Vec<Manifest>) {
            image.children.iter().for_each(|child| add(child, into));
            if into.iter().all(|known| known.digest != image.manifest.digest) {
                into.push(image.manifest.clone());
            }
        }
        let mut all = Vec::new();
        self.images.iter().for_each(|image| add(image, &mut all));
        all
    }

    fn blobs(&self) -> Vec<Blob> {
        fn add(image: &Image, into: &mut Vec<Blob>) {
            image.children.iter().for_each(|child| add(child, into));
            for blob in &image.blobs {
                if into.iter().all(|known| known.digest != blob.digest) {
                    into.push(blob.clone());
                }
            }
        }
        let mut all = Vec::new();
        self.images.iter().for_each(|image| add(image, &mut all));
        all
    }

    async fn live_and_die(&self, repo: &Repo) {
        self.push(repo).await;
        self.pull(repo).await;
        self.referrers(repo).await;
        self.delete(repo).await;
    }

    async fn push(&self, repo: &Repo) {
        for (n, image) in self.images.iter().enumerate() {
            repo.push_parts(image).await;
            let tags: Vec<_> = self.tags.iter().filter(|(_, of)| *of == n).map(|(tag, _)| *tag).collect();
            let target = match self.tag_parameter {
                true => format!("{}?tag={}", image.digest(), tags.join("&tag=")),
                false => image.digest().to_owned(),
            };
            let put = repo.client.call("PUT", &repo.manifest(&target)).chunked(image.manifest.bytes.clone());
            let put = put.header("content-type", &image.manifest.media_type).await.status(201);
            let put = put.digest(image.digest());
            repo.client.get(&put.location()).await.status(200).body(&image.manifest.bytes);
            let document: Value = serde_json::from_slice(&image.manifest.bytes).expect("JSON");
            assert_eq!(put.get("oci-subject"), document["subject"]["digest"].as_str(), "E-10.10");
            if self.tag_parameter {
                assert_eq!(put.all("oci-tag"), tags);
            } else {
                for tag in tags {
                    let put = repo.put_manifest(tag, &image.manifest).await.status(201);
                    assert_eq!(put.get("oci-subject"), document["subject"]["digest"].as_str(), "T8");
                }
            }
        }
    }

    async fn pull(&self, repo: &Repo) {
        let mut tags: Vec<_> = self.tags.iter().map(|(tag, _)| (*tag).to_owned()).collect();
        tags.sort();
        assert_eq!(repo.tags().await, tags);
        if let Some(middle) = tags.get(tags.len() / 2) {
            let after = repo.client.get(&repo.path(&format!("tags/list?last={middle}"))).await.status(200);
            assert_eq!(after.list("tags"), tags[tags.len() / 2 + 1..]);
        }
        for (tag, of) in &self.tags {
            repo.has_manifest(tag, &self.images[*of].manifest).await;
        }
        for manifest in self.manifests() {
            repo.has_manifest(&manifest.digest, &manifest).await;
        }
        for blob in self.blobs() {
            repo.has_blob(&blob).await;
        }
    }

    async fn referrers(&self, repo: &Repo) {
        let mut expected: Vec<(String, Value)> = Vec::new();
        for manifest in self.manifests() {
            let document: Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
            let Some(subject) = document["subject"]["digest"].as_str() else { continue };
            let mut descriptor = manifest.descriptor();
            let kind = [&document["artifactType"], &document["config"]["mediaType"]];
            if let Some(kind) = kind.into_iter().find(|kind| kind.is_string()) {
                descriptor["artifactType"] = kind.clone();
            }
            if document["annotations"].is_object() {
                descriptor["annotations"] = document["annotations"].clone();
            }
            expected.push((subject.to_owned(), descriptor));
        }
        for (subject, _) in &expected {
            let of_subject = |kind: Option<&Value>| {
                let all = expected.iter().filter(|(of, _)| of == subject).map(|(_, descriptor)| descriptor);
                let all =
                    all.filter(|descriptor| kind.is_none_or(|kind| descriptor["artifactType"] == *kind));
                sorted(all.cloned().collect())
            };
            let plain = repo.referrers_with(subject, "").await.no_header("oci-filters-applied");
            assert_eq!(sorted(descriptors(&plain)), of_subject(None));
            let unknown = json!("application/vnd.example.unknown");
            let kinds = expected.iter().filter_map(|(_, descriptor)| descriptor.get("artifactType"));
            for kind in kinds.chain([&unknown]) {
                let encoded = kind.as_str().expect("a type").replace('/', "%2F").replace('+', "%2B");
                let filtered = repo.referrers_with(subject, &format!("?artifactType={encoded}")).await;
                let filtered = filtered.header("oci-filters-applied", "artifactType");
                assert_eq!(sorted(descriptors(&filtered)), of_subject(Some(kind)));
            }
        }
    }

    async fn delete(&self, repo: &Repo) {
        for (tag, _) in &self.tags {
            repo.client.delete(&repo.manifest(tag)).await.status(202);
            repo.lacks_manifest(tag).await;
            assert!(!repo.tags().await.contains(&(*tag).to_owned()));
        }
        for manifest in self.manifests().iter().rev() {
            repo.has_manifest(&manifest.digest, manifest).await;
            repo.client.delete(&repo.manifest(&manifest.digest)).await.status(202);
            repo.lacks_manifest(&manifest.digest).await;
        }
        for blob in self.blobs() {
            repo.client.delete(&repo.blob(&blob.digest)).await.status(202);
            repo.lacks_blob(&blob.digest).await;
        }
    }
}

fn sorted(mut descriptors: Vec<Value>) -> Vec<Value> {
    descriptors.sort_by_key(|descriptor| descriptor["digest"].to_string());
    descriptors
}

/// Images for two platforms.
fn platforms(alg: Alg) -> Vec<Image> {
    (0..2).map(|_| image().alg(alg).build()).collect()
}

async fn holds(images: Vec<Image>) {
    DataSet::tagged(images).live_and_die(&repo().await).await;
}

#[tokio::test]
async fn e_10_1_image() {
    holds(vec![image().build()]).await;
}

#[tokio::test]
async fn e_10_1_image_with_uncompressed_layers() {
    let layers = [Blob::new(400), Blob::new(500)];
    holds(vec![image().layers(types::OCI_LAYER_TAR, &layers).build()]).await;
}

/// E-10.8
#[tokio::test]
async fn e_10_8_large_manifest() {
    let mut builder = image();
    for n in 0..39 {
        builder = builder.annotation(&format!("org.example.{n}"), &"x".repeat(100_000));
    }
    let large = builder.build();
    assert!(large.manifest.bytes.len() > 3_900_000, "{}", large.manifest.bytes.len());
    holds(vec![large]).await;
}

#[tokio::test]
async fn e_10_1_index() {
    let fields = json!({ "annotations": { "a": "b" } });
    holds(vec![index(Alg::Sha256, &platforms(Alg::Sha256), &fields)]).await;
}

#[tokio::test]
async fn e_10_1_nested_index() {
    let inner = index(Alg::Sha256, &platforms(Alg::Sha256), &json!({}));
    let outer = index(Alg::Sha256, &[inner, image().build()], &json!({}));
    holds(vec![outer]).await;
}

/// E-10.6
#[tokio::test]
async fn e_10_6_empty_index() {
    holds(vec![index(Alg::Sha256, &[], &json!({}))]).await;
}

#[tokio::test]
async fn e_10_6_artifact() {
    holds(vec![image().artifact("application/vnd.example.oci.conformance").build()]).await;
}

#[tokio::test]
async fn e_10_6_artifact_index() {
    let artifact = || image().artifact("application/vnd.example.oci.conformance").build();
    let fields = json!({ "artifactType": "application/vnd.example.oci.conformance" });
    holds(vec![index(Alg::Sha256, &[artifact(), artifact()], &fields)]).await;
}

/// T27: the configuration is the layer.
#[tokio::test]
async fn t27_artifact_without_layers() {
    let empty = Blob::empty_json(Alg::Sha256);
    let artifact = image()
        .field("artifactType", "application/vnd.example.oci.conformance".into())
        .config(types::EMPTY, &empty)
        .layers(types::EMPTY, std::slice::from_ref(&empty))
        .build();
    holds(vec![artifact]).await;
}

/// E-10.6, T27: the same layer twice.
#[tokio::test]
async fn t27_repeated_layers() {
    let layer = Blob::new(100);
    let layers = [layer.clone(), Blob::new(5), layer.clone()];
    holds(vec![image().layers(types::OCI_LAYER, &layers).build()]).await;
}

/// E-12.4, T5: one by its configuration, two by their type.
#[tokio::test]
async fn e_12_4_artifacts_with_a_subject() {
    let subject = image().build();
    let by_config = image()
        .config("application/vnd.example.config+json", &Blob::empty_json(Alg::Sha256))
        .layers("application/x.data", &[Blob::new(70)])
        .subject(&subject.descriptor())
        .annotation("org.example.kind", "by config")
        .build();
    let typed = |kind: &str| {
        let artifact = image().artifact(kind).subject(&subject.descriptor());
        artifact.annotation("org.example.kind", kind).annotation("org.example.odd", "\u{e9}\"\\\n").build()
    };
    let (one, two) = (typed("application/vnd.example.sbom+json"), typed("application/vnd.example.signature"));
    holds(vec![subject, by_config, one, two]).await;
}

/// E-10.10, T5: an index with a subject.
#[tokio::test]
async fn e_10_10_index_with_a_subject() {
    let subject = image().build();
    let with = |fields: Value| {
        let mut fields = fields;
        fields["subject"] = subject.descriptor();
        index(Alg::Sha256, &platforms(Alg::Sha256), &fields)
    };
    let typed = with(json!({ "artifactType": "application/vnd.example.sbom", "annotations": { "a": "b" } }));
    let plain = with(json!({}));
    holds(vec![subject, typed, plain]).await;
}

/// E-10.5: the subject may come later, or never.
#[tokio::test]
async fn e_10_5_missing_subject() {
    let subject = image().build();
    holds(vec![image().artifact("application/vnd.example.sbom").subject(&subject.descriptor()).build()])
        .await;
}

/// E-10.6
#[tokio::test]
async fn e_10_6_data_field() {
    use base64::Engine as _;
    let config = Blob::empty_json(Alg::Sha256);
    let mut descriptor = config.descriptor(types::EMPTY);
    descriptor["data"] = base64::engine::general_purpose::STANDARD.encode(&config.bytes).into();
    let artifact = image().artifact("application/vnd.example.data").field("config", descriptor).build();
    holds(vec![artifact]).await;
}

/// E-10.6, T26: layers that are to be had elsewhere are never pushed.
#[tokio::test]
async fn t26_non_distributable_layers() {
    let kinds = [
        types::OCI_FOREIGN_LAYER,
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        types::DOCKER_FOREIGN_LAYER,
    ];
    for kind in kinds {
        let (kept, absent) = (Blob::new(50), Blob::new(60));
        let mut foreign = absent.descriptor(kind);
        foreign["urls"] = json!(["https://store.example.com/blobs/sha256/abc"]);
        let layers = json!([foreign, kept.descriptor(types::OCI_LAYER), absent.descriptor(kind)]);
        let image = image().layers(types::OCI_LAYER, &[kept]).field("layers", layers).build();
        let repo = repo().await;
        DataSet::tagged(vec![image]).live_and_die(&repo).await;
        repo.lacks_blob(&absent.digest).await;
    }
}

/// E-10.6: unknown fields at every level.
#[tokio::test]
async fn e_10_6_custom_fields() {
    let blob = Blob::new(50);
    let mut layer = blob.descriptor(types::OCI_LAYER);
    layer["org.example"] = json!({ "deep": [1, null, { "x": 1e10 }] });
    let custom = image()
        .layers(types::OCI_LAYER, &[blob])
        .field("layers", json!([layer]))
        .field("org.example.field", json!(["a", { "b": false }]))
        .build();
    let fields = json!({ "org.example.field": { "nested": "value" }, "zzz": null });
    holds(vec![custom.clone(), index(Alg::Sha256, &[custom], &fields)]).await;
}

/// E-10.6
#[tokio::test]
async fn e_10_6_no_layers() {
    holds(vec![image().layers(types::OCI_LAYER, &[]).build()]).await;
}

/// E-10.7: some of the platforms only.
#[tokio::test]
async fn e_10_7_sparse_index() {
    let gantry = Gantry::options().set("registry.sparse_index", "true").start().await;
    let mut sparse = index(Alg::Sha256, &platforms(Alg::Sha256), &json!({}));
    sparse.children.truncate(1);
    DataSet::tagged(vec![sparse]).live_and_die(&gantry.repo()).await;
}

/// T17, T18: sha512 has no push by tag of its own; tags come as parameters.
#[tokio::test]
async fn t17_sha512_image_and_index() {
    let images =
        vec![image().alg(Alg::Sha512).build(), index(Alg::Sha512, &platforms(Alg::Sha512), &json!({}))];
    let set = DataSet { images, ..DataSet::default() };
    set.live_and_die(&repo().await).await;
}

/// E-10.11, T18
#[tokio::test]
async fn e_10_11_tag_parameters() {
    for alg in Alg::ALL {
        let images = vec![image().alg(alg).build(), index(alg, &platforms(alg), &json!({}))];
        let tags = vec![("a", 0), ("b", 0), ("c", 1), ("d", 1), ("e", 0)];
        DataSet { images, tags, tag_parameter: true }.live_and_die(&repo().await).await;
    }
}

/// E-10.2, T59: an image under a digest that is not its own.
#[tokio::test]
async fn t59_bad_digest_image() {
    let repo = repo().await;
    let image = image().build();
    repo.push_parts(&image).await;
    for wrong in [Alg::Sha256.unknown(), Alg::Sha512.unknown(), Alg::Sha256.of(&bytes(3))] {
        repo.put_manifest(&wrong, &image.manifest).await.bad("DIGEST_INVALID");
        repo.lacks_manifest(&wrong).await;
    }
    repo.lacks_manifest(image.digest()).await;
}
