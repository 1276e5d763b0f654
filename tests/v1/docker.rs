//! Docker 1.0, 1.3, 1.6 and 1.10 as actors: the requests that these versions send for a login, a push and a pull, in their order and
//! with their headers, and what makes them give up.
//!
//! They are no clients of convenience: where a version sends a literal `Token ` without a token, or the base64 of nothing, so does
//! this. What they never look at is left to tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::content::V1Image;
use crate::harness::client::Call;
use crate::harness::{Answer, Client};

/// A version of Docker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    D1_0,
    D1_3,
    D1_6,
    D1_10,
}

impl Version {
    pub(crate) const ALL: [Version; 4] = [Version::D1_0, Version::D1_3, Version::D1_6, Version::D1_10];

    fn user_agent(self) -> &'static str {
        match self {
            Version::D1_0 => {
                "docker/1.0.0 go/go1.2.1 git-commit/63fe64c kernel/3.13.0-24-generic os/linux arch/amd64"
            }
            Version::D1_3 => {
                "docker/1.3.0 go/go1.3.3 git-commit/c78088f kernel/3.16.0-23-generic os/linux arch/amd64"
            }
            Version::D1_6 => {
                "docker/1.6.2 go/go1.4.2 git-commit/7c8fca2 kernel/3.19.0-15-generic os/linux arch/amd64"
            }
            Version::D1_10 => {
                "docker/1.10.3 go/go1.5.3 git-commit/20f81dd kernel/4.2.0-16-generic os/linux arch/amd64"
            }
        }
    }
}

/// Why a push or pull ended.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The request, or what was wrong with its answer.
    pub(crate) what: String,
    /// Its status; 0: there was no answer, or it was stopped before it was sent.
    pub(crate) status: u16,
    /// The text of the error.
    pub(crate) text: String,
}

type Done<T> = Result<T, Refused>;

/// A Docker, talking to one host.
#[derive(Clone)]
pub(crate) struct Docker {
    pub(crate) version: Version,
    client: Client,
    https: bool,
    account: Option<(String, String)>,
    /// Requests that it sends before it is unplugged.
    left: Arc<AtomicUsize>,
    told: Arc<Mutex<Vec<(String, String, u16)>>>,
}

/// What one push or pull keeps: as each of them made a session of its own.
struct Session<'a> {
    docker: &'a Docker,
    /// Basic on every request: https, and the ping said that Registry and Index are one.
    always_basic: bool,
    jar: Mutex<BTreeMap<String, String>>,
    /// Values of `X-Docker-Token`.
    tokens: Mutex<Vec<String>>,
}

impl Docker {
    /// That version, not logged in.
    pub(crate) fn new(version: Version, client: &Client, https: bool) -> Self {
        let client = client.nobody().with("user-agent", version.user_agent());
        Self {
            version,
            client,
            https,
            account: None,
            left: Arc::new(AtomicUsize::new(usize::MAX)),
            told: Arc::default(),
        }
    }

    /// The same after a login that was believed.
    pub(crate) fn as_user(&self, name: &str, password: &str) -> Self {
        Self { account: Some((name.to_owned(), password.to_owned())), ..self.clone() }
    }

    /// The same, unplugged after so many requests.
    pub(crate) fn unplugged_after(&self, requests: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(requests)), ..self.clone() }
    }

    /// Everything that was answered: method, path, status.
    pub(crate) fn told(&self) -> Vec<(String, String, u16)> {
        self.told.lock().expect("what was told").clone()
    }

    /// `docker login`: what it tells the user.
    pub(crate) async fn login(&self, name: &str, password: &str) -> Result<&'static str, String> {
        let session = self.session().await.map_err(|refused| refused.what)?;
        let body = json!({ "username": name, "password": password, "email": "x@example.com", "auth": "" });
        let call = self.client.post("/v1/users/").header("content-type", "application/json; charset=utf-8");
        let posted = call.body(body.to_string()).await;
        match posted.status {
            201 => {
                return Ok(
                    "Account created. Please use the confirmation link we sent to your e-mail to activate it.",
                );
            }
            400 if &posted.body[..] == b"\"Username or email already exists\"" => {}
            401 => {}
            status => return Err(format!("Unexpected status code [{status}] : {:?}", posted.body)),
        }
        let asked = self.client.basic(name, password).get("/v1/users/").await;
        drop(session);
        match asked.status {
            200 => Ok("Login Succeeded"),
            401 => Err("Wrong login/password, please try again".to_owned()),
            403 => Err("Login: Account is not Active.".to_owned()),
            status => Err(format!("Login: {:?} (Code: {status})", asked.body)),
        }
    }

    /// The ping, and what follows of it.
    async fn session(&self) -> Done<Session<'_>> {
        let ping = self.send(self.client.nobody().get("/v1/_ping")).await?;
        if ping.get("x-docker-registry-version").is_none() {
            return Err(refused(&ping, "the ping has no version"));
        }
        let standalone = match ping.get("x-docker-registry-standalone").map(str::to_ascii_lowercase) {
            None => true,
            Some(said) => said == "true" || said == "1",
        };
        let always_basic = self.https && standalone;
        Ok(Session { docker: self, always_basic, jar: Mutex::default(), tokens: Mutex::default() })
    }

    async fn send(&self, call: Call) -> Done<Answer> {
        let plug = |left: usize| (left > 0).then(|| if left == usize::MAX { left } else { left - 1 });
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, plug).is_err() {
            return Err(Refused { what: "unplugged".to_owned(), status: 0, text: String::new() });
        }
        let answer =
            call.try_send().await.map_err(|what| Refused { what, status: 0, text: String::new() })?;
        let path = answer.what.split(' ').nth(1).unwrap_or_default().to_owned();
        self.told.lock().expect("what was told").push((answer.method.to_string(), path, answer.status));
        Ok(answer)
    }

    /// `docker push NAME` of a chain, base first, and tags with the position of the image they point to.
    pub(crate) async fn push(&self, name: &str, images: &[V1Image], tags: &[(&str, usize)]) -> Done<()> {
        let session = self.session().await?;
        let mut list = Vec::new();
        for (at, image) in images.iter().enumerate() {
            let mut entries: Vec<_> = tags.iter().filter(|(_, of)| *of == at).collect();
            if entries.is_empty() {
                list.push(json!({ "id": image.id }));
            }
            list.extend(entries.drain(..).map(|(tag, _)| json!({ "id": image.id, "Tag": tag })));
        }
        let index = format!("/v1/repositories/{name}/");
        let begun = session.index("PUT", &index, Some(&json!(list)), None).await?;
        if !matches!(begun.status, 200 | 201) {
            return Err(refused(&begun, "the push is not begun"));
        }
        let hosts = session.endpoints(&begun)?;
        if begun.get("x-docker-token").is_none() {
            return Err(refused(&begun, "Index response didn't contain an access token"));
        }
        for (at, is_there) in session.look_up(images).await?.into_iter().enumerate() {
            let image = &images[at];
            if !is_there {
                session.push_image(image).await?;
            }
            for (tag, _) in tags.iter().filter(|(_, of)| *of == at) {
                session.push_tag(name, tag, &image.id).await?;
            }
        }
        let ended = session.index("PUT", &format!("{index}images"), Some(&json!([])), Some(&hosts)).await?;
        if ended.status != 204 {
            return Err(refused(&ended, "the push is not ended"));
        }
        Ok(())
    }

    /// `docker pull NAME:TAG`: the chain, base first.
    pub(crate) async fn pull(&self, name: &str, tag: &str) -> Done<Vec<V1Image>> {
        let session = self.session().await?;
        let images = session.index("GET", &format!("/v1/repositories/{name}/images"), None, None).await?;
        if images.status != 200 {
            return Err(refused(&images, "no data of the repository"));
        }
        session.endpoints(&images)?;
        let listed = images.json();
        let listed = listed.as_array().ok_or_else(|| refused(&images, "no list"))?;
        if listed.iter().any(|image| !image["id"].is_string()) {
            return Err(refused(&images, "an image without an id"));
        }
        let id = session.tag(name, tag).await?;
        let got = session.get(&format!("/v1/images/{id}/ancestry")).await?;
        if got.status != 200 {
            return Err(refused(&got, "no ancestry"));
        }
        let ancestry = got.json();
        let ancestry: Vec<_> = ancestry.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if ancestry.first() != Some(&id.as_str()) {
            return Err(refused(&got, "the ancestry does not begin with the image"));
        }
        let mut pulled = Vec::new();
        for id in ancestry.into_iter().rev() {
            pulled.push(session.pull_image(id).await?);
        }
        Ok(pulled)
    }
}

fn refused(answer: &Answer, what: &str) -> Refused {
    let text = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let text = text["error"].as_str().unwrap_or_default().to_owned();
    Refused { what: format!("{}: {what}", answer.what), status: answer.status, text }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")))
}

impl Session<'_> {
    fn old(&self) -> bool {
        self.docker.version < Version::D1_10
    }

    /// A request with what the session adds, and what it keeps of the answer.
    async fn send(&self, call: Call, authorization: Option<String>) -> Done<Answer> {
        let jar: Vec<_> = self.jar.lock().expect("the jar").iter().map(|(k, v)| format!("{k}={v}")).collect();
        let mut call = call;
        if let Some(authorization) = authorization {
            call = call.header("authorization", &authorization);
        }
        if !jar.is_empty() {
            call = call.header("cookie", &jar.join("; "));
        }
        let answer = self.docker.send(call).await?;
        for cookie in answer.headers.get_all("set-cookie") {
            let pair = cookie.to_str().expect("ASCII").split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.jar.lock().expect("the jar").insert(name.to_owned(), value.to_owned());
            }
        }
        // From 1.7 on the token of any answer counts.
        if !self.old() {
            self.keep_tokens(&answer);
        }
        Ok(answer)
    }

    fn keep_tokens(&self, answer: &Answer) {
        let tokens: Vec<_> = answer.headers.get_all("x-docker-token").iter().collect();
        if !tokens.is_empty() {
            let text = |value: &http::HeaderValue| value.to_str().expect("ASCII").to_owned();
            *self.tokens.lock().expect("tokens") = tokens.into_iter().map(text).collect();
        }
    }

    /// A request to the Index: with the password, or what stands in for none.
    async fn index(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        hosts: Option<&str>,
    ) -> Done<Answer> {
        let account = self.docker.account.as_ref().map(|(name, password)| basic(name, password));
        let authorization = match account {
            Some(account) => Some(account),
            None if self.always_basic || (self.old() && method == "PUT") => Some(basic("", "")),
            None if self.old() => None,
            None => self.token(),
        };
        let mut call = self.docker.client.call(method, path).header("x-docker-token", "true");
        if let Some(body) = body {
            call = call.header("content-type", "application/json").body(body.to_string());
        }
        if let Some(hosts) = hosts {
            call = call.header("x-docker-endpoints", hosts);
        }
        let answer = self.send(call, authorization).await?;
        if answer.status < 400 {
            self.keep_tokens(&answer);
        }
        Ok(answer)
    }

    fn token(&self) -> Option<String> {
        let tokens = self.tokens.lock().expect("tokens").join(",");
        // Up to 1.6 the word comes without a token too.
        (self.old() || !tokens.is_empty()).then(|| format!("Token {tokens}"))
    }

    /// A request to the Registry.
    async fn registry(&self, call: Call) -> Done<Answer> {
        let authorization = if self.always_basic {
            let (name, password) = self.docker.account.clone().unwrap_or_default();
            Some(basic(&name, &password))
        } else {
            self.token()
        };
        self.send(call, authorization).await
    }

    async fn get(&self, path: &str) -> Done<Answer> {
        self.registry(self.docker.client.get(path)).await
    }

    /// Hosts without scheme and path, of which this one must be the first.
    fn endpoints(&self, answer: &Answer) -> Done<String> {
        let Some(hosts) = answer.get("x-docker-endpoints") else {
            return Err(refused(answer, "Index response didn't contain any endpoints"));
        };
        if hosts.contains('/') {
            return Err(refused(answer, "endpoints are hosts"));
        }
        let scheme = if self.docker.https { "https" } else { "http" };
        let urls: Vec<_> = hosts.split(',').map(|host| format!("{scheme}://{}/v1/", host.trim())).collect();
        if urls.first() != Some(&format!("{scheme}://{}/v1/", self.docker.client.authority())) {
            return Err(refused(answer, "another endpoint"));
        }
        Ok(urls.join(","))
    }

    /// Which images are there: one by one, later five at a time.
    async fn look_up(&self, images: &[V1Image]) -> Done<Vec<bool>> {
        let at_once = if self.docker.version < Version::D1_6 { 1 } else { 5 };
        let mut there = Vec::new();
        for group in images.chunks(at_once) {
            let paths: Vec<_> = group.iter().map(|image| format!("/v1/images/{}/json", image.id)).collect();
            for answer in join_all(paths.iter().map(|path| self.get(path))).await {
                let answer = answer?;
                if answer.status == 401 {
                    return Err(refused(&answer, "a lookup needs a login"));
                }
                there.push(answer.status == 200);
            }
        }
        Ok(there)
    }

    async fn push_image(&self, image: &V1Image) -> Done<()> {
        let client = &self.docker.client;
        let path = |part: &str| format!("/v1/images/{}/{part}", image.id);
        let call = client.put(&path("json"), image.json.clone()).header("content-type", "application/json");
        let put = self.registry(call).await?;
        if put.status != 200 {
            let refused = refused(&put, "no image begun");
            return if refused.text == "Image already exists" { Ok(()) } else { Err(refused) };
        }
        let mut call = client.call("PUT", &path("layer")).chunked(image.layer.clone());
        if self.docker.version > Version::D1_0 {
            call = call.header("content-type", "application/octet-stream");
        }
        let put = self.registry(call).await?;
        if put.status != 200 {
            return Err(refused(&put, "no layer taken"));
        }
        let call = client
            .call("PUT", &path("checksum"))
            .header("x-docker-checksum", &image.tarsum())
            .header("x-docker-checksum-payload", &image.payload());
        let put = self.registry(call).await?;
        if put.status != 200 {
            return Err(refused(&put, "no checksum taken"));
        }
        Ok(())
    }

    async fn push_tag(&self, name: &str, tag: &str, id: &str) -> Done<()> {
        let path = format!("/v1/repositories/{name}/tags/{tag}");
        let call =
            self.docker.client.put(&path, format!("\"{id}\"")).header("content-type", "application/json");
        let put = self.registry(call).await?;
        if !matches!(put.status, 200 | 201) {
            return Err(refused(&put, "no tag set"));
        }
        Ok(())
    }

    /// The id of a tag: of the list of all, and from 1.8 on of the tag alone.
    async fn tag(&self, name: &str, tag: &str) -> Done<String> {
        let full =
            if self.old() && !name.contains('/') { format!("library/{name}") } else { name.to_owned() };
        let path = format!("/v1/repositories/{full}/tags");
        let got = self.get(&if self.old() { path } else { format!("{path}/{tag}") }).await?;
        if got.status != 200 {
            return Err(refused(&got, "no tags"));
        }
        let said = got.json();
        let id = if self.old() { &said[tag] } else { &said };
        id.as_str().map(str::to_owned).ok_or_else(|| refused(&got, "Tag not found in repository"))
    }

    async fn pull_image(&self, id: &str) -> Done<V1Image> {
        let got = self.get(&format!("/v1/images/{id}/json")).await?;
        if got.status != 200 {
            return Err(refused(&got, "no image"));
        }
        let size = got.get("x-docker-size").map(str::parse::<u64>);
        let size = size.transpose().map_err(|_| refused(&got, "the size is no number"))?.unwrap_or_default();
        let document = got.json();
        if document["id"] != id {
            return Err(refused(&got, "the JSON has another id"));
        }
        let path = format!("/v1/images/{id}/layer");
        let mut can_resume = false;
        if self.docker.version == Version::D1_0 {
            let head = self.registry(self.docker.client.head(&path)).await?;
            can_resume = head.get("accept-ranges") == Some("bytes");
        }
        let layer = self.get(&path).await?;
        if layer.status != 200 {
            return Err(refused(&layer, "no layer"));
        }
        if self.docker.version > Version::D1_0 {
            can_resume = layer.get("accept-ranges") == Some("bytes");
        }
        let bytes = if can_resume && size > 0 { self.resume(&path, &layer, size).await? } else { layer.body };
        Ok(V1Image { id: id.to_owned(), json: got.body, layer: bytes })
    }

    /// As if the connection had broken in the middle: the rest, with an end one past the last byte; and then, since the end is not
    /// known by other means, what lies behind it.
    async fn resume(&self, path: &str, whole: &Answer, size: u64) -> Done<Bytes> {
        let cut = whole.body.len() / 2;
        let range = |from: usize| format!("bytes={from}-{size}");
        let rest = self.registry(self.docker.client.get(path).header("range", &range(cut))).await?;
        if rest.status != 206 {
            return Err(refused(&rest, "the server doesn't support byte ranges"));
        }
        let bytes = [&whole.body[..cut], &rest.body].concat();
        let end = self.registry(self.docker.client.get(path).header("range", &range(bytes.len()))).await?;
        if end.status != 416 || !end.body.is_empty() {
            return Err(refused(&end, "nothing more, and no end"));
        }
        Ok(bytes.into())
    }
}
