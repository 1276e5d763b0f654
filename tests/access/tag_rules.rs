//! N-19, A-27: tags that are held.

use serde_json::json;

use crate::harness::{Alg, Answer, Client, Gantry, Image, image, index};

struct World {
    app: Gantry,
    root: Client,
    chief: Client,
    deleter: Client,
}

const NAME: &str = "team/app";

/// In `team`, tags `v*` are immutable and `latest` and `stable-*` protected; `chief` is admin there.
async fn world() -> World {
    let app = Gantry::start().await;
    let root = app.admin("root", "a secret 1").await;
    let chief = app.user("chief", "a secret 1").await;
    let deleter = app.user("deleter", "a secret 1").await;
    app.namespace("team", "private").await;
    app.grant("chief", "admin", "team").await;
    app.grant("deleter", "delete", "team").await;
    app.hold_tags("team", &["v*"], &["latest", "stable-*"]).await;
    World { app, root, chief, deleter }
}

fn held(answer: Answer, pattern: &str) -> Answer {
    let answer = answer.status(403).error("DENIED").no_header("www-authenticate");
    let message = answer.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains(&format!("`{pattern}`")), "the rule is named: {message}");
    answer
}

async fn tag(client: &Client, tag: &str, image: &Image) -> Answer {
    client.at(NAME).put_manifest(tag, &image.manifest).await
}

/// N-19, A-4: an immutable tag is made once; the same digest again is no move; server admins and admins of the namespace are bound too.
#[tokio::test]
async fn n_19_immutable_tags_stay_for_everybody() {
    let World { app, root, chief, deleter } = world().await;
    let (one, two) = (image().build(), image().build());
    deleter.at(NAME).push("v1", &one).await;
    root.at(NAME).push_parts(&two).await;
    let bearer = root.by_token_for(&["repository:team/app:pull,push,delete"]).await;
    for client in [&deleter, &chief, &root, &bearer] {
        let repo = client.at(NAME);
        tag(client, "v1", &one).await.status(201);
        held(tag(client, "v1", &two).await, "v*");
        held(client.delete(&repo.manifest("v1")).await, "v*");
        held(client.delete(&repo.manifest(one.digest())).await, "v*");
        repo.has_manifest("v1", &one.manifest).await;
        repo.has_manifest(one.digest(), &one.manifest).await;
        // Others are free.
        tag(client, "free", &one).await.status(201);
        tag(client, "free", &two).await.status(201);
        client.delete(&repo.manifest("free")).await.status(202);
    }
    // The same bytes under another digest are another manifest's digest.
    let by_512 = one.manifest.by(Alg::Sha512);
    let again = root.at(NAME).put_manifest(&format!("{}?tag=v1", by_512.digest), &by_512).await;
    held(again, "v*");
    assert_eq!(
        root.at(NAME).client.head(&root.at(NAME).manifest("v1")).await.get("docker-content-digest"),
        Some(one.digest())
    );
    // Without the rule it goes.
    app.hold_tags("team", &[], &[]).await;
    tag(&deleter, "v1", &two).await.status(201);
    deleter.delete(&deleter.at(NAME).manifest("v1")).await.status(202);
}

/// N-19: what an immutable tag stands for is as whole as it was: neither a layer nor an image of an index goes from below it.
#[tokio::test]
async fn n_19_nothing_goes_from_below_an_immutable_tag() {
    let World { app, root, chief, deleter } = world().await;
    let repo = deleter.at(NAME);
    let (one, free) = (image().build(), image().build());
    let list = index(Alg::Sha256, std::slice::from_ref(&one), &json!({}));
    repo.push("parts", &one).await;
    repo.push("free", &free).await;
    repo.put_manifest("v1", &list.manifest).await.status(201);
    deleter.delete(&repo.manifest("parts")).await.status(202);
    for client in [&deleter, &chief, &root] {
        held(client.delete(&repo.manifest(one.digest())).await, "v*");
        for blob in &one.blobs {
            held(client.delete(&repo.blob(&blob.digest)).await, "v*");
        }
    }
    repo.has_manifest(one.digest(), &one.manifest).await;
    for blob in &one.blobs {
        repo.has_blob(blob).await;
    }
    for blob in &free.blobs {
        deleter.delete(&repo.blob(&blob.digest)).await.status(202);
    }
    app.hold_tags("team", &[], &[]).await;
    deleter.delete(&repo.manifest(one.digest())).await.status(202);
}

/// N-19: a protected tag is an admin's to move; a token of the admin's that is narrowed is not an admin.
#[tokio::test]
async fn n_19_protected_tags_are_the_admins() {
    let World { app, root, chief, deleter } = world().await;
    let (one, two) = (image().build(), image().build());
    chief.at(NAME).push("latest", &one).await;
    chief.at(NAME).push_parts(&two).await;
    let narrowed = app.token("chief", &["team/**:pull,push,delete"]).await;
    let robot = app.robot("ci", &["team/**:pull,push,delete"]).await;
    let others = [
        deleter.clone(),
        app.client().basic("any", &narrowed.secret),
        app.client().basic("any", &robot.secret),
        app.client().bearer(&robot.secret),
    ];
    for client in &others {
        let repo = client.at(NAME);
        tag(client, "latest", &one).await.status(201);
        held(tag(client, "latest", &two).await, "latest");
        held(client.delete(&repo.manifest("latest")).await, "latest");
        held(client.delete(&repo.manifest(one.digest())).await, "latest");
        // A new one may be made, and is held then.
        let fresh = format!("stable-{}", Alg::Sha256.unknown().split_at(10).1.split_at(20).0);
        tag(client, &fresh, &one).await.status(201);
        held(tag(client, &fresh, &two).await, "stable-*");
    }
    for client in [&chief, &root] {
        for image in [&two, &one] {
            tag(client, "latest", image).await.status(201);
            client.at(NAME).has_manifest("latest", &image.manifest).await;
        }
    }
    chief.delete(&chief.at(NAME).manifest("latest")).await.status(202);
    chief.at(NAME).lacks_manifest("latest").await;
}

/// N-19, A-27, T58: `?tag=` is all or nothing, with each tag looked at.
#[tokio::test]
async fn a_27_several_tags_are_set_all_or_none() {
    let World { app: _app, root, deleter, .. } = world().await;
    let (one, two) = (image().build(), image().build());
    let repo = deleter.at(NAME);
    repo.push("v1", &one).await;
    repo.push("free", &one).await;
    repo.push_parts(&two).await;
    let put = async |tags: &str| repo.put_manifest(&format!("{}?{tags}", two.digest()), &two.manifest).await;
    for tags in ["tag=new&tag=v1", "tag=v1&tag=new", "tag=free&tag=new&tag=v1&tag=other", "tag=v2&tag=v1"] {
        held(put(tags).await, "v*");
        assert_eq!(repo.tags().await, ["free", "v1"], "{tags}");
        repo.has_manifest("free", &one.manifest).await;
        repo.has_manifest("v1", &one.manifest).await;
        repo.lacks_manifest(two.digest()).await;
    }
    let mut set = put("tag=v2&tag=v3&tag=free")
        .await
        .status(201)
        .all("oci-tag")
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    set.sort();
    assert_eq!(set, ["free", "v2", "v3"]);
    // What is held and there already, with its own digest, is no move.
    put("tag=v2&tag=v4").await.status(201);
    held(put("tag=v1&tag=v2").await, "v*");
    root.at(NAME).has_manifest("v1", &one.manifest).await;
}

/// N-19: the manifest under a held tag stays, in whatever way it would go; what only an index names may go.
#[tokio::test]
async fn n_19_the_manifest_under_a_held_tag_stays() {
    let World { app, root, deleter, .. } = world().await;
    let child = image().build();
    let whole = index(Alg::Sha256, std::slice::from_ref(&child), &json!({}));
    let repo = deleter.at(NAME);
    repo.push("free", &whole).await;
    repo.push_manifest("v1", &whole.manifest).await;
    held(deleter.delete(&repo.manifest(whole.digest())).await, "v*");
    deleter.delete(&repo.manifest("free")).await.status(202);
    held(root.delete(&repo.manifest(whole.digest())).await, "v*");
    repo.has_manifest("v1", &whole.manifest).await;
    // The rule is of this namespace, not of those beside it or within it that have their own.
    app.namespace("team/free", "private").await;
    let inner = deleter.at("team/free/app");
    inner.push("v1", &child).await;
    inner.push("v1", &image().build()).await;
    inner.client.delete(&inner.manifest("v1")).await.status(202);
}

/// N-19: of many who set one immutable tag at once, one wins, and stays.
#[tokio::test]
async fn n_19_of_many_movers_one_wins() {
    let World { app: _app, deleter, chief, .. } = world().await;
    let images: Vec<_> = (0..6).map(|_| image().build()).collect();
    for image in &images {
        deleter.at(NAME).push_parts(image).await;
    }
    for round in 0..5 {
        let name = format!("v{round}");
        let movers: Vec<_> = images
            .iter()
            .enumerate()
            .map(|(number, image)| {
                let client = if number % 2 == 0 { deleter.clone() } else { chief.clone() };
                let (image, name) = (image.clone(), name.clone());
                tokio::spawn(async move { (tag(&client, &name, &image).await, image) })
            })
            .collect();
        let mut winners = Vec::new();
        for mover in movers {
            let (answer, image) = mover.await.expect("an answer");
            match answer.status {
                201 => winners.push(image),
                _ => drop(held(answer, "v*")),
            }
        }
        let [winner] = winners.as_slice() else { panic!("{} winners", winners.len()) };
        deleter.at(NAME).has_manifest(&name, &winner.manifest).await;
    }
}

/// N-19: of a delete by digest and a held tag on the same manifest that come at once, the tag is whole or the delete is refused.
#[tokio::test]
async fn n_19_a_held_tag_and_a_delete_at_once() {
    let World { app: _app, root, deleter, .. } = world().await;
    let repo = deleter.at(NAME);
    for round in 0..12 {
        let image = image().build();
        let name = format!("v{round}");
        repo.push(image.digest(), &image).await;
        let (deletes, sets) = (root.clone(), deleter.clone());
        let (gone, set) =
            tokio::join!(async { deletes.delete(&repo.manifest(image.digest())).await }, async {
                tag(&sets, &name, &image).await.status(201)
            },);
        drop(set);
        if gone.status != 202 {
            held(gone, "v*");
        }
        repo.has_manifest(&name, &image.manifest).await;
        repo.has_manifest(image.digest(), &image.manifest).await;
        held(root.delete(&repo.manifest(image.digest())).await, "v*");
    }
}
