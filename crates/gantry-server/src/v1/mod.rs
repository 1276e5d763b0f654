//! The Docker Registry API v1 and its Index, on the same repositories as V2.
//!
//! `handle` is the whole path of a request: parse it into a value, find out who asks ([`caller`]), decide in which repository and
//! whether, act, render. Failures become answers in [`crate::http::legacy`]. Images are [`crate::registry`]'s matter.

mod caller;
mod images;
mod index;
mod repositories;
mod search;
mod token;
mod users;

use gantry_oci::v1::{Endpoint, ImagePart, Request};
use http::request::Parts;

use crate::app::App;
use crate::http::legacy::Failure;
use crate::http::{Peer, RequestBody, RequestId, Response};
use caller::Caller;

/// What handlers know of a request beside the [`Request`] itself.
struct Context<'a> {
    app: &'a App,
    peer: &'a Peer,
    parts: &'a Parts,
    caller: Caller,
    /// The method is HEAD: the answer's body is not sent.
    head: bool,
}

/// Whether this server answers v1 to this request at all: it is switched on, and the host that was asked is one that does.
pub(crate) fn is_mine(_app: &App, _peer: &Peer, _parts: &Parts) -> bool {
    todo!()
}

/// Answers a request below `/v1/`, and says which row of the table it belongs to.
pub(crate) async fn handle(
    _app: &App,
    _peer: &Peer,
    _parts: &Parts,
    _body: RequestBody,
    _request_id: &RequestId,
) -> (Option<Endpoint>, Response) {
    todo!()
}

async fn dispatch(cx: &Context<'_>, request: Request, body: RequestBody) -> Result<Response, Failure> {
    match request {
        Request::Ping => Ok(index::ping(cx)),
        Request::Search(query) => search::search(cx, query).await,
        Request::Login => users::login(cx),
        Request::SignUp => Box::pin(users::sign_up(cx, body)).await,
        Request::ChangeUser { name } => Box::pin(users::change(cx, &name, body)).await,
        Request::GetImage { id, part } => match part {
            ImagePart::Layer => images::layer(cx, &id).await,
            part => images::get(cx, &id, part).await,
        },
        Request::PutImage { id, part } => Box::pin(images::put(cx, &id, part, body)).await,
        Request::ListTags(name) => repositories::tags(cx, &name).await,
        Request::GetTag(name, tag) => repositories::tag(cx, &name, &tag).await,
        Request::PutTag(name, tag) => Box::pin(repositories::put_tag(cx, &name, tag, body)).await,
        Request::DeleteTag(name, tag) => repositories::delete_tag(cx, &name, &tag).await,
        Request::DeleteRepository(name) => repositories::delete(cx, &name).await,
        Request::TagInfo(name, tag) => repositories::info(cx, &name, &tag).await,
        Request::GetProperties(name) => repositories::properties(cx, &name).await,
        Request::PutProperties(name) => Box::pin(repositories::put_properties(cx, &name, body)).await,
        Request::PutRepository(name) => Box::pin(index::put_repository(cx, &name, body)).await,
        Request::GetImages(name) => index::images(cx, &name).await,
        Request::PutImages(name) => Box::pin(index::put_images(cx, &name, body)).await,
        Request::DeleteImages(name) => index::delete_images(cx, &name).await,
        Request::Authorize(name) => index::authorize(cx, &name).await,
        Request::LayerAccess(name, id) => index::layer_access(cx, &name, &id).await,
    }
}
