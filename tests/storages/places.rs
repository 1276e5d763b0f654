//! Where pushes go, and what one storage has to do with another: nothing.

use super::{Rooms, file_in, files, has_file, in_archive};
use crate::harness::server::run;
use crate::harness::{Blob, image, types};
use crate::sweep::sweep;

#[tokio::test]
async fn a_push_goes_to_the_storage_of_the_longest_prefix() {
    let rooms = Rooms::new();
    let namespaces = "[{prefix=\"team\", storage=\"archive\"}, {prefix=\"team/live\"}]";
    let app = rooms.options(&[]).set("namespace", namespaces).start().await;
    let shared = Blob::new(50_000);
    for (name, archived) in [
        ("team", true),
        ("team/app", true),
        ("team/live", false),
        ("team/live/app", false),
        ("team/liver", true),
        ("teams", false),
        ("team-a/b", false),
        ("other", false),
    ] {
        let repo = app.client().at(name);
        let own = Blob::new(40_000);
        let built = image().layers(types::OCI_LAYER, &[shared.clone(), own.clone()]).build();
        repo.push("v1", &built).await;
        assert_eq!(has_file(&rooms.archive(), &own), archived, "{name}");
        assert_eq!(has_file(app.data(), &own), !archived, "{name}");
        for blob in &built.blobs {
            repo.has_blob(blob).await;
        }
        repo.has_manifest("v1", &built.manifest).await;
    }
    assert!(has_file(&rooms.archive(), &shared) && has_file(app.data(), &shared), "the same layer in both");
    assert_eq!((files(&rooms.archive()).len(), files(app.data()).len()), (4, 6));
}

#[tokio::test]
async fn a_blob_deleted_and_swept_in_one_storage_stays_in_the_other() {
    let rooms = Rooms::new();
    let mut app = rooms.options(&["team"]).start().await;
    let (archived, other) = (app.client().at("team/app"), app.client().at("other/app"));
    let (both, sibling) = (Blob::new(50_000), app.client().at("team/sibling"));
    for repo in [&archived, &other, &sibling] {
        repo.push_blob(&both).await;
    }
    archived.client.delete(&archived.blob(&both.digest)).await.status(202);
    assert_eq!(sweep(&app).await.count("files"), 0, "its sibling has it");
    sibling.has_blob(&both).await;
    sibling.client.delete(&sibling.blob(&both.digest)).await.status(202);
    assert_eq!(sweep(&app).await.count("files"), 1);
    assert!(!has_file(&rooms.archive(), &both) && has_file(app.data(), &both));
    other.has_blob(&both).await;

    // And by itself, after the grace period: other storages are no other repositories.
    archived.push_blob(&both).await;
    app.set("sweep.grace", "\"200ms\"").restart().await;
    crate::sweep::lapse(200).await;
    let told = sweep(&app).await;
    assert_eq!((told.count("links"), told.count("blobs"), told.count("files")), (2, 2, 2));
    assert!(files(&rooms.archive()).is_empty() && files(app.data()).is_empty());
}

#[tokio::test]
async fn a_mount_across_storages_becomes_an_upload_unless_the_bytes_are_in_a_row() {
    let rooms = Rooms::new();
    let app = rooms.options(&["team"]).start().await;
    let (archived, other) = (app.client().at("team/app"), app.client().at("other/app"));
    let (large, small) = (Blob::new(50_000), Blob::new(500));
    other.push_blob(&large).await;
    other.push_blob(&small).await;
    let mount = async |repo: &crate::harness::Repo, blob: &Blob, from: &str| {
        let target = format!("{}?mount={}&from={from}", repo.uploads(), blob.digest);
        repo.client.post(&target).await
    };
    mount(&archived, &large, "other/app").await.status(202);
    archived.lacks_blob(&large.digest).await;
    mount(&archived, &small, "other/app").await.status(201);
    archived.has_blob(&small).await;
    archived.push_blob(&large).await;
    assert!(has_file(&rooms.archive(), &large));

    // Within a storage it is a link, whoever is named as the source.
    let (third, fourth) = (app.client().at("team/third"), app.client().at("team/fourth"));
    mount(&third, &large, "team/app").await.status(201);
    third.has_blob(&large).await;
    mount(&fourth, &large, "other/app").await.status(201);
    fourth.has_blob(&large).await;
    let anywhere = format!("{}?mount={}", app.client().at("team/fifth").uploads(), large.digest);
    fourth.client.post(&anywhere).await.status(201);
    other.client.delete(&other.blob(&large.digest)).await.status(202);
    assert_eq!(sweep(&app).await.count("files"), 1);
    for repo in [&archived, &third, &fourth] {
        repo.has_blob(&large).await;
    }
}

#[tokio::test]
async fn an_upload_ends_in_the_storage_in_which_it_began() {
    let rooms = Rooms::new();
    let mut app = rooms.options(&[]).set("sweep.upload_expiry", "\"1h\"").start().await;
    let repo = app.client().at("team/app");
    let (begun, later) = (Blob::new(60_000), Blob::new(60_000));
    let location = repo.start_upload().await;
    repo.client.patch(&location, begun.bytes.slice(..40_000)).await.status(202);
    app.set("namespace", &in_archive(&["team"])).restart().await;

    let repo = app.client().at("team/app");
    let rest = begun.bytes.slice(40_000..);
    let finish = format!("{location}?digest={}", begun.digest);
    repo.client.put(&finish, rest).await.status(201);
    assert!(has_file(app.data(), &begun) && !has_file(&rooms.archive(), &begun));
    repo.has_blob(&begun).await;
    repo.push_blob(&later).await;
    assert!(has_file(&rooms.archive(), &later) && !has_file(app.data(), &later));
    // Pushed again it goes where it belongs, and the first copy goes.
    repo.push_blob(&begun).await;
    assert!(has_file(&rooms.archive(), &begun));
    repo.has_blob(&begun).await;
    assert_eq!(sweep(&app).await.count("files"), 1);
    assert!(!has_file(app.data(), &begun));
    repo.has_blob(&begun).await;

    // An upload that began in the old storage and ends last does not bring the link back there.
    let late = Blob::new(60_000);
    app.set("namespace", "[]").restart().await;
    let repo = app.client().at("team/app");
    let location = repo.start_upload().await;
    repo.client.patch(&location, late.bytes.slice(..40_000)).await.status(202);
    app.set("namespace", &in_archive(&["team"])).restart().await;
    let repo = app.client().at("team/app");
    repo.push_blob(&late).await;
    let finish = format!("{location}?digest={}", late.digest);
    repo.client.put(&finish, late.bytes.slice(40_000..)).await.status(201);
    repo.has_blob(&late).await;
    assert_eq!(sweep(&app).await.count("files"), 1);
    assert!(has_file(&rooms.archive(), &late) && !has_file(app.data(), &late));
    repo.has_blob(&late).await;
    assert_eq!(std::fs::read_dir(rooms.archive().join("uploads")).expect("a directory").count(), 0);
}

#[tokio::test]
async fn damage_in_one_storage_is_found_hidden_and_healed_there() {
    let rooms = Rooms::new();
    let app = rooms.options(&["team"]).start().await;
    let (archived, other) = (app.client().at("team/app"), app.client().at("other/app"));
    let both = Blob::new(50_000);
    archived.push_blob(&both).await;
    other.push_blob(&both).await;
    let file = file_in(&rooms.archive(), &both.digest);
    let mut bytes = both.bytes.to_vec();
    bytes[20_000] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    std::fs::write(file.parent().expect("a directory").with_file_name("odd"), b"x").expect("written");

    let data = app.data().to_str().expect("a path");
    let (status, told, _) = run(&["verify", "--repair", "--data", data]).await;
    assert_eq!(status.code(), Some(1), "{told}");
    assert!(told.contains("(storage archive)") && told.contains("team/app"), "{told}");
    assert!(!told.contains("other/app"), "{told}");
    assert!(told.contains("archive:docker/registry/v2/blobs/"), "{told}");
    let hex = both.digest.strip_prefix("sha256:").expect("a digest");
    assert!(rooms.archive().join("quarantine/sha256").join(hex).exists());
    archived.lacks_blob(&both.digest).await;
    other.has_blob(&both).await;

    archived.push_blob(&both).await;
    archived.has_blob(&both).await;
    assert!(has_file(&rooms.archive(), &both));
    let (status, told, _) = run(&["verify", "--data", data]).await;
    assert!(status.success(), "{told}");

    // A file that is lost is noticed by whoever asks for it.
    std::fs::remove_file(&file).expect("removed");
    archived.client.get(&archived.blob(&both.digest)).await.status(500);
    archived.lacks_blob(&both.digest).await;
    other.has_blob(&both).await;
}

#[tokio::test]
async fn a_storage_that_holds_blobs_cannot_be_left_out() {
    let rooms = Rooms::new();
    let mut app = rooms.options(&["team"]).start().await;
    app.client().at("team/app").push_blob(&Blob::new(50_000)).await;
    app.client().at("team/app").push_blob(&Blob::new(50)).await;
    app.sigterm().await;
    let data = app.data().to_str().expect("a path").to_owned();
    let serve = async |more: &[&str]| {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--set", "operator.listen=off", "--data", &data];
        let (status, out, err) = run(&[&arguments, more].concat()).await;
        assert_eq!(status.code(), Some(1), "{out}{err}");
        err
    };
    let err = serve(&[]).await;
    assert!(err.contains("the storage `archive` is not configured, but 1 blobs lie there"), "{err}");
    assert!(err.contains("[storage.archive.local]"), "{err}");
    let empty = rooms.0.path().join("empty");
    std::fs::create_dir(&empty).expect("a directory");
    let err = serve(&["--set", &format!("storage.archive.local.path={empty:?}")]).await;
    assert!(err.contains("is the disk mounted?"), "{err}");
    let err = serve(&["--set", &format!("storage.archive.local.path={data:?}")]).await;
    assert!(err.contains("`default` and `archive` are both configured"), "{err}");
    let err = serve(&["--set", "namespace=[{prefix=\"team\", storage=\"tape\"}]"]).await;
    assert!(err.contains("names the storage `tape`, which is not there"), "{err}");
    app.restart().await;
    app.client().get("/v2/").await.status(200);
}

#[tokio::test]
async fn each_storage_tells_its_space() {
    let rooms = Rooms::new();
    let app = rooms.options(&[]).start().await;
    let ready = app.operator().get("/readyz").await.status(200).json();
    assert!(ready["disk_free_bytes"].as_u64().is_some_and(|free| free > 0), "{ready}");
    for storage in ["default", "archive"] {
        assert!(ready["storages"][storage]["disk_free_bytes"].as_u64().is_some(), "{ready}");
    }
    let text = app.operator().get("/metrics").await.status(200);
    let text = String::from_utf8(text.body.to_vec()).expect("text");
    for line in [
        "gantry_disk_free_bytes{storage=\"default\"} ",
        "gantry_disk_free_bytes{storage=\"archive\"} ",
        "gantry_disk_total_bytes{storage=\"archive\"} ",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}
