//! N-13: refresh tokens, and what ends them.

use serde_json::json;

use crate::harness::access::{claims, granted};
use crate::harness::{Answer, Client, Gantry};

async fn with_alice() -> (Gantry, Client) {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "push", "team").await;
    (app, alice)
}

async fn refresh(client: &Client, token: &str) -> Answer {
    client
        .post_token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("scope", "repository:team/a:pull,push"),
        ])
        .await
}

/// it buys tokens, at the token server alone, for its service alone, and never more than its subject may now.
#[tokio::test]
async fn a_15_a_refresh_token_buys_tokens_and_opens_nothing() {
    let (app, alice) = with_alice().await;
    let token = alice.refresh_token().await;
    let anon = app.client();
    let bought = refresh(&anon, &token).await.status(200).json();
    let access = bought["access_token"].as_str().expect("a token");
    assert_eq!(
        (claims(access)["sub"].as_str(), granted(access)),
        (Some("alice"), vec!["team/a:pull,push".to_owned()])
    );
    assert!(bought.get("refresh_token").is_none(), "only when it is asked for");
    anon.bearer(access).post("/v2/team/a/blobs/uploads/").await.status(202);
    let again = [("grant_type", "refresh_token"), ("refresh_token", &token), ("access_type", "offline")];
    assert_eq!(anon.post_token(&again).await.status(200).json()["refresh_token"], token.as_str());
    // As anything else it is nobody's.
    for nobody in [
        anon.bearer(&token),
        anon.basic("alice", &token),
        anon.basic("<token>", &token),
        anon.basic(&token, &token),
    ] {
        nobody.get("/v2/").await.status(401);
        nobody.get("/v2/team/a/tags/list").await.status(401);
        nobody.ask_token(&[]).await.status(401);
        nobody.get("/api/whoami").await.status(401);
    }
    anon.with("cookie", &format!("gantry_session={token}")).get("/v2/").await.status(401);
    // For another service.
    let elsewhere =
        [("grant_type", "refresh_token"), ("refresh_token", token.as_str()), ("service", "other.example")];
    anon.post_token(&elsewhere).await.status(401);
    refresh(&anon.with("host", "other.example"), &token).await.status(401);
    let own = app.address().to_string();
    let named =
        [("grant_type", "refresh_token"), ("refresh_token", token.as_str()), ("service", own.as_str())];
    anon.post_token(&named).await.status(200);
    // One that is none.
    for wrong in ["x", "gtr_", &token[..token.len() - 1], &token.replace("gtr_", "gty_"), access] {
        refresh(&anon, wrong).await.status(401).error("UNAUTHORIZED");
    }
}

/// what ends in hours, the cookie of a session, does not buy what lasts for months.
#[tokio::test]
async fn a_15_a_session_buys_no_refresh_token() {
    let (app, _) = with_alice().await;
    let (cookie, _) = app.client().session("alice", "a secret 1").await;
    let browser = app.client().with("cookie", &cookie);
    let answer = browser.get("/v2/token?offline_token=true&scope=repository:team/a:pull").await;
    assert!(answer.json().get("refresh_token").is_none());
}

/// N-13: what ends it.
#[tokio::test]
async fn n_13_what_ends_refresh_tokens() {
    let (app, alice) = with_alice().await;
    let anon = app.client();
    let token = alice.refresh_token().await;
    app.change_user("alice", json!({ "password": "another 2" })).await;
    refresh(&anon, &token).await.status(401);
    let alice = app.client().basic("alice", "another 2");

    let token = alice.refresh_token().await;
    app.change_user("alice", json!({ "disabled": true })).await;
    refresh(&anon, &token).await.status(401);
    app.change_user("alice", json!({ "disabled": false })).await;

    let token = alice.refresh_token().await;
    app.operate("DELETE", "/api/users/alice/logins", serde_json::Value::Null).await;
    refresh(&anon, &token).await.status(401);

    // Of a personal token and a robot's: when that is revoked.
    for made in [app.token("alice", &["team/**:pull"]).await, app.robot("ci", &["team/**:pull"]).await] {
        let token = app.client().basic("any", &made.secret).refresh_token().await;
        let bought = refresh(&anon, &token).await.status(200).json();
        assert_eq!(
            granted(bought["token"].as_str().expect("a token")),
            ["team/a:pull"],
            "as narrow as the token"
        );
        app.revoke(&made).await;
        refresh(&anon, &token).await.status(401);
    }
    let token = alice.refresh_token().await;
    app.remove_user("alice").await;
    refresh(&anon, &token).await.status(401);
    // Whoever has the name next is somebody else.
    app.user("alice", "a secret 3").await;
    refresh(&anon, &token).await.status(401);
}

/// N-13: rights that are taken away are gone from the next token that is bought.
#[tokio::test]
async fn n_13_a_refresh_token_carries_no_rights() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    let grant = app.grant("alice", "push", "team").await;
    let token = alice.refresh_token().await;
    app.ungrant(grant).await;
    let bought = refresh(&app.client(), &token).await.status(200).json();
    assert_eq!(granted(bought["token"].as_str().expect("a token")), [""; 0]);
}

/// A refresh token does not outlive the personal token that it was bought by.
#[tokio::test]
async fn n_13_a_refresh_token_ends_with_the_token_behind_it() {
    let (app, _alice) = with_alice().await;
    for body in [
        json!({ "name": "short", "owner": "alice", "expires": "2s" }),
        json!({ "name": "short", "robot": "ci", "scopes": ["team/**:pull"], "expires": "2s" }),
    ] {
        let made = app.made(body).await;
        let holder = app.client().basic("any", &made.secret);
        let token = holder.refresh_token().await;
        refresh(&app.client(), &token).await.status(200);
        crate::ops::eventually("the token ends", async || {
            (holder.get("/v2/").await.status == 401).then_some(())
        })
        .await;
        refresh(&app.client(), &token).await.status(401);
    }
}
