//! The arguments of the commands of administration, and of `gantry login`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::SettingsArgs;

/// Which server is meant, and how answers are printed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Where {
    /// The server to administer; without it the one of --data, whether it runs or not
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "set"])]
    pub(crate) server: Option<String>,
    #[command(flatten)]
    pub(crate) trust: Trust,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Print the JSON of the API
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whom to trust, and where one's own credentials are.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// Certificates (PEM) of authorities that are trusted instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The credential file [default: that of docker, then that of podman]
    // Text, not a path: a variable that is set to nothing is as one that is not set.
    #[arg(long, value_name = "FILE", env = "REGISTRY_AUTH_FILE", hide_env_values = true)]
    pub(crate) authfile: Option<OsString>,
    #[arg(long, hide = true, env = "DOCKER_CONFIG")]
    pub(crate) docker_config: Option<OsString>,
    #[arg(long, hide = true, env = "XDG_RUNTIME_DIR")]
    pub(crate) runtime_dir: Option<OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account; its password is asked for
    Add(UserAdd),
    /// List all accounts
    List(Plain),
    /// Show one account
    Show(Named),
    /// Change what an account is; what is not given stays
    Set(UserSet),
    /// Set the password of an account, which ends its sessions and refresh tokens
    Password(UserPassword),
    /// Let an account do nothing, until it is enabled again
    Disable(Named),
    /// Let a disabled account log in again
    Enable(Named),
    /// Remove an account with its tokens, sessions and grants
    Remove(Named),
}

/// A command without arguments of its own.
#[derive(Debug, Args)]
pub(crate) struct Plain {
    #[command(flatten)]
    pub(crate) at: Where,
}

/// A command about one account.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The account
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Args)]
pub(crate) struct UserAdd {
    /// What it is to be called
    pub(crate) name: String,
    /// May do everything, on every repository and in this administration
    #[arg(long)]
    pub(crate) admin: bool,
    /// Another name to log in by
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// A group that it belongs to (repeatable)
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// Read the password from standard input; one newline at its end is not part of it
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// No password: for an account that logs in by tokens or certificates alone
    #[arg(long, conflicts_with = "password_stdin")]
    pub(crate) no_password: bool,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Args)]
pub(crate) struct UserSet {
    /// The account
    pub(crate) name: String,
    /// Make it an admin
    #[arg(long)]
    pub(crate) admin: bool,
    /// It is no admin any more
    #[arg(long, conflicts_with = "admin")]
    pub(crate) no_admin: bool,
    /// Another name to log in by
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// A group that it belongs to (repeatable); those that are not given end
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// It belongs to no group any more
    #[arg(long, conflicts_with = "groups")]
    pub(crate) no_groups: bool,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Args)]
pub(crate) struct UserPassword {
    /// The account
    pub(crate) name: String,
    /// Read the password from standard input; one newline at its end is not part of it
    #[arg(long)]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; its secret is printed once and kept nowhere
    Create(TokenCreate),
    /// List tokens, never their secrets
    List(TokenList),
    /// End a token, from the next request on
    Revoke(TokenRevoke),
}

#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// What it is for
    #[arg(long)]
    pub(crate) name: String,
    /// What it may do: PATTERN:ACTIONS, such as 'team/**:pull,push' (repeatable); without it as much as its owner
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// When it ends: a span such as 30d, a time such as 2030-01-31T00:00:00Z, or `never`
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: Option<String>,
    /// For a program, with rights of its own: its scopes
    #[arg(long, value_name = "NAME", requires = "scopes", conflicts_with = "owner")]
    pub(crate) robot: Option<String>,
    /// For this account, instead of oneself
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Args)]
pub(crate) struct TokenList {
    /// Only those of this account or robot (robot:NAME)
    #[arg(long)]
    pub(crate) subject: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Args)]
pub(crate) struct TokenRevoke {
    /// As `gantry token list` shows it
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// Grant a role on repositories
    Add(GrantAdd),
    /// List grants, those of the configuration file too
    List(GrantList),
    /// Take a grant back
    Remove(GrantRemove),
}

#[derive(Debug, Args)]
pub(crate) struct GrantAdd {
    /// Who: an account, group:NAME, robot:NAME, anonymous, oidc:ISSUER:SUB, ...
    pub(crate) subject: String,
    /// What; each role includes those before it
    #[arg(value_parser = roles())]
    pub(crate) role: String,
    /// Where: a namespace (`team` covers everything below it), a pattern ('team/app-*', 'team/**'), or / for everything
    pub(crate) pattern: String,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Args)]
pub(crate) struct GrantList {
    /// Only those of this subject
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// Only those on this pattern
    #[arg(long)]
    pub(crate) pattern: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Args)]
pub(crate) struct GrantRemove {
    /// The number of the grant, as `gantry grant list` shows it; or who has it
    #[arg(value_name = "ID|SUBJECT")]
    pub(crate) which: String,
    /// What
    #[arg(value_parser = roles(), requires = "pattern")]
    pub(crate) role: Option<String>,
    /// Where, as it was granted
    #[arg(requires = "role")]
    pub(crate) pattern: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
}

fn roles() -> PossibleValuesParser {
    PossibleValuesParser::new(["pull", "push", "delete", "admin"])
}

#[derive(Debug, Subcommand)]
pub(crate) enum NamespaceCommand {
    /// Make a namespace: rules for all repositories below a prefix
    Create(NamespaceChange),
    /// List namespaces, those of the configuration file too
    List(Plain),
    /// Show one namespace
    Show(Prefixed),
    /// Change a namespace; what is not given stays. Another storage: what it holds is moved there
    Set(NamespaceChange),
    /// Remove a namespace; repositories below it stay, under the rules of the next one above
    Remove(NamespaceRemove),
}

/// Removing a namespace.
#[derive(Debug, Args)]
pub(crate) struct NamespaceRemove {
    /// Also when everybody can pull then what only some could
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) namespace: Prefixed,
}

/// A command about one namespace.
#[derive(Debug, Args)]
pub(crate) struct Prefixed {
    /// The namespace; / is the root
    pub(crate) prefix: String,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Args)]
pub(crate) struct NamespaceChange {
    /// The namespace, such as `team` or `team/app`; / is the root
    pub(crate) prefix: String,
    /// The storage that keeps it
    #[arg(long, value_name = "NAME")]
    pub(crate) storage: Option<String>,
    /// Who sees it: everybody; who has a right; who has a right or knows the name
    #[arg(long, value_parser = PossibleValuesParser::new(["public", "private", "hidden"]))]
    pub(crate) visibility: Option<String>,
    /// Tags that are never moved or deleted, as a pattern such as 'v*' (repeatable; all of them together)
    #[arg(long = "immutable", value_name = "PATTERN")]
    pub(crate) immutable: Vec<String>,
    /// No tag is immutable
    #[arg(long, conflicts_with = "immutable")]
    pub(crate) no_immutable: bool,
    /// Tags that only admins move or delete, as a pattern (repeatable; all of them together)
    #[arg(long = "protected", value_name = "PATTERN")]
    pub(crate) protected: Vec<String>,
    /// No tag is protected
    #[arg(long, conflicts_with = "protected")]
    pub(crate) no_protected: bool,
    /// A sentence for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// List storages: where bytes lie, and how much room there is
    List(Plain),
    /// Write, read and remove something in a storage (in each, without a name), and say how that went (exit code 0 or 1)
    Check(StorageCheck),
}

#[derive(Debug, Args)]
pub(crate) struct StorageCheck {
    /// The storage; all of them without it
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the keys that sign bearer tokens, never their secret halves
    List(Plain),
    /// Sign with a new key from now on; tokens of the old one stay good until they expire
    Rotate(Plain),
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Who: an account, robot:NAME, group:NAME, anonymous, ...
    pub(crate) subject: String,
    /// What
    #[arg(value_parser = PossibleValuesParser::new(["pull", "push", "delete"]))]
    pub(crate) action: String,
    /// Where
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) repository: String,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only what happened since then: a time such as 2030-01-31T00:00:00Z, or a span such as 24h
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Only what this one did
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// Only what concerns repositories of this pattern
    #[arg(long, value_name = "PATTERN")]
    pub(crate) repository: Option<String>,
    /// Only this, such as `push` or `user.create`
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// Only what was allowed, or refused
    #[arg(long, value_parser = PossibleValuesParser::new(["allowed", "refused"]))]
    pub(crate) result: Option<String>,
    /// At most so many entries, the newest; 0: all
    #[arg(long, short = 'n', default_value_t = 100)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    /// Only this one, with everything that is known of it
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The registry, such as registry.example.com or localhost:5000
    pub(crate) host: String,
    /// Who; asked for when it is not given
    #[arg(long, short)]
    pub(crate) username: Option<String>,
    /// Read the password or token from standard input; one newline at its end is not part of it
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// The registry, as it was given to `gantry login`
    pub(crate) host: String,
    #[command(flatten)]
    pub(crate) trust: Trust,
}
