//! Accounts. Names and e-mail addresses are one set of texts that no two accounts share, compared without case for ASCII.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{list, list_text, logins, time};
use crate::meta::access::{Account, AccountChange, Changed, NewAccount};
use crate::meta::sqlite::value::integer;
use crate::meta::sqlite::writer::Batch;

pub(super) const BY_NAME: &str =
    "SELECT name, email, password, admin, disabled, created, password_changed, member_of
     FROM accounts WHERE name = ?1 COLLATE NOCASE";
pub(super) const BY_EMAIL: &str =
    "SELECT name, email, password, admin, disabled, created, password_changed, member_of
     FROM accounts WHERE email = ?1 COLLATE NOCASE";
pub(super) const PAGE: &str =
    "SELECT name, email, password, admin, disabled, created, password_changed, member_of
     FROM accounts WHERE name > ?1 ORDER BY name LIMIT ?2";
pub(super) const ANY: &str = "SELECT 1 FROM accounts WHERE name > '' LIMIT 1";
pub(super) const OTHER_ADMIN: &str =
    "SELECT 1 FROM accounts WHERE admin = 1 AND disabled = 0 AND name > '' AND name <> ?1
        AND (password IS NOT NULL OR ?2) LIMIT 1";

fn read(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        name: row.get(0)?,
        email: row.get(1)?,
        password: row.get(2)?,
        admin: row.get(3)?,
        disabled: row.get(4)?,
        created: time(row, 5)?,
        password_changed: time(row, 6)?,
        groups: list(row, 7)?,
    })
}

pub(super) fn get(connection: &Connection, name_or_email: &str) -> rusqlite::Result<Option<Account>> {
    for sql in [BY_NAME, BY_EMAIL] {
        let found = connection.prepare_cached(sql)?.query_row([name_or_email], read).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

pub(super) fn page(connection: &Connection, after: &str, limit: usize) -> rusqlite::Result<Vec<Account>> {
    connection.prepare_cached(PAGE)?.query_map((after, integer(limit)), read)?.collect()
}

pub(super) fn any(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached(ANY)?.exists([])
}

/// The account of exactly this name.
pub(super) fn exact(connection: &Connection, name: &str) -> rusqlite::Result<Option<Account>> {
    let found = connection.prepare_cached(BY_NAME)?.query_row([name], read).optional()?;
    Ok(found.filter(|account| account.name == name))
}

/// Whether an account other than `own` is called so, by name or by e-mail address.
fn taken(connection: &Connection, text: &str, own: &str) -> rusqlite::Result<bool> {
    for sql in [BY_NAME, BY_EMAIL] {
        let holder: Option<String> =
            connection.prepare_cached(sql)?.query_row([text], |row| row.get(0)).optional()?;
        if holder.is_some_and(|holder| holder != own) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn create(batch: &mut Batch<'_>, account: &NewAccount) -> rusqlite::Result<Changed> {
    for text in [Some(&account.name), account.email.as_ref()].into_iter().flatten() {
        if taken(batch.connection, text, "")? {
            return Ok(Changed::Exists);
        }
    }
    batch
        .connection
        .prepare_cached(
            "INSERT INTO accounts (name, email, password, admin, disabled, created, password_changed, member_of)
             VALUES (?1, ?2, ?3, ?4, 0, ?5, ?5, ?6)",
        )?
        .execute((
            &account.name,
            &account.email,
            &account.password,
            account.admin,
            account.created.0,
            list_text(&account.groups)?,
        ))?;
    Ok(Changed::Done)
}

pub(super) fn change(batch: &mut Batch<'_>, name: &str, change: &AccountChange) -> rusqlite::Result<Changed> {
    let Some(mut account) = exact(batch.connection, name)? else { return Ok(Changed::Unknown) };
    if let Some(Some(email)) = &change.email
        && taken(batch.connection, email, name)?
    {
        return Ok(Changed::Exists);
    }
    let ruled = account.admin && !account.disabled;
    account.admin = change.admin.unwrap_or(account.admin);
    account.disabled = change.disabled.unwrap_or(account.disabled);
    if ruled && (account.disabled || !account.admin) && !other_admin(batch.connection, &account)? {
        return Ok(Changed::LastAdmin);
    }
    if let Some(email) = &change.email {
        account.email.clone_from(email);
    }
    if let Some(groups) = &change.groups {
        account.groups.clone_from(groups);
    }
    if change.password.is_some() {
        account.password.clone_from(&change.password);
        account.password_changed = change.at;
    }
    batch
        .connection
        .prepare_cached(
            "UPDATE accounts SET email = ?2, password = ?3, admin = ?4, disabled = ?5, password_changed = ?6, member_of = ?7
             WHERE name = ?1",
        )?
        .execute((
            name,
            &account.email,
            &account.password,
            account.admin,
            account.disabled,
            account.password_changed.0,
            list_text(&account.groups)?,
        ))?;
    if change.password.is_some() || account.disabled {
        logins::end_all(batch, name)?;
    }
    Ok(Changed::Done)
}

pub(super) fn remove(batch: &mut Batch<'_>, name: &str) -> rusqlite::Result<Changed> {
    let Some(account) = exact(batch.connection, name)? else { return Ok(Changed::Unknown) };
    if account.admin && !account.disabled && !other_admin(batch.connection, &account)? {
        return Ok(Changed::LastAdmin);
    }
    logins::end_all(batch, name)?;
    for sql in [
        "DELETE FROM access_tokens WHERE subject = ?1",
        "DELETE FROM grants WHERE subject = ?1",
        "DELETE FROM accounts WHERE name = ?1",
    ] {
        batch.connection.prepare_cached(sql)?.execute([name])?;
    }
    Ok(Changed::Done)
}

/// Whether there is an admin beside this one who can take its place: by a password, if this one has one. Who has none may come with
/// a certificate, which nobody here can know.
fn other_admin(connection: &Connection, account: &Account) -> rusqlite::Result<bool> {
    connection.prepare_cached(OTHER_ADMIN)?.exists((&account.name, account.password.is_none()))
}
