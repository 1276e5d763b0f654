//! An interrupted run leaves nothing behind: no servers, and not the gigabytes that they wrote.

use std::path::Path;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::process;

/// From now on SIGINT and SIGTERM end the servers, remove the directory and end this program.
pub(crate) fn cleans(directory: &Path) -> Result<()> {
    let directory = directory.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        end(&directory);
    });
    Ok(())
}

fn end(directory: &Path) {
    let own = std::process::id();
    for member in process::family(own).into_iter().filter(|member| *member != own) {
        if let Some(pid) = i32::try_from(member).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    eprintln!("interrupted; removing {}", directory.display());
    let _ = std::fs::remove_dir_all(directory);
    std::process::exit(130);
}
