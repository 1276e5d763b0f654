//! More connections than there is room for.

use crate::harness::Gantry;
use crate::harness::raw::Raw;

/// Whoever holds all places of the operator's address and says nothing keeps nobody out.
#[tokio::test]
async fn silent_connections_do_not_block_the_operator_address() {
    let gantry = Gantry::start().await;
    let address = gantry.operator_address();
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut connection = Raw::connect(address).await;
        connection.send("GET /hea").await;
        open.push(connection);
    }
    gantry.operator().get("/healthz").await.status(200);
    gantry.operator().get("/metrics").await.status(200);
}

/// EMFILE: with few file descriptors and many clients some wait, nobody is lost, and it goes on.
#[tokio::test]
async fn running_out_of_file_descriptors_passes() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let gantry = Gantry::start().await;
    let repo = gantry.repo();
    let blob = crate::harness::Blob::new(100_000);
    repo.push_blob(&blob).await;
    let pid = Pid::from_raw(i32::try_from(gantry.pid()).expect("a pid"));
    let open_files =
        std::fs::read_dir(format!("/proc/{}/fd", gantry.pid())).expect("its files").count() as u64;
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(open_files + 20), ..getrlimit(Resource::Nofile) })
        .expect("a limit");
    let mut open = Vec::new();
    for _ in 0..60 {
        let mut connection = Raw::connect(gantry.address()).await;
        connection.send(format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", repo.blob(&blob.digest))).await;
        open.push(connection);
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(gantry.log().contains("cannot accept a connection"), "{}", gantry.log());
    drop(open);
    crate::ops::eventually("it serves again", async || {
        let answer = gantry.client().get(&repo.blob(&blob.digest)).try_send().await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    repo.push_blob(&crate::harness::Blob::new(100_000)).await;
}

/// Ten thousand idle connections: each is taken or told 503, and others are served.
#[tokio::test]
async fn thousands_of_idle_connections_are_taken_or_told_503() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = 11_000;
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        let test = "thousands_of_idle_connections_are_taken_or_told_503";
        crate::harness::skipped(test, "not enough file descriptors may be had");
        return;
    }
    setrlimit(
        Resource::Nofile,
        Rlimit { current: Some(limit.current.unwrap_or(wanted).max(wanted)), ..limit },
    )
    .expect("a limit");
    let gantry = Gantry::options()
        .set("limits.connections", "10000")
        .set("limits.header_timeout", "5m")
        .set("log.access", "false")
        .start()
        .await;
    let mut open = Vec::new();
    for _ in 0..10_050 {
        let Ok(stream) = tokio::net::TcpStream::connect(gantry.address()).await else { break };
        open.push(stream);
    }
    let resident = crate::ops::process_kib(gantry.pid(), "VmRSS");
    println!("{} idle connections: {resident} KiB", open.len());
    assert!(open.len() > 10_000, "{} connections", open.len());
    let answer =
        crate::harness::raw::exchange(gantry.address(), "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.is_none_or(|answer| answer.status == 503));
    open.drain(..5000);
    crate::ops::eventually("there is room again", async || {
        let answer = gantry.client().get("/v2/").try_send().await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
}
