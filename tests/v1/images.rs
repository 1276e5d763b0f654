//! The Registry request by request: every answer of a push that goes on, goes wrong, or is begun again.

use bytes::Bytes;
use serde_json::json;

use super::content::{V1Image, chain, grow, json as image_json, layer, new_id, payload};
use super::steps::{Steps, image, pushing};
use crate::harness::Gantry;

#[tokio::test]
async fn v_2_1_ids_are_64_lower_case_digits() {
    let push = pushing().await;
    for id in [
        "0123456789abcdef".to_owned(),
        "A".repeat(64),
        "a".repeat(63),
        "a".repeat(65),
        format!("{}g", "a".repeat(63)),
        "latest".to_owned(),
    ] {
        for part in ["json", "layer", "ancestry"] {
            push.get(&id, part).await.says(404, "Invalid image ID");
        }
        push.put_json_as(&id, image_json(&id, None)).await.says(404, "Invalid image ID");
    }
}

#[tokio::test]
async fn v_2_3_tags_are_those_of_v2() {
    let push = pushing().await;
    let images = chain(1);
    push.push(&images, "v1.0-rc_1").await;
    for tag in [".dot", "-dash", "t%C3%A4g", &"t".repeat(129), "a%20b"] {
        let put = push.put_tag(tag, &images[0].id).await.status(400);
        let text = put.json()["error"].as_str().expect("a text").to_owned();
        assert!(text.starts_with("Invalid tag name (must match "), "{tag}: {text}");
    }
    push.put_tag(&"t".repeat(128), &images[0].id).await.status(200);
}

/// The exact bytes, whatever they are formatted like, with their line end.
#[tokio::test]
async fn v_3_1_json_comes_back_byte_for_byte() {
    let push = pushing().await;
    let id = new_id();
    let texts = [
        format!("{{\"id\":\"{id}\"}}\n"),
        format!(
            " {{ \"Size\" : 1.0e+2, \"x\":\"\\u00e9é\\/\",\r\n \"id\":\"{id}\",\"big\":123456789012345678901234567890}} \n\n"
        ),
        format!("{{\"id\":\"wrong\",\"id\":\"{id}\"}}"),
    ];
    for text in texts {
        let of = V1Image::new(image_json(&id, None), layer(100));
        let of = V1Image { json: Bytes::from(text), ..of };
        push.put_json(&of).await.status(200).body(b"\"\"");
        push.put_layer(&of).await.status(200).body(b"\"\"");
    }
    // The last of them counts.
    let json = Bytes::from(format!("{{\"id\":\"wrong\",\"id\":\"{id}\"}}"));
    let of = V1Image { id: id.clone(), json: json.clone(), layer: layer(200) };
    push.put_layer(&of).await.status(200);
    push.put_checksum(&of).await.status(200).body(b"\"\"");
    push.get(&id, "json").await.status(200).body(&json).header("content-type", "application/json");
}

#[tokio::test]
async fn v_3_1_what_is_not_there_yet_is_400_and_what_is_not_there_404() {
    let push = pushing().await;
    let of = &chain(1)[0];
    push.lacks(&of.id).await;
    push.put_json(of).await.status(200);
    for _ in 0..2 {
        for part in ["json", "layer", "ancestry", "files", "diff"] {
            push.get(&of.id, part).await.says(400, "Image is being uploaded, retry later");
        }
        push.put_layer(of).await.status(200);
    }
    push.put_checksum(of).await.status(200);
    push.has(of).await;
}

#[tokio::test]
async fn v_3_3_json_that_is_none_is_400() {
    let push = pushing().await;
    let (id, other) = (new_id(), new_id());
    for (json, text) in [
        (Bytes::new(), "Invalid JSON"),
        (Bytes::from_static(b"{"), "Invalid JSON"),
        (Bytes::from_static(b"\xff\xfe"), "Invalid JSON"),
        (Bytes::from_static(b"{\"id\":\"\xff\"}"), "Invalid JSON"),
        (Bytes::from_static(b"null"), "Invalid JSON"),
        (Bytes::from_static(b"\"text\""), "Invalid JSON"),
        (json!([{ "id": id }]).to_string().into(), "Invalid JSON"),
        (format!("{{\"id\":\"{id}\"}}{{}}").into(), "Invalid JSON"),
        ("[".repeat(100_000).into(), "Invalid JSON"),
        (Bytes::from_static(b"{\"parent\":\"\"}"), "Missing key `id' in JSON"),
        (json!({ "id": other }).to_string().into(), "JSON data contains invalid id"),
        (json!({ "id": 5 }).to_string().into(), "JSON data contains invalid id"),
        (json!({ "id": id.to_uppercase() }).to_string().into(), "JSON data contains invalid id"),
        (json!({ "id": id, "parent": other }).to_string().into(), "Image depends on a non existing parent"),
        (json!({ "id": id, "parent": "x" }).to_string().into(), "Image depends on a non existing parent"),
        (json!({ "id": id, "parent": id }).to_string().into(), "Image depends on a non existing parent"),
    ] {
        push.put_json_as(&id, json).await.says(400, text);
        push.lacks(&id).await;
    }
    // No parent, in words.
    push.put_json_as(&id, json!({ "id": id, "parent": "" }).to_string()).await.status(200);
}

/// A parent that is not complete would leave a manifest with a hole.
#[tokio::test]
async fn v_3_5_a_parent_must_be_complete() {
    let push = pushing().await;
    let images = chain(2);
    let text = "Image depends on a non existing parent";
    push.put_json(&images[1]).await.says(400, text);
    push.put_json(&images[0]).await.status(200);
    push.put_json(&images[1]).await.says(400, text);
    push.put_layer(&images[0]).await.status(200);
    push.put_json(&images[1]).await.says(400, text);
    push.put_checksum(&images[0]).await.status(200);
    push.push_image(&images[1]).await;
    assert_eq!(push.ancestry(&images[1].id).await, [images[1].id.clone(), images[0].id.clone()]);
}

/// The one text that clients compare: they skip the image.
#[tokio::test]
async fn v_3_7_what_is_complete_stays_as_it_is() {
    let push = pushing().await;
    let of = &chain(1)[0];
    push.push_image(of).await;
    let other = V1Image { json: image_json(&of.id, None).into(), layer: layer(50), ..of.clone() };
    push.put_json(of).await.says(409, "Image already exists");
    push.put_json(&other).await.says(409, "Image already exists");
    push.put_layer(&other).await.says(409, "Image already exists");
    push.put_checksum(&other).await.says(409, "Cannot set this image checksum");
    push.put_checksum(of).await.says(409, "Cannot set this image checksum");
    push.has(of).await;
}

#[tokio::test]
async fn v_3_8_a_layer_may_be_sent_again_until_the_image_is_complete() {
    let push = pushing().await;
    let of = &chain(1)[0];
    push.put_layer(of).await.says(404, "Image not found");
    push.put_json(of).await.status(200);
    let other = V1Image { layer: layer(5000), ..of.clone() };
    push.put_layer(&other).await.status(200);
    push.put_layer(of).await.status(200);
    push.put_checksum(&other).await.says(400, "Checksum mismatch");
    push.put_checksum(of).await.status(200);
    push.has(of).await;
}

#[tokio::test]
async fn v_3_9_checksums_that_do_not_do() {
    let push = pushing().await;
    let of = &chain(1)[0];
    let none = || push.client.call("PUT", &image(&of.id, "checksum"));
    push.put_checksum(of).await.says(404, "Image not found");
    push.put_json(of).await.status(200);
    push.put_layer(of).await.status(200);
    none().await.says(400, "Missing Image's checksum");
    none().header("x-docker-checksum", "").await.says(400, "Missing Image's checksum");
    none().header("x-docker-checksum-payload", "").await.says(400, "Missing Image's checksum");
    none().header("x-docker-checksum", "tarsum+md5:00").await.says(400, "Checksum mismatch");
    for wrong in ["sha256:", "md5:00", &of.payload()[..70], &of.payload().to_uppercase(), &payload(b"", b"")]
    {
        push.put_checksum_as(&of.id, wrong).await.says(400, "Checksum mismatch");
        push.get(&of.id, "json").await.says(400, "Image is being uploaded, retry later");
    }
    push.put_checksum(of).await.status(200);
    push.has(of).await;
}

/// 7.4: the payload checksum decides; it may come under the name that is meant for TarSum.
#[tokio::test]
async fn v_7_4_the_payload_checksum_decides() {
    let push = pushing().await;
    let put = |of: &V1Image| push.client.call("PUT", &image(&of.id, "checksum"));
    let images = chain(3);
    for of in &images {
        push.put_json(of).await.status(200);
        push.put_layer(of).await.status(200);
        match of.parent() {
            None => put(of).header("x-docker-checksum", &of.payload()).await.status(200),
            Some(_) => {
                // What Docker calls a TarSum is beside the point, right or wrong.
                let tarsum = format!("tarsum+sha256:{}", new_id());
                let wrong = put(of).header("x-docker-checksum", &of.tarsum());
                wrong
                    .header("x-docker-checksum-payload", &payload(b"", b""))
                    .await
                    .says(400, "Checksum mismatch");
                let right = put(of).header("x-docker-checksum", &tarsum);
                right.header("x-docker-checksum-payload", &of.payload()).await.status(200)
            }
        };
        push.has(of).await;
    }
}

/// Where a client gives nothing else: over the tar, however it is packed and whether it ends as it should.
#[tokio::test]
async fn v_7_2_a_tarsum_alone_is_checked() {
    let json = super::vectors::json();
    let plain = super::content::tar(&super::vectors::members());
    let with_json = "6dd0fc88f9847b6291a3482d585699547cf36f63fd5d99c436012861a7fe82ca";
    let version_1 = "6bfeae0590442ccd447249ee1dfe6216732fca634c085daed2e7a82524d42836";
    for layer in [plain.clone(), super::content::gzip(&plain), plain[..2560].to_vec()] {
        for sum in [format!("tarsum+sha256:{with_json}"), format!("tarsum.v1+sha256:{version_1}")] {
            let push = pushing().await;
            let of = V1Image::new(json.clone(), layer.clone());
            push.put_json(&of).await.status(200);
            push.put_layer(&of).await.status(200);
            let put = |sum: &str| {
                push.client.call("PUT", &image(&of.id, "checksum")).header("x-docker-checksum", sum)
            };
            put(&format!("tarsum+sha256:{}", new_id())).await.says(400, "Checksum mismatch");
            put(&sum).await.status(200);
            push.has(&of).await;
        }
    }
}

#[tokio::test]
async fn v_4_4_a_push_that_is_begun_again_forgets_what_it_had() {
    let push = pushing().await;
    let of = &chain(1)[0];
    let before = V1Image { json: image_json(&of.id, None).into(), layer: layer(900), ..of.clone() };
    push.put_json(&before).await.status(200);
    push.put_layer(&before).await.status(200);
    push.put_json(of).await.status(200);
    // The layer of the first try is none of the second's.
    let put = push.put_checksum(&before).await.status(400);
    assert_ne!(put.json()["error"], "", "{put:?}");
    push.put_layer(of).await.status(200);
    push.put_checksum(of).await.status(200);
    push.has(of).await;
}

#[tokio::test]
async fn v_4_6_an_unfinished_image_gets_no_tag() {
    let push = pushing().await;
    let of = &chain(1)[0];
    let refused = async |when: &str| {
        let put = push.put_tag("latest", &of.id).await.status_in(&[404, 409]);
        assert_ne!(put.json()["error"], "", "{when}");
        push.client.get(&push.path("tags/latest")).await.says(404, "Tag not found");
    };
    refused("unknown").await;
    push.put_json(of).await.status(200);
    refused("described").await;
    push.put_layer(of).await.status(200);
    refused("with a layer").await;
    push.put_checksum_as(&of.id, &payload(b"", b"")).await.says(400, "Checksum mismatch");
    refused("with a wrong checksum").await;
    push.put_checksum(of).await.status(200);
    push.put_tag("latest", &of.id).await.status(200);
    assert_eq!(push.tags().await, json!({ "latest": of.id }));
}

/// With a length and without one, in one piece and in many, of any size.
#[tokio::test]
async fn v_2_12_layers_come_with_a_length_and_without() {
    let push = pushing().await;
    let mut images: Vec<V1Image> = Vec::new();
    for length in [0, 1, 70_000, 5 << 20] {
        let parent = images.last().map(|of| of.id.clone());
        images.push(V1Image::new(image_json(&new_id(), parent.as_deref()), crate::harness::bytes(length)));
    }
    for (at, of) in images.iter().enumerate() {
        push.put_json(of).await.status(200);
        if at % 2 == 0 {
            push.client.put(&image(&of.id, "layer"), of.layer.clone()).await.status(200);
        } else {
            push.put_layer(of).await.status(200);
        }
        push.put_checksum(of).await.status(200);
        push.has(of).await;
    }
    push.put_tag("latest", &images[3].id).await.status(200);
}

/// 5: as Docker resumes, with an end one past the last byte; and as others do.
#[tokio::test]
async fn v_5_1_ranges_of_a_layer() {
    let push = pushing().await;
    let of = V1Image::new(image_json(&new_id(), None), layer(20_000));
    push.push_image(&of).await;
    let size = of.layer.len();
    let get = |range: &str| push.client.get(&image(&of.id, "layer")).header("range", range);
    let whole = push.get(&of.id, "layer").await.status(200).body(&of.layer);
    whole.header("accept-ranges", "bytes").header("content-length", &size.to_string());
    for (range, from, to) in [
        (format!("bytes=0-{size}"), 0, size),
        (format!("bytes=100-{size}"), 100, size),
        (format!("bytes={}-{size}", size - 1), size - 1, size),
        ("bytes=10-19".to_owned(), 10, 20),
        ("bytes=7-7".to_owned(), 7, 8),
        ("bytes=500-".to_owned(), 500, size),
        ("bytes=-30".to_owned(), size - 30, size),
    ] {
        let part = get(&range).await.status(206).body(&of.layer[from..to]);
        part.header("content-range", &format!("bytes {from}-{}/{size}", to - 1))
            .header("content-length", &(to - from).to_string());
    }
    for range in [
        format!("bytes={size}-{size}"),
        format!("bytes={size}-"),
        format!("bytes={}-{}", size + 9, size + 10),
    ] {
        let end = get(&range).await.status(416).header("content-length", "0").body(b"");
        end.header("content-range", &format!("bytes */{size}"));
    }
}

#[tokio::test]
async fn v_2_16_what_the_headers_of_json_say() {
    let push = pushing().await;
    let of = &chain(1)[0];
    push.push_image(of).await;
    for answer in [push.get(&of.id, "json").await, push.client.head(&image(&of.id, "json")).await] {
        answer
            .status(200)
            .header("x-docker-size", &of.layer.len().to_string())
            .header("x-docker-checksum-payload", &of.payload())
            .header("x-docker-checksum", &of.payload())
            .header("content-length", &of.json.len().to_string());
    }
}

#[tokio::test]
async fn v_8_1_ancestry_goes_from_the_image_to_its_base() {
    let push = pushing().await;
    let images = chain(20);
    push.push(&images, "latest").await;
    let ids: Vec<_> = images.iter().rev().map(|of| of.id.clone()).collect();
    assert_eq!(push.ancestry(&ids[0]).await, ids);
    assert_eq!(push.ancestry(&ids[19]).await, ids[19..]);
    // And a second chain on the same base.
    let branch = grow(Some(&images[4]), 2);
    push.push(&branch, "branch").await;
    assert_eq!(push.ancestry(&branch[1].id).await[2..], ids[15..]);
}

/// Two thousand ancestors: refused in words once it is more than any client unpacks, and what is there stays.
#[tokio::test]
async fn v_8_2_chains_end_before_two_thousand() {
    let app = Gantry::options().set("log.access", "false").start().await;
    let push = Steps::pushing(&app.client(), "deep/chain").await;
    let (mut parent, mut depth) = (None::<String>, 0);
    let bytes = super::content::gzip(&super::content::END);
    for at in 1..=2000 {
        let id = new_id();
        let of = V1Image::new(image_json(&id, parent.as_deref()), bytes.clone());
        let put = push.put_json(&of).await.status_in(&[200, 400]);
        if put.status == 400 {
            let text = put.json()["error"].as_str().expect("a text").to_owned();
            assert!(text.contains("ancestors"), "{text}");
            push.lacks(&id).await;
            break;
        }
        push.put_layer(&of).await.status(200);
        push.put_checksum(&of).await.status(200);
        (parent, depth) = (Some(id), at);
    }
    // Docker itself stops at 127.
    assert!(depth >= 127, "no more than {depth} images");
    let top = parent.expect("an image");
    assert_eq!(push.ancestry(&top).await.len(), depth);
    push.put_tag("deep", &top).await.status(200);
    let repo = app.client().at("deep/chain");
    let manifest = repo.client.get(&repo.manifest("deep")).await.status(200).json();
    assert_eq!(manifest["layers"].as_array().expect("layers").len(), depth);
}

/// Large, as long as it is bounded; and then refused in words, not with a broken connection.
#[tokio::test]
async fn v_3_2_huge_json() {
    let push = pushing().await;
    let json =
        |id: &str, length: usize| format!("{{\"id\":\"{id}\",\"comment\":\"{}\"}}", "x".repeat(length));
    let id = new_id();
    let of = V1Image::new(json(&id, 1 << 20), layer(10));
    push.push_image(&of).await;
    push.has(&of).await;
    let id = new_id();
    let call = push.client.put(&image(&id, "json"), json(&id, 64 << 20)).try_send().await;
    // Whoever reads the answer gets one; who only writes is cut off.
    if let Ok(answer) = call {
        answer.status_in(&[400, 413]);
    }
    push.lacks(&id).await;
}

/// A chain is linked and compared as a whole, so it must not be larger than one thinks.
#[tokio::test]
async fn v_3_2_the_json_of_a_chain_is_bounded() {
    let push = pushing().await;
    let json = |id: &str, parent: &str| {
        format!("{{\"id\":\"{id}\",\"parent\":\"{parent}\",\"comment\":\"{}\"}}", "x".repeat(3 << 20))
    };
    let mut parent = String::new();
    for _ in 0..2 {
        let id = new_id();
        push.push_image(&V1Image::new(json(&id, &parent), layer(10))).await;
        parent = id;
    }
    let id = new_id();
    let text = "The JSON of the image and its ancestors is larger than 8388608 bytes";
    push.put_json_as(&id, json(&id, &parent)).await.says(413, text);
    push.lacks(&id).await;
    // What is small goes on top.
    push.push(&grow(Some(&V1Image::new(json(&parent, ""), layer(10))), 1), "latest").await;
}
