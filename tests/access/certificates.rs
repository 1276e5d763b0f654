//! Clients that show certificates (N-6).

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{DnType, ExtendedKeyUsagePurpose, SanType};

use crate::harness::tls::{Authority, ClientCertificate};
use crate::harness::{Gantry, Options, image};
use crate::ops::eventually;

type Change = fn(Options) -> Options;

/// A server that asks for certificates of an authority, which stands in a file.
async fn start(
    server: &Authority,
    clients: &Authority,
    demand: &str,
    change: Change,
) -> (Gantry, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let ca = clients.write(&dir.path().join("clients.pem"));
    let options = Gantry::options()
        .tls(server)
        .set("server.tls.client_ca", &format!("{ca:?}"))
        .set("server.tls.client_certificates", &format!("{demand:?}"));
    (change(options).start().await, dir)
}

/// Whether there is an answer at all, in both versions of HTTP.
async fn gets_in(gantry: &Gantry, server: &Authority, certificate: Option<&ClientCertificate>) -> bool {
    let mut answered = Vec::new();
    for client in [gantry.client(), gantry.client().http2(Some(server))] {
        let client = certificate.map_or(client.clone(), |certificate| client.showing(server, certificate));
        answered.push(client.get("/v2/").try_send().await.is_ok());
    }
    assert_eq!(answered[0], answered[1], "HTTP/1.1 and HTTP/2 differ");
    answered[0]
}

/// Certificates that are wrong: of another authority, for another purpose, too old, not yet good, signed by themselves.
fn wrong_ones(clients: &Authority) -> Vec<(&'static str, ClientCertificate)> {
    let of = |purpose: ExtendedKeyUsagePurpose| {
        clients.sign(|parameters| {
            parameters.distinguished_name.push(DnType::CommonName, "alice");
            parameters.extended_key_usages = vec![purpose];
        })
    };
    let during = |from, until| {
        clients.sign(|parameters| {
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        })
    };
    vec![
        ("another authority", Authority::new().client("alice")),
        ("for servers", of(ExtendedKeyUsagePurpose::ServerAuth)),
        ("for signing code", of(ExtendedKeyUsagePurpose::CodeSigning)),
        ("expired", during(2000, 2001)),
        ("not yet good", during(2090, 2091)),
    ]
}

#[tokio::test]
async fn a_required_certificate_is_asked_of_everybody() {
    let (server, clients) = (Authority::new(), Authority::new());
    let (gantry, _dir) = start(&server, &clients, "required", |options| options).await;
    assert!(gets_in(&gantry, &server, Some(&clients.client("alice"))).await);
    assert!(!gets_in(&gantry, &server, None).await, "none");
    for (why, certificate) in wrong_ones(&clients) {
        assert!(!gets_in(&gantry, &server, Some(&certificate)).await, "{why}");
    }
}

#[tokio::test]
async fn an_optional_certificate_may_be_missing_but_not_wrong() {
    let (server, clients) = (Authority::new(), Authority::new());
    let (gantry, _dir) = start(&server, &clients, "optional", |options| options).await;
    assert!(gets_in(&gantry, &server, Some(&clients.client("alice"))).await);
    assert!(gets_in(&gantry, &server, None).await);
    for (why, certificate) in wrong_ones(&clients) {
        assert!(!gets_in(&gantry, &server, Some(&certificate)).await, "{why}");
    }
}

/// The line of the log that tells of the request for this path.
async fn logged(gantry: &Gantry, path: &str) -> String {
    eventually("the request is logged", async || {
        gantry.log().lines().find(|line| line.contains(path)).map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn the_name_in_a_certificate_is_the_part_that_was_asked_for() {
    let (server, clients) = (Authority::new(), Authority::new());
    let certificate = clients.sign(|parameters| {
        parameters.distinguished_name.push(DnType::CommonName, "alice");
        parameters.subject_alt_names = vec![
            SanType::URI("spiffe://example.org/ci/builder".try_into().expect("an URI")),
            SanType::DnsName("builder.example.com".try_into().expect("a name")),
        ];
    });
    let by: [(Change, &str); 3] = [
        (|options| options.set("auth.client_certificates.user", "cn"), "alice"),
        (|options| options.set("auth.client_certificates.user", "san"), "builder.example.com"),
        (|options| options.set("auth.client_certificates.user", "spiffe"), "spiffe://example.org/ci/builder"),
    ];
    for (change, name) in by {
        let (gantry, _dir) = start(&server, &clients, "optional", change).await;
        gantry.client().showing(&server, &certificate).get("/v2/shown/tags/list").await;
        let line = logged(&gantry, "/v2/shown/").await;
        assert!(line.contains(&format!("certificate=\"{name}\"")), "{line}");
        gantry.client().get("/v2/bare/tags/list").await;
        assert!(!logged(&gantry, "/v2/bare/").await.contains("certificate="));
        // A name that cannot be one is nobody's, and the log says so without it.
        let odd = clients.client("odd: name");
        gantry.client().showing(&server, &odd).get("/v2/odd/tags/list").await;
        assert!(!logged(&gantry, "/v2/odd/").await.contains("certificate="));
        assert!(gantry.log().contains("names nobody") && !gantry.log().contains("odd: name"));
    }
}

/// N-6: the holder of a certificate is somebody, without a password, and may what the method or a grant says.
#[tokio::test]
async fn a_certificate_is_a_login() {
    let (server, clients) = (Authority::new(), Authority::new());
    let (gantry, _dir) = start(&server, &clients, "optional", |options| {
        options.set("auth.client_certificates.user", "cn").set("auth.client_certificates.role", "push")
    })
    .await;
    let builder = clients.client("builder");
    let repo = gantry.client().showing(&server, &builder).repo();
    repo.client.get("/v2/").await.status(200);
    let image = image().build();
    repo.push("v1", &image).await.status(201);
    repo.has_manifest("v1", &image.manifest).await;
    repo.client.delete(&repo.manifest("v1")).await.status(403).error("DENIED");
    let h2 = gantry.client().http2(Some(&server)).showing(&server, &builder);
    h2.get(&repo.manifest("v1")).await.status(200);

    gantry.client().get(&repo.manifest("v1")).await.status(401);
    let odd = gantry.client().showing(&server, &clients.client("odd name"));
    odd.get(&repo.manifest("v1")).await.status(401);
    // What is presented in a request is what counts, and if it is wrong nothing stands in for it.
    for header in ["Basic YWxpY2U6d3Jvbmc=", "Basic nonsense", "Bearer nonsense"] {
        repo.client.get(&repo.manifest("v1")).header("authorization", header).await.status(401);
    }
    for nobody in ["Basic Og==", "Bearer", "Token"] {
        repo.client.get(&repo.manifest("v1")).header("authorization", nobody).await.status(200);
    }
}

#[tokio::test]
async fn a_certificate_names_an_account_of_that_name() {
    let (server, clients) = (Authority::new(), Authority::new());
    let dir = tempfile::tempdir().expect("a directory");
    let password = dir.path().join("password");
    std::fs::write(&password, "a long enough password\n").expect("written");
    let ca = clients.write(&dir.path().join("clients.pem"));
    let gantry = Gantry::options()
        .tls(&server)
        .set("server.tls.client_ca", &format!("{ca:?}"))
        .set("server.tls.client_certificates", "optional")
        .set("auth.client_certificates.user", "cn")
        .variable("GANTRY_ADMIN_PASSWORD_FILE", password.to_str().expect("a path"))
        .start()
        .await;
    let admin = gantry.client().showing(&server, &clients.client("admin")).repo();
    let image = image().build();
    admin.push("v1", &image).await.status(201);
    let stranger = gantry.client().showing(&server, &clients.client("stranger"));
    stranger.get("/v2/").await.status(200);
    stranger.get(&admin.manifest("v1")).await.status_in(&[403, 404]);
    // Names have a case.
    let shouting = gantry.client().showing(&server, &clients.client("ADMIN"));
    shouting.get(&admin.manifest("v1")).await.status_in(&[403, 404]);
}

/// Browsers show certificates whoever makes them ask, so a page of another site could act in its visitor's name.
#[tokio::test]
async fn a_certificate_makes_no_change_for_another_site() {
    let (server, clients) = (Authority::new(), Authority::new());
    let dir = tempfile::tempdir().expect("a directory");
    let password = dir.path().join("password");
    std::fs::write(&password, "a long enough password\n").expect("written");
    let ca = clients.write(&dir.path().join("clients.pem"));
    let gantry = Gantry::options()
        .tls(&server)
        .set("server.tls.client_ca", &format!("{ca:?}"))
        .set("server.tls.client_certificates", "optional")
        .set("auth.client_certificates.user", "cn")
        .variable("GANTRY_ADMIN_PASSWORD_FILE", password.to_str().expect("a path"))
        .start()
        .await;
    let by_certificate = gantry.client().showing(&server, &clients.client("admin"));
    let by_password = gantry.client().basic("admin", "a long enough password");
    for admin in [by_certificate, by_password] {
        let rotate = || admin.post("/api/keys/rotate");
        rotate().header("origin", "https://evil.example").await.status(403);
        rotate().header("sec-fetch-site", "cross-site").await.status(403);
        rotate().header("sec-fetch-site", "same-origin").await.status_in(&[200, 201, 204]);
        rotate().await.status_in(&[200, 201, 204]);
    }
}

/// Behind a proxy the certificate is the proxy's: those for whom it speaks are not the proxy.
#[tokio::test]
async fn a_proxys_certificate_is_nobodys() {
    let (server, clients) = (Authority::new(), Authority::new());
    let (gantry, _dir) = start(&server, &clients, "required", |options| {
        options
            .set("auth.client_certificates.user", "cn")
            .set("auth.client_certificates.role", "admin")
            .set("server.trusted_proxies", "['127.0.0.1/32']")
    })
    .await;
    let proxy = gantry.client().showing(&server, &clients.client("proxy"));
    for client in [proxy.clone(), proxy.with("x-forwarded-for", "192.0.2.7")] {
        client.get("/v2/some/tags/list").await.status(401);
    }
}

#[tokio::test]
async fn new_authorities_of_clients_are_taken_into_use_without_a_restart() {
    let (server, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let (gantry, dir) = start(&server, &old, "required", |options| options).await;
    let (old_client, new_client) = (old.client("alice"), new.client("alice"));
    let file = dir.path().join("clients.pem");
    assert!(gets_in(&gantry, &server, Some(&old_client)).await);
    assert!(!gets_in(&gantry, &server, Some(&new_client)).await);

    // Both for a while, as one changes authorities.
    std::fs::write(&file, old.pem() + &new.pem()).expect("written");
    let with = |certificate| gantry.client().showing(&server, certificate);
    eventually("the new one is known", async || with(&new_client).get("/v2/").try_send().await.ok()).await;
    assert!(gets_in(&gantry, &server, Some(&new_client)).await);
    assert!(gets_in(&gantry, &server, Some(&old_client)).await);

    std::fs::write(&file, "nonsense").expect("written");
    eventually("the mistake is told", async || gantry.log().contains("cannot be used").then_some(())).await;
    assert!(gets_in(&gantry, &server, Some(&new_client)).await, "what was good stays in use");

    new.write(&file);
    eventually("the old one is gone", async || with(&old_client).get("/v2/").try_send().await.err()).await;
    assert!(!gets_in(&gantry, &server, Some(&old_client)).await);
    assert!(gets_in(&gantry, &server, Some(&new_client)).await);
}

/// A session that is resumed brings the certificate of its beginning along, which nobody would look at again.
#[tokio::test]
async fn a_session_with_a_certificate_is_not_resumed() {
    let Some(openssl) = crate::harness::daemon::find("openssl") else {
        crate::harness::skipped("resumption", "needs openssl");
        return;
    };
    let (server, clients) = (Authority::new(), Authority::new());
    let (gantry, dir) = start(&server, &clients, "required", |options| options).await;
    let (certificate, key) = clients.client("alice").write(dir.path());
    let ca = server.write(&dir.path().join("server-ca.pem"));
    let session = dir.path().join("session");
    let connect = |version: &str, resume: &str| {
        let mut command = Command::new(&openssl);
        command.args(["s_client", version, "-connect", &gantry.address().to_string(), "-CAfile"]).arg(&ca);
        command.arg("-cert").arg(&certificate).arg("-key").arg(&key).arg(resume).arg(&session);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("openssl runs");
        let mut input = child.stdin.take().expect("its input");
        input.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        // It ends with its input, and there must be time for an answer and for tickets.
        linger();
        drop(input);
        let output = child.wait_with_output().expect("openssl ends");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for version in ["-tls1_3", "-tls1_2"] {
        assert!(connect(version, "-sess_out").contains("HTTP/1.1 200"), "{version}");
        // Without a session there is nothing to go on with, which is as good.
        if session.exists() {
            let again = connect(version, "-sess_in");
            assert!(again.contains("HTTP/1.1 200") && !again.contains("Reused,"), "{version}: {again}");
            std::fs::remove_file(&session).expect("removed");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "openssl is talked to while nothing else happens")]
fn linger() {
    std::thread::sleep(Duration::from_millis(500));
}

#[tokio::test]
async fn authorities_that_cannot_be_used_are_named_at_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let (certificate, key) = Authority::new().write_certificate(dir.path());
    let ca = dir.path().join("clients.pem");
    std::fs::write(&ca, "nothing").expect("written");
    let data = dir.path().join("data");
    let set = |key: &str, value: &str| format!("server.tls.{key}={value}");
    let settings = [
        set("certificate", certificate.to_str().expect("a path")),
        set("key", key.to_str().expect("a path")),
        set("client_ca", ca.to_str().expect("a path")),
        set("client_certificates", "required"),
    ];
    let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().expect("a path")];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    let (status, _, err) = crate::harness::server::run(&arguments).await;
    assert_eq!(status.code(), Some(1));
    assert!(err.contains("server.tls.client_ca") && err.contains("clients.pem"), "{err}");
}
