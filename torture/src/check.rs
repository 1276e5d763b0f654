//! The invariants, checked after a restart by somebody who knows only the journal.
//!
//! * What was acknowledged is there, byte for byte: its digest is computed again. What was deleted stays deleted.
//! * A tag shows the last acknowledged value, or an unacknowledged later one.
//! * What was not acknowledged is absent or whole, and all effects of one request are there or none.
//! * A manifest that is there has everything that it names.
//! * Lists (tags, repositories, referrers) agree with what reads one by one.
//! * An upload session goes on from an offset that was confirmed or sent, and its blob comes out right.
//! * Nothing is answered with 5xx.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use crate::client::{Answer, Client};
use crate::journal::{Content, Journal, Key, Session, Stage, Value, digest_of};
use crate::rng::Rng;

/// What the cut was, and so what must have survived it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The process was killed: also what was only confirmed (202) is there.
    Process,
    /// An fsync failed before: the upload that was being made durable then is not to be gone on with, since nobody knows what the
    /// disk holds of it.
    FailedSync,
    /// The power failed: what was confirmed and not yet made durable may be gone.
    Power,
}

/// Checks one restarted server against the journal.
pub(crate) struct Checker<'a> {
    journal: &'a mut Journal,
    client: Client,
    cut: Cut,
    rng: Rng,
    violations: Vec<String>,
    pub(crate) reads: u64,
    pub(crate) resumed: u64,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(journal: &'a mut Journal, address: SocketAddr, cut: Cut, rng: Rng) -> Checker<'a> {
        let client = Client::new(address);
        Checker { journal, client, cut, rng, violations: Vec::new(), reads: 0, resumed: 0 }
    }

    /// Checks what was touched since the last check, and `sample` older things (all of them when that is more). What
    /// was found wrong comes back, each with the part of the journal that tells why.
    ///
    /// # Errors
    /// The server hung up: then nothing can be said.
    pub(crate) fn check(mut self, sample: usize) -> io::Result<(Vec<String>, u64, u64)> {
        let touched = self.journal.take_touched();
        let unanswered = self.journal.take_unanswered();
        let mut keys = touched;
        let all = self.journal.keys();
        if sample >= all.len() {
            keys.extend(all);
        } else {
            for _ in 0..sample {
                keys.extend(self.rng.pick(&all).cloned());
            }
        }
        for key in &keys {
            self.register(key)?;
        }
        for (op, writes) in unanswered {
            self.whole(op, &writes);
        }
        for key in &keys {
            self.needs(key);
        }
        self.sessions()?;
        let repos: BTreeSet<String> = keys.iter().map(|key| key.repo().to_owned()).collect();
        for repo in &repos {
            self.tags(repo)?;
        }
        self.catalog(&repos)?;
        self.referrers(&keys)?;
        Ok((self.violations, self.reads, self.resumed))
    }

    fn wrong(&mut self, what: &str, words: &[&str]) {
        let excerpt = self.journal.excerpt(words);
        self.violations.push(format!("{what}\n{excerpt}"));
    }

    fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.reads += 1;
        self.client.get(path)
    }

    /// What one thing reads as; `None` after a violation.
    fn observe(&mut self, key: &Key) -> io::Result<Option<Value>> {
        let answer = self.get(&key.path())?;
        let words = [key.path(), key.path().rsplit('/').next().unwrap_or_default().to_owned()];
        let words = [words[0].as_str(), words[1].as_str()];
        match answer.status {
            404 => return Ok(Some(None)),
            200 => {}
            _ => {
                self.wrong(&format!("{key} reads {}", answer.summary()), &words);
                return Ok(None);
            }
        }
        let (like, expected) = match key {
            Key::Blob(_, digest) | Key::Manifest(_, digest) => (digest.as_str(), Some(digest)),
            Key::Tag(..) => ("sha256", None),
        };
        let digest = digest_of(like, &answer.body);
        if expected.is_some_and(|expected| *expected != digest) {
            self.wrong(&format!("{key} delivers the bytes of {digest}"), &words);
            return Ok(None);
        }
        if answer.header("docker-content-digest").is_some_and(|said| said != digest) {
            self.wrong(&format!("{key} says another digest than that of its bytes, {digest}"), &words);
        }
        match self.journal.contents.get(&digest) {
            Some(Content::Text { media_type, .. }) if answer.header("content-type") != Some(media_type) => {
                self.wrong(&format!("{key} has lost its media type {media_type}"), &words);
            }
            Some(_) => {}
            None => self.wrong(&format!("{key} delivers what nobody ever sent ({digest})"), &words),
        }
        Ok(Some(Some(digest)))
    }

    fn register(&mut self, key: &Key) -> io::Result<()> {
        let Some(seen) = self.observe(key)? else { return Ok(()) };
        let allowed = self.journal.allowed(key);
        if !allowed.contains(&seen) {
            let what = format!("{key} reads {seen:?}, and only {allowed:?} can be");
            let words = [key.path(), key.path().rsplit('/').next().unwrap_or_default().to_owned()];
            self.wrong(&what, &[words[0].as_str(), words[1].as_str()]);
        }
        self.journal.settle(key, seen);
        Ok(())
    }

    /// All effects of one request, or none. (Of tags that everybody moves nothing can be said.)
    fn whole(&mut self, op: u64, writes: &[(Key, Value)]) {
        let moved = |key: &Key| matches!(key, Key::Tag(_, tag) if tag.starts_with("moving"));
        if writes.iter().any(|(key, _)| moved(key)) {
            return;
        }
        let happened =
            writes.iter().filter(|(key, value)| self.journal.settled(key).as_ref() == Some(value)).count();
        if happened != 0 && happened != writes.len() {
            let paths: Vec<String> = writes.iter().map(|(key, _)| key.path()).collect();
            let words: Vec<&str> = paths.iter().map(String::as_str).collect();
            let what = format!("request {op} happened by halves: {happened} of {paths:?}");
            self.wrong(&what, &words);
        }
    }

    /// A manifest that is there has its blobs.
    fn needs(&mut self, key: &Key) {
        let Key::Manifest(repo, digest) = key else { return };
        if !matches!(self.journal.settled(key), Some(Some(_))) {
            return;
        }
        for need in self.journal.needs.get(digest).cloned().unwrap_or_default() {
            let blob = Key::Blob(repo.clone(), need.clone());
            if !matches!(self.journal.settled(&blob), Some(Some(_))) {
                self.wrong(&format!("{key} is there, and {blob}, which it names, is not"), &[digest, &need]);
            }
        }
    }

    /// Follows the pages of a list and gathers what `field` of each holds.
    fn pages(
        &mut self,
        first: &str,
        gather: impl Fn(&serde_json::Value) -> Vec<String>,
    ) -> io::Result<Option<BTreeSet<String>>> {
        let mut found = BTreeSet::new();
        let mut path = first.to_owned();
        for _ in 0..10_000 {
            let answer = self.get(&path)?;
            if answer.status == 404 {
                return Ok(Some(found));
            }
            let document = serde_json::from_slice(&answer.body).unwrap_or_default();
            if answer.status != 200 {
                self.wrong(&format!("{path} reads {}", answer.summary()), &[first]);
                return Ok(None);
            }
            found.extend(gather(&document));
            let next = answer.header("link").and_then(|link| {
                let (_, rest) = link.split_once('<')?;
                rest.split_once('>').map(|(next, _)| next.to_owned())
            });
            match next {
                Some(next) => path = next,
                None => return Ok(Some(found)),
            }
        }
        Ok(Some(found))
    }

    fn same(&mut self, what: &str, listed: &BTreeSet<String>, read: &BTreeSet<String>) {
        let differ: Vec<&String> = listed.symmetric_difference(read).take(3).collect();
        if !differ.is_empty() {
            let words: Vec<&str> = differ.iter().map(|word| word.as_str()).collect();
            let text = format!(
                "{what} disagrees with what reads one by one about {differ:?} (listed {}, readable {})",
                listed.len(),
                read.len()
            );
            self.wrong(&text, &words);
        }
    }

    fn tags(&mut self, repo: &str) -> io::Result<()> {
        let names = |document: &serde_json::Value| strings(&document["tags"]);
        let Some(listed) = self.pages(&format!("/v2/{repo}/tags/list?n=500"), names)? else { return Ok(()) };
        let read = self.journal.present().filter_map(|key| match key {
            Key::Tag(of, tag) if of == repo => Some(tag.clone()),
            _ => None,
        });
        let read = read.collect();
        self.same(&format!("the tag list of {repo}"), &listed, &read);
        Ok(())
    }

    fn catalog(&mut self, repos: &BTreeSet<String>) -> io::Result<()> {
        let names = |document: &serde_json::Value| strings(&document["repositories"]);
        let Some(listed) = self.pages("/v2/_catalog?n=500", names)? else { return Ok(()) };
        let there = self.journal.present().map(Key::repo).filter(|repo| repos.contains(*repo));
        let read: BTreeSet<String> = there.map(str::to_owned).collect();
        let missing: BTreeSet<String> = read.difference(&listed).cloned().collect();
        self.same("the catalog", &BTreeSet::new(), &missing);
        Ok(())
    }

    fn referrers(&mut self, keys: &BTreeSet<Key>) -> io::Result<()> {
        let touched: Vec<((String, String), BTreeSet<String>)> = self
            .journal
            .artifacts
            .iter()
            .filter(|((repo, _), artifacts)| {
                artifacts.iter().any(|digest| keys.contains(&Key::Manifest(repo.clone(), digest.clone())))
            })
            .map(|(of, artifacts)| (of.clone(), artifacts.clone()))
            .collect();
        for ((repo, subject), artifacts) in touched {
            let digests = |document: &serde_json::Value| {
                let manifests = document["manifests"].as_array().cloned().unwrap_or_default();
                manifests.iter().filter_map(|one| one["digest"].as_str().map(str::to_owned)).collect()
            };
            let path = format!("/v2/{repo}/referrers/{subject}");
            let Some(listed) = self.pages(&path, digests)? else { continue };
            let there = |digest: &&String| {
                let key = Key::Manifest(repo.clone(), (*digest).clone());
                matches!(self.journal.settled(&key), Some(Some(_)))
            };
            let read = artifacts.iter().filter(there).cloned().collect();
            self.same(&format!("the referrers list of {subject} in {repo}"), &listed, &read);
        }
        Ok(())
    }

    fn sessions(&mut self) -> io::Result<()> {
        for mut session in std::mem::take(&mut self.journal.sessions) {
            if self.one_session(&mut session)? {
                self.journal.sessions.push(session);
            }
        }
        Ok(())
    }

    /// Asks where a session stands and goes on with it. True: it stays for the next time.
    fn one_session(&mut self, session: &mut Session) -> io::Result<bool> {
        let location = session.location.clone();
        let words = [location.as_str(), session.digest.as_str()];
        let answer = self.get(&location)?;
        if answer.status == 404 {
            let key = Key::Blob(session.repo.clone(), session.digest.clone());
            let lost = match session.stage {
                Stage::Open => true,
                // It became a blob, or its bytes are lost.
                Stage::Finishing => {
                    self.cut != Cut::FailedSync && !matches!(self.observe(&key)?, Some(Some(_)))
                }
                Stage::Cancelling | Stage::Ended => false,
            };
            // Where sweeps are quick, sessions expire as quickly.
            if lost && self.cut != Cut::Power && !self.journal.swept {
                let what = format!(
                    "the session {location} is gone ({:?}, {} bytes confirmed)",
                    session.stage, session.acked
                );
                self.wrong(&what, &words);
            }
            return Ok(false);
        }
        if answer.status != 204 {
            self.wrong(&format!("the session {location} reads {}", answer.summary()), &words);
            return Ok(false);
        }
        if session.stage == Stage::Ended && self.cut != Cut::Power {
            self.wrong(&format!("the session {location} has ended, and is back"), &words);
        }
        if matches!(session.stage, Stage::Cancelling | Stage::Ended) {
            let answer = self.client.send("DELETE", &location, &[], &[])?;
            if answer.status != 204 {
                self.wrong(&format!("cancelling {location}: {}", answer.summary()), &words);
            }
            return Ok(false);
        }
        let last = answer.header("range").and_then(|range| range.strip_prefix("0-")?.parse::<usize>().ok());
        // "0-0" says nothing or one byte; which of the two, the content range finds out.
        let mut offset = last.map_or(0, |last| if last == 0 { 0 } else { last + 1 });
        let least = if self.cut == Cut::Power { 0 } else { session.acked };
        if offset < least || offset > session.sent {
            let what = format!(
                "the session {location} stands at {offset}; {} bytes were confirmed and {} sent",
                session.acked, session.sent
            );
            self.wrong(&what, &words);
            return Ok(false);
        }
        if session.stage == Stage::Open && self.rng.one_in(4) {
            (session.acked, session.sent) = (offset, offset);
            return Ok(true);
        }
        let bytes = self.journal.contents.get(&session.digest).map(Content::bytes).unwrap_or_default();
        if offset < bytes.len() {
            let range = |from: usize| format!("{from}-{}", bytes.len() - 1);
            let rest = bytes.get(offset..).unwrap_or_default();
            let mut answer =
                self.client.send("PATCH", &location, &[("content-range", &range(offset))], rest)?;
            if answer.status == 416 && offset == 0 {
                offset = 1;
                let rest = bytes.get(offset..).unwrap_or_default();
                answer = self.client.send("PATCH", &location, &[("content-range", &range(offset))], rest)?;
            }
            if answer.status != 202 {
                self.wrong(&format!("going on with {location} at {offset}: {}", answer.summary()), &words);
                return Ok(false);
            }
        }
        let key = Key::Blob(session.repo.clone(), session.digest.clone());
        let there = Some(session.digest.clone());
        let op = self.journal.send(&format!("finish {location}"), &[(key.clone(), there)]);
        let path = format!("{location}?digest={}", session.digest);
        let answer = self.client.send("PUT", &path, &[], &[])?;
        if answer.status == 201 {
            self.journal.ack(op, 201);
            self.resumed += 1;
            self.register(&key)?;
        } else {
            self.journal.refuse(op, &answer.summary());
            let what = format!("finishing {location} from {offset}: {}", answer.summary());
            self.wrong(&what, &words);
        }
        Ok(false)
    }
}

fn strings(list: &serde_json::Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}
