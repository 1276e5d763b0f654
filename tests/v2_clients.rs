//! Real clients as actors: each sends the requests that the client sends, in its order and with its headers, and asks
//! of the answers what the client asks of them (2.2). Where a client gives up, its actor fails.

use crate::harness::repo::with;
use crate::harness::{Alg, Answer, Blob, Client, Gantry, Image, Manifest, Repo, image, index, repo, types};

/// The types that most clients accept, in one line.
const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

async fn agent(user_agent: &str) -> Client {
    Gantry::shared().await.client().with("user-agent", user_agent)
}

/// One `Accept` line for each type, as docker and the library of podman write them.
fn accept_lines(mut client: Client) -> Client {
    for kind in [
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/json",
        types::DOCKER_MANIFEST,
        types::DOCKER_LIST,
        types::OCI_INDEX,
        types::OCI_MANIFEST,
    ] {
        client = client.with("accept", kind);
    }
    client
}

fn docker_image() -> Image {
    let layers = [Blob::new(5_000), Blob::new(70_000)];
    let image = image().field("mediaType", types::DOCKER_MANIFEST.into());
    image.config(types::DOCKER_CONFIG, &Blob::new(1_500)).layers(types::DOCKER_LAYER, &layers).build()
}

/// `Range` as docker scans it: `%d-%d`, and the end may not lie before the start.
fn scanned(answer: &Answer) -> (u64, u64) {
    let range = answer.get("range").expect("docker needs a Range");
    let (start, end) = range.split_once('-').expect("X-4.1: no unit");
    let (start, end) = (start.parse().expect("a number"), end.parse().expect("a number"));
    assert!(end >= start, "{range}");
    (start, end)
}

/// docker with its classic store: HEAD, POST, one streamed PATCH, PUT without a body, HEAD again.
async fn docker_pushes(repo: &Repo, tag: &str, image: &Image) {
    repo.client.get("/v2/").await.status(200).header("docker-distribution-api-version", "registry/2.0");
    for blob in image.blobs.iter().rev() {
        let path = repo.blob(&blob.digest);
        if repo.client.head(&path).await.status_in(&[200, 404]).status == 200 {
            continue;
        }
        let post = repo.client.post(&repo.uploads()).await.status(202);
        assert!(post.get("docker-upload-uuid").is_some());
        let patch = repo.client.call("PATCH", &post.location()).chunked(blob.bytes.clone()).await.status(202);
        assert_eq!(scanned(&patch), (0, blob.len() as u64 - 1));
        let put =
            repo.client.call("PUT", &with(&patch.location(), "digest", &blob.digest.replace(':', "%3A")));
        put.await.status(201).digest(&blob.digest);
        repo.client.head(&path).await.status(200).header("content-length", &blob.len().to_string());
    }
    let put = repo.client.put(&repo.manifest(tag), image.manifest.bytes.clone());
    put.header("content-type", &image.manifest.media_type).await.status(201).digest(image.digest());
}

#[tokio::test]
async fn docker_classic_pushes_and_pulls() {
    let client = agent("docker/29.1.0 go/go1.25 UpstreamClient(Docker-Client/29.1.0 \\(linux\\))").await;
    let repo = client.repo();
    let image = docker_image();
    docker_pushes(&repo, "v1", &image).await;
    // Again: every layer is there already.
    docker_pushes(&repo, "v2", &image).await;
    let pull = accept_lines(client).at(&repo.name);
    pull.has_manifest("v1", &image.manifest).await;
    let manifest = pull.client.get(&pull.manifest("v1")).await.status(200);
    manifest.header("content-type", types::DOCKER_MANIFEST).digest(image.digest());
    let blob = &image.blobs[2];
    // A download that broke off goes on, and only with a Content-Range.
    let half = blob.len() / 2;
    let rest = pull.client.get(&pull.blob(&blob.digest)).header("range", &format!("bytes={half}-")).await;
    let range = format!("bytes {half}-{}/{}", blob.len() - 1, blob.len());
    rest.status(206).header("content-range", &range).body(&blob.bytes[half..]);
}

/// docker: mounting from a repository that was pulled before, with the fall-back to an upload.
#[tokio::test]
async fn docker_classic_mounts_and_cancels() {
    let client = agent("docker/29.1.0").await;
    let (from, to) = (client.repo(), client.repo());
    let (held, missing) = (Blob::new(1_000), Blob::new(2_000));
    from.push_blob(&held).await;
    let mount = |blob: &Blob| {
        format!("{}?from={}&mount={}", to.uploads(), from.name.replace('/', "%2F"), blob.digest)
    };
    client
        .post(&mount(&held))
        .await
        .status(201)
        .header("location", &to.blob(&held.digest))
        .digest(&held.digest);
    let post = client.post(&mount(&missing)).await.status(202);
    assert!(post.get("docker-upload-uuid").is_some());
    client.delete(&post.location()).await.status_in(&[204, 404]);
    let patch = client.call("PATCH", &post.location()).chunked(missing.bytes.clone()).await;
    patch.missing("BLOB_UPLOAD_UNKNOWN");
}

/// containerd: resolve by HEAD, push in one PUT, fetch with its many encodings.
#[tokio::test]
async fn containerd_resolves_pushes_and_fetches() {
    let client = agent("containerd/2.2.0").await.with("accept", ACCEPT);
    let repo = client.repo();
    let ns = |path: String| with(&path, "ns", "docker.io");
    let child = image().build();
    let index = index(Alg::Sha256, std::slice::from_ref(&child), &serde_json::json!({}));
    let blobs = child.blobs.iter().map(|blob| (repo.blob(&blob.digest), blob));
    for (path, blob) in blobs {
        // Anything but 200 and 404 ends the push.
        client.head(&ns(path.clone())).await.status(404);
        let post = client.post(&ns(repo.uploads())).await.status_in(&[200, 201, 202, 204]);
        let location = post.location();
        assert!(location.starts_with('/') || location.contains("://"));
        let put =
            client.put(&with(&location, "digest", &blob.digest.replace(':', "%3A")), blob.bytes.clone());
        let put = put.header("content-type", "application/octet-stream").await;
        put.status_in(&[200, 201, 202, 204]).digest(&blob.digest);
        client.head(&ns(path)).await.status(200);
    }
    for (reference, manifest) in [(child.digest(), &child.manifest), ("v1", &index.manifest)] {
        client.head(&ns(repo.manifest(reference))).await.status(404);
        let put = client.put(&ns(repo.manifest(reference)), manifest.bytes.clone());
        put.header("content-type", &manifest.media_type).await.status(201).digest(&manifest.digest);
    }
    let resolved = client.head(&ns(repo.manifest("v1"))).await.status(200).digest(index.digest());
    let resolved = resolved.header("content-type", types::OCI_INDEX);
    resolved.header("content-length", &index.manifest.bytes.len().to_string());
    // A digest is looked for as a manifest, then as a blob.
    let layer = &child.blobs[1];
    client.head(&ns(repo.manifest(&layer.digest))).await.status(404);
    client.head(&ns(repo.blob(&layer.digest))).await.status(200).digest(&layer.digest);
    let coding = "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5";
    for manifest in [&index.manifest, &child.manifest] {
        let fetch = client.get(&ns(repo.manifest(&manifest.digest))).header("accept-encoding", coding);
        fetch.await.status(200).no_header("content-encoding").body(&manifest.bytes);
    }
    for offset in [0, 500] {
        let fetch = client.get(&ns(repo.blob(&layer.digest))).header("accept-encoding", coding);
        let fetch = fetch.header("range", &format!("bytes={offset}-")).await.status_in(&[200, 206]);
        fetch.no_header("content-encoding").body(&layer.bytes[offset..]);
    }
    // Referrers: several types in one request.
    let query = "?artifactType=application%2Fa&artifactType=application%2Fb&ns=docker.io";
    repo.referrers_with(index.digest(), query).await.header("oci-filters-applied", "artifactType");
}

/// buildkit: the images by `tag@digest`, then the index by tag; the tag may have been something else before.
#[tokio::test]
async fn buildkit_pushes_an_index_over_an_image() {
    let client = agent("buildkit/v0.26").await.with("accept", ACCEPT);
    let repo = client.repo();
    repo.push("latest", &image().build()).await;
    let children = [image().build(), image().build()];
    let index = index(Alg::Sha256, &children, &serde_json::json!({}));
    repo.push("latest", &index).await;
    repo.has_manifest("latest", &index.manifest).await;
}

/// podman, skopeo, buildah: POST must be 202 and PUT 201; a mount that became an upload is cancelled.
#[tokio::test]
async fn containers_image_pushes_and_pulls() {
    let client = agent("containers/5.36.2 (github.com/containers/image)").await;
    let client = client.with("docker-distribution-api-version", "registry/2.0");
    let repo = client.repo();
    client.get("/v2/").await.status(200);
    let image = docker_image();
    for blob in &image.blobs {
        client.head(&repo.blob(&blob.digest)).await.status(404);
        let mount = format!("{}?mount={}&from=some%2Fwhere", repo.uploads(), blob.digest);
        let session = client.post(&mount).await.status(202).location();
        client.delete(&session).await.status(204);
        let session = client.post(&repo.uploads()).await.status(202).location();
        let patch = client.call("PATCH", &session).header("content-type", "application/octet-stream");
        let session = patch.chunked(blob.bytes.clone()).await.status(202).location();
        let put = client.call("PUT", &with(&session, "digest", &blob.digest.replace(':', "%3A")));
        put.header("content-type", "application/octet-stream").await.status(201);
        let head = client.head(&repo.blob(&blob.digest)).await.status(200);
        head.header("content-length", &blob.len().to_string());
    }
    repo.push_manifest("v1", &image.manifest).await;
    let pull = accept_lines(client.clone()).at(&repo.name);
    pull.has_manifest("v1", &image.manifest).await;
    for blob in &image.blobs {
        client.get(&repo.blob(&blob.digest)).await.status(200).body(&blob.bytes);
        // The reader goes on where it was cut off, and insists on both ends.
        let rest = client.get(&repo.blob(&blob.digest)).header("range", "bytes=700-").await;
        let range = format!("bytes 700-{}/{}", blob.len() - 1, blob.len());
        rest.status(206).header("content-range", &range).body(&blob.bytes[700..]);
    }
    let tags = client.get(&repo.path("tags/list")).await.status(200).list("tags");
    assert_eq!(tags, ["v1"]);
    // skopeo delete: the digest by HEAD, then DELETE by digest.
    let digest =
        client.head(&repo.manifest("v1")).await.status(200).get("docker-content-digest").map(str::to_owned);
    client.delete(&repo.manifest(&digest.expect("a digest"))).await.status(202);
    client.get(&repo.manifest("v1")).await.status(404);
    // No lookaside signatures here, which is fine.
    client.get("/v2/").await.no_header("x-registry-supports-signatures");
}

/// podman with partial pulls: many ranges, and fewer after a 400.
#[tokio::test]
async fn containers_image_halves_its_ranges_after_a_400() {
    let client = agent("containers/5.36.2 (github.com/containers/image)").await;
    let repo = client.repo();
    let blob = Blob::new(600_000);
    repo.push_blob(&blob).await;
    let mut count = 4_096;
    loop {
        let ranges: Vec<_> = (0..count).map(|n| format!("{}-{}", n * 100, n * 100 + 9)).collect();
        let get =
            client.get(&repo.blob(&blob.digest)).header("range", &format!("bytes={}", ranges.join(",")));
        let get = get.await.status_in(&[206, 400]);
        if get.status == 206 {
            let kind = get.get("content-type").expect("a type");
            assert!(kind.starts_with("multipart/byteranges; boundary="), "{kind}");
            break;
        }
        count /= 2;
        assert!(count >= 1_024, "1,024 ranges are served");
    }
}

/// crane, ko, kaniko, cosign: JSON type on the POST, PATCH with a length, then a commit.
#[tokio::test]
async fn ggcr_pushes_attaches_and_lists() {
    let client = agent("crane/v0.22.1 go-containerregistry/v0.22.1").await;
    let repo = client.repo();
    client.get("/v2/").await.status(200);
    let subject = image().build();
    let attached =
        image().artifact("application/vnd.dev.sigstore.bundle.v0.3+json").subject(&subject.descriptor());
    let attached = attached.build();
    for image in [&subject, &attached] {
        for blob in &image.blobs {
            client.head(&repo.blob(&blob.digest)).await.status_in(&[200, 404]);
            let mount = format!(
                "{}?from=no%2Fwhere&mount={}&origin=index.docker.io",
                repo.uploads(),
                blob.digest.replace(':', "%3A")
            );
            let post =
                client.post(&mount).header("content-type", "application/json").await.status_in(&[201, 202]);
            if post.status == 201 {
                continue;
            }
            let post = client.post(&repo.uploads()).header("content-type", "application/json").await;
            let patch = client.patch(&post.status(202).location(), blob.bytes.clone());
            let patch =
                patch.header("content-type", "application/octet-stream").await.status_in(&[201, 202, 204]);
            let put =
                client.call("PUT", &with(&patch.location(), "digest", &blob.digest.replace(':', "%3A")));
            put.header("content-type", "application/octet-stream").await.status(201);
        }
        let put = client.put(&repo.manifest(image.digest()), image.manifest.bytes.clone());
        put.header("content-type", &image.manifest.media_type).await.status_in(&[200, 201, 202]);
    }
    repo.push_manifest("v1", &subject.manifest).await;
    let head = client.head(&repo.manifest("v1")).header("accept", ACCEPT).await.status(200);
    let head = head.header("content-type", types::OCI_MANIFEST).digest(subject.digest());
    head.header("content-length", &subject.manifest.bytes.len().to_string());
    // After a push with a subject it asks whether the API is there; 400 and 404 would mean no.
    assert_eq!(repo.referrers(subject.digest()).await.len(), 1);
    // cosign's tags.
    let signature = format!("{}.sig", subject.digest().replace(':', "-"));
    client.head(&repo.manifest(&signature)).await.status(404);
    repo.push_manifest(&signature, &subject.manifest).await;
    assert_eq!(repo.tags().await.len(), 2);
}

/// oras, helm, notation: 202 and 201 exactly, exact types, and errors told apart by their code.
#[tokio::test]
async fn oras_pushes_probes_and_deletes() {
    let client = agent("oras/1.3.0").await;
    let repo = client.repo();
    let zero = format!("sha256:{}", "0".repeat(64));
    // The probe for the referrers API, before anything is there.
    repo.referrers_with(&zero, "").await;
    let blob = Blob::new(3_000);
    client.get(&repo.blob(&blob.digest)).await.missing("NAME_UNKNOWN");
    let artifact = image().artifact("application/vnd.cncf.helm.chart").build();
    for blob in artifact.blobs.iter().chain([&blob]) {
        let post = client.post(&repo.uploads()).await.status(202);
        let put = client
            .put(&with(&post.location(), "digest", &blob.digest.replace(':', "%3A")), blob.bytes.clone());
        put.header("content-type", "application/octet-stream").await.status(201);
    }
    // helm writes `+` as `_`.
    repo.push_manifest("1.2.3_build.5", &artifact.manifest).await;
    let fetch = client.get(&repo.manifest("1.2.3_build.5")).header("accept", types::OCI_MANIFEST).await;
    fetch.status(200).header("content-type", types::OCI_MANIFEST).digest(artifact.digest());
    // It seeks only where Accept-Ranges says so.
    client.head(&repo.blob(&blob.digest)).await.status(200).header("accept-ranges", "bytes");
    let part = client.get(&repo.blob(&blob.digest)).header("range", "bytes=100-2999").await;
    part.status(206).body(&blob.bytes[100..]);
    let tags = client.get(&repo.path("tags/list?n=100&last=")).await.status(200).list("tags");
    assert_eq!(tags, ["1.2.3_build.5"]);
    repo.referrers_with(artifact.digest(), "?n=100").await;
    client.delete(&repo.manifest(artifact.digest())).await.status(202);
    client.delete(&repo.blob(&blob.digest)).await.status(202);
}

/// regclient: an anonymous mount first, one PUT, then chunks; recovery from a 416; sha512 with `?tag=`.
#[tokio::test]
async fn regclient_pushes_by_chunks_and_recovers() {
    let client = agent("regclient/regctl (v0.11.7)").await;
    let repo = client.repo();
    let blob = Blob::of(Alg::Sha512, crate::harness::bytes(90_000));
    let post = format!("{}?mount={}&digest-algorithm=sha512", repo.uploads(), blob.digest);
    let location = client.post(&post).header("content-length", "0").await.status_in(&[201, 202]).location();
    let chunk = |location: &str, first: usize, last: usize| {
        let patch = client.patch(location, blob.bytes.slice(first..=last));
        patch
            .header("content-range", &format!("{first}-{last}"))
            .header("content-type", "application/octet-stream")
    };
    let location = chunk(&location, 0, 29_999).await.status(202).header("range", "0-29999").location();
    // The answer to a chunk was lost, and it is sent again: where to go on is on the refusal.
    let refused = chunk(&location, 0, 29_999).await.status(416).header("range", "0-29999");
    let location = refused.location();
    client.get(&location).await.status(204).header("range", "0-29999");
    let location = chunk(&location, 30_000, 59_999).await.status(202).location();
    let location = chunk(&location, 60_000, 89_999).await.status(202).location();
    let put = client.call("PUT", &with(&location, "digest", &blob.digest));
    put.header("content-type", "application/octet-stream").await.status(201).digest(&blob.digest);
    let image = image().alg(Alg::Sha512).layers(types::OCI_LAYER, &[blob]).build();
    repo.push_parts(&image).await;
    let put = client.put(&repo.manifest(&format!("{}?tag=v1", image.digest())), image.manifest.bytes.clone());
    let put = put.header("content-type", &image.manifest.media_type).await.status(201);
    assert_eq!(put.all("oci-tag"), ["v1"]);
    repo.has_manifest("v1", &image.manifest).await;
    // One byte too many in a range.
    let layer = &image.blobs[1];
    let get = client.get(&repo.blob(&layer.digest)).header("range", &format!("bytes=10-{}", layer.len()));
    get.await.status(206).body(&layer.bytes[10..]);
    // Cancel, and the trick with which it deletes tags where it must.
    let location = repo.start_upload().await;
    client.delete(&location).await.status_in(&[202, 204]);
    client.delete(&repo.manifest("v1")).await.status(202);
}

/// stargz: two bytes first, the size by HEAD or from Content-Range, then many ranges without a coding.
#[tokio::test]
async fn x_3_7_stargz_reads_by_ranges() {
    let client = agent("stargz-snapshotter/0.18").await;
    let repo = client.repo();
    let blob = Blob::new(400_000);
    repo.push_blob(&blob).await;
    let path = with(&repo.blob(&blob.digest), "ns", "localhost");
    let probe = client.get(&path).header("range", "bytes=0-1").await.status_in(&[200, 206]);
    probe.header("content-range", "bytes 0-1/400000");
    client.head(&path).await.status(200).header("content-length", "400000");
    let get = client.get(&path).header("range", "bytes=0-9,100000-100099,399990-399999");
    let get = get.header("accept-encoding", "identity").await.status(206);
    assert!(get.get("content-type").is_some_and(|kind| kind.starts_with("multipart/byteranges")));
}

/// the same requests from whomever get the same answers.
#[tokio::test]
async fn x_7_the_user_agent_changes_nothing() {
    let repo = repo().await;
    let image = image().build();
    repo.push("v1", &image).await;
    let manifest: &Manifest = &image.manifest;
    for user_agent in ["docker/20.10.0", "containerd/1.6", "Helm/3.19", "Go-http-client/1.1", "curl/8", ""] {
        let client = repo.client.with("user-agent", user_agent);
        client.at(&repo.name).has_manifest("v1", manifest).await;
    }
}

/// Renovate and others like it: ten thousand tags at once, then the Link.
#[tokio::test]
async fn renovate_lists_tags() {
    let client = agent("Renovate/42").await;
    let repo = client.repo();
    repo.push("v1", &image().build()).await;
    let list = client.get(&repo.path("tags/list?n=10000")).await.status(200);
    assert_eq!((list.list("tags"), list.next()), (vec!["v1".to_owned()], None));
}
