//! Tokens, refresh tokens and sessions.

use std::time::Duration;

use gantry_oci::access::{Actions, Subject, TokenScope};
use uuid::Uuid;

use super::{Meta, account, change, change_to, create, done, entry, refused, remove, subject, told};
use crate::clock::Timestamp;
use crate::meta::access::{AccountChange, Changed, Login, LoginKind, NewToken, SecretHash, Token};

pub(super) async fn run(meta: &Meta) {
    tokens_are_found_by_the_hash_of_their_secret(meta).await;
    tokens_are_paged_by_id(meta).await;
    a_token_takes_its_logins_with_it(meta).await;
    uses_of_a_token_are_noted_once_a_minute(meta).await;
    what_cannot_be_read_again_is_not_written(meta).await;
    logins_come_and_go(meta).await;
    a_login_is_over_when_its_ground_has_gone(meta).await;
    a_removed_account_leaves_nothing(meta).await;
    what_has_expired_is_removed(meta).await;
}

fn hash() -> SecretHash {
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    hash
}

/// A login that ends late.
pub(super) fn login(kind: LoginKind, of: &str) -> Login {
    Login {
        kind,
        hash: hash(),
        subject: subject(of),
        payload: String::from("{\"for\":\"whoever wrote it\"}"),
        token: None,
        created: Timestamp(1_900_000_000_000_000),
        expires: Timestamp(2_900_000_000_000_000),
    }
}

fn token(of: &str) -> NewToken {
    let token = Token {
        id: Uuid::new_v4(),
        name: String::from("laptop"),
        subject: subject(of),
        scopes: vec!["team/**:pull,push".parse().expect("a scope"), "**:pull".parse().expect("a scope")],
        created_by: Subject::operator(),
        created: Timestamp(5),
        expires: None,
        last_used: None,
    };
    NewToken { token, hash: hash() }
}

async fn make(meta: &Meta, new: &NewToken) -> Changed {
    let about = entry("token.create", &new.token.id.to_string());
    meta.create_token(new.clone(), about).await.expect("done")
}

async fn revoke(meta: &Meta, id: Uuid) -> Changed {
    meta.revoke_token(id, entry("token.revoke", &id.to_string())).await.expect("done")
}

async fn by_hash(meta: &Meta, hash: &SecretHash) -> Option<Token> {
    meta.token_by_hash(hash).await.expect("readable").map(|token| token.as_ref().clone())
}

async fn is_there(meta: &Meta, login: &Login) -> bool {
    let found = meta.login_by_hash(login.kind, &login.hash).await.expect("readable");
    if let Some(found) = &found {
        assert_eq!(**found, *login);
    }
    found.is_some()
}

async fn tokens_are_found_by_the_hash_of_their_secret(meta: &Meta) {
    assert_eq!(create(meta, account("suite-owner")).await, Changed::Done);
    let before = meta.access_generation();
    let personal = token("suite-owner");
    let mut robot = token("robot:suite-ci");
    robot.token.expires = Some(Timestamp(77));
    robot.token.scopes = Vec::new();
    for new in [&personal, &robot] {
        assert_eq!(by_hash(meta, &new.hash).await, None);
        assert_eq!(make(meta, new).await, Changed::Done);
        assert_eq!(by_hash(meta, &new.hash).await.as_ref(), Some(&new.token));
        let by_id = meta.token(new.token.id).await.expect("readable").expect("there");
        assert_eq!(*by_id, new.token);
    }
    assert!(meta.access_generation() >= before + 2);
    assert!(meta.has_accounts().await.expect("readable"));
    let again = NewToken { hash: hash(), ..personal.clone() };
    assert_eq!(make(meta, &again).await, Changed::Exists, "the id is another's");
    let mut again = token("suite-owner");
    again.hash = personal.hash;
    assert_eq!(make(meta, &again).await, Changed::Exists, "the secret is another's");
    for nobody in ["suite-nobody", "SUITE-owner", "group:dev", "anonymous", "ldap:suite-owner"] {
        let new = token(nobody);
        assert_eq!(make(meta, &new).await, Changed::Unknown, "{nobody}");
        assert_eq!(by_hash(meta, &new.hash).await, None);
        assert_eq!(told(meta, "token.create", &new.token.id.to_string()).await, [refused("unknown")]);
    }
    assert_eq!(told(meta, "token.create", &robot.token.id.to_string()).await, [done()]);

    let before = meta.access_generation();
    assert_eq!(revoke(meta, robot.token.id).await, Changed::Done);
    assert_eq!(by_hash(meta, &robot.hash).await, None);
    assert!(meta.token(robot.token.id).await.expect("readable").is_none());
    assert_eq!(meta.access_generation(), before + 1);
    assert_eq!(revoke(meta, robot.token.id).await, Changed::Unknown);
    assert_eq!(meta.access_generation(), before + 1);
    let about = robot.token.id.to_string();
    assert_eq!(told(meta, "token.revoke", &about).await, [done(), refused("unknown")]);
}

async fn tokens_are_paged_by_id(meta: &Meta) {
    assert_eq!(create(meta, account("suite-pages")).await, Changed::Done);
    let mut ids = Vec::new();
    for _ in 0..7 {
        let new = token("suite-pages");
        assert_eq!(make(meta, &new).await, Changed::Done);
        ids.push(new.token.id);
    }
    ids.sort_unstable();
    let of = subject("suite-pages");
    let page = async |of: Option<&Subject>, after, limit| -> Vec<Uuid> {
        meta.tokens(of, after, limit).await.expect("readable").into_iter().map(|token| token.id).collect()
    };
    assert_eq!(page(Some(&of), None, 100).await, ids);
    assert_eq!(page(Some(&of), Some(ids[2]), 3).await, ids[3..6]);
    assert!(page(Some(&of), Some(ids[6]), 3).await.is_empty());
    let all = page(None, None, 1000).await;
    assert!(all.is_sorted() && all.len() > ids.len() && ids.iter().all(|id| all.contains(id)));
    assert_eq!(page(None, Some(all[0]), 2).await, all[1..3]);
}

async fn a_token_takes_its_logins_with_it(meta: &Meta) {
    let new = token("robot:suite-logins");
    assert_eq!(make(meta, &new).await, Changed::Done);
    let by_it = Login { token: Some(new.token.id), ..login(LoginKind::Refresh, "robot:suite-logins") };
    let by_password = login(LoginKind::Refresh, "robot:suite-logins");
    for login in [&by_it, &by_password] {
        meta.create_login(login.clone()).await.expect("stored");
        assert!(is_there(meta, login).await);
    }
    assert_eq!(revoke(meta, new.token.id).await, Changed::Done);
    assert!(!is_there(meta, &by_it).await);
    assert!(is_there(meta, &by_password).await);
    // It comes late: the token has gone meanwhile.
    meta.create_login(by_it.clone()).await.expect("done");
    assert!(!is_there(meta, &by_it).await);
}

async fn uses_of_a_token_are_noted_once_a_minute(meta: &Meta) {
    let new = token("robot:suite-used");
    assert_eq!(make(meta, &new).await, Changed::Done);
    let before = meta.access_generation();
    let second = 1_000_000;
    for (at, expected) in [(100, 100), (101, 100), (159, 100), (160, 160), (40, 40), (99, 40), (100, 100)] {
        meta.token_used_soon(new.token.id, Timestamp(at * second));
        meta.flush().await.expect("written");
        let used = by_hash(meta, &new.hash).await.expect("there").last_used;
        assert_eq!(
            used,
            Some(Timestamp(expected * second)),
            "used at {at} s, in whatever order clocks say so"
        );
    }
    assert_eq!(meta.access_generation(), before, "no change of what anybody may");
    meta.token_used_soon(Uuid::new_v4(), Timestamp(5));
    meta.flush().await.expect("a token that is not there hurts nobody");
}

async fn what_cannot_be_read_again_is_not_written(meta: &Meta) {
    let mut none = token("robot:suite-odd");
    none.token.scopes =
        vec![TokenScope { pattern: "team".parse().expect("a pattern"), actions: Actions::NONE }];
    let mut odd = token("robot:suite-odd");
    odd.token.created_by = Subject::ldap("two\nlines");
    for new in [none, odd] {
        let about = entry("token.create", "suite-odd");
        meta.create_token(new.clone(), about).await.expect_err("it would spoil every list that it is in");
        assert_eq!(by_hash(meta, &new.hash).await, None);
    }
    assert_eq!(told(meta, "token.create", "suite-odd").await, [], "an error of the store is no refusal");
}

async fn logins_come_and_go(meta: &Meta) {
    let of = "oidc:https://issuer.example:suite";
    let before = meta.access_generation();
    let (refresh, session, third) =
        (login(LoginKind::Refresh, of), login(LoginKind::Session, of), login(LoginKind::Session, of));
    for login in [&refresh, &session, &third] {
        assert!(!is_there(meta, login).await);
        meta.create_login(login.clone()).await.expect("stored");
        assert!(is_there(meta, login).await);
    }
    let other = Login { kind: LoginKind::Session, ..refresh.clone() };
    assert!(!is_there(meta, &other).await, "a refresh token is no session");
    meta.end_login(LoginKind::Session, &refresh.hash).await.expect("nothing");
    assert!(is_there(meta, &refresh).await);
    meta.end_login(LoginKind::Session, &session.hash).await.expect("ended");
    meta.end_login(LoginKind::Session, &session.hash).await.expect("ended already");
    assert!(!is_there(meta, &session).await);
    let end_all = async || meta.end_logins(&subject(of), entry("user.logout", of)).await.expect("done");
    assert_eq!(end_all().await, 2);
    assert_eq!(end_all().await, 0);
    assert!(!is_there(meta, &refresh).await && !is_there(meta, &third).await);
    assert_eq!(told(meta, "user.logout", of).await, [done(), done()]);
    assert_eq!(meta.access_generation(), before, "logins change nobody's rights");
}

async fn a_login_is_over_when_its_ground_has_gone(meta: &Meta) {
    let name = "suite-late";
    assert_eq!(create(meta, account(name)).await, Changed::Done);
    let after = async |change: AccountChange, created: i64| {
        assert_eq!(change_to(meta, name, change).await, Changed::Done);
        let login = Login { created: Timestamp(created), ..login(LoginKind::Session, name) };
        meta.create_login(login.clone()).await.expect("done");
        is_there(meta, &login).await
    };
    let at = change().at.0;
    let password = AccountChange { password: Some(String::from("$new")), ..change() };
    assert!(!after(password.clone(), at - 1).await, "the old password");
    assert!(after(password.clone(), at).await, "the new one");
    assert!(after(password, at - 3_600_000_000).await, "a clock that was set back is no reason");
    assert!(!after(AccountChange { disabled: Some(true), ..change() }, at).await, "disabled");
    assert!(after(AccountChange { disabled: Some(false), ..change() }, at).await, "and back");
}

async fn a_removed_account_leaves_nothing(meta: &Meta) {
    let (gone, stays) = ("suite-gone", "suite-stays");
    let mut kept = Vec::new();
    for name in [gone, stays] {
        assert_eq!(create(meta, account(name)).await, Changed::Done);
        let new = token(name);
        assert_eq!(make(meta, &new).await, Changed::Done);
        let by_it = Login { token: Some(new.token.id), ..login(LoginKind::Refresh, name) };
        let session = login(LoginKind::Session, name);
        for login in [&by_it, &session] {
            meta.create_login(login.clone()).await.expect("stored");
        }
        let grant = super::rights::grant(name, "team/app");
        assert_eq!(meta.add_grant(grant, entry("grant.add", name)).await.expect("done"), Changed::Done);
        kept.push((name, new, by_it, session));
    }
    assert_eq!(remove(meta, gone).await, Changed::Done);
    for (name, new, by_it, session) in &kept {
        let expected = *name == stays;
        assert_eq!(meta.account(name).await.expect("readable").is_some(), expected);
        assert_eq!(by_hash(meta, &new.hash).await.is_some(), expected);
        assert_eq!(is_there(meta, by_it).await, expected);
        assert_eq!(is_there(meta, session).await, expected);
        let grants = meta.grants().await.expect("readable");
        assert_eq!(grants.iter().any(|grant| grant.subject.as_str() == *name), expected);
    }
    // Whoever takes the name later inherits nothing.
    assert_eq!(create(meta, account(gone)).await, Changed::Done);
    assert_eq!(by_hash(meta, &kept[0].1.hash).await, None);
    assert!(!is_there(meta, &kept[0].3).await);
}

async fn what_has_expired_is_removed(meta: &Meta) {
    let day = Duration::from_secs(24 * 3600);
    let now = Timestamp(1_600_000_000_000_000);
    let robot = "robot:suite-expired";
    let expiring = |at: Timestamp| {
        let mut new = token(robot);
        new.token.expires = Some(at);
        new
    };
    let (long_ago, lately) = (expiring(now.minus(31 * day)), expiring(now.minus(29 * day)));
    for new in [&long_ago, &lately] {
        assert_eq!(make(meta, new).await, Changed::Done);
    }
    let by_it = Login { token: Some(long_ago.token.id), ..login(LoginKind::Refresh, robot) };
    let ended = Login { expires: now, ..login(LoginKind::Session, robot) };
    let open = Login { expires: Timestamp(now.0 + 1), ..login(LoginKind::Session, robot) };
    for login in [&by_it, &ended, &open] {
        meta.create_login(login.clone()).await.expect("stored");
    }
    // More than one transaction takes.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1100 {
        let (meta, login) = (Meta::clone(meta), Login { hash: hash(), ..ended.clone() });
        tasks.spawn(async move { meta.create_login(login).await.expect("stored") });
    }
    tasks.join_all().await;
    let before = meta.access_generation();
    meta.remove_expired(now).await.expect("done");
    assert_eq!(by_hash(meta, &long_ago.hash).await, None);
    assert!(by_hash(meta, &lately.hash).await.is_some(), "shown for some time");
    assert!(!is_there(meta, &ended).await && !is_there(meta, &by_it).await);
    assert!(is_there(meta, &open).await);
    assert_eq!(meta.end_logins(&subject(robot), entry("user.logout", robot)).await.expect("done"), 1);
    assert!(meta.access_generation() > before);
    let before = meta.access_generation();
    meta.remove_expired(now).await.expect("nothing");
    assert_eq!(meta.access_generation(), before);
}
