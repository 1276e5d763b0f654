//! end-3 and end-7: manifests, as they are pushed and pulled. What is refused is in `v2_manifest_rules`, whole data sets
//! are in `v2_data_sets`.

use serde_json::json;

use crate::harness::{Alg, Blob, Gantry, Image, Manifest, Repo, image, index, repo, types};

/// An image manifest of the Docker kind.
fn docker_image() -> Image {
    image()
        .field("mediaType", types::DOCKER_MANIFEST.into())
        .config(types::DOCKER_CONFIG, &Blob::new(300))
        .layers(types::DOCKER_LAYER, &[Blob::new(700)])
        .build()
}

/// E-3.1, E-3.2, E-3.3, E-10.1: by tag and by digest, GET and HEAD.
#[tokio::test]
async fn e_3_1_a_manifest_comes_back_as_it_was_pushed() {
    let repo = repo().await;
    for alg in Alg::ALL {
        let image = image().alg(alg).build();
        let tag = format!("v-{}", alg.name());
        repo.push_by_digest(&image).await;
        repo.has_manifest(image.digest(), &image.manifest).await;
        repo.lacks_manifest(&tag).await;
        if alg == Alg::Sha256 {
            let put = repo.push_manifest(&tag, &image.manifest).await;
            repo.client.get(&put.location()).await.status(200).body(&image.manifest.bytes);
            repo.has_manifest(&tag, &image.manifest).await;
        }
    }
}

/// E-3.3, T20
#[tokio::test]
async fn t20_head_of_a_manifest_is_get_without_the_body() {
    let repo = repo().await;
    let image = image().build();
    repo.push("v1", &image).await;
    for reference in ["v1", image.digest()] {
        let get = repo.client.get(&repo.manifest(reference)).await.status(200);
        let head = repo.client.head(&repo.manifest(reference)).await.status(200);
        for name in get.headers.keys().filter(|name| !matches!(name.as_str(), "date" | "x-request-id")) {
            assert_eq!(get.headers.get(name), head.headers.get(name), "{name}");
        }
        assert_eq!(get.headers.len(), head.headers.len());
    }
}

/// E-3.4: what is not there.
#[tokio::test]
async fn e_3_4_unknown_manifests() {
    let repo = repo().await;
    let digests = Alg::ALL.map(Alg::unknown);
    let references = ["missing-abcdefghijklmnopqrst", &digests[0], &digests[1]];
    for reference in references {
        repo.client.get(&repo.manifest(reference)).await.missing("NAME_UNKNOWN");
        repo.lacks_manifest(reference).await;
    }
    repo.push_blob(&Blob::new(1)).await;
    for reference in references {
        repo.client.get(&repo.manifest(reference)).await.missing("MANIFEST_UNKNOWN");
        repo.lacks_manifest(reference).await;
    }
}

/// E-3.5, E-10.2, T28: whatever contains a colon is a digest, never a tag.
#[tokio::test]
async fn t28_malformed_digests() {
    let repo = repo().await;
    let image = image().build();
    repo.push_parts(&image).await;
    let hex = "a".repeat(64);
    let upper = image.digest().replace("sha256:", "").to_uppercase();
    for malformed in [
        "sha256:baddigeststring".to_owned(),
        format!("sha256:{upper}"),
        "sha256:".to_owned(),
        ":".to_owned(),
        format!("sha512:{hex}"),
        format!("sha256:{hex}{hex}"),
    ] {
        repo.put_manifest(&malformed, &image.manifest).await.bad("DIGEST_INVALID");
        repo.client.get(&repo.manifest(&malformed)).await.status_in(&[400, 404]);
        repo.client.head(&repo.manifest(&malformed)).await.status_in(&[400, 404]);
        repo.client.delete(&repo.manifest(&malformed)).await.bad("DIGEST_INVALID");
    }
    for unsupported in [format!("blake3:{hex}"), "v1:v2".to_owned()] {
        repo.client.delete(&repo.manifest(&unsupported)).await.missing("MANIFEST_UNKNOWN");
        repo.put_manifest(&unsupported, &image.manifest).await.bad("DIGEST_INVALID");
        repo.client.get(&repo.manifest(&unsupported)).await.missing("MANIFEST_UNKNOWN");
    }
    assert_eq!(repo.tags().await, [""; 0]);
}

/// E-3.6, X-5.1, X-5.2, X-5.3, T22: the stored bytes under the stored type, whatever `Accept` says.
#[tokio::test]
async fn t22_accept_changes_nothing() {
    let repo = repo().await;
    let images = [image().build(), docker_image()];
    let lists = [
        index(Alg::Sha256, &images[..1], &json!({})),
        index(Alg::Sha256, &images[1..], &json!({ "mediaType": types::DOCKER_LIST })),
    ];
    for (n, image) in images.iter().chain(&lists).enumerate() {
        let tag = format!("v{n}");
        repo.push(&tag, image).await;
        let many = [types::OCI_MANIFEST, types::OCI_INDEX, types::DOCKER_MANIFEST, types::DOCKER_LIST];
        let accepts: Vec<Vec<String>> = vec![
            vec![],
            vec!["*/*".to_owned()],
            vec![many.join(", ")],
            many.map(str::to_owned).to_vec(),
            vec![format!("{};q=0.5, {};q=0", types::OCI_MANIFEST, types::DOCKER_LIST)],
            vec!["application/json".to_owned()],
            vec!["text/html".to_owned()],
            vec![types::DOCKER_MANIFEST.to_owned()],
            vec![types::OCI_INDEX.to_owned()],
            vec!["application/vnd.docker.distribution.manifest.v1+prettyjws".to_owned()],
            vec!["nonsense".to_owned()],
            vec![String::new()],
        ];
        for lines in accepts {
            for method in ["GET", "HEAD"] {
                for reference in [tag.as_str(), image.digest()] {
                    let mut call = repo.client.call(method, &repo.manifest(reference));
                    for line in &lines {
                        call = call.header("accept", line);
                    }
                    let answer = call.await.status(200).header("content-type", &image.manifest.media_type);
                    let answer = answer.digest(image.digest());
                    if method == "GET" {
                        answer.body(&image.manifest.bytes);
                    }
                }
            }
        }
    }
}

/// E-3.7, T49: conditional requests, by tag and by digest.
#[tokio::test]
async fn t49_if_none_match_on_manifests() {
    let repo = repo().await;
    let image = image().build();
    repo.push("v1", &image).await;
    let tag = format!("\"{}\"", image.digest());
    for reference in ["v1", image.digest()] {
        let path = repo.manifest(reference);
        repo.client.get(&path).await.status(200).header("etag", &tag);
        for condition in [&tag, &format!("W/{tag}"), &format!("\"a\",{tag}"), image.digest(), "*"] {
            for method in ["GET", "HEAD"] {
                let answer = repo.client.call(method, &path).header("if-none-match", condition).await;
                answer.status(304).header("etag", &tag).digest(image.digest());
            }
        }
        repo.client.get(&path).header("if-none-match", "\"a\"").await.status(200);
    }
    // The tag moves on, and the client is told.
    repo.push("v1", &crate::harness::image().build()).await;
    repo.client.get(&repo.manifest("v1")).header("if-none-match", &tag).await.status(200);
}

/// E-10.3, T21: parameters of the type are not stored, and none are added.
#[tokio::test]
async fn t21_parameters_of_the_content_type_are_dropped() {
    let repo = repo().await;
    for parameters in ["; charset=utf-8", ";charset=UTF-8", " ; a=b; c=\"d\"", " "] {
        let image = image().build();
        repo.push_parts(&image).await;
        let put = repo.client.put(&repo.manifest("v1"), image.manifest.bytes.clone());
        let kind = format!("{}{parameters}", types::OCI_MANIFEST);
        put.header("content-type", kind.trim_end_matches("\n")).await.status(201);
        repo.has_manifest("v1", &image.manifest).await;
    }
}

/// E-10.2, T24: the exact bytes, whatever they look like.
#[tokio::test]
async fn t24_nothing_is_re_serialised() {
    let repo = repo().await;
    let image = image().build();
    repo.push_parts(&image).await;
    let text = String::from_utf8(image.manifest.bytes.to_vec()).expect("text");
    let inner = text.trim().trim_start_matches('{').to_owned();
    for odd in [
        format!("\n\t {text}\r\n\n"),
        text.replace('\n', "\r\n   "),
        format!("{{\"x-unknown\":[1e400,-0,1.0,\"\\u00e9\",{{}}],{inner}"),
        format!("{{\"schemaVersion\":1,{inner}"),
        format!("{{\"annotations\":{{\"k\":\"1\"}},\"annotations\":{{\"k\":\"\\/\"}},{inner}"),
        text.replace("schemaVersion", "schema\\u0056ersion"),
    ] {
        let manifest = Manifest::of(Alg::Sha256, types::OCI_MANIFEST, odd);
        repo.push_manifest("odd", &manifest).await;
        repo.has_manifest("odd", &manifest).await;
        repo.has_manifest(&manifest.digest, &manifest).await;
    }
}

/// E-10.9: a body without a length.
#[tokio::test]
async fn e_10_9_a_chunked_manifest() {
    let repo = repo().await;
    for alg in Alg::ALL {
        let image = image().alg(alg).annotation("long", &"a".repeat(200_000)).build();
        repo.push_parts(&image).await;
        let put =
            repo.client.call("PUT", &repo.manifest(image.digest())).chunked(image.manifest.bytes.clone());
        put.header("content-type", types::OCI_MANIFEST).await.status(201).digest(image.digest());
        repo.has_manifest(image.digest(), &image.manifest).await;
    }
}

/// E-10.11, T18, T58: many tags at once, on a digest of either algorithm.
#[tokio::test]
async fn t18_tags_by_parameter() {
    let repo = repo().await;
    for alg in Alg::ALL {
        for count in [1, 10, 100] {
            let image = image().alg(alg).build();
            repo.push_parts(&image).await;
            let tags: Vec<_> = (0..count).map(|n| format!("{}-{count}-{n}", alg.name())).collect();
            let query: Vec<_> = tags.iter().map(|tag| format!("tag={tag}")).collect();
            let target = format!("{}?{}", image.digest(), query.join("&"));
            let put = repo.put_manifest(&target, &image.manifest).await.status(201).digest(image.digest());
            assert_eq!(put.all("oci-tag"), tags, "T58: OCI-Tag for each tag that was set");
            let listed = repo.tags().await;
            for tag in &tags {
                assert!(listed.contains(tag), "{tag}");
            }
            repo.has_manifest(&tags[0], &image.manifest).await;
            repo.has_manifest(&tags[count - 1], &image.manifest).await;
        }
    }
}

/// T58: each tag once; without `tag=` there is no `OCI-Tag`.
#[tokio::test]
async fn t58_duplicates_count_once() {
    let repo = repo().await;
    let image = image().build();
    repo.push_by_digest(&image).await.no_header("oci-tag");
    repo.push_manifest("by-tag", &image.manifest).await.no_header("oci-tag");
    let target = format!("{}?tag=b&tag=a&tag=b&ns=docker.io", image.digest());
    let put = repo.put_manifest(&target, &image.manifest).await.status(201);
    assert_eq!(put.all("oci-tag"), ["b", "a"]);
    assert_eq!(repo.tags().await, ["a", "b", "by-tag"]);
}

/// T58, T59: a request that fails sets no tag and stores nothing.
#[tokio::test]
async fn t58_a_failed_request_sets_no_tag() {
    let repo = repo().await;
    let image = image().build();
    repo.push_parts(&image).await;
    let digest = image.digest();
    let long = "x".repeat(129);
    for bad in ["-x", ".x", "a%2Fb", "a%20b", "", "a:b", long.as_str()] {
        let put =
            repo.put_manifest(&format!("{digest}?tag=good&tag={bad}"), &image.manifest).await.status(400);
        let code = put.json()["errors"][0]["code"].clone();
        assert!(code == "MANIFEST_INVALID" || code == "NAME_INVALID", "{code}");
    }
    repo.put_manifest("v1?tag=v2", &image.manifest).await.status(400);
    for alg in Alg::ALL {
        let other = format!("{}?tag=wrong", alg.unknown());
        repo.put_manifest(&other, &image.manifest).await.bad("DIGEST_INVALID");
    }
    let many: Vec<_> = (0..101).map(|n| format!("tag=t{n}")).collect();
    repo.put_manifest(&format!("{digest}?{}", many.join("&")), &image.manifest).await.status(414);
    assert_eq!(repo.tags().await, [""; 0]);
    repo.lacks_manifest(digest).await;
}

async fn retag(repo: &Repo, image: &Image) {
    repo.push("latest", image).await;
    repo.has_manifest("latest", &image.manifest).await;
    assert_eq!(repo.tags().await, ["latest"]);
}

/// E-10.13, T23: a tag may change what it points to, and what kind of thing that is.
#[tokio::test]
async fn e_10_13_a_tag_moves_between_kinds() {
    let repo = repo().await;
    let (oci, docker) = (image().build(), docker_image());
    let oci_index = index(Alg::Sha256, std::slice::from_ref(&oci), &json!({}));
    let list = index(Alg::Sha256, std::slice::from_ref(&docker), &json!({ "mediaType": types::DOCKER_LIST }));
    let all = [&oci, &oci_index, &docker, &list, &oci, &list, &oci_index, &docker, &image().build()];
    for image in all {
        retag(&repo, image).await;
    }
    for image in all {
        repo.has_manifest(image.digest(), &image.manifest).await;
    }
}

/// T17: sha512 at every place of a manifest.
#[tokio::test]
async fn t17_sha512_throughout() {
    let repo = repo().await;
    let child = image().alg(Alg::Sha512).build();
    let index = index(Alg::Sha512, std::slice::from_ref(&child), &json!({}));
    repo.push_by_digest(&index).await;
    let artifact =
        image().alg(Alg::Sha512).artifact("application/x.test").subject(&index.descriptor()).build();
    let put = repo.push_by_digest(&artifact).await;
    put.header("oci-subject", index.digest());
    let referrers = repo.referrers(index.digest()).await;
    assert_eq!(referrers.len(), 1);
    assert_eq!(referrers[0]["digest"], artifact.digest());
    // A sha256 manifest may speak of sha512 blobs, and the other way round.
    let mixed = image().layers(types::OCI_LAYER, &[child.blobs[1].clone(), Blob::new(10)]).build();
    repo.push("mixed", &mixed).await;
    repo.has_manifest("mixed", &mixed.manifest).await;
    let target = format!("{}?tag=many", child.digest());
    repo.put_manifest(&target, &child.manifest).await.status(201);
    repo.client.head(&repo.manifest("many")).await.status(200).digest(child.digest());
    // A tag that is pushed by itself has a sha256 digest.
    repo.push_manifest("plain", &child.manifest.by(Alg::Sha256)).await;
    repo.has_manifest("plain", &child.manifest.by(Alg::Sha256)).await;
    repo.has_manifest("many", &child.manifest).await;
    for reference in [artifact.digest(), index.digest(), child.digest()] {
        repo.client.delete(&repo.manifest(reference)).await.status(202);
        repo.lacks_manifest(reference).await;
    }
    repo.client.delete(&repo.blob(&child.blobs[0].digest)).await.status(202);
}

/// E-2.4: a manifest of another repository is not here.
#[tokio::test]
async fn e_3_4_manifests_are_seen_in_their_own_repository_only() {
    let gantry = Gantry::shared().await;
    let (a, b) = (gantry.repo(), gantry.repo());
    let image = image().build();
    a.push("v1", &image).await;
    b.push_blob(&Blob::new(1)).await;
    for reference in ["v1", image.digest()] {
        b.client.get(&b.manifest(reference)).await.missing("MANIFEST_UNKNOWN");
    }
    // The blobs must be here, too.
    b.put_manifest("v1", &image.manifest).await.bad("MANIFEST_BLOB_UNKNOWN");
    b.push("v1", &image).await;
    b.has_manifest("v1", &image.manifest).await;
}
