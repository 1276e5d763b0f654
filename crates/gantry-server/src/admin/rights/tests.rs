//! The table: every route, what it may be about, every caller.

use gantry_oci::access::Role;

use super::*;
use crate::admin::route::Route;
use crate::auth::{Bounds, Known, Source};
use crate::policy::{GrantRule, Origin, Parts};

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

fn grant(to: &str, role: Role, pattern: &str) -> GrantRule {
    GrantRule { subject: subject(to), role, pattern: pattern.parse().unwrap(), origin: Origin::Row }
}

fn rules() -> Rules {
    Rules::new(Parts {
        accounts: true,
        grants: vec![
            grant("reader", Role::Pull, "team"),
            grant("writer", Role::Push, "team"),
            grant("deleter", Role::Delete, "**"),
            grant("chief", Role::Admin, "team"),
            grant("other", Role::Admin, "other"),
            grant("group:crew", Role::Admin, "team"),
            grant("robot:ci", Role::Admin, "**"),
            grant("boss", Role::Admin, "**"),
        ],
        ..Parts::default()
    })
}

fn plain(name: &str, credential: Credential) -> Identity {
    Identity::plain(subject(name), Source::Account, credential)
}

fn with(identity: &Identity, change: impl FnOnce(&mut Known)) -> Identity {
    let mut known = identity.known_parts();
    change(&mut known);
    Identity::known(known)
}

/// The columns of the table. Who has expired or was revoked is nobody, or not even let in.
fn callers() -> Vec<(&'static str, Identity)> {
    let password = |name| plain(name, Credential::Password);
    let server_admin = with(&password("root"), |known| known.admin = true);
    let token = |name| with(&plain(name, Credential::Token), |known| known.token = Some(uuid::Uuid::nil()));
    let scoped = with(&token("boss"), |known| known.bounds.scopes = Some(vec!["**:*".parse().unwrap()]));
    let bearer = with(&plain("root", Credential::Bearer), |known| {
        known.admin = true;
        known.bounds = Bounds { access: Some(Vec::new()), ..Bounds::default() };
    });
    let robot = with(&token("robot:ci"), |known| known.source = Source::Robot);
    vec![
        ("anonymous", Identity::anonymous()),
        (
            "anonymous with a bearer token",
            with(&Identity::anonymous(), |k| k.credential = Credential::Bearer),
        ),
        ("reader", password("reader")),
        ("writer", password("writer")),
        ("deleter", password("deleter")),
        ("admin of the namespace", password("chief")),
        ("the same by a session", plain("chief", Credential::Session)),
        ("the same by a certificate", plain("chief", Credential::Certificate)),
        ("admin by a group", with(&password("dora"), |known| known.groups = vec!["crew".to_owned()])),
        ("admin of another namespace", password("other")),
        ("robot", robot),
        ("token of one who may everything", token("boss")),
        ("scoped token of the same", scoped),
        ("bearer token of the server admin", bearer),
        ("server admin", server_admin),
        ("operator", Identity::operator()),
    ]
}

/// Nobody | the two who are nobody.
const NOBODY: &str = "--";

/// What a route may be about, and who may then: a letter for each caller.
fn row(route: Route) -> Vec<(&'static str, String)> {
    // Callers:          reader..deleter  chief x3, group  other  robot, token, scoped, bearer  root, operator
    let everybody = "++".to_owned() + "+++" + "++++" + "+" + "++++" + "++";
    let somebody = NOBODY.to_owned() + "+++" + "++++" + "+" + "++++" + "++";
    let in_person = NOBODY.to_owned() + "+++" + "++++" + "+" + "----" + "++";
    let server_admin = NOBODY.to_owned() + "---" + "----" + "-" + "----" + "++";
    let of_team = NOBODY.to_owned() + "---" + "++++" + "-" + "----" + "++";
    let of_other = NOBODY.to_owned() + "---" + "----" + "+" + "----" + "++";
    let reader = NOBODY.to_owned() + "+--" + "----" + "-" + "----" + "++";
    let session = NOBODY.to_owned() + "---" + "-+--" + "-" + "----" + "--";
    match route {
        Route::OpenApi | Route::SessionBegin => vec![("nothing", everybody)],
        Route::Whoami => vec![("nothing", somebody)],
        Route::SessionShow | Route::SessionEnd => vec![("nothing", session)],
        Route::TokenList | Route::GrantList | Route::NamespaceList => vec![("nothing", in_person)],
        Route::UserShow | Route::UserChange | Route::LoginsEnd => {
            vec![("reader", reader), ("somebody else", server_admin.clone()), ("no name", server_admin)]
        }
        Route::TokenCreate | Route::TokenShow | Route::TokenRevoke => vec![
            ("token of reader", reader),
            ("token of somebody else", server_admin.clone()),
            ("robot's token for team", of_team),
            ("robot's token for other", of_other),
            ("robot's token for both", server_admin.clone()),
            ("robot's token for everything", server_admin.clone()),
            ("robot's token for nothing", server_admin),
        ],
        Route::GrantAdd | Route::GrantRemove | Route::NamespaceShow | Route::NamespaceChange => vec![
            ("team", of_team.clone()),
            ("team/app", of_team),
            ("other/*", of_other),
            ("teams", server_admin.clone()),
            ("*", server_admin.clone()),
            ("**", server_admin.clone()),
            ("tea*/app", server_admin),
        ],
        Route::Explain => vec![
            ("reader in team/app", NOBODY.to_owned() + "+--" + "++++" + "-" + "----" + "++"),
            ("robot in team/app", NOBODY.to_owned() + "---" + "++++" + "-" + "+---" + "++"),
            ("somebody else in apart", server_admin),
        ],
        Route::UserList
        | Route::UserCreate
        | Route::UserRemove
        | Route::NamespaceCreate
        | Route::NamespaceRemove
        | Route::StorageList
        | Route::StorageCheck
        | Route::JobList
        | Route::JobShow
        | Route::KeyList
        | Route::KeyRotate
        | Route::Audit => vec![("nothing", server_admin)],
    }
}

fn decided(identity: &Identity, route: Route, about: &str, rules: &Rules) -> Result<Permit, Denied> {
    let right = route.row().right;
    let scopes = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<TokenScope>>();
    let (reader, zoe, robot) = (subject("reader"), subject("zoe"), subject("robot:ci"));
    let pattern: Option<RepoPattern> = about.parse().ok();
    let (team, other) = ("team/app:pull", "other:pull,push");
    let decide = |about: About<'_>| decide(identity, right, about, rules);
    match about {
        "nothing" => decide(About::Nothing),
        "reader" => decide(About::Subject(Some(&reader))),
        "somebody else" => decide(About::Subject(Some(&zoe))),
        "no name" => decide(About::Subject(None)),
        "token of reader" => decide(About::Token(&reader, &[])),
        "token of somebody else" => decide(About::Token(&zoe, &scopes(&[team]))),
        "robot's token for team" => decide(About::Token(&robot, &scopes(&[team]))),
        "robot's token for other" => decide(About::Token(&robot, &scopes(&[other]))),
        "robot's token for both" => decide(About::Token(&robot, &scopes(&[team, other]))),
        "robot's token for everything" => decide(About::Token(&robot, &scopes(&["**:pull"]))),
        "robot's token for nothing" => decide(About::Token(&robot, &[])),
        "reader in team/app" => decide(About::Rights(&reader, "team/app")),
        "robot in team/app" => decide(About::Rights(&robot, "team/app")),
        "somebody else in apart" => decide(About::Rights(&zoe, "apart")),
        _ => decide(About::Pattern(pattern.as_ref().unwrap())),
    }
}

#[test]
fn every_route_for_every_caller() {
    let rules = rules();
    // `boss` is admin of everything, and only his tokens are tried: they never administer. `robot:ci` has such a grant too.
    for route in Route::ALL {
        for (about, expected) in row(*route) {
            for ((caller, identity), expected) in callers().iter().zip(expected.chars()) {
                let found = decided(identity, *route, about, &rules);
                assert_eq!(found.is_ok(), expected == '+', "{route:?} about {about} by {caller}: {found:?}");
                if identity.is_anonymous() && expected == '-' {
                    assert_eq!(found, Err(Denied::Anonymous), "{route:?} by {caller}");
                }
                if let Ok(permit) = found {
                    let all = matches!(*caller, "server admin" | "operator");
                    assert_eq!(permit.is_of_server_admin(), all, "{route:?} by {caller}");
                }
            }
            assert_eq!(expected.len(), callers().len(), "{route:?} {about}");
        }
    }
}

/// Whoever may not in any case is turned away before the body is read; nobody else is.
#[test]
fn what_is_said_at_the_door_agrees_with_what_is_decided() {
    let rules = rules();
    for route in Route::ALL {
        for (caller, identity) in callers() {
            let entered = enter(&identity, route.row().right).is_ok();
            for (about, _) in row(*route) {
                let decided = decided(&identity, *route, about, &rules).is_ok();
                assert!(entered || !decided, "{route:?} about {about} by {caller}");
            }
        }
    }
}
