//! end-1: is this a registry?

use crate::harness::{Gantry, raw};

/// E-1.1, E-1.3: without authentication everybody gets 200, `{}` and the version.
#[tokio::test]
async fn e_1_3_the_version_check_answers_an_empty_object() {
    let anon = Gantry::shared().await.client();
    anon.get("/v2/")
        .await
        .status(200)
        .header("content-type", "application/json")
        .header("content-length", "2")
        .header("docker-distribution-api-version", "registry/2.0")
        .body(b"{}");
}

/// E-1.4: HEAD answers the same, and a missing slash is forgiven.
#[tokio::test]
async fn e_1_4_head_and_the_path_without_its_slash() {
    let anon = Gantry::shared().await.client();
    anon.head("/v2/")
        .await
        .status(200)
        .header("content-type", "application/json")
        .header("content-length", "2");
    anon.get("/v2").await.status(200).body(b"{}");
    anon.head("/v2").await.status(200);
}

/// E-1.1, T50: parameters change nothing.
#[tokio::test]
async fn t50_the_version_check_takes_ns() {
    let anon = Gantry::shared().await.client();
    anon.get("/v2/?ns=docker.io").await.status(200).body(b"{}");
}

/// E-1.2: with accounts and nothing for strangers, the challenge is found here.
#[tokio::test]
async fn e_1_2_strangers_are_challenged_where_accounts_exist() {
    let gantry = Gantry::options().account("alice", "wonderland").start().await;
    let anon = gantry.client();
    let refused = anon.get("/v2/").await.status(401).error("UNAUTHORIZED");
    let challenges = refused.headers.get_all("www-authenticate").iter().count();
    assert_eq!(challenges, 1, "one challenge, since some clients read only the first");
    let host = gantry.address();
    let challenge = format!("Bearer realm=\"http://{host}/v2/token\",service=\"{host}\"");
    refused.header("www-authenticate", &challenge);
    anon.head("/v2/").await.status(401);
    anon.basic("alice", "wonderland").get("/v2/").await.status(200).body(b"{}");
    anon.basic("alice", "looking-glass").get("/v2/").await.status(401).error("UNAUTHORIZED");
}

/// E-1.4: other methods are refused in the protocol's form.
#[tokio::test]
async fn e_1_4_other_methods_are_405() {
    let anon = Gantry::shared().await.client();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        anon.call(method, "/v2/").await.status(405).error("UNSUPPORTED").header("allow", "GET, HEAD");
    }
}

/// E-1.1: HTTP/1.0 clients are answered, too.
#[tokio::test]
async fn e_1_1_http_1_0_is_answered() {
    let address = Gantry::shared().await.address();
    let answer = raw::exchange(address, "GET /v2/ HTTP/1.0\r\n\r\n").await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]), "{answer:?}");
}
