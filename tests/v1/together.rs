//! Many at once: one image by many, and one id by two who mean something else by it.

use futures_util::future::join_all;

use super::content::{V1Image, chain, json as image_json, layer, new_id, payload};
use super::docker::{Docker, Version};
use super::steps::Steps;
use crate::harness::Gantry;

/// Everybody pushes the same images at once: all of them hear that it is well, or that somebody else was first, and then try again.
#[tokio::test]
async fn v_20_3_one_image_pushed_by_many_at_once() {
    let app = Gantry::options().set("log.access", "false").start().await;
    for round in 0..3 {
        let (name, images) = (format!("many/r{round}"), chain(6));
        let push = async |at: usize| {
            let docker = Docker::new(Version::ALL[at % 4], &app.client(), false);
            for attempt in 0.. {
                match docker.push(&name, &images, &[("latest", 5), (&format!("t{at}"), 5)]).await {
                    Ok(()) => return,
                    Err(refused) => {
                        let fine = matches!(refused.status, 400 | 404 | 409);
                        assert!(fine && attempt < 40, "{refused:?}");
                    }
                }
            }
        };
        join_all((0..8).map(push)).await;
        let docker = Docker::new(Version::D1_3, &app.client(), false);
        for at in 0..8 {
            assert_eq!(docker.pull(&name, &format!("t{at}")).await.expect("pulled"), images);
        }
        let repo = app.client().at(&name);
        let got = repo.client.get(&repo.manifest("latest")).await.status(200);
        for at in 0..8 {
            repo.client
                .head(&repo.manifest(&format!("t{at}")))
                .await
                .status(200)
                .digest(got.get("docker-content-digest").expect("a digest"));
        }
    }
}

/// Two who mean something else by one id: one of them wins, whole, and the other hears of it.
#[tokio::test]
async fn v_20_3_one_id_with_other_bytes_by_two_at_once_is_never_a_mixture() {
    let app = Gantry::options().set("log.access", "false").start().await;
    let push = Steps::pushing(&app.client(), "two/at-once").await;
    for round in 0..25 {
        let id = new_id();
        let length = if round % 2 == 0 { 100 } else { 40_000 };
        let of = || V1Image::new(image_json(&id, None), layer(length));
        let both = [of(), of()];
        let one = async |of: &V1Image| {
            let statuses = [
                push.put_json(of).await.status,
                push.put_layer(of).await.status,
                push.put_checksum(of).await.status,
            ];
            let fine = statuses.iter().all(|status| matches!(status, 200 | 400 | 409));
            assert!(fine, "{statuses:?}");
            statuses[2]
        };
        let ended = join_all(both.iter().map(one)).await;
        if !ended.contains(&200) {
            push.push_image(&both[0]).await;
        }
        let json = push.get(&id, "json").await.status(200);
        let layer = push.get(&id, "layer").await.status(200);
        let is = |of: &V1Image| json.body == of.json && layer.body == of.layer;
        assert!(both.iter().any(is), "round {round}: a mixture");
        assert_eq!(json.get("x-docker-checksum-payload").expect("a sum"), payload(&json.body, &layer.body));
        for (of, ended) in both.iter().zip(&ended) {
            assert!(*ended != 200 || is(of), "round {round}: acknowledged and gone");
        }
    }
}
