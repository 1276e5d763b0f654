//! Power cuts: a file system in a file that is told to forget everything it has not made durable.
//!
//! The data directory lies on a loop-mounted ext4. In the middle of the load the file system is shut down without flushing its journal
//! (`EXT4_IOC_SHUTDOWN`), the server is killed, the file system unmounted and mounted again, as a machine does that comes
//! back. What the server has said to be durable must be there; what it had only in the page cache is gone.
//!
//! The ioctl has no safe wrapper, and this workspace has no `unsafe`; a line of Perl makes the call (every Debian has Perl; where
//! it is missing Python does it).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::check::Cut;
use crate::load::{Health, lock};
use crate::rng::Rng;
use crate::server::pause;
use crate::stage::Stage;
use crate::{Options, Report};

/// `_IOR('X', 125, u32)` with `EXT4_GOING_FLAGS_NOLOGFLUSH`.
const PERL: &str = "open(F,'<',$ARGV[0]) or die $!; $|=1; print qq(ready\\n); <STDIN>; my $f=pack('L',2); ioctl(F,0x8004587d,$f) or die $!";
const PYTHON: &str = "import fcntl,os,struct,sys; f=os.open(sys.argv[1],0); print('ready',flush=True); sys.stdin.readline(); fcntl.ioctl(f,0x8004587d,struct.pack('I',2))";

/// The second is the one on which data and metadata reach the disk in any order.
const KINDS: [&str; 2] = ["loop", "loop,data=writeback,nobarrier"];

/// Everything is read again after so many cuts.
const FULL: u64 = 50;

/// A file system in a file; unmounted in the end.
pub(crate) struct Loop {
    image: PathBuf,
    point: PathBuf,
    options: &'static str,
}

impl Loop {
    /// Makes and mounts one. `Err` with the reason where that is not allowed.
    pub(crate) fn new(root: &Path, name: &str, megabytes: u64, options: &'static str) -> Result<Loop> {
        if !rustix::process::geteuid().is_root() {
            bail!("mounting a file system needs root");
        }
        let image = root.join(format!("{name}.img"));
        let point = root.join(name);
        std::fs::create_dir(&point)?;
        std::fs::File::create(&image)?.set_len(megabytes << 20)?;
        tool(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=1"]).arg(&image))?;
        let this = Loop { image, point, options };
        this.mount()?;
        Ok(this)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.point
    }

    fn mount(&self) -> Result<()> {
        tool(Command::new("mount").args(["-o", self.options]).arg(&self.image).arg(&self.point)).map(drop)
    }

    fn unmount(&self) -> Result<()> {
        // A killed process's files are closed a moment later.
        for _ in 0..200 {
            if tool(Command::new("umount").arg(&self.point)).is_ok() {
                return Ok(());
            }
            pause(Duration::from_millis(10));
        }
        tool(Command::new("umount").arg(&self.point)).map(drop)
    }

    /// A process with its hand on the switch, so that the cut itself takes no time.
    fn switch(&self) -> Result<Child> {
        for (program, option, script) in [("perl", "-e", PERL), ("python3", "-c", PYTHON)] {
            let spawned = Command::new(program)
                .args([option, script])
                .arg(&self.point)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn();
            let Ok(mut child) = spawned else { continue };
            let mut line = String::new();
            if let Some(output) = &mut child.stdout {
                BufReader::new(output).read_line(&mut line)?;
            }
            if line.starts_with("ready") {
                return Ok(child);
            }
            child.wait()?;
        }
        bail!("neither perl nor python3 can make the call that shuts a file system down")
    }

    /// The machine comes back.
    fn return_power(&self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.point).output();
    }
}

fn tool(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output)
}

/// Cuts the power at random moments under load.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::new(options, "power")?;
    let cycles = options.cycles.max(KINDS.len() as u64);
    for (kind, mount) in (0_u64..).zip(KINDS) {
        let disk = match Loop::new(stage.root(), &format!("disk{kind}"), 1024, mount) {
            Ok(disk) => disk,
            Err(error) => {
                stage.report.skipped.push(format!("power cuts ({mount}): {error:#}"));
                continue;
            }
        };
        stage.renew(&format!("disk{kind}/data"));
        let share = cycles.div_ceil(KINDS.len() as u64);
        for cycle in 0..share {
            if cycle > 0 && cycle % 5 == 0 {
                // A young store has other weak spots than an old one; and the disk must not fill up.
                let old = stage.data.clone();
                stage.renew(&format!("disk{kind}/data{cycle}"));
                std::fs::remove_dir_all(old)?;
            }
            one(&mut stage, options, &disk, kind * 1_000_000 + cycle)?;
            if !stage.sane() {
                break;
            }
        }
        if !stage.report.violations.is_empty() {
            // The image tells more than the files in it.
            stage.report.skipped.push(format!("more cuts: the image {} is kept", disk.image.display()));
            break;
        }
    }
    Ok(stage.end())
}

fn one(stage: &mut Stage, options: &Options, disk: &Loop, cycle: u64) -> Result<()> {
    let mut server = stage.start()?;
    let crew = stage.crew(&server, cycle, Health::DiskGone);
    let mut rng = Rng::of(&[options.seed, cycle, 97]);
    let mut switch = disk.switch()?;
    Stage::work(&mut server, Duration::from_millis(20 + rng.below(400)));
    lock(&stage.journal).freeze(true);
    if let Some(mut input) = switch.stdin.take() {
        input.write_all(b"now\n")?;
    }
    let cut = switch.wait();
    // The server may live on for a moment without its disk, and must not acknowledge anything then.
    Stage::work(&mut server, Duration::from_millis(rng.below(60)));
    server.kill();
    stage.dismiss(crew);
    if !cut?.success() {
        bail!("the file system could not be shut down");
    }
    disk.return_power()?;
    lock(&stage.journal).freeze(false);
    stage.report.cycles += 1;
    keep_what_was_left(stage)?;
    void_session_log(stage)?;
    let server = stage.start()?;
    stage.check(&server, Cut::Power, (cycle + 1).is_multiple_of(FULL))?;
    server.kill();
    Ok(())
}

/// A copy of the rows as the cut left them, for whoever has to find out why a start went wrong: the start itself changes them.
fn keep_what_was_left(stage: &Stage) -> Result<()> {
    let copy = stage.root().join("left-by-the-cut");
    std::fs::create_dir_all(&copy)?;
    for name in ["gantry.db", "gantry.db-wal", "gantry.db-sessions"] {
        let (from, to) = (stage.data.join(name), copy.join(name));
        let _ = std::fs::remove_file(&to);
        if from.exists() {
            std::fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
        }
    }
    Ok(())
}

/// The log of upload sessions names the boot that wrote it, and a machine that lost its power boots. Here it did not, so the
/// file is taken away, as the next boot would pass it over.
fn void_session_log(stage: &Stage) -> Result<()> {
    match std::fs::remove_file(stage.data.join("gantry.db-sessions")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("the sessions' log"),
        _ => Ok(()),
    }
}
