//! The same bytes without a registry: as files for nginx (what no registry on a disk beats) and in memory behind a bare
//! hyper server (what the HTTP library that Gantry uses can do at most). Only reading; nothing is looked up, nothing
//! checked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

/// A list of pages beside their files.
const INDEX: &str = "index.tsv";

/// One address that is answered; the query is not looked at.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    /// `Docker-Content-Digest`; empty for none.
    pub(crate) digest: String,
}

/// Writes pages, each with the pieces of its body, where `nginx` and `serve` find them.
pub(crate) fn write(directory: &Path, pages: &[(Page, Vec<&[u8]>)]) -> Result<()> {
    use std::io::Write as _;

    fs::create_dir_all(directory.join("pages"))?;
    let mut index = String::new();
    for (number, (page, pieces)) in pages.iter().enumerate() {
        let mut file = std::io::BufWriter::new(fs::File::create(directory.join(format!("pages/{number}")))?);
        for piece in pieces {
            file.write_all(piece)?;
        }
        file.flush()?;
        writeln!(index, "{number}\t{}\t{}\t{}", page.path, page.content_type, page.digest)?;
    }
    fs::write(directory.join(INDEX), index)?;
    Ok(())
}

struct Entry {
    file: PathBuf,
    path: String,
    content_type: String,
    digest: String,
}

fn entries(directory: &Path) -> Result<Vec<Entry>> {
    let index = fs::read_to_string(directory.join(INDEX)).context("a site without an index")?;
    index
        .lines()
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            let mut field = || fields.next().context("a short line in the index of a site");
            let file = directory.join("pages").join(field()?);
            Ok(Entry { file, path: field()?, content_type: field()?, digest: field()? })
        })
        .collect()
}

/// nginx's configuration: Debian's defaults (sendfile, tcp_nopush), no log, connections that stay.
pub(crate) fn nginx(directory: &Path, address: SocketAddr) -> Result<String> {
    let root = directory.display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let mut text = format!(
        "daemon off;
worker_processes auto;
{user}
pid {root}/nginx.pid;
error_log stderr error;
events {{ worker_connections 768; }}
http {{
  sendfile on;
  tcp_nopush on;
  access_log off;
  keepalive_requests 1000000000;
  types {{ }}
  client_body_temp_path {root}/t1;
  proxy_temp_path {root}/t2;
  fastcgi_temp_path {root}/t3;
  uwsgi_temp_path {root}/t4;
  scgi_temp_path {root}/t5;
  server {{
    listen {address};
    root {root}/pages;
"
    );
    for entry in entries(directory)? {
        let digest = if entry.digest.is_empty() {
            String::new()
        } else {
            format!("add_header Docker-Content-Digest \"{}\";", entry.digest)
        };
        // `alias` does not work for an address that ends in a slash.
        let file = if entry.path.ends_with('/') {
            format!("try_files /{} =404;", entry.file.file_name().unwrap_or_default().display())
        } else {
            format!("alias {};", entry.file.display())
        };
        writeln!(
            text,
            "    location = {} {{ default_type {}; {digest} add_header Docker-Distribution-Api-Version registry/2.0; {file} }}",
            entry.path, entry.content_type
        )?;
    }
    text.push_str("  }\n}\n");
    Ok(text)
}

struct Answer {
    content_type: HeaderValue,
    digest: Option<HeaderValue>,
    body: Bytes,
}

/// Serves a site from memory until it is ended.
pub(crate) fn serve(directory: &Path, address: SocketAddr) -> Result<()> {
    let mut answers = HashMap::new();
    for entry in entries(directory)? {
        let answer = Answer {
            content_type: HeaderValue::from_str(&entry.content_type)?,
            digest: (!entry.digest.is_empty()).then(|| HeaderValue::from_str(&entry.digest)).transpose()?,
            body: fs::read(&entry.file)?.into(),
        };
        answers.insert(entry.path, answer);
    }
    let answers = Arc::new(answers);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(address).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answer = answer(&answers, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                // A client that goes away is no news.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

fn answer(
    answers: &HashMap<String, Answer>,
    request: &Request<hyper::body::Incoming>,
) -> Response<Full<Bytes>> {
    let Some(found) = answers.get(request.uri().path()) else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = Response::new(Full::new(found.body.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, found.content_type.clone());
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    if let Some(digest) = &found.digest {
        headers.insert("docker-content-digest", digest.clone());
    }
    response
}
