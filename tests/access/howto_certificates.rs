//! docs/how-to/client-certificates.md, done with the real `openssl` and `curl`.

use crate::harness::daemon::find;
use crate::harness::page::{Page, shell};
use crate::harness::tls::Authority;
use crate::harness::{Gantry, skipped};
use crate::ops::eventually;

#[tokio::test]
async fn howto_client_certificates() {
    if find("openssl").is_none() || find("curl").is_none() {
        return skipped("howto_client_certificates", "needs openssl and curl");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let page = Page::read("client-certificates");
    let [authority, client, try_it] = page.blocks("sh").try_into().expect("authority, client, try");
    for block in [authority, client] {
        let (good, said) = shell(&block, dir.path(), &[]);
        assert!(good, "{said}");
    }
    let server = Authority::new();
    let (certificate, key) = server.write_certificate(dir.path());
    server.write(&dir.path().join("server-ca.crt"));
    let clients = dir.path().join("clients-ca.crt");
    let settings = page
        .with("/etc/gantry/tls.crt", certificate.to_str().expect("a path"))
        .with("/etc/gantry/tls.key", key.to_str().expect("a path"))
        .with("/etc/gantry/clients-ca.crt", clients.to_str().expect("a path"))
        .blocks("toml")
        .concat();
    let gantry = Gantry::options().file(&settings).start().await;
    let try_it = try_it.replace("https://registry.example.com", &format!("https://{}", gantry.address()));
    let _ = shell(&try_it, dir.path(), &[]);
    eventually("the request is logged", async || {
        gantry.log().contains("certificate=\"builder\"").then_some(())
    })
    .await;
    let without = try_it.replace("--cert client.cert --key client.key", "");
    assert!(!shell(&without, dir.path(), &[]).0, "nobody may do anything");
}
