//! end-11: blobs that another repository holds already.

use crate::harness::repo::with;
use crate::harness::{Alg, Answer, Blob, Gantry, Repo, bytes, repo};

async fn mount(to: &Repo, digest: &str, from: &str) -> Answer {
    let target = with(&to.uploads(), "mount", digest);
    to.client.post(&if from.is_empty() { target } else { with(&target, "from", from) }).await
}

/// The answer is a session, and the session works (E-9.2).
async fn falls_back(to: &Repo, answer: Answer, blob: &Blob) {
    let answer = answer.status(202).header("range", "0-0");
    let location = answer.location();
    assert!(location.starts_with(&to.uploads()), "{location}");
    to.lacks_blob(&blob.digest).await;
    let put = to.client.put(&with(&location, "digest", &blob.digest), blob.bytes.clone()).await;
    put.status(201).digest(&blob.digest);
    to.has_blob(blob).await;
}

/// E-9.1, T17
#[tokio::test]
async fn e_9_1_mount() {
    let from = repo().await;
    for (alg, length) in Alg::ALL.into_iter().flat_map(|alg| [0, 512, 50_000].map(|length| (alg, length))) {
        let blob = Blob::of(alg, bytes(length));
        from.push_blob(&blob).await;
        let to = from.other();
        let mounted = mount(&to, &blob.digest, &from.name).await.status(201).digest(&blob.digest);
        let mounted = mounted.header("location", &to.blob(&blob.digest)).header("content-length", "0");
        to.client.get(&mounted.location()).await.status(200).body(&blob.bytes);
        to.has_blob(&blob).await;
    }
}

/// E-9.2, T34: what cannot be mounted is uploaded.
#[tokio::test]
async fn e_9_2_a_mount_that_cannot_be_is_an_upload() {
    let from = repo().await;
    from.push_blob(&Blob::new(10)).await;
    let long = "a/".repeat(200);
    let sources =
        [from.name.as_str(), "no/such/repository", "Upper/Case", "../etc", "a//b", "%00", &long, "a b"];
    for from in sources.map(|from| from.replace(' ', "%20")) {
        for alg in Alg::ALL {
            let (to, blob) = (repo().await, Blob::of(alg, bytes(300)));
            let answer = mount(&to, &blob.digest, &from).await;
            falls_back(&to, answer, &blob).await;
        }
    }
}

/// E-9.2: what `from` names is where it is looked for, though another repository holds it.
#[tokio::test]
async fn e_9_2_a_mount_from_the_wrong_repository_is_an_upload() {
    let (holder, empty) = (repo().await, repo().await);
    empty.push_blob(&Blob::new(10)).await;
    for from in [empty.name.as_str(), "no/such/repository", "Upper/Case", "a//b"] {
        let blob = Blob::new(300);
        holder.push_blob(&blob).await;
        let to = holder.other();
        let answer = mount(&to, &blob.digest, from).await;
        falls_back(&to, answer, &blob).await;
    }
}

/// E-9.3: without `from` the blob is found in whatever repository the client may pull from.
#[tokio::test]
async fn e_9_3_mount_from_anywhere() {
    let from = repo().await;
    for alg in Alg::ALL {
        let blob = Blob::of(alg, bytes(5_000));
        from.push_blob(&blob).await;
        let to = from.other();
        mount(&to, &blob.digest, "").await.status(201).digest(&blob.digest);
        to.has_blob(&blob).await;
        let to = from.other();
        to.client.post(&format!("{}?mount={}&from=", to.uploads(), blob.digest)).await.status(201);
        to.has_blob(&blob).await;
    }
}

/// E-9.3: an unknown digest is exactly 202.
#[tokio::test]
async fn e_9_3_anonymous_mount_of_an_unknown_blob_is_202() {
    let to = repo().await;
    for alg in Alg::ALL {
        let blob = Blob::of(alg, bytes(300));
        let answer = mount(&to, &blob.digest, "").await;
        falls_back(&to, answer, &blob).await;
    }
}

/// E-9.4
#[tokio::test]
async fn e_9_4_a_malformed_digest_is_400() {
    let to = repo().await;
    let upper = format!("sha256:{}", "A".repeat(64));
    for malformed in ["sha256:baddigeststring", "nonsense", "sha256:", upper.as_str()] {
        mount(&to, malformed, "a/b").await.bad("DIGEST_INVALID");
        mount(&to, malformed, "").await.bad("DIGEST_INVALID");
    }
    mount(&to, &format!("blake3:{}", "a".repeat(64)), "a/b").await.bad("DIGEST_INVALID");
}

/// E-9.4, T35: other parameters are ignored, and the mount comes before a `digest`.
#[tokio::test]
async fn t35_mount_comes_first() {
    let from = repo().await;
    let blob = Blob::new(300);
    from.push_blob(&blob).await;
    for more in [
        "&origin=localhost:5000".to_owned(),
        "&ns=docker.io".to_owned(),
        format!("&digest={}", blob.digest),
        format!("&digest={}", Alg::Sha256.unknown()),
        "&digest=nonsense".to_owned(),
    ] {
        let to = from.other();
        let target = format!("{}?mount={}&from={}{more}", to.uploads(), blob.digest, from.name);
        to.client.post(&target).header("content-type", "application/json").await.status(201);
        to.has_blob(&blob).await;
    }
}

/// T69: `from` with its slashes encoded and not.
#[tokio::test]
async fn t69_from_may_be_percent_encoded() {
    let from = repo().await;
    let blob = Blob::new(300);
    from.push_blob(&blob).await;
    for name in [from.name.clone(), from.name.replace('/', "%2F"), from.name.replace('/', "%2f")] {
        for digest in [blob.digest.clone(), blob.digest.replace(':', "%3A")] {
            let to = from.other();
            mount(&to, &digest, &name).await.status(201).digest(&blob.digest);
            to.has_blob(&blob).await;
        }
    }
}

/// E-9.5: a mounted blob is the target's own.
#[tokio::test]
async fn e_9_5_a_mount_survives_its_source() {
    let from = repo().await;
    for length in [300, 50_000] {
        let blob = Blob::new(length);
        from.push_blob(&blob).await;
        let to = from.other();
        mount(&to, &blob.digest, &from.name).await.status(201);
        from.client.delete(&from.blob(&blob.digest)).await.status(202);
        from.lacks_blob(&blob.digest).await;
        to.has_blob(&blob).await;
        mount(&from.other(), &blob.digest, &from.name).await.status(202);
    }
}

/// E-9.6, T34: what is there already is there, whatever `from` says.
#[tokio::test]
async fn e_9_6_a_blob_that_the_target_holds_is_201() {
    let to = repo().await;
    let blob = Blob::new(300);
    to.push_blob(&blob).await;
    for from in [to.name.as_str(), "no/such/repository", ""] {
        mount(&to, &blob.digest, from).await.status(201).header("location", &to.blob(&blob.digest));
    }
}

/// E-9.2, T34: a client that may not pull gets no blob by mounting it.
#[tokio::test]
async fn t34_a_mount_needs_the_right_to_push() {
    let gantry = Gantry::options().account("alice", "a").set("auth.anonymous", "read").start().await;
    let alice = gantry.client().basic("alice", "a").at("alice/app");
    let blob = Blob::new(300);
    alice.push_blob(&blob).await;
    let anon = gantry.client().at("mallory/app");
    mount(&anon, &blob.digest, &alice.name).await.status_in(&[401, 403]);
    anon.lacks_blob(&blob.digest).await;
    let other = alice.client.at("alice/other");
    mount(&other, &blob.digest, &alice.name).await.status(201);
}
