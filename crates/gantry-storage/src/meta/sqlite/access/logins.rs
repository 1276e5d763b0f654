//! Refresh tokens and web sessions.

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::{accounts, subject, subject_text, time, tokens};
use crate::clock::Timestamp;
use crate::meta::access::{Login, LoginKind, SecretHash};
use crate::meta::sqlite::value::integer;
use crate::meta::sqlite::writer::Batch;

pub(super) const BY_HASH: &str =
    "SELECT subject, token, created, expires, payload FROM logins WHERE kind = ?1 AND hash = ?2";
pub(super) const REMOVE_OF: &str = "DELETE FROM logins WHERE subject = ?1";
pub(super) const REMOVE_BY_TOKEN: &str = "DELETE FROM logins WHERE token = ?1";
pub(super) const REMOVE_EXPIRED: &str = "DELETE FROM logins WHERE (kind, hash) IN
        (SELECT kind, hash FROM logins WHERE expires <= ?1 LIMIT ?2)";

/// No request that logs somebody in takes longer: 10 minutes in microseconds.
const LONGEST_LOGIN: i64 = 600_000_000;

fn number(kind: LoginKind) -> i64 {
    match kind {
        LoginKind::Refresh => 1,
        LoginKind::Session => 2,
    }
}

pub(super) fn by_hash(
    connection: &Connection,
    kind: LoginKind,
    hash: &SecretHash,
) -> rusqlite::Result<Option<Login>> {
    connection
        .prepare_cached(BY_HASH)?
        .query_row((number(kind), hash), |row| {
            Ok(Login {
                kind,
                hash: *hash,
                subject: subject(row, 0)?,
                token: row.get::<_, Option<[u8; 16]>>(1)?.map(Uuid::from_bytes),
                created: time(row, 2)?,
                expires: time(row, 3)?,
                payload: row.get(4)?,
            })
        })
        .optional()
}

/// Stores a login, unless it is over already.
pub(super) fn create(batch: &mut Batch<'_>, login: &Login) -> rusqlite::Result<()> {
    if is_over(batch.connection, login)? {
        return Ok(());
    }
    batch
        .connection
        .prepare_cached(
            "INSERT INTO logins (kind, hash, subject, token, created, expires, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            number(login.kind),
            login.hash,
            subject_text(&login.subject)?,
            login.token.map(Uuid::into_bytes),
            login.created.0,
            login.expires.0,
            &login.payload,
        ))
        .map(drop)
}

/// Between the look at the password or token and this transaction either may have been taken away (N-13).
fn is_over(connection: &Connection, login: &Login) -> rusqlite::Result<bool> {
    if let Some(token) = login.token
        && tokens::by_id(connection, token)?.is_none()
    {
        return Ok(true);
    }
    let account = match login.subject.account_name() {
        Some(name) => accounts::exact(connection, name)?,
        None => None,
    };
    Ok(account.is_some_and(|account| {
        // A clock that was set back by hours must not end the logins of all these hours.
        let later = account.password_changed.0.saturating_sub(login.created.0);
        account.disabled || (1..=LONGEST_LOGIN).contains(&later)
    }))
}

pub(super) fn end(batch: &mut Batch<'_>, kind: LoginKind, hash: &SecretHash) -> rusqlite::Result<()> {
    batch
        .connection
        .prepare_cached("DELETE FROM logins WHERE kind = ?1 AND hash = ?2")?
        .execute((number(kind), hash))
        .map(drop)
}

/// Ends all of a subject. Gives how many.
pub(super) fn end_all(batch: &mut Batch<'_>, subject: &str) -> rusqlite::Result<u64> {
    let ended = batch.connection.prepare_cached(REMOVE_OF)?.execute([subject])?;
    Ok(u64::try_from(ended).unwrap_or(u64::MAX))
}

/// Removes those that have expired, at most `limit`. Gives how many.
pub(super) fn remove_expired(batch: &mut Batch<'_>, now: Timestamp, limit: usize) -> rusqlite::Result<usize> {
    batch.connection.prepare_cached(REMOVE_EXPIRED)?.execute((now.0, integer(limit)))
}
