//! An actor: somebody who works in a repository, through the public API.

use serde_json::Value;

use super::content::number;
use super::{Answer, Blob, Client, Gantry, Image, Manifest};

/// A client and the repository that it works in.
#[derive(Clone)]
pub(crate) struct Repo {
    pub(crate) client: Client,
    pub(crate) name: String,
}

/// A new repository on the shared server.
pub(crate) async fn repo() -> Repo {
    Gantry::shared().await.client().repo()
}

impl Client {
    /// A new repository.
    pub(crate) fn repo(&self) -> Repo {
        self.at(&format!("it/r{}", number()))
    }

    /// A repository of this name.
    pub(crate) fn at(&self, name: &str) -> Repo {
        Repo { client: self.clone(), name: name.to_owned() }
    }
}

impl Repo {
    /// The same client in another, new repository.
    pub(crate) fn other(&self) -> Repo {
        self.client.repo()
    }

    /// The path of something in the repository.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.name)
    }

    pub(crate) fn blob(&self, digest: &str) -> String {
        self.path(&format!("blobs/{digest}"))
    }

    pub(crate) fn manifest(&self, reference: &str) -> String {
        self.path(&format!("manifests/{reference}"))
    }

    pub(crate) fn uploads(&self) -> String {
        self.path("blobs/uploads/")
    }

    /// POST: the path of a new upload session.
    pub(crate) async fn start_upload(&self) -> String {
        self.client.post(&self.uploads()).await.status(202).location()
    }

    /// POST and PUT.
    pub(crate) async fn push_blob(&self, blob: &Blob) {
        let location = self.start_upload().await;
        let put = self.client.put(&with(&location, "digest", &blob.digest), blob.bytes.clone()).await;
        put.status(201).digest(&blob.digest).header("location", &self.blob(&blob.digest));
    }

    /// PUT of a manifest, whatever comes of it.
    pub(crate) async fn put_manifest(&self, reference: &str, manifest: &Manifest) -> Answer {
        let put = self.client.put(&self.manifest(reference), manifest.bytes.clone());
        put.header("content-type", &manifest.media_type).await
    }

    /// PUT of a manifest that must succeed.
    pub(crate) async fn push_manifest(&self, reference: &str, manifest: &Manifest) -> Answer {
        let put = self.put_manifest(reference, manifest).await.status(201);
        put.header("location", &self.manifest(&manifest.digest)).digest(&manifest.digest)
    }

    /// Everything that an image needs, and the image under a tag or its digest.
    pub(crate) async fn push(&self, reference: &str, image: &Image) -> Answer {
        self.push_parts(image).await;
        self.push_manifest(reference, &image.manifest).await
    }

    /// The same by its digest.
    pub(crate) async fn push_by_digest(&self, image: &Image) -> Answer {
        self.push(image.digest(), image).await
    }

    /// Everything that an image needs, but not its own manifest.
    pub(crate) async fn push_parts(&self, image: &Image) {
        for child in &image.children {
            Box::pin(self.push_by_digest(child)).await;
        }
        for blob in &image.blobs {
            self.push_blob(blob).await;
        }
    }

    /// GET of a blob that must be there, whole.
    pub(crate) async fn has_blob(&self, blob: &Blob) {
        let head = self.client.head(&self.blob(&blob.digest)).await.status(200).digest(&blob.digest);
        head.header("content-length", &blob.len().to_string());
        let get = self.client.get(&self.blob(&blob.digest)).await.status(200).digest(&blob.digest);
        get.header("content-length", &blob.len().to_string()).body(&blob.bytes);
    }

    /// A blob that must not be there.
    pub(crate) async fn lacks_blob(&self, digest: &str) {
        self.client.head(&self.blob(digest)).await.status(404);
        self.client.get(&self.blob(digest)).await.status(404);
    }

    /// GET and HEAD of a manifest that must be there, by tag or by digest.
    pub(crate) async fn has_manifest(&self, reference: &str, manifest: &Manifest) {
        for answer in [
            self.client.head(&self.manifest(reference)).await,
            self.client.get(&self.manifest(reference)).await.body(&manifest.bytes),
        ] {
            answer
                .status(200)
                .digest(&manifest.digest)
                .header("content-type", &manifest.media_type)
                .header("content-length", &manifest.bytes.len().to_string());
        }
    }

    /// A manifest that must not be there.
    pub(crate) async fn lacks_manifest(&self, reference: &str) {
        self.client.head(&self.manifest(reference)).await.status(404);
        self.client.get(&self.manifest(reference)).await.status(404);
    }

    /// All tags.
    pub(crate) async fn tags(&self) -> Vec<String> {
        self.client.get(&self.path("tags/list")).await.status(200).list("tags")
    }

    /// GET of the referrers of a digest, with a query.
    pub(crate) async fn referrers_with(&self, digest: &str, query: &str) -> Answer {
        let answer = self.client.get(&self.path(&format!("referrers/{digest}{query}"))).await;
        answer.status(200).header("content-type", super::types::OCI_INDEX)
    }

    /// The descriptors of the referrers of a digest.
    pub(crate) async fn referrers(&self, digest: &str) -> Vec<Value> {
        descriptors(&self.referrers_with(digest, "").await)
    }

    /// What a session says of itself: the value of `Range`.
    pub(crate) async fn progress(&self, location: &str) -> String {
        let status = self.client.get(location).await.status(204);
        status.location();
        status.get("range").expect("a Range").to_owned()
    }
}

/// The descriptors of an index.
pub(crate) fn descriptors(answer: &Answer) -> Vec<Value> {
    let document = answer.json();
    assert_eq!(document["schemaVersion"], 2, "{document}");
    assert_eq!(document["mediaType"], super::types::OCI_INDEX, "{document}");
    document["manifests"].as_array().expect("a list of descriptors").clone()
}

/// A path with one more parameter.
pub(crate) fn with(location: &str, key: &str, value: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}{key}={value}")
}
