//! The other name of a repository: `foo` for `library/foo` and the other way round, which v1 takes for one.
//!
//! Whoever pushed `HOST/foo` by v1 finds it by V2 under both names, as long as only one of them is there. For reading only, and only after
//! the name that was asked for was found to be unknown to a caller who may pull it.

use gantry_oci::{RepoName, Request, v1};
use http::request::Parts;

use crate::app::App;

/// The same request, of the repository by its other name.
pub(super) fn of(app: &App, parts: &Parts, unknown: &RepoName) -> Option<Request> {
    if !app.config.settings.v1.library_alias || !app.config.v1_enabled() {
        return None;
    }
    let name = v1::V1Name::from(unknown.clone()).other()?;
    match Request::parse(&parts.method, parts.uri.path(), parts.uri.query()).ok()? {
        Request::ListTags { page, .. } => Some(Request::ListTags { name, page }),
        Request::GetManifest { reference, .. } => Some(Request::GetManifest { name, reference }),
        Request::Referrers { digest, artifact_types, after, n, .. } => {
            Some(Request::Referrers { name, digest, artifact_types, after, n })
        }
        Request::GetBlob { digest, .. } => Some(Request::GetBlob { name, digest }),
        _ => None,
    }
}
