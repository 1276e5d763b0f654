//! Accounts and groups of a directory (LDAP, RFC 4511).
//!
//! A login is: find the one entry that the name means, as the account that searches; bind as that entry with the password; read the
//! groups. Nothing is kept between logins, neither connections nor answers: who remembers good passwords, and for how long,
//! is decided where all methods meet.
//!
//! What a directory makes easy to get wrong, and is held here:
//! * a bind with an empty password succeeds for everybody (RFC 4513, 5.1.2), so there is none,
//! * names are escaped where they stand in filters (RFC 4515), and what matched must be what was typed: directories compare
//!   loosely, and many spellings of one name would each have tries of their own,
//! * the name of the caller is what the directory has, not what was typed, or `Bob` would be somebody else than `bob`,
//! * an unknown name takes the same steps as a wrong password,
//! * a directory that hangs holds up its own logins only, and those for seconds.

pub(super) mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ldap3::{LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions, ldap_escape};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::sync::Semaphore;

use super::names;
use crate::config::{LdapGroups, LdapServer, SecretError};

/// Logins at once; others wait, within the time that a login may take.
const LOGINS: usize = 32;
/// The most groups that count.
const GROUPS: i32 = 1000;

/// Somebody whom the directory knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name, as the directory spells it.
    pub name: String,
    /// The names of the groups, each once, in order.
    pub groups: Vec<String>,
}

/// The directory did not answer, or not with something that could be relied on. Says nothing about the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory (LDAP) cannot be asked now")]
pub struct Unavailable;

/// Why a directory could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum OpenLdapError {
    /// The password of the account that searches is not to be had.
    #[error("auth.ldap.bind_password: {0}")]
    Secret(#[from] SecretError),
    /// The authorities are not to be had.
    #[error("auth.ldap.ca: {}: {message}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// TLS cannot be set up.
    #[error("auth.ldap: {0}")]
    Tls(#[from] rustls::Error),
}

/// A directory.
pub struct Ldap(Arc<Directory>);

impl Ldap {
    /// Gets ready to ask; does not connect yet, since a directory that is away must not keep a registry from starting.
    ///
    /// # Errors
    /// The password of the account that searches or the file of authorities is not to be had.
    pub fn open(server: &LdapServer) -> Result<Self, OpenLdapError> {
        let searcher = match &server.searcher {
            Some((dn, password)) => Some((dn.clone(), ArcSwap::from_pointee(password.read()?))),
            None => None,
        };
        let mut settings = LdapConnSettings::new().set_starttls(server.start_tls);
        if server.encrypted {
            settings = settings.set_config(Arc::new(client_config(server.ca.as_ref())?));
        }
        let meant = text::assertions(&server.user_filter);
        let directory =
            Directory { server: server.clone(), settings, searcher, meant, places: Semaphore::new(LOGINS) };
        Ok(Self(Arc::new(directory)))
    }

    /// Reads the password of the account that searches again, when it is kept in a file.
    pub fn reload(&self) {
        let (Some((_, now)), Some((_, secret))) = (&self.0.searcher, &self.0.server.searcher) else { return };
        match secret.read() {
            Ok(password) if **now.load() == password => {}
            Ok(password) => {
                now.store(Arc::new(password));
                tracing::info!("took the new auth.ldap.bind_password into use");
            }
            Err(error) => {
                tracing::warn!(%error, "auth.ldap.bind_password cannot be read; the old one stays in use");
            }
        }
    }

    /// Whose credentials these are; `None`: nobody's.
    ///
    /// # Errors
    /// The directory cannot say, after `auth.ldap.timeout` at the latest.
    pub async fn check(&self, name: &str, password: &[u8]) -> Result<Option<Person>, Unavailable> {
        let Ok(password) = std::str::from_utf8(password) else { return Ok(None) };
        // An empty password proves nothing and is not refused; one that begins with NUL may be taken for an empty one.
        if password.is_empty() || password.contains('\0') || !names::fits(name) {
            return Ok(None);
        }
        let (name, password) = (name.to_owned(), password.to_owned());
        self.ask(|directory| async move { directory.login(&name, &password).await }).await
    }

    /// Who has this name (as [`Person`] has it) now, without a password: for what was begun by a login and goes on for long.
    ///
    /// # Errors
    /// The directory cannot say, after `auth.ldap.timeout` at the latest.
    pub async fn look_up(&self, name: &str) -> Result<Option<Person>, Unavailable> {
        if !names::fits(name) {
            return Ok(None);
        }
        let name = name.to_owned();
        self.ask(|directory| async move { directory.look_up(&name).await }).await
    }

    /// Within the time that is allowed, and in a task of its own: the library gives up on answers that are none by a panic.
    async fn ask<F>(
        &self,
        question: impl FnOnce(Arc<Directory>) -> F + Send + 'static,
    ) -> Result<Option<Person>, Unavailable>
    where
        F: Future<Output = Result<Option<Person>, Trouble>> + Send,
    {
        let directory = Arc::clone(&self.0);
        let asked = tokio::spawn(async move {
            let limit = directory.server.timeout;
            tokio::time::timeout(limit, question(directory)).await
        });
        match asked.await {
            Ok(Ok(Ok(person))) => return Ok(person),
            Ok(Ok(Err(trouble))) => tracing::warn!(%trouble, "the directory (LDAP) cannot be asked"),
            Ok(Err(_)) => tracing::warn!(
                timeout = ?self.0.server.timeout,
                "the directory (LDAP) did not answer within auth.ldap.timeout"
            ),
            Err(_) => tracing::warn!("the directory (LDAP) answered something that is not LDAP"),
        }
        Err(Unavailable)
    }
}

/// Why a directory could not say.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Ldap(#[from] LdapError),
    /// Never with text of the user's.
    #[error("{doing}: the directory refused with result {code} ({said})")]
    Refused { doing: &'static str, code: u32, said: String },
}

struct Directory {
    server: LdapServer,
    settings: LdapConnSettings,
    searcher: Option<(String, ArcSwap<String>)>,
    /// What the user's entry must hold, so that the name is the one that was typed.
    meant: Vec<text::Assertion>,
    places: Semaphore,
}

/// The entry of a user.
struct User {
    dn: String,
    name: String,
    entry: SearchEntry,
}

/// Result codes of RFC 4511, appendix A.
mod code {
    pub(super) const SUCCESS: u32 = 0;
    pub(super) const SIZE_LIMIT_EXCEEDED: u32 = 4;
    /// constraintViolation, noSuchObject, invalidDNSyntax, inappropriateAuthentication, invalidCredentials, insufficientAccessRights,
    /// unwillingToPerform: the password is wrong, or the account has none, is locked, or must not log in.
    pub(super) const NOT_THEM: [u32; 7] = [19, 32, 34, 48, 49, 50, 53];
}

impl Directory {
    async fn login(&self, name: &str, password: &str) -> Result<Option<Person>, Trouble> {
        // Never closed; if it were, nothing would be held up by it.
        let _place = self.places.acquire().await;
        let (_driver, mut ldap) = self.connect().await?;
        let filter = text::fill(&self.server.user_filter, &ldap_escape(name), "");
        let user = self.find(&mut ldap, &filter, name).await?;
        let user = user.filter(|user| self.means(user, name));
        // Nobody's DN where there is no user, so that unknown names take as long as wrong passwords.
        let nobody = || format!("cn={},{}", uuid::Uuid::new_v4(), self.server.user_base);
        let dn = user.as_ref().map_or_else(nobody, |user| user.dn.clone());
        let bound = ldap.simple_bind(&dn, password).await?;
        let Some(user) = user else { return Ok(None) };
        match bound.rc {
            code::SUCCESS => {}
            rc if code::NOT_THEM.contains(&rc) => return Ok(None),
            _ => return Err(refused("binding as the user", &bound)),
        }
        let groups = self.groups(&mut ldap, &user).await?;
        // A courtesy: the connection ends anyway.
        let _ = ldap.unbind().await;
        Ok(Some(Person { name: user.name, groups }))
    }

    async fn look_up(&self, name: &str) -> Result<Option<Person>, Trouble> {
        let _place = self.places.acquire().await;
        let (_driver, mut ldap) = self.connect().await?;
        let server = &self.server;
        // What else is asked of users is asked as at a login; by which name they log in is not.
        let anybody = text::fill(&server.user_filter, "*", "");
        let filter = format!("(&({}={}){anybody})", server.user_attribute, ldap_escape(name));
        let user = self.find(&mut ldap, &filter, name).await?;
        // The same name, not one that the directory takes for the same.
        let Some(user) = user.filter(|user| user.name == name) else { return Ok(None) };
        let groups = self.groups(&mut ldap, &user).await?;
        let _ = ldap.unbind().await;
        Ok(Some(Person { name: user.name, groups }))
    }

    /// A connection on which the account that searches is bound.
    async fn connect(&self) -> Result<(Driver, ldap3::Ldap), Trouble> {
        let (connection, mut ldap) =
            LdapConnAsync::with_settings(self.settings.clone(), &self.server.url).await?;
        let driver = Driver(tokio::spawn(connection.drive()));
        self.bind_searcher(&mut ldap).await?;
        Ok((driver, ldap))
    }

    async fn bind_searcher(&self, ldap: &mut ldap3::Ldap) -> Result<(), Trouble> {
        let bound = match &self.searcher {
            Some((dn, password)) => ldap.simple_bind(dn, &password.load()).await?,
            None => ldap.simple_bind("", "").await?,
        };
        match bound.rc {
            code::SUCCESS => Ok(()),
            _ => Err(refused("binding as auth.ldap.bind_dn", &bound)),
        }
    }

    /// The one entry that fits, with its name here.
    async fn find(&self, ldap: &mut ldap3::Ldap, filter: &str, name: &str) -> Result<Option<User>, Trouble> {
        let mut attributes = vec![self.server.user_attribute.as_str()];
        attributes.extend(self.meant.iter().map(|assertion| assertion.attribute.as_str()));
        if let LdapGroups::Listed { attribute, .. } = &self.server.groups {
            attributes.push(attribute);
        }
        attributes.sort_unstable();
        attributes.dedup();
        let (entries, more) = self.search(ldap, &self.server.user_base, filter, &attributes, 2).await?;
        let mut entries = entries.into_iter();
        let entry = match (entries.next(), entries.next(), more) {
            (Some(entry), None, false) => entry,
            (None, ..) => return Ok(None),
            _ => {
                tracing::warn!(
                    "more than one entry of the directory (LDAP) fits a name; nobody is logged in"
                );
                return Ok(None);
            }
        };
        let Some(canonical) = text::name_in(&entry, &self.server.user_attribute, name) else {
            tracing::warn!(
                dn = ?entry.dn,
                attribute = self.server.user_attribute,
                "an entry of the directory (LDAP) has no name here: expected one value of this attribute"
            );
            return Ok(None);
        };
        if !names::fits(&canonical) {
            tracing::warn!(dn = ?entry.dn, "an entry of the directory (LDAP) has a name that cannot be one here");
            return Ok(None);
        }
        Ok(Some(User { dn: entry.dn.clone(), name: canonical, entry }))
    }

    /// Whether the entry was found by the name as it was typed.
    fn means(&self, user: &User, typed: &str) -> bool {
        let means =
            self.meant.is_empty() || self.meant.iter().any(|assertion| assertion.holds(&user.entry, typed));
        if !means {
            tracing::info!("an entry of the directory (LDAP) was found by another spelling of its name");
        }
        means
    }

    async fn groups(&self, ldap: &mut ldap3::Ldap, user: &User) -> Result<Vec<String>, Trouble> {
        let mut groups: Vec<String> = match &self.server.groups {
            LdapGroups::None => Vec::new(),
            LdapGroups::Listed { attribute, below, name } => text::values(&user.entry, attribute)
                .iter()
                .filter_map(|dn| text::name_of_group(dn, below.as_deref(), name))
                .collect(),
            LdapGroups::Search { base, filter, attribute } => {
                // As nobody but the account that searches: what users may see of groups is another matter.
                self.bind_searcher(ldap).await?;
                let filter = text::fill(filter, &ldap_escape(&*user.name), &ldap_escape(&*user.dn));
                let (entries, more) = self.search(ldap, base, &filter, &[attribute], GROUPS).await?;
                if more {
                    tracing::warn!(dn = ?user.dn, "too many groups in the directory (LDAP); only some count");
                }
                entries.iter().flat_map(|entry| text::values(entry, attribute).to_vec()).collect()
            }
        };
        groups.retain(|group| {
            !group.is_empty() && group.len() <= names::LONGEST && !group.chars().any(names::is_invisible)
        });
        groups.sort();
        groups.dedup();
        Ok(groups)
    }

    /// The entries below a base that fit, and whether there are more.
    async fn search(
        &self,
        ldap: &mut ldap3::Ldap,
        base: &str,
        filter: &str,
        attributes: &[&str],
        most: i32,
    ) -> Result<(Vec<SearchEntry>, bool), Trouble> {
        // Whole seconds, and 0 would be none at all.
        let seconds = self.server.timeout.max(Duration::from_secs(1)).as_secs();
        let options = SearchOptions::new().sizelimit(most).timelimit(i32::try_from(seconds).unwrap_or(60));
        ldap.with_search_options(options);
        let found = ldap.search(base, Scope::Subtree, filter, attributes).await?;
        let entries: Vec<_> = found.0.into_iter().map(SearchEntry::construct).collect();
        match found.1.rc {
            code::SUCCESS => Ok((entries, false)),
            code::SIZE_LIMIT_EXCEEDED => Ok((entries, true)),
            _ => Err(refused("searching", &found.1)),
        }
    }
}

fn refused(doing: &'static str, result: &ldap3::LdapResult) -> Trouble {
    Trouble::Refused { doing, code: result.rc, said: result.text.escape_debug().take(200).collect() }
}

/// Drives a connection until this value goes.
struct Driver(tokio::task::JoinHandle<ldap3::result::Result<()>>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn client_config(ca: Option<&PathBuf>) -> Result<ClientConfig, OpenLdapError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let wrong = |message: String| OpenLdapError::Authorities { path: path.clone(), message };
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| wrong(error.to_string()))?;
            if certificates.is_empty() {
                return Err(wrong("no certificate in it (expected PEM)".to_owned()));
            }
            for certificate in certificates {
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
        }
        None => {
            // Systems come with some that nothing can read.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
