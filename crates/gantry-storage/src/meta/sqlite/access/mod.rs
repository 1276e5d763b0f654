//! Who there is and what they may do: the rows of [`AccessRows`], one module for each kind.
//!
//! Every change goes through [`SqliteMeta::change`]: the rows, the audit entry with what became of the change, and the rise of the
//! generation are one commit. Lists within a row are JSON text. What cannot be read back is not written, because one such
//! row would fail the whole list.

mod accounts;
mod audit;
mod grants;
mod logins;
mod namespaces;
mod signing_keys;
mod soon;
mod tokens;

#[cfg(test)]
pub(super) const HOT_SQL: &[&str] = &[
    accounts::BY_NAME,
    accounts::BY_EMAIL,
    accounts::PAGE,
    accounts::ANY,
    accounts::OTHER_ADMIN,
    tokens::BY_HASH,
    tokens::BY_ID,
    tokens::ANY_ROBOT,
    tokens::PAGE,
    tokens::PAGE_OF,
    tokens::EXPIRED,
    logins::BY_HASH,
    logins::REMOVE_OF,
    logins::REMOVE_BY_TOKEN,
    logins::REMOVE_EXPIRED,
    grants::SAME,
    audit::BY_ID,
    audit::BY_SUBJECT,
    audit::BY_REPOSITORY,
    audit::BY_ACTION,
    audit::REFUSED,
    audit::NEXT_REPOSITORY,
    audit::NEXT_ACTION,
    audit::FIRST_SINCE,
    audit::TRIM,
];

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use gantry_oci::access::Subject;
use rusqlite::types::Type;
use rusqlite::{Error, Row};
use serde_json::Value;
use uuid::Uuid;

use super::SqliteMeta;
use super::writer::Batch;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::meta::access::{
    AccessRows, Account, AccountChange, AuditEntry, AuditFilter, AuditRow, Changed, Grant, Login, LoginKind,
    Namespace, NewAccount, NewGrant, NewToken, SecretHash, SigningKey, Token,
};

use self::audit::insert as insert_audit;
pub(super) use self::soon::{Soon, Taken};

/// Rows that one transaction of a cleaning removes.
const CLEANED: usize = 1000;

impl SqliteMeta {
    /// Runs a change and writes what became of it, in one transaction.
    async fn change<F>(&self, during: &'static str, mut entry: AuditEntry, work: F) -> Result<Changed>
    where
        F: FnOnce(&mut Batch<'_>) -> rusqlite::Result<Changed> + Send + 'static,
    {
        self.writer
            .run(during, None, move |batch| {
                let changed = work(batch)?;
                entry.allowed = changed == Changed::Done;
                if let Some(reason) = changed.reason() {
                    entry.reason = reason.to_owned();
                } else {
                    batch.access_changed();
                }
                insert_audit(batch.connection, &entry)?;
                Ok(changed)
            })
            .await
    }
}

#[async_trait]
impl AccessRows for SqliteMeta {
    fn access_generation(&self) -> u64 {
        self.shared.access_generation.load(Ordering::Acquire)
    }

    async fn create_account(&self, account: NewAccount, audit: AuditEntry) -> Result<Changed> {
        self.change("making an account", audit, move |batch| accounts::create(batch, &account)).await
    }

    async fn account(&self, name_or_email: &str) -> Result<Option<Arc<Account>>> {
        let name = name_or_email.to_owned();
        let found = self.readers.read("reading an account", move |c| accounts::get(c, &name)).await?;
        Ok(found.map(Arc::new))
    }

    async fn accounts(&self, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
        let after = after.unwrap_or_default().to_owned();
        self.readers.read("listing accounts", move |c| accounts::page(c, &after, limit)).await
    }

    async fn has_accounts(&self) -> Result<bool> {
        self.readers.read("looking for accounts", |c| Ok(accounts::any(c)? || tokens::any_robot(c)?)).await
    }

    async fn change_account(&self, name: &str, change: AccountChange, audit: AuditEntry) -> Result<Changed> {
        let name = name.to_owned();
        self.change("changing an account", audit, move |batch| accounts::change(batch, &name, &change)).await
    }

    async fn remove_account(&self, name: &str, audit: AuditEntry) -> Result<Changed> {
        let name = name.to_owned();
        self.change("removing an account", audit, move |batch| accounts::remove(batch, &name)).await
    }

    async fn create_token(&self, token: NewToken, audit: AuditEntry) -> Result<Changed> {
        self.change("making a token", audit, move |batch| tokens::create(batch, &token)).await
    }

    async fn token_by_hash(&self, hash: &SecretHash) -> Result<Option<Arc<Token>>> {
        let hash = *hash;
        let found = self.readers.read("reading a token", move |c| tokens::by_hash(c, &hash)).await?;
        Ok(found.map(Arc::new))
    }

    async fn token(&self, id: Uuid) -> Result<Option<Arc<Token>>> {
        let found = self.readers.read("reading a token", move |c| tokens::by_id(c, id)).await?;
        Ok(found.map(Arc::new))
    }

    async fn tokens(&self, of: Option<&Subject>, after: Option<Uuid>, limit: usize) -> Result<Vec<Token>> {
        let of = of.cloned();
        self.readers.read("listing tokens", move |c| tokens::page(c, of.as_ref(), after, limit)).await
    }

    async fn revoke_token(&self, id: Uuid, audit: AuditEntry) -> Result<Changed> {
        self.change("revoking a token", audit, move |batch| tokens::revoke(batch, id)).await
    }

    fn token_used_soon(&self, id: Uuid, at: Timestamp) {
        self.writer.token_used_soon(id, at);
    }

    async fn create_login(&self, login: Login) -> Result<()> {
        self.writer.run("storing a login", None, move |batch| logins::create(batch, &login)).await
    }

    async fn login_by_hash(&self, kind: LoginKind, hash: &SecretHash) -> Result<Option<Arc<Login>>> {
        let hash = *hash;
        let found = self.readers.read("reading a login", move |c| logins::by_hash(c, kind, &hash)).await?;
        Ok(found.map(Arc::new))
    }

    async fn end_login(&self, kind: LoginKind, hash: &SecretHash) -> Result<()> {
        let hash = *hash;
        self.writer.run("ending a login", None, move |batch| logins::end(batch, kind, &hash)).await
    }

    async fn end_logins(&self, subject: &Subject, mut audit: AuditEntry) -> Result<u64> {
        let subject = subject.clone();
        audit.allowed = true;
        self.writer
            .run("ending logins", None, move |batch| {
                let ended = logins::end_all(batch, subject.as_str())?;
                insert_audit(batch.connection, &audit)?;
                Ok(ended)
            })
            .await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<()> {
        loop {
            let more = self.writer.run("removing what has expired", None, move |batch| {
                let logins = logins::remove_expired(batch, now, CLEANED)?;
                let tokens = tokens::remove_expired(batch, now, CLEANED)?;
                Ok(logins.max(tokens) == CLEANED)
            });
            if !more.await? {
                return Ok(());
            }
        }
    }

    async fn grants(&self) -> Result<Vec<Grant>> {
        self.readers.read("listing grants", grants::all).await
    }

    async fn add_grant(&self, grant: NewGrant, audit: AuditEntry) -> Result<Changed> {
        self.change("adding a grant", audit, move |batch| grants::add(batch, &grant)).await
    }

    async fn remove_grant(&self, id: i64, audit: AuditEntry) -> Result<Changed> {
        self.change("removing a grant", audit, move |batch| grants::remove(batch, id)).await
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>> {
        self.readers.read("listing namespaces", namespaces::all).await
    }

    async fn put_namespace(&self, namespace: Namespace, replace: bool, audit: AuditEntry) -> Result<Changed> {
        self.change("storing a namespace", audit, move |batch| {
            if replace {
                namespaces::replace(batch, &namespace)
            } else {
                namespaces::create(batch, &namespace)
            }
        })
        .await
    }

    async fn remove_namespace(&self, prefix: &str, audit: AuditEntry) -> Result<Changed> {
        let prefix = prefix.to_owned();
        self.change("removing a namespace", audit, move |batch| namespaces::remove(batch, &prefix)).await
    }

    async fn signing_keys(&self) -> Result<Vec<SigningKey>> {
        self.readers.read("listing signing keys", signing_keys::all).await
    }

    async fn rotate_signing_key(&self, key: SigningKey, audit: AuditEntry) -> Result<()> {
        self.change("adding a signing key", audit, move |batch| signing_keys::rotate(batch, &key))
            .await
            .map(drop)
    }

    async fn remove_retired_keys(&self, retired_before: Timestamp) -> Result<()> {
        self.writer
            .run("removing signing keys", None, move |batch| {
                signing_keys::remove_retired(batch, retired_before)
            })
            .await
    }

    fn audit_soon(&self, entry: AuditEntry) -> bool {
        self.writer.audit_soon(entry)
    }

    async fn audit_now(&self, entry: AuditEntry) -> Result<()> {
        self.writer
            .run("writing to the audit log", None, move |batch| insert_audit(batch.connection, &entry))
            .await
    }

    async fn audit(&self, filter: AuditFilter, before: Option<i64>, limit: usize) -> Result<Vec<AuditRow>> {
        if let Err(error) = self.writer.flush().await {
            tracing::debug!(%error, "the audit log is read without what waits");
        }
        self.readers.read("reading the audit log", move |c| audit::page(c, &filter, before, limit)).await
    }

    async fn trim_audit(&self, older_than: Timestamp, limit: usize) -> Result<u64> {
        self.writer
            .run("trimming the audit log", None, move |batch| audit::trim(batch, older_than, limit))
            .await
    }
}

/// A subject to write. Those that could not be read again are refused.
fn subject_text(subject: &Subject) -> rusqlite::Result<&str> {
    match read_subject(subject.as_str()) {
        Ok(_) => Ok(subject.as_str()),
        Err(error) => Err(Error::ToSqlConversionFailure(error.into())),
    }
}

/// A column that holds a subject.
fn subject(row: &Row<'_>, column: usize) -> rusqlite::Result<Subject> {
    read_subject(row.get_ref(column)?.as_str()?)
        .map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

/// The operator is no name that anybody may write, and yet makes things.
fn read_subject(text: &str) -> Result<Subject, String> {
    let operator = Subject::operator();
    if text == operator.as_str() { Ok(operator) } else { text.parse().map_err(|error| format!("{error}")) }
}

/// A list of texts to write. Items that could not be read again are refused.
fn list_text<T>(items: &[T]) -> rusqlite::Result<String>
where
    T: ToString + std::str::FromStr + PartialEq,
    T::Err: Debug,
{
    let texts = items.iter().map(|item| {
        let text = item.to_string();
        match text.parse::<T>() {
            Ok(again) if again == *item => Ok(Value::String(text)),
            _ => Err(Error::ToSqlConversionFailure(format!("`{text}` could not be read again").into())),
        }
    });
    Ok(Value::Array(texts.collect::<rusqlite::Result<_>>()?).to_string())
}

/// A column that holds a list of texts.
fn list<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<T>>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let bad = |error: String| Error::FromSqlConversionFailure(column, Type::Text, error.into());
    let texts: Vec<String> =
        serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| bad(error.to_string()))?;
    texts.iter().map(|text| text.parse().map_err(|error| bad(format!("{error}")))).collect()
}

fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp)
}
