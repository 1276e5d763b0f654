//! What may go, and when: every decision between pushes, mounts, HEAD, deletes and the sweep, as pure functions.
//!
//! A client that was told "this blob is there" (201 on an upload or a mount, 200 on a HEAD) may rely on it for the grace
//! period: it will not upload the blob, and name it in a manifest. So a link between a repository and a blob that no manifest
//! of the repository names carries a date, and everybody who is told renews it. A link that a manifest names has no date;
//! it gets one when the last such manifest goes. The same holds for manifests that neither a tag nor an index names, and
//! for images of v1 that neither a manifest nor another image needs.
//!
//! Nothing here reads a clock, a row or a file: the engine gathers the facts inside of the transaction that acts on them. The
//! model in `tests/model.rs` plays pushers, deleters and the sweep against each other and calls these functions too;
//! `docs/sweep.md` has the picture.

use std::time::Duration;

use crate::clock::Timestamp;

/// How long a promise holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// What nothing names any more stays at least this long after the last client was told that it is there.
    pub grace: Duration,
}

impl Terms {
    /// A date younger than this is not renewed, so that ten HEADs in a row cost one write. The sweep waits as much longer.
    #[must_use]
    pub fn slack(self) -> Duration {
        self.grace / 16
    }

    /// What nothing names since this moment or longer may go.
    #[must_use]
    pub fn cutoff(self, now: Timestamp) -> Timestamp {
        now.minus(self.grace.saturating_add(self.slack()))
    }

    /// Whether the date must be renewed before a client may be told that the thing is there.
    #[must_use]
    pub fn must_renew(self, unreferenced_since: Option<Timestamp>, now: Timestamp) -> bool {
        unreferenced_since.is_some_and(|since| since < now.minus(self.slack()))
    }

    /// The date from which on links belong to a push whose upload began at `started` and ends now: those that were still
    /// promised when it began. `None`: it was so short that the promises hold by themselves.
    #[must_use]
    pub fn renew_with_upload(self, started: Timestamp, now: Timestamp) -> Option<Timestamp> {
        (started < now.minus(self.slack())).then(|| self.cutoff(started))
    }

    /// Whether a repository's link to a blob goes.
    #[must_use]
    pub fn link(self, facts: LinkFacts, now: Timestamp) -> Verdict {
        let Some(since) = facts.unreferenced_since else { return Verdict::Keep(Reason::Referenced) };
        if facts.referenced {
            Verdict::Keep(Reason::Referenced)
        } else {
            self.unnamed(since, facts.uploading, now)
        }
    }

    /// Whether a manifest goes that neither a tag nor an index names.
    #[must_use]
    pub fn manifest(self, facts: ManifestFacts, now: Timestamp) -> Verdict {
        let Some(since) = facts.idle_since else { return Verdict::Keep(Reason::Referenced) };
        if facts.tagged {
            Verdict::Keep(Reason::Tagged)
        } else if facts.listed {
            Verdict::Keep(Reason::Listed)
        } else if facts.subject_there {
            Verdict::Keep(Reason::SubjectThere)
        } else {
            self.unnamed(since, facts.uploading, now)
        }
    }

    /// Whether an image of v1 goes that was pushed.
    #[must_use]
    pub fn image(self, facts: ImageFacts, now: Timestamp) -> Verdict {
        match facts.idle_since {
            Some(since) if !facts.held => self.unnamed(since, facts.uploading, now),
            _ => Verdict::Keep(Reason::Held),
        }
    }

    /// Whether goes what nothing names.
    fn unnamed(self, since: Timestamp, uploading: bool, now: Timestamp) -> Verdict {
        if since > self.cutoff(now) {
            Verdict::Keep(Reason::Promised)
        } else if uploading {
            Verdict::Keep(Reason::UploadUnderWay)
        } else {
            Verdict::Remove
        }
    }
}

/// The date of a link after somebody was told that it is there: none as long as a manifest of the repository names it.
#[must_use]
pub fn link_date(referenced: bool, now: Timestamp) -> Option<Timestamp> {
    (!referenced).then_some(now)
}

/// Whether a file goes whose row went before it: not when the digest has a row again.
#[must_use]
pub fn may_remove_file(has_row: bool) -> bool {
    !has_row
}

/// What the transaction knows of a link between a repository and a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkFacts {
    /// Its date.
    pub unreferenced_since: Option<Timestamp>,
    /// Whether a manifest or an image of the repository names the blob.
    pub referenced: bool,
    /// Whether an upload into the repository is under way: its manifest may name what came before.
    pub uploading: bool,
}

/// What the transaction knows of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestFacts {
    /// Its date; or, for a referrer, when its subject was deleted.
    pub idle_since: Option<Timestamp>,
    /// Whether a tag points at it.
    pub tagged: bool,
    /// Whether an index of the repository lists it.
    pub listed: bool,
    /// Whether its subject is in the repository.
    pub subject_there: bool,
    /// Whether an upload into the repository is under way.
    pub uploading: bool,
}

/// What the transaction knows of an image of v1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its date: of the last step of its push, of the last time that somebody was told of it, or of the end of what held it.
    pub idle_since: Option<Timestamp>,
    /// Whether a manifest is made of it, or another image stands on it.
    pub held: bool,
    /// Whether an upload into the repository is under way.
    pub uploading: bool,
}

/// What becomes of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes.
    Remove,
    /// It stays.
    Keep(Reason),
}

/// Why a candidate stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A manifest names it.
    Referenced,
    /// A tag points at it.
    Tagged,
    /// An index lists it.
    Listed,
    /// The manifest that it refers to is there (again).
    SubjectThere,
    /// A manifest is made of the image, or another image stands on it.
    Held,
    /// A client was told within the grace period that it is there.
    Promised,
    /// An upload into the repository is under way, whose manifest may name it.
    UploadUnderWay,
}

impl Reason {
    /// Whether a referrer that is kept for it need not be looked at again until its subject is deleted anew. A tag or an index
    /// that holds one may go, and nothing dates the referrer then.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Reason::Referenced | Reason::SubjectThere)
    }

    /// In words, for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Referenced => "a manifest or an image names it",
            Reason::Tagged => "a tag points at it",
            Reason::Listed => "an index lists it",
            Reason::SubjectThere => "its subject is there",
            Reason::Held => "a manifest or another image needs it",
            Reason::Promised => "a client was told within the grace period that it is there",
            Reason::UploadUnderWay => "an upload into its repository is under way",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { grace: Duration::from_micros(160) };

    fn link(since: Option<i64>, referenced: bool, uploading: bool, now: i64) -> Verdict {
        let facts = LinkFacts { unreferenced_since: since.map(Timestamp), referenced, uploading };
        TERMS.link(facts, Timestamp(now))
    }

    #[test]
    fn a_link_goes_only_when_nothing_holds_it() {
        assert_eq!(link(None, false, false, 10_000), Verdict::Keep(Reason::Referenced));
        assert_eq!(link(Some(0), true, false, 10_000), Verdict::Keep(Reason::Referenced));
        assert_eq!(link(Some(0), false, true, 10_000), Verdict::Keep(Reason::UploadUnderWay));
        assert_eq!(link(Some(0), false, false, 169), Verdict::Keep(Reason::Promised));
        assert_eq!(link(Some(0), false, false, 170), Verdict::Remove);
    }

    #[test]
    fn a_date_that_is_not_renewed_leaves_the_whole_grace_period() {
        let (now, mut renewed) = (Timestamp(1_000), 0);
        for since in 800..=1_000 {
            if TERMS.must_renew(Some(Timestamp(since)), now) {
                renewed += 1;
                continue;
            }
            let last_moment = 1_000 + 160 - 1;
            assert_eq!(link(Some(since), false, false, last_moment), Verdict::Keep(Reason::Promised));
        }
        assert_eq!(renewed, 190, "the slack is a sixteenth");
        assert!(!TERMS.must_renew(None, now));
    }

    #[test]
    fn the_end_of_a_long_upload_renews_what_was_promised_when_it_began() {
        assert_eq!(TERMS.renew_with_upload(Timestamp(995), Timestamp(1_000)), None);
        let from = TERMS.renew_with_upload(Timestamp(500), Timestamp(1_000)).expect("a long one");
        assert_eq!(from, Timestamp(330));
        assert_eq!(link(Some(331), false, false, 500), Verdict::Keep(Reason::Promised));
    }

    #[test]
    fn a_manifest_goes_only_when_nothing_names_it() {
        let idle = ManifestFacts {
            idle_since: Some(Timestamp(0)),
            tagged: false,
            listed: false,
            subject_there: false,
            uploading: false,
        };
        let at = |facts, now| TERMS.manifest(facts, Timestamp(now));
        assert_eq!(at(idle, 170), Verdict::Remove);
        assert_eq!(at(idle, 169), Verdict::Keep(Reason::Promised));
        assert_eq!(at(ManifestFacts { tagged: true, ..idle }, 170), Verdict::Keep(Reason::Tagged));
        assert_eq!(at(ManifestFacts { listed: true, ..idle }, 170), Verdict::Keep(Reason::Listed));
        assert_eq!(
            at(ManifestFacts { subject_there: true, ..idle }, 170),
            Verdict::Keep(Reason::SubjectThere)
        );
        assert_eq!(at(ManifestFacts { uploading: true, ..idle }, 170), Verdict::Keep(Reason::UploadUnderWay));
        assert_eq!(at(ManifestFacts { idle_since: None, ..idle }, 170), Verdict::Keep(Reason::Referenced));
    }

    #[test]
    fn an_image_goes_only_when_nothing_needs_it() {
        let idle = ImageFacts { idle_since: Some(Timestamp(0)), held: false, uploading: false };
        let at = |facts, now| TERMS.image(facts, Timestamp(now));
        assert_eq!(at(idle, 170), Verdict::Remove);
        assert_eq!(at(idle, 169), Verdict::Keep(Reason::Promised));
        assert_eq!(at(ImageFacts { held: true, ..idle }, 170), Verdict::Keep(Reason::Held));
        assert_eq!(at(ImageFacts { idle_since: None, ..idle }, 170), Verdict::Keep(Reason::Held));
        assert_eq!(at(ImageFacts { uploading: true, ..idle }, 170), Verdict::Keep(Reason::UploadUnderWay));
    }
}
