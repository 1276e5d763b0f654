//! end-9 and end-10: deletes, and how soon they are seen.

use crate::harness::{Alg, Blob, Gantry, image, index, repo};

/// E-13.1, T39: a tag goes, what it pointed to stays.
#[tokio::test]
async fn e_13_1_delete_of_a_tag() {
    let repo = repo().await;
    let image = image().build();
    repo.push("v1", &image).await;
    repo.push_manifest("v2", &image.manifest).await;
    repo.client.delete(&repo.manifest("v1")).await.status(202);
    repo.lacks_manifest("v1").await;
    repo.client.get(&repo.manifest("v1")).await.missing("MANIFEST_UNKNOWN");
    repo.has_manifest("v2", &image.manifest).await;
    repo.has_manifest(image.digest(), &image.manifest).await;
    assert_eq!(repo.tags().await, ["v2"]);
    repo.client.delete(&repo.manifest("v1")).await.missing("MANIFEST_UNKNOWN");
    repo.client.delete(&repo.manifest("v2")).await.status(202);
    repo.has_manifest(image.digest(), &image.manifest).await;
}

/// E-13.2, E-13.4, T38, T39: a manifest goes, and every tag that pointed to it.
#[tokio::test]
async fn t39_delete_of_a_manifest_takes_its_tags_along() {
    let repo = repo().await;
    for alg in Alg::ALL {
        let (gone, kept) = (image().alg(alg).build(), image().build());
        repo.push_parts(&gone).await;
        let target = format!("{}?tag=a&tag=b&tag=c", gone.digest());
        repo.put_manifest(&target, &gone.manifest).await.status(201);
        repo.push("kept", &kept).await;
        // One of its tags has moved on.
        repo.push_manifest("b", &kept.manifest).await;
        for reference in ["a", "b", "c", gone.digest()] {
            repo.client.get(&repo.manifest(reference)).await.status(200);
        }
        repo.client.delete(&repo.manifest(gone.digest())).await.status(202);
        for reference in ["a", "c", gone.digest()] {
            repo.lacks_manifest(reference).await;
            repo.client.get(&repo.manifest(reference)).await.missing("MANIFEST_UNKNOWN");
        }
        repo.has_manifest("b", &kept.manifest).await;
        assert_eq!(repo.tags().await, ["b", "kept"]);
        repo.client.delete(&repo.manifest(gone.digest())).await.missing("MANIFEST_UNKNOWN");
        // Pushed again it is there again, without its old tags.
        repo.push_by_digest(&gone).await;
        assert_eq!(repo.tags().await, ["b", "kept"]);
        repo.client.delete(&repo.manifest(gone.digest())).await.status(202);
    }
}

/// E-13.2: unknown repository, unknown digest, unknown tag.
#[tokio::test]
async fn e_13_2_deletes_of_what_is_not_there() {
    let repo = repo().await;
    let unknown = Alg::ALL.map(Alg::unknown);
    for reference in ["v1", &unknown[0], &unknown[1]] {
        repo.client.delete(&repo.manifest(reference)).await.missing("NAME_UNKNOWN");
    }
    repo.client.delete(&repo.blob(&unknown[0])).await.missing("NAME_UNKNOWN");
    repo.push_blob(&Blob::new(1)).await;
    for reference in ["v1", &unknown[0], &unknown[1]] {
        repo.client.delete(&repo.manifest(reference)).await.missing("MANIFEST_UNKNOWN");
    }
    for digest in &unknown {
        repo.client.delete(&repo.blob(digest)).await.missing("BLOB_UNKNOWN");
    }
}

/// E-13.3, E-13.4, T38: blobs.
#[tokio::test]
async fn e_13_3_delete_of_a_blob() {
    let repo = repo().await;
    for (alg, length) in Alg::ALL.into_iter().flat_map(|alg| [0, 100, 100_000].map(|length| (alg, length))) {
        let blob = Blob::of(alg, crate::harness::bytes(length));
        repo.push_blob(&blob).await;
        repo.has_blob(&blob).await;
        repo.client.delete(&repo.blob(&blob.digest)).await.status(202);
        repo.lacks_blob(&blob.digest).await;
        repo.client.get(&repo.blob(&blob.digest)).await.missing("BLOB_UNKNOWN");
        repo.client.delete(&repo.blob(&blob.digest)).await.missing("BLOB_UNKNOWN");
        repo.push_blob(&blob).await;
        repo.has_blob(&blob).await;
    }
}

/// E-13.3: a delete concerns one repository.
#[tokio::test]
async fn e_13_3_the_same_blob_elsewhere_stays() {
    let (a, b) = (repo().await, repo().await);
    for blob in [Blob::new(100), Blob::new(100_000)] {
        a.push_blob(&blob).await;
        b.push_blob(&blob).await;
        a.client.delete(&a.blob(&blob.digest)).await.status(202);
        a.lacks_blob(&blob.digest).await;
        b.has_blob(&blob).await;
    }
}

/// E-13.4: blobs before the manifest that names them, as one suite does it.
#[tokio::test]
async fn e_13_4_blobs_before_manifests() {
    let repo = repo().await;
    let child = image().build();
    let index = index(Alg::Sha256, std::slice::from_ref(&child), &serde_json::json!({}));
    repo.push("v1", &index).await;
    for blob in &child.blobs {
        repo.client.delete(&repo.blob(&blob.digest)).await.status(202);
        repo.lacks_blob(&blob.digest).await;
    }
    // The child before the index, too.
    repo.has_manifest(child.digest(), &child.manifest).await;
    repo.client.delete(&repo.manifest(child.digest())).await.status(202);
    repo.lacks_manifest(child.digest()).await;
    repo.client.delete(&repo.manifest("v1")).await.status(202);
    repo.client.delete(&repo.manifest(index.digest())).await.status(202);
    // What is gone is missing when the manifest comes again.
    repo.put_manifest("v1", &child.manifest).await.bad("MANIFEST_BLOB_UNKNOWN");
    repo.push("v1", &child).await;
}

/// E-13.5
#[tokio::test]
async fn e_13_5_deletes_of_malformed_references() {
    let repo = repo().await;
    repo.push("v1", &image().build()).await;
    for malformed in ["sha256:baddigeststring", "sha256:", &format!("sha256:{}", "A".repeat(64))] {
        repo.client.delete(&repo.manifest(malformed)).await.bad("DIGEST_INVALID");
        repo.client.delete(&repo.blob(malformed)).await.bad("DIGEST_INVALID");
    }
    repo.client.delete(&repo.manifest("-x")).await.status_in(&[400, 404]);
    assert_eq!(repo.tags().await, ["v1"]);
}

/// E-13.1, E-13.3, T40: what is switched off is 405, and stays.
#[tokio::test]
async fn t40_deletes_can_be_switched_off_one_by_one() {
    for allowed in [&[][..], &["tag"], &["manifest"], &["blob"]] {
        let gantry = Gantry::options().set("registry.delete", &format!("{allowed:?}")).start().await;
        let repo = gantry.repo();
        let image = image().build();
        repo.push("v1", &image).await;
        let targets = [
            ("tag", repo.manifest("v1")),
            ("blob", repo.blob(&image.blobs[0].digest)),
            ("manifest", repo.manifest(image.digest())),
        ];
        for (kind, target) in targets {
            let delete = repo.client.delete(&target).await;
            if allowed.contains(&kind) {
                delete.status(202);
                repo.client.get(&target).await.status(404);
            } else {
                let delete = delete.status(405).error("UNSUPPORTED");
                assert!(delete.get("allow").is_some_and(|allow| !allow.contains("DELETE")));
                repo.client.get(&target).await.status(200);
            }
        }
    }
}

/// E-13.4, T38: the answers before and after a delete, again and again.
#[tokio::test]
async fn t38_a_delete_beats_every_cache() {
    let repo = repo().await;
    let image = image().build();
    for _ in 0..20 {
        repo.push("v1", &image).await;
        for target in [repo.manifest("v1"), repo.manifest(image.digest()), repo.blob(&image.blobs[0].digest)]
        {
            repo.client.get(&target).await.status(200);
            repo.client.head(&target).await.status(200);
            repo.client.delete(&target).await.status(202);
            repo.client.head(&target).await.status(404);
            repo.client.get(&target).await.status(404);
        }
    }
}

/// E-13.4: a deleted manifest can be pushed again by its digest and is whole; deletes survive a restart.
#[tokio::test]
async fn e_13_4_deletes_survive_a_crash() {
    let mut gantry = Gantry::start().await;
    let repo = gantry.client().at("app");
    let (gone, kept) = (image().build(), image().build());
    repo.push("gone", &gone).await;
    repo.push("kept", &kept).await;
    repo.client.delete(&repo.manifest(gone.digest())).await.status(202);
    repo.client.delete(&repo.blob(&gone.blobs[1].digest)).await.status(202);
    gantry.kill9();
    gantry.restart().await;
    let repo = gantry.client().at("app");
    assert_eq!(repo.tags().await, ["kept"]);
    repo.lacks_manifest(gone.digest()).await;
    repo.lacks_blob(&gone.blobs[1].digest).await;
    repo.has_manifest("kept", &kept.manifest).await;
    repo.has_blob(&kept.blobs[1]).await;
}
