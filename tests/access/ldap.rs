//! Accounts of a directory, against a real one (`auth::Ldap`; N-10 and the rules of RFC 4513).

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use gantry_server::auth::{Ldap, Person, Unavailable};
use gantry_server::config::{Config, LdapServer, Sources, load};

use crate::harness::daemon::free_address;
use crate::harness::slapd::{GROUPS, PEOPLE, SEARCHER, Slapd};
use crate::harness::tls::Authority;

/// What these keys of `[auth.ldap]` mean; the later of two of one name counts.
fn server(keys: &[(&str, &str)]) -> LdapServer {
    let keys = [&[("user_base", PEOPLE)], keys].concat();
    let arguments = keys.iter().map(|(key, value)| format!("auth.ldap.{key}={value}")).collect();
    let settings = load(&Sources { arguments, ..Sources::default() }).expect("settings");
    Config::new(settings, "data".into()).expect("a configuration").ldap.expect("a directory")
}

fn open(keys: &[(&str, &str)]) -> Ldap {
    Ldap::open(&server(keys)).expect("a directory")
}

/// With the account that searches, and a search for groups.
fn searching(slapd: &Slapd, more: &[(&str, &str)]) -> Ldap {
    let keys = [
        ("url", slapd.url()),
        ("bind_dn", SEARCHER.to_owned()),
        ("bind_password", "searching".to_owned()),
        ("group_base", GROUPS.to_owned()),
    ];
    let mut keys: Vec<_> = keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
    keys.extend(more);
    open(&keys)
}

fn person(name: &str, groups: &[&str]) -> Result<Option<Person>, Unavailable> {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Ok(Some(Person { name: name.to_owned(), groups }))
}

#[tokio::test]
async fn a_user_of_the_directory_is_known_with_groups() {
    let Some(slapd) = Slapd::start("ldap", &Authority::new()) else { return };
    let ldap = searching(&slapd, &[]);
    assert_eq!(ldap.check("alice", b"alice-secret").await, person("alice", &["Staff, EU", "ops"]));
    assert_eq!(ldap.check("Bob", b"bob-secret").await, person("Bob", &[]));
    assert_eq!(ldap.check("paul(x)", b"paul-secret").await, person("paul(x)", &["ops"]));
    let by_name = searching(&slapd, &[("group_filter", "(memberUid={})")]);
    assert_eq!(
        by_name.check("bob", b"bob-secret").await,
        person("Bob", &["unix"]),
        "the directory's spelling"
    );
    let without = open(&[("url", &slapd.url())]);
    assert_eq!(without.check("alice", b"alice-secret").await, person("alice", &[]), "anonymous, no groups");
}

#[tokio::test]
async fn a_name_may_be_an_address_and_stands_for_the_one_entry() {
    let Some(slapd) = Slapd::start("ldap", &Authority::new()) else { return };
    let ldap = searching(&slapd, &[("user_filter", "(|(uid={})(mail={}))")]);
    assert_eq!(ldap.check("Ann@example.com", b"alice-secret").await, person("alice", &["Staff, EU", "ops"]));
    assert_eq!(ldap.check("ALICE", b"alice-secret").await, person("alice", &["Staff, EU", "ops"]));
    // Directories leave out what cannot be seen: each such spelling would be a name with tries of its own.
    for spelling in ["al\u{ad}ice", "al\u{200b}ice", " alice", "alice ", "ａlice"] {
        assert_eq!(ldap.check(spelling, b"alice-secret").await, Ok(None), "{spelling:?}");
    }
}

#[tokio::test]
async fn groups_can_be_listed_in_the_entry() {
    let Some(slapd) = Slapd::start("ldap", &Authority::new()) else { return };
    let listed = [("member_of", "memberOf")];
    assert_eq!(
        searching(&slapd, &listed).check("alice", b"alice-secret").await,
        person("alice", &["Staff, EU", "ops"]),
        "those below group_base"
    );
    let url = slapd.url();
    let anywhere = open(&[("url", &url), ("member_of", "memberof")]);
    assert_eq!(
        anywhere.check("alice", b"alice-secret").await,
        person("alice", &["Staff, EU", "admins", "ops"])
    );
}

#[tokio::test]
async fn wrong_credentials_are_nobodys() {
    let Some(slapd) = Slapd::start("ldap", &Authority::new()) else { return };
    let ldap = searching(&slapd, &[]);
    for (name, password) in [
        ("alice", &b"wrong"[..]),
        ("alice", b"bob-secret"),
        ("nobody", b"alice-secret"),
        ("nopassword", b"x"),
        ("", b"x"),
        ("gantry", b"searching"),
        ("alice", b"\xff\xfe"),
        (&"a".repeat(70_000), b"x"),
    ] {
        assert_eq!(ldap.check(name, password).await, Ok(None), "{name:.20}");
    }
}

/// RFC 4513, 5.1.2: a bind with a name and no password succeeds, and proves nothing.
#[tokio::test]
async fn an_empty_password_is_never_a_bind() {
    let Some(slapd) = Slapd::start("ldap", &Authority::new()) else { return };
    let ldap = searching(&slapd, &[]);
    for name in ["alice", "nopassword", "nobody", ""] {
        assert_eq!(ldap.check(name, b"").await, Ok(None), "{name}");
        assert_eq!(ldap.check(name, b"\0").await, Ok(None), "{name}: nor what some take for it");
    }
}

#[tokio::test]
async fn a_name_is_not_part_of_the_filter() {
    let Some(slapd) = Slapd::start("ldap", &Authority::new()) else { return };
    for filter in ["(uid={})", "(&(objectClass=inetOrgPerson)(uid={}))", "(|(uid={})(mail={}))"] {
        let ldap = searching(&slapd, &[("user_filter", filter)]);
        for name in [
            "*",
            "*)(uid=*",
            "alice)(uid=alice",
            "al*",
            "x)(|(uid=alice",
            "alice)(objectClass=inetOrgPerson))(&(uid=alice",
            "alice\0",
            "\\61lice",
            "{dn}",
            "{}",
        ] {
            assert_eq!(ldap.check(name, b"alice-secret").await, Ok(None), "{filter} {name:?}");
        }
    }
}

#[tokio::test]
async fn two_entries_of_one_name_are_nobody() {
    let Some(slapd) = Slapd::start("ldap", &Authority::new()) else { return };
    let ldap = searching(&slapd, &[]);
    assert_eq!(ldap.check("twin", b"twin-secret").await, Ok(None));
    let many = searching(&slapd, &[("user_filter", "(|(uid={})(objectClass=inetOrgPerson))")]);
    assert_eq!(many.check("alice", b"alice-secret").await, Ok(None), "and more than two, too");
}

/// Who is somebody by a login of long ago must still be there.
#[tokio::test]
async fn a_name_can_be_looked_up_without_a_password() {
    let Some(slapd) = Slapd::start("ldap", &Authority::new()) else { return };
    let ldap = searching(&slapd, &[("user_filter", "(|(uid={})(mail={}))")]);
    assert_eq!(ldap.look_up("alice").await, person("alice", &["Staff, EU", "ops"]));
    assert_eq!(ldap.look_up("Bob").await, person("Bob", &[]));
    for nobody in ["nobody", "Alice", "bob", "ann@example.com", "*", "twin", "", "alice)(uid=*"] {
        assert_eq!(ldap.look_up(nobody).await, Ok(None), "{nobody}");
    }
    let others = searching(&slapd, &[("user_filter", "(&(objectClass=posixAccount)(uid={}))")]);
    assert_eq!(others.look_up("alice").await, Ok(None), "what else is asked of users is asked here, too");
    let hidden = searching(&slapd, &[("bind_password", "wrong")]);
    assert_eq!(hidden.look_up("alice").await, Err(Unavailable));
}

#[tokio::test]
async fn tls_needs_a_certificate_that_is_trusted() {
    let authority = Authority::new();
    let Some(slapd) = Slapd::start("ldap", &authority) else { return };
    let ca = slapd.ca().display().to_string();
    let other = Authority::new().write(&slapd.file("other.pem")).display().to_string();
    let (plain, tls) = (slapd.url(), slapd.tls_url());
    for keys in [vec![("url", tls.as_str())], vec![("url", plain.as_str()), ("start_tls", "true")]] {
        let with = |ca: Option<&str>| {
            let mut keys = keys.clone();
            keys.extend(ca.map(|ca| ("ca", ca)));
            open(&keys)
        };
        assert_eq!(with(Some(&ca)).check("alice", b"alice-secret").await, person("alice", &[]), "{keys:?}");
        assert_eq!(with(Some(&ca)).check("alice", b"wrong").await, Ok(None), "{keys:?}");
        assert_eq!(with(Some(&other)).check("alice", b"alice-secret").await, Err(Unavailable), "{keys:?}");
        assert_eq!(
            with(None).check("alice", b"alice-secret").await,
            Err(Unavailable),
            "{keys:?}: of the system"
        );
    }
    // Another name than the certificate has.
    let port = tls.rsplit(':').next().expect("a port");
    let named = open(&[("url", &format!("ldaps://127.0.0.2:{port}")), ("ca", &ca)]);
    assert_eq!(named.check("alice", b"alice-secret").await, Err(Unavailable));
    // Whoever does not speak TLS where it is expected.
    let confused = open(&[("url", &plain.replace("ldap:", "ldaps:")), ("ca", &ca), ("timeout", "2s")]);
    assert_eq!(confused.check("alice", b"alice-secret").await, Err(Unavailable));
}

#[tokio::test]
async fn a_directory_that_cannot_say_is_no_refusal() {
    let Some(mut slapd) = Slapd::start("ldap", &Authority::new()) else { return };
    let ldap = searching(&slapd, &[]);
    slapd.stop();
    assert_eq!(ldap.check("alice", b"alice-secret").await, Err(Unavailable), "down");
    slapd.again();
    assert_eq!(
        ldap.check("alice", b"alice-secret").await,
        person("alice", &["Staff, EU", "ops"]),
        "and up again"
    );

    let url = slapd.url();
    let stranger = open(&[("url", &url), ("bind_dn", SEARCHER), ("bind_password", "wrong")]);
    assert_eq!(stranger.check("alice", b"alice-secret").await, Err(Unavailable), "the searcher is refused");
    let nowhere = searching(&slapd, &[("user_base", "ou=nowhere,dc=example,dc=com")]);
    assert_eq!(nowhere.check("alice", b"alice-secret").await, Err(Unavailable), "no place for users");
    let groupless = searching(&slapd, &[("group_base", "ou=nowhere,dc=example,dc=com")]);
    assert_eq!(groupless.check("alice", b"alice-secret").await, Err(Unavailable), "no place for groups");
    assert_eq!(groupless.check("alice", b"wrong").await, Ok(None));
}

#[tokio::test]
async fn a_directory_that_hangs_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("its address");
    let (url, started) = (format!("ldap://{address}"), Instant::now());
    for more in [&[][..], &[("start_tls", "true")]] {
        let mut keys = vec![("url", url.as_str()), ("timeout", "300ms")];
        keys.extend(more);
        let ldap = Arc::new(open(&keys));
        let logins: Vec<_> = (0..100)
            .map(|_| {
                let ldap = Arc::clone(&ldap);
                tokio::spawn(async move { ldap.check("alice", b"alice-secret").await })
            })
            .collect();
        for login in logins {
            assert_eq!(login.await.expect("an answer"), Err(Unavailable));
        }
    }
    assert!(started.elapsed() < Duration::from_secs(20), "each within its own time, not one after the other");
    let down = open(&[("url", &format!("ldap://{}", free_address()))]);
    assert_eq!(down.check("alice", b"alice-secret").await, Err(Unavailable));
}

/// What talks back, but not as a directory does: other protocols, cut off and broken messages, success for nobody's question.
#[tokio::test]
async fn what_is_not_ldap_is_not_believed() {
    let answers: [&[u8]; 9] = [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x00",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04",
        b"\x30\x05\x02\x01\x01\x61\x00",
        // A bind that succeeded, and then nothing more; and an answer with another number.
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x30\x0c\x02\x01\x63\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
    ];
    for answer in answers {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let url = format!("ldap://{}", listener.local_addr().expect("its address"));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer).await;
            // Open until the other end has had enough.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let ldap = open(&[("url", &url), ("timeout", "400ms")]);
        assert_eq!(ldap.check("alice", b"alice-secret").await, Err(Unavailable), "{answer:?}");
    }
}

#[tokio::test]
async fn the_searchers_password_can_be_kept_in_a_file_and_changed() {
    let Some(slapd) = Slapd::start("ldap", &Authority::new()) else { return };
    let (url, file) = (slapd.url(), slapd.file("password"));
    std::fs::write(&file, "old\n").expect("written");
    let kept = format!("{{ file = {file:?} }}");
    let ldap = open(&[("url", &url), ("bind_dn", SEARCHER), ("bind_password", &kept)]);
    assert_eq!(ldap.check("alice", b"alice-secret").await, Err(Unavailable));
    std::fs::remove_file(&file).expect("removed");
    ldap.reload();
    std::fs::write(&file, "searching\n").expect("written");
    assert_eq!(ldap.check("alice", b"alice-secret").await, Err(Unavailable), "not before it is asked to");
    ldap.reload();
    assert_eq!(ldap.check("alice", b"alice-secret").await, person("alice", &[]));
    let nowhere =
        [("url", url.as_str()), ("bind_dn", SEARCHER), ("bind_password", "{ file = \"/nowhere\" }")];
    let missing = Ldap::open(&server(&nowhere));
    assert!(missing.err().expect("an error").to_string().contains("/nowhere"));
}
