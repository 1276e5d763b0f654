//! Who there is and what they may do, as rows: accounts, tokens, sessions, grants, namespaces, signing keys, and the audit log.
//!
//! Nothing here decides. Secrets come as hashes (of passwords as PHC strings, of tokens as SHA-256) and are compared by who asks;
//! the one exception are the private halves of signing keys. Times are the machine's clock: they are shown, and they end things.
//!
//! Each change carries the audit entry that is written in the same transaction, with the result that it had.

use std::sync::Arc;

use async_trait::async_trait;
use gantry_oci::Tag;
use gantry_oci::access::{RepoPattern, Role, Subject, TagPattern, TokenScope, Visibility};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::error::Result;

/// SHA-256 of a secret that is random enough to be looked up by it.
pub type SecretHash = [u8; 32];

/// The part of [`crate::MetaStore`] that serves access and administration. Lists are keyset pages in byte order of their key.
#[async_trait]
pub trait AccessRows {
    /// Rises with every change of accounts, tokens, grants, namespaces or keys that this process commits, before that is answered.
    /// Logins and uses of tokens are no such change.
    fn access_generation(&self) -> u64;

    /// Makes an account, unless its name or e-mail address is another account's name or e-mail address (compared without case
    /// for ASCII letters).
    async fn create_account(&self, account: NewAccount, audit: AuditEntry) -> Result<Changed>;
    /// An account by name or, when there is none of that name, by e-mail address.
    async fn account(&self, name_or_email: &str) -> Result<Option<Arc<Account>>>;
    /// Accounts by name, strictly after `after`, at most `limit`.
    async fn accounts(&self, after: Option<&str>, limit: usize) -> Result<Vec<Account>>;
    /// Whether there is any account or any token of a robot.
    async fn has_accounts(&self) -> Result<bool>;
    /// Changes the account of exactly this name. A new password or being disabled ends its refresh tokens and sessions.
    async fn change_account(&self, name: &str, change: AccountChange, audit: AuditEntry) -> Result<Changed>;
    /// Removes the account of exactly this name with its tokens, refresh tokens, sessions and grants.
    async fn remove_account(&self, name: &str, audit: AuditEntry) -> Result<Changed>;

    /// Stores a personal or robot token. [`Changed::Unknown`]: its owner is neither a robot nor an account of these rows.
    /// [`Changed::Exists`]: the id or the secret is another's.
    async fn create_token(&self, token: NewToken, audit: AuditEntry) -> Result<Changed>;
    /// The token with this hash, whether or not it is still good.
    async fn token_by_hash(&self, hash: &SecretHash) -> Result<Option<Arc<Token>>>;
    /// A token by id.
    async fn token(&self, id: Uuid) -> Result<Option<Arc<Token>>>;
    /// Tokens by id, of one subject or all, strictly after `after`, at most `limit`.
    async fn tokens(&self, of: Option<&Subject>, after: Option<Uuid>, limit: usize) -> Result<Vec<Token>>;
    /// Ends a token, and the refresh tokens that were issued for it.
    async fn revoke_token(&self, id: Uuid, audit: AuditEntry) -> Result<Changed>;
    /// Notes a token's use; written with other commits, at most once a minute for each token, and lost by a crash.
    fn token_used_soon(&self, id: Uuid, at: Timestamp);

    /// Stores a refresh token or a web session. It is over at once, and not stored, when meanwhile the token by which it was made has
    /// gone, or the account was disabled or got a new password after `created`: so that is to be a moment before the password was
    /// looked at.
    async fn create_login(&self, login: Login) -> Result<()>;
    /// The refresh token or session with this hash, whether or not it is still good.
    async fn login_by_hash(&self, kind: LoginKind, hash: &SecretHash) -> Result<Option<Arc<Login>>>;
    /// Ends one; nothing when it is not there.
    async fn end_login(&self, kind: LoginKind, hash: &SecretHash) -> Result<()>;
    /// Ends all refresh tokens and sessions of a subject. Gives their number.
    async fn end_logins(&self, subject: &Subject, audit: AuditEntry) -> Result<u64>;
    /// Removes those that have expired, and tokens that expired more than 30 days before `now`.
    async fn remove_expired(&self, now: Timestamp) -> Result<()>;

    /// All grants, by number.
    async fn grants(&self) -> Result<Vec<Grant>>;
    /// Adds a grant. [`Changed::Exists`]: this one is there.
    async fn add_grant(&self, grant: NewGrant, audit: AuditEntry) -> Result<Changed>;
    /// Removes the grant with this number.
    async fn remove_grant(&self, id: i64, audit: AuditEntry) -> Result<Changed>;

    /// All namespaces, by prefix.
    async fn namespaces(&self) -> Result<Vec<Namespace>>;
    /// Makes a namespace ([`Changed::Exists`] when it is there), or with `replace` changes it, except when it was made
    /// ([`Changed::Unknown`] when it is not there).
    async fn put_namespace(&self, namespace: Namespace, replace: bool, audit: AuditEntry) -> Result<Changed>;
    /// Removes a namespace; the repositories below it stay.
    async fn remove_namespace(&self, prefix: &str, audit: AuditEntry) -> Result<Changed>;

    /// All signing keys, the oldest first.
    async fn signing_keys(&self) -> Result<Vec<SigningKey>>;
    /// Adds a key and retires the others (as of its creation).
    async fn rotate_signing_key(&self, key: SigningKey, audit: AuditEntry) -> Result<()>;
    /// Removes keys that were retired before.
    async fn remove_retired_keys(&self, retired_before: Timestamp) -> Result<()>;

    /// Hands an entry to the audit log: written with other commits, at the latest after two seconds, and lost by a crash before.
    /// False: too many wait, and this one is dropped (and counted in the log, as `audit.dropped`, when there is room again); or
    /// the store is read-only.
    fn audit_soon(&self, entry: AuditEntry) -> bool;
    /// Writes an entry now.
    async fn audit_now(&self, entry: AuditEntry) -> Result<()>;
    /// Entries that fit, the newest first, with numbers strictly below `before`, at most `limit`. Those that were handed over before
    /// are among them.
    async fn audit(&self, filter: AuditFilter, before: Option<i64>, limit: usize) -> Result<Vec<AuditRow>>;
    /// Removes entries older than this, at most `limit`; gives how many went.
    async fn trim_audit(&self, older_than: Timestamp, limit: usize) -> Result<u64>;
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Done and durable.
    Done,
    /// Nothing: it is there already (or the e-mail address is taken).
    Exists,
    /// Nothing: there is no such thing.
    Unknown,
    /// Nothing: it would leave the server without an enabled admin (N-1).
    LastAdmin,
}

impl Changed {
    /// Why nothing was done, as the audit log says it.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Changed::Done => None,
            Changed::Exists => Some("exists"),
            Changed::Unknown => Some("unknown"),
            Changed::LastAdmin => Some("last admin"),
        }
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Another name to log in by.
    pub email: Option<String>,
    /// PHC string; without one the account cannot log in by password.
    pub password: Option<String>,
    /// Whether it may do everything.
    pub admin: bool,
    /// Whether it is nobody for now.
    pub disabled: bool,
    /// Groups that it belongs to.
    pub groups: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When its password was set last.
    pub password_changed: Timestamp,
}

/// An account to make.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in `Account`")]
pub struct NewAccount {
    pub name: String,
    pub email: Option<String>,
    pub password: Option<String>,
    pub admin: bool,
    pub groups: Vec<String>,
    pub created: Timestamp,
}

/// What is to be another way; `None` stays as it is.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "as in `Account`")]
pub struct AccountChange {
    pub email: Option<Option<String>>,
    pub password: Option<String>,
    pub admin: Option<bool>,
    pub disabled: Option<bool>,
    pub groups: Option<Vec<String>>,
    /// The time of the change, for `password_changed`.
    pub at: Timestamp,
}

/// A personal or robot token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Shown and used to revoke it.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// The account that it belongs to, or `robot:NAME`.
    pub subject: Subject,
    /// What it is narrowed to (personal); for a robot what it may. None at all: as wide as its owner.
    pub scopes: Vec<TokenScope>,
    /// Who made it.
    pub created_by: Subject,
    /// When.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// When it was used last, about.
    pub last_used: Option<Timestamp>,
}

/// A token to store.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// All but the last use.
    pub token: Token,
    /// Of its secret.
    pub hash: SecretHash,
}

/// What a login left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginKind {
    /// A refresh token of the token server.
    Refresh,
    /// A web session.
    Session,
}

/// A refresh token or a web session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Which of the two.
    pub kind: LoginKind,
    /// Of its secret.
    pub hash: SecretHash,
    /// Who logged in.
    pub subject: Subject,
    /// What else is to be known when it comes back, in the writer's own form.
    pub payload: String,
    /// The personal or robot token by which the login was made: ends with it.
    pub token: Option<Uuid>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// A right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its number.
    pub id: i64,
    /// Who has it.
    pub subject: Subject,
    /// What it is.
    pub role: Role,
    /// Where.
    pub pattern: RepoPattern,
    /// Who gave it.
    pub created_by: Subject,
    /// When.
    pub created: Timestamp,
}

/// A right to give.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in `Grant`")]
pub struct NewGrant {
    pub subject: Subject,
    pub role: Role,
    pub pattern: RepoPattern,
    pub created_by: Subject,
    pub created: Timestamp,
}

/// Settings of all repositories below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Whole components; empty: everything.
    pub prefix: String,
    /// Where bytes go that are pushed there.
    pub storage: String,
    /// Who sees it without a right.
    pub visibility: Visibility,
    /// Tags that cannot be moved or removed.
    pub immutable: Vec<TagPattern>,
    /// Tags that only an admin moves or removes.
    pub protected: Vec<TagPattern>,
    /// For people.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
}

/// Tags that may not be moved or removed by this caller, as [`crate::MetaStore`]'s changes take them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagLocks(pub Arc<[TagPattern]>);

impl TagLocks {
    /// The pattern that holds a tag.
    #[must_use]
    pub fn holding(&self, tag: &str) -> Option<&TagPattern> {
        self.0.iter().find(|pattern| pattern.matches(tag))
    }

    /// A tag with the pattern that holds it.
    #[must_use]
    pub fn locked(&self, tag: &Tag) -> Option<LockedTag> {
        let pattern = self.holding(tag.as_str())?.clone();
        Some(LockedTag { tag: tag.clone(), pattern })
    }
}

/// A tag that was to be moved or removed, and what holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedTag {
    /// The tag.
    pub tag: Tag,
    /// The pattern.
    pub pattern: TagPattern,
}

/// A key that tokens are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// `ES256` or `EdDSA`.
    pub algorithm: String,
    /// PKCS#8, DER.
    pub private: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
    /// When another took its place.
    pub retired: Option<Timestamp>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("retired", &self.retired)
            .finish_non_exhaustive()
    }
}

/// Something that was done, or refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who, as text; empty when nobody knows.
    pub subject: String,
    /// From where.
    pub address: String,
    /// What: `user.create`, `manifest.put`, `login`, ...
    pub action: String,
    /// On what: a repository, with `:TAG` or `@DIGEST`, or the name of an account and so on.
    pub object: String,
    /// The repository, for filters; empty when it is about none.
    pub repository: String,
    /// Whether it was done. Of an entry that goes with a change, the change decides.
    pub allowed: bool,
    /// Why not, or by which rule.
    pub reason: String,
    /// The request's id.
    pub request: String,
}

/// An entry of the audit log with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Rises.
    pub id: i64,
    /// What happened.
    pub entry: AuditEntry,
}

/// Which entries are wanted; everything that is set must fit.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// At this moment or later.
    pub since: Option<Timestamp>,
    /// Of this subject.
    pub subject: Option<String>,
    /// About repositories of this pattern.
    pub repository: Option<RepoPattern>,
    /// With this action, or below it (`user` means `user.create` too).
    pub action: Option<String>,
    /// Done, or refused.
    pub allowed: Option<bool>,
}
