//! Our own tokens: what is in them, when they count, and that no forged one does.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::jwt::tests::{NOW, Signer, forgeries};
use super::super::jwt::{Algorithm, from_base64url};
use super::*;

const AUDIENCE: &str = "registry.example.com";
const ISSUER: &str = "https://registry.example.com";
const KINDS: [KeyAlgorithm; 2] = [KeyAlgorithm::Es256, KeyAlgorithm::EdDsa];

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

fn row(algorithm: KeyAlgorithm, created: i64) -> SigningKeyRow {
    generate(algorithm, at(created)).unwrap()
}

fn bearer(rows: &[SigningKeyRow]) -> Bearer {
    Bearer::new(ISSUER, Duration::from_secs(300), Keys::from_rows(rows).unwrap())
}

fn claims() -> Claims {
    let access = |name: &str, actions: &[&str]| Access {
        kind: "repository".to_owned(),
        name: name.to_owned(),
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
    };
    Claims {
        subject: "alice".to_owned(),
        audience: AUDIENCE.to_owned(),
        access: vec![access("team/app", &["pull", "push"]), access("other", &[])],
        login: Login {
            made: Some(1_795_000_000_000_000),
            elsewhere: false,
            v1: false,
            groups: vec!["devs".to_owned()],
            admin: false,
            method: "password".to_owned(),
            token: Some("17".to_owned()),
            scopes: Some(vec!["team/**:pull".parse().unwrap()]),
        },
    }
}

fn payload(token: &str) -> Value {
    serde_json::from_slice(&from_base64url(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[test]
fn a_token_says_what_it_was_made_to_say() {
    for algorithm in KINDS {
        let row = row(algorithm, NOW);
        let bearer = bearer(std::slice::from_ref(&row));
        let issued = bearer.sign(&claims(), at(NOW)).unwrap();
        let verified = bearer.verify(&issued.token, AUDIENCE, at(NOW + 1)).unwrap();
        assert_eq!(verified.claims, claims());
        assert_eq!((&verified.id, verified.issued, verified.expires), (&issued.id, NOW, NOW + 300));

        let header: Value =
            serde_json::from_slice(&from_base64url(issued.token.split('.').next().unwrap()).unwrap())
                .unwrap();
        assert_eq!(header, json!({ "typ": "JWT", "alg": algorithm.as_str(), "kid": row.kid }));
        assert_eq!(
            payload(&issued.token),
            json!({
                "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "exp": NOW + 300, "nbf": NOW, "iat": NOW, "jti": issued.id,
                "access": [
                    { "type": "repository", "name": "team/app", "actions": ["pull", "push"] },
                    { "type": "repository", "name": "other", "actions": [] },
                ],
                "gantry": { "c": 1_795_000_000_000_000_i64, "g": ["devs"], "m": "password", "t": "17", "s": ["team/**:pull"] },
            })
        );
    }
    let anonymous = Claims { audience: AUDIENCE.to_owned(), ..Claims::default() };
    let bearer = bearer(&[row(KeyAlgorithm::Es256, NOW)]);
    let issued = bearer.sign(&anonymous, at(NOW)).unwrap();
    assert_eq!(payload(&issued.token)["sub"], "");
    assert_eq!(bearer.verify(&issued.token, AUDIENCE, at(NOW)).unwrap().claims, anonymous);
}

#[test]
fn no_forged_token_counts() {
    let row = row(KeyAlgorithm::Es256, NOW);
    let bearer = bearer(std::slice::from_ref(&row));
    let signer = Signer::of(Algorithm::Es256, row.private.clone());
    assert_eq!(signer.kid(), row.kid);
    let good = bearer.sign(&claims(), at(NOW)).unwrap().token;
    let good = payload(&good);
    assert!(
        bearer.verify(&signer.sign(&good), AUDIENCE, at(NOW)).is_ok(),
        "what is forged below is good otherwise"
    );
    for (kind, token) in forgeries(&signer, &good) {
        for _ in 0..2 {
            let told = bearer.verify(&token, AUDIENCE, at(NOW));
            assert!(told.is_err(), "{kind}: {token:.200}: {told:?}");
        }
    }
    // And what only we would never write.
    let mut ours = Vec::new();
    for missing in ["sub", "nbf", "iat", "jti", "access", "gantry"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(missing);
        ours.push(signer.sign(&claims));
    }
    for (name, value) in [
        ("exp", json!(NOW + 301)),
        ("nbf", json!(NOW - 1)),
        ("aud", json!([AUDIENCE])),
        ("access", json!({})),
        ("access", json!([{ "type": "repository" }])),
        ("gantry", json!({ "a": true, "unknown": 1 })),
        ("gantry", json!("admin")),
        ("sub", json!(7)),
    ] {
        let mut claims = good.clone();
        claims[name] = value;
        ours.push(signer.sign(&claims));
    }
    let mut header = signer.header();
    header["typ"] = "at+jwt".into();
    ours.push(signer.sign_with(&header, &good));
    header.as_object_mut().unwrap().remove("typ");
    ours.push(signer.sign_with(&header, &good));
    for token in ours {
        assert!(bearer.verify(&token, AUDIENCE, at(NOW)).is_err(), "{token}");
    }
}

#[test]
fn a_token_counts_for_its_time_its_service_and_its_server() {
    let bearer = bearer(&[row(KeyAlgorithm::Es256, NOW)]);
    let token = bearer.sign(&claims(), at(NOW)).unwrap().token;
    for (now, told) in [
        (NOW, None),
        (NOW + 360, None),
        (NOW + 361, Some(TokenError::Expired)),
        (NOW + 900, Some(TokenError::Expired)),
        (NOW - 60, None),
        (NOW - 61, Some(TokenError::Early)),
        (NOW - 600, Some(TokenError::Early)),
        (i64::MIN / 1_000_000, Some(TokenError::Early)),
        (i64::MAX / 1_000_000, Some(TokenError::Expired)),
    ] {
        // Twice: the second answer comes from memory, when the first was good.
        for _ in 0..2 {
            assert_eq!(bearer.verify(&token, AUDIENCE, at(now)).err(), told, "{}", now - NOW);
        }
    }
    for other in ["", "registry.example.com:443", "REGISTRY.example.com", "elsewhere.example"] {
        assert_eq!(bearer.verify(&token, other, at(NOW)).err(), Some(TokenError::Audience));
    }
    assert!(bearer.concerns(&token));

    // Another server with the same keys.
    let rows = [row(KeyAlgorithm::Es256, NOW)];
    let (one, other) = (
        self::bearer(&rows),
        Bearer::new("other", Duration::from_secs(300), Keys::from_rows(&rows).unwrap()),
    );
    let token = one.sign(&claims(), at(NOW)).unwrap().token;
    assert_eq!(other.verify(&token, AUDIENCE, at(NOW)).err(), Some(TokenError::Issuer));
    assert!(!other.concerns(&token));
}

#[test]
fn lifetimes_are_between_one_and_five_minutes() {
    for (asked, given) in [(1, 60), (60, 60), (120, 120), (300, 300), (86_400, 300)] {
        let keys = Keys::from_rows(&[row(KeyAlgorithm::EdDsa, NOW)]).unwrap();
        let bearer = Bearer::new(ISSUER, Duration::from_secs(asked), keys);
        let issued = bearer.sign(&claims(), at(NOW)).unwrap();
        assert_eq!(issued.expires - issued.issued, given);
        assert_eq!(bearer.lifetime().as_secs() as i64, given);
    }
}

/// N-12
#[test]
fn keys_rotate_without_a_refused_token() {
    let mut old = row(KeyAlgorithm::Es256, NOW);
    let bearer = bearer(std::slice::from_ref(&old));
    let token = bearer.sign(&claims(), at(NOW + 10)).unwrap().token;
    bearer.verify(&token, AUDIENCE, at(NOW + 10)).unwrap();

    let new = row(KeyAlgorithm::EdDsa, NOW + 20);
    old.retired = Some(at(NOW + 20));
    let rows = [old.clone(), new.clone()];
    bearer.replace(Keys::from_rows(&rows).unwrap());
    assert_eq!(Keys::from_rows(&rows).unwrap().current(), Some(new.kid.as_str()));
    bearer.verify(&token, AUDIENCE, at(NOW + 310)).unwrap();
    let fresh = bearer.sign(&claims(), at(NOW + 20)).unwrap().token;
    bearer.verify(&fresh, AUDIENCE, at(NOW + 20)).unwrap();

    let kids = |now: i64| -> Vec<String> {
        let set = bearer.jwks(at(now));
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let ends = NOW + 20 + 300 + 60;
    assert_eq!(kids(ends), [new.kid.clone(), old.kid.clone()]);
    assert_eq!(kids(ends + 1), [new.kid.as_str()]);
    let keys = Keys::from_rows(&rows).unwrap();
    let ended = |now: i64| keys.ended(at(now)).collect::<Vec<_>>();
    let last = NOW + 20 + V1_LIFETIMES.end().as_secs() as i64 + 60;
    assert!(ended(ends + 1).is_empty() && ended(last).is_empty());
    assert_eq!(ended(last + 1), [old.kid.as_str()]);

    // A key that is taken away counts no more at once, also for tokens that were seen before.
    bearer.verify(&token, AUDIENCE, at(NOW + 30)).unwrap();
    bearer.replace(Keys::from_rows(std::slice::from_ref(&new)).unwrap());
    assert_eq!(bearer.verify(&token, AUDIENCE, at(NOW + 30)).err(), Some(TokenError::Key));
    bearer.verify(&fresh, AUDIENCE, at(NOW + 30)).unwrap();
}

/// V-9.2
#[test]
fn tokens_of_the_v1_api_live_longer_and_neither_api_takes_the_others() {
    let mut old = row(KeyAlgorithm::Es256, NOW);
    let bearer = bearer(std::slice::from_ref(&old));
    let hours = |count: u64| Duration::from_secs(count * 3600);
    let issued = bearer.sign_v1(claims(), hours(12), at(NOW)).unwrap();
    let ends = NOW + 12 * 3600;
    assert_eq!(issued.expires, ends);
    let verified = bearer.verify_v1(&issued.token, AUDIENCE, at(NOW)).unwrap();
    assert_eq!(verified.claims.access, claims().access);
    let v2 = bearer.sign(&claims(), at(NOW)).unwrap().token;
    for _ in 0..2 {
        assert_eq!(bearer.verify(&issued.token, AUDIENCE, at(NOW)).err(), Some(TokenError::Audience));
        let named = format!("v1:{AUDIENCE}");
        assert_eq!(bearer.verify(&issued.token, &named, at(NOW)).err(), Some(TokenError::Audience));
        assert_eq!(bearer.verify_v1(&v2, AUDIENCE, at(NOW)).err(), Some(TokenError::Audience));
        assert_eq!(bearer.verify_v1(&issued.token, "other", at(NOW)).err(), Some(TokenError::Audience));
    }
    // One of V2 for a service of that name is none either, nor one of ours that lives too long.
    let named = Claims { audience: format!("v1:{AUDIENCE}"), ..claims() };
    let named = bearer.sign(&named, at(NOW)).unwrap().token;
    assert_eq!(bearer.verify_v1(&named, AUDIENCE, at(NOW)).err(), Some(TokenError::Audience));
    let signer = Signer::of(Algorithm::Es256, old.private.clone());
    let mut forged = payload(&issued.token);
    assert!(bearer.verify_v1(&signer.sign(&forged), AUDIENCE, at(NOW)).is_ok());
    forged["exp"] = json!(ends + 1);
    assert!(bearer.verify_v1(&signer.sign(&forged), AUDIENCE, at(NOW)).is_err());

    // A rotation ends none before its time, and those of V2 not later than theirs.
    old.retired = Some(at(NOW + 1));
    let rows = [old, row(KeyAlgorithm::EdDsa, NOW + 1)];
    bearer.replace(Keys::from_rows(&rows).unwrap());
    let fresh = Bearer::new(ISSUER, Duration::from_secs(300), Keys::from_rows(&rows).unwrap());
    for bearer in [&bearer, &fresh] {
        assert!(bearer.verify_v1(&issued.token, AUDIENCE, at(ends)).is_ok());
        let told = bearer.verify_v1(&issued.token, AUDIENCE, at(ends + 1)).err();
        assert_eq!(told, Some(TokenError::Expired));
        assert!(bearer.verify(&v2, AUDIENCE, at(NOW + 361)).is_err());
    }
    for (asked, given) in [(Duration::ZERO, 1), (hours(1), 3600), (hours(100), 12 * 3600)] {
        let issued = bearer.sign_v1(claims(), asked, at(NOW)).unwrap();
        assert_eq!(issued.expires - issued.issued, given);
    }
}

#[test]
fn the_newest_key_signs_and_none_signs_nothing() {
    let (a, b) = (row(KeyAlgorithm::Es256, NOW), row(KeyAlgorithm::Es256, NOW + 1));
    for rows in [[a.clone(), b.clone()], [b.clone(), a.clone()]] {
        assert_eq!(Keys::from_rows(&rows).unwrap().current(), Some(b.kid.as_str()));
    }
    let mut retired = a;
    retired.retired = Some(at(NOW));
    assert_eq!(bearer(&[retired]).sign(&claims(), at(NOW)), Err(SignError::NoKey));
    assert_eq!(bearer(&[]).sign(&claims(), at(NOW)), Err(SignError::NoKey));
    assert_eq!(bearer(&[]).jwks(at(NOW)), json!({ "keys": [] }));
}

#[test]
fn published_keys_verify_and_hold_nothing_private() {
    for algorithm in KINDS {
        let row = row(algorithm, NOW);
        let bearer = bearer(std::slice::from_ref(&row));
        let token = bearer.sign(&claims(), at(NOW)).unwrap().token;
        let set = bearer.jwks(at(NOW));
        let key = &set["keys"][0];
        assert_eq!(
            (&key["kid"], &key["use"], &key["alg"]),
            (&json!(row.kid), &json!("sig"), &json!(algorithm.as_str()))
        );
        for private in ["d", "k", "p", "q"] {
            assert!(key.get(private).is_none(), "{key}");
        }
        // By somebody else's eyes.
        let theirs: jsonwebtoken::jwk::JwkSet = serde_json::from_value(set).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(theirs.find(&row.kid).unwrap()).unwrap();
        let mut validation = jsonwebtoken::Validation::new(algorithm.as_str().parse().unwrap());
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.validate_exp = false;
        let read = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap();
        assert_eq!(read.claims["access"][0]["name"], "team/app");
        assert!(!format!("{row:?}").contains("private"));
    }
}

#[test]
fn rows_that_are_not_what_they_say_are_refused() {
    let good = row(KeyAlgorithm::Es256, NOW);
    let error = |row: SigningKeyRow| Keys::from_rows(&[row]).err();
    assert_eq!(error(good.clone()), None);
    let name = "x".to_owned();
    assert_eq!(error(SigningKeyRow { kid: name.clone(), ..good.clone() }), Some(KeysError::Misnamed(name)));
    let broken = Some(KeysError::Broken(good.kid.clone()));
    assert_eq!(error(SigningKeyRow { algorithm: KeyAlgorithm::EdDsa, ..good.clone() }), broken);
    assert_eq!(error(SigningKeyRow { private: Vec::new(), ..good }), broken);
    assert_eq!("ES256".parse(), Ok(KeyAlgorithm::Es256));
    assert!("HS256".parse::<KeyAlgorithm>().is_err());
}

#[test]
fn what_does_not_fit_is_told_and_what_is_remembered_is_bounded() {
    let bearer = bearer(&[row(KeyAlgorithm::EdDsa, NOW)]);
    let mut large = claims();
    large.login.groups = vec!["g".repeat(100); 200];
    assert_eq!(bearer.sign(&large, at(NOW)), Err(SignError::TooLong));
    large.login.groups.truncate(90);
    for _ in 0..1000 {
        let token = bearer.sign(&large, at(NOW)).unwrap().token;
        assert!(token.len() > 12_000);
        bearer.verify(&token, AUDIENCE, at(NOW)).unwrap();
    }
    assert!(bearer.seen.bytes() <= 8 << 20);
}
