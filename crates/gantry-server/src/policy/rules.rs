//! The rules that decisions are made by: one immutable value, made of the configuration and of rows.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use gantry_oci::access::{Action, RepoPattern, Role, Subject, TagPattern, TokenScope, Visibility};
use gantry_storage::meta::access::TagLocks;

use crate::auth::{Identity, Source};
use crate::config::{Anonymous, Deletable};

/// Settings of all repositories below a prefix, as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Namespace`")]
pub struct NamespaceParts {
    pub prefix: String,
    pub storage: String,
    /// Unset: as what stands around it.
    pub visibility: Option<Visibility>,
    pub immutable: Vec<TagPattern>,
    pub protected: Vec<TagPattern>,
    pub description: String,
    pub origin: Origin,
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
    /// Where it stands.
    pub origin: Origin,
    /// Who sees it is not said here nor around it: `auth.anonymous` decides.
    pub by_default: bool,
}

impl Namespace {
    /// The prefix as people write it: that of everything is `/`.
    pub fn shown(&self) -> &str {
        if self.prefix.is_empty() { "/" } else { &self.prefix }
    }
}

/// Where a rule stands, and so where it can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file.
    File,
    /// A row: the admin API.
    Row,
    /// Nowhere: it follows from `auth.anonymous`.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::File => "in the configuration file",
            Origin::Row => "made by the admin API",
            Origin::Default => "by default",
        })
    }
}

/// A right that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRule {
    /// Who.
    pub subject: Subject,
    /// What.
    pub role: Role,
    /// Where.
    pub pattern: RepoPattern,
    /// Where it stands.
    pub origin: Origin,
}

/// What rules are made of.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// What callers without credentials may do; `None`: everything as long as there is nobody to log in as.
    pub anonymous: Option<Anonymous>,
    /// Whether there is any way to be somebody.
    pub accounts: bool,
    /// What may be deleted at all.
    pub delete: Vec<Deletable>,
    /// Of the file and of rows, the file's first.
    pub namespaces: Vec<NamespaceParts>,
    /// Of the file and of rows.
    pub grants: Vec<GrantRule>,
    /// The role that everybody has whom a source vouches for, and the key that says so.
    pub source_roles: Vec<(Source, Role, &'static str)>,
}

/// The rules.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) anonymous: Anonymous,
    pub(super) accounts: bool,
    pub(super) delete: Vec<Deletable>,
    namespaces: HashMap<Box<str>, Arc<Namespace>>,
    root: Arc<Namespace>,
    grants: HashMap<Subject, Vec<GrantRule>>,
    source_roles: Vec<(Source, Role, &'static str)>,
}

/// What grants of everybody who is somebody are given to.
static AUTHENTICATED: LazyLock<Subject> = LazyLock::new(|| Subject::group("authenticated"));

impl Rules {
    /// Compiles them.
    pub fn new(parts: Parts) -> Self {
        let anonymous = parts.anonymous.unwrap_or(match parts.accounts {
            true => Anonymous::None,
            false => Anonymous::Write,
        });
        let visibility = match anonymous {
            Anonymous::None => Visibility::Private,
            Anonymous::Read | Anonymous::Write => Visibility::Public,
        };
        let root = Arc::new(Namespace {
            prefix: String::new(),
            storage: "default".to_owned(),
            visibility,
            immutable: Vec::new(),
            protected: Vec::new(),
            description: String::new(),
            origin: Origin::Default,
            by_default: true,
        });
        let namespaces = compile(parts.namespaces, &root);
        let mut grants: HashMap<Subject, Vec<GrantRule>> = HashMap::new();
        for grant in parts.grants {
            grants.entry(grant.subject.clone()).or_default().push(grant);
        }
        Self {
            anonymous,
            accounts: parts.accounts,
            delete: parts.delete,
            namespaces,
            root,
            grants,
            source_roles: parts.source_roles,
        }
    }

    /// What callers without credentials may do.
    pub fn anonymous(&self) -> Anonymous {
        self.anonymous
    }

    /// Whether there is any way to be somebody.
    pub fn has_accounts(&self) -> bool {
        self.accounts
    }

    /// Whether everybody may do everything because there is nobody to log in as.
    pub fn is_open(&self) -> bool {
        self.anonymous == Anonymous::Write && !self.accounts
    }

    /// The namespace with the longest prefix of a name.
    pub fn namespace_of(&self, repository: &str) -> &Arc<Namespace> {
        longest(&self.namespaces, repository).unwrap_or(&self.root)
    }

    /// The namespace with exactly this prefix.
    pub fn namespace(&self, prefix: &str) -> Option<&Arc<Namespace>> {
        self.namespaces.get(prefix)
    }

    /// How what is below a private prefix is seen without its namespace, if more than some see it then.
    pub fn opened_without(&self, prefix: &str) -> Option<Visibility> {
        let own = self.namespace(prefix).filter(|own| own.visibility == Visibility::Private)?;
        let around = match prefix.rfind('/') {
            _ if own.prefix.is_empty() => &self.root,
            Some(slash) => self.namespace_of(prefix.get(..slash).unwrap_or_default()),
            None => self.namespaces.get("").unwrap_or(&self.root),
        };
        (around.visibility != Visibility::Private).then_some(around.visibility)
    }

    /// All of them, by prefix.
    pub fn namespaces(&self) -> Vec<&Arc<Namespace>> {
        let mut all: Vec<_> = self.namespaces.values().collect();
        all.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        all
    }

    /// All grants, in no promised order.
    pub fn grants(&self) -> impl Iterator<Item = &GrantRule> {
        self.grants.values().flatten()
    }

    /// The role that a source gives to all for whom it vouches.
    pub(super) fn source_role(&self, source: Source) -> Option<(Role, &'static str)> {
        self.source_roles.iter().find(|(of, _, _)| *of == source).map(|(_, role, key)| (*role, *key))
    }

    /// Grants of the subject itself, of its groups, and of everybody who is somebody.
    pub(super) fn grants_of<'a>(&'a self, identity: &'a Identity) -> impl Iterator<Item = &'a GrantRule> {
        let own = self.grants.get(&identity.subject);
        let groups = identity.groups.iter().filter_map(|group| self.grants.get(&Subject::group(group)));
        let all = match identity.is_anonymous() || self.grants.is_empty() {
            true => None,
            false => self.grants.get(&*AUTHENTICATED),
        };
        own.into_iter().chain(groups).chain(all).flatten()
    }

    /// Tags of a repository that this caller may not move or remove (N-19).
    pub fn locks(&self, identity: &Identity, repository: &str) -> TagLocks {
        let namespace = self.namespace_of(repository);
        if namespace.immutable.is_empty() && namespace.protected.is_empty() {
            return TagLocks::default();
        }
        let mut held = namespace.immutable.clone();
        if !self.administers(identity, repository) {
            held.extend(namespace.protected.iter().cloned());
        }
        TagLocks(held.into())
    }

    /// Whether the caller has the role `admin` on a repository.
    pub fn administers(&self, identity: &Identity, repository: &str) -> bool {
        identity.may_administer()
            && (identity.admin
                || self
                    .grants_of(identity)
                    .any(|grant| grant.role == Role::Admin && grant.pattern.matches(repository)))
    }

    /// Whether the caller has the role `admin` on everything that a pattern can match (N-15).
    pub fn administers_all(&self, identity: &Identity, pattern: &RepoPattern) -> bool {
        identity.may_administer()
            && (identity.admin
                || self
                    .grants_of(identity)
                    .any(|grant| grant.role == Role::Admin && grant.pattern.covers(pattern)))
    }

    /// Whether a repository stands in lists for this caller (N-16).
    pub fn lists(&self, identity: &Identity, repository: &str) -> bool {
        let action = match self.namespace_of(repository).visibility {
            Visibility::Hidden => Action::Push,
            Visibility::Public | Visibility::Private => Action::Pull,
        };
        self.owner_right(identity, repository, action).is_ok()
            && (action == Action::Pull && self.is_public(identity, repository)
                || identity.bounds.scopes.is_none()
                || identity
                    .bounds
                    .scopes
                    .iter()
                    .flatten()
                    .any(|scope| scope.pattern.matches(repository) && scope.actions.contains(action)))
    }

    /// Whether there may be a repository that the caller can push to.
    pub fn pushes_somewhere(&self, identity: &Identity) -> bool {
        let bounds = &identity.bounds;
        let of_scopes = bounds.scopes.as_ref().is_none_or(|scopes| pushes(scopes.iter()));
        let of_access = bounds.access.as_ref().is_none_or(|access| {
            access.iter().any(|entry| entry.on_repository(&entry.name).contains(Action::Push))
        });
        let by_right = bounds.alone
            || identity.admin
            || self.anonymous == Anonymous::Write
            || pushes(identity.own.iter())
            || self.grants_of(identity).any(|grant| grant.role.allows(Action::Push))
            || self.source_role(identity.source).is_some_and(|(role, _)| role.allows(Action::Push));
        of_scopes && of_access && by_right
    }

    /// Prefixes below which everything stands that this caller can find in lists; `None`: anywhere.
    pub fn listed_below(&self, identity: &Identity) -> Option<Vec<String>> {
        let role_everywhere = identity.admin || self.source_role(identity.source).is_some();
        let root = self.namespace_of("");
        let root_open = root.visibility == Visibility::Public
            || identity.is_anonymous() && self.anonymous == Anonymous::Write && root.by_default;
        if role_everywhere || root_open {
            return None;
        }
        let mut prefixes: Vec<String> = self
            .namespaces
            .values()
            .filter(|namespace| namespace.visibility == Visibility::Public)
            .map(|namespace| namespace.prefix.clone())
            .collect();
        prefixes.extend(self.grants_of(identity).map(|grant| grant.pattern.literal_prefix().to_owned()));
        prefixes.extend(identity.own.iter().map(|scope| scope.pattern.literal_prefix().to_owned()));
        if identity.bounds.alone {
            prefixes.extend(identity.bounds.access.iter().flatten().map(|entry| entry.name.clone()));
        }
        if prefixes.iter().any(String::is_empty) {
            return None;
        }
        prefixes.sort();
        prefixes.dedup_by(|next, before| {
            next.strip_prefix(before.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        Some(prefixes)
    }
}

fn pushes<'a>(mut scopes: impl Iterator<Item = &'a TokenScope>) -> bool {
    scopes.any(|scope| scope.actions.contains(Action::Push))
}

/// The namespace with the longest prefix of a name.
fn longest<'a>(of: &'a HashMap<Box<str>, Arc<Namespace>>, name: &str) -> Option<&'a Arc<Namespace>> {
    let mut prefix = name;
    loop {
        if let Some(namespace) = of.get(prefix) {
            return Some(namespace);
        }
        match prefix.rfind('/') {
            Some(slash) => prefix = prefix.get(..slash).unwrap_or_default(),
            None => return of.get(""),
        }
    }
}

/// The first with a prefix counts. From the outside in, since what is not said is as around it.
fn compile(mut parts: Vec<NamespaceParts>, root: &Arc<Namespace>) -> HashMap<Box<str>, Arc<Namespace>> {
    parts.sort_by_key(|parts| parts.prefix.len());
    let mut compiled: HashMap<Box<str>, Arc<Namespace>> = HashMap::new();
    for parts in parts {
        let around = longest(&compiled, &parts.prefix).unwrap_or(root);
        let namespace = Namespace {
            visibility: parts.visibility.unwrap_or(around.visibility),
            by_default: parts.visibility.is_none() && around.by_default,
            prefix: parts.prefix,
            storage: parts.storage,
            immutable: parts.immutable,
            protected: parts.protected,
            description: parts.description,
            origin: parts.origin,
        };
        compiled.entry(namespace.prefix.clone().into_boxed_str()).or_insert_with(|| Arc::new(namespace));
    }
    compiled
}
