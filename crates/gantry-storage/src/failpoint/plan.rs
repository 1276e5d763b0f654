//! What `GANTRY_FAIL_AT` says, and doing it.
//!
//! `name:n[:action]`, several with commas between them. Counting is per place and begins with the program.

use std::fmt::Write as _;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use super::{ALL, Point};

/// What happens at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// The process dies at once, as by `kill -9`.
    Abort,
    /// The step returns EIO.
    Eio,
    /// The step returns ENOSPC.
    Enospc,
    /// The step takes this long.
    Sleep(Duration),
    /// The process stops as by SIGSTOP, until SIGCONT.
    Pause,
}

/// One entry of a plan.
#[derive(Debug)]
struct Entry {
    point: Point,
    name: &'static str,
    pass: u64,
    action: Action,
    passed: AtomicU64,
}

/// What is wrong with a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A name that is not in the list.
    #[error("GANTRY_FAIL_AT: there is no failpoint `{name}`; known are:\n{known}")]
    UnknownPoint {
        /// As it was written.
        name: String,
        /// All names, with their sentences.
        known: String,
    },
    /// A count that is none.
    #[error("GANTRY_FAIL_AT: `{0}` is not a count: expected the number of the pass, from 1, as in tag.set:3")]
    BadCount(String),
    /// An action that is none.
    #[error("GANTRY_FAIL_AT: there is no action `{0}`; known are: abort, eio, enospc, sleep=MS, pause")]
    UnknownAction(String),
    /// A plan was there already.
    #[error("GANTRY_FAIL_AT: a plan is in force already")]
    Again,
}

static PLAN: OnceLock<Vec<Entry>> = OnceLock::new();

/// Puts a plan in force. For the program's start.
///
/// # Errors
/// [`PlanError`]: each message names what can be written.
pub fn arm(plan: &str) -> Result<(), PlanError> {
    PLAN.set(parse(plan)?).map_err(|_| PlanError::Again)
}

/// The list for people.
#[must_use]
pub fn describe() -> Option<String> {
    let width = ALL.iter().map(|(_, name, _)| name.len()).max().unwrap_or_default();
    Some(ALL.iter().fold(String::new(), |mut text, (_, name, sentence)| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:width$}  {sentence}");
        text
    }))
}

/// Passes a place. `Ok` unless the plan of this run says otherwise.
///
/// # Errors
/// What the plan says: an input/output error or a full disk.
pub fn hit(point: Point) -> io::Result<()> {
    let Some(plan) = PLAN.get() else { return Ok(()) };
    for entry in plan.iter().filter(|entry| entry.point == point) {
        if entry.passed.fetch_add(1, Ordering::Relaxed) + 1 == entry.pass {
            act(entry)?;
        }
    }
    Ok(())
}

fn act(entry: &Entry) -> io::Result<()> {
    tracing::warn!(point = entry.name, pass = entry.pass, action = ?entry.action, "failpoint {}", entry.name);
    match entry.action {
        Action::Abort => {
            // Not abort(3): no handler, no core, no last words, as when the machine's owner does it.
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort()
        }
        Action::Eio => Err(Errno::IO.into()),
        Action::Enospc => Err(Errno::NOSPC.into()),
        Action::Sleep(time) => {
            #[expect(clippy::disallowed_methods, reason = "to hold this thread up is what was asked for")]
            std::thread::sleep(time);
            Ok(())
        }
        Action::Pause => {
            let _ = kill_process(getpid(), Signal::STOP);
            Ok(())
        }
    }
}

fn parse(plan: &str) -> Result<Vec<Entry>, PlanError> {
    plan.split(',').map(|entry| parse_entry(entry.trim())).collect()
}

fn parse_entry(entry: &str) -> Result<Entry, PlanError> {
    let mut parts = entry.splitn(3, ':');
    let name = parts.next().unwrap_or_default();
    let Some((point, name, _)) = ALL.iter().find(|(_, known, _)| *known == name) else {
        let known = describe().unwrap_or_default();
        return Err(PlanError::UnknownPoint { name: name.to_owned(), known });
    };
    let count = parts.next().unwrap_or_default();
    let pass = count
        .parse()
        .ok()
        .filter(|pass| *pass > 0)
        .ok_or_else(|| PlanError::BadCount(format!("{name}:{count}")))?;
    let action = parts.next().unwrap_or("abort");
    let unknown = || PlanError::UnknownAction(action.to_owned());
    let action = match action.split_once('=') {
        Some(("sleep", ms)) => Action::Sleep(Duration::from_millis(ms.parse().map_err(|_| unknown())?)),
        Some(_) => return Err(unknown()),
        None => match action {
            "abort" => Action::Abort,
            "eio" => Action::Eio,
            "enospc" => Action::Enospc,
            "pause" => Action::Pause,
            _ => return Err(unknown()),
        },
    };
    Ok(Entry { point: *point, name, pass, action, passed: AtomicU64::new(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_and_nonsense_is_refused_with_what_is_known() {
        let plan = parse("tag.set:3, group.commit:1:sleep=20").expect("a plan");
        assert_eq!((plan[0].point, plan[0].pass, plan[0].action), (Point::TagSet, 3, Action::Abort));
        assert_eq!(plan[1].action, Action::Sleep(Duration::from_millis(20)));
        for (bad, says) in [
            ("tag.put:1", "group.committed"),
            ("", "group.committed"),
            ("tag.set", "is not a count"),
            ("tag.set:0", "is not a count"),
            ("tag.set:-1", "is not a count"),
            ("tag.set:1:explode", "enospc"),
            ("tag.set:1:sleep=soon", "sleep=MS"),
            ("tag.set:1:eio=1", "sleep=MS"),
        ] {
            let error = parse(bad).expect_err(bad).to_string();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn names_are_given_once() {
        let mut names: Vec<_> = ALL.iter().map(|(_, name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
