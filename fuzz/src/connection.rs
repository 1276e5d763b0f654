//! A whole connection, HTTP/1.1 or HTTP/2 as the bytes will have it, to a real server in this process.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use gantry_server::config::{Config, Sources, load};

static SERVER: OnceLock<SocketAddr> = OnceLock::new();

/// Starts a server that ends with the process.
fn start() -> SocketAddr {
    let (sender, address) = mpsc::channel();
    std::thread::spawn(move || {
        let directory = tempfile::TempDir::with_prefix("gantry-fuzz-").expect("a directory");
        let arguments = [
            "server.listen=127.0.0.1:0",
            "operator.listen=off",
            "limits.header_timeout=2s",
            "limits.body_timeout=2s",
            "limits.idle_timeout=2s",
        ];
        let sources = Sources { arguments: arguments.map(str::to_owned).to_vec(), ..Sources::default() };
        let settings = load(&sources).expect("settings");
        let config = Config::new(settings, directory.path().join("data")).expect("a configuration");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let greet = |greeting: &gantry_server::serve::Greeting| {
            let address = greeting.registry.rsplit('/').next().and_then(|address| address.parse().ok());
            sender.send(address.expect("an address")).expect("somebody waits");
        };
        runtime
            .block_on(gantry_server::serve::serve(config.clone(), || Ok(config.clone()), greet))
            .expect("a server");
    });
    address.recv_timeout(Duration::from_secs(30)).expect("the server starts")
}

pub(crate) fn connection(bytes: &[u8]) {
    let address = *SERVER.get_or_init(start);
    let mut stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    // The server may have had enough before all is sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let shown = || String::from_utf8_lossy(&answer[..answer.len().min(500)]).into_owned();
    let http2 = bytes.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(answer.is_empty() || http2 || answer.starts_with(b"HTTP/1."), "{}", shown());
    let failed = answer.windows(13).any(|window| window == b"HTTP/1.1 500 ");
    assert!(!failed, "{}", shown());
}
