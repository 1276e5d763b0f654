//! Grants, namespaces and signing keys.

use gantry_oci::access::{Role, Subject, Visibility};

use super::{Meta, done, entry, refused, subject, told};
use crate::clock::Timestamp;
use crate::meta::access::{Changed, Namespace, NewGrant, SigningKey};

pub(super) async fn run(meta: &Meta) {
    grants_come_and_go(meta).await;
    namespaces_come_change_and_go(meta).await;
    a_new_key_retires_the_others(meta).await;
    one_key_of_many_rotations_is_in_use(meta).await;
}

pub(super) fn grant(of: &str, pattern: &str) -> NewGrant {
    NewGrant {
        subject: subject(of),
        role: Role::Push,
        pattern: pattern.parse().expect("a pattern"),
        created_by: Subject::operator(),
        created: Timestamp(9),
    }
}

async fn grants_come_and_go(meta: &Meta) {
    let mut made = Vec::new();
    for (of, pattern) in [
        ("suite-ada", "team/**"),
        ("group:suite dev", "team"),
        ("robot:suite-ci", "**"),
        ("suite-ada", "team"),
        ("anonymous", "public/*-base"),
    ] {
        made.push(grant(of, pattern));
    }
    made.push(NewGrant { role: Role::Admin, ..made[0].clone() });
    let add = async |new: &NewGrant| {
        let about = entry("grant.add", new.subject.as_str());
        meta.add_grant(new.clone(), about).await.expect("done")
    };
    let before = meta.access_generation();
    for new in &made {
        assert_eq!(add(new).await, Changed::Done);
    }
    assert_eq!(meta.access_generation(), before + 6);
    for new in &made {
        assert_eq!(add(&NewGrant { created: Timestamp(10), ..new.clone() }).await, Changed::Exists);
    }
    assert_eq!(meta.access_generation(), before + 6);
    assert_eq!(told(meta, "grant.add", "anonymous").await, [done(), refused("exists")]);
    let listed = meta.grants().await.expect("readable");
    assert!(listed.iter().map(|grant| grant.id).is_sorted());
    let ours: Vec<_> = listed[listed.len() - 6..].to_vec();
    for (grant, new) in ours.iter().zip(&made) {
        assert_eq!((&grant.subject, grant.role, &grant.pattern), (&new.subject, new.role, &new.pattern));
        assert_eq!((&grant.created_by, grant.created), (&new.created_by, new.created));
    }

    let remove = async |id: i64| {
        let about = entry("grant.remove", &id.to_string());
        meta.remove_grant(id, about).await.expect("done")
    };
    let last = ours[5].id;
    assert_eq!(remove(last).await, Changed::Done);
    assert_eq!(meta.access_generation(), before + 7);
    assert_eq!(remove(last).await, Changed::Unknown);
    assert_eq!(told(meta, "grant.remove", &last.to_string()).await, [done(), refused("unknown")]);
    assert_eq!(add(&made[5]).await, Changed::Done);
    let again = meta.grants().await.expect("readable").last().expect("there").id;
    assert!(again > last, "a number is never used twice");
    for id in ours[..5].iter().map(|grant| grant.id).chain([again]) {
        assert_eq!(remove(id).await, Changed::Done);
    }
}

async fn namespaces_come_change_and_go(meta: &Meta) {
    let first = Namespace {
        prefix: String::from("suite/team"),
        storage: String::from("fast"),
        visibility: Visibility::Hidden,
        immutable: vec!["v*.?".parse().expect("a pattern"), "*".parse().expect("a pattern")],
        protected: Vec::new(),
        description: String::from("with \"quotes\",\nlines and \0"),
        created: Timestamp(3),
    };
    let root = Namespace { prefix: String::new(), visibility: Visibility::Private, ..first.clone() };
    let put = async |namespace: &Namespace, replace| {
        let about = entry("namespace.put", &namespace.prefix);
        meta.put_namespace(namespace.clone(), replace, about).await.expect("done")
    };
    let remove = async |prefix: &str| {
        meta.remove_namespace(prefix, entry("namespace.remove", prefix)).await.expect("done")
    };
    assert_eq!(put(&first, true).await, Changed::Unknown);
    assert_eq!(meta.namespaces().await.expect("readable"), []);
    let before = meta.access_generation();
    assert_eq!(put(&first, false).await, Changed::Done);
    assert_eq!(put(&root, false).await, Changed::Done);
    assert_eq!(meta.namespaces().await.expect("readable"), [root.clone(), first.clone()]);
    let changed = Namespace {
        storage: String::from("large"),
        visibility: Visibility::Public,
        immutable: Vec::new(),
        protected: first.immutable.clone(),
        description: String::new(),
        created: Timestamp(4),
        ..first.clone()
    };
    assert_eq!(put(&changed, false).await, Changed::Exists);
    assert_eq!(meta.namespaces().await.expect("readable"), [root.clone(), first.clone()]);
    assert_eq!(put(&changed, true).await, Changed::Done);
    let kept = Namespace { created: first.created, ..changed };
    assert_eq!(meta.namespaces().await.expect("readable"), [root, kept]);
    assert_eq!(
        told(meta, "namespace.put", "suite/team").await,
        [refused("unknown"), done(), refused("exists"), done()]
    );
    assert_eq!(remove("suite").await, Changed::Unknown);
    assert_eq!(remove("suite/team").await, Changed::Done);
    assert_eq!(remove("").await, Changed::Done);
    assert_eq!(remove("").await, Changed::Unknown);
    assert_eq!(meta.access_generation(), before + 5);
    assert_eq!(meta.namespaces().await.expect("readable"), []);
}

fn key(kid: &str, created: i64) -> SigningKey {
    SigningKey {
        kid: kid.to_owned(),
        algorithm: String::from("ES256"),
        private: vec![0, 255, 7],
        created: Timestamp(created),
        retired: None,
    }
}

async fn a_new_key_retires_the_others(meta: &Meta) {
    let rotate = async |key: SigningKey| {
        let about = entry("key.rotate", &key.kid.clone());
        meta.rotate_signing_key(key, about).await
    };
    assert_eq!(meta.signing_keys().await.expect("readable"), []);
    let before = meta.access_generation();
    // A clock that goes back does not change which one is the newest.
    for (kid, created) in [("suite-b", 300), ("suite-a", 100), ("suite-c", 200)] {
        rotate(key(kid, created)).await.expect("done");
    }
    assert_eq!(meta.access_generation(), before + 3);
    let retired = |kid, created, at| SigningKey { retired: Some(Timestamp(at)), ..key(kid, created) };
    let newest = key("suite-c", 200);
    let all = [retired("suite-b", 300, 100), retired("suite-a", 100, 200), newest.clone()];
    assert_eq!(meta.signing_keys().await.expect("readable"), all);
    rotate(key("suite-c", 400)).await.expect_err("that key is there");
    assert_eq!(meta.signing_keys().await.expect("readable"), all, "nothing is half done");
    assert_eq!(told(meta, "key.rotate", "suite-c").await, [done()]);
    meta.remove_retired_keys(Timestamp(100)).await.expect("none is older");
    assert_eq!(meta.access_generation(), before + 3);
    meta.remove_retired_keys(Timestamp(200)).await.expect("done");
    assert_eq!(meta.access_generation(), before + 4);
    assert_eq!(meta.signing_keys().await.expect("readable"), all[1..]);
    meta.remove_retired_keys(Timestamp(i64::MAX)).await.expect("done");
    assert_eq!(meta.signing_keys().await.expect("readable"), [newest]);
}

async fn one_key_of_many_rotations_is_in_use(meta: &Meta) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let meta = Meta::clone(meta);
        let kid = format!("suite-many-{number}");
        tasks.spawn(async move {
            let about = entry("key.rotate", &kid);
            meta.rotate_signing_key(key(&kid, 1000 + number), about).await.expect("done");
        });
    }
    tasks.join_all().await;
    let keys = meta.signing_keys().await.expect("readable");
    assert_eq!(keys.len(), 13);
    let in_use: Vec<_> = keys.iter().filter(|key| key.retired.is_none()).collect();
    assert_eq!(in_use, [keys.last().expect("there")]);
    meta.remove_retired_keys(Timestamp(i64::MAX)).await.expect("done");
}
