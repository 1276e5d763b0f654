//! Who is calling, as the rest of the server knows it.

use std::sync::{Arc, LazyLock};

use gantry_oci::access::{Access, Action, Actions, Subject, TokenScope};
use gantry_storage::Timestamp;
use uuid::Uuid;

/// Who is calling. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Arc<Known>);

/// What is known of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who it is.
    pub subject: Subject,
    /// Which groups it belongs to.
    pub groups: Vec<String>,
    /// Whether the subject is a server admin. Whether it may administer now, [`Identity::may_administer`] says.
    pub admin: bool,
    /// Who vouches for the subject.
    pub source: Source,
    /// How it showed who it is.
    pub credential: Credential,
    /// What the credential is narrowed to.
    pub bounds: Bounds,
    /// Rights that come with the credential itself: what a robot's token was made for.
    pub own: Vec<TokenScope>,
    /// When the account was made: it tells one from a later one of the same name.
    pub made: Option<Timestamp>,
    /// The personal or robot token that was shown, or that stands behind the bearer token.
    pub token: Option<Uuid>,
}

/// Who vouches for a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Nobody: an anonymous caller.
    Nobody,
    /// A row: an account.
    Account,
    /// A row: a robot's token.
    Robot,
    /// The htpasswd file.
    Htpasswd,
    /// The directory.
    Ldap,
    /// The authority of client certificates.
    Certificate,
    /// A foreign token server.
    Issuer,
    /// An OpenID provider.
    Oidc,
    /// The system: whoever may open the control socket.
    System,
}

impl Source {
    const ALL: [(Source, &'static str); 9] = [
        (Source::Nobody, "nobody"),
        (Source::Account, "account"),
        (Source::Robot, "robot"),
        (Source::Htpasswd, "htpasswd"),
        (Source::Ldap, "ldap"),
        (Source::Certificate, "certificate"),
        (Source::Issuer, "issuer"),
        (Source::Oidc, "oidc"),
        (Source::System, "system"),
    ];

    /// As tokens and metrics have it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(source, _)| *source == self).map_or("nobody", |(_, word)| word)
    }

    /// The source with this word.
    pub fn named(text: &str) -> Option<Source> {
        Self::ALL.iter().find(|(_, word)| *word == text).map(|(source, _)| *source)
    }
}

/// How a caller showed who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// Not at all.
    Nothing,
    /// By a password.
    Password,
    /// By a personal or robot token.
    Token,
    /// By a bearer token, ours or foreign.
    Bearer,
    /// By an identity token of an OpenID provider.
    IdentityToken,
    /// By a client certificate.
    Certificate,
    /// By the cookie of a web session.
    Session,
    /// By opening the control socket.
    Socket,
}

impl Credential {
    /// As metrics and the audit log have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Credential::Nothing => "nothing",
            Credential::Password => "password",
            Credential::Token => "token",
            Credential::Bearer => "bearer",
            Credential::IdentityToken => "identity_token",
            Credential::Certificate => "certificate",
            Credential::Session => "session",
            Credential::Socket => "socket",
        }
    }
}

/// What a credential is narrowed to; without bounds it is as wide as the subject's rights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// By the owner, when the token was made.
    pub scopes: Option<Vec<TokenScope>>,
    /// By the token server, for the repositories that were asked for.
    pub access: Option<Vec<Access>>,
    /// `access` is not compared with rights that are known here: a foreign token server has decided (N-8).
    pub alone: bool,
}

impl Bounds {
    /// What they leave of the actions on a repository.
    pub fn on(&self, repository: &str) -> Actions {
        let scopes = match &self.scopes {
            None => Actions::ALL,
            Some(scopes) => union(scopes.iter().filter(|s| s.pattern.matches(repository)).map(|s| s.actions)),
        };
        let access = match &self.access {
            None => Actions::ALL,
            Some(access) => union(access.iter().map(|entry| entry.on_repository(repository))),
        };
        scopes & access
    }

    /// Whether the catalog may be read by it.
    pub fn on_catalog(&self) -> bool {
        self.access.as_ref().is_none_or(|access| access.iter().any(Access::is_catalog))
    }

    /// Whether repositories may be searched by it.
    pub fn on_search(&self) -> bool {
        self.access.as_ref().is_none_or(|access| access.iter().any(Access::is_search))
    }

    /// Whether it is narrowed at all by its owner.
    pub fn is_scoped(&self) -> bool {
        self.scopes.is_some()
    }
}

fn union(actions: impl Iterator<Item = Actions>) -> Actions {
    actions.fold(Actions::NONE, |all, some| all | some)
}

impl Identity {
    /// Somebody.
    pub fn known(known: Known) -> Self {
        Self(Arc::new(known))
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        static ANONYMOUS: LazyLock<Identity> =
            LazyLock::new(|| Identity::plain(Subject::anonymous(), Source::Nobody, Credential::Nothing));
        ANONYMOUS.clone()
    }

    /// Whoever may open the control socket: may do everything.
    pub fn operator() -> Self {
        Self::known(Known {
            admin: true,
            ..Self::plain(Subject::operator(), Source::System, Credential::Socket).known_parts()
        })
    }

    /// Somebody without groups, bounds or special rights.
    pub fn plain(subject: Subject, source: Source, credential: Credential) -> Self {
        Self::known(Known {
            subject,
            groups: Vec::new(),
            admin: false,
            source,
            credential,
            bounds: Bounds::default(),
            own: Vec::new(),
            made: None,
            token: None,
        })
    }

    /// A copy of what is known, to change.
    pub fn known_parts(&self) -> Known {
        Known::clone(&self.0)
    }

    /// Whether it is nobody in particular: with a bearer token too.
    pub fn is_anonymous(&self) -> bool {
        self.0.subject.is_anonymous()
    }

    /// Whether the caller may do what its subject may, beyond pulling, pushing and deleting (N-4).
    pub fn may_administer(&self) -> bool {
        !self.0.bounds.is_scoped() && !self.0.bounds.alone && self.0.token.is_none() && !self.is_anonymous()
    }

    /// The right that comes with the credential.
    pub fn own_right(&self, repository: &str, action: Action) -> Option<&TokenScope> {
        self.0.own.iter().find(|scope| scope.pattern.matches(repository) && scope.actions.contains(action))
    }

    /// What the credential leaves of an action on a repository.
    pub fn is_bound_to(&self, repository: &str, action: Action) -> bool {
        self.0.bounds.on(repository).contains(action)
    }
}

impl std::ops::Deref for Identity {
    type Target = Known;
    fn deref(&self) -> &Known {
        &self.0
    }
}
