//! How often accounts may be made by whoever comes: few from one address, not many from all of them.
//!
//! An account costs a row and a slow hash for good, and gives no right; a flood of them is no attack on what is stored, only on the
//! list of accounts. What is counted is this server's alone.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::network;

/// Accounts at once from one address (of IPv6: one /64), and then one in so long.
const HERE: (NonZeroU32, Duration) = (NonZeroU32::new(5).unwrap(), Duration::from_secs(600));
/// The same for all addresses together.
const EVERYWHERE: (NonZeroU32, Duration) = (NonZeroU32::new(100).unwrap(), Duration::from_secs(30));
/// Names that are looked up for one address, and then one in so long: a login asks once, and a list of names is told to nobody.
const LOOKED_UP: (NonZeroU32, Duration) = (NonZeroU32::new(30).unwrap(), Duration::from_secs(30));

/// Accounts that were made of late.
pub(super) struct SignUps {
    looked_up: DefaultKeyedRateLimiter<IpAddr>,
    here: DefaultKeyedRateLimiter<IpAddr>,
    everywhere: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl SignUps {
    pub(super) fn new() -> Self {
        Self {
            looked_up: RateLimiter::keyed(quota(LOOKED_UP)),
            here: RateLimiter::keyed(quota(HERE)),
            everywhere: RateLimiter::direct(quota(EVERYWHERE)),
            clock: DefaultClock::default(),
        }
    }

    /// Whether one more name may be looked up.
    pub(super) fn may_look_up(&self, address: IpAddr) -> bool {
        self.looked_up.check_key(&network(address)).is_ok()
    }

    /// Counts one.
    ///
    /// # Errors
    /// It is one too many; after so many seconds there may be another.
    pub(super) fn count(&self, address: IpAddr) -> Result<(), u64> {
        let now = self.clock.now();
        // First that of the address, so that one address cannot use up the places of all.
        let refused = match self.here.check_key(&network(address)) {
            Err(refused) => Some(refused),
            Ok(()) => self.everywhere.check().err(),
        };
        refused.map_or(Ok(()), |refused| Err(refused.wait_time_from(now).as_secs() + 1))
    }

    /// Forgets addresses that made none for long.
    pub(super) fn forget(&self) {
        self.looked_up.retain_recent();
        self.looked_up.shrink_to_fit();
        self.here.retain_recent();
        self.here.shrink_to_fit();
    }
}

fn quota((burst, each): (NonZeroU32, Duration)) -> Quota {
    Quota::with_period(each).unwrap_or_else(|| Quota::per_second(burst)).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_from_one_address_and_some_from_all() {
        let made = SignUps::new();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for number in 0..5 {
            made.count(ip(&format!("2001:db8::{number}"))).unwrap();
        }
        let wait = made.count(ip("2001:db8::9")).unwrap_err();
        assert!((1..=601).contains(&wait), "{wait}");
        let others = (0..200_u8).filter(|number| made.count(ip(&format!("192.0.2.{number}"))).is_ok());
        assert_eq!(others.count(), 95);
    }
}
