//! What was sent and what was acknowledged, and nothing else.
//!
//! Each thing that can be asked for afterwards (a blob in a repository, a manifest, a tag) is a register with its writes in
//! order of sending. From the moments at which they were sent and acknowledged follows which values a reader may see: not
//! one that an acknowledged write replaced which began after the first was acknowledged. An unacknowledged write may have happened or
//! not; what is seen after the restart decides, and must stay.
//!
//! The journal knows nothing of the server's files; it would be no witness if it did.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;

use sha2::{Digest as _, Sha256, Sha512};

use crate::rng;

/// Events that are kept for people.
const EVENTS: usize = 50_000;

/// Something that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// A blob in a repository.
    Blob(String, String),
    /// A manifest in a repository, by digest.
    Manifest(String, String),
    /// A tag.
    Tag(String, String),
}

impl Key {
    pub(crate) fn repo(&self) -> &str {
        match self {
            Key::Blob(repo, _) | Key::Manifest(repo, _) | Key::Tag(repo, _) => repo,
        }
    }

    /// The path at which it is read.
    pub(crate) fn path(&self) -> String {
        match self {
            Key::Blob(repo, digest) => format!("/v2/{repo}/blobs/{digest}"),
            Key::Manifest(repo, what) | Key::Tag(repo, what) => format!("/v2/{repo}/manifests/{what}"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// The digest that is there, or nothing.
pub(crate) type Value = Option<String>;

#[derive(Clone, Debug)]
struct Write {
    value: Value,
    sent: u64,
    acked: Option<u64>,
}

#[derive(Clone, Debug)]
struct Register(Vec<Write>);

impl Register {
    fn new() -> Register {
        Register(vec![Write { value: None, sent: 0, acked: Some(0) }])
    }

    /// The values that may be seen.
    fn allowed(&self) -> BTreeSet<Value> {
        let replaced = |write: &Write| {
            write
                .acked
                .is_some_and(|acked| self.0.iter().any(|later| later.acked.is_some() && later.sent > acked))
        };
        self.0.iter().filter(|write| !replaced(write)).map(|write| write.value.clone()).collect()
    }
}

/// What the bytes behind a digest are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Made of chance.
    Made { id: u64, size: usize },
    /// A manifest.
    Text { bytes: Vec<u8>, media_type: String },
}

impl Content {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Content::Made { id, size } => rng::bytes(*id, *size),
            Content::Text { bytes, .. } => bytes.clone(),
        }
    }
}

/// The digest of bytes, by the algorithm of `like` (`sha256:...`, or just the name).
pub(crate) fn digest_of(like: &str, bytes: &[u8]) -> String {
    if like.starts_with("sha512") {
        format!("sha512:{}", hex::encode(Sha512::digest(bytes)))
    } else {
        format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
    }
}

/// A number by which a request is found again.
pub(crate) type Op = u64;

#[derive(Clone)]
struct Pending {
    writes: Vec<Key>,
    values: Vec<Value>,
}

/// How far an upload session is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Bytes may follow.
    Open,
    /// Its end was asked for and not answered: by a blob, or by a cancel.
    Finishing,
    /// See above.
    Cancelling,
    /// It was cancelled, or became a blob, and that was acknowledged.
    Ended,
}

/// An upload session as its client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) repo: String,
    pub(crate) location: String,
    pub(crate) digest: String,
    /// Bytes that an answer has confirmed.
    pub(crate) acked: usize,
    /// Bytes that were sent in all.
    pub(crate) sent: usize,
    pub(crate) stage: Stage,
}

/// Everything that is known.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    clock: u64,
    registers: HashMap<Key, Register>,
    pending: HashMap<Op, Pending>,
    /// Unanswered requests whose writes nobody else makes: all happened, or none.
    unanswered: Vec<(Op, Vec<(Key, Value)>)>,
    pub(crate) contents: HashMap<String, Content>,
    /// What a manifest needs to be pulled, by its digest.
    pub(crate) needs: HashMap<String, Vec<String>>,
    /// Artifacts by repository and subject.
    pub(crate) artifacts: BTreeMap<(String, String), BTreeSet<String>>,
    /// Acknowledged manifests and blobs that nobody deletes, for others to build on.
    pub(crate) kept: HashMap<String, Vec<String>>,
    pub(crate) kept_blobs: Vec<(String, String)>,
    pub(crate) sessions: Vec<Session>,
    touched: BTreeSet<Key>,
    /// Blobs and untagged manifests may be swept: they may be gone when nobody deleted them.
    pub(crate) swept: bool,
    events: VecDeque<(u64, String)>,
    frozen: bool,
    /// Successes that were heard of after the cut.
    pub(crate) late: u64,
    pub(crate) acknowledged: u64,
}

impl Journal {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Notes something for people.
    pub(crate) fn note(&mut self, text: String) {
        let now = self.tick();
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((now, text));
    }

    /// A request is about to be sent that makes these writes.
    pub(crate) fn send(&mut self, what: &str, writes: &[(Key, Value)]) -> Op {
        self.note(format!("send {what}"));
        let op = self.clock;
        for (key, value) in writes {
            let register = self.registers.entry(key.clone()).or_insert_with(Register::new);
            register.0.push(Write { value: value.clone(), sent: op, acked: None });
            self.touched.insert(key.clone());
        }
        let (keys, values) = writes.iter().cloned().unzip();
        self.pending.insert(op, Pending { writes: keys, values });
        op
    }

    /// The power fails now: whatever arrives from here on would not have arrived. (The machine that lives on is an artefact; and an
    /// fsync that was under way when the file system was shut down may be told of success by its kernel.)
    pub(crate) fn freeze(&mut self, frozen: bool) {
        self.note(String::from(if frozen {
            "--- the power is cut ---"
        } else {
            "--- the power is back ---"
        }));
        self.frozen = frozen;
    }

    /// It was answered with success. False: too late to count.
    pub(crate) fn ack(&mut self, op: Op, status: u16) -> bool {
        if self.frozen {
            self.late += 1;
            self.lose(op, "answered after the cut");
            return false;
        }
        self.note(format!("ack {op} {status}"));
        self.acknowledged += 1;
        let now = self.clock;
        for key in self.pending.remove(&op).map(|pending| pending.writes).unwrap_or_default() {
            for write in self.registers.get_mut(&key).into_iter().flat_map(|register| &mut register.0) {
                if write.sent == op {
                    write.acked = Some(now);
                }
            }
        }
        true
    }

    /// It was refused: nothing happened.
    pub(crate) fn refuse(&mut self, op: Op, why: &str) {
        self.note(format!("refused {op} {why}"));
        for key in self.pending.remove(&op).map(|pending| pending.writes).unwrap_or_default() {
            if let Some(register) = self.registers.get_mut(&key) {
                register.0.retain(|write| write.sent != op);
            }
        }
    }

    /// It was not answered, or in a way that leaves it open.
    pub(crate) fn lose(&mut self, op: Op, why: &str) {
        self.note(format!("lost {op} {why}"));
        if let Some(Pending { writes, values }) = self.pending.remove(&op)
            && writes.len() > 1
        {
            self.unanswered.push((op, writes.into_iter().zip(values).collect()));
        }
    }

    /// What may be seen of a thing.
    pub(crate) fn allowed(&self, key: &Key) -> BTreeSet<Value> {
        let mut allowed = self.registers.get(key).map_or_else(|| BTreeSet::from([None]), Register::allowed);
        if self.swept && !matches!(key, Key::Tag(..)) {
            allowed.insert(None);
        }
        allowed
    }

    /// What was seen is so from now on.
    pub(crate) fn settle(&mut self, key: &Key, value: Value) {
        self.registers.insert(key.clone(), Register(vec![Write { value, sent: 0, acked: Some(0) }]));
    }

    /// The one value that a settled thing has.
    pub(crate) fn settled(&self, key: &Key) -> Option<Value> {
        let register = self.registers.get(key)?;
        match register.0.as_slice() {
            [only] => Some(only.value.clone()),
            _ => None,
        }
    }

    /// Everything written to since the last call.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.touched)
    }

    /// Requests that were cut off since the last call and had several effects.
    pub(crate) fn take_unanswered(&mut self) -> Vec<(Op, Vec<(Key, Value)>)> {
        for (op, pending) in std::mem::take(&mut self.pending) {
            if pending.writes.len() > 1 {
                self.unanswered.push((op, pending.writes.into_iter().zip(pending.values).collect()));
            }
        }
        std::mem::take(&mut self.unanswered)
    }

    /// What is there now, as far as it is settled.
    pub(crate) fn present(&self) -> impl Iterator<Item = &Key> {
        let there = |register: &Register| matches!(register.0.as_slice(), [Write { value: Some(_), .. }]);
        self.registers.iter().filter(move |(_, register)| there(register)).map(|(key, _)| key)
    }

    /// All things, in an order that does not depend on chance.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.registers.keys().cloned().collect();
        keys.sort();
        keys
    }

    /// The last events that name any of `words`, and the very last.
    pub(crate) fn excerpt(&self, words: &[&str]) -> String {
        let mut lines: Vec<String> = self
            .events
            .iter()
            .filter(|(_, text)| words.iter().any(|word| text.contains(word)))
            .map(|(at, text)| format!("{at:8} {text}"))
            .collect();
        let answers: Vec<String> = self
            .events
            .iter()
            .filter(|(_, text)| {
                let op = text.split(' ').nth(1).unwrap_or_default();
                lines.iter().any(|line| line.trim_start().starts_with(&format!("{op} send")))
            })
            .map(|(at, text)| format!("{at:8} {text}"))
            .collect();
        lines.extend(answers);
        lines.sort();
        lines.dedup();
        let from = lines.len().saturating_sub(40);
        lines.drain(..from);
        lines.push(String::from("  ... the last of all:"));
        let last = self.events.len().saturating_sub(15);
        lines.extend(self.events.iter().skip(last).map(|(at, text)| format!("{at:8} {text}")));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag() -> Key {
        Key::Tag("r".into(), "t".into())
    }

    fn allowed(journal: &Journal) -> Vec<Value> {
        journal.allowed(&tag()).into_iter().collect()
    }

    #[test]
    fn a_replaced_value_may_not_come_back_and_an_open_write_may_count_or_not() {
        let mut journal = Journal::default();
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        let first = journal.send("a", &[(tag(), a.clone())]);
        assert_eq!(allowed(&journal), [None, a.clone()]);
        journal.ack(first, 201);
        assert_eq!(allowed(&journal), std::slice::from_ref(&a));
        let second = journal.send("b", &[(tag(), b.clone())]);
        assert_eq!(allowed(&journal), [a, b.clone()]);
        let third = journal.send("delete", &[(tag(), None)]);
        journal.ack(second, 201);
        assert_eq!(allowed(&journal), [None, b.clone()], "a is gone for good");
        journal.refuse(third, "404");
        assert_eq!(allowed(&journal), std::slice::from_ref(&b));
        journal.settle(&tag(), b.clone());
        assert_eq!(allowed(&journal), [b]);
    }

    #[test]
    fn of_two_writes_at_the_same_time_either_may_be_the_last() {
        let mut journal = Journal::default();
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        let first = journal.send("a", &[(tag(), a.clone())]);
        let second = journal.send("b", &[(tag(), b.clone())]);
        journal.ack(second, 201);
        journal.ack(first, 201);
        assert_eq!(allowed(&journal), [a, b]);
    }
}
