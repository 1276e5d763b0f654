//! A client connection that costs as little as it can, because it shares two cores with the server it measures.
//!
//! It is no HTTP library: requests come rendered, of the answer only what a measurement needs is read (status, length,
//! `Location`, the token of v1), bodies are counted into one reused buffer. What it does read it checks: an answer that is cut short or
//! framed in a way not known here is an error and never a fast success.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Room for one read; large enough that a 256 MiB body is not a matter of system calls.
const BUFFER: usize = 256 * 1024;

/// No answer takes longer, or the server hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request, rendered once and sent as often as wanted.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    is_head: bool,
    expected: u16,
}

impl Request {
    /// A request without a body. `expected` is the only status that counts as an answer.
    pub(crate) fn new(method: &str, path: &str, headers: &str, expected: u16) -> Self {
        let bytes = format!("{method} {path} HTTP/1.1\r\nHost: registry.bench\r\n{headers}\r\n").into_bytes();
        Self { bytes, is_head: method == "HEAD", expected }
    }

    /// The same with more lines in its head, each with its end. Only for a request without a body.
    pub(crate) fn with_headers(mut self, lines: &str) -> Self {
        self.bytes.truncate(self.bytes.len() - 2);
        self.bytes.extend_from_slice(lines.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// A request with a small body, sent in one piece.
    pub(crate) fn with_body(
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
        expected: u16,
    ) -> Self {
        let headers = format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
        let mut request = Self::new(method, path, &headers, expected);
        request.bytes.extend_from_slice(body);
        request
    }
}

/// What is known of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Bytes of the body.
    pub(crate) length: u64,
    /// `Location`, as written.
    pub(crate) location: Option<String>,
    /// `X-Docker-Token`, as written.
    pub(crate) token: Option<String>,
}

/// How the end of a body is found.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

#[derive(Debug)]
struct Head {
    status: u16,
    framing: Framing,
    location: Option<String>,
    token: Option<String>,
    closes: bool,
}

/// One keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Box<[u8]>,
    /// The part of the buffer that is read and not yet used.
    filled: std::ops::Range<usize>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let mut connection =
            Self { address, stream: None, buffer: vec![0; BUFFER].into_boxed_slice(), filled: 0..0 };
        connection.stream()?;
        Ok(connection)
    }

    /// The socket; a new one when the server closed the last after an answer that said so.
    fn stream(&mut self) -> Result<&mut TcpStream> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address)
                .with_context(|| format!("connecting to {}", self.address))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            self.filled = 0..0;
            self.stream = Some(stream);
        }
        self.stream.as_mut().context("there is no connection")
    }

    /// Sends a request and takes its answer.
    pub(crate) fn send(&mut self, request: &Request) -> Result<Answer> {
        self.send_taking(request, &mut |_| {})
    }

    /// The same, and hands the body to `take`.
    pub(crate) fn send_taking(&mut self, request: &Request, take: &mut dyn FnMut(&[u8])) -> Result<Answer> {
        self.stream()?.write_all(&request.bytes)?;
        self.answer(request.is_head, request.expected, take)
    }

    /// Sends a head and then a body piece by piece.
    pub(crate) fn send_pieces<'a>(
        &mut self,
        request: &Request,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Answer> {
        let stream = self.stream()?;
        stream.write_all(&request.bytes)?;
        for piece in pieces {
            stream.write_all(piece)?;
        }
        self.answer(request.is_head, request.expected, &mut |_| {})
    }

    fn answer(&mut self, is_head: bool, expected: u16, take: &mut dyn FnMut(&[u8])) -> Result<Answer> {
        let head = loop {
            if let Some(end) = find(&self.buffer[self.filled.clone()], b"\r\n\r\n") {
                let head = parse(&self.buffer[self.filled.start..self.filled.start + end])?;
                self.filled.start += end + 4;
                break head;
            }
            self.fill()?;
        };
        if head.status != expected {
            let length = self.filled.len().min(300);
            let start = String::from_utf8_lossy(&self.buffer[self.filled.start..self.filled.start + length]);
            bail!("expected status {expected}, got {}: {start}", head.status);
        }
        let length = match head.framing {
            _ if is_head => 0,
            Framing::Length(length) => self.sized(length, take)?,
            Framing::Chunked => self.chunked(take)?,
        };
        if head.closes {
            self.stream = None;
        }
        Ok(Answer { length, location: head.location, token: head.token })
    }

    fn sized(&mut self, length: u64, take: &mut dyn FnMut(&[u8])) -> Result<u64> {
        let mut left = length;
        loop {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(self.filled.len());
            take(&self.buffer[self.filled.start..self.filled.start + now]);
            self.filled.start += now;
            left -= now as u64;
            if left == 0 {
                return Ok(length);
            }
            self.fill()?;
        }
    }

    fn chunked(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<u64> {
        let mut total = 0;
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(digits, 16).with_context(|| format!("chunk size {line:?}"))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(total);
            }
            total += self.sized(size, take)?;
            ensure!(self.line()?.is_empty(), "a chunk does not end where it says");
        }
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = find(&self.buffer[self.filled.clone()], b"\r\n") {
                let line = &self.buffer[self.filled.start..self.filled.start + end];
                let line = String::from_utf8_lossy(line).into_owned();
                self.filled.start += end + 2;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    /// Reads more behind what is there.
    fn fill(&mut self) -> Result<()> {
        if self.filled.is_empty() {
            self.filled = 0..0;
        } else if self.filled.end == self.buffer.len() {
            ensure!(self.filled.start > 0, "a head or chunk line fills the whole buffer");
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        let stream = self.stream.as_mut().context("there is no connection")?;
        let count = stream.read(&mut self.buffer[self.filled.end..])?;
        ensure!(count > 0, "the server closed the connection within an answer");
        self.filled.end += count;
        Ok(())
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn parse(head: &[u8]) -> Result<Head> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let status = first
        .get(9..12)
        .filter(|_| first.starts_with(b"HTTP/1."))
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .with_context(|| format!("no status line: {}", String::from_utf8_lossy(first)))?;
    let mut found = Head { status, framing: Framing::Length(0), location: None, token: None, closes: false };
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            found.framing = Framing::Length(length.context("a Content-Length that is no number")?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            ensure!(value.eq_ignore_ascii_case(b"chunked"), "an unknown Transfer-Encoding");
            found.framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case(b"location") {
            found.location = Some(String::from_utf8_lossy(value).into_owned());
        } else if name.eq_ignore_ascii_case(b"x-docker-token") {
            found.token = Some(String::from_utf8_lossy(value).into_owned());
        } else if name.eq_ignore_ascii_case(b"connection") {
            found.closes = value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What a client makes of bytes that a server sends in pieces.
    fn taken(pieces: &'static [&'static str], request: &Request) -> Result<(Answer, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            for piece in pieces {
                stream.write_all(piece.as_bytes()).unwrap();
                stream.flush().unwrap();
            }
        });
        let mut body = Vec::new();
        let answer =
            Connection::open(address)?.send_taking(request, &mut |piece| body.extend_from_slice(piece));
        server.join().unwrap();
        Ok((answer?, String::from_utf8(body).unwrap()))
    }

    fn get() -> Request {
        Request::new("GET", "/", "", 200)
    }

    #[test]
    fn a_sized_body_is_taken_whole() {
        let (answer, body) =
            taken(&["HTTP/1.1 200 OK\r\nConten", "t-Length: 5\r\n\r\nhe", "llo"], &get()).unwrap();
        assert_eq!((answer.length, body.as_str()), (5, "hello"));
    }

    #[test]
    fn a_chunked_body_is_put_together() {
        let pieces = &[
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r",
            "\nA;x=1\r\n0123456789\r\n0\r\n\r\n",
        ];
        let (answer, body) = taken(pieces, &get()).unwrap();
        assert_eq!((answer.length, body.as_str()), (13, "abc0123456789"));
    }

    #[test]
    fn the_length_of_a_head_is_no_body() {
        let request = Request::new("HEAD", "/", "", 200);
        let (answer, body) = taken(&["HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"], &request).unwrap();
        assert_eq!((answer.length, body.as_str()), (0, ""));
    }

    #[test]
    fn a_wrong_status_is_an_error_that_shows_the_body() {
        let error = taken(&["HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"], &get()).unwrap_err();
        assert!(error.to_string().contains("expected status 200, got 404: gone"), "{error}");
    }

    #[test]
    fn a_body_cut_short_is_an_error() {
        taken(&["HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"], &get()).unwrap_err();
    }
}
