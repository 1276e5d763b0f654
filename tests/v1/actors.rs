//! Every version of Docker pushes, and every version pulls it: over http and https, logged in and not, from open and closed registries.

use super::content::{V1Image, chain, grow, new_style_chain};
use super::docker::{Docker, Version};
use super::steps::new_name;
use crate::harness::tls::Authority;
use crate::harness::{Gantry, Options};

/// What this version would have built.
fn built(by: Version) -> Vec<V1Image> {
    if by == Version::D1_10 { new_style_chain(4) } else { chain(7) }
}

async fn round_trips(app: &Gantry, https: bool, account: Option<(&str, &str)>) {
    let docker = |version| {
        let docker = Docker::new(version, &app.client(), https);
        match account {
            Some((name, password)) => docker.as_user(name, password),
            None => docker,
        }
    };
    for pusher in Version::ALL {
        let images = built(pusher);
        let top = images.len() - 1;
        // A name of one component, and one with a namespace.
        for name in [format!("one{}", crate::harness::content::number()), new_name()] {
            let pushed = docker(pusher).push(&name, &images, &[("latest", top), ("base", 0)]).await;
            pushed.unwrap_or_else(|refused| panic!("{pusher:?} cannot push: {refused:?}"));
            for puller in Version::ALL {
                for (tag, length) in [("latest", top + 1), ("base", 1)] {
                    let pulled = docker(puller).pull(&name, tag).await;
                    let pulled = pulled.unwrap_or_else(|refused| {
                        panic!("{puller:?} cannot pull what {pusher:?} pushed: {refused:?}")
                    });
                    assert_eq!(pulled, images[..length], "{puller:?} of {pusher:?}: {tag}");
                }
            }
            // Again, as it is; and with one image more on top.
            let mut more = images.clone();
            more.extend(grow(more.last(), 1));
            docker(pusher).push(&name, &more, &[("latest", top), ("more", top + 1)]).await.expect("pushed");
            assert_eq!(docker(pusher).pull(&name, "more").await.expect("pulled"), more);
            assert_eq!(docker(pusher).pull(&name, "latest").await.expect("pulled"), images);
        }
    }
}

/// Not logged in, on a registry that is open to everybody.
#[tokio::test]
async fn v_4_1_every_docker_pushes_and_every_docker_pulls_it() {
    let app = Gantry::start().await;
    round_trips(&app, false, None).await;
    // Who has an account elsewhere, or is told by a login that anything goes, does no worse.
    round_trips(&app, false, Some(("alice", "whatever"))).await;
}

#[tokio::test]
async fn v_9_4_every_docker_over_https_with_an_account() {
    let authority = Authority::new();
    for standalone in ["false", "true"] {
        // With `true` the password comes with every request, to images too, and no token ever.
        let options = Gantry::options().set("v1.standalone", standalone).tls(&authority);
        let app = options.account("alice", "open:sesame").start().await;
        round_trips(&app, true, Some(("alice", "open:sesame"))).await;
    }
}

#[tokio::test]
async fn v_9_4_every_docker_over_https_without_an_account() {
    let authority = Authority::new();
    for standalone in ["false", "true"] {
        let options = Gantry::options().set("v1.standalone", standalone).set("auth.anonymous", "\"write\"");
        let app = options.tls(&authority).start().await;
        round_trips(&app, true, None).await;
    }
}

fn closed() -> Options {
    Gantry::options().account("alice", "open:sesame")
}

#[tokio::test]
async fn v_9_4_every_docker_with_an_account_over_http() {
    let app = closed().start().await;
    round_trips(&app, false, Some(("alice", "open:sesame"))).await;
}

/// The first request of each is refused with 401, which makes Docker ask for a login; nothing is a 403, a 404 or a 500.
#[tokio::test]
async fn v_9_4_a_closed_registry_asks_every_docker_to_log_in() {
    let app = closed().start().await;
    let images = chain(1);
    let insider = Docker::new(Version::D1_6, &app.client(), false).as_user("alice", "open:sesame");
    insider.push("team/app", &images, &[("latest", 0)]).await.expect("pushed");
    for version in Version::ALL {
        let nobody = Docker::new(version, &app.client(), false);
        // Who is wrong more often than that has to wait.
        let mut callers = vec![(nobody.clone(), "team/app"), (nobody.clone(), "team/none")];
        if version == Version::D1_6 {
            callers.push((nobody.as_user("alice", "wrong"), "team/app"));
        }
        for (who, name) in callers {
            let pull = who.pull(name, "latest").await.expect_err("no pull");
            assert_eq!((pull.status, pull.text.as_str()), (401, "Requires authorization"), "{pull:?}");
            assert!(pull.what.ends_with("no data of the repository"), "{pull:?}");
            let push = who.push(name, &chain(1), &[("latest", 0)]).await.expect_err("no push");
            assert_eq!((push.status, push.text.as_str()), (401, "Requires authorization"), "{push:?}");
            assert!(push.what.ends_with("the push is not begun"), "{push:?}");
        }
    }
    assert_eq!(insider.pull("team/app", "latest").await.expect("pulled"), images);
}

/// `Basic Og==`, `Token` and nothing at all are nobody, who may pull what is public and no more.
#[tokio::test]
async fn v_9_4_what_is_public_every_docker_pulls_without_an_account() {
    let authority = Authority::new();
    for standalone in ["false", "true"] {
        let options = closed().set("auth.anonymous", "\"read\"").set("v1.standalone", standalone);
        let app = options.tls(&authority).start().await;
        let images = chain(3);
        let insider = Docker::new(Version::D1_3, &app.client(), true).as_user("alice", "open:sesame");
        insider.push("team/app", &images, &[("latest", 2)]).await.expect("pushed");
        for version in Version::ALL {
            let nobody = Docker::new(version, &app.client(), true);
            assert_eq!(nobody.pull("team/app", "latest").await.expect("pulled"), images, "{version:?}");
            let push = nobody.push("team/app", &chain(1), &[("latest", 0)]).await.expect_err("no push");
            assert_eq!(push.status, 401, "{push:?}");
            assert!(push.what.ends_with("the push is not begun"), "{push:?}");
            let typo = nobody.as_user("alice", "wrong").pull("team/app", "latest").await.expect_err("wrong");
            assert_eq!(typo.status, 401, "{typo:?}");
        }
    }
}

/// POST says that no account is made, and the password is checked; where anybody may do everything any will do.
#[tokio::test]
async fn v_9_5_docker_login() {
    let (closed, open) = (closed().start().await, Gantry::start().await);
    for version in Version::ALL {
        let docker = Docker::new(version, &closed.client(), false);
        assert_eq!(docker.login("alice", "open:sesame").await, Ok("Login Succeeded"));
        assert_eq!(
            docker.login("alice", "wrong").await,
            Err("Wrong login/password, please try again".to_owned())
        );
        assert_eq!(
            docker.login("mallory", "open:sesame").await,
            Err("Wrong login/password, please try again".to_owned())
        );
        Docker::new(version, &open.client(), false).login("anybody", "anything").await.expect("a login");
    }
}

/// The ids of Docker 1.10's images are sums of their layers, and those of its tops the same as V2's: nothing of this is in the way.
#[tokio::test]
async fn v_14_4_json_without_created_goes_all_the_way() {
    let app = Gantry::start().await;
    let images = new_style_chain(3);
    let docker = |version| Docker::new(version, &app.client(), false);
    docker(Version::D1_10).push("new/style", &images, &[("latest", 2)]).await.expect("pushed");
    let repo = app.client().at("new/style");
    let manifest = repo.client.get(&repo.manifest("latest")).await.status(200).json();
    let config = manifest["config"]["digest"].as_str().expect("a digest").to_owned();
    let config = repo.client.get(&repo.blob(&config)).await.status(200).json();
    let history = config["history"].as_array().expect("a history");
    assert!(history[0].get("created").is_none() && history[1].get("created").is_none(), "{history:?}");
    assert_eq!(history[2]["created"], "2016-02-03T04:05:06Z");
    assert_eq!(docker(Version::D1_0).pull("new/style", "latest").await.expect("pulled"), images);
}
