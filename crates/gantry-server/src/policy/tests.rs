//! The policy as a table: every kind of request, every caller, every setting.

use http::Method;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SESSION: &str = "6f6c5d4e-3b2a-4190-8877-665544332211";

fn requests() -> Vec<(Action, Request)> {
    let rows = [
        (Action::Greet, Method::GET, "/v2/".to_owned()),
        (Action::Pull, Method::GET, "/v2/_catalog".to_owned()),
        (Action::Pull, Method::GET, "/v2/a/tags/list".to_owned()),
        (Action::Pull, Method::GET, "/v2/a/manifests/v1".to_owned()),
        (Action::Push, Method::PUT, "/v2/a/manifests/v1".to_owned()),
        (Action::Delete, Method::DELETE, "/v2/a/manifests/v1".to_owned()),
        (Action::Delete, Method::DELETE, format!("/v2/a/manifests/{DIGEST}")),
        (Action::Pull, Method::GET, format!("/v2/a/referrers/{DIGEST}")),
        (Action::Pull, Method::GET, format!("/v2/a/blobs/{DIGEST}")),
        (Action::Delete, Method::DELETE, format!("/v2/a/blobs/{DIGEST}")),
        (Action::Push, Method::POST, "/v2/a/blobs/uploads/".to_owned()),
        (Action::Push, Method::GET, format!("/v2/a/blobs/uploads/{SESSION}")),
        (Action::Push, Method::PATCH, format!("/v2/a/blobs/uploads/{SESSION}")),
        (Action::Push, Method::DELETE, format!("/v2/a/blobs/uploads/{SESSION}")),
        (Action::Pull, Method::GET, "/v2/_oci/ext/discover".to_owned()),
        (Action::Pull, Method::GET, "/v2/a/_oci/ext/discover".to_owned()),
    ];
    let put = (
        Action::Push,
        Method::PUT,
        format!("/v2/a/blobs/uploads/{SESSION}"),
        Some(format!("digest={DIGEST}")),
    );
    rows.into_iter()
        .map(|(action, method, path)| (action, method, path, None))
        .chain([put])
        .map(|(action, method, path, query)| {
            (action, Request::parse(&method, &path, query.as_deref()).unwrap())
        })
        .collect()
}

#[test]
fn every_request_for_every_caller() {
    for (action, request) in requests() {
        assert_eq!(Action::of(&request), action, "{request:?}");
        for anonymous in [Anonymous::None, Anonymous::Read, Anonymous::Write] {
            for accounts in [false, true] {
                let rules = Rules {
                    anonymous,
                    accounts,
                    delete: vec![Deletable::Tag, Deletable::Manifest, Deletable::Blob],
                };
                let account = Identity::Account("alice".into());
                assert!(
                    decide(account, request.clone(), &rules).is_ok(),
                    "accounts may everything: {request:?}"
                );
                let expected = match (anonymous, action) {
                    (Anonymous::Write, _) | (Anonymous::Read, Action::Pull) => true,
                    (Anonymous::Read, Action::Greet) => !accounts,
                    _ => false,
                };
                let answer = decide(Identity::Anonymous, request.clone(), &rules);
                match (expected, accounts) {
                    (true, _) => assert!(answer.is_ok(), "{anonymous:?} {request:?}"),
                    (false, true) => assert_eq!(answer.unwrap_err(), Denied::Unauthenticated),
                    (false, false) => assert_eq!(answer.unwrap_err(), Denied::Forbidden),
                }
            }
        }
    }
}

#[test]
fn what_may_not_be_deleted_stays() {
    let rules = Rules { anonymous: Anonymous::Write, accounts: false, delete: Vec::new() };
    for (action, request) in requests() {
        let answer = decide(Identity::Anonymous, request.clone(), &rules);
        match action {
            Action::Delete => {
                assert!(matches!(answer.unwrap_err(), Denied::DeleteDisabled(_)), "{request:?}");
            }
            _ => assert!(answer.is_ok(), "{request:?}"),
        }
    }
}
