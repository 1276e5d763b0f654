//! Other people's programs beside the server: started for one test, ended with it, and never left behind.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take until it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that runs, and ends with this value.
pub(crate) struct Daemon {
    child: Child,
    guard: Child,
}

impl Daemon {
    /// Starts it, and waits until it listens on all of these addresses. `log`: where what it says goes.
    pub(crate) fn start(command: &mut Command, listens: &[SocketAddr], log: &Path) -> Daemon {
        let file = || std::fs::File::options().create(true).append(true).open(log).expect("the log file");
        command.stdin(Stdio::null()).stdout(file()).stderr(file());
        let mut child = command.spawn().expect("the program starts");
        // As the server's: ends it when this process dies before its `Drop`s run.
        let guard = Command::new("sh")
            .args(["-c", r#"read -r line || kill -9 "$1""#, "guard"])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let deadline = Instant::now() + PATIENCE;
        for address in listens {
            while TcpStream::connect(address).is_err() {
                let ended = child.try_wait().expect("the program's state");
                if ended.is_some() || Instant::now() > deadline {
                    let mut said = String::new();
                    let _ = file_of(log).read_to_string(&mut said);
                    panic!("{command:?} does not listen on {address} (ended: {ended:?})\n{said}");
                }
                pause();
            }
        }
        Daemon { child, guard }
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing else happens while a test waits for a program")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

fn file_of(log: &Path) -> std::fs::File {
    std::fs::File::open(log).expect("the log file")
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Politely first, so that a parent takes its children along.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            pause();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

/// An address on this machine where nobody listens.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    listener.local_addr().expect("its address")
}

/// Where a program is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let script = r#"PATH=$PATH:/usr/sbin:/sbin command -v "$1""#;
    let found = Command::new("sh").args(["-c", script, "find", program]).output().expect("a shell");
    let path = String::from_utf8(found.stdout).expect("a path");
    found.status.success().then(|| PathBuf::from(path.trim_end()))
}
