//! What an attacker tries: one file for each kind of trick, and `docs/security.md` says which test holds which promise.
//!
//! Attacks come over real sockets; [`frames`] writes HTTP/2 that no client library would. What is asserted is what others
//! notice: answers, memory, processor time, files, and that the server goes on. Times are only hang guards.

mod access;
mod bodies;
mod floods;
mod frames;
mod isolation;
mod paths;
mod readers;
mod slow;
mod sockets;
mod wire;

use std::time::Duration;

use crate::harness::Gantry;

/// Processor time that a process has used so far, from `/proc/PID/stat`, in its ticks of 10 ms.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process's state");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Others are served, whatever went on before.
async fn goes_on(gantry: &Gantry) {
    gantry.client().get("/v2/").await.status_in(&[200, 401]);
    gantry.client().http2(None).get("/v2/").await.status_in(&[200, 401]);
}
