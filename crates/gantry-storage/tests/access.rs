//! The rows of access on real files: what survives, what waits and is bounded, and what a failing disk does to the audit log.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a failed expectation is a failed test"
)]

mod scratch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gantry_oci::access::Subject;
use gantry_storage::meta::access::{
    AuditEntry, AuditFilter, AuditRow, Changed, Login, LoginKind, Namespace, NewAccount, NewGrant, NewToken,
    SigningKey, Token,
};
use gantry_storage::meta::suite::{manifest, repo};
use gantry_storage::{MetaStore, StorageError, Timestamp};
use rusqlite::Connection;
use uuid::Uuid;

use self::scratch::{Scratch, open};

fn entry(action: &str, object: impl std::fmt::Display) -> AuditEntry {
    AuditEntry {
        at: Timestamp(1_000),
        subject: String::from("ada"),
        action: action.to_owned(),
        object: format!("{object}"),
        allowed: true,
        ..AuditEntry::default()
    }
}

fn account(name: &str) -> NewAccount {
    NewAccount {
        name: name.to_owned(),
        email: Some(format!("{name}@example.com")),
        password: Some(String::from("$argon2id$")),
        admin: name == "ada",
        groups: vec![String::from("dev")],
        created: Timestamp(5),
    }
}

fn subject(text: &str) -> Subject {
    text.parse().expect("a subject")
}

fn token(of: &str, number: u8) -> NewToken {
    let token = Token {
        id: Uuid::from_bytes([number; 16]),
        name: String::from("ci"),
        subject: subject(of),
        scopes: vec!["team/**:pull,push".parse().expect("a scope")],
        created_by: subject("ada"),
        created: Timestamp(6),
        expires: Some(Timestamp(i64::MAX)),
        last_used: None,
    };
    NewToken { token, hash: [number; 32] }
}

async fn audit(meta: &Arc<dyn MetaStore>, action: &str) -> Vec<AuditRow> {
    let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
    meta.audit(filter, None, 100_000).await.expect("readable")
}

/// A shell on the database of a running store.
fn shell(scratch: &Scratch) -> Connection {
    Connection::open(scratch.0.join("data/gantry.db")).expect("opened")
}

/// Keys to sign tokens with are in it: whoever reads them is whoever they like. The directory may have been made by an installer.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_for_its_owner_alone_in_a_directory_that_stands_open() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    let data = scratch.0.join("data");
    std::fs::create_dir(&data).expect("a directory");
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions are set");
    };
    let others = |name: &str| {
        let found = std::fs::metadata(data.join(name)).expect("the file is there");
        found.permissions().mode() & 0o007
    };
    set(&data, 0o755);
    let store = open(&scratch.config()).await;
    let made = store.meta.create_account(account("ada"), entry("made", "ada")).await;
    assert_eq!(made.expect("done"), Changed::Done);
    for name in ["gantry.db", "gantry.db-wal", "gantry.db-shm"] {
        assert_eq!(others(name), 0, "{name}");
    }
    store.close().await;
    // One that was made by an earlier version, which did not look.
    set(&data.join("gantry.db"), 0o644);
    let store = open(&scratch.config()).await;
    assert_eq!(others("gantry.db"), 0);
    store.close().await;
}

/// The files are copied while the store runs, as a power cut would freeze them.
#[tokio::test(flavor = "multi_thread")]
async fn everything_acknowledged_is_there_after_a_power_cut() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let meta = &store.meta;
    let made = |name| entry("made", name);
    assert_eq!(meta.create_account(account("ada"), made("ada")).await.expect("done"), Changed::Done);
    let token = token("ada", 1);
    assert_eq!(meta.create_token(token.clone(), made("token")).await.expect("done"), Changed::Done);
    let login = Login {
        kind: LoginKind::Refresh,
        hash: [2; 32],
        subject: subject("ada"),
        payload: String::from("{}"),
        token: Some(token.token.id),
        created: Timestamp(7),
        expires: Timestamp(8),
    };
    meta.create_login(login.clone()).await.expect("stored");
    let grant = NewGrant {
        subject: subject("group:dev"),
        role: "push".parse().expect("a role"),
        pattern: "team/*".parse().expect("a pattern"),
        created_by: Subject::operator(),
        created: Timestamp(9),
    };
    assert_eq!(meta.add_grant(grant.clone(), made("grant")).await.expect("done"), Changed::Done);
    let namespace = Namespace {
        prefix: String::from("team"),
        storage: String::from("default"),
        visibility: "private".parse().expect("a visibility"),
        immutable: vec!["v*".parse().expect("a pattern")],
        protected: vec![],
        description: String::new(),
        created: Timestamp(10),
    };
    let put = meta.put_namespace(namespace.clone(), false, made("namespace")).await;
    assert_eq!(put.expect("done"), Changed::Done);
    let key = SigningKey {
        kid: String::from("k"),
        algorithm: String::from("EdDSA"),
        private: vec![1, 2, 3],
        created: Timestamp(11),
        retired: None,
    };
    meta.rotate_signing_key(key.clone(), made("key")).await.expect("done");

    let frozen = Scratch::new();
    std::fs::create_dir(frozen.0.join("data")).expect("made");
    for name in ["gantry.db", "gantry.db-wal", "gantry.store"] {
        std::fs::copy(scratch.0.join("data").join(name), frozen.0.join("data").join(name)).expect("copied");
    }
    drop(store);
    let store = open(&frozen.config()).await;
    let meta = &store.meta;
    let ada = meta.account("ADA@example.com").await.expect("readable").expect("there");
    assert!(ada.admin && ada.name == "ada" && ada.groups == ["dev"]);
    let found = meta.token_by_hash(&token.hash).await.expect("readable").expect("there");
    assert_eq!(*found, token.token);
    let found = meta.login_by_hash(LoginKind::Refresh, &login.hash).await.expect("readable").expect("there");
    assert_eq!(*found, login);
    assert_eq!(meta.grants().await.expect("readable")[0].pattern, grant.pattern);
    assert_eq!(meta.namespaces().await.expect("readable"), [namespace]);
    assert_eq!(meta.signing_keys().await.expect("readable"), [key]);
    let objects: Vec<_> = audit(meta, "made").await.into_iter().map(|row| row.entry.object).collect();
    assert_eq!(objects, ["key", "namespace", "grant", "token", "ada"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_written_by_a_close_and_by_a_drop() {
    let scratch = Scratch::new();
    for round in 0..4 {
        let store = open(&scratch.config()).await;
        assert_eq!(audit(&store.meta, "waits").await.len(), round * 100);
        for number in 0..100 {
            assert!(store.meta.audit_soon(entry("waits", number)));
        }
        if round % 2 == 0 {
            store.close().await;
        } else {
            drop(store);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_needs_nobody_to_be_written() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let new = token("robot:ci", 3);
    let made = store.meta.create_token(new.clone(), entry("token.create", "ci")).await;
    assert_eq!(made.expect("done"), Changed::Done);
    let before = store.meta.stats().commits;
    assert!(store.meta.audit_soon(entry("alone", "")));
    assert!(store.meta.audit_soon(entry("alone", "")));
    store.meta.token_used_soon(new.token.id, Timestamp(12));
    let shell = shell(&scratch);
    let count = || -> i64 {
        let sql = "SELECT count(*) FROM audit WHERE action = 'alone'";
        shell.query_row(sql, [], |row| row.get(0)).expect("readable")
    };
    for _ in 0..400 {
        if count() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((count(), store.meta.stats().commits - before), (2, 1), "both in one commit");
    let found = store.meta.token_by_hash(&new.hash).await.expect("readable").expect("there");
    assert_eq!(found.last_used, Some(Timestamp(12)));
}

/// While the database takes nothing, 10,000 wait and the others are counted.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_entries_take_the_room_of_ten_thousand() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let shell = shell(&scratch);
    shell.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let taken = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (meta, taken) = (Arc::clone(&store.meta), Arc::clone(&taken));
        tasks.spawn(async move {
            for number in (task..50_000).step_by(8) {
                if meta.audit_soon(entry("burst", number)) {
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(
        taken.load(Ordering::Relaxed),
        10_000,
        "also those that the writer has in its hands keep their place"
    );
    assert!(store.meta.flush().await.is_err(), "somebody else has the lock");
    assert!(!store.meta.audit_soon(entry("burst", "once more")), "what could not be written waits again");
    shell.execute_batch("ROLLBACK").expect("unlocked");
    store.meta.flush().await.expect("written");
    assert!(store.meta.audit_soon(entry("burst", "room again")));

    let objects: Vec<String> =
        audit(&store.meta, "burst").await.into_iter().rev().map(|row| row.entry.object).collect();
    assert_eq!(objects.len(), 10_001);
    let mut numbers = objects.clone();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), objects.len(), "each once");
    assert_eq!(objects.last().map(String::as_str), Some("room again"));
    let dropped = audit(&store.meta, "audit.dropped").await;
    assert_eq!(dropped.len(), 1, "a burst is one entry");
    assert_eq!(dropped[0].entry.object, "40001");
    assert!(dropped[0].entry.reason.starts_with("40001 entries were dropped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_pushes_every_entry_is_written_or_counted() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let name = repo("team/app");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let (meta, name) = (Arc::clone(&store.meta), name.clone());
        tasks.spawn(async move {
            let mut taken = 0_u64;
            for number in 0..12_500 {
                taken += u64::from(meta.audit_soon(entry("beside", format!("{task} {number}"))));
                if number % 250 == 0 {
                    let new = manifest(&name, &format!("{task} {number}"), &["t"]);
                    meta.put_manifest(new).await.expect("stored");
                }
            }
            taken
        });
    }
    let taken: u64 = tasks.join_all().await.into_iter().sum();
    let written = audit(&store.meta, "beside").await;
    assert_eq!(written.len() as u64, taken);
    let dropped = audit(&store.meta, "audit.dropped").await;
    let counted: u64 = dropped.iter().map(|row| row.entry.object.parse::<u64>().expect("a number")).sum();
    assert_eq!(taken + counted, 50_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_read_only_takes_no_entries_and_shows_those_it_has() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let created = store.meta.create_account(account("ada"), entry("user.create", "ada")).await;
    assert_eq!(created.expect("done"), Changed::Done);
    let generation = store.meta.access_generation();
    assert!(store.meta.audit_soon(entry("user.lost", "")));
    store.sqlite().break_next_commit();
    let answer = store.meta.create_account(account("bob"), entry("user.create", "bob")).await;
    assert!(matches!(answer, Err(StorageError::ReadOnly { .. })), "{answer:?}");
    assert_eq!(store.meta.access_generation(), generation, "nothing was committed");
    assert_eq!(store.meta.account("bob").await.expect("readable"), None);
    for _ in 0..20_000 {
        assert!(!store.meta.audit_soon(entry("user.lost", "")));
        store.meta.token_used_soon(Uuid::new_v4(), Timestamp(1));
    }
    let rows = audit(&store.meta, "user").await;
    assert_eq!(rows.iter().map(|row| row.entry.object.as_str()).collect::<Vec<_>>(), ["ada"]);
    let answer = store.meta.audit_now(entry("user.lost", "")).await;
    assert!(matches!(answer, Err(StorageError::ReadOnly { .. })), "{answer:?}");
    store.close().await;
    let store = open(&scratch.config()).await;
    assert_eq!(audit(&store.meta, "user").await.len(), 1);
    assert_eq!(audit(&store.meta, "audit.dropped").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_an_error_of_the_store() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let meta = &store.meta;
    let made = meta.create_account(account("ada"), entry("made", "")).await;
    assert_eq!(made.expect("done"), Changed::Done);
    let new = token("ada", 4);
    assert_eq!(meta.create_token(new.clone(), entry("made", "")).await.expect("done"), Changed::Done);
    let shell = shell(&scratch);
    for sql in [
        "UPDATE accounts SET member_of = '[1]'",
        "UPDATE accounts SET member_of = 'nonsense'",
        "UPDATE access_tokens SET scopes = '[\"team\"]'",
        "UPDATE access_tokens SET scopes = '[]', subject = 'a b'",
        "UPDATE access_tokens SET subject = 'ada', id = x'00'",
        "INSERT INTO grants (subject, role, pattern, created_by, created) VALUES ('ada', 'king', 'team', 'ada', 0)",
        "UPDATE grants SET role = 'push', pattern = ''",
        "INSERT INTO namespaces VALUES ('team', '', 'none', '[]', '[]', '', 0)",
        "UPDATE namespaces SET visibility = 'public', protected = '[\"a/b\"]'",
    ] {
        shell.execute_batch(sql).expect(sql);
        let failed = if sql.contains("accounts") {
            meta.account("ada").await.map(drop)
        } else if sql.contains("access_tokens") {
            meta.token_by_hash(&new.hash).await.map(drop)
        } else if sql.contains("grants") {
            meta.grants().await.map(drop)
        } else {
            meta.namespaces().await.map(drop)
        };
        assert!(matches!(failed, Err(StorageError::Corrupt { .. })), "{sql}: {failed:?}");
    }
    assert_eq!(meta.read_only(), None, "one bad row is no reason to stop");
}
