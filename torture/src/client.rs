//! HTTP/1.1 by hand over a blocking socket.
//!
//! An answer counts as received when its head and its whole body are here, and not before: what is acknowledged must be
//! known to the byte. A library that retries, pools or follows would blur that.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// After this long without a byte the server hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Status and the beginning of the body, for people.
    pub(crate) fn summary(&self) -> String {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
        format!("{} {body}", self.status)
    }
}

/// One connection, opened when needed.
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client { address, stream: None }
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, &[], &[])
    }

    /// Sends and waits for the whole answer. After an error nothing is known about what the server did.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let outcome = self.exchange(method, path, headers, body);
        let closes = |answer: &Answer| answer.header("connection").is_some_and(|value| value == "close");
        if outcome.as_ref().map_or(true, closes) {
            self.stream = None;
        }
        outcome
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                self.stream.insert(BufReader::with_capacity(64 << 10, stream))
            }
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !matches!(method, "GET" | "HEAD" | "DELETE") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        // Small requests leave in one packet, so that a kill finds them whole or not at all.
        let (first, rest) = body.split_at(body.len().min(32 << 10));
        request.extend_from_slice(first);
        let sent = stream.get_mut().write_all(&request).and_then(|()| stream.get_mut().write_all(rest));
        // A server that refuses early answers before it has read everything.
        read_answer(stream, method).map_err(|error| sent.err().unwrap_or(error))
    }
}

fn read_answer(stream: &mut BufReader<TcpStream>, method: &str) -> io::Result<Answer> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    let mut read_line = |stream: &mut BufReader<TcpStream>| -> io::Result<String> {
        line.clear();
        if stream.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    };
    let status = read_line(stream)?;
    let status =
        status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| broken("a status line"))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| broken("a header line"))?;
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
        return Ok(answer);
    }
    if answer.header("transfer-encoding").is_some() {
        loop {
            let size = read_line(stream)?;
            let size = u64::from_str_radix(&size, 16).map_err(|_| broken("a chunk size"))?;
            let read = stream.take(size).read_to_end(&mut answer.body)?;
            if read as u64 != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read_line(stream)?;
            if size == 0 {
                return Ok(answer);
            }
        }
    }
    let length: u64 = answer
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .ok_or_else(|| broken("an answer without a length"))?;
    let read = stream.take(length).read_to_end(&mut answer.body)?;
    if read as u64 == length { Ok(answer) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
