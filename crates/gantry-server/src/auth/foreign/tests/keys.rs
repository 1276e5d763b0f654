//! Where keys come from: files, addresses, discovery; what is kept of them, and how often is looked.

use super::*;

/// As in real life, a hundred times as fast.
const QUICK: Pace = Pace {
    between: Duration::from_millis(200),
    fresh: Duration::from_millis(400),
    kept: Duration::from_secs(3600),
};

fn quick(settings: &OidcSettings, url: &str, pace: Pace) -> Foreign {
    let origin = Origin::Url(Fetcher::new(None).unwrap(), url.to_owned());
    let source = Source::with_pace(&settings.issuer, origin, pace);
    Foreign { issuers: Vec::new(), oidc: vec![Oidc::with_source(settings, source)] }
}

fn unavailable(told: &ForeignError) -> bool {
    matches!(told, ForeignError::Unavailable { .. })
}

#[tokio::test]
async fn keys_are_found_where_the_provider_says() {
    let web = Web::start().await;
    let signer = Signer::new(Algorithm::Rs256);
    let name = web.url("/realms/one");
    web.has_keys("/keys", &[&signer]);
    let place = "/realms/one/.well-known/openid-configuration";
    let document = |issuer: &str, keys: &str| {
        Answer::Document(json!({ "issuer": issuer, "jwks_uri": keys, "more": {} }).to_string().into_bytes())
    };
    let token = signer.sign(&claims(&name));
    for (answer, good) in [
        (document(&name, &web.url("/keys")), true),
        (document(&web.url("/realms/two"), &web.url("/keys")), false),
        (document(&format!("{name}/"), &web.url("/keys")), false),
        (document(&name, "http://keys.example/keys"), false),
        (document(&name, "file:///etc/passwd"), false),
        (document(&name, &web.url("/none")), false),
        (Answer::Document(b"{}".to_vec()), false),
        (Answer::Document(b"<html>".to_vec()), false),
        (Answer::Status(500), false),
        (Answer::Redirect(web.url("/moved")), true),
        (Answer::Redirect("http://localhost:1/moved".to_owned()), false),
        (Answer::Redirect("https://127.0.0.1:1/moved".to_owned()), false),
        (Answer::Redirect(web.url(place)), false),
    ] {
        web.says(place, answer);
        web.says("/moved", document(&name, &web.url("/keys")));
        let foreign = foreign(&[], &[oidc(&name)]);
        let told = foreign.identify(&token, now()).await;
        match good {
            true => assert_eq!(told.unwrap().subject, format!("oidc:{name}:somebody")),
            false => assert!(unavailable(&told.unwrap_err())),
        }
    }
}

#[tokio::test]
async fn documents_are_bounded() {
    let web = Web::start().await;
    let signer = Signer::new(Algorithm::Es256);
    let token = signer.sign(&claims("https://ci.example"));
    let mut large = key_set(&[&signer]);
    large.resize(2 << 20, b' ');
    for answer in [Answer::Endless, Answer::Document(large)] {
        web.says("/keys", answer);
        let foreign =
            foreign(&[], &[OidcSettings { jwks: Some(web.url("/keys")), ..oidc("https://ci.example") }]);
        assert!(unavailable(&refusal(&foreign, &token).await));
    }
    for nothing in [
        &b""[..],
        b"{}",
        b"[]",
        br#"{"keys":[]}"#,
        br#"{"keys":[{"kty":"oct","k":"AA"}]}"#,
        br#"{"keys":{}}"#,
    ] {
        web.says("/keys", Answer::Document(nothing.to_vec()));
        let foreign =
            foreign(&[], &[OidcSettings { jwks: Some(web.url("/keys")), ..oidc("https://ci.example") }]);
        assert!(unavailable(&refusal(&foreign, &token).await));
    }
    // What we cannot use does not spoil the rest.
    let mut keys: Value = serde_json::from_slice(&key_set(&[&signer])).unwrap();
    for odd in [json!({ "kty": "oct", "k": "AA" }), json!({ "kty": "new" }), json!(1), json!({ "kty": 1 })] {
        keys["keys"].as_array_mut().unwrap().insert(0, odd);
    }
    web.says("/keys", Answer::Document(keys.to_string().into_bytes()));
    let foreign =
        foreign(&[], &[OidcSettings { jwks: Some(web.url("/keys")), ..oidc("https://ci.example") }]);
    foreign.identify(&token, now()).await.unwrap();
}

#[tokio::test]
async fn a_new_key_is_found_and_a_withdrawn_one_counts_no_more() {
    let web = Web::start().await;
    let (old, new) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::Es256));
    let settings = oidc("https://ci.example");
    let foreign = quick(&settings, &web.url("/keys"), QUICK);
    let (old_token, new_token) = (old.sign(&claims(&settings.issuer)), new.sign(&claims(&settings.issuer)));
    web.has_keys("/keys", &[&old]);
    foreign.identify(&old_token, now()).await.unwrap();

    web.has_keys("/keys", &[&old, &new]);
    let began = Instant::now();
    while foreign.identify(&new_token, now()).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "never found");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    foreign.identify(&old_token, now()).await.unwrap();

    web.has_keys("/keys", &[&new]);
    let began = Instant::now();
    while foreign.identify(&old_token, now()).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "never forgotten");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    foreign.identify(&new_token, now()).await.unwrap();

    // After a pause it is the first token that makes us look, and not the second.
    web.has_keys("/keys", &[&old]);
    tokio::time::sleep(QUICK.fresh * 3).await;
    assert_eq!(refusal(&foreign, &new_token).await, ForeignError::BadToken(TokenError::Key));
}

#[tokio::test]
async fn unknown_keys_do_not_make_us_ask_for_each() {
    let web = Web::start().await;
    let signer = Signer::new(Algorithm::Es256);
    web.has_keys("/keys", &[&signer]);
    let foreign = Arc::new(foreign(
        &[],
        &[OidcSettings { jwks: Some(web.url("/keys")), ..oidc("https://ci.example") }],
    ));
    let good = claims("https://ci.example");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let mut header = signer.header();
        header["kid"] = format!("unknown-{number}").into();
        let (foreign, token) = (Arc::clone(&foreign), signer.sign_with(&header, &good));
        tasks.spawn(async move { refusal(&foreign, &token).await });
    }
    while let Some(told) = tasks.join_next().await {
        assert_eq!(told.unwrap(), ForeignError::BadToken(TokenError::Key));
    }
    foreign.identify(&signer.sign(&good), now()).await.unwrap();
    assert_eq!(web.asked(), 1, "one look for all of them");
}

#[tokio::test]
async fn an_issuer_that_is_silent_holds_up_nobody_else_and_is_told() {
    let (silent, web) = (Web::start().await, Web::start().await);
    let signer = Signer::new(Algorithm::Es256);
    silent.says("/keys", Answer::Silence);
    web.has_keys("/keys", &[&signer]);
    let foreign = Arc::new(foreign(
        &[issuer("silent.example", &silent.url("/keys")), issuer("auth.example", &web.url("/keys"))],
        &[],
    ));
    let waits: Vec<_> = (0..5)
        .map(|_| {
            let (foreign, token) = (Arc::clone(&foreign), signer.sign(&claims("silent.example")));
            tokio::spawn(async move { refusal(&foreign, &token).await })
        })
        .collect();
    while silent.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    foreign.identify(&signer.sign(&claims("auth.example")), now()).await.unwrap();
    assert!(waits.iter().all(|wait| !wait.is_finished()), "the other one did not wait for these");
    for wait in waits {
        let told = wait.await.unwrap();
        assert_eq!(told, ForeignError::Unavailable { issuer: "silent.example".into() });
        assert!(told.to_string().contains("silent.example"));
    }
    assert_eq!(silent.asked(), 1);
    // And at once while it was asked just now.
    assert!(unavailable(&refusal(&foreign, &signer.sign(&claims("silent.example"))).await));
    assert_eq!(silent.asked(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_end_the_look_of_others() {
    let web = Web::start().await;
    let signer = Signer::new(Algorithm::Es256);
    web.has_keys("/keys", &[&signer]);
    let foreign =
        foreign(&[], &[OidcSettings { jwks: Some(web.url("/keys")), ..oidc("https://ci.example") }]);
    let token = signer.sign(&claims("https://ci.example"));
    {
        // Begins the look, and is gone before there is an answer.
        let first = foreign.identify(&token, now());
        tokio::pin!(first);
        let begun = std::future::poll_fn(|context| {
            std::task::Poll::Ready(Future::poll(first.as_mut(), context).is_pending())
        });
        assert!(begun.await);
    }
    foreign.identify(&token, now()).await.unwrap();
    assert_eq!(web.asked(), 1);
}

#[tokio::test]
async fn keys_outlive_their_issuer_for_a_while() {
    let web = Web::start().await;
    let signer = Signer::new(Algorithm::Es256);
    web.has_keys("/keys", &[&signer]);
    let settings = oidc("https://ci.example");
    let kept = Duration::from_millis(2500);
    let foreign = quick(&settings, &web.url("/keys"), Pace { kept, ..QUICK });
    let token = signer.sign(&claims(&settings.issuer));
    let read = Instant::now();
    foreign.identify(&token, now()).await.unwrap();
    web.says("/keys", Answer::Status(503));
    let unknown = Signer::new(Algorithm::Es256).sign(&claims(&settings.issuer));
    let mut told = foreign.identify(&token, now()).await;
    while told.is_ok() {
        assert!(read.elapsed() < Duration::from_secs(20), "kept for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
        told = foreign.identify(&token, now()).await;
    }
    assert!(read.elapsed() > kept, "not kept");
    assert!(unavailable(&told.unwrap_err()));
    // Nobody can say whether that is a new key of theirs.
    assert!(unavailable(&refusal(&foreign, &unknown).await));
    web.has_keys("/keys", &[&signer]);
    while foreign.identify(&token, now()).await.is_err() {
        assert!(read.elapsed() < Duration::from_secs(30), "never back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn keys_in_a_file_are_read_again_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let (old, new) = (Signer::new(Algorithm::EdDsa), Signer::new(Algorithm::Es384));
    std::fs::write(&path, key_set(&[&old])).unwrap();
    let settings = issuer("auth.example", path.to_str().unwrap());
    let foreign = foreign(std::slice::from_ref(&settings), &[]);
    foreign.identify(&old.sign(&claims("auth.example")), now()).await.unwrap();
    // Gone or broken, what was read stays in force.
    std::fs::remove_file(&path).unwrap();
    foreign.identify(&old.sign(&claims("auth.example")), now()).await.unwrap();
    std::fs::write(&path, "nonsense").unwrap();
    foreign.identify(&old.sign(&claims("auth.example")), now()).await.unwrap();
    std::fs::write(&path, key_set(&[&new])).unwrap();
    let began = Instant::now();
    while foreign.identify(&new.sign(&claims("auth.example")), now()).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "never found");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    for bad in ["nonsense", "{}", ""] {
        std::fs::write(&path, bad).unwrap();
        let error = Foreign::open(std::slice::from_ref(&settings), &[]).err().unwrap().to_string();
        assert!(
            error.contains("auth.issuer.jwks")
                && error.contains("auth.example")
                && error.contains("keys.json"),
            "{error}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    assert!(Foreign::open(&[settings], &[]).is_err());
}

#[tokio::test]
async fn a_key_without_a_name_counts_when_it_is_clear_which() {
    let web = Web::start().await;
    let (one, other, rsa) =
        (Signer::new(Algorithm::Es256), Signer::new(Algorithm::Es256), Signer::new(Algorithm::Rs256));
    web.has_keys("/clear", &[&one, &rsa]);
    web.has_keys("/unclear", &[&one, &other]);
    let foreign =
        foreign(&[issuer("clear", &web.url("/clear")), issuer("unclear", &web.url("/unclear"))], &[]);
    let nameless = |signer: &Signer, name: &str| {
        let mut header = signer.header();
        header.as_object_mut().unwrap().remove("kid");
        signer.sign_with(&header, &claims(name))
    };
    foreign.identify(&nameless(&one, "clear"), now()).await.unwrap();
    foreign.identify(&nameless(&rsa, "clear"), now()).await.unwrap();
    assert_eq!(
        refusal(&foreign, &nameless(&other, "clear")).await,
        ForeignError::BadToken(TokenError::Signature)
    );
    assert_eq!(refusal(&foreign, &nameless(&one, "unclear")).await, ForeignError::BadToken(TokenError::Key));
}
