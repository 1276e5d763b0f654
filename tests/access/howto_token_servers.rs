//! docs/how-to/external-token-server.md, in both directions: Gantry takes the tokens of a token server, and a real Distribution registry
//! takes Gantry's.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::howto::{Desk, REGISTRY};
use crate::harness::daemon::{Daemon, find, free_address};
use crate::harness::issuer::{Issuer, Key, now};
use crate::harness::page::Page;
use crate::harness::{Client, Gantry, image, skipped, types};

/// What is allowed by a token server to alice, who shows her password: everything that she asks for, below `team`.
fn token_for(head: &str, key: &Key, header: &Value) -> Option<Value> {
    let basic = format!("authorization: basic {}\r\n", STANDARD.encode("alice:open sesame").to_lowercase());
    if !head.to_lowercase().contains(&basic) {
        return None;
    }
    let query = head.split([' ', '?']).nth(2)?;
    let field = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let (name, actions) = field("scope")?.strip_prefix("repository:")?.rsplit_once(':')?;
    let actions: Vec<_> = actions.split(',').filter(|_| name.starts_with("team/")).collect();
    let claims = json!({
        "iss": "auth.example.com", "sub": "alice", "aud": field("service")?, "iat": now(), "nbf": now() - 10,
        "exp": now() + 900, "jti": "8213", "access": [{ "type": "repository", "name": name, "actions": actions }],
    });
    Some(json!({ "token": key.sign_with(header, &claims), "expires_in": 900 }))
}

#[tokio::test]
async fn howto_tokens_of_a_token_server() {
    let Some(desk) = Desk::new("howto_tokens_of_a_token_server") else { return };
    let bundle = desk.dir().join("token-server.pem");
    let page = Page::read("external-token-server");
    let try_it = page.blocks("sh").swap_remove(0);
    // Named by the key's thumbprint, as docker_auth and Distribution do now, or with the certificate in the token.
    for chained in [false, true] {
        let key = Key::new("");
        let (certificate, x5c) = key.certificate();
        std::fs::write(&bundle, certificate).expect("written");
        let header = match chained {
            true => json!({ "typ": "JWT", "alg": "ES256", "x5c": [x5c] }),
            false => json!({ "typ": "JWT", "alg": "ES256", "kid": key.thumbprint() }),
        };
        let server = Issuer::start(&[]).await;
        server.at("/token", move |head| token_for(head, &key, &header));
        let settings = page
            .blocks("toml")
            .concat()
            .replace("/etc/gantry/token-server.pem", bundle.to_str().expect("a path"))
            .replace("https://auth.example.com", &server.url());
        let app = Gantry::options().file(&settings).start().await;
        let challenge = app.client().get("/v2/").await.status(401);
        let challenge = challenge.get("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with(&format!("Bearer realm=\"{}/token\"", server.url())), "{challenge}");

        let block = try_it.replace("https://auth.example.com", &server.url());
        desk.run(&app, &block, &[("PASSWORD", "open sesame")]).await;
        assert!(!desk.try_to(&app, &block, &[("PASSWORD", "wrong")]).await.0);
        let elsewhere = block.replace("service=registry.example.com", "service=elsewhere");
        assert!(!desk.try_to(&app, &elsewhere, &[("PASSWORD", "open sesame")]).await.0);
        let pull_only = block.replace(":pull,push", ":pull");
        assert!(!desk.try_to(&app, &pull_only, &[("PASSWORD", "open sesame")]).await.0);
        let others = block.replace("team/app", "other/app");
        assert!(!desk.try_to(&app, &others, &[("PASSWORD", "open sesame")]).await.0);
        assert_eq!(app.log().matches("status=202").count(), 1, "{}", app.log());
    }
}

/// A real Distribution registry, if there is one.
fn distribution() -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools");
    let places = [tools.join("bin/registry"), tools.join("bench/bin/distribution3")];
    places.into_iter().find(|place| place.is_file()).or_else(|| find("distribution3"))
}

/// The `Authorization` of a token from Gantry.
async fn token(client: &Client, query: &str) -> String {
    let answer = client.get(&format!("/v2/token?{query}")).await.status(200).json();
    format!("Bearer {}", answer["token"].as_str().expect("a token"))
}

#[tokio::test]
async fn howto_distribution_takes_our_tokens() {
    let test = "howto_distribution_takes_our_tokens";
    let Some(desk) = Desk::new(test) else { return };
    let Some(program) = distribution() else {
        return skipped(test, "needs Distribution (scripts/tools.sh builds it)");
    };
    let address = free_address();
    let page = Page::read("external-token-server");
    let get_keys = page.blocks("sh").swap_remove(1);
    for public_url in [None, Some(format!("https://{REGISTRY}"))] {
        let mut options = Gantry::options();
        if let Some(url) = &public_url {
            options = options.set("server.public_url", &format!("{url:?}"));
        }
        let app = options.start().await;
        let people = "gantry user add root --admin --no-password
            printf 'open sesame' | gantry user add alice --password-stdin
            gantry grant add alice push team
            gantry token create --robot ci --name ci --scope 'team/**:pull' > robot";
        desk.run(&app, people, &[]).await;
        desk.run(&app, &get_keys, &[]).await;

        let own = format!("http://{}", app.address());
        let issuer = public_url.clone().unwrap_or_else(|| "gantry".to_owned());
        let text = page
            .blocks("yaml")
            .concat()
            .replace("issuer: https://registry.example.com", &format!("issuer: {issuer}"))
            .replace("https://registry.example.com/v2/token", &format!("{own}/v2/token"))
            .replace("/var/lib/registry", desk.dir().join("distribution").to_str().expect("a path"))
            .replace("/etc/distribution/jwks.json", desk.dir().join("jwks.json").to_str().expect("a path"))
            .replace("127.0.0.1:5050", &address.to_string())
            .replace("\nhttp:\n", "\nhttp:\n  relativeurls: true\n");
        let file = desk.dir().join("distribution.yml");
        std::fs::write(&file, text).expect("written");
        let mut command = Command::new(&program);
        command.arg("serve").arg(&file).env("OTEL_TRACES_EXPORTER", "none");
        let _distribution = Daemon::start(&mut command, &[address], &desk.dir().join("distribution.log"));

        let nobody = Client::new(address, None).of_another().with("accept", types::OCI_MANIFEST);
        let challenge = nobody.get("/v2/").await.status(401);
        let challenge = challenge.get("www-authenticate").expect("a challenge");
        assert_eq!(challenge, format!("Bearer realm=\"{own}/v2/token\",service=\"other.example.com\""));
        let with_token = async |client: &Client, scope: &str| {
            let query = format!("service=other.example.com&scope=repository:{scope}");
            nobody.with("authorization", &token(client, &query).await)
        };

        let alice = app.client().basic("alice", "open sesame");
        let image = image().build();
        let writer = with_token(&alice, "team/app:pull,push").await;
        writer.at("team/app").push("v1", &image).await;
        writer.get("/v2/team/app/manifests/v1").await.status(200);
        writer.get("/v2/team/other/manifests/v1").await.status(401);
        // Asked for, and not given: she has no right there, and none to delete.
        let nothing = with_token(&alice, "other/app:pull,push").await;
        nothing.post("/v2/other/app/blobs/uploads/").await.status(401);
        let deleter = with_token(&alice, "team/app:delete").await;
        deleter.delete(&format!("/v2/team/app/manifests/{}", image.digest())).await.status(401);
        // A robot that pulls.
        let robot = std::fs::read_to_string(desk.dir().join("robot")).expect("the token");
        let robot = app.client().basic("any", robot.trim());
        let reader = with_token(&robot, "team/app:pull,push").await;
        reader.get("/v2/team/app/manifests/v1").await.status(200).body(&image.manifest.bytes);
        reader.post("/v2/team/app/blobs/uploads/").await.status(401);
        // A token for Gantry itself is nothing there, and one for there is nothing here.
        let here = token(&alice, "scope=repository:team/app:pull").await;
        nobody.with("authorization", &here).get("/v2/team/app/manifests/v1").await.status(401);
        let there = token(&alice, "service=other.example.com&scope=repository:team/app:pull").await;
        app.client().with("authorization", &there).get("/v2/team/app/tags/list").await.status(401);
        // A real client finds its way: to Distribution, to Gantry for a token, and back.
        let copy = format!(
            "printf 'open sesame' | skopeo login --tls-verify=false --username alice --password-stdin {address}
            skopeo copy -q --dest-tls-verify=false oci:image docker://{address}/team/copied:v1
            skopeo inspect --raw --tls-verify=false docker://{address}/team/copied:v1"
        );
        desk.run(&app, &copy, &[]).await;
        let elsewhere =
            format!("skopeo copy -q --dest-tls-verify=false oci:image docker://{address}/other/copied:v1");
        desk.is_refused(&app, &elsewhere, &[]).await;
        std::fs::remove_dir_all(desk.dir().join("distribution")).expect("removed");
    }
}
