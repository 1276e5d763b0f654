//! `gantry healthcheck`: for containers, which have no curl.
//!
//! One plain HTTP request, written by hand: the operator's address never speaks TLS, and a client library for a single
//! GET would be most of the program.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::args::HealthcheckArgs;

pub(crate) fn run(args: &HealthcheckArgs) -> anyhow::Result<()> {
    let url = &args.url;
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("{url}: expected an http:// URL, such as that of the operator's address");
    };
    let (host, path) =
        rest.split_once('/').map_or((rest, "/readyz".to_owned()), |(host, path)| (host, format!("/{path}")));
    let port_given = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if port_given { host.to_owned() } else { format!("{host}:80") };
    let timeout = Duration::from_secs(args.timeout.max(1));
    let address =
        address.to_socket_addrs().with_context(|| url.clone())?.next().with_context(|| url.clone())?;
    let mut stream = TcpStream::connect_timeout(&address, timeout).with_context(|| url.clone())?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer).with_context(|| url.clone())?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split_whitespace().nth(1).unwrap_or("no answer");
    if status != "200" {
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
        bail!("{url}: {status} {body}");
    }
    crate::say(format_args!("{url}: ok\n"));
    Ok(())
}
