//! Accounts and what belongs to them, rights and keys: every change with every outcome, and who wins when two come at once.
//!
//! Unlike the other cases these need a store without accounts of others: who is the last admin is a question about all of them.

mod audit;
mod rights;
mod tokens;

use std::collections::BTreeSet;

use gantry_oci::access::Subject;

use super::Meta;
use crate::clock::Timestamp;
use crate::meta::access::{AccountChange, AuditEntry, AuditFilter, AuditRow, Changed, LoginKind, NewAccount};

pub(super) async fn run(meta: &Meta) {
    accounts_are_found_by_name_and_by_address(meta).await;
    names_and_addresses_are_taken_without_case(meta).await;
    accounts_are_paged_in_byte_order(meta).await;
    an_account_changes_part_by_part(meta).await;
    one_of_many_makes_the_account(meta).await;
    the_last_admin_stays(meta).await;
    of_two_admins_that_go_at_once_one_stays(meta).await;
    tokens::run(meta).await;
    rights::run(meta).await;
    audit::run(meta).await;
}

/// An account without rights.
fn account(name: &str) -> NewAccount {
    NewAccount {
        name: name.to_owned(),
        email: None,
        password: Some(format!("$argon2id$of-{name}")),
        admin: false,
        groups: vec![String::from("dev"), String::from("a \"group\"")],
        created: Timestamp(1_700_000_000_000_000),
    }
}

fn change() -> AccountChange {
    AccountChange { at: Timestamp(1_800_000_000_000_000), ..AccountChange::default() }
}

/// An entry that can be found again by its object.
fn entry(action: &str, object: &str) -> AuditEntry {
    AuditEntry {
        at: Timestamp(1_700_000_000_000_001),
        subject: String::from("suite"),
        address: String::from("192.0.2.7"),
        action: action.to_owned(),
        object: object.to_owned(),
        repository: String::new(),
        allowed: true,
        reason: String::from("the caller's"),
        request: String::from("r-1"),
    }
}

fn subject(text: &str) -> Subject {
    text.parse().expect("a subject")
}

/// Entries about an object, the oldest first: whether it was done, and why not.
async fn told(meta: &Meta, action: &str, object: &str) -> Vec<(bool, String)> {
    let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
    let rows: Vec<AuditRow> = meta.audit(filter, None, 10_000).await.expect("readable");
    let about = rows.into_iter().rev().filter(|row| row.entry.object == object);
    about.map(|row| (row.entry.allowed, row.entry.reason)).collect()
}

fn done() -> (bool, String) {
    (true, String::from("the caller's"))
}

fn refused(reason: &str) -> (bool, String) {
    (false, reason.to_owned())
}

/// Makes an account, and says what became of it.
async fn create(meta: &Meta, account: NewAccount) -> Changed {
    let entry = entry("user.create", &account.name.clone());
    meta.create_account(account, entry).await.expect("done")
}

async fn change_to(meta: &Meta, name: &str, change: AccountChange) -> Changed {
    meta.change_account(name, change, entry("user.change", name)).await.expect("done")
}

async fn remove(meta: &Meta, name: &str) -> Changed {
    meta.remove_account(name, entry("user.remove", name)).await.expect("done")
}

async fn accounts_are_found_by_name_and_by_address(meta: &Meta) {
    let before = meta.access_generation();
    assert_eq!(meta.account("suite-ada").await.expect("readable"), None);
    let email = Some(String::from("Ada@Example.com"));
    let new = NewAccount { email: email.clone(), ..account("suite-ada") };
    assert_eq!(create(meta, new.clone()).await, Changed::Done);
    assert!(meta.access_generation() > before);
    assert!(meta.has_accounts().await.expect("readable"));
    for text in ["suite-ada", "Suite-ADA", "ada@example.com", "Ada@Example.com"] {
        let found = meta.account(text).await.expect("readable").expect(text);
        assert_eq!((&found.name, &found.email, &found.password), (&new.name, &email, &new.password));
        assert_eq!((found.admin, found.disabled, &found.groups), (false, false, &new.groups));
        assert_eq!((found.created, found.password_changed), (new.created, new.created));
    }
    for text in ["", "suite", "suite-ada ", "%", "ada@example.co"] {
        assert_eq!(meta.account(text).await.expect("readable"), None, "{text}");
    }
    assert_eq!(told(meta, "user.create", "suite-ada").await, [done()]);
}

async fn names_and_addresses_are_taken_without_case(meta: &Meta) {
    let with = |name: &str, email: &str| NewAccount { email: Some(email.to_owned()), ..account(name) };
    assert_eq!(create(meta, with("suite-bob", "bob@example.com")).await, Changed::Done);
    let before = meta.access_generation();
    for new in [
        account("suite-bob"),
        account("SUITE-Bob"),
        account("Bob@example.com"),
        with("suite-eve", "BOB@example.com"),
        with("suite-eve", "suite-bob"),
    ] {
        assert_eq!(create(meta, new.clone()).await, Changed::Exists, "{new:?}");
    }
    assert_eq!(meta.access_generation(), before, "nothing has changed");
    assert_eq!(told(meta, "user.create", "SUITE-Bob").await, [refused("exists")]);
    assert_eq!(meta.account("suite-eve").await.expect("readable"), None);
    assert_eq!(
        create(meta, with("suite-own@example.com", "suite-own@example.com")).await,
        Changed::Done,
        "both may be the same for one account"
    );
    // Only ASCII letters have two forms.
    assert_eq!(create(meta, account("suite-ä")).await, Changed::Done);
    assert_eq!(create(meta, account("suite-Ä")).await, Changed::Done);

    let email = |text: &str| AccountChange { email: Some(Some(text.to_owned())), ..change() };
    assert_eq!(change_to(meta, "suite-ada", email("BOB@example.com")).await, Changed::Exists);
    assert_eq!(change_to(meta, "suite-ada", email("suite-BOB")).await, Changed::Exists);
    assert_eq!(change_to(meta, "suite-ada", email("ADA@example.com")).await, Changed::Done, "its own");
    assert_eq!(
        change_to(meta, "suite-ada", AccountChange { email: Some(None), ..change() }).await,
        Changed::Done
    );
    assert_eq!(meta.account("ada@example.com").await.expect("readable"), None);
    assert_eq!(create(meta, with("suite-eve", "ada@example.com")).await, Changed::Done, "free again");
    assert_eq!(
        told(meta, "user.change", "suite-ada").await,
        [refused("exists"), refused("exists"), done(), done()]
    );
}

async fn accounts_are_paged_in_byte_order(meta: &Meta) {
    for name in ["suite-page-b", "suite-page-B1", "suite-page-a", "suite-page-C", "suite-page-é"] {
        assert_eq!(create(meta, account(name)).await, Changed::Done);
    }
    let all: Vec<String> =
        meta.accounts(None, 1000).await.expect("readable").into_iter().map(|found| found.name).collect();
    assert!(all.is_sorted() && all.len() >= 5);
    for size in 1..4 {
        let mut walked: Vec<String> = Vec::new();
        loop {
            let page = meta.accounts(walked.last().map(String::as_str), size).await.expect("readable");
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= size);
            walked.extend(page.into_iter().map(|found| found.name));
        }
        assert_eq!(walked, all);
    }
}

async fn an_account_changes_part_by_part(meta: &Meta) {
    let name = "suite-change";
    assert_eq!(create(meta, account(name)).await, Changed::Done);
    let mut expected = meta.account(name).await.expect("readable").expect("there").as_ref().clone();
    let before = meta.access_generation();
    for step in [
        change(),
        AccountChange { password: Some(String::from("$new")), ..change() },
        AccountChange { groups: Some(Vec::new()), ..change() },
        AccountChange { admin: Some(false), disabled: Some(true), ..change() },
        AccountChange {
            disabled: Some(false),
            email: Some(Some(String::from("c@suite.example"))),
            ..change()
        },
    ] {
        // While it is disabled none begin.
        let logins = if step.password.is_some() || step.disabled.is_some() { 0 } else { 2 };
        for kind in [LoginKind::Refresh, LoginKind::Session] {
            meta.create_login(tokens::login(kind, name)).await.expect("stored");
        }
        assert_eq!(change_to(meta, name, step.clone()).await, Changed::Done);
        if step.password.is_some() {
            expected.password.clone_from(&step.password);
            expected.password_changed = step.at;
        }
        if let Some(email) = step.email {
            expected.email = email;
        }
        expected.disabled = step.disabled.unwrap_or(expected.disabled);
        expected.groups = step.groups.unwrap_or(expected.groups);
        assert_eq!(*meta.account(name).await.expect("readable").expect("there"), expected);
        let ended = meta.end_logins(&subject(name), entry("user.logout", name)).await.expect("done");
        assert_eq!(ended, logins, "refresh tokens and sessions left");
    }
    assert!(meta.access_generation() >= before + 5);
    assert_eq!(change_to(meta, "suite-nobody", change()).await, Changed::Unknown);
    assert_eq!(change_to(meta, "SUITE-change", change()).await, Changed::Unknown, "by its exact name only");
    assert_eq!(told(meta, "user.change", "suite-nobody").await, [refused("unknown")]);
}

async fn one_of_many_makes_the_account(meta: &Meta) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..16 {
        let meta = Meta::clone(meta);
        let name = if number % 2 == 0 { "suite-race" } else { "Suite-Race" };
        tasks.spawn(async move { create(&meta, account(name)).await });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Changed::Done).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Changed::Exists).count(), 15);
}

async fn the_last_admin_stays(meta: &Meta) {
    for (name, admin) in [("suite-root", true), ("suite-second", true), ("suite-plain", false)] {
        assert_eq!(create(meta, NewAccount { admin, ..account(name) }).await, Changed::Done);
    }
    let disabled = AccountChange { disabled: Some(true), ..change() };
    let unmade = AccountChange { admin: Some(false), ..change() };
    assert_eq!(change_to(meta, "suite-second", disabled.clone()).await, Changed::Done);
    let before = meta.access_generation();
    // Who is disabled does not count.
    assert_eq!(change_to(meta, "suite-root", disabled.clone()).await, Changed::LastAdmin);
    assert_eq!(change_to(meta, "suite-root", unmade.clone()).await, Changed::LastAdmin);
    let both = AccountChange { admin: Some(true), ..disabled.clone() };
    assert_eq!(change_to(meta, "suite-root", both).await, Changed::LastAdmin);
    assert_eq!(remove(meta, "suite-root").await, Changed::LastAdmin);
    assert_eq!(meta.access_generation(), before);
    let root = meta.account("suite-root").await.expect("readable").expect("there");
    assert!(root.admin && !root.disabled);
    assert_eq!(told(meta, "user.remove", "suite-root").await, [refused("last admin")]);
    assert_eq!(told(meta, "user.change", "suite-root").await, vec![refused("last admin"); 3]);
    // Anything else about the last admin may change, and others may go.
    let password =
        AccountChange { password: Some(String::from("$other")), disabled: Some(false), ..change() };
    assert_eq!(change_to(meta, "suite-root", password).await, Changed::Done);
    assert_eq!(remove(meta, "suite-plain").await, Changed::Done);
    assert_eq!(remove(meta, "suite-plain").await, Changed::Unknown);
    assert_eq!(remove(meta, "SUITE-root").await, Changed::Unknown, "by its exact name only");
    assert_eq!(told(meta, "user.remove", "suite-plain").await, [done(), refused("unknown")]);
    // With another one it may go, a disabled one in any case.
    assert_eq!(
        change_to(meta, "suite-second", AccountChange { disabled: Some(false), ..change() }).await,
        Changed::Done
    );
    assert_eq!(change_to(meta, "suite-root", unmade).await, Changed::Done);
    assert_eq!(remove(meta, "suite-root").await, Changed::Done);
    assert_eq!(remove(meta, "suite-second").await, Changed::LastAdmin);
    // One who has no password does not take the place of one who has.
    let ghost = NewAccount { admin: true, password: None, ..account("suite-ghost") };
    assert_eq!(create(meta, ghost).await, Changed::Done);
    assert_eq!(remove(meta, "suite-second").await, Changed::LastAdmin);
    assert_eq!(remove(meta, "suite-ghost").await, Changed::Done);
}

async fn of_two_admins_that_go_at_once_one_stays(meta: &Meta) {
    for round in 0..20 {
        let names = BTreeSet::from(["suite-second".to_owned(), format!("suite-admin-{round}")]);
        for name in &names {
            let outcome = create(meta, NewAccount { admin: true, ..account(name) }).await;
            assert!(matches!(outcome, Changed::Done | Changed::Exists));
        }
        let mut tasks = tokio::task::JoinSet::new();
        for name in names {
            let meta = Meta::clone(meta);
            tasks.spawn(async move {
                match round % 3 {
                    0 => remove(&meta, &name).await,
                    1 => change_to(&meta, &name, AccountChange { admin: Some(false), ..change() }).await,
                    _ => change_to(&meta, &name, AccountChange { disabled: Some(true), ..change() }).await,
                }
            });
        }
        let outcomes = tasks.join_all().await;
        assert!(outcomes.contains(&Changed::LastAdmin) && outcomes.contains(&Changed::Done), "{outcomes:?}");
        // One admin of a known name for the next round.
        let known = "suite-second";
        remove(meta, known).await;
        create(meta, NewAccount { admin: true, ..account(known) }).await;
        let back = AccountChange { admin: Some(true), disabled: Some(false), ..change() };
        assert_eq!(change_to(meta, known, back).await, Changed::Done);
        let other = remove(meta, &format!("suite-admin-{round}")).await;
        assert!(matches!(other, Changed::Done | Changed::Unknown));
    }
}
