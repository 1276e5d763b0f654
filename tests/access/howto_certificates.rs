//! docs/how-to/client-certificates.md, done with the real `openssl` and `curl`.

use crate::harness::daemon::find;
use crate::harness::page::{Page, shell};
use crate::harness::tls::Authority;
use crate::harness::{Gantry, image, skipped};
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
    let (good, said) = shell(&try_it, dir.path(), &[]);
    assert!(good, "{said}");
    eventually("the request is logged", async || {
        gantry.log().contains("certificate=\"builder\"").then_some(())
    })
    .await;
    let without = try_it.replace("--cert client.cert --key client.key", "");
    assert!(!shell(&without, dir.path(), &[]).0, "nobody may do anything");

    // As clients of containers find it: a directory with these names.
    if find("skopeo").is_none() {
        return skipped("howto_client_certificates with skopeo", "needs skopeo");
    }
    let [certs, pushed, pulled] = ["certs", "pushed", "pulled"].map(|name| dir.path().join(name));
    for place in [&certs, &pushed] {
        std::fs::create_dir(place).expect("a directory");
    }
    for (from, to) in
        [("server-ca.crt", "ca.crt"), ("client.cert", "client.cert"), ("client.key", "client.key")]
    {
        std::fs::copy(dir.path().join(from), certs.join(to)).expect("a copy");
    }
    let image = image().build();
    std::fs::write(pushed.join("version"), "Directory Transport Version: 1.1\n").expect("written");
    std::fs::write(pushed.join("manifest.json"), &image.manifest.bytes).expect("written");
    for blob in &image.blobs {
        let hex = blob.digest.split_once(':').expect("a digest").1;
        std::fs::write(pushed.join(hex), &blob.bytes).expect("written");
    }
    let copy = |arguments: &str| {
        let address = gantry.address();
        let command = arguments.replace("HOST", &address.to_string());
        shell(&format!("skopeo --insecure-policy copy -q {command}"), dir.path(), &[])
    };
    let (good, said) = copy("--dest-cert-dir certs dir:pushed docker://HOST/team/app:v1");
    assert!(good, "{said}");
    let (good, said) = copy("--src-cert-dir certs docker://HOST/team/app:v1 dir:pulled");
    assert!(good, "{said}");
    assert!(pulled.join("manifest.json").is_file());
    std::fs::remove_file(certs.join("client.cert")).expect("removed");
    std::fs::remove_file(certs.join("client.key")).expect("removed");
    assert!(!copy("--src-cert-dir certs docker://HOST/team/app:v1 dir:again").0, "without it nothing");
}
