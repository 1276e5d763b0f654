//! A namespace moves: everything is readable at every moment, pushes go on, and in the end the bytes are in one place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Rooms, ended, file_in, files, filled, has_file, in_archive, jobs, moved, order, whole};
use crate::harness::{Blob, Image, Repo};
use crate::sweep::sweep;

/// Reads everything, again and again, until it is stopped; how often.
fn reader(repo: &Repo, images: &[(String, Image)]) -> impl AsyncFnOnce() -> u64 {
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (repo, images) = (repo.clone(), images.to_vec());
    let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&rounds));
    let task = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            whole(&repo, &images).await;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    async move || {
        stop.store(true, Ordering::Relaxed);
        task.await.expect("every read was right");
        rounds.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_moves_while_it_is_read_and_pushed_to() {
    let rooms = Rooms::new();
    let mut app = rooms.options(&[]).start().await;
    let (_, images) = filled(&app, "team/app", 40).await;
    let (_, siblings) = filled(&app, "team", 2).await;
    let (_, others) = filled(&app, "teams/app", 2).await;
    let before = files(app.data()).len();
    app.set("namespace", &in_archive(&["team"])).restart().await;
    let [repo, sibling, other] = ["team/app", "team", "teams/app"].map(|name| app.client().at(name));
    whole(&repo, &images).await;
    assert!(files(&rooms.archive()).is_empty(), "what is there stays until it is told to move");

    let stop = reader(&repo, &images);
    let ordered = order(&app, "team", "archive").await.expect("an answer");
    let id = &ordered["job"]["id"];
    // Pushes go on: new layers, and layers that are being moved.
    let pushed = Blob::new(45_000);
    repo.push_blob(&pushed).await;
    for (_, image) in images.iter().step_by(7) {
        repo.push_blob(&image.blobs[1]).await;
    }
    let job = ended(&app).await;
    assert_eq!((&job["id"], &job["state"], &job["kind"]), (id, &"done".into(), &"move".into()), "{job}");
    assert_eq!((&job["prefix"], &job["to"], &job["error"]), (&"team".into(), &"archive".into(), &().into()));
    assert_eq!((&job["done"], &job["left"]), (&job["total"], &0.into()), "{job}");
    assert!(job["total"].as_u64().is_some_and(|total| (30..=44).contains(&total)), "{job}");

    // The old files go with the sweep, which those who read do not notice.
    sweep(&app).await;
    let left = files(app.data());
    assert_eq!(left.len(), 3, "those of teams/app");
    assert_eq!(files(&rooms.archive()).len(), before - 3 + 1);
    whole(&repo, &images).await;
    whole(&sibling, &siblings).await;
    whole(&other, &others).await;
    repo.has_blob(&pushed).await;
    assert!(stop().await > 0);

    // Nothing is left to be done.
    let again = moved(&app, "team", "archive").await;
    assert_eq!((&again["state"], &again["total"], &again["done"]), (&"done".into(), &0.into(), &0.into()));
    assert_eq!(jobs(&app).await.len(), 2);
    let data = app.data().to_str().expect("a path").to_owned();
    let (status, told, _) = crate::harness::server::run(&["verify", "--data", &data]).await;
    assert!(status.success(), "{told}");

    // And back, for a part of it.
    app.set("namespace", "[{prefix=\"team\", storage=\"archive\"}, {prefix=\"team/app\"}]").restart().await;
    let job = moved(&app, "team/app", "default").await;
    assert_eq!((&job["state"], &job["done"]), (&"done".into(), &job["total"]), "{job}");
    sweep(&app).await;
    assert_eq!(files(&rooms.archive()).len(), 3, "those of team");
    whole(&app.client().at("team/app"), &images).await;
    whole(&app.client().at("team"), &siblings).await;
    // A storage without blobs may be left out.
    app.set("namespace", "[]").restart().await;
    moved(&app, "", "default").await;
    sweep(&app).await;
    assert!(files(&rooms.archive()).is_empty());
    app.sigterm().await;
    let arguments = ["sweep", "--data", &data];
    let (status, _, told) = crate::harness::server::run(&arguments).await;
    assert!(status.success(), "{told}");
}

/// Digests that two repositories have, of which one is deleted from and pushed to, while both move and the sweep never rests.
#[tokio::test(flavor = "multi_thread")]
async fn moves_sweeps_pushes_and_deletes_of_the_same_bytes_lose_nothing() {
    let rooms = Rooms::new();
    let options = rooms.options(&[]).set("sweep.interval", "\"20ms\"");
    let mut app = options.start().await;
    let (_, images) = filled(&app, "team/app", 25).await;
    for round in 0..4 {
        let (namespaces, to) =
            if round % 2 == 0 { (in_archive(&["team"]), "archive") } else { ("[]".into(), "default") };
        app.set("namespace", &namespaces).restart().await;
        let (repo, churned) = (app.client().at("team/app"), app.client().at("team/churned"));
        let stop = reader(&repo, &images);
        order(&app, "team", to).await.expect("an answer");
        for (_, image) in images.iter().cycle().take(120) {
            let layer = &image.blobs[1];
            churned.push_blob(layer).await;
            churned.has_blob(layer).await;
            churned.client.delete(&churned.blob(&layer.digest)).await.status(202);
        }
        let job = ended(&app).await;
        assert_eq!((&job["state"], &job["left"]), (&"done".into(), &0.into()), "{job}");
        assert!(stop().await > 0);
        whole(&repo, &images).await;
        let left = if to == "archive" { app.data().to_owned() } else { rooms.archive() };
        crate::ops::eventually("the old files go", async || files(&left).is_empty().then_some(())).await;
        whole(&repo, &images).await;
    }
}

#[tokio::test]
async fn a_move_that_cannot_be_is_refused_with_what_to_do() {
    let rooms = Rooms::new();
    let app = rooms.options(&["team"]).start().await;
    for (prefix, to, told) in [
        ("team", "tape", "there is no storage `tape`"),
        ("team", "default", "give it the storage `default` first"),
        ("other", "archive", "the namespace of `other` is in the storage `default`"),
        ("team/", "archive", "`team/` is no prefix of repositories"),
    ] {
        let answer = order(&app, prefix, to).await.expect("an answer");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(told)), "{answer}");
    }
    assert!(jobs(&app).await.is_empty());
    let job = moved(&app, "team", "archive").await;
    assert_eq!((&job["state"], &job["total"]), (&"done".into(), &0.into()), "nothing is there: {job}");
}

#[tokio::test]
async fn what_is_damaged_stays_and_is_told_and_the_rest_moves() {
    let rooms = Rooms::new();
    let mut app = rooms.options(&[]).start().await;
    let repo = app.client().at("team/app");
    let [rotten, lost, good] = [60_000, 61_000, 62_000].map(Blob::new);
    for blob in [&rotten, &lost, &good] {
        repo.push_blob(blob).await;
    }
    let mut bytes = rotten.bytes.to_vec();
    bytes[33_333] ^= 4;
    std::fs::write(file_in(app.data(), &rotten.digest), bytes).expect("written");
    std::fs::remove_file(file_in(app.data(), &lost.digest)).expect("removed");
    app.set("namespace", &in_archive(&["team"])).restart().await;

    let job = moved(&app, "team", "archive").await;
    assert_eq!(
        (&job["state"], &job["left"], &job["done"]),
        (&"failed".into(), &2.into(), &1.into()),
        "{job}"
    );
    let why = job["error"].as_str().expect("why").to_owned();
    assert!(why.contains("2 blobs of repositories could not be moved") && why.contains("team/app"), "{why}");
    let repo = app.client().at("team/app");
    repo.has_blob(&good).await;
    assert_eq!(files(&rooms.archive()), [good.digest.clone()].into(), "no wrong byte was taken along");
    assert_eq!(std::fs::read_dir(rooms.archive().join("uploads")).expect("a directory").count(), 0);
    for blob in [&rotten, &lost] {
        repo.lacks_blob(&blob.digest).await;
    }

    // Pushes put it right, where it belongs now; and then nothing stands in the way.
    for blob in [&rotten, &lost] {
        repo.push_blob(blob).await;
        repo.has_blob(blob).await;
    }
    let job = moved(&app, "team", "archive").await;
    assert_eq!((&job["state"], &job["total"]), (&"done".into(), &0.into()), "{job}");
    sweep(&app).await;
    assert!(files(app.data()).is_empty());
    assert_eq!(files(&rooms.archive()).len(), 3);
}

#[tokio::test]
async fn a_download_goes_on_while_its_blob_is_moved_and_swept() {
    let rooms = Rooms::new();
    let mut app = rooms.options(&[]).start().await;
    let blob = Blob::new(24 << 20);
    app.client().at("team/app").push_blob(&blob).await;
    app.set("namespace", &in_archive(&["team"])).restart().await;
    let repo = app.client().at("team/app");
    let mut slow = TcpStream::connect(app.address()).await.expect("connected");
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", repo.blob(&blob.digest));
    slow.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 1000];
    slow.read_exact(&mut answer).await.expect("a beginning");

    let job = moved(&app, "team", "archive").await;
    assert_eq!((&job["state"], &job["bytes"]), (&"done".into(), &blob.len().into()), "{job}");
    assert_eq!(sweep(&app).await.count("files"), 1);
    assert!(!has_file(app.data(), &blob) && has_file(&rooms.archive(), &blob));
    repo.has_blob(&blob).await;
    slow.read_to_end(&mut answer).await.expect("the rest");
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of the head") + 4;
    assert!(answer[body..] == blob.bytes, "{} bytes came", answer.len() - body);
}

#[tokio::test]
async fn a_target_without_room_is_waited_for() {
    if !rustix::process::geteuid().is_root() {
        return crate::harness::skipped("a_target_without_room_is_waited_for", "mounting needs root");
    }
    let rooms = Rooms::new();
    std::fs::create_dir(rooms.archive()).expect("a directory");
    let mount = |arguments: &[&str]| {
        let done = std::process::Command::new(arguments[0]).args(&arguments[1..]).status().expect("it runs");
        assert!(done.success(), "{arguments:?}");
    };
    let path = rooms.archive().to_str().expect("a path").to_owned();
    mount(&["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", &path]);
    let mut app = rooms.options(&[]).start().await;
    let blobs: Vec<_> = (0..6).map(|_| Blob::new(600_000)).collect();
    for blob in &blobs {
        app.client().at("team/app").push_blob(blob).await;
    }
    app.set("namespace", &in_archive(&["team"])).restart().await;
    let repo = app.client().at("team/app");
    order(&app, "team", "archive").await.expect("an answer");
    let stuck = crate::ops::eventually("it waits for room", async || {
        jobs(&app).await.into_iter().find(|job| job["state"] == "waiting" && job["error"].is_string())
    })
    .await;
    assert!(stuck["error"].as_str().is_some_and(|error| error.contains("space")), "{stuck}");
    for blob in &blobs {
        repo.has_blob(blob).await;
    }
    mount(&["mount", "-o", "remount,size=20m", &path]);
    let job = ended(&app).await;
    assert_eq!((&job["state"], &job["done"]), (&"done".into(), &6.into()), "{job}");
    for blob in &blobs {
        repo.has_blob(blob).await;
    }
    assert_eq!(files(&rooms.archive()).len(), 6);
    app.sigterm().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    mount(&["umount", &path]);
}
