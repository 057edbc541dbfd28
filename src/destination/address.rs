//! Addresses that never receive events, because the services there issue credentials.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

/// The IPv6 address of EC2's metadata service, which is not link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

/// The addresses that may receive events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPolicy {
    /// All addresses except link-local and metadata addresses.
    BlockLinkLocal,
    /// All addresses.
    AllowAll,
}

/// The error when a host is, or resolves to, a refused address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedAddress;

impl fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host has a link-local or metadata address")
    }
}

impl std::error::Error for RefusedAddress {}

/// Returns true if an address must not receive events.
#[must_use]
pub fn is_refused(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => match v6.to_ipv4() {
            Some(v4) => v4.is_link_local(),
            None => v6.is_unicast_link_local() || v6 == METADATA_V6,
        },
    }
}

/// Returns true if a URL contains a refused address. A host name is checked later, when it is resolved.
#[must_use]
pub fn names_refused(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(v4)) => is_refused(v4.into()),
        Some(Host::Ipv6(v6)) => is_refused(v6.into()),
        Some(Host::Domain(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_refused_in_every_spelling() {
        let refused = |url: &str| Url::parse(url).is_ok_and(|url| names_refused(&url));
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://169.254.170.2/",
            "http://2852039166/",
            "http://0xa9.0xfe.0xa9.0xfe/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://[::ffff:169.254.169.254]/",
        ] {
            assert!(refused(url), "{url}");
        }
        for url in [
            "http://127.0.0.1/",
            "http://10.0.0.1/",
            "https://[2001:db8::1]/",
            "https://crm.example/",
        ] {
            assert!(!refused(url), "{url}");
        }
    }
}
