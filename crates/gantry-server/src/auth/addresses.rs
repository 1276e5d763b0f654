//! From where anything may be asked: `[auth.addresses]`.
//!
//! A pure question of one address. Which address a request comes from is found out elsewhere (`http::peer`).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::AddressRules;

/// The networks that may ask, and those that may not.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

impl Addresses {
    /// What the table says.
    #[must_use]
    pub fn new(rules: &AddressRules) -> Self {
        let plain = |networks: &[IpNet]| networks.iter().copied().map(out_of_ipv6_clothes).collect();
        Self { allow: plain(&rules.allow), deny: plain(&rules.deny) }
    }

    /// Whether this address may ask. `deny` wins, and a list of those that are allowed leaves out all others.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let among = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        !among(&self.deny) && (self.allow.is_empty() || among(&self.allow))
    }
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`: addresses are compared as what they are, so networks must be too.
fn out_of_ipv6_clothes(network: IpNet) -> IpNet {
    let IpNet::V6(clothed) = network else { return network };
    let plain = || {
        let address = clothed.network().to_ipv4_mapped()?;
        IpNet::new(address.into(), clothed.prefix_len().checked_sub(96)?).ok()
    };
    plain().unwrap_or(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(allow: &[&str], deny: &[&str], address: &str) -> bool {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let rules = AddressRules { allow: networks(allow), deny: networks(deny) };
        Addresses::new(&rules).admits(address.parse().unwrap())
    }

    /// N-9
    #[test]
    fn deny_wins_and_an_allow_list_leaves_out_the_rest() {
        assert!(admitted(&[], &[], "192.0.2.1"));
        assert!(admitted(&[], &["10.0.0.0/8"], "192.0.2.1"));
        assert!(!admitted(&[], &["10.0.0.0/8"], "10.1.2.3"));
        assert!(admitted(&["10.0.0.0/8"], &[], "10.1.2.3"));
        assert!(!admitted(&["10.0.0.0/8"], &[], "192.0.2.1"));
        assert!(!admitted(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.2.3"));
        assert!(!admitted(&["10.1.0.0/16"], &["10.0.0.0/8"], "10.1.2.3"));
        assert!(!admitted(&["10.0.0.0/8"], &[], "2001:db8::1"), "a list of IPv4 networks leaves IPv6 out");
        assert!(admitted(&["2001:db8::/32"], &[], "2001:db8::1"));
        assert!(!admitted(&[], &["::/0"], "2001:db8::1"));
    }

    #[test]
    fn ipv4_is_known_in_ipv6_clothes_on_either_side() {
        assert!(!admitted(&[], &["10.0.0.0/8"], "::ffff:10.1.2.3"));
        assert!(!admitted(&[], &["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(admitted(&[], &["::ffff:10.0.0.0/104"], "11.1.2.3"));
        assert!(!admitted(&[], &["::ffff:0:0/96"], "192.0.2.1"));
        assert!(admitted(&["::ffff:10.1.2.3/128"], &[], "10.1.2.3"));
        assert!(admitted(&[], &["::/0"], "192.0.2.1"), "all of IPv6 is not IPv4");
    }

    #[test]
    fn an_address_within_a_network_stands_for_the_network() {
        assert!(!admitted(&[], &["10.1.2.3/8"], "10.200.0.1"));
    }
}
