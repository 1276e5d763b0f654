//! How often a server makes the disk keep something, per push: calls of fsync and its kin, counted by strace.
//!
//! That is what a durable answer costs on a disk whose cache is not to be trusted, and it does not depend on how busy the
//! machine is. A server that makes none is fast and promises nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::content::{self, Template};
use crate::http::Connection;
use crate::load::{self, Until, Work};
use crate::push::{self, PushBlobs, Way};
use crate::servers::{Kind, Programs, Server, pause};

const CALLS: [&str; 6] = ["fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync"];

/// Steps of one server, each per push.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    pub(crate) small: f64,
    pub(crate) manifest: f64,
    pub(crate) large: f64,
    /// Per small blob when eight clients push at once.
    pub(crate) small_by_8: f64,
    /// Which calls they were, over all of it.
    pub(crate) calls: String,
}

/// Whether strace can be used here.
pub(crate) fn available() -> bool {
    let status =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Counts a registry's steps in a directory of its own.
pub(crate) fn count(kind: Kind, programs: &Programs, directory: &Path) -> Result<Steps> {
    const SMALL: usize = 20;
    const LARGE: usize = 2;
    const BY_8: u64 = 25;

    fs::create_dir_all(directory)?;
    let trace = directory.join("trace.txt");
    let names = CALLS.join(",");
    let tracer =
        ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none", "-e", &format!("trace={names}"), "-o"];
    let mut tracer: Vec<String> = tracer.iter().map(|word| (*word).to_owned()).collect();
    tracer.push(trace.display().to_string());
    let server = Server::start_under(kind, programs, directory, &tracer)?;
    let repository = "bench/steps";
    let (small, large) = (Template::new(content::SMALL), Template::new(content::LARGE));
    let mut connection = Connection::open(server.address)?;
    let config = small.unique();
    push::blob(&mut connection, repository, &config, Way::Put)?;
    let blobs = [(config.digest.clone(), config.size)];
    push::manifest(&mut connection, repository, "first", &content::manifest(&blobs, None, ""))?;

    let counter = Counter { trace };
    let per_small =
        counter.during(SMALL, || push::blob(&mut connection, repository, &small.unique(), Way::Put))?;
    let mut number = 0;
    let per_manifest = counter.during(SMALL, || {
        number += 1;
        let bytes = content::manifest(&blobs, None, &number.to_string());
        push::manifest(&mut connection, repository, &format!("t{number}"), &bytes)
    })?;
    let per_large =
        counter.during(LARGE, || push::blob(&mut connection, repository, &large.unique(), Way::Put))?;
    let by_8 = counter.during(1, || {
        let client = |_| -> Box<dyn Work> {
            Box::new(PushBlobs { repository: repository.to_owned(), template: small.clone(), way: Way::Put })
        };
        load::round(server.address, Until::Steps(BY_8), (0..8).map(client).collect())?;
        Ok(())
    })?;
    let calls = counter.calls()?;
    drop(server);
    Ok(Steps {
        small: per_small,
        manifest: per_manifest,
        large: per_large,
        small_by_8: by_8 / (8 * BY_8) as f64,
        calls,
    })
}

struct Counter {
    trace: PathBuf,
}

impl Counter {
    /// Steps per time that something is done.
    fn during(&self, times: usize, mut what: impl FnMut() -> Result<()>) -> Result<f64> {
        let before = self.now()?.len();
        for _ in 0..times {
            what()?;
        }
        Ok((self.now()?.len() - before) as f64 / times as f64)
    }

    /// The calls so far, once those that come a little later have come too.
    fn now(&self) -> Result<Vec<&'static str>> {
        pause(Duration::from_millis(300));
        let text = fs::read_to_string(&self.trace)?;
        let found: Vec<_> = text.lines().filter_map(call).collect();
        Ok(found)
    }

    fn calls(&self) -> Result<String> {
        let all = self.now()?;
        ensure!(!all.is_empty() || self.trace.exists(), "there is no trace");
        let count = |name: &&str| {
            let count = all.iter().filter(|call| *call == name).count();
            (count > 0).then(|| format!("{count} {name}"))
        };
        Ok(CALLS.iter().filter_map(count).collect::<Vec<_>>().join(", "))
    }
}

/// The call that a line of the trace begins: `12345 fsync(7) = 0`, or `... fsync(7 <unfinished ...>`.
fn call(line: &str) -> Option<&'static str> {
    let rest = line.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start();
    let (name, _) = rest.split_once('(')?;
    CALLS.into_iter().find(|call| *call == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_where_it_begins() {
        assert_eq!(call("4711  fdatasync(9)                     = 0"), Some("fdatasync"));
        assert_eq!(call("4711  fsync(9 <unfinished ...>"), Some("fsync"));
        assert_eq!(call("4711  <... fsync resumed>)            = 0"), None);
        assert_eq!(call("4711  +++ exited with 0 +++"), None);
    }
}
