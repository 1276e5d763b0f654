//! The PROXY protocol, versions 1 and 2: a trusted proxy says first whom it speaks for.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest version 1 header, in bytes.
const V1_MAX: usize = 107;
/// The longest version 2 header that is read, in bytes: addresses and a few extensions.
const V2_MAX: usize = 4096;

/// Reads the header and nothing behind it. `None`: the proxy speaks for itself (`LOCAL`, `UNKNOWN`).
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; 12];
    stream.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await?;
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        header.extend(rest);
        if length > V2_MAX {
            return Err(invalid());
        }
        let start = header.len();
        header.resize(start + length, 0);
        if let Some(addresses) = header.get_mut(start..) {
            stream.read_exact(addresses).await?;
        }
    } else {
        while !header.ends_with(b"\r\n") {
            if !header.starts_with(b"PROXY ") || header.len() >= V1_MAX {
                return Err(invalid());
            }
            header.push(stream.read_u8().await?);
        }
    }
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) => Ok(match (header.command, header.addresses) {
            (v2::Command::Local, _) => None,
            (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
            (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
            (v2::Command::Proxy, _) => None,
        }),
        _ => Err(invalid()),
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "expected a PROXY protocol header")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(bytes: &[u8]) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
        let mut stream = bytes;
        let address = read(&mut stream).await?;
        Ok((address, stream.to_vec()))
    }

    #[tokio::test]
    async fn both_versions_and_nothing_behind_them() {
        let (address, rest) = parse(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 5000\r\nGET /").await.unwrap();
        assert_eq!((address, rest.as_slice()), (Some("192.0.2.7:4711".parse().unwrap()), &b"GET /"[..]));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n").await.unwrap().0, None);
        let mut v2 = v2::PROTOCOL_PREFIX.to_vec();
        v2.extend([0x21, 0x11, 0, 12, 192, 0, 2, 9, 10, 0, 0, 1, 0x12, 0x34, 0x13, 0x88]);
        v2.extend(b"rest");
        let (address, rest) = parse(&v2).await.unwrap();
        assert_eq!((address, rest.as_slice()), (Some("192.0.2.9:4660".parse().unwrap()), &b"rest"[..]));
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        for bytes in
            [&b"GET /v2/ HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 nonsense\r\n", &[b'P'; 300], b"", b"PROXY "]
        {
            assert!(parse(bytes).await.is_err(), "{bytes:?}");
        }
    }
}
