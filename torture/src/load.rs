//! Workers that use the registry as clients do, until it is gone.
//!
//! What a worker does is drawn from its seed; what it learns goes into the journal before and after each request. A worker
//! ends when its connection does: nobody retries, because a retry would hide what the cut left.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;

use crate::client::{Answer, Client};
use crate::journal::{Content, Journal, Key, Session, Stage, Value, digest_of};
use crate::rng::Rng;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Repositories in use at a time.
pub(crate) const REPOSITORIES: u64 = 4;
/// Tags in each that everybody moves.
const MOVING: u64 = 3;
/// Blobs that everybody pushes.
const POPULAR: u64 = 6;

/// The journal, shared.
pub(crate) type Shared = Arc<Mutex<Journal>>;

/// Waits for the journal.
pub(crate) fn lock(journal: &Shared) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all workers of a cycle share.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) address: SocketAddr,
    pub(crate) journal: Shared,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) seed: u64,
    pub(crate) cycle: u64,
    /// Answers with 5xx that nobody planned.
    pub(crate) wrong: Arc<Mutex<Vec<String>>>,
    pub(crate) health: Health,
}

/// Which answers are wrong while the workers work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Nothing may fail.
    Well,
    /// The disk takes no more: writes may fail with 5xx, reads may not.
    WritesFail,
    /// The disk is gone: everything may fail with 5xx.
    DiskGone,
}

/// One worker.
pub(crate) struct Worker {
    setting: Setting,
    client: Client,
    rng: Rng,
    name: String,
    made: u64,
    namespace: u64,
}

/// The connection is gone, and with it this worker.
struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Gone {
        Gone
    }
}

type Step<T> = Result<T, Gone>;

/// What was pushed, for a manifest to name.
struct Pushed {
    digest: String,
    size: usize,
}

impl Worker {
    pub(crate) fn new(setting: &Setting, number: u64) -> Worker {
        let namespace = Rng::of(&[setting.seed, setting.cycle, number]).next() << 20;
        Worker {
            setting: setting.clone(),
            client: Client::new(setting.address),
            rng: Rng::of(&[setting.seed, setting.cycle, number, 1]),
            name: format!("c{}w{number}", setting.cycle),
            made: 0,
            namespace,
        }
    }

    /// Works until told to stop, or until the server is gone.
    pub(crate) fn run(mut self) {
        while !self.setting.stop.load(Ordering::Relaxed) {
            if self.one().is_err() {
                return;
            }
        }
    }

    fn one(&mut self) -> Step<()> {
        let repo = self.repo();
        match self.rng.below(100) {
            0..30 => self.push_image(&repo).map(drop),
            30..38 => self.push_index(&repo),
            38..48 => self.push_artifact(&repo),
            48..58 => self.move_tag(&repo),
            58..63 => self.delete_tag(&repo),
            63..70 => self.push_and_delete_manifest(&repo),
            70..77 => self.push_and_delete_blob(&repo),
            77..83 => self.mount(&repo),
            83..93 => self.leave_upload(&repo),
            93..96 => self.cancel_upload(&repo),
            _ => self.pull(&repo),
        }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.setting.journal)
    }

    fn repo(&mut self) -> String {
        format!("t/e{}/r{}", self.setting.cycle / 40, self.rng.below(REPOSITORIES))
    }

    /// New bytes, known to the journal.
    fn make(&mut self, size: usize, alg: &str) -> (String, Vec<u8>) {
        self.made += 1;
        self.content(self.namespace + self.made, size, alg)
    }

    fn content(&self, id: u64, size: usize, alg: &str) -> (String, Vec<u8>) {
        let content = Content::Made { id, size };
        let bytes = content.bytes();
        let digest = digest_of(alg, &bytes);
        self.journal().contents.insert(digest.clone(), content);
        (digest, bytes)
    }

    fn size(&mut self) -> usize {
        match self.rng.below(10) {
            0 => 16 << 10,
            1 => (16 << 10) + 1,
            2..6 => self.rng.size(1, 16 << 10),
            6..9 => self.rng.size(16 << 10, 300 << 10),
            _ => self.rng.size(300 << 10, 2 << 20),
        }
    }

    fn algorithm(&mut self) -> &'static str {
        if self.rng.one_in(6) { "sha512" } else { "sha256" }
    }

    /// Sends a request whose success means that `writes` have happened. `None`: it was refused, or failed.
    fn write(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        writes: &[(Key, Value)],
    ) -> Step<Option<Answer>> {
        let what = format!("{} {method} {path} {}", self.name, body.len());
        let op = self.journal().send(&what, writes);
        let outcome = self.client.send(method, path, headers, body);
        let mut journal = lock(&self.setting.journal);
        match outcome {
            Ok(answer) if answer.status < 300 => {
                // A worker who hears from beyond the cut has nobody to tell.
                if journal.ack(op, answer.status) { Ok(Some(answer)) } else { Err(Gone) }
            }
            Ok(answer) if answer.status < 500 => {
                journal.refuse(op, &answer.summary());
                Ok(None)
            }
            Ok(answer) => {
                journal.lose(op, &answer.summary());
                if self.setting.health == Health::Well {
                    let mut wrong = self.setting.wrong.lock().unwrap_or_else(PoisonError::into_inner);
                    wrong.push(format!("{what}: {}", answer.summary()));
                }
                Ok(None)
            }
            Err(error) => {
                journal.lose(op, &error.to_string());
                Err(Gone)
            }
        }
    }

    /// Begins a session and knows its location.
    fn begin(&mut self, repo: &str, digest: &str) -> Step<Option<usize>> {
        let path = if digest.starts_with("sha512") && self.rng.one_in(2) {
            format!("/v2/{repo}/blobs/uploads/?digest-algorithm=sha512")
        } else {
            format!("/v2/{repo}/blobs/uploads/")
        };
        let Some(answer) = self.write("POST", &path, &[], &[], &[])? else { return Ok(None) };
        Ok(self.enter(repo, digest, &answer))
    }

    fn enter(&self, repo: &str, digest: &str, answer: &Answer) -> Option<usize> {
        let location = answer.header("location")?.to_owned();
        let mut journal = self.journal();
        journal.note(format!("{} session {location}", self.name));
        journal.sessions.push(Session {
            repo: repo.to_owned(),
            location,
            digest: digest.to_owned(),
            acked: 0,
            sent: 0,
            stage: Stage::Open,
        });
        Some(journal.sessions.len() - 1)
    }

    fn session<T>(&self, number: usize, act: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.journal().sessions.get_mut(number).map(act)
    }

    fn location(&self, number: usize) -> String {
        self.session(number, |session| session.location.clone()).unwrap_or_default()
    }

    /// Sends the next piece of a session.
    fn patch(&mut self, number: usize, bytes: &[u8], from: usize, to: usize) -> Step<bool> {
        let (piece, location) = (bytes.get(from..to).unwrap_or_default(), self.location(number));
        self.session(number, |session| session.sent = session.sent.max(to));
        let range = format!("{from}-{}", to.saturating_sub(1));
        let ranged = [("content-range", range.as_str())];
        let headers = if self.rng.one_in(2) { &ranged[..] } else { &[] };
        let done = self.write("PATCH", &location, headers, piece, &[])?.is_some();
        if done {
            self.session(number, |session| session.acked = to);
        }
        Ok(done)
    }

    /// Ends a session with its last piece.
    fn put(&mut self, number: usize, repo: &str, digest: &str, rest: &[u8], total: usize) -> Step<bool> {
        let location = self.location(number);
        self.session(number, |session| {
            session.stage = Stage::Finishing;
            session.sent = total;
        });
        let path = format!("{location}?digest={digest}");
        let there = [(Key::Blob(repo.to_owned(), digest.to_owned()), Some(digest.to_owned()))];
        let done = self.write("PUT", &path, &[], rest, &there)?.is_some();
        if done {
            self.session(number, |session| session.stage = Stage::Ended);
        }
        Ok(done)
    }

    /// Pushes bytes in one of the ways that there are. False: refused or failed.
    fn push_blob(&mut self, repo: &str, digest: &str, bytes: &[u8]) -> Step<bool> {
        let key = Key::Blob(repo.to_owned(), digest.to_owned());
        if self.rng.one_in(4) {
            let path = format!("/v2/{repo}/blobs/uploads/?digest={digest}");
            return Ok(self.write("POST", &path, &[], bytes, &[(key, Some(digest.to_owned()))])?.is_some());
        }
        let Some(number) = self.begin(repo, digest)? else { return Ok(false) };
        let mut at = 0;
        for _ in 0..self.rng.below(4) {
            if at + 2 >= bytes.len() {
                break;
            }
            let to = self.rng.size(at + 2, bytes.len().max(at + 3));
            if !self.patch(number, bytes, at, to)? {
                return Ok(false);
            }
            at = to;
        }
        self.put(number, repo, digest, bytes.get(at..).unwrap_or_default(), bytes.len())
    }

    fn push_new(&mut self, repo: &str, size: usize) -> Step<Option<Pushed>> {
        let alg = self.algorithm();
        let (digest, bytes) = self.make(size, alg);
        Ok(self.push_blob(repo, &digest, &bytes)?.then_some(Pushed { digest, size }))
    }

    /// One of the blobs that everybody pushes, all the time, at the same time.
    fn push_popular(&mut self, repo: &str) -> Step<Option<Pushed>> {
        let number = self.rng.below(POPULAR);
        let size = if number.is_multiple_of(2) { 9_000 } else { 90_000 };
        let (digest, bytes) = self.content(number + 1, size, "sha256");
        Ok(self.push_blob(repo, &digest, &bytes)?.then_some(Pushed { digest, size }))
    }

    /// A manifest's text, known to the journal.
    fn manifest(
        &self,
        document: &serde_json::Value,
        media_type: &str,
        needs: &[String],
    ) -> (String, Vec<u8>) {
        let bytes = document.to_string().into_bytes();
        let digest = digest_of("sha256", &bytes);
        let mut journal = self.journal();
        let content = Content::Text { bytes: bytes.clone(), media_type: media_type.to_owned() };
        journal.contents.insert(digest.clone(), content);
        journal.needs.insert(digest.clone(), needs.to_vec());
        (digest, bytes)
    }

    fn image(&mut self, repo: &str, extra: &serde_json::Value) -> Step<Option<(String, Vec<u8>)>> {
        let config_size = self.rng.size(2, 3_000);
        let Some(config) = self.push_new(repo, config_size)? else { return Ok(None) };
        let mut layers = Vec::new();
        for _ in 0..self.rng.below(3) {
            let popular = self.rng.one_in(3);
            let size = self.size();
            let layer = if popular { self.push_popular(repo)? } else { self.push_new(repo, size)? };
            let Some(layer) = layer else { return Ok(None) };
            layers.push(layer);
        }
        let describe = |kind: &str, blob: &Pushed| json!({ "mediaType": kind, "digest": blob.digest, "size": blob.size });
        let mut document = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": describe(CONFIG, &config),
            "layers": layers.iter().map(|layer| describe(LAYER, layer)).collect::<Vec<_>>(),
        });
        for (name, value) in extra.as_object().into_iter().flatten() {
            document[name] = value.clone();
        }
        let needs: Vec<String> = layers.into_iter().chain([config]).map(|blob| blob.digest).collect();
        {
            let mut journal = self.journal();
            for digest in &needs {
                journal.kept_blobs.push((repo.to_owned(), digest.clone()));
            }
        }
        Ok(Some(self.manifest(&document, OCI_MANIFEST, &needs)))
    }

    /// Pushes a manifest under a tag of its own, under one that moves, or by its digest.
    fn put_manifest(
        &mut self,
        repo: &str,
        reference: &str,
        digest: &str,
        bytes: &[u8],
        kind: &str,
    ) -> Step<bool> {
        let mut writes = vec![(Key::Manifest(repo.to_owned(), digest.to_owned()), Some(digest.to_owned()))];
        if reference != digest {
            writes.push((Key::Tag(repo.to_owned(), reference.to_owned()), Some(digest.to_owned())));
        }
        let path = format!("/v2/{repo}/manifests/{reference}");
        Ok(self.write("PUT", &path, &[("content-type", kind)], bytes, &writes)?.is_some())
    }

    fn tag(&mut self, digest: &str) -> String {
        match self.rng.below(4) {
            0 => digest.to_owned(),
            1 => format!("moving{}", self.rng.below(MOVING)),
            _ => {
                self.made += 1;
                format!("{}n{}", self.name, self.made)
            }
        }
    }

    fn keep(&self, repo: &str, digest: String) {
        self.journal().kept.entry(repo.to_owned()).or_default().push(digest);
    }

    fn kept(&mut self, repo: &str) -> Option<String> {
        let journal = lock(&self.setting.journal);
        self.rng.pick(journal.kept.get(repo)?).cloned()
    }

    fn push_image(&mut self, repo: &str) -> Step<()> {
        let Some((digest, bytes)) = self.image(repo, &json!({}))? else { return Ok(()) };
        let reference = self.tag(&digest);
        if self.put_manifest(repo, &reference, &digest, &bytes, OCI_MANIFEST)? {
            self.keep(repo, digest);
        }
        Ok(())
    }

    fn push_index(&mut self, repo: &str) -> Step<()> {
        let children: Vec<String> = (0..2).filter_map(|_| self.kept(repo)).collect();
        let sizes: Vec<_> = {
            let journal = self.journal();
            let content = |digest: &String| journal.contents.get(digest).cloned();
            children.iter().filter_map(|digest| Some((digest.clone(), content(digest)?))).collect()
        };
        let manifests: Vec<_> = sizes
            .iter()
            .filter_map(|(digest, content)| match content {
                Content::Text { bytes, media_type } => {
                    Some(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
                }
                Content::Made { .. } => None,
            })
            .collect();
        self.made += 1;
        let mark = json!({ "made": format!("{}-{}", self.name, self.made) });
        let document = json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests, "annotations": mark,
        });
        let (digest, bytes) = self.manifest(&document, OCI_INDEX, &[]);
        let reference = self.tag(&digest);
        self.put_manifest(repo, &reference, &digest, &bytes, OCI_INDEX)?;
        Ok(())
    }

    fn push_artifact(&mut self, repo: &str) -> Step<()> {
        let subject = match self.kept(repo) {
            Some(kept) if !self.rng.one_in(5) => kept,
            // A subject need not exist.
            _ => digest_of("sha256", &self.rng.next().to_le_bytes()),
        };
        let size = lock(&self.setting.journal).contents.get(&subject).map_or(7, |c| c.bytes().len());
        let extra = json!({
            "artifactType": format!("application/vnd.torture.kind{}", self.rng.below(2)),
            "subject": { "mediaType": OCI_MANIFEST, "digest": subject, "size": size },
            "annotations": { "by": self.name },
        });
        let Some((digest, bytes)) = self.image(repo, &extra)? else { return Ok(()) };
        self.journal().artifacts.entry((repo.to_owned(), subject)).or_default().insert(digest.clone());
        self.put_manifest(repo, &digest.clone(), &digest, &bytes, OCI_MANIFEST)?;
        Ok(())
    }

    fn move_tag(&mut self, repo: &str) -> Step<()> {
        let Some(digest) = self.kept(repo) else { return Ok(()) };
        let Some(Content::Text { bytes, media_type }) = self.journal().contents.get(&digest).cloned() else {
            return Ok(());
        };
        let tag = format!("moving{}", self.rng.below(MOVING));
        self.put_manifest(repo, &tag, &digest, &bytes, &media_type).map(drop)
    }

    fn delete_tag(&mut self, repo: &str) -> Step<()> {
        let tag = format!("moving{}", self.rng.below(MOVING));
        let path = format!("/v2/{repo}/manifests/{tag}");
        self.write("DELETE", &path, &[], &[], &[(Key::Tag(repo.to_owned(), tag), None)]).map(drop)
    }

    fn push_and_delete_manifest(&mut self, repo: &str) -> Step<()> {
        let Some((digest, bytes)) = self.image(repo, &json!({}))? else { return Ok(()) };
        self.made += 1;
        let tag = format!("{}doomed{}", self.name, self.made);
        if !self.put_manifest(repo, &tag, &digest, &bytes, OCI_MANIFEST)? || self.rng.one_in(3) {
            return Ok(());
        }
        let path = format!("/v2/{repo}/manifests/{digest}");
        let gone = [(Key::Manifest(repo.to_owned(), digest), None), (Key::Tag(repo.to_owned(), tag), None)];
        self.write("DELETE", &path, &[], &[], &gone).map(drop)
    }

    fn push_and_delete_blob(&mut self, repo: &str) -> Step<()> {
        let size = self.size();
        let Some(Pushed { digest, .. }) = self.push_new(repo, size)? else { return Ok(()) };
        if self.rng.one_in(3) {
            return Ok(());
        }
        let path = format!("/v2/{repo}/blobs/{digest}");
        self.write("DELETE", &path, &[], &[], &[(Key::Blob(repo.to_owned(), digest), None)]).map(drop)
    }

    fn mount(&mut self, repo: &str) -> Step<()> {
        let picked = {
            let journal = lock(&self.setting.journal);
            let recent = journal.kept_blobs.len().saturating_sub(100);
            self.rng.pick(journal.kept_blobs.get(recent..).unwrap_or_default()).cloned()
        };
        let Some((from, digest)) = picked else { return Ok(()) };
        let path = format!("/v2/{repo}/blobs/uploads/?mount={digest}&from={from}");
        let there = [(Key::Blob(repo.to_owned(), digest.clone()), Some(digest.clone()))];
        let op = self.journal().send(&format!("{} POST {path}", self.name), &there);
        let outcome = self.client.send("POST", &path, &[], &[]);
        match outcome {
            Ok(answer) if answer.status == 201 => {
                if !self.journal().ack(op, 201) {
                    return Err(Gone);
                }
            }
            Ok(answer) if answer.status == 202 => {
                // Not mounted: a session has begun instead, and is left to itself.
                self.journal().refuse(op, "202");
                let _ = self.enter(repo, &digest, &answer);
            }
            Ok(answer) => self.journal().lose(op, &answer.summary()),
            Err(error) => {
                self.journal().lose(op, &error.to_string());
                return Err(Gone);
            }
        }
        Ok(())
    }

    /// Begins an upload and leaves it, to be gone on with after a restart.
    fn leave_upload(&mut self, repo: &str) -> Step<()> {
        let (size, alg) = (self.size().max(64), self.algorithm());
        let (digest, bytes) = self.make(size, alg);
        let Some(number) = self.begin(repo, &digest)? else { return Ok(()) };
        let mut at = 0;
        for _ in 0..self.rng.below(4) {
            let to = self.rng.size(at + 2, (bytes.len() - at) / 2 + at + 3).min(bytes.len());
            if to < at + 2 || !self.patch(number, &bytes, at, to)? {
                break;
            }
            at = to;
        }
        Ok(())
    }

    fn cancel_upload(&mut self, repo: &str) -> Step<()> {
        let (size, alg) = (self.size().max(64), self.algorithm());
        let (digest, bytes) = self.make(size, alg);
        let Some(number) = self.begin(repo, &digest)? else { return Ok(()) };
        if self.rng.one_in(2) && !self.patch(number, &bytes, 0, size / 2)? {
            return Ok(());
        }
        let location = self.location(number);
        self.session(number, |session| session.stage = Stage::Cancelling);
        if self.write("DELETE", &location, &[], &[], &[])?.is_some() {
            self.session(number, |session| session.stage = Stage::Ended);
        }
        Ok(())
    }

    /// Reads something that nobody deletes, while everybody writes.
    fn pull(&mut self, repo: &str) -> Step<()> {
        let Some(digest) = self.kept(repo) else { return Ok(()) };
        let answer = self.client.get(&format!("/v2/{repo}/manifests/{digest}"))?;
        let excused = self.setting.health == Health::DiskGone && answer.status >= 500;
        if !excused && (answer.status != 200 || digest_of(&digest, &answer.body) != digest) {
            let mut wrong = self.setting.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            wrong.push(format!("{} pulled {repo} {digest}: {}", self.name, answer.summary()));
        }
        Ok(())
    }
}
