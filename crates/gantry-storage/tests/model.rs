//! The protocol between push, mount, HEAD, delete and sweep, walked through exhaustively.
//!
//! One blob, two repositories with a client each, somebody who deletes, a sweep, a clock, and a crash. Every step of the model is
//! one transaction, one look or one file operation of the real thing, in any order that the real thing allows; what is
//! *decided* in a step is decided by `gantry_storage::lease`, the code that the engine calls. `docs/sweep.md` has the picture.
//!
//! The other half of the proof is that the model can fail: each [`Flaw`] takes one precaution away, and must be found.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use gantry_storage::lease::{self, LinkFacts, Verdict};
use gantry_storage::{Terms, Timestamp};
use stateright::{Checker, HasDiscoveries, Model, Property};

/// The grace period is two ticks of the clock, which is longer than the slack.
const TERMS: Terms = Terms { grace: Duration::from_micros(2 * TICK as u64) };
const TICK: i64 = 16;
const GRACE: Age = 2;
const REPOSITORIES: [usize; 2] = [0, 1];

/// Time is told backwards, as ages in ticks, and ages that make no more difference are one. So the model has no end of time,
/// and still only so many states.
type Age = u8;
/// An upload of another blob ends within so many ticks, as a request that looks ends within one.
const LONGEST_UPLOAD: Age = 3;
/// A date as old as what was promised at the begin of the longest upload makes no more difference.
const OLDEST: Age = LONGEST_UPLOAD + GRACE + 1;

const NOW: Timestamp = Timestamp(1_000 * TICK);

fn moment(age: Age) -> Timestamp {
    Timestamp(NOW.0 - i64::from(age) * TICK)
}

fn older(age: Age, oldest: Age) -> Age {
    (age + 1).min(oldest)
}

/// A link between a repository and the blob; its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Link(Option<Age>);

impl Link {
    fn older(self) -> Self {
        Self(self.0.map(|age| older(age, OLDEST)))
    }
}

/// Where a client is with its push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    Idle,
    /// Its HEAD has read the link, so long ago.
    Looked {
        link: Link,
        ago: Age,
    },
    /// Its upload has the digest's lock; the file is there, the row is not.
    Publishing,
    /// It was told so long ago that the blob is there, and relies on it.
    Told {
        ago: Age,
    },
    /// And it uploads another blob, since so long.
    Uploading {
        told: Age,
        since: Age,
    },
}

impl Client {
    fn older(self) -> Self {
        match self {
            Client::Looked { link, ago } => Client::Looked { link: link.older(), ago: ago + 1 },
            Client::Told { ago } => Client::Told { ago: older(ago, GRACE) },
            Client::Uploading { told, since } => {
                Client::Uploading { told: older(told, OLDEST), since: since + 1 }
            }
            other => other,
        }
    }

    /// Whether it does not take this long.
    fn waits(self) -> bool {
        match self {
            Client::Looked { ago, .. } => ago < 1,
            Client::Uploading { since, .. } => since < LONGEST_UPLOAD,
            _ => true,
        }
    }
}

/// Where the sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sweep {
    Idle,
    /// It has found these links by their date.
    Found([bool; 2]),
    /// It has the digest's lock (without [`Flaw::NoLock`]), and knows whether there is a row.
    Locked {
        has_row: bool,
    },
    /// The file is dealt with; its entry in the list of freed files is not.
    Removed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    links: [Option<Link>; 2],
    /// Whether a manifest of the repository names the blob.
    named: [bool; 2],
    file: bool,
    /// Entries in the list of files whose row is gone.
    freed: u8,
    clients: [Client; 2],
    sweep: Sweep,
    /// A client deleted the blob itself: whoever relies on it there has been overruled.
    overruled: [bool; 2],
    /// A crash left a file without a row.
    orphan: bool,
    /// A client that relied on a promise in time was refused.
    broken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Tick,
    Crash,
    Look(usize),
    Answer(usize),
    Publish(usize),
    Commit(usize),
    Mount(usize),
    BeginUpload(usize),
    EndUpload(usize),
    PutManifest(usize),
    DeleteManifest(usize),
    DeleteBlob(usize),
    Find,
    Decide(usize),
    Lock,
    Remove,
    Forget,
}

/// A precaution that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// HEAD renews nothing.
    NoRenewal,
    /// The sweep acts on the dates that it found, and does not look again.
    OldFacts,
    /// Links begin their lives without a date that the grace period could count from.
    NoGrace,
    /// An upload under way holds nothing.
    UploadsIgnored,
    /// The end of a long upload renews nothing.
    NoRenewalAtTheEnd,
    /// Files are removed without asking whether the digest has a row again.
    NoSecondLook,
    /// Nothing keeps a push of the digest and its removal apart.
    NoLock,
    /// Files go before their rows.
    FileFirst,
}

struct Registry {
    flaw: Option<Flaw>,
}

impl Registry {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Removes a link as the engine does, its blob's row with the last.
    fn unlink(state: &mut State, repository: usize) {
        state.links[repository] = None;
        if state.links == [None, None] {
            state.freed += 1;
        }
    }

    /// Makes or renews a link, as put and mount do.
    fn link(&self, state: &mut State, repository: usize) {
        let date = lease::link_date(state.named[repository], NOW);
        let date = date.map(|date| Age::try_from((NOW.0 - date.0) / TICK).unwrap());
        let date = if self.has(Flaw::NoGrace) { date.map(|_| OLDEST) } else { date };
        state.links[repository] = match state.links[repository] {
            Some(Link(None)) => Some(Link(None)),
            _ => Some(Link(date)),
        };
        state.clients[repository] = Client::Told { ago: 0 };
        state.overruled[repository] = false;
        state.orphan = false;
    }

    fn uploading(state: &State, repository: usize) -> bool {
        matches!(state.clients[repository], Client::Uploading { .. })
    }

    /// The transaction in which the sweep decides about a link.
    fn decide(&self, state: &mut State, repository: usize) {
        let Some(Link(date)) = state.links[repository] else { return };
        let facts = LinkFacts {
            unreferenced_since: if self.has(Flaw::OldFacts) { Some(Timestamp(0)) } else { date.map(moment) },
            referenced: state.named[repository] && !self.has(Flaw::OldFacts),
            uploading: Self::uploading(state, repository) && !self.has(Flaw::UploadsIgnored),
        };
        if TERMS.link(facts, NOW) == Verdict::Remove {
            if self.has(Flaw::FileFirst) && state.links[1 - repository].is_none() {
                state.file = false;
            }
            Self::unlink(state, repository);
        }
    }

    fn sweeper_has_the_lock(&self, state: &State) -> bool {
        matches!(state.sweep, Sweep::Locked { .. }) && !self.has(Flaw::NoLock)
    }
}

impl Model for Registry {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            links: [None, None],
            named: [false, false],
            file: false,
            freed: 0,
            clients: [Client::Idle, Client::Idle],
            sweep: Sweep::Idle,
            overruled: [false, false],
            orphan: false,
            broken: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Crash);
        if state.clients.into_iter().all(Client::waits) {
            actions.push(Action::Tick);
        }
        for repository in REPOSITORIES {
            match state.clients[repository] {
                Client::Idle => {
                    if state.links[repository].is_some() {
                        actions.push(Action::Look(repository));
                    }
                    if state.links[1 - repository].is_some() {
                        actions.push(Action::Mount(repository));
                    }
                    if !self.sweeper_has_the_lock(state) {
                        actions.push(Action::Publish(repository));
                    }
                }
                Client::Looked { .. } => actions.push(Action::Answer(repository)),
                Client::Publishing => actions.push(Action::Commit(repository)),
                Client::Told { .. } => {
                    actions.push(Action::PutManifest(repository));
                    // One of the two is enough.
                    if repository == 0 {
                        actions.push(Action::BeginUpload(repository));
                    }
                }
                Client::Uploading { .. } => actions.push(Action::EndUpload(repository)),
            }
            if state.named[repository] {
                actions.push(Action::DeleteManifest(repository));
            }
            if state.links[repository].is_some() {
                actions.push(Action::DeleteBlob(repository));
            }
        }
        match state.sweep {
            Sweep::Idle => {
                actions.push(Action::Find);
                let publishing = state.clients.contains(&Client::Publishing) && !self.has(Flaw::NoLock);
                if state.freed > 0 && !publishing {
                    actions.push(Action::Lock);
                }
            }
            Sweep::Found(found) => {
                let next = REPOSITORIES.into_iter().find(|repository| found[*repository]);
                actions.extend(next.map(Action::Decide));
            }
            Sweep::Locked { .. } => actions.push(Action::Remove),
            Sweep::Removed => actions.push(Action::Forget),
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Tick => {
                state.links = state.links.map(|link| link.map(Link::older));
                state.clients = state.clients.map(Client::older);
            }
            Action::Crash => {
                state.sweep = Sweep::Idle;
                for client in &mut state.clients {
                    match client {
                        Client::Publishing => {
                            state.orphan |= state.links == [None, None];
                            *client = Client::Idle;
                        }
                        Client::Looked { .. } => *client = Client::Idle,
                        _ => {}
                    }
                }
            }
            Action::Look(repository) => {
                state.clients[repository] = Client::Looked { link: state.links[repository]?, ago: 0 };
            }
            Action::Answer(repository) => {
                let Client::Looked { link: Link(date), ago } = state.clients[repository] else { return None };
                let renew = TERMS.must_renew(date.map(moment), NOW) && !self.has(Flaw::NoRenewal);
                state.clients[repository] = match (renew, state.links[repository]) {
                    (false, _) => Client::Told { ago },
                    (true, None) => Client::Idle,
                    (true, Some(Link(date))) => {
                        state.links[repository] = Some(Link(date.map(|_| 0)));
                        Client::Told { ago: 0 }
                    }
                };
                // Told of what was there when it looked: a deletion since then has overruled it already.
                state.overruled[repository] =
                    state.links[repository].is_none() && state.overruled[repository];
            }
            Action::Publish(repository) => {
                state.file = true;
                state.clients[repository] = Client::Publishing;
            }
            Action::Commit(repository) | Action::Mount(repository) => self.link(&mut state, repository),
            Action::BeginUpload(repository) => {
                let Client::Told { ago } = state.clients[repository] else { return None };
                state.clients[repository] = Client::Uploading { told: ago, since: 0 };
            }
            Action::EndUpload(repository) => {
                let Client::Uploading { told, since } = state.clients[repository] else { return None };
                let from = TERMS.renew_with_upload(moment(since), NOW);
                let from = from.filter(|_| !self.has(Flaw::NoRenewalAtTheEnd));
                if let (Some(from), Some(Link(Some(date)))) = (from, state.links[repository])
                    && moment(date) >= from
                {
                    state.links[repository] = Some(Link(Some(0)));
                }
                // What held when the upload began holds on from its end.
                let held = told - since < GRACE && since > 0;
                state.clients[repository] = Client::Told { ago: if held { 0 } else { told.min(GRACE) } };
            }
            Action::PutManifest(repository) => {
                let Client::Told { ago } = state.clients[repository] else { return None };
                if state.links[repository].is_some() {
                    state.named[repository] = true;
                    state.links[repository] = Some(Link(None));
                } else {
                    state.broken |= ago < GRACE && !state.overruled[repository];
                }
                state.clients[repository] = Client::Idle;
            }
            Action::DeleteManifest(repository) => {
                state.named[repository] = false;
                let date = lease::link_date(false, NOW).map(|_| 0);
                state.links[repository] = state.links[repository].map(|_| Link(date));
            }
            Action::DeleteBlob(repository) => {
                state.overruled[repository] = true;
                Self::unlink(&mut state, repository);
            }
            Action::Find => {
                let cutoff = TERMS.cutoff(NOW);
                let old = |link: Option<Link>| {
                    link.and_then(|Link(date)| date).is_some_and(|date| moment(date) <= cutoff)
                };
                let found = state.links.map(old);
                state.sweep = if found == [false, false] { Sweep::Idle } else { Sweep::Found(found) };
            }
            Action::Decide(repository) => {
                let Sweep::Found(mut found) = state.sweep else { return None };
                self.decide(&mut state, repository);
                found[repository] = false;
                state.sweep = if found == [false, false] { Sweep::Idle } else { Sweep::Found(found) };
            }
            Action::Lock => state.sweep = Sweep::Locked { has_row: state.links != [None, None] },
            Action::Remove => {
                let Sweep::Locked { has_row } = state.sweep else { return None };
                if lease::may_remove_file(has_row && !self.has(Flaw::NoSecondLook)) {
                    state.file = false;
                    state.orphan = false;
                }
                state.sweep = Sweep::Removed;
            }
            Action::Forget => {
                state.freed -= 1;
                state.sweep = Sweep::Idle;
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("a row has its bytes", |_, state| {
                state.file || state.links == [None, None]
            }),
            Property::<Self>::always("what a manifest names is there and has no date", |_, state| {
                REPOSITORIES.into_iter().all(|repository| {
                    !state.named[repository]
                        || state.overruled[repository]
                        || state.links[repository] == Some(Link(None))
                })
            }),
            Property::<Self>::always("a promise holds for the grace period", |_, state| {
                REPOSITORIES.into_iter().all(|repository| {
                    let holds = match state.clients[repository] {
                        Client::Told { ago } => ago < GRACE,
                        Client::Uploading { told, since } => told - since < GRACE,
                        _ => false,
                    };
                    !holds || state.overruled[repository] || state.links[repository].is_some()
                })
            }),
            Property::<Self>::always("no push that was in time is refused", |_, state| !state.broken),
            Property::<Self>::always("no bytes are forgotten", |_, state| {
                !state.file
                    || state.orphan
                    || state.freed > 0
                    || state.links != [None, None]
                    || state.clients.contains(&Client::Publishing)
            }),
            Property::<Self>::sometimes("the sweep frees everything", |_, state| {
                !state.file
                    && state.freed == 0
                    && matches!(state.clients[0], Client::Told { .. })
                    && state.overruled == [false, false]
            }),
            Property::<Self>::sometimes(
                "an upload holds what is older than the promise",
                |_, state| matches!((state.links[0], state.clients[0]), (Some(Link(Some(age))), Client::Uploading { .. }) if age > GRACE),
            ),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.freed <= 2
    }
}

/// Looks at every state, or, where a precaution is missing, until something is wrong.
fn explore(flaw: Option<Flaw>) -> impl Checker<Registry> {
    let end = if flaw.is_some() { HasDiscoveries::AnyFailures } else { HasDiscoveries::All };
    Registry { flaw }.checker().threads(2).finish_when(end).spawn_bfs().join()
}

#[test]
fn nothing_that_was_promised_goes_and_nothing_that_is_garbage_stays() {
    let checker = explore(None);
    checker.assert_properties();
    println!("{} states, {} of them different", checker.state_count(), checker.unique_state_count());
    assert!(checker.unique_state_count() > 10_000);
}

#[test]
fn each_precaution_is_needed() {
    for flaw in [
        Flaw::NoRenewal,
        Flaw::OldFacts,
        Flaw::NoGrace,
        Flaw::UploadsIgnored,
        Flaw::NoRenewalAtTheEnd,
        Flaw::NoSecondLook,
        Flaw::NoLock,
        Flaw::FileFirst,
    ] {
        let checker = explore(Some(flaw));
        let violated: Vec<_> = checker
            .discoveries()
            .into_keys()
            .filter(|name| checker.discovery_classification(name).to_string() == "counterexample")
            .collect();
        assert!(!violated.is_empty(), "without this precaution the model finds nothing wrong: {flaw:?}");
        println!("{flaw:?}: {violated:?}");
    }
}
