//! Bytes on a socket, for requests that no client library sends.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a server.
pub(crate) struct Raw {
    stream: TcpStream,
    /// Read, but not yet asked for.
    rest: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl RawAnswer {
    /// A header's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The code of the first error.
    pub(crate) fn code(&self) -> String {
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        document["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, rest: Vec::new() }
    }

    /// Sends bytes; a server that has closed its end is no failure here.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        tokio::time::timeout(PATIENCE, self.stream.write_all(bytes.as_ref()))
            .await
            .is_ok_and(|sent| sent.is_ok())
    }

    /// Ends the sending half.
    pub(crate) async fn end(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        match tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 => {
                self.rest.extend_from_slice(&buffer[..length]);
                true
            }
            _ => false,
        }
    }

    /// The next answer, 1xx included; its body by `Content-Length`. `None` when the connection ends first.
    pub(crate) async fn answer(&mut self, with_body: bool) -> Option<RawAnswer> {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.rest.drain(..end + 4);
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        let mut answer = RawAnswer { status, head, body: Vec::new() };
        let length: usize = answer.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if with_body && status >= 200 {
            while self.rest.len() < length {
                if !self.more().await {
                    return None;
                }
            }
            answer.body = self.rest.drain(..length).collect();
        }
        Some(answer)
    }

    /// Reads to the end of the connection.
    pub(crate) async fn drain(&mut self) {
        while self.more().await {
            self.rest.clear();
        }
    }

    /// Whether the server closes the connection, without sending more.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.rest.is_empty() && !self.more().await
    }
}

/// Sends bytes on a new connection and gives the first answer.
pub(crate) async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Option<RawAnswer> {
    let mut connection = Raw::connect(address).await;
    connection.send(request).await;
    connection.answer(true).await
}
