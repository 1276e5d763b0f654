//! docs/tokens.md: what it configures is what the program takes, and tokens as GitHub, GitLab and Kubernetes make them give the
//! groups that it says. An issuer on this machine stands for theirs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::Gantry;
use crate::harness::issuer::{Issuer, Key, now};
use crate::harness::page::Page;

/// The groups that the server sees in an identity token: those that it writes into its own.
async fn groups(app: &Gantry, token: &str) -> Vec<String> {
    let answer = app.client().basic("oidc", token).get("/v2/token?service=x").await.status(200).json();
    let ours = answer["token"].as_str().expect("a token");
    let payload = URL_SAFE_NO_PAD.decode(ours.split('.').nth(1).expect("claims")).expect("base64");
    let claims: Value = serde_json::from_slice(&payload).expect("JSON");
    let groups = claims["gantry"]["g"].as_array().cloned().unwrap_or_default();
    groups.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The block of the page in which this stands.
fn block(page: &Page, with: &str) -> String {
    let mut found = page.blocks("toml").into_iter().filter(|block| block.contains(with));
    let block = found.next_back().expect("a block");
    assert!(block.contains("[[auth.oidc]]"), "{block}");
    block
}

struct Provider {
    key: Key,
    issuer: Issuer,
}

impl Provider {
    async fn start() -> Provider {
        let key = Key::new("provider");
        let issuer = Issuer::start(&[&key]).await;
        Provider { key, issuer }
    }

    fn token(&self, own: &Value) -> String {
        let mut claims = json!({
            "iss": self.issuer.url(), "aud": "registry.example.com", "iat": now(), "nbf": now(), "exp": now() + 300,
        });
        let all = claims.as_object_mut().expect("an object");
        all.extend(own.as_object().expect("an object").clone());
        self.key.sign(&claims)
    }
}

#[tokio::test]
async fn howto_tokens_github() {
    let provider = Provider::start().await;
    let page =
        Page::read("../tokens").with("https://token.actions.githubusercontent.com", &provider.issuer.url());
    let app = Gantry::options().file(&block(&page, "github-push")).start().await;
    let claims = |owner: &str, repository: &str, git_ref: &str| {
        json!({
            "sub": format!("repo:{repository}:ref:{git_ref}"), "repository": repository, "ref": git_ref,
            "repository_owner_id": owner, "repository_owner": "example", "ref_type": "branch", "ref_protected": "true",
            "repository_visibility": "public", "event_name": "push", "runner_environment": "github-hosted",
            "job_workflow_ref": format!("{repository}/.github/workflows/push.yml@{git_ref}"),
        })
    };
    for (owner, repository, git_ref, expected) in [
        ("1234567", "example/app", "refs/heads/main", &["github-pull", "github-push"][..]),
        ("1234567", "example/app", "refs/tags/v1.0", &["github-pull", "github-push"]),
        ("1234567", "example/app", "refs/pull/1/merge", &["github-pull"]),
        ("1234567", "example/other", "refs/heads/main", &["github-pull"]),
        ("7654321", "example/app", "refs/heads/main", &[]),
        ("1234567", "stranger/app", "refs/heads/main", &[]),
    ] {
        let token = provider.token(&claims(owner, repository, git_ref));
        assert_eq!(groups(&app, &token).await, expected, "{owner} {repository} {git_ref}");
    }
}

#[tokio::test]
async fn howto_tokens_gitlab() {
    let provider = Provider::start().await;
    let page = Page::read("../tokens").with("https://gitlab.example.com", &provider.issuer.url());
    let app = Gantry::options().file(&block(&page, "gitlab-push")).start().await;
    for (namespace, protected, expected) in
        [("example", "true", &["gitlab-push"][..]), ("example", "false", &[]), ("example/sub", "true", &[])]
    {
        let token = provider.token(&json!({
            "sub": format!("project_path:{namespace}/app:ref_type:branch:ref:main"), "namespace_path": namespace,
            "project_path": format!("{namespace}/app"), "project_id": "22", "ref": "main", "ref_type": "branch",
            "ref_protected": protected, "user_login": "alice",
        }));
        assert_eq!(groups(&app, &token).await, expected, "{namespace} {protected}");
    }
}

#[tokio::test]
async fn howto_tokens_kubernetes() {
    let provider = Provider::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("cluster.jwks.json");
    std::fs::write(&file, json!({ "keys": [provider.key.jwk()] }).to_string()).expect("written");
    let page = Page::read("../tokens")
        .with("https://kubernetes.default.svc.cluster.local", &provider.issuer.url())
        .with("/etc/gantry/cluster.jwks.json", file.to_str().expect("a path"));
    let app = Gantry::options().file(&block(&page, "cluster-build")).start().await;
    for (namespace, expected) in [("build", &["cluster-build"][..]), ("other", &[])] {
        let claims = json!({
            "sub": format!("system:serviceaccount:{namespace}:builder"), "aud": ["registry.example.com"],
            "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": "builder", "uid": "1-2-3" } },
        });
        assert_eq!(groups(&app, &provider.token(&claims)).await, expected);
    }
    assert_eq!(provider.issuer.asked(), 0, "the keys are in the file");
}

/// All that the page configures can be configured.
#[test]
fn howto_tokens_every_example_is_taken() {
    for block in Page::read("../tokens").blocks("toml") {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("gantry.toml");
        std::fs::write(&file, &block).expect("written");
        let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_gantry"));
        let said = check.args(["config", "check", "--config"]).arg(&file).output().expect("it runs");
        assert!(said.status.success(), "{block}\n{}", String::from_utf8_lossy(&said.stderr));
    }
}
