//! Personal and robot tokens, found by the hash of their secret.

use std::time::Duration;

use gantry_oci::access::Subject;
use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use super::{accounts, list, list_text, logins, optional_time, subject, subject_text, time};
use crate::clock::Timestamp;
use crate::meta::access::{Changed, NewToken, SecretHash, Token};
use crate::meta::sqlite::value::integer;
use crate::meta::sqlite::writer::Batch;

pub(super) const BY_HASH: &str = "SELECT id, subject, name, created_by, created, expires, last_used, scopes
     FROM access_tokens WHERE hash = ?1";
pub(super) const BY_ID: &str = "SELECT id, subject, name, created_by, created, expires, last_used, scopes
     FROM access_tokens WHERE id = ?1";
pub(super) const PAGE: &str = "SELECT id, subject, name, created_by, created, expires, last_used, scopes
     FROM access_tokens WHERE id > ?1 ORDER BY id LIMIT ?2";
pub(super) const PAGE_OF: &str = "SELECT id, subject, name, created_by, created, expires, last_used, scopes
     FROM access_tokens WHERE subject = ?3 AND id > ?1 ORDER BY id LIMIT ?2";
/// `;` is the byte after `:`.
pub(super) const ANY_ROBOT: &str =
    "SELECT 1 FROM access_tokens WHERE subject > 'robot:' AND subject < 'robot;' LIMIT 1";
pub(super) const EXPIRED: &str = "SELECT id FROM access_tokens WHERE expires < ?1 LIMIT ?2";

/// How long a token that has expired is still shown.
const SHOWN_EXPIRED: Duration = Duration::from_secs(30 * 24 * 3600);

fn read(row: &Row<'_>) -> rusqlite::Result<Token> {
    Ok(Token {
        id: Uuid::from_bytes(row.get(0)?),
        subject: subject(row, 1)?,
        name: row.get(2)?,
        created_by: subject(row, 3)?,
        created: time(row, 4)?,
        expires: optional_time(row, 5)?,
        last_used: optional_time(row, 6)?,
        scopes: list(row, 7)?,
    })
}

pub(super) fn by_hash(connection: &Connection, hash: &SecretHash) -> rusqlite::Result<Option<Token>> {
    connection.prepare_cached(BY_HASH)?.query_row([hash], read).optional()
}

pub(super) fn by_id(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<Token>> {
    connection.prepare_cached(BY_ID)?.query_row([id.as_bytes()], read).optional()
}

pub(super) fn page(
    connection: &Connection,
    of: Option<&Subject>,
    after: Option<Uuid>,
    limit: usize,
) -> rusqlite::Result<Vec<Token>> {
    let after = after.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
    let limit = integer(limit);
    match of {
        Some(of) => {
            connection.prepare_cached(PAGE_OF)?.query_map((after, limit, of.as_str()), read)?.collect()
        }
        None => connection.prepare_cached(PAGE)?.query_map((after, limit), read)?.collect(),
    }
}

pub(super) fn any_robot(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached(ANY_ROBOT)?.exists([])
}

pub(super) fn create(batch: &mut Batch<'_>, new: &NewToken) -> rusqlite::Result<Changed> {
    let NewToken { token, hash } = new;
    let owned = match token.subject.account_name() {
        Some(name) => accounts::exact(batch.connection, name)?.is_some(),
        None => token.subject.robot_name().is_some(),
    };
    if !owned {
        return Ok(Changed::Unknown);
    }
    let written = batch
        .connection
        .prepare_cached(
            "INSERT INTO access_tokens (id, hash, subject, name, created_by, created, expires, scopes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?
        .execute((
            token.id.as_bytes(),
            hash,
            subject_text(&token.subject)?,
            &token.name,
            subject_text(&token.created_by)?,
            token.created.0,
            token.expires.map(|time| time.0),
            list_text(&token.scopes)?,
        ))?;
    Ok(if written > 0 { Changed::Done } else { Changed::Exists })
}

pub(super) fn revoke(batch: &mut Batch<'_>, id: Uuid) -> rusqlite::Result<Changed> {
    Ok(if delete(batch, id.as_bytes())? { Changed::Done } else { Changed::Unknown })
}

fn delete(batch: &Batch<'_>, id: &[u8]) -> rusqlite::Result<bool> {
    batch.connection.prepare_cached(logins::REMOVE_BY_TOKEN)?.execute([id])?;
    Ok(batch.connection.prepare_cached("DELETE FROM access_tokens WHERE id = ?1")?.execute([id])? > 0)
}

/// Removes tokens that expired long ago, at most `limit`. Gives how many.
pub(super) fn remove_expired(batch: &mut Batch<'_>, now: Timestamp, limit: usize) -> rusqlite::Result<usize> {
    let expired: Vec<Vec<u8>> = batch
        .connection
        .prepare_cached(EXPIRED)?
        .query_map((now.minus(SHOWN_EXPIRED).0, integer(limit)), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &expired {
        delete(batch, id)?;
    }
    if !expired.is_empty() {
        batch.access_changed();
    }
    Ok(expired.len())
}

/// Notes a use. The token may have gone meanwhile.
pub(super) fn used(connection: &Connection, id: Uuid, at: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE access_tokens SET last_used = ?2 WHERE id = ?1")?
        .execute((id.as_bytes(), at.0))
        .map(drop)
}
