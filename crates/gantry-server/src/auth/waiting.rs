//! Who waits for a password check, by address.
//!
//! Checks are few at once and wait in one line. One client that sends wrong passwords without end must not fill that line
//! for everybody else, so each address (of IPv6: each /64) has a few places in it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Places for one address. Clients make a dozen requests at once, and share addresses.
const PLACES: usize = 32;

/// The line.
#[derive(Default)]
pub(super) struct Waiting(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place in the line, until it is dropped.
pub(super) struct Place {
    line: Arc<Mutex<HashMap<IpAddr, usize>>>,
    network: IpAddr,
}

impl Waiting {
    /// Takes a place; `None` when the address has all of its places taken.
    pub(super) fn enter(&self, client: IpAddr) -> Option<Place> {
        let network = network(client);
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = line.entry(network).or_default();
        if *taken >= PLACES {
            return None;
        }
        *taken += 1;
        Some(Place { line: Arc::clone(&self.0), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = line.get_mut(&self.network) {
            *taken -= 1;
            if *taken == 0 {
                line.remove(&self.network);
            }
        }
    }
}

/// What counts as one client: an address, of IPv6 a /64.
pub fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_places_of_its_own() {
        let waiting = Waiting::default();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let places: Vec<_> = (0..PLACES).map(|_| waiting.enter(one).unwrap()).collect();
        assert!(waiting.enter(one).is_none());
        assert!(waiting.enter("192.0.2.2".parse().unwrap()).is_some());
        drop(places);
        assert!(waiting.enter(one).is_some());
        assert!(waiting.0.lock().unwrap().is_empty(), "nothing is kept of those who left");
        assert_eq!(network("2001:db8::1".parse().unwrap()), network("2001:db8::ffff:2".parse().unwrap()));
    }
}
