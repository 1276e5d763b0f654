//! Who watches the witness: a store is damaged by hand, and the check must notice.
//!
//! The only place that knows how a data directory looks, because it breaks one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::check::Cut;
use crate::journal::Key;
use crate::load::{Health, lock};
use crate::stage::Stage;
use crate::{Options, Report};

/// What was done to the store, and a word of what must be said about it.
const DAMAGES: [(&str, &str); 6] = [
    ("nothing", ""),
    ("a blob's file is removed", "reads 500"),
    ("a byte of a blob's file is changed", "delivers the bytes of"),
    ("a blob's file is cut short", "reads 500"),
    ("the database goes back to an earlier state", "can be"),
    ("what uploads left is removed", "is gone"),
];

/// Damages copies of one store, each in one way.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::new(options, "self-test")?;
    let (original, earlier) = (stage.root().join("data"), stage.root().join("earlier"));
    for cycle in 0..4 {
        if cycle == 3 {
            copy(&original, &earlier)?;
        }
        let mut server = stage.start()?;
        let crew = stage.crew(&server, cycle, Health::Well);
        Stage::work(&mut server, Duration::from_millis(400));
        server.kill();
        stage.dismiss(crew);
    }
    let journal = lock(&stage.journal).clone();
    for (number, (damage, word)) in DAMAGES.into_iter().enumerate() {
        stage.data = stage.root().join(format!("copy{number}"));
        copy(&original, &stage.data)?;
        *lock(&stage.journal) = journal.clone();
        let blob = blob_file(&stage);
        let whole = || std::fs::read(&blob).with_context(|| format!("{}", blob.display()));
        match number {
            1 => std::fs::remove_file(&blob)?,
            2 => {
                let mut bytes = whole()?;
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 1;
                }
                std::fs::write(&blob, bytes)?;
            }
            3 => std::fs::write(&blob, whole()?.get(1..).unwrap_or_default())?,
            4 => {
                for file in ["gantry.db", "gantry.db-wal"] {
                    std::fs::copy(earlier.join(file), stage.data.join(file))?;
                }
                let _ = std::fs::remove_file(stage.data.join("gantry.db-shm"));
            }
            5 => {
                std::fs::remove_dir_all(stage.data.join("uploads"))?;
                std::fs::create_dir(stage.data.join("uploads"))?;
                std::fs::remove_file(stage.data.join("gantry.db-sessions"))?;
            }
            _ => {}
        }
        let server = stage.start()?;
        stage.check(&server, Cut::Process, true)?;
        server.kill();
        let found = std::mem::take(&mut stage.report.violations);
        let said = found.iter().any(|violation| violation.contains(word));
        if word.is_empty() && !found.is_empty() {
            stage.report.violations = found;
        } else if !word.is_empty() && !said {
            stage.report.violations.push(format!("{damage}, and the check says only {found:?}"));
        }
        stage.report.cycles += 1;
    }
    Ok(stage.end())
}

/// The file of a blob that must be there.
fn blob_file(stage: &Stage) -> PathBuf {
    let journal = lock(&stage.journal);
    let large = |digest: &String| {
        journal.contents.get(digest).is_some_and(|content| content.bytes().len() > 100 << 10)
    };
    let must_be = |repo: &String, digest: &String| {
        let allowed = journal.allowed(&Key::Blob(repo.clone(), digest.clone()));
        !allowed.contains(&None)
    };
    let found = journal.kept_blobs.iter().find(|(repo, digest)| large(digest) && must_be(repo, digest));
    let digest = found.map(|(_, digest)| digest.as_str()).unwrap_or_default();
    let (algorithm, hex) = digest.split_once(':').unwrap_or_default();
    let shard = hex.get(..2).unwrap_or_default();
    stage.data.join("docker/registry/v2/blobs").join(algorithm).join(shard).join(hex).join("data")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let output = Command::new("cp").arg("-a").args([from, to]).output()?;
    if !output.status.success() {
        bail!("copying a store: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
