//! HTTP/2 frame by frame (RFC 9113), for what no client library would send. No state machine: whoever writes frames says all.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// One frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a payload of less than 4 GiB").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A string of a header block: its length in a prefix of seven bits, not Huffman-coded.
fn text(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        block.push(u8::try_from(length).expect("short"));
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(u8::try_from(length % 128).expect("a remainder") | 128);
            length /= 128;
        }
        block.push(u8::try_from(length).expect("the rest"));
    }
    block.extend_from_slice(text.as_bytes());
}

/// A header that is not kept in the table of headers.
pub(super) fn header(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    text(block, name);
    text(block, value);
}

/// The header block of a request.
pub(super) fn request(method: &str, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x")] {
        header(&mut block, name, value);
    }
    block
}

/// A frame that came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// A connection of which everything is in the test's hands.
pub(super) struct Frames {
    stream: TcpStream,
}

impl Frames {
    /// Connects, and sends the preface and these settings.
    pub(super) async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        let mut payload = Vec::new();
        for (key, value) in settings {
            payload.extend(key.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        // In two pieces: who looks at the first bytes only must not take this for HTTP/1.1.
        stream.write_all(&PREFACE[..1]).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut bytes = PREFACE[1..].to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &payload));
        stream.write_all(&bytes).await.expect("sent");
        Self { stream }
    }

    /// Sends bytes; false when the server has closed the connection, or takes nothing more for half a minute.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        matches!(tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    /// The next frame; `None` at the end of the connection.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).ok()?];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1);
            Some(Frame { kind: head[3], stream, payload })
        };
        tokio::time::timeout(PATIENCE, read).await.ok().flatten()
    }

    /// Reads to the end of the connection, or to a GOAWAY that tells of an error; false when neither comes in half a minute.
    pub(super) async fn is_ended(&mut self) -> bool {
        let read = async {
            while let Some(frame) = self.next().await {
                if frame.kind == GOAWAY && frame.payload.get(4..8) != Some(&[0; 4]) {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.is_ok()
    }

    /// Both directions, so that a flood does not stop because nobody reads the answers.
    pub(super) fn split(self) -> (tokio::net::tcp::OwnedReadHalf, tokio::net::tcp::OwnedWriteHalf) {
        self.stream.into_split()
    }
}
