//! Who has to wait because of wrong passwords: a pair of a name and an address, never a name alone.
//!
//! After ten failures for one name from one address (IPv6: one /64) that pair waits, longer with each further failure, whatever door
//! it knocks at. Others do not wait: neither the same name from elsewhere, so that nobody can be locked out, nor
//! other names from the same address, where many may live.
//!
//! Memory is bounded, in a way that a flood cannot be used to be forgotten: each address has places of its own, and those
//! of a full address go to whoever failed most. Names are kept as hashes under a key, since people type
//! passwords in the wrong field. No clock here: the time is a parameter.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::waiting::network;

/// Failures that are free.
const FREE: u32 = 10;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// How long after its last failure a pair is forgotten; longer than the longest wait, or waiting would end with a clean slate.
const KEPT: Duration = Duration::from_secs(3600);
/// Names that are kept of one address. What does not fit shares one place.
const NAMES: usize = 64;
/// Addresses that are kept.
const ADDRESSES: usize = 4096;

/// A pair that has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How long, at least a moment.
    pub left: Duration,
}

impl Wait {
    /// For `Retry-After`: whole seconds, rounded up.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.left.as_secs() + u64::from(self.left.subsec_nanos() > 0)
    }
}

/// Failures of late.
#[derive(Default)]
pub struct Failures {
    key: RandomState,
    addresses: Mutex<HashMap<IpAddr, Address>>,
}

#[derive(Default)]
struct Address {
    names: Vec<Pair>,
    /// All names that found no place.
    others: Option<Pair>,
}

struct Pair {
    name: u64,
    failures: u32,
    last: Instant,
}

impl Failures {
    /// Whether this name may be tried from this address now. To be asked again after having waited in line for a check.
    ///
    /// # Errors
    /// It has to wait.
    pub fn check(&self, name: &str, address: IpAddr, now: Instant) -> Result<(), Wait> {
        let name = self.hash(name);
        let addresses = self.lock();
        let pair = addresses.get(&network(address)).and_then(|address| address.pair(name));
        let left = pair.map_or(Duration::ZERO, |pair| pair.left(now));
        if left.is_zero() { Ok(()) } else { Err(Wait { left }) }
    }

    /// The credentials under this name were wrong, also when they were tried as a token.
    pub fn failed(&self, name: &str, address: IpAddr, now: Instant) {
        let name = self.hash(name);
        let network = network(address);
        let mut addresses = self.lock();
        if !addresses.contains_key(&network) && addresses.len() >= ADDRESSES {
            make_room(&mut addresses, now);
        }
        addresses.entry(network).or_default().failed(name, now);
    }

    /// The credentials under this name were right.
    pub fn succeeded(&self, name: &str, address: IpAddr) {
        let name = self.hash(name);
        let network = network(address);
        let mut addresses = self.lock();
        if let Some(address) = addresses.get_mut(&network) {
            // Not the place of the others: one good name must not give them all new tries.
            address.names.retain(|pair| pair.name != name);
            if address.names.is_empty() && address.others.is_none() {
                addresses.remove(&network);
            }
        }
    }

    /// Spellings that some sources take for the same name count as one.
    fn hash(&self, name: &str) -> u64 {
        self.key.hash_one(name.trim().to_lowercase())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Address>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Address {
    fn pair(&self, name: u64) -> Option<&Pair> {
        let own = self.names.iter().find(|pair| pair.name == name);
        // A name without a place is one of the others, but only once all places are taken for good.
        own.or_else(|| self.others.as_ref().filter(|_| self.names.len() >= NAMES))
    }

    fn failed(&mut self, name: u64, now: Instant) {
        if let Some(pair) = self.names.iter_mut().find(|pair| pair.name == name) {
            pair.count(now);
            return;
        }
        if self.names.len() >= NAMES {
            self.names.retain(|pair| pair.is_kept(now));
            self.others.take_if(|others| !others.is_kept(now));
        }
        if self.names.len() >= NAMES {
            let least = self.names.iter().enumerate().min_by_key(|(_, pair)| (pair.failures, pair.last));
            match least.map(|(at, pair)| (at, pair.failures)) {
                Some((at, failures)) if failures < FREE => {
                    self.names.swap_remove(at);
                }
                _ => {
                    self.others.get_or_insert(Pair { name: 0, failures: 0, last: now }).count(now);
                    return;
                }
            }
        }
        self.names.push(Pair { name, failures: 1, last: now });
    }

    fn last(&self) -> Option<Instant> {
        self.names.iter().chain(&self.others).map(|pair| pair.last).max()
    }
}

impl Pair {
    fn count(&mut self, now: Instant) {
        self.failures = if self.is_kept(now) { self.failures.saturating_add(1) } else { 1 };
        self.last = now;
    }

    fn is_kept(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < KEPT
    }

    /// 1 s after the tenth failure, then twice as long with each.
    fn left(&self, now: Instant) -> Duration {
        let Some(beyond) = self.failures.checked_sub(FREE) else { return Duration::ZERO };
        let wait =
            1_u64.checked_shl(beyond).map_or(LONGEST, |seconds| Duration::from_secs(seconds).min(LONGEST));
        wait.saturating_sub(now.saturating_duration_since(self.last))
    }
}

/// Forgets what is over, else the quarter of those who failed longest ago: so that this is rare also in a flood.
fn make_room(addresses: &mut HashMap<IpAddr, Address>, now: Instant) {
    let is_kept = |last: Instant| now.saturating_duration_since(last) < KEPT;
    addresses.retain(|_, address| address.last().is_some_and(is_kept));
    if addresses.len() >= ADDRESSES {
        let mut lasts: Vec<_> = addresses.values().map(Address::last).collect();
        let (_, limit, _) = lasts.select_nth_unstable(ADDRESSES / 4);
        let limit = *limit;
        addresses.retain(|_, address| address.last() > limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.0.2.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(failures: &Failures, name: &str, address: &str, times: u32, now: Instant) {
        for _ in 0..times {
            failures.failed(name, ip(address), now);
        }
    }

    fn wait(failures: &Failures, name: &str, address: &str, now: Instant) -> u64 {
        failures.check(name, ip(address), now).map_or_else(|wait| wait.seconds(), |()| 0)
    }

    /// N-10
    #[test]
    fn the_pair_waits_after_ten_failures_and_longer_with_each() {
        let failures = Failures::default();
        let mut now = Instant::now();
        fail(&failures, "alice", HERE, 9, now);
        assert_eq!(wait(&failures, "alice", HERE, now), 0);
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900] {
            fail(&failures, "alice", HERE, 1, now);
            assert_eq!(wait(&failures, "alice", HERE, now), seconds);
            let almost = now + Duration::from_millis(seconds * 1000 - 1);
            assert_eq!(wait(&failures, "alice", HERE, almost), 1, "rounded up");
            now += Duration::from_secs(seconds);
            assert_eq!(wait(&failures, "alice", HERE, now), 0);
        }
        fail(&failures, "alice", HERE, 200, now);
        assert_eq!(wait(&failures, "alice", HERE, now), 900, "nor does it overflow");
    }

    #[test]
    fn nobody_else_waits() {
        let (failures, now) = (Failures::default(), Instant::now());
        fail(&failures, "alice", HERE, 20, now);
        assert_eq!(wait(&failures, "alice", "192.0.2.2", now), 0, "alice elsewhere");
        assert_eq!(wait(&failures, "bob", HERE, now), 0, "somebody else here");
        assert!(wait(&failures, "alice", HERE, now) > 0);
        assert!(wait(&failures, " Alice ", HERE, now) > 0, "another spelling is not another name");
        assert!(
            wait(&failures, "alice", "::ffff:192.0.2.1", now) > 0,
            "nor are IPv6 clothes another address"
        );
    }

    #[test]
    fn ipv6_counts_by_64_bits() {
        let (failures, now) = (Failures::default(), Instant::now());
        for last in 0..10 {
            fail(&failures, "alice", &format!("2001:db8::{last}"), 1, now);
        }
        assert!(wait(&failures, "alice", "2001:db8::ffff:1", now) > 0);
        assert_eq!(wait(&failures, "alice", "2001:db8:0:1::1", now), 0);
    }

    #[test]
    fn success_and_time_clear() {
        let (failures, now) = (Failures::default(), Instant::now());
        fail(&failures, "alice", HERE, 9, now);
        failures.succeeded("alice", ip(HERE));
        assert!(failures.lock().is_empty(), "nothing is kept of those who got in");
        fail(&failures, "alice", HERE, 9, now);
        assert_eq!(wait(&failures, "alice", HERE, now), 0);
        fail(&failures, "alice", HERE, 11, now);
        let later = now + KEPT;
        fail(&failures, "alice", HERE, 1, later);
        assert_eq!(wait(&failures, "alice", HERE, later), 0, "an hour later it begins anew");
    }

    /// Names that nobody has must not push out the one that is being guessed.
    #[test]
    fn a_flood_of_names_from_one_address_forgets_no_wait() {
        let (failures, now) = (Failures::default(), Instant::now());
        fail(&failures, "alice", HERE, 9, now);
        for number in 0..10_000 {
            fail(&failures, &format!("junk{number}"), HERE, 1, now);
        }
        fail(&failures, "alice", HERE, 1, now);
        assert!(wait(&failures, "alice", HERE, now) > 0, "nine failures outlive any number of single ones");
        for number in 0..1000 {
            fail(&failures, &format!("more{number}"), HERE, 10, now);
        }
        assert!(wait(&failures, "alice", HERE, now) > 0, "who waits is not pushed out");
        assert!(wait(&failures, "never tried", HERE, now) > 0, "the rest of this address waits together");
        assert_eq!(wait(&failures, "never tried", "192.0.2.2", now), 0);
        let addresses = failures.lock();
        assert!(addresses.len() == 1 && addresses[&ip(HERE)].names.len() == NAMES, "and memory is bounded");
    }

    #[test]
    fn a_flood_from_one_address_leaves_the_others_alone() {
        let (failures, now) = (Failures::default(), Instant::now());
        fail(&failures, "alice", HERE, 12, now);
        for number in 0..10_000 {
            fail(&failures, &format!("junk{number}"), "198.51.100.1", 12, now);
        }
        assert_eq!(wait(&failures, "alice", HERE, now), 4);
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_pushes_out_the_oldest() {
        let (failures, now) = (Failures::default(), Instant::now());
        for number in 0..20_000_u32 {
            let address = IpAddr::V4((0x0a00_0000 + number).into());
            failures.failed("alice", address, now + Duration::from_millis(number.into()));
        }
        assert!((ADDRESSES / 2..=ADDRESSES).contains(&failures.lock().len()));
        fail(&failures, "alice", "10.0.78.31", 9, now + Duration::from_secs(20));
        assert!(
            wait(&failures, "alice", "10.0.78.31", now + Duration::from_secs(20)) > 0,
            "the last is there"
        );
    }
}
