//! docs/how-to/accounts.md and docs/how-to/tokens.md, typed as they are written.

use super::howto::Desk;
use crate::harness::Gantry;
use crate::harness::page::Page;

const PASSWORD: [(&str, &str); 2] =
    [("PASSWORD", "correct: horse \"ü\""), ("NEW_PASSWORD", "battery staple $HOME")];

#[tokio::test]
async fn howto_accounts() {
    let Some(desk) = Desk::new("howto_accounts") else { return };
    let page = Page::read("accounts");
    let app = Gantry::options().file(&page.blocks("toml").concat()).start().await;
    let [first, people, namespaces, public, explain, audit, try_it, disable, leave, keys] =
        page.blocks("sh").try_into().expect("the page's commands");
    let run = async |block: &str| desk.run(&app, block, &PASSWORD).await;

    run(&first).await;
    run(&people).await;
    run(&namespaces).await;
    run(&public).await;
    let said = run(&explain).await;
    assert!(said.contains("team"), "{said}");
    let (good, said) = desk.try_to(&app, "gantry explain dave push team/app-web:v1", &[]).await;
    assert!(!good && said.contains("dave"), "{said}");
    assert!(run(&audit).await.contains("carol"));

    desk.is_refused(&app, "docker push registry.example.com/team/app:v1", &[]).await;
    run(&try_it.replace("docker logout registry.example.com", "")).await;
    run("docker push registry.example.com/public/tool:v1").await;
    run("docker logout registry.example.com").await;
    let anon = app.client();
    anon.get("/v2/public/tool/manifests/v1").await.status(200);
    anon.get("/v2/team/app/manifests/v1").await.status(401);
    let as_bob = |password: &str| anon.basic("bob", password);
    as_bob(PASSWORD[0].1).get("/v2/team/app/manifests/v1").await.status(200);
    let dave = anon.basic("dave", PASSWORD[0].1);
    dave.post("/v2/team/app-web/blobs/uploads/").await.status_in(&[401, 403]);

    let service = app.address();
    let target = format!("/v2/token?service={service}&scope=repository:team/app:pull");
    let ours = as_bob(PASSWORD[0].1).get(&target).await.status(200).json();
    let bearer = anon.with("authorization", &format!("Bearer {}", ours["token"].as_str().expect("a token")));
    bearer.get("/v2/team/app/manifests/v1").await.status(200);
    let before = run("gantry key list").await;
    let after = run(&keys).await;
    assert!(after.lines().count() > before.lines().count(), "{before}{after}");
    bearer.get("/v2/team/app/manifests/v1").await.status(200);

    run(&disable).await;
    as_bob(PASSWORD[0].1).get("/v2/").await.status(401);
    run(&leave).await;
    as_bob(PASSWORD[0].1).get("/v2/").await.status(401);
    as_bob(PASSWORD[1].1).get("/v2/").await.status(200);
    as_bob(PASSWORD[1].1).delete("/v2/team/app/manifests/latest").await.status(404);
    dave.get("/v2/").await.status(401);
    anon.basic("carol", PASSWORD[0].1).get("/v2/team/app/manifests/v1").await.status(200);
    let log = app.log();
    assert!(PASSWORD.iter().all(|(_, password)| !log.contains(password)), "{log}");
}

#[tokio::test]
async fn howto_personal_and_robot_tokens() {
    let Some(desk) = Desk::new("howto_personal_and_robot_tokens") else { return };
    let app = Gantry::start().await;
    let prepare = "gantry user add root --admin --no-password
        gantry user add bob --no-password
        gantry namespace create team --visibility private
        gantry grant add bob push team";
    desk.run(&app, prepare, &[]).await;
    let [personal, narrow, robot, job, list, revoke] =
        Page::read("tokens").blocks("sh").try_into().expect("the page's commands");
    let push = "docker push registry.example.com/team/app:v9";
    desk.is_refused(&app, push, &[]).await;
    desk.run(&app, &personal, &[]).await;
    desk.run(&app, &narrow, &[]).await;
    desk.is_refused(&app, push, &[]).await;

    desk.run(&app, &robot, &[]).await;
    let secret = std::fs::read_to_string(desk.dir().join("ci-token")).expect("the token");
    let secret = secret.trim();
    assert!(secret.starts_with("gty_"));
    desk.run(&app, &job, &[("GANTRY_TOKEN", secret)]).await;
    desk.is_refused(&app, push, &[]).await;
    let listed = desk.run(&app, &list, &[]).await;
    assert!(
        listed.contains("reader") && listed.contains("ci of team") && !listed.contains(secret),
        "{listed}"
    );
    let ci = app.client().basic("ci", secret);
    ci.get("/v2/team/app/manifests/v2").await.status(200);
    ci.get("/v2/other/app/manifests/v2").await.status_in(&[401, 403, 404]);
    desk.run(&app, &revoke, &[]).await;
    ci.get("/v2/team/app/manifests/v2").await.status(401);
    assert!(!app.log().contains(secret));
}
