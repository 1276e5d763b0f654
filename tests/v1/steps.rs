//! Single steps of a push, for tests that take them in another order, leave some out, or say something else than a Docker would.

use serde_json::{Value, json};

use super::content::V1Image;
use crate::harness::content::number;
use crate::harness::{Answer, Client, Gantry, Repo};

/// A client with a token for a repository, or with what else it was given.
#[derive(Clone)]
pub(crate) struct Steps {
    pub(crate) client: Client,
    pub(crate) name: String,
}

/// A name that nobody has, for a repository on the server that all share.
pub(crate) fn new_name() -> String {
    format!("v1/r{}", number())
}

/// A push into a new repository on the server that all tests share.
pub(crate) async fn pushing() -> Steps {
    Steps::pushing(&Gantry::shared().await.client(), &new_name()).await
}

pub(crate) fn image(id: &str, part: &str) -> String {
    format!("/v1/images/{id}/{part}")
}

/// What the Index gives for a request.
pub(crate) async fn token(client: &Client, method: &str, path: &str) -> String {
    let mut call = client.call(method, path).header("x-docker-token", "true");
    if method == "PUT" {
        call = call.header("content-type", "application/json").body("[]");
    }
    let answer = call.await.status_in(&[200, 204]);
    answer.get("x-docker-token").expect("a token").to_owned()
}

impl Client {
    /// The same with a v1 token and nothing else.
    pub(crate) fn v1_token(&self, token: &str) -> Client {
        self.nobody().with("authorization", &format!("Token {token}"))
    }
}

impl Steps {
    /// Somebody who begins a push.
    pub(crate) async fn pushing(client: &Client, name: &str) -> Self {
        Self::by(client, "PUT", name, "").await
    }

    /// Somebody who begins a pull.
    pub(crate) async fn pulling(client: &Client, name: &str) -> Self {
        Self::by(client, "GET", name, "images").await
    }

    /// The same of a repository that V2 knows.
    pub(crate) async fn pulling_of(repo: &Repo) -> Self {
        Self::pulling(&repo.client, &repo.name).await
    }

    async fn by(client: &Client, method: &str, name: &str, part: &str) -> Self {
        let token = token(client, method, &format!("/v1/repositories/{name}/{part}")).await;
        Self { client: client.v1_token(&token), name: name.to_owned() }
    }

    /// The same steps by another client in the same repository.
    pub(crate) fn with(&self, client: Client) -> Self {
        Self { client, name: self.name.clone() }
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/repositories/{}/{rest}", self.name)
    }

    pub(crate) async fn get(&self, id: &str, part: &str) -> Answer {
        self.client.get(&image(id, part)).await
    }

    pub(crate) async fn put_json(&self, of: &V1Image) -> Answer {
        self.put_json_as(&of.id, of.json.clone()).await
    }

    pub(crate) async fn put_json_as(&self, id: &str, json: impl Into<bytes::Bytes>) -> Answer {
        self.client.put(&image(id, "json"), json).header("content-type", "application/json").await
    }

    pub(crate) async fn put_layer(&self, of: &V1Image) -> Answer {
        self.client.call("PUT", &image(&of.id, "layer")).chunked(of.layer.clone()).await
    }

    pub(crate) async fn put_checksum(&self, of: &V1Image) -> Answer {
        self.put_checksum_as(&of.id, &of.payload()).await
    }

    pub(crate) async fn put_checksum_as(&self, id: &str, payload: &str) -> Answer {
        self.client.call("PUT", &image(id, "checksum")).header("x-docker-checksum-payload", payload).await
    }

    pub(crate) async fn put_tag(&self, tag: &str, id: &str) -> Answer {
        let put = self.client.put(&self.path(&format!("tags/{tag}")), format!("\"{id}\""));
        put.header("content-type", "application/json").await
    }

    /// All of an image.
    pub(crate) async fn push_image(&self, of: &V1Image) {
        self.put_json(of).await.status(200);
        self.put_layer(of).await.status(200);
        self.put_checksum(of).await.status(200);
    }

    /// A chain, base first, with a tag on its top.
    pub(crate) async fn push(&self, chain: &[V1Image], tag: &str) {
        for of in chain {
            self.push_image(of).await;
        }
        self.put_tag(tag, &chain.last().expect("an image").id).await.status(200);
    }

    /// Everything of an image, as it was pushed.
    pub(crate) async fn has(&self, of: &V1Image) {
        self.get(&of.id, "json").await.status(200).body(&of.json);
        self.get(&of.id, "layer").await.status(200).body(&of.layer);
    }

    /// An image of which nothing is to be had.
    pub(crate) async fn lacks(&self, id: &str) {
        for part in ["json", "layer", "ancestry"] {
            self.get(id, part).await.says(404, "Image not found");
        }
    }

    pub(crate) async fn tags(&self) -> Value {
        self.client.get(&self.path("tags")).await.status(200).json()
    }

    pub(crate) async fn ancestry(&self, id: &str) -> Vec<String> {
        let ids = self.get(id, "ancestry").await.status(200).json();
        ids.as_array().expect("a list").iter().map(|id| id.as_str().expect("an id").to_owned()).collect()
    }
}

/// A list for the Index.
pub(crate) fn list(images: &[V1Image]) -> Value {
    images.iter().map(|image| json!({ "id": image.id })).collect()
}
