//! How many requests a caller may make (N-24): an account, or else an address, each with a bucket of its own.
//!
//! Off unless `limits.requests_per_second` is set. Buckets are this server's: several replicas count each for themselves.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Identity, network};

/// Who is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Subject(Box<str>),
    /// Of IPv6, the /64.
    Network(IpAddr),
}

type Buckets = RateLimiter<Key, DashMapStateStore<Key>, DefaultClock, StateInformationMiddleware>;

/// Buckets of all callers.
pub struct Pace {
    buckets: Option<Buckets>,
    clock: DefaultClock,
}

/// How a caller stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    limit: u32,
    remaining: u32,
    /// Seconds until there is room for one more; until the bucket is full, where there is room.
    reset: u64,
}

impl Pace {
    /// `per_second` requests in the long run, `burst` at once.
    pub fn new(per_second: Option<NonZeroU32>, burst: Option<NonZeroU32>) -> Self {
        let quota = per_second.map(|rate| Quota::per_second(rate).allow_burst(burst.unwrap_or(rate)));
        let buckets = quota.map(|quota| RateLimiter::dashmap(quota).with_middleware());
        Self { buckets, clock: DefaultClock::default() }
    }

    /// Counts a request; `None`: requests are not counted.
    ///
    /// # Errors
    /// It is one too many.
    pub fn count(&self, identity: Option<&Identity>, address: IpAddr) -> Result<Option<Standing>, Standing> {
        let Some(buckets) = &self.buckets else { return Ok(None) };
        let key = match identity.filter(|identity| !identity.is_anonymous()) {
            Some(identity) => Key::Subject(identity.subject.as_str().into()),
            None => Key::Network(network(address)),
        };
        match buckets.check_key(&key) {
            Ok(state) => {
                let (limit, remaining) = (state.quota().burst_size().get(), state.remaining_burst_capacity());
                let refill = state.quota().replenish_interval() * limit.saturating_sub(remaining);
                Ok(Some(Standing { limit, remaining, reset: seconds(refill) }))
            }
            Err(refused) => {
                let limit = refused.quota().burst_size().get();
                Err(Standing {
                    limit,
                    remaining: 0,
                    reset: seconds(refused.wait_time_from(self.clock.now())).max(1),
                })
            }
        }
    }

    /// Forgets callers whose buckets are full again.
    pub fn forget(&self) {
        if let Some(buckets) = &self.buckets {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }
}

/// Rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl Standing {
    /// For `Retry-After`, in seconds.
    pub fn wait(&self) -> u64 {
        self.reset
    }

    /// As headers.
    pub fn stamp(&self, headers: &mut HeaderMap) {
        for (name, value) in [
            ("ratelimit-limit", u64::from(self.limit)),
            ("ratelimit-remaining", u64::from(self.remaining)),
            ("ratelimit-reset", self.reset),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Credential, Source};

    #[test]
    fn each_caller_has_a_bucket_of_its_own() {
        let pace = Pace::new(NonZeroU32::new(1), NonZeroU32::new(3));
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let left: Vec<_> = (0..3).map(|_| pace.count(None, address).unwrap().unwrap().remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = pace.count(None, address).unwrap_err();
        assert!(refused.remaining == 0 && refused.limit == 3 && refused.wait() == 1);
        assert!(pace.count(None, "192.0.2.2".parse().unwrap()).is_ok());
        let alice = Identity::plain("alice".parse().unwrap(), Source::Account, Credential::Password);
        assert!(pace.count(Some(&alice), address).is_ok(), "an account is not its address");
        assert!(Pace::new(None, None).count(None, address).unwrap().is_none());
    }
}
