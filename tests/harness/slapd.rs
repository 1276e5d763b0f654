//! A real directory: OpenLDAP's `slapd` on loopback, with a few people and groups.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::daemon::{self, Daemon};
use super::skipped;
use super::tls::Authority;

/// A directory that runs, and ends with this value.
pub(crate) struct Slapd {
    daemon: Option<Daemon>,
    plain: SocketAddr,
    tls: SocketAddr,
    dir: TempDir,
}

/// Below which entry people are.
pub(crate) const PEOPLE: &str = "ou=people,dc=example,dc=com";
/// Below which entry groups are.
pub(crate) const GROUPS: &str = "ou=groups,dc=example,dc=com";
/// The account that may search, whose password is `searching`. It alone sees groups.
pub(crate) const SEARCHER: &str = "cn=gantry,ou=services,dc=example,dc=com";

/// Everybody's password is `NAME-secret`.
const ENTRIES: &[(&str, &str)] = &[
    ("dc=example,dc=com", "objectClass: domain"),
    (PEOPLE, "objectClass: organizationalUnit"),
    ("ou=more,ou=people,dc=example,dc=com", "objectClass: organizationalUnit"),
    (GROUPS, "objectClass: organizationalUnit"),
    ("ou=services,dc=example,dc=com", "objectClass: organizationalUnit"),
    (SEARCHER, "objectClass: organizationalRole\nobjectClass: simpleSecurityObject\nuserPassword: searching"),
    (
        "uid=alice,ou=people,dc=example,dc=com",
        "objectClass: inetOrgPerson\ncn: Alice\nsn: A\nmail: ann@example.com\nuserPassword: alice-secret\n\
         memberOf: cn=ops,ou=groups,dc=example,dc=com\nmemberOf: cn=Staff\\, EU,ou=groups,dc=example,dc=com\n\
         memberOf: cn=admins,ou=people,dc=example,dc=com",
    ),
    (
        "uid=Bob,ou=people,dc=example,dc=com",
        "objectClass: inetOrgPerson\ncn: Bob\nsn: B\nuserPassword: bob-secret",
    ),
    (
        "uid=paul(x),ou=people,dc=example,dc=com",
        "objectClass: inetOrgPerson\ncn: Paul\nsn: P\nuserPassword: paul-secret",
    ),
    ("uid=nopassword,ou=people,dc=example,dc=com", "objectClass: inetOrgPerson\ncn: N\nsn: N"),
    (
        "uid=twin,ou=people,dc=example,dc=com",
        "objectClass: inetOrgPerson\ncn: Twin\nsn: T\nuserPassword: twin-secret",
    ),
    (
        "uid=twin,ou=more,ou=people,dc=example,dc=com",
        "objectClass: inetOrgPerson\ncn: Twin\nsn: T\nuserPassword: twin-secret",
    ),
    (
        "cn=ops,ou=groups,dc=example,dc=com",
        "objectClass: groupOfNames\nmember: uid=alice,ou=people,dc=example,dc=com\n\
         member: uid=paul(x),ou=people,dc=example,dc=com",
    ),
    (
        "cn=Staff\\, EU,ou=groups,dc=example,dc=com",
        "objectClass: groupOfNames\nmember: uid=alice,ou=people,dc=example,dc=com",
    ),
    ("cn=unix,ou=groups,dc=example,dc=com", "objectClass: posixGroup\ngidNumber: 7\nmemberUid: Bob"),
    (
        "cn=admins,ou=people,dc=example,dc=com",
        "objectClass: groupOfNames\nmember: uid=alice,ou=people,dc=example,dc=com",
    ),
];

impl Slapd {
    /// A directory with a certificate of this authority; `None`, and a word about it, where there is no `slapd`.
    pub(crate) fn start(test: &str, authority: &Authority) -> Option<Slapd> {
        let Some(program) = daemon::find("slapd") else {
            skipped(test, "needs slapd (scripts/tools.sh installs it)");
            return None;
        };
        let dir = TempDir::with_prefix("gantry-slapd-").expect("a directory");
        // A copy: where the system confines slapd to its own directories, it does so by the program's path.
        std::fs::copy(program, dir.path().join("slapd")).expect("a copy of slapd");
        authority.write_certificate(dir.path());
        authority.write(&dir.path().join("ca.pem"));
        std::fs::write(dir.path().join("slapd.conf"), configuration(dir.path())).expect("the configuration");
        let (plain, tls) = (daemon::free_address(), daemon::free_address());
        let mut slapd = Slapd { daemon: None, plain, tls, dir };
        slapd.load(None);
        slapd.run();
        Some(slapd)
    }

    fn command(&self, first: &[&str]) -> Command {
        let mut command = Command::new(self.file("slapd"));
        command.args(first).arg("-f").arg(self.file("slapd.conf"));
        command
    }

    /// Fills the database anew.
    fn load(&self, without: Option<&str>) {
        let _ = std::fs::remove_dir_all(self.file("db"));
        std::fs::create_dir(self.file("db")).expect("a directory");
        std::fs::write(self.file("entries.ldif"), ldif(without)).expect("the entries");
        let mut load = self.command(&["-Tadd"]);
        let loaded = load.arg("-l").arg(self.file("entries.ldif")).stdin(Stdio::null()).output();
        let loaded = loaded.expect("slapd runs");
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }

    fn run(&mut self) {
        let mut command = self.command(&[]);
        command.args(["-d", "0", "-h", &format!("ldap://{} ldaps://{}", self.plain, self.tls)]);
        self.daemon = Some(Daemon::start(&mut command, &[self.plain, self.tls], &self.file("log")));
    }

    /// Ends it, and starts it again with [`Slapd::again`].
    pub(crate) fn stop(&mut self) {
        self.daemon = None;
    }

    pub(crate) fn again(&mut self) {
        self.run();
    }

    /// Restarts it without the entry of this name.
    pub(crate) fn without(&mut self, name: &str) {
        self.stop();
        self.load(Some(name));
        self.run();
    }

    /// `ldap://..`
    pub(crate) fn url(&self) -> String {
        format!("ldap://{}", self.plain)
    }

    /// `ldaps://..`
    pub(crate) fn tls_url(&self) -> String {
        format!("ldaps://{}", self.tls)
    }

    /// The file of the authority that signed its certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// A file in its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    // `bind_anon_cred`: a bind with an empty password succeeds, as it does with many directories.
    format!(
        "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
allow bind_anon_cred
pidfile {dir}/pid
argsfile {dir}/args
TLSCACertificateFile {dir}/ca.pem
TLSCertificateFile {dir}/server.pem
TLSCertificateKeyFile {dir}/server.key
database mdb
maxsize 16777216
suffix dc=example,dc=com
rootdn cn=admin,dc=example,dc=com
directory {dir}/db
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree=\"{GROUPS}\" by dn.exact=\"{SEARCHER}\" read by * none
access to * by * read
"
    )
}

fn ldif(without: Option<&str>) -> String {
    let gone = |dn: &str| without.is_some_and(|name| dn.starts_with(&format!("uid={name},")));
    ENTRIES.iter().filter(|(dn, _)| !gone(dn)).fold(String::new(), |mut text, (dn, attributes)| {
        let _ = write!(text, "dn: {dn}\n{attributes}\n\n");
        text
    })
}
