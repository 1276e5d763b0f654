//! `gantry sweep`, its report, the schedule, metrics, and settings that cannot be meant.

use super::{file_of, lapse, promising, sweep, sweep_in};
use crate::harness::server::run;
use crate::harness::{Blob, Gantry, image};
use crate::ops::eventually;

#[tokio::test]
async fn a_dry_run_tells_and_changes_nothing() {
    let app = promising("200ms").start().await;
    let repo = app.repo();
    let blob = Blob::new(40_000);
    repo.push_blob(&blob).await;
    lapse(200).await;
    for _ in 0..2 {
        let told = sweep_in(app.data(), &["--dry-run"]).await;
        assert_eq!(told.with_fate("would_go"), [blob.digest.as_str()]);
        assert_eq!(told.report["dry_run"], true);
        assert_eq!((told.count("blobs"), told.count("bytes")), (1, 40_000));
        assert!(file_of(&app, &blob.digest).exists());
    }
    let data = app.data().to_str().expect("a path");
    let (status, text, _) = run(&["sweep", "--dry-run", "--data", data]).await;
    assert!(status.success());
    assert!(text.contains(&format!("would go  blob {} in {}", blob.digest, repo.name)), "{text}");
    assert!(text.contains("no manifest and no image of the repository names it"), "{text}");
    assert_eq!(sweep(&app).await.with_fate("removed"), [blob.digest.as_str()]);
    assert!(!file_of(&app, &blob.digest).exists());
}

#[tokio::test]
async fn it_works_on_a_stopped_store_and_makes_none_where_there_is_none() {
    let mut app = promising("200ms").start().await;
    let blob = Blob::new(40_000);
    app.repo().push_blob(&blob).await;
    lapse(200).await;
    app.sigterm().await;
    let terms = ["--set", "sweep.grace=\"200ms\"", "--set", "sweep.upload_expiry=\"200ms\""];
    assert_eq!(sweep_in(app.data(), &[]).await.count("links"), 0, "by the default terms it is promised");
    let told = sweep_in(app.data(), &terms).await;
    assert_eq!(told.with_fate("removed"), [blob.digest.as_str()]);
    assert!(!file_of(&app, &blob.digest).exists());

    let nowhere = app.dir().join("nowhere");
    let (status, _, errors) = run(&["sweep", "--data", nowhere.to_str().expect("a path")]).await;
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("there is no registry in"), "{errors}");
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn the_server_sweeps_by_itself_and_counts() {
    let app = promising("200ms").set("sweep.interval", "\"50ms\"").start().await;
    let repo = app.repo();
    let built = image().build();
    repo.push("1", &built).await;
    let blob = Blob::new(40_000);
    repo.push_blob(&blob).await;
    eventually("the blob goes", async || (!file_of(&app, &blob.digest).exists()).then_some(())).await;
    repo.lacks_blob(&blob.digest).await;
    // Counted when the sweep has ended.
    let metrics = eventually("the sweep is counted", async || {
        let metrics = app.operator().get("/metrics").await.status(200);
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        metrics.contains("gantry_sweep_removed_total{kind=\"file\"} 1").then_some(metrics)
    })
    .await;
    for line in [
        "gantry_sweep_removed_total{kind=\"blob\"} 1",
        "gantry_sweep_removed_total{kind=\"file\"} 1",
        "gantry_sweep_freed_bytes_total 40000",
        "gantry_sweep_runs_total{result=\"done\"}",
        "gantry_sweep_duration_seconds",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let log = app.log();
    assert!(log.contains(&format!("removed blob {} from {}", blob.digest, repo.name)), "{log}");
    repo.has_manifest("1", &built.manifest).await;
}

/// `gantry sweep | head`
#[tokio::test]
async fn the_sweep_goes_on_when_nobody_reads_what_it_prints() {
    let mut app = promising("200ms").start().await;
    let name = app.repo().name;
    let repo = app.client().at(&name);
    let blobs: Vec<_> = (0..3).map(|_| Blob::new(40_000)).collect();
    for blob in &blobs {
        repo.push_blob(blob).await;
    }
    lapse(200).await;
    app.sigterm().await;
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gantry"));
    let arguments = ["--set", "sweep.grace=200ms", "--set", "sweep.upload_expiry=200ms"];
    command.args(["sweep", "--data"]).arg(app.data()).args(arguments).stdout(writer);
    let status =
        tokio::task::spawn_blocking(move || command.status()).await.expect("it runs").expect("it ends");
    assert!(status.success(), "{status}");
    for blob in &blobs {
        assert!(!file_of(&app, &blob.digest).exists());
    }
}

#[tokio::test]
async fn terms_that_break_promises_are_refused() {
    let app = Gantry::start().await;
    let data = app.dir().join("other");
    let data = data.to_str().expect("a path");
    for (settings, says) in [
        (vec!["sweep.grace=\"1h\""], "sweep.grace is 1h, shorter than sweep.upload_expiry (24h)"),
        (vec!["sweep.untagged=\"1h\""], "sweep.untagged is shorter than sweep.grace"),
        (vec!["sweep.interval=\"1ms\""], "sweep.interval is too short"),
        (vec!["sweep.interval=\"often\""], "is not a duration"),
        (vec!["sweep.untagged=\"never\""], "or \"off\""),
    ] {
        let mut arguments = vec!["serve", "--data", data];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let (status, _, errors) = run(&arguments).await;
        assert_eq!(status.code(), Some(1), "{settings:?}");
        assert!(errors.contains(says), "{settings:?}: {errors}");
    }
}

#[tokio::test]
async fn the_control_socket_is_for_the_owner_of_the_data_alone() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    let mut app = Gantry::start().await;
    let socket = app.data().join("gantry.sock");
    let metadata = std::fs::metadata(&socket).expect("a socket");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    // What a killed server leaves is no obstacle, neither for the next one nor for the command.
    app.kill9();
    assert!(socket.exists());
    sweep_in(app.data(), &[]).await;
    app.restart().await;
    sweep(&app).await;
    app.sigterm().await;
    assert!(!socket.exists());
}
