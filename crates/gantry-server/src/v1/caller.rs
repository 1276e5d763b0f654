//! Who makes a v1 request, and in which repository it is looked for.
//!
//! URLs of images name no repository. A token says which one, or the cookie that the Index gave; else a read looks in every
//! repository that the caller may read, and a write goes to a staging place of the caller's own. Nobody finds another's image.

use std::sync::Arc;

use gantry_oci::RepoName;
use gantry_oci::access::Action;
use gantry_oci::v1::{ImageId, V1Name};
use http::request::Parts;

use crate::app::App;
use crate::auth::Identity;
use crate::http::legacy::Failure;
use crate::http::{Met, Peer};
use crate::policy::Rules;
use crate::registry::ImageSources;

/// Who it is, and what for.
pub(super) struct Caller {
    pub(super) identity: Identity,
    pub(super) rules: Arc<Rules>,
    /// The repository of the token or cookie.
    pub(super) repository: Option<V1Name>,
    /// The caller's staging place.
    pub(super) staging: RepoName,
}

impl Caller {
    /// Finds out.
    pub(super) async fn of(
        _app: &App,
        _peer: &Peer,
        _parts: &Parts,
        _met: &mut Met,
    ) -> Result<Self, Failure> {
        todo!()
    }

    /// The repository that a request names, as V2 has it: the one that is there, of the two ways to write it; as it was written when
    /// neither is. The caller may do this to it.
    pub(super) async fn repository(
        &self,
        _app: &App,
        _name: &V1Name,
        _action: Action,
    ) -> Result<RepoName, Failure> {
        todo!()
    }

    /// Where the image of a request that names no repository is read.
    pub(super) async fn reads(&self, _app: &App, _id: &ImageId) -> Result<RepoName, Failure> {
        todo!()
    }

    /// Where it is written.
    pub(super) async fn writes(&self, _app: &App) -> Result<RepoName, Failure> {
        todo!()
    }

    /// Calls `with` with where else the caller may take images from.
    pub(super) fn sources<T>(&self, _with: impl FnOnce(ImageSources<'_>) -> T) -> T {
        todo!()
    }
}
