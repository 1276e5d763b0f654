//! docs/how-to/github-actions.md, gitlab-ci.md and kubernetes.md: an issuer on this machine stands for theirs, with tokens as they make
//! them, and the commands of the jobs are run as the pages have them.

use serde_json::{Value, json};

use super::howto::{Desk, REGISTRY};
use crate::harness::Gantry;
use crate::harness::issuer::{Issuer, Key, now};
use crate::harness::page::Page;

/// Lines of a job in YAML: what stands behind `run:`, below `run: |`, or in the list below `script:`.
fn scripts(yaml: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let (mut commands, mut below) = (String::new(), None);
    for line in yaml.lines() {
        let text = line.trim_start();
        if below.is_some_and(|depth| indent(line) <= depth) {
            below = None;
        }
        match (below, text.strip_prefix("run: ")) {
            (Some(_), _) => commands.push_str(&format!("{}\n", text.strip_prefix("- ").unwrap_or(text))),
            (None, Some("|")) => below = Some(indent(line)),
            (None, Some(command)) => commands.push_str(&format!("{command}\n")),
            (None, None) if text == "script:" => below = Some(indent(line)),
            (None, None) => {}
        }
    }
    assert!(commands.contains("docker login") && commands.contains("docker push"), "{commands}");
    commands
        .lines()
        .filter(|line| !line.starts_with("docker build"))
        .fold(String::new(), |all, line| all + line + "\n")
}

/// An issuer, and the page about it with its address.
async fn issuer(page: &str, theirs: &str) -> (Key, Issuer, Page) {
    let key = Key::new("provider");
    let issuer = Issuer::start(&[&key]).await;
    let page = Page::read(page).with(theirs, &issuer.url());
    (key, issuer, page)
}

/// A token with these claims beside those that all have. The header is that of GitHub, which says more than it has to.
fn token(key: &Key, issuer: &Issuer, own: &Value) -> String {
    let mut claims = json!({ "iss": issuer.url(), "aud": REGISTRY, "iat": now(), "nbf": now() - 5, "exp": now() + 300, "jti": "4a6f6220" });
    claims.as_object_mut().expect("an object").extend(own.as_object().expect("an object").clone());
    let mut header = key.header();
    header["x5t"] = "V_xmNpF-hZ2vVcUj9SKnQ0vYfHE".into();
    key.sign_with(&header, &claims)
}

/// An admin, so that grants mean something.
async fn prepare(desk: &Desk, app: &Gantry) {
    desk.run(
        app,
        "gantry user add root --admin --no-password\ngantry namespace create example --visibility private",
        &[],
    )
    .await;
}

#[tokio::test]
async fn howto_github_actions() {
    let Some(desk) = Desk::new("howto_github_actions") else { return };
    let (key, issuer, page) = issuer("github-actions", "https://token.actions.githubusercontent.com").await;
    let app = Gantry::options().file(&page.blocks("toml").concat()).start().await;
    prepare(&desk, &app).await;
    let [grant, refused] = page.blocks("sh").try_into().expect("grants, and what to ask when it is refused");
    desk.run(&app, &grant, &[]).await;
    desk.run(&app, &refused, &[]).await;
    let job = scripts(&page.blocks("yaml").concat()).replace("${{ github.sha }}", "6113728f27ae");
    for (number, (owner, repository, git_ref, pushes)) in [
        ("1234567", "example/app", "refs/heads/main", true),
        ("1234567", "example/app", "refs/tags/v1.0", true),
        ("1234567", "example/app", "refs/pull/7/merge", false),
        ("1234567", "example/other", "refs/heads/main", false),
        ("7654321", "example/app", "refs/heads/main", false),
    ]
    .into_iter()
    .enumerate()
    {
        let identity = token(
            &key,
            &issuer,
            &json!({
                "sub": format!("repo:{repository}:ref:{git_ref}"), "repository": repository, "repository_owner": "example",
                "repository_id": "74", "repository_owner_id": owner, "repository_visibility": "private", "ref": git_ref,
                "ref_type": "branch", "ref_protected": "false", "sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
                "run_id": "1538", "run_number": "20", "run_attempt": "1", "actor": "octocat", "actor_id": "12",
                "workflow": "image", "workflow_ref": format!("{repository}/.github/workflows/image.yml@{git_ref}"),
                "workflow_sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "head_ref": "", "base_ref": "",
                "job_workflow_ref": format!("{repository}/.github/workflows/image.yml@{git_ref}"),
                "job_workflow_sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "event_name": "push",
                "runner_environment": "github-hosted", "enterprise": "example", "enterprise_id": "9",
            }),
        );
        let path = format!("/request/{number}");
        // GitHub gives the token to who shows what only the job has, and for the audience that is asked for.
        let for_whom = format!("GET {path}?api-version=2.0&audience={REGISTRY} ");
        issuer.at(&path, move |head| {
            let authorised = head.to_lowercase().contains("authorization: bearer job-secret\r\n");
            (head.starts_with(&for_whom) && authorised).then(|| json!({ "count": 1234, "value": identity }))
        });
        let request = format!("{}{path}?api-version=2.0", issuer.url());
        let variables = [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", request.as_str()),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "job-secret"),
        ];
        match pushes {
            true => drop(desk.run(&app, &job, &variables).await),
            false => desk.is_refused(&app, &job, &variables).await,
        }
        // Who belongs to the organisation pulls.
        let pull = "docker pull registry.example.com/example/app:6113728f27ae";
        match owner {
            "1234567" => drop(desk.run(&app, pull, &[]).await),
            _ => desk.is_refused(&app, pull, &[]).await,
        }
        desk.run(&app, "docker logout registry.example.com", &[]).await;
    }
    let audit = desk.run(&app, "gantry audit --limit 0", &[]).await;
    let subject = format!("oidc:{}:repo:example/app:ref:refs/heads/main", issuer.url());
    assert!(audit.contains(&subject), "{audit}");
}

#[tokio::test]
async fn howto_gitlab_ci() {
    let Some(desk) = Desk::new("howto_gitlab_ci") else { return };
    let (key, issuer, page) = issuer("gitlab-ci", "https://gitlab.example.com").await;
    let app = Gantry::options().file(&page.blocks("toml").concat()).start().await;
    prepare(&desk, &app).await;
    let [grant, refused] = page.blocks("sh").try_into().expect("grants, and what to ask when it is refused");
    desk.run(&app, &grant, &[]).await;
    desk.run(&app, &refused, &[]).await;
    let job = scripts(&page.blocks("yaml").concat());
    for (namespace, project, protected, pushes) in [
        ("42", "example/app", "true", true),
        ("42", "example/app", "false", false),
        ("42", "example/other", "true", false),
        ("43", "example/app", "true", false),
    ] {
        let identity = token(
            &key,
            &issuer,
            &json!({
                "sub": format!("project_path:{project}:ref_type:branch:ref:main"), "namespace_id": namespace,
                "namespace_path": "example", "project_id": "20", "project_path": project, "user_id": "1",
                "user_login": "sample-user", "user_email": "sample-user@example.com", "user_access_level": "developer",
                "user_identities": [{ "provider": "github", "extern_uid": "2435223452345" }], "pipeline_id": "574",
                "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch",
                "ref_path": "refs/heads/main", "ref_protected": protected, "groups_direct": ["example", "another/group"],
                "environment": "test-environment2", "environment_protected": "false", "deployment_tier": "testing",
                "environment_action": "start", "runner_id": 1, "runner_environment": "self-hosted",
                "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "project_visibility": "public",
                "ci_config_ref_uri": format!("gitlab.example.com/{project}//.gitlab-ci.yml@refs/heads/main"),
                "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
            }),
        );
        let variables = [("GANTRY_TOKEN", identity.as_str()), ("CI_COMMIT_SHORT_SHA", "714a629c")];
        match pushes {
            true => drop(desk.run(&app, &job, &variables).await),
            false => desk.is_refused(&app, &job, &variables).await,
        }
        desk.run(&app, "docker logout registry.example.com", &[]).await;
        assert!(!app.log().contains(&identity));
    }
}

#[tokio::test]
async fn howto_kubernetes() {
    let Some(desk) = Desk::new("howto_kubernetes") else { return };
    let (key, issuer, page) = issuer("kubernetes", "https://kubernetes.default.svc.cluster.local").await;
    let (keys, mounted) = (desk.dir().join("cluster.jwks.json"), desk.dir().join("token"));
    std::fs::write(&keys, json!({ "keys": [key.jwk()] }).to_string()).expect("written");
    let page = page
        .with("/etc/gantry/cluster.jwks.json", keys.to_str().expect("a path"))
        .with("< /var/run/registry/token", &format!("< {}", mounted.display()));
    let app = Gantry::options().file(&page.blocks("toml").concat()).start().await;
    prepare(&desk, &app).await;
    let [grant, alone, job, refused] = page.blocks("sh").try_into().expect("the page's commands");
    for block in [&grant, &alone, &refused] {
        desk.run(&app, block, &[]).await;
    }
    let service_account = |namespace: &str, name: &str| {
        token(
            &key,
            &issuer,
            &json!({
                "aud": [REGISTRY], "sub": format!("system:serviceaccount:{namespace}:{name}"),
                "kubernetes.io": {
                    "namespace": namespace, "node": { "name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1" },
                    "pod": { "name": "build", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3" },
                    "serviceaccount": { "name": name, "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798" },
                },
            }),
        )
    };
    for (namespace, name, pushes) in
        [("build", "builder", true), ("build", "default", false), ("production", "builder", false)]
    {
        std::fs::write(&mounted, service_account(namespace, name)).expect("written");
        match pushes {
            true => drop(desk.run(&app, &job, &[]).await),
            false => desk.is_refused(&app, &job, &[]).await,
        }
        desk.run(&app, "docker logout registry.example.com", &[]).await;
    }

    // As the kubelet asks a credential provider, and uses what it says.
    let provider = page.blocks("provider").concat();
    let said = |namespace: &str| {
        let request = json!({
            "kind": "CredentialProviderRequest", "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "image": format!("{REGISTRY}/example/app:v1"), "serviceAccountToken": service_account(namespace, "default"),
        });
        let file = desk.dir().join("request.json");
        std::fs::write(file, request.to_string()).expect("written");
        let script = desk.dir().join("provider");
        std::fs::write(&script, &provider).expect("written");
        crate::harness::page::shell("sh ./provider < request.json", desk.dir(), &[])
    };
    for (namespace, status) in [("production", &[200][..]), ("other", &[401, 403, 404])] {
        let (good, text) = said(namespace);
        assert!(good, "{text}");
        let response: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(response["kind"], "CredentialProviderResponse");
        let credentials = &response["auth"][REGISTRY];
        let text = |name: &str| credentials[name].as_str().expect("text");
        let kubelet = app.client().basic(text("username"), text("password"));
        kubelet.get("/v2/example/app/manifests/v1").await.status_in(status);
    }
    assert_eq!(issuer.asked(), 0, "the keys are in the file");
}
