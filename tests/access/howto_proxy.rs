//! docs/how-to/reverse-proxy.md, done with the real proxies.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::daemon::{Daemon, find, free_address};
use crate::harness::page::{Page, shell};
use crate::harness::tls::Authority;
use crate::harness::{Blob, Client, Gantry, bytes, image, skipped, types};
use crate::ops::eventually;

/// Starts what the page says about Gantry, with an account `alice`, and gives the page with the places of this test in it.
async fn start(page: Page, dir: &Path, proxy: SocketAddr) -> (Gantry, Page) {
    let accounts = dir.join("htpasswd");
    std::fs::write(&accounts, crate::harness::server::htpasswd(&[("alice".to_owned(), "secret".to_owned())]))
        .expect("accounts");
    let page = page.with("/etc/gantry/htpasswd", accounts.to_str().expect("a path"));
    let settings = page.blocks("toml").concat();
    let gantry = Gantry::options().file(&settings).set("log.format", "json").start().await;
    let page = page
        .with("https://registry.example.com", &format!("https://{proxy}"))
        .with("127.0.0.1:5000", &gantry.address().to_string());
    (gantry, page)
}

/// What people do through a proxy, and what they would do if they meant harm.
async fn goes_through(gantry: &Gantry, page: &Page, proxy: SocketAddr, authority: &Authority, dir: &Path) {
    let [try_it] = page.blocks("sh").try_into().expect("one block to try it");
    let ca = authority.write(&dir.join("proxy-ca.pem"));
    let trusting = try_it.replace("curl", &format!("curl --interface 127.0.0.2 --cacert {}", ca.display()));
    let (good, said) = shell(&trusting, dir, &[("PASSWORD", "secret")]);
    assert!(good, "{said}");
    let forged = trusting.replace("curl", "curl -H 'X-Forwarded-For: 6.6.6.6' -H 'Forwarded: for=6.6.6.7'");
    assert!(shell(&forged, dir, &[("PASSWORD", "secret")]).0);
    assert!(!shell(&trusting, dir, &[("PASSWORD", "wrong")]).0);
    let log = eventually("the requests are logged", async || {
        Some(gantry.log()).filter(|log| log.matches("\"client\":\"127.0.0.2\"").count() == 3)
    })
    .await;
    assert!(!log.contains("6.6.6"), "{log}");

    for client in
        [Client::new(proxy, Some(authority)), Client::new(proxy, Some(authority)).http2(Some(authority))]
    {
        client.get("/v2/").await.status(401);
        let repo = client.basic("alice", "secret").repo();
        // More than proxies take for a body by themselves, whole, in pieces and of unknown length.
        let layers = [Blob::new(5 << 20), Blob::new(3 << 20)];
        let image = image().layers(types::OCI_LAYER, &layers).build();
        repo.push("v1", &image).await.status(201);
        repo.has_manifest("v1", &image.manifest).await;
        repo.has_blob(&layers[0]).await;
        let content = bytes(2 << 20);
        let location = repo.start_upload().await;
        let patched = repo.client.call("PATCH", &location).chunked(content.clone()).await.status(202);
        let blob = Blob::of(crate::harness::Alg::Sha256, content);
        let location = patched.get("location").expect("a location");
        repo.client.put(&crate::harness::repo::with(location, "digest", &blob.digest), "").await.status(201);
        repo.has_blob(&blob).await;
        let part = repo.client.get(&repo.blob(&blob.digest)).header("range", "bytes=1000000-1000009").await;
        assert_eq!(part.status(206).body, blob.bytes[1_000_000..1_000_010]);
        let digest = image.digest().replace(':', "%3A");
        repo.client.get(&repo.manifest(&digest)).await.status(200);
        repo.client.get(&format!("{}?n=1&last=%61", repo.path("tags/list"))).await.status(200);
    }
}

#[tokio::test]
async fn howto_nginx_in_front() {
    let Some(nginx) = find("nginx") else { return skipped("howto_nginx_in_front", "needs nginx") };
    let (dir, proxy, authority) = (TempDir::new().expect("a directory"), free_address(), Authority::new());
    let (certificate, key) = authority.write_certificate(dir.path());
    let (gantry, page) = start(Page::read("reverse-proxy"), dir.path(), proxy).await;
    let page = page
        .with("listen 443", &format!("listen {proxy}"))
        .with("/etc/nginx/tls.crt", certificate.to_str().expect("a path"))
        .with("/etc/nginx/tls.key", key.to_str().expect("a path"));
    let server = page.blocks("nginx").concat();
    let place = dir.path().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
        .collect();
    let file = dir.path().join("nginx.conf");
    let text = format!(
        "daemon off;\nmaster_process off;\npid {place}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{server}}}\n"
    );
    std::fs::write(&file, text).expect("written");
    let mut command = Command::new(nginx);
    command.args(["-e", "stderr", "-p"]).arg(dir.path()).arg("-c").arg(&file);
    let _nginx = Daemon::start(&mut command, &[proxy], &dir.path().join("log"));
    goes_through(&gantry, &page, proxy, &authority, dir.path()).await;
    let kept = std::fs::read_dir(dir.path().join("client_body")).expect("its directory").count()
        + std::fs::read_dir(dir.path().join("proxy")).expect("its directory").count();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn howto_caddy_in_front() {
    let Some(caddy) = find("caddy") else { return skipped("howto_caddy_in_front", "needs caddy") };
    let (dir, proxy, authority) = (TempDir::new().expect("a directory"), free_address(), Authority::new());
    let (certificate, key) = authority.write_certificate(dir.path());
    let (gantry, page) = start(Page::read("reverse-proxy"), dir.path(), proxy).await;
    let site = format!("https://{proxy} {{\n    tls {} {}", certificate.display(), key.display());
    let text = page.blocks("caddy").concat().replace("registry.example.com {", &site);
    let file = dir.path().join("Caddyfile");
    std::fs::write(&file, format!("{{\n    admin off\n    auto_https disable_redirects\n}}\n{text}"))
        .expect("written");
    let mut command = Command::new(caddy);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
    for variable in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(variable, dir.path());
    }
    let _caddy = Daemon::start(&mut command, &[proxy], &dir.path().join("log"));
    goes_through(&gantry, &page, proxy, &authority, dir.path()).await;
}
