//! Who makes a v1 request, and in which repository it is looked for.
//!
//! URLs of images name no repository. A token says which one, or the cookie that the Index gave; else a read looks in every
//! repository that the caller may read, and a write goes to a staging place of the caller's own. Nobody finds another's image.
//!
//! A token is a credential for one repository; the cookie is none, and only says where somebody is at work who shows a password, or
//! nothing.

use std::sync::{Arc, OnceLock};

use gantry_oci::RepoName;
use gantry_oci::access::Action;
use gantry_oci::v1::{Authorization, ImageId, TokenFields, V1Name};
use gantry_storage::{ImageState, StoredImage};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use super::delegate::{self, ForeignToken};
use super::token::{self, COOKIE};
use crate::app::App;
use crate::auth::{Asking, AuthError, Bounds, Credential, Identity, TokenError};
use crate::http::legacy::Failure;
use crate::http::{Door, Met, Peer, asking, cookie, identify, met_as};
use crate::policy::{self, Denied, Missing, Rules};
use crate::registry::{CANDIDATES, ImageError, ImageSources, MayPull, RegistryError};

/// Who it is, and what for.
pub(super) struct Caller {
    pub(super) identity: Identity,
    pub(super) rules: Arc<Rules>,
    /// The repository of the token or cookie, written as V2 has it.
    pub(super) repository: Option<V1Name>,
    /// The caller's staging place, once it was asked for: most requests do not.
    staging: OnceLock<RepoName>,
    /// The caller came by a token: it is for its repository and for no other.
    bound: bool,
    /// The token, where another server made it.
    pub(super) foreign: Option<ForeignToken>,
}

impl Caller {
    /// Finds out.
    pub(super) async fn of(app: &App, peer: &Peer, parts: &Parts, met: &mut Met) -> Result<Self, Failure> {
        let mut lines = parts.headers.get_all(header::AUTHORIZATION).iter();
        let shown = match (lines.next(), lines.next()) {
            (line, None) => Authorization::parse(line.map(HeaderValue::as_bytes)),
            // Of two none can be trusted, which is the chain's to say.
            (_, Some(_)) => Authorization::Other,
        };
        let mut foreign = None;
        let (identity, told) = match shown {
            Authorization::Token(fields) if let Some(index) = &app.index => {
                let found = delegate::by_token(app, index, (peer, parts), &fields, met).await?;
                let (identity, told, token) = found;
                foreign = Some(token);
                (identity, Some(told))
            }
            Authorization::Token(fields) => {
                let (identity, told) = by_token(app, peer, parts, &fields, met).await?;
                (identity, Some(told))
            }
            Authorization::Malformed => (malformed(app, peer, parts, met)?, None),
            Authorization::Nothing => (nobody(app, peer, parts, met).await?, None),
            Authorization::Other => (identify(app, peer, parts, met).await?, None),
        };
        let rules = app.access.rules().await.map_err(RegistryError::Storage)?;
        // On an open registry nothing is checked, so a token means as much as the cookie does.
        let bound = told.is_some() && app.access.auth.has_accounts();
        let told = told.or_else(|| by_cookie(app, peer, parts));
        let (repository, staging) = (told.map(V1Name::from), OnceLock::new());
        Ok(Self { identity, rules, repository, staging, bound, foreign })
    }

    /// The caller's staging place.
    fn staging(&self) -> &RepoName {
        self.staging.get_or_init(|| {
            let identity = &self.identity;
            // An account that is made anew under an old name finds nothing that was left behind.
            let made = identity.made.map(|made| format!(" {}", made.0)).unwrap_or_default();
            // What is narrowed finds only what came by the same narrow way.
            let narrowed = match &identity.bounds {
                Bounds { scopes: None, access: None, .. } => String::new(),
                bounds => format!(" {bounds:?}"),
            };
            RepoName::staging(&format!("{}{made}{narrowed}", identity.subject))
        })
    }

    /// The repository that a request names, as V2 has it: the one that is there, of the two ways to write it; as it was written when
    /// neither is. The caller may do this to it.
    pub(super) async fn repository(
        &self,
        app: &App,
        name: &V1Name,
        action: Action,
    ) -> Result<RepoName, Failure> {
        let repo = match &self.repository {
            // Old clients ask for `foo` first, and then for `library/foo` with the token of the first.
            Some(told) if told.is(name) => told.written().clone(),
            Some(_) if self.bound => return Err(Failure::Unauthorized),
            _ => self.spelling(app, name).await?,
        };
        self.may(&repo, action)?;
        Ok(repo)
    }

    /// Of the two ways to write a name the one that is meant. What the caller may not see is as if it were not there.
    async fn spelling(&self, app: &App, name: &V1Name) -> Result<RepoName, Failure> {
        let written = name.written();
        let Some(other) = name.other().filter(|other| self.may_pull(other)) else {
            return Ok(written.clone());
        };
        if self.may_pull(written) {
            return there(app, name).await;
        }
        Ok(if is_there(app, &other).await? { other } else { written.clone() })
    }

    /// Whether the caller may do this to a repository.
    fn may(&self, repo: &RepoName, action: Action) -> Result<(), Failure> {
        let Err(denied) = policy::may(&self.identity, repo, action, &self.rules) else { return Ok(()) };
        Err(match denied {
            Denied::Unauthenticated { .. } => Failure::Unauthorized,
            // A token that was made for less, or for nobody: another one may help.
            Denied::InsufficientScope {
                missing: None | Some(Missing::BearerAccess { .. } | Missing::Login | Missing::LoginToPull),
                ..
            } => Failure::Unauthorized,
            Denied::InsufficientScope { missing: Some(missing), .. } | Denied::Forbidden(missing) => {
                match self.may_pull(repo) {
                    true => Failure::Denied(Denied::Forbidden(missing)),
                    false => Failure::Hidden(repo.clone()),
                }
            }
            denied => Failure::Denied(denied),
        })
    }

    /// Where else the caller may take images from.
    pub(super) fn sources(&self) -> ImageSources<'_> {
        ImageSources { staging: Some(self.staging()), reader: self }
    }

    /// Where the image of a request that names no repository is read.
    pub(super) async fn reads(&self, app: &App, id: &ImageId) -> Result<RepoName, Failure> {
        if let Some(told) = &self.repository {
            self.may(told.written(), Action::Pull)?;
            return Ok(told.written().clone());
        }
        let mut found: Option<(RepoName, Arc<StoredImage>)> = None;
        let mut doubtful = false;
        let may =
            |repo: &RepoName| if repo.is_staging() { repo == self.staging() } else { self.may_pull(repo) };
        let homes = app.registry.repositories_with_image(id).await?;
        let mut homes = homes.into_iter().filter(may).take(CANDIDATES).peekable();
        let first = homes.next();
        // Most often there is one, and nothing to compare.
        if let (Some(only), None) = (&first, homes.peek()) {
            return Ok(only.clone());
        }
        for repo in first.into_iter().chain(homes) {
            let image = match app.registry.image(&repo, id).await {
                Ok(image) => image,
                // Gone since it was listed.
                Err(RegistryError::Image(ImageError::Unknown)) => continue,
                Err(error) => return Err(error.into()),
            };
            match &found {
                Some((_, other)) if whole(other) && whole(&image) => match (other.derived, image.derived) {
                    // The id of a derived image is the hash of what it is; that of a pushed one is anybody's word.
                    (true, false) => {}
                    (false, true) => found = Some((repo, image)),
                    _ => doubtful |= !same(other, &image),
                },
                Some((_, other)) if whole(other) || !whole(&image) => {}
                _ => found = Some((repo, image)),
            }
        }
        match found {
            Some((repo, image)) if image.derived || !doubtful => Ok(repo),
            // Two images of one id: which is meant nobody knows, and so neither is given.
            _ => Err(self.no_image()),
        }
    }

    /// Whoever shows nothing may find more by showing something.
    fn no_image(&self) -> Failure {
        if self.is_nobody() { Failure::Unauthorized } else { ImageError::Unknown.into() }
    }

    /// Whether nothing was shown where one can be somebody.
    pub(super) fn is_nobody(&self) -> bool {
        self.identity.credential == Credential::Nothing && self.rules.has_accounts()
    }

    /// Where it is written.
    pub(super) fn writes(&self) -> Result<RepoName, Failure> {
        match &self.repository {
            Some(told) => self.may(told.written(), Action::Push).map(|()| told.written().clone()),
            // What leads to no repository must not fill the disk.
            None if self.rules.pushes_somewhere(&self.identity) => Ok(self.staging().clone()),
            None if self.is_nobody() => Err(Failure::Unauthorized),
            None => Err(Failure::Said(
                StatusCode::FORBIDDEN,
                "requested access is denied; there is no repository that this caller may push to",
            )),
        }
    }
}

/// The one that is there of the two ways to write a name, where everybody may see both; as it was written when neither is.
async fn there(app: &App, name: &V1Name) -> Result<RepoName, Failure> {
    let written = name.written();
    let Some(other) = name.other() else { return Ok(written.clone()) };
    let is_other = !is_there(app, written).await? && is_there(app, &other).await?;
    Ok(if is_other { other } else { written.clone() })
}

async fn is_there(app: &App, repo: &RepoName) -> Result<bool, Failure> {
    Ok(app.registry.meta().repository_exists(repo).await.map_err(RegistryError::Storage)?)
}

impl MayPull for Caller {
    fn may_pull(&self, repo: &RepoName) -> bool {
        self.rules.right(&self.identity, repo.as_str(), Action::Pull).is_ok()
    }
}

fn whole(image: &StoredImage) -> bool {
    image.state == ImageState::Complete
}

/// Whether two images are the same in all that a client gets of them.
fn same(one: &StoredImage, other: &StoredImage) -> bool {
    let layer = |image: &StoredImage| image.layer.as_ref().map(|layer| layer.digest);
    one.json == other.json && layer(one) == layer(other)
}

/// Somebody with a token, and the repository that it is for.
async fn by_token(
    app: &App,
    peer: &Peer,
    parts: &Parts,
    fields: &TokenFields,
    met: &mut Met,
) -> Result<(Identity, RepoName), Failure> {
    let door = Door::of(&app.config, peer, parts);
    let asking = asking(app, peer, parts, None, &door.service);
    let auth = &app.access.auth;
    if !auth.has_accounts() {
        let found = auth.identify(&asking).await;
        let identity = met_as(app, &asking, token::OFFERED, found, met)?;
        // One that has ended, or is of another host's name, still says what it was for: tokens say `library/foo` for `foo` too, so
        // that which of them it is must be looked up.
        let repository = match auth.v1_repository(&fields.signature, &door.service) {
            Some(repository) => repository,
            None => there(app, &fields.repository).await?,
        };
        return Ok((identity, repository));
    }
    let found = auth.v1_token(&fields.signature, &asking).await;
    // What stands beside the signature must be what was signed: no client has a reason to write anything else.
    let found = found.and_then(|found| match token::agrees(&found, fields) {
        true => Ok(found),
        false => Err(AuthError::BadToken(TokenError::Claims)),
    });
    let identity = found.as_ref().map(|found| found.identity.clone()).map_err(Clone::clone);
    let identity = met_as(app, &asking, token::OFFERED, identity, met)?;
    Ok((identity, found?.repository))
}

/// Something that begins as a token does and is none.
fn malformed(app: &App, peer: &Peer, parts: &Parts, met: &mut Met) -> Result<Identity, Failure> {
    let asking = asking(app, peer, parts, None, "");
    let auth = &app.access.auth;
    let found = auth.admit(asking.address).and_then(|()| match auth.has_accounts() {
        true => Err(AuthError::BadToken(TokenError::Malformed)),
        false => Ok(Identity::anonymous()),
    });
    Ok(met_as(app, &asking, token::OFFERED, found, met)?)
}

/// No credentials, or a header that says so in one of the ways of old clients.
async fn nobody(app: &App, peer: &Peer, parts: &Parts, met: &mut Met) -> Result<Identity, Failure> {
    if !parts.headers.contains_key(header::AUTHORIZATION) {
        return Ok(identify(app, peer, parts, met).await?);
    }
    let asking = Asking { authorization: None, ..asking(app, peer, parts, None, "") };
    let found = app.access.auth.identify(&asking).await;
    Ok(met_as(app, &asking, token::OFFERED, found, met)?)
}

/// The repository of the cookie. One that says nothing is none: it is no credential that could be wrong.
fn by_cookie(app: &App, peer: &Peer, parts: &Parts) -> Option<RepoName> {
    let shown = cookie(&parts.headers, COOKIE)?;
    app.access.auth.v1_repository(shown, &Door::of(&app.config, peer, parts).service)
}
