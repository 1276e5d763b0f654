//! Which refusals the audit log keeps, so that nobody can fill the disk, or push out what others did, by being refused without end.
//!
//! Each caller (a subject, else an address) has some thousand entries in hand and gets one more each second. What goes beyond is
//! counted by the metrics and the server's log alone; an entry a minute says so. What was done is always kept.

use std::net::IpAddr;
use std::num::NonZeroU32;

use gantry_storage::meta::access::AuditEntry;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::auth::network;

/// Entries that a caller has in hand.
const IN_HAND: NonZeroU32 = match NonZeroU32::new(1000) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};

/// What entries that stand for several say.
const MORE: &str = " (this caller is refused so often that further entries are left out, for a minute)";

/// Refusals by caller.
pub(super) struct Refusals {
    kept: DefaultKeyedRateLimiter<Box<str>>,
    told: DefaultKeyedRateLimiter<Box<str>>,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self {
            kept: RateLimiter::keyed(Quota::per_second(NonZeroU32::MIN).allow_burst(IN_HAND)),
            told: RateLimiter::keyed(Quota::per_minute(NonZeroU32::MIN)),
        }
    }

    /// The entry, if it is to be kept.
    pub(super) fn pass(&self, mut entry: AuditEntry) -> Option<AuditEntry> {
        if entry.allowed {
            return Some(entry);
        }
        let caller = caller(&entry);
        if self.kept.check_key(&caller).is_err() {
            self.told.check_key(&caller).ok()?;
            entry.reason.push_str(MORE);
        }
        Some(entry)
    }

    /// Forgets callers that have everything in hand again.
    pub(super) fn forget(&self) {
        for limiter in [&self.kept, &self.told] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// Who is counted together. No subject is an address.
fn caller(entry: &AuditEntry) -> Box<str> {
    match entry.subject.as_str() {
        "" | "anonymous" => match entry.address.parse::<IpAddr>() {
            Ok(address) => format!("/{}", network(address)).into(),
            Err(_) => "/".into(),
        },
        subject => subject.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(subject: &str, address: &str, allowed: bool) -> AuditEntry {
        AuditEntry { subject: subject.into(), address: address.into(), allowed, ..AuditEntry::default() }
    }

    #[test]
    fn refusals_without_end_are_kept_in_part_and_leave_others_alone() {
        let refusals = Refusals::new();
        let kept = |subject: &str, address: &str, allowed: bool| {
            (0..3000).filter_map(|_| refusals.pass(entry(subject, address, allowed))).collect::<Vec<_>>()
        };
        let rows = kept("", "192.0.2.1", false);
        assert!((1001..1100).contains(&rows.len()), "{}", rows.len());
        assert_eq!(rows.iter().filter(|row| row.reason.ends_with(MORE)).count(), 1, "and it is told");
        assert!(refusals.pass(entry("", "192.0.2.2", false)).is_some());
        assert!(refusals.pass(entry("alice", "192.0.2.1", false)).is_some());
        assert_eq!(kept("", "192.0.2.1", true).len(), 3000, "what was done is kept");
        assert!(kept("alice", "192.0.2.3", false).len() < 1100);
        kept("", "2001:db8::1", false);
        assert!(kept("anonymous", "2001:db8::2", false).len() < 100, "of IPv6 the /64");
    }
}
