//! What manifests of others look like in v1.

use gantry_oci::v1::{EMPTY_LAYER, ImageId};
use gantry_oci::{Digest, Manifest, ManifestRules};
use gantry_server::registry::{Asked, ImageError};

use super::world::*;

const CONFIG: &str = concat!(
    r#"{"architecture":"amd64","config":{"Cmd":["/bin/sh"],"Env":["PATH=/bin"]},"created":"2020-01-02T03:04:05Z","#,
    r#""history":[{"created":"2020-01-01T00:00:00Z","created_by":"ADD base"},"#,
    r#"{"created":"2020-01-01T00:00:01Z","created_by":"ENV PATH=/bin","empty_layer":true},"#,
    r#"{"created":"2020-01-01T00:00:02Z","created_by":"ADD b"},{"created":"2020-01-02T03:04:05Z","created_by":"ADD c"}],"#,
    r#""os":"linux","rootfs":{"diff_ids":["#,
    r#""sha256:79715253496b84215e747714cb346c58947eac30af56f12ed5be20ed5e5b7853","#,
    r#""sha256:0465aa2dbf9a74741226cc5515261d9598a1caeb42e3e95ca44a3d81cdba37af","#,
    r#""sha256:8ae0b682098f940d33c3a0e84988459e4aa7f73834043532ce24035dba91c8f5"],"type":"layers"}}"#,
);
const IDS: [&str; 3] = [
    "a538ed54bb52fe0378d98e88dab36880b8c875acfec56bc16fd3b34cca5b2d58",
    "f19e731e1c908118b0e8a29104200612b8f657382572d833b9fe5aa5da7e52ad",
    "57f9b82f1d25d081b22585552c02d149f781b5bd780fb7020ef2c6ff07ea2766",
];

fn three() -> Vec<Vec<u8>> {
    vec![gz(&vector()), gz(&small("b", "2")), gz(&small("c", "3"))]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_has_the_images_that_are_known() {
    let world = World::new().await;
    let app = repo("team/app");
    let ids = IDS.map(|text| text.parse::<ImageId>().unwrap());
    let digest = world.put_image(&app, "latest", CONFIG, &three()).await;

    // Asked by id first, as after an update of the program.
    let base = world.registry.whole_image(&app, &ids[0], Asked::ToRead).await.unwrap();
    assert_eq!(base.ancestry, [ids[0]]);
    assert_eq!(world.image_of(&app, "latest").await.unwrap(), ids[2]);
    let top = world.registry.whole_image(&app, &ids[2], Asked::ToRead).await.unwrap();
    assert_eq!(top.ancestry, [ids[2], ids[1], ids[0]]);
    assert_eq!(
        Digest::sha256(&top.json).hex(),
        "560940a180541a61dea7d9aa872e665f548f5eda031fe2c389812c697e2bd639"
    );
    refused(world.registry.image(&app, &id("1")).await, &ImageError::Unknown);
    refused(
        world.begin(&app, ids[1], &base.json).await,
        &ImageError::Json(gantry_oci::v1::ImageJsonError::OtherId),
    );
    let json = format!(r#"{{"id":"{}"}}"#, ids[1]);
    refused(world.begin(&app, ids[1], json.as_bytes()).await, &ImageError::Exists);

    // What was pulled is pushed under another tag: the same manifest.
    assert_eq!(world.tag(&app, "other", ids[2]).await.unwrap(), digest);
    assert_eq!(world.manifest(&app, "other").await.media_type, OCI);

    // And something is built on it: history and layers of the base are kept.
    let mine = id("77");
    let text = format!(
        r#"{{"id":"{mine}","parent":"{}","created":"2021-01-01T00:00:00Z","container_config":{{"Cmd":["touch d"]}}}}"#,
        ids[2]
    );
    world.push(&app, mine, text.as_bytes(), &gz(&small("d", "4"))).await;
    world.tag(&app, "mine", mine).await.unwrap();
    let manifest = world.manifest(&app, "mine").await;
    let read =
        Manifest::parse(Some(&manifest.media_type), &manifest.bytes, &ManifestRules::default()).unwrap();
    let layers: Vec<_> = read.layers.iter().map(|layer| layer.digest).collect();
    let expected: Vec<_> =
        three().iter().chain([&gz(&small("d", "4"))]).map(|layer| Digest::sha256(layer)).collect();
    assert_eq!(layers, expected);
    let config = world.blob(&app, &read.config.unwrap().digest).await;
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let by: Vec<_> = config["history"].as_array().unwrap().iter().map(|entry| &entry["created_by"]).collect();
    assert_eq!(by, ["ADD base", "ENV PATH=/bin", "ADD b", "ADD c", "touch d"]);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 4);
    assert_eq!(world.image_of(&app, "mine").await.unwrap(), mine);
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_without_layers_get_the_empty_one() {
    let world = World::new().await;
    let app = repo("team/app");
    world.put_image(&app, "latest", CONFIG, &[]).await;
    let top = world.image_of(&app, "latest").await.unwrap();
    assert_eq!(top.to_string(), "07a8cc5a0ba84b13b16efb18bb12e021ee1f525ba441721071f315d462d57833");
    let image = world.registry.whole_image(&app, &top, Asked::ToRead).await.unwrap();
    assert_eq!(world.blob(&app, &image.layer.as_ref().unwrap().digest).await, EMPTY_LAYER);
    // On top of it something can be built, too.
    let mine = id("77");
    world.push(&app, mine, &json(mine, Some(top)), &gz(&small("d", "4"))).await;
    world.tag(&app, "mine", mine).await.unwrap();
    assert_eq!(world.registry.image_tags(&app).await.unwrap().len(), 2);
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_index_v1_sees_one_image_once_it_is_here() {
    let world = World::with(|settings| settings.registry.sparse_index = true).await;
    let app = repo("team/app");
    let other = repo("team/other");
    let child = world.put_image(&other, "latest", CONFIG, &three()).await;
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": OCI, "digest": child, "size": 1000, "platform": { "os": "linux", "architecture": "amd64" },
        }],
    });
    let media_type = "application/vnd.oci.image.index.v1+json";
    world.put_manifest(&app, "multi", media_type, index.to_string().as_bytes()).await;
    let nothing =
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    world.put_manifest(&app, "nothing", media_type, nothing.as_bytes()).await;
    refused(world.image_of(&app, "multi").await, &ImageError::TagUnknown);
    refused(world.image_of(&app, "nothing").await, &ImageError::TagUnknown);
    assert_eq!(world.registry.image_tags(&app).await.unwrap(), []);
    world.put_image(&app, "single", CONFIG, &three()).await;
    let top: ImageId = IDS[2].parse().unwrap();
    assert_eq!(world.image_of(&app, "multi").await.unwrap(), top);
    let tags = world.registry.image_tags(&app).await.unwrap();
    assert_eq!(tags, [("multi".to_owned(), top), ("single".to_owned(), top)]);
    world.store.close().await;
}
