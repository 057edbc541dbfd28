//! Addresses that never receive events, because the services there issue credentials.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

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
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || is_local_to_ec2(v6)
                || embedded(v6).iter().any(Ipv4Addr::is_link_local)
        }
    }
}

/// Returns true for `fd00:ec2::/32`, the addresses of services inside EC2: metadata and credentials.
fn is_local_to_ec2(address: Ipv6Addr) -> bool {
    address.segments().starts_with(&[0xfd00, 0x0ec2])
}

/// Returns the IPv4 addresses that a gateway or tunnel may read in an IPv6 address.
fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let octets = address.octets();
    let v4 = |at: [usize; 4]| Ipv4Addr::from(at.map(|index| octets[index]));
    let (tail, head) = (v4([12, 13, 14, 15]), v4([2, 3, 4, 5]));
    match address.segments() {
        // IPv4-compatible, IPv4-mapped, IPv4-translated (RFC 2765), NAT64's well-known prefix (RFC 6052), and ISATAP
        // (RFC 5214).
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..]
        | [_, _, _, _, 0 | 0x0200, 0x5efe, ..] => vec![tail],
        // NAT64's local prefix (RFC 8215), with each length of RFC 6052.
        [0x64, 0xff9b, 1, ..] => {
            vec![v4([6, 7, 9, 10]), v4([7, 9, 10, 11]), v4([9, 10, 11, 12]), tail]
        }
        // 6to4 (RFC 3056).
        [0x2002, ..] => vec![head],
        // Teredo (RFC 4380): the server, and the client with inverted bits.
        [0x2001, 0, ..] => vec![v4([4, 5, 6, 7]), Ipv4Addr::from_bits(!tail.to_bits())],
        _ => Vec::new(),
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
            "http://[::169.254.169.254]/",
            "http://[::ffff:0:a9fe:a9fe]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[64:ff9b:1::a9fe:a9fe]/",
            "http://[64:ff9b:1:a9fe:a9:fe00::]/",
            "http://[64:ff9b:1:a9:fe:a9fe::]/",
            "http://[64:ff9b:1:0:a9:fea9:fe00::]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[2001:0:a9fe:a9fe::1]/",
            "http://[2001::5601:5601]/",
            "http://[2001:db8::5efe:a9fe:a9fe]/",
            "http://[2001:db8::200:5efe:a9fe:a9fe]/",
            "http://[fd00:ec2::23]/",
            "http://[fd00:ec2::123]/",
            "http://[febf::1]/",
        ] {
            assert!(refused(url), "{url}");
        }
        for url in [
            "http://127.0.0.1/",
            "http://10.0.0.1/",
            "https://[2001:db8::1]/",
            "https://[2001:db8::a9fe:a9fe]/",
            "https://[64:ff9b::c000:201]/",
            "https://[2002:c000:201::1]/",
            "https://[fd00:ec3::254]/",
            "https://[::1]/",
            "https://crm.example/",
        ] {
            assert!(!refused(url), "{url}");
        }
    }
}
