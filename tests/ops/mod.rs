//! What an operator relies on: configuration, access, transport, signals, crashes, memory, a full disk.

mod access;
mod clock;
mod commands;
mod crash;
mod disk;
mod memory;
mod network;
mod store;
mod tls;
mod verify;
mod watch;

use std::time::{Duration, Instant};

use crate::harness::skipped;

/// Waits until something holds that a server does by and by.
pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Some(value) = check().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: did not happen within 20 seconds");
}

/// A number from a process's status, in KiB.
pub(crate) fn process_kib(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process's status");
    let line = status.lines().find(|line| line.starts_with(key)).expect("the line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// Whether this test can mount file systems; says so when not.
fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped(test, "mounting a small file system needs root");
    }
    root
}
