//! The wall clock jumps a day, forward and back, while the server runs and between two runs: nothing goes early, neither what
//! clients were promised nor upload sessions.

use std::path::Path;
use std::time::Duration;

use crate::harness::{Blob, Gantry, image, skipped};
use crate::ops::eventually;

/// Where Debian's package `faketime` puts its library.
fn library() -> Option<String> {
    let places = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime"];
    let found = places
        .iter()
        .map(|place| format!("{place}/libfaketimeMT.so.1"))
        .find(|path| Path::new(path).exists());
    if found.is_none() {
        skipped(
            "a_clock_that_jumps_a_day_takes_nothing_early",
            "libfaketime (package faketime) is not installed",
        );
    }
    found
}

#[tokio::test]
async fn a_clock_that_jumps_a_day_takes_nothing_early() {
    let Some(library) = library() else { return };
    let time = tempfile::NamedTempFile::new().expect("a file");
    let set = |offset: &str| std::fs::write(time.path(), format!("{offset}\n")).expect("the time is set");
    set("+0");
    let mut app = Gantry::options()
        .set("sweep.interval", "\"50ms\"")
        .set("sweep.untagged", "\"24h\"")
        .variable("LD_PRELOAD", &library)
        .variable("FAKETIME_TIMESTAMP_FILE", time.path().to_str().expect("a path"))
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start()
        .await;
    let repo = app.repo();
    let name = repo.name.clone();
    let (unnamed, session) = (Blob::new(40_000), Blob::new(60_000));
    let (tagged, untagged) = (image().build(), image().build());
    repo.push_blob(&unnamed).await;
    repo.push("tag", &untagged).await;
    repo.push("tag", &tagged).await;
    let location = repo.start_upload().await;
    repo.client.patch(&location, session.bytes.slice(..50_000)).await.status(202);

    let mut dates = Vec::new();
    for (round, offset) in ["+1d", "-1d", "+10d", "+0"].into_iter().enumerate() {
        set(offset);
        if round % 2 == 1 {
            app.restart().await;
        }
        let repo = app.client().at(&name);
        eventually("a sweep", async || {
            let metrics = app.operator().get("/metrics").await.status(200);
            let text = String::from_utf8_lossy(&metrics.body).into_owned();
            text.contains("gantry_sweep_runs_total{result=\"done\"}").then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        let answer = repo.client.get("/v2/").await.status(200);
        dates.push(answer.get("date").expect("a date").to_owned());
        assert_eq!(repo.progress(&location).await, "0-49999", "{offset}");
        repo.has_blob(&unnamed).await;
        repo.has_manifest("tag", &tagged.manifest).await;
        repo.has_manifest(untagged.digest(), &untagged.manifest).await;
    }
    dates.sort();
    dates.dedup_by(|a, b| a[..16] == b[..16]);
    assert_eq!(dates.len(), 4, "the clock did jump: {dates:?}");
    let repo = app.client().at(&name);
    repo.client.patch(&location, session.bytes.slice(50_000..)).await.status(202);
    repo.client.put(&format!("{location}?digest={}", session.digest), "").await.status(201);
    repo.has_blob(&session).await;
}
