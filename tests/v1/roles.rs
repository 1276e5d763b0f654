//! The four roles of the documentation of v1 (V-1.1 to V-1.4), as `docs/v1.md` configures them.

use std::path::Path;

use super::content::{V1Image, chain};
use super::docker::{Docker, Version};
use super::foreign::{TestIndex, TestRegistry};
use crate::harness::page::Page;
use crate::harness::server::htpasswd;
use crate::harness::tls::Authority;
use crate::harness::{Client, Gantry, types};

/// The configurations, in the order of the page.
fn configurations() -> [String; 6] {
    Page::section("v1", "The four roles").blocks("toml").try_into().expect("six configurations")
}

/// A configuration with what there is in the place of what only stands for something; that must be there.
fn with(mut text: String, words: &[(&str, &str)]) -> String {
    for (old, new) in words {
        assert!(text.contains(old), "`{old}` in\n{text}");
        text = text.replace(old, new);
    }
    text
}

/// Its certificate and key are those of the test's authority, whatever the file says.
async fn started(text: &str, authority: &Authority) -> Gantry {
    Gantry::options().file(text).tls(authority).start().await
}

fn password_file(dir: &Path) -> String {
    let file = dir.join("htpasswd");
    let accounts = ["alice", "bob"].map(|name| (name.to_owned(), format!("{name}'s password")));
    std::fs::write(&file, htpasswd(&accounts)).expect("written");
    file.display().to_string()
}

fn docker(client: &Client, version: Version) -> Docker {
    Docker::new(version, client, true)
}

async fn pushes_and_pulls(docker: &Docker, name: &str) -> Vec<V1Image> {
    let images = chain(2);
    docker.push(name, &images, &[("latest", 1)]).await.expect("a push");
    assert_eq!(docker.pull(name, "latest").await.expect("a pull"), images);
    images
}

#[tokio::test]
async fn v_1_1_a_private_registry_behind_passwords() {
    let [text, ..] = configurations();
    let (dir, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let text = with(text, &[("/etc/gantry/htpasswd", &password_file(dir.path()))]);
    let app = started(&text, &authority).await;
    for version in Version::ALL {
        let nobody = docker(&app.client(), version);
        let alice = nobody.as_user("alice", "alice's password");
        assert_eq!(nobody.login("alice", "alice's password").await, Ok("Login Succeeded"));
        let name = format!("team/app{}", version as usize);
        pushes_and_pulls(&alice, &name).await;
        assert_eq!(nobody.pull(&name, "latest").await.expect_err("no pull").status, 401);
        // In the file, and without a grant.
        let bob = nobody.as_user("bob", "bob's password");
        assert_eq!(bob.pull(&name, "latest").await.expect_err("no pull").status, 404);
        assert!(bob.push(&name, &chain(1), &[("latest", 0)]).await.is_err());
    }
}

#[tokio::test]
async fn v_1_1_a_private_registry_behind_client_certificates() {
    let [_, text, ..] = configurations();
    let (dir, authority, clients) =
        (tempfile::tempdir().expect("a directory"), Authority::new(), Authority::new());
    let ca = clients.write(&dir.path().join("clients-ca.crt"));
    let app =
        started(&with(text, &[("/etc/gantry/clients-ca.crt", ca.to_str().expect("a path"))]), &authority)
            .await;
    assert!(app.client().get("/v1/_ping").try_send().await.is_err(), "no connection without");
    let stranger = app.client().showing(&authority, &Authority::new().client("builder"));
    assert!(stranger.get("/v1/_ping").try_send().await.is_err(), "nor with another's");
    for version in Version::ALL {
        let builder = app.client().showing(&authority, &clients.client("builder"));
        pushes_and_pulls(&docker(&builder, version), &format!("team/app{}", version as usize)).await;
        let viewer = docker(&app.client().showing(&authority, &clients.client("viewer")), version);
        assert!(viewer.push("team/app0", &chain(1), &[("latest", 0)]).await.is_err());
        viewer.pull("team/app0", "latest").await.expect("a pull");
    }
}

#[tokio::test]
async fn v_1_1_a_private_registry_behind_addresses() {
    let [_, _, text, ..] = configurations();
    let authority = Authority::new();
    let app = started(&text, &authority).await;
    for path in ["/v1/repositories/team/app/images", "/v1/users/", "/v1/search?q=x", "/v2/"] {
        app.client().get(path).await.status(403);
    }
    let app = started(&with(text, &[("10.0.0.0/8", "127.0.0.0/8")]), &authority).await;
    for version in Version::ALL {
        pushes_and_pulls(&docker(&app.client(), version), &format!("team/app{}", version as usize)).await;
    }
}

#[tokio::test]
async fn v_1_2_a_vendor_s_public_and_private_images_under_a_foreign_index() {
    let [_, _, _, text, ..] = configurations();
    let (authority, index) = (Authority::new(), TestIndex::start().await);
    for name in ["vendor", "customer", "stranger"] {
        index.account(name, &format!("{name}'s password"));
    }
    index.repository("acme/riak", false, &["vendor"]);
    index.repository("acme-enterprise/riak", true, &["vendor", "customer"]);
    let app = started(&with(text, &[("https://index.example.com", &index.url())]), &authority).await;
    for version in Version::ALL {
        let nobody = docker(&app.client(), version);
        let user = |name: &str| nobody.as_user(name, &format!("{name}'s password"));
        let public = pushes_and_pulls(&user("vendor"), "acme/riak").await;
        let private = pushes_and_pulls(&user("vendor"), "acme-enterprise/riak").await;
        for anybody in [nobody.clone(), user("stranger"), user("customer")] {
            assert_eq!(anybody.pull("acme/riak", "latest").await.expect("a pull"), public);
        }
        assert_eq!(user("customer").pull("acme-enterprise/riak", "latest").await.expect("a pull"), private);
        for other in [nobody.clone(), user("stranger")] {
            assert_eq!(other.pull("acme-enterprise/riak", "latest").await.expect_err("no pull").status, 401);
            assert!(other.push("acme/riak", &chain(1), &[("latest", 0)]).await.is_err());
        }
        // Who knows the ids of private images gets nothing by them, with a token for what is public or without.
        let id = &private[1].id;
        let token = super::steps::token(&app.client(), "GET", "/v1/repositories/acme/riak/images").await;
        app.client().v1_token(&token).get(&format!("/v1/images/{id}/layer")).await.status(404);
        app.client().get(&format!("/v1/images/{id}/layer")).await.status_in(&[401, 404]);
        // The Index knows its customers, and may change its mind about an image.
        index.withhold(id);
        assert_eq!(
            user("customer").pull("acme-enterprise/riak", "latest").await.expect_err("no pull").status,
            404
        );
    }
    // By V2 what is public is everybody's too.
    let client = app.client().with("accept", types::DOCKER_MANIFEST);
    client.get("/v2/acme/riak/manifests/latest").await.status(200);
    client.get("/v2/acme-enterprise/riak/manifests/latest").await.status(401);
}

#[tokio::test]
async fn v_1_3_a_sponsor_s_registry_under_a_foreign_index() {
    let [_, _, _, _, text, _] = configurations();
    let (authority, index) = (Authority::new(), TestIndex::start().await);
    for name in ["alice", "bob"] {
        index.account(name, &format!("{name}'s password"));
    }
    index.repository("alice/app", false, &["alice"]);
    index.repository("bob/diary", true, &["bob"]);
    let app = started(&with(text, &[("https://index.example.com", &index.url())]), &authority).await;
    for version in Version::ALL {
        let nobody = docker(&app.client(), version);
        let (alice, bob) =
            (nobody.as_user("alice", "alice's password"), nobody.as_user("bob", "bob's password"));
        let images = pushes_and_pulls(&alice, "alice/app").await;
        pushes_and_pulls(&bob, "bob/diary").await;
        for anybody in [&nobody, &bob] {
            assert_eq!(anybody.pull("alice/app", "latest").await.expect("a pull"), images);
        }
        assert_eq!(alice.pull("bob/diary", "latest").await.expect_err("no pull").status, 401);
        assert_eq!(bob.push("alice/app", &images, &[("x", 1)]).await.expect_err("no push").status, 401);
        assert!(nobody.push("alice/app", &images, &[("x", 1)]).await.is_err());
        assert_eq!(alice.push("alice/new", &images, &[("x", 1)]).await.expect_err("no push").status, 404);
    }
    // Without the Index's word nothing is anybody's.
    app.client().get("/v1/repositories/alice/app/tags").await.status(401);
    app.client().get("/v2/alice/app/tags/list").await.status(401);
}

#[tokio::test]
async fn v_1_4_a_mirror_for_the_customers_of_a_provider() {
    let [.., text] = configurations();
    let (authority, source) = (Authority::new(), TestRegistry::start().await);
    let (public, other) = (chain(3), chain(1));
    source.hold("library/ubuntu", &public, "14.04");
    source.hold("team/secret", &other, "latest");
    let words = [
        ("https://registry-1.example.com", source.url()),
        ("https://index.example.com", source.url()),
        ("10.0.0.0/8", "127.0.0.0/8".to_owned()),
    ];
    let words: Vec<_> = words.iter().map(|(old, new)| (*old, new.as_str())).collect();
    let app = started(&with(text, &words), &authority).await;
    for version in Version::ALL {
        let customer = docker(&app.client(), version);
        assert_eq!(customer.pull("ubuntu", "14.04").await.expect("a pull"), public);
        assert_eq!(customer.pull("team/secret", "latest").await.expect_err("not mirrored").status, 404);
        assert_eq!(customer.push("ubuntu", &public, &[("x", 2)]).await.expect_err("no push").status, 403);
    }
    assert!(public.iter().all(|image| source.layers_of(image) == 1));
}
