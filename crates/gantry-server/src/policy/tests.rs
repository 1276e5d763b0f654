//! The policy as a table: every kind of request, every caller, every setting.

use gantry_oci::access::{Role, Subject, Visibility};
use http::Method;

use super::*;
use crate::auth::{Bounds, Known, Source};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SESSION: &str = "6f6c5d4e-3b2a-4190-8877-665544332211";

fn requests() -> Vec<(Need, Request)> {
    let (pull, push, delete) = (Need::On(Action::Pull), Need::On(Action::Push), Need::On(Action::Delete));
    let rows = [
        (Need::Greet, Method::GET, "/v2/".to_owned()),
        (Need::Catalog, Method::GET, "/v2/_catalog".to_owned()),
        (pull.clone(), Method::GET, "/v2/a/tags/list".to_owned()),
        (pull.clone(), Method::GET, "/v2/a/manifests/v1".to_owned()),
        (push.clone(), Method::PUT, "/v2/a/manifests/v1".to_owned()),
        (delete.clone(), Method::DELETE, "/v2/a/manifests/v1".to_owned()),
        (delete.clone(), Method::DELETE, format!("/v2/a/manifests/{DIGEST}")),
        (pull.clone(), Method::GET, format!("/v2/a/referrers/{DIGEST}")),
        (pull.clone(), Method::GET, format!("/v2/a/blobs/{DIGEST}")),
        (delete, Method::DELETE, format!("/v2/a/blobs/{DIGEST}")),
        (push.clone(), Method::POST, "/v2/a/blobs/uploads/".to_owned()),
        (push.clone(), Method::GET, format!("/v2/a/blobs/uploads/{SESSION}")),
        (push.clone(), Method::PATCH, format!("/v2/a/blobs/uploads/{SESSION}")),
        (push.clone(), Method::DELETE, format!("/v2/a/blobs/uploads/{SESSION}")),
        (Need::Greet, Method::GET, "/v2/_oci/ext/discover".to_owned()),
        (pull, Method::GET, "/v2/a/_oci/ext/discover".to_owned()),
    ];
    let put = (push, Method::PUT, format!("/v2/a/blobs/uploads/{SESSION}"), Some(format!("digest={DIGEST}")));
    rows.into_iter()
        .map(|(need, method, path)| (need, method, path, None))
        .chain([put])
        .map(|(need, method, path, query)| (need, Request::parse(&method, &path, query.as_deref()).unwrap()))
        .collect()
}

fn all() -> Vec<Deletable> {
    vec![Deletable::Tag, Deletable::Manifest, Deletable::Blob]
}

fn alice() -> Identity {
    Identity::plain(Subject::account("alice").unwrap(), Source::Account, Credential::Password)
}

fn with(identity: &Identity, change: impl FnOnce(&mut Known)) -> Identity {
    let mut known = identity.known_parts();
    change(&mut known);
    Identity::known(known)
}

fn grant(subject: &str, role: Role, pattern: &str) -> GrantRule {
    GrantRule {
        subject: subject.parse().unwrap(),
        role,
        pattern: pattern.parse().unwrap(),
        origin: Origin::Row,
    }
}

fn namespace(prefix: &str, visibility: Visibility) -> NamespaceParts {
    NamespaceParts {
        prefix: prefix.to_owned(),
        storage: "default".to_owned(),
        visibility: Some(visibility),
        immutable: vec!["v*".parse().unwrap()],
        protected: vec!["stable".parse().unwrap()],
        description: String::new(),
        origin: Origin::File,
    }
}

#[test]
fn every_request_for_nobody_in_particular() {
    for (need, request) in requests() {
        assert_eq!(Need::of(&request), need, "{request:?}");
        for anonymous in [None, Some(Anonymous::None), Some(Anonymous::Read), Some(Anonymous::Write)] {
            for accounts in [false, true] {
                let rules =
                    Arc::new(Rules::new(Parts { anonymous, accounts, delete: all(), ..Parts::default() }));
                let answer = decide(Identity::anonymous(), request.clone(), &rules);
                let anonymous = rules.anonymous();
                let expected = match (&need, anonymous) {
                    (_, Anonymous::None) => false,
                    (Need::Greet, _) => !accounts,
                    (_, Anonymous::Write) => true,
                    (Need::Catalog | Need::On(Action::Pull), Anonymous::Read) => true,
                    _ => false,
                };
                match (expected, accounts) {
                    (true, _) => assert!(answer.is_ok(), "{anonymous:?} {request:?}"),
                    (false, true) => {
                        assert!(matches!(answer.unwrap_err(), Denied::Unauthenticated { .. }), "{request:?}");
                    }
                    (false, false) => assert_eq!(answer.unwrap_err(), Denied::Closed, "{request:?}"),
                }
            }
        }
    }
}

/// N-15: roles in their order, and nothing without one.
#[test]
fn n_15_every_request_for_every_role() {
    for role in [None, Some(Role::Pull), Some(Role::Push), Some(Role::Delete), Some(Role::Admin)] {
        let grants = role.map(|role| grant("alice", role, "a")).into_iter().collect();
        let rules = Arc::new(Rules::new(Parts { accounts: true, delete: all(), grants, ..Parts::default() }));
        for (need, request) in requests() {
            let answer = decide(alice(), request.clone(), &rules);
            match need {
                Need::On(action) => {
                    let expected = role.is_some_and(|role| role.allows(action));
                    assert_eq!(answer.is_ok(), expected, "{role:?} {request:?}");
                    if let Err(denied) = answer {
                        assert!(matches!(denied, Denied::Forbidden(Missing::Grant { .. })), "{denied:?}");
                    }
                }
                _ => assert!(answer.is_ok(), "{request:?}"),
            }
        }
    }
}

#[test]
fn what_may_not_be_deleted_stays() {
    let rules = Arc::new(Rules::new(Parts { anonymous: Some(Anonymous::Write), ..Parts::default() }));
    for (need, request) in requests() {
        let answer = decide(Identity::anonymous(), request.clone(), &rules);
        match need {
            Need::On(Action::Delete) => {
                assert!(matches!(answer.unwrap_err(), Denied::DeleteDisabled(_)), "{request:?}");
            }
            _ => assert!(answer.is_ok(), "{request:?}"),
        }
    }
}

fn can(rules: &Rules, identity: &Identity, repository: &str) -> String {
    let actions = Action::ALL.iter().filter(|action| rules.right(identity, repository, **action).is_ok());
    actions.map(|action| action.as_str()).collect::<Vec<_>>().join(",")
}

/// N-16
#[test]
fn n_16_visibility() {
    let namespaces = vec![
        namespace("open", Visibility::Public),
        namespace("open/closed", Visibility::Private),
        namespace("veiled", Visibility::Hidden),
    ];
    let parts = Parts { accounts: true, delete: all(), namespaces, ..Parts::default() };
    let grants = vec![grant("alice", Role::Push, "veiled"), grant("group:dev", Role::Pull, "open/closed/**")];
    let rules = |anonymous| Rules::new(Parts { anonymous, grants: grants.clone(), ..parts.clone() });

    let bob = Identity::plain(Subject::account("bob").unwrap(), Source::Account, Credential::Password);
    let dev = with(&bob, |known| known.groups = vec!["dev".to_owned()]);
    for (anonymous, who, repository, expected, listed) in [
        (None, Identity::anonymous(), "open/a", "", false),
        (Some(Anonymous::Read), Identity::anonymous(), "open/a", "pull", true),
        (Some(Anonymous::Read), Identity::anonymous(), "open/closed/a", "", false),
        (Some(Anonymous::Read), Identity::anonymous(), "veiled/a", "pull", false),
        (Some(Anonymous::Write), Identity::anonymous(), "open/a", "pull", true),
        (Some(Anonymous::Write), Identity::anonymous(), "elsewhere", "pull,push,delete", true),
        (None, bob.clone(), "open/a", "pull", true),
        (None, bob.clone(), "open/closed/a", "", false),
        (None, bob.clone(), "veiled/a", "pull", false),
        (None, bob, "elsewhere", "", false),
        (None, dev, "open/closed/a", "pull", true),
        (None, alice(), "veiled", "pull,push", true),
        (None, alice(), "veiledness", "", false),
    ] {
        let rules = rules(anonymous);
        assert_eq!(can(&rules, &who, repository), expected, "{anonymous:?} {} {repository}", who.subject);
        assert_eq!(rules.lists(&who, repository), listed, "{anonymous:?} {} {repository}", who.subject);
        if listed && let Some(prefixes) = rules.listed_below(&who) {
            let below = |prefix: &String| {
                repository
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            assert!(prefixes.iter().any(below), "{} {repository} {prefixes:?}", who.subject);
        }
    }
}

/// A namespace that only says where bytes go changes nothing for anybody.
#[test]
fn what_a_namespace_does_not_say_is_as_around_it() {
    let storage_only = |prefix| NamespaceParts { visibility: None, ..namespace(prefix, Visibility::Public) };
    let namespaces =
        vec![storage_only("closed/big"), namespace("closed", Visibility::Private), storage_only("big")];
    let open = Rules::new(Parts { namespaces: namespaces.clone(), ..Parts::default() });
    assert_eq!(can(&open, &Identity::anonymous(), "big/a"), "pull,push,delete");
    assert_eq!(can(&open, &Identity::anonymous(), "closed/big/a"), "");
    let read = Rules::new(Parts {
        anonymous: Some(Anonymous::Read),
        accounts: true,
        namespaces,
        ..Parts::default()
    });
    assert_eq!(can(&read, &Identity::anonymous(), "big/a"), "pull");
}

/// Whoever removes a private namespace is told when that shows everybody what is below it.
#[test]
fn what_a_private_namespace_hides() {
    let namespaces = vec![
        namespace("open", Visibility::Public),
        namespace("open/closed", Visibility::Private),
        namespace("open/closed/deep", Visibility::Private),
        namespace("lone", Visibility::Private),
    ];
    let rules = |anonymous| {
        let anonymous = Some(anonymous);
        Rules::new(Parts { anonymous, accounts: true, namespaces: namespaces.clone(), ..Parts::default() })
    };
    let read = rules(Anonymous::Read);
    assert_eq!(read.opened_without("open/closed"), Some(Visibility::Public));
    assert_eq!(read.opened_without("open/closed/deep"), None);
    assert_eq!(read.opened_without("lone"), Some(Visibility::Public));
    assert_eq!(rules(Anonymous::None).opened_without("lone"), None);
    assert_eq!(read.opened_without("open"), None);
    assert_eq!(read.opened_without("nothing"), None);
}

/// N-4: a token only narrows; A-24, N-8: bearer tokens.
#[test]
fn n_4_tokens_only_narrow() {
    let rules = Rules::new(Parts {
        accounts: true,
        namespaces: vec![namespace("open", Visibility::Public)],
        grants: vec![grant("alice", Role::Delete, "team"), grant("alice", Role::Admin, "mine")],
        ..Parts::default()
    });
    let scoped = |scopes: &[&str]| {
        let scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
        with(&alice(), |known| {
            known.credential = Credential::Token;
            known.token = Some(uuid::Uuid::nil());
            known.bounds = Bounds { scopes: Some(scopes), ..Bounds::default() };
        })
    };
    assert_eq!(can(&rules, &scoped(&["team/app:pull"]), "team/app"), "pull");
    assert_eq!(can(&rules, &scoped(&["team/app:pull"]), "team/other"), "");
    assert_eq!(can(&rules, &scoped(&["**:pull,push,delete"]), "team/app"), "pull,push,delete");
    assert_eq!(can(&rules, &scoped(&["**:pull,push,delete"]), "foreign/app"), "", "scopes give nothing");
    assert_eq!(can(&rules, &scoped(&["team:push"]), "open/a"), "pull", "everybody pulls");
    assert!(!rules.administers(&scoped(&["**:*"]), "mine/a") && rules.administers(&alice(), "mine/a"));

    let bearer = |subject: &Identity, name: &str, actions: &[&str], alone| {
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        let access = gantry_oci::access::Access { kind: "repository".into(), name: name.into(), actions };
        with(subject, |known| {
            known.credential = Credential::Bearer;
            known.bounds = Bounds { access: Some(vec![access]), alone, scopes: None };
        })
    };
    let everything = ["pull", "push", "delete"];
    assert_eq!(can(&rules, &bearer(&alice(), "team/app", &["pull", "push"], false), "team/app"), "pull,push");
    assert_eq!(can(&rules, &bearer(&alice(), "team/app", &everything, false), "team/app2"), "");
    assert_eq!(can(&rules, &bearer(&alice(), "other", &everything, false), "other"), "", "revoked since");
    assert_eq!(can(&rules, &bearer(&Identity::anonymous(), "other", &everything, false), "other"), "");
    assert_eq!(can(&rules, &bearer(&alice(), "other", &["*"], true), "other"), "pull,push,delete");
    assert_eq!(can(&rules, &bearer(&alice(), "other", &["*"], true), "team/app"), "");
}

/// N-19
#[test]
fn n_19_tags_that_are_held() {
    let rules = Rules::new(Parts {
        accounts: true,
        namespaces: vec![namespace("team", Visibility::Private)],
        grants: vec![grant("alice", Role::Admin, "team"), grant("bob", Role::Delete, "team")],
        ..Parts::default()
    });
    let bob = Identity::plain(Subject::account("bob").unwrap(), Source::Account, Credential::Password);
    let root = with(&bob, |known| known.admin = true);
    for (who, tag, held) in [
        (&bob, "v1", true),
        (&bob, "stable", true),
        (&bob, "latest", false),
        (&alice(), "v1", true),
        (&alice(), "stable", false),
        (&root, "v1", true),
        (&root, "stable", false),
    ] {
        assert_eq!(rules.locks(who, "team/app").holding(tag).is_some(), held, "{} {tag}", who.subject);
        assert!(rules.locks(who, "elsewhere").holding(tag).is_none());
    }
}

/// N-15: what a namespace admin may grant.
#[test]
fn n_15_admins_grant_within_their_namespace() {
    let rules = Rules::new(Parts {
        accounts: true,
        grants: vec![grant("alice", Role::Admin, "team")],
        ..Parts::default()
    });
    let covers = |pattern: &str| rules.administers_all(&alice(), &pattern.parse().unwrap());
    assert!(covers("team") && covers("team/**") && covers("team/app-*"));
    assert!(!covers("**") && !covers("teams") && !covers("*") && !covers("**/team"));
}

/// N-21
#[test]
fn n_21_explanations_are_the_decision_in_words() {
    let rules = Rules::new(Parts {
        accounts: true,
        namespaces: vec![namespace("team", Visibility::Public)],
        grants: vec![grant("alice", Role::Push, "team/**")],
        ..Parts::default()
    });
    let ask = |subject: &str, action, repository: &str, tag: Option<&str>| {
        rules.explain(&Asked {
            subject: subject.parse().unwrap(),
            groups: Vec::new(),
            admin: false,
            source: Source::Account,
            own: Vec::new(),
            action,
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
        })
    };
    let yes = ask("alice", Action::Push, "team/app", None);
    assert!(yes.allowed && yes.rule.unwrap().contains("alice has the role `push` on `team/**`"));
    let no = ask("bob", Action::Push, "team/app", None);
    assert!(!no.allowed && no.missing.unwrap().contains("a grant to bob of the role `push` on `team/app`"));
    let public = ask("bob", Action::Pull, "team/app", None);
    assert!(public.allowed && public.rule.unwrap().contains("`team` is public"));
    let held = ask("alice", Action::Push, "team/app", Some("v1"));
    assert!(!held.allowed && held.rule.unwrap().contains("tags `v*` are immutable"));
    let root = Rules::new(Parts {
        accounts: true,
        namespaces: vec![namespace("", Visibility::Public)],
        ..Parts::default()
    });
    let why = root.right(&alice(), "x", Action::Pull).unwrap().to_string();
    assert!(why.contains("the namespace `/` is public"), "{why}");
    let anonymous = ask("anonymous", Action::Pull, "team/app", None);
    assert!(!anonymous.allowed && anonymous.missing.unwrap().contains("auth.anonymous"));
}

/// V-19.6: read under its other name a repository needs its own right, and a token that its owner narrowed stays narrow; a bearer token
/// counts that was issued for the name that was asked for.
#[test]
fn v_19_6_another_repository_in_place_of_one_that_is_not_there() {
    let grants = vec![grant("alice", Role::Pull, "a"), grant("alice", Role::Pull, "library/a")];
    let parts = Parts { accounts: true, delete: all(), grants, ..Parts::default() };
    let rules = Arc::new(Rules::new(parts));
    let may = |identity: &Identity, method: Method, path: &str| {
        let request = Request::parse(&method, path, None).unwrap();
        decide_instead(identity.clone(), request, &rules).is_some()
    };
    let tags = "/v2/library/a/tags/list";
    assert!(may(&alice(), Method::GET, tags));
    assert!(!may(&alice(), Method::GET, "/v2/library/b/tags/list"));
    assert!(!may(&alice(), Method::PUT, "/v2/library/a/manifests/v1"), "to read only");
    assert!(!may(&alice(), Method::GET, "/v2/_catalog"));
    assert!(!may(&Identity::anonymous(), Method::GET, tags));
    let bearer = with(&alice(), |known| {
        known.credential = Credential::Bearer;
        known.bounds = Bounds { access: Some(Vec::new()), ..Bounds::default() };
    });
    assert!(may(&bearer, Method::GET, tags));
    let narrow = with(&bearer, |known| known.bounds.scopes = Some(vec!["a:pull".parse().unwrap()]));
    assert!(!may(&narrow, Method::GET, tags));
    let foreign = with(&bearer, |known| known.bounds.alone = true);
    assert!(!may(&foreign, Method::GET, tags));
}
