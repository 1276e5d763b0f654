//! Bearer tokens at the door of the real program: ours, those of a token server, those of an OpenID provider, and forged ones.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::issuer::{Issuer, Key, now, unsigned};
use crate::harness::{Answer, Client, Gantry, image};
use crate::ops::eventually;

const SERVICE: &str = "registry.example.com";

/// A server that knows alice, a token server and an OpenID provider.
async fn server(token_server: &Issuer, provider: &Issuer) -> Gantry {
    let file = format!(
        r#"
        [server]
        public_url = "https://{SERVICE}"

        [[auth.issuer]]
        issuer = "token server"
        audience = "{SERVICE}"
        jwks = "{}"

        [[auth.oidc]]
        issuer = "{}"
        audience = ["elsewhere.example.com", "{SERVICE}"]
        rules = [{{ claims = {{ repository = "example/*" }}, groups = ["ci"] }}]
        "#,
        token_server.jwks(),
        provider.url(),
    );
    Gantry::options().file(&file).account("alice", "open:sesame").start().await
}

fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "sub": "build", "aud": SERVICE, "iat": now(), "nbf": now(), "exp": now() + 300, "jti": "1",
        "repository": "example/app",
        "access": [{ "type": "repository", "name": "team/app", "actions": ["pull", "push"] }],
    })
}

fn with(value: &Value, key: &str, new: impl Into<Value>) -> Value {
    let mut value = value.clone();
    value[key] = new.into();
    value
}

fn bearer(client: &Client, token: &str) -> Client {
    client.with("authorization", &format!("Bearer {token}"))
}

#[track_caller]
fn refused(answer: Answer) {
    let answer = answer.status(401).error("UNAUTHORIZED");
    let challenge = answer.get("www-authenticate").unwrap_or_default();
    assert!(challenge.contains(r#"error="invalid_token""#), "A-3: {challenge}");
}

/// N-8, A-20: what the token says is allowed, and nothing else is.
#[tokio::test]
async fn a_token_servers_tokens_allow_what_they_say() {
    let key = Key::new("one");
    let issuer = Issuer::start(&[&key]).await;
    let app = server(&issuer, &issuer).await;
    let client = bearer(&app.client(), &key.sign(&claims("token server")));
    client.get("/v2/").await.status(200);
    let image = image().build();
    let repo = client.at("team/app");
    repo.push("v1", &image).await.status(201);
    repo.has_manifest("v1", &image.manifest).await;
    client.delete(&repo.manifest("v1")).await.status(401).error("UNAUTHORIZED");
    client.get("/v2/team/other/tags/list").await.status(401).error("UNAUTHORIZED");
    client.post("/v2/team/other/blobs/uploads/").await.status(401).error("UNAUTHORIZED");

    let pull = json!([{ "type": "repository", "name": "team/app", "actions": ["pull"] }]);
    let reader = bearer(&app.client(), &key.sign(&with(&claims("token server"), "access", pull)));
    reader.get(&repo.manifest("v1")).await.status(200);
    reader.post("/v2/team/app/blobs/uploads/").await.status(401).error("UNAUTHORIZED");
    let nothing = bearer(&app.client(), &key.sign(&with(&claims("token server"), "access", Value::Null)));
    nothing.get(&repo.manifest("v1")).await.status(401).error("UNAUTHORIZED");
    // It is no login: nothing else is to be had for it.
    let token = key.sign(&claims("token server"));
    app.client().basic("any", &token).get("/v2/token?service=x").await.status(401);
}

/// N-7: an identity token is a password, a bearer token, and good for tokens of ours.
#[tokio::test]
async fn n_7_identity_tokens_are_taken_wherever_credentials_are() {
    let key = Key::new("one");
    let issuer = Issuer::start(&[&key]).await;
    let app = server(&issuer, &issuer).await;
    let token = key.sign(&claims(&issuer.url()));
    bearer(&app.client(), &token).get("/v2/").await.status(200);
    let basic = app.client().basic("oidc", &token);
    basic.get("/v2/").await.status(200);
    let answer = basic
        .get(&format!("/v2/token?service={SERVICE}&scope=repository:team/app:pull"))
        .await
        .status(200)
        .json();
    let ours = answer["token"].as_str().expect("a token");
    bearer(&app.client(), ours).get("/v2/").await.status(200);
    // A secret to keep is what they are there to avoid.
    let offline = format!("/v2/token?service={SERVICE}&offline_token=true");
    assert!(basic.get(&offline).await.status(200).json()["refresh_token"].is_null());
    let alice = app.client().basic("alice", "open:sesame");
    assert!(alice.get(&offline).await.status(200).json()["refresh_token"].is_string());
    // Nobody granted anything, whatever the token says of access.
    assert_eq!(answer["scope"], "");
    let status = bearer(&app.client(), &token).get("/v2/team/app/tags/list").await.status;
    assert!([401, 403, 404].contains(&status), "{status}");
    refused(
        bearer(&app.client(), &key.sign(&with(&claims(&issuer.url()), "aud", "elsewhere"))).get("/v2/").await,
    );
}

/// The forged kinds that can be made without our own key; `auth/` tries them all.
#[tokio::test]
async fn forged_tokens_are_nobodys() {
    let (key, stranger) = (Key::new("one"), Key::new("stranger"));
    let issuer = Issuer::start(&[&key]).await;
    let app = server(&issuer, &issuer).await;
    let anon = app.client();
    let answer =
        anon.basic("alice", "open:sesame").get(&format!("/v2/token?service={SERVICE}")).await.status(200);
    let ours = answer.json()["token"].as_str().expect("a token").to_owned();
    bearer(&anon, &ours).get("/v2/").await.status(200);
    let part = |number: usize| -> Value {
        let text = ours.split('.').nth(number).expect("a part");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
    };
    let our_jwk = anon.get("/.well-known/jwks.json").await.status(200).json()["keys"][0].clone();
    assert_eq!(our_jwk["kid"], part(0)["kid"]);

    let doors = [
        (
            claims("token server"),
            key.header(),
            key.sign(&claims("token server")),
            vec![key.pem(), key.jwk().to_string()],
        ),
        (
            claims(&issuer.url()),
            key.header(),
            key.sign(&claims(&issuer.url())),
            vec![key.pem(), key.jwk().to_string()],
        ),
        (part(1), part(0), ours.clone(), vec![our_jwk.to_string()]),
    ];
    for (claims, header, good, secrets) in doors {
        bearer(&anon, &good).get("/v2/").await.status(200);
        let mut forged = Vec::new();
        for none in ["none", "None", "nOnE"] {
            forged.push(format!("{}.", unsigned(&with(&header, "alg", none), &claims)));
        }
        for secret in secrets {
            let message = unsigned(&with(&header, "alg", "HS256"), &claims);
            let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
            let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
            forged.push(format!("{message}.{}", mac.expect("a code")));
        }
        forged.push(stranger.sign(&claims));
        forged.push(stranger.sign_with(&header, &claims));
        forged.push(stranger.sign_with(&with(&header, "jwk", stranger.jwk()), &claims));
        forged.push(stranger.sign_with(&with(&stranger.header(), "jku", issuer.jwks()), &claims));
        forged.push(stranger.sign_with(&with(&stranger.header(), "x5c", json!(["AAAA"])), &claims));
        for kid in ["../../../../dev/null", "' OR 1=1 --"] {
            forged.push(stranger.sign_with(&with(&header, "kid", kid), &claims));
        }
        let parts: Vec<&str> = good.split('.').collect();
        let changed = URL_SAFE_NO_PAD.encode(with(&claims, "sub", "admin").to_string());
        forged.push(format!("{}.{changed}.{}", parts[0], parts[2]));
        forged.push(format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([7; 64])));
        forged.push(format!("{good}.{}", parts[2]));
        for (number, token) in forged.iter().enumerate() {
            for answer in [
                bearer(&anon, token).get("/v2/").await,
                bearer(&anon, token).get("/v2/team/app/tags/list").await,
                bearer(&anon, token).post("/v2/team/app/blobs/uploads/").await,
            ] {
                assert_eq!(answer.status, 401, "{number}: {token}");
                refused(answer);
            }
            // A name each: after a few failures one waits (N-10).
            anon.basic(&format!("{}-{number}", header["kid"]), token)
                .get("/v2/")
                .await
                .status(401)
                .error("UNAUTHORIZED");
        }
    }
    for name in ["token server", &issuer.url()] {
        let good = claims(name);
        let mut late = with(&good, "exp", now() - 600);
        late["nbf"] = (now() - 900).into();
        late["iat"] = (now() - 900).into();
        let mut endless = good.clone();
        endless.as_object_mut().expect("claims").remove("exp");
        for bad in [
            late,
            endless,
            with(&good, "nbf", now() + 600),
            with(&good, "aud", "elsewhere.example"),
            with(&good, "iss", "elsewhere"),
        ] {
            refused(bearer(&anon, &key.sign(&bad)).get("/v2/").await);
        }
        for off in [with(&good, "exp", now() - 30), with(&good, "nbf", now() + 55)] {
            bearer(&anon, &key.sign(&off)).get("/v2/").await.status(200);
        }
    }
    let log = app.log();
    assert!(!log.contains(&ours) && !log.contains(ours.rsplit('.').next().expect("a signature")), "{log}");
}

/// N-8: a new key within ten seconds, and not a question for every token.
#[tokio::test]
async fn n_8_new_keys_are_found_and_unknown_ones_cost_little() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let app = server(&issuer, &issuer).await;
    let anon = app.client();
    bearer(&anon, &old.sign(&claims("token server"))).get("/v2/").await.status(200);
    for number in 0..50 {
        let unknown =
            old.sign_with(&with(&old.header(), "kid", format!("unknown-{number}")), &claims("token server"));
        refused(bearer(&anon, &unknown).get("/v2/").await);
    }
    assert!(issuer.asked() <= 3, "{}", issuer.asked());
    issuer.publish(&[&old, &new]);
    let client = bearer(&anon, &new.sign(&claims("token server")));
    eventually("the new key counts", async || (client.get("/v2/").await.status == 200).then_some(())).await;
}

/// A token server that hangs is told as such, and holds up nobody else.
#[tokio::test]
async fn an_issuer_that_hangs_is_503_and_others_go_on() {
    let key = Key::new("one");
    let (hanging, good) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    hanging.fall_silent();
    let app = server(&hanging, &good).await;
    let anon = app.client();
    let waits = {
        let client = bearer(&anon, &key.sign(&claims("token server")));
        tokio::spawn(async move { client.get("/v2/").await })
    };
    anon.basic("alice", "open:sesame").get("/v2/").await.status(200);
    bearer(&anon, &key.sign(&claims(&good.url()))).get("/v2/").await.status(200);
    let answer = waits.await.expect("an answer").status(503);
    assert!(answer.get("retry-after").is_some());
}

/// N-8: what a token server allows is in its own token alone, until that ends: it buys no token of ours that grants count for, and
/// no refresh token, in whatever field it stands.
#[tokio::test]
async fn n_8_a_token_servers_token_buys_no_other() {
    let (key, other) = (Key::new("one"), Key::new("two"));
    let (token_server, provider) = (Issuer::start(&[&key]).await, Issuer::start(&[&other]).await);
    let app = server(&token_server, &provider).await;
    app.grant("issuer:token server:build", "push", "elsewhere").await;
    let token = key.sign(&claims("token server"));
    let client = app.client();
    bearer(&client, &token).get("/v2/team/app/tags/list").await.status(404);
    let scope = "repository:elsewhere/app:pull,push";
    for buyer in [bearer(&client, &token), client.basic("build", &token)] {
        buyer.ask_token(&[scope]).await.status(401);
        buyer.get("/v2/token?offline_token=true").await.status(401);
    }
    let form = [
        ("grant_type", "password"),
        ("username", "build"),
        ("password", token.as_str()),
        ("access_type", "offline"),
        ("scope", scope),
    ];
    client.post_token(&form).await.status(401).error("UNAUTHORIZED");
    let body = json!({ "user": "build", "password": token });
    client.post("/api/session").json(&body).await.status(401);
}

/// The realm is where the token server is, when that is not this one.
#[tokio::test]
async fn the_realm_can_be_somebody_elses() {
    let key = Key::new("one");
    let issuer = Issuer::start(&[&key]).await;
    let file = format!(
        "[auth]\nrealm = \"https://auth.example.com/token\"\n\
         [[auth.issuer]]\nissuer = \"token server\"\naudience = \"{SERVICE}\"\njwks = \"{}\"\n",
        issuer.jwks()
    );
    let app = Gantry::options().file(&file).start().await;
    let answer = app.client().get("/v2/").await.status(401);
    let challenge = answer.get("www-authenticate").unwrap_or_default();
    assert!(
        challenge.starts_with("Bearer realm=\"https://auth.example.com/token\",service=\"127.0.0.1:"),
        "{challenge}"
    );
}
