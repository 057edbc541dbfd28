//! The ARNs and addresses of targets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use genesys_replay::destination::address::{is_refused, names_refused};
use genesys_replay::destination::{
    AllowedTargets, Arn, Destination, LATEST, MAX_TARGET_BYTES, ReplayTarget,
};
use url::Url;

use crate::can_be_called;
use crate::parts::Parts;

/// Checks an ARN. Line `own`: an ARN that must not be a target; line `pattern`: an allowed pattern; the rest: the ARN.
///
/// # Panics
/// A parsed ARN does not have the form of AWS, or a target is called that is not allowed or an own resource.
pub fn target_arn(input: &[u8]) {
    let mut parts = Parts::read(input);
    let own = parts.take("own").unwrap_or_default();
    let pattern = parts.take("pattern").unwrap_or_else(|| "*".to_owned());
    let text = parts.text();
    let arn = Arn::parse(&text);
    if let Some(arn) = &arn {
        has_the_form_of_aws(arn, &text);
    }
    let allowed = AllowedTargets::only([pattern.as_str()]);
    let target = ReplayTarget::original(allowed.clone());
    let destination = target.destination(Some(&text), &[&own]);
    assert!(destination.key_part().len() <= MAX_TARGET_BYTES, "the ledger's key has a limit");
    if can_be_called(&destination) {
        let plain = destination.key_part();
        assert!(plain == text || format!("{plain}{LATEST}") == text, "{plain} for {text}");
        assert!(allowed.contains(plain), "{plain} is not allowed");
        let both = Arn::parse(&own).zip(arn);
        assert!(!both.is_some_and(|(own, arn)| own.is_same_resource(&arn)), "{own} calls itself");
    }
    let itself = target.destination(Some(&text), &[&text]);
    assert!(!can_be_called(&itself), "{text} calls itself");
    let fixed = ReplayTarget::Fixed(Destination::of_arn(&text));
    assert!(!can_be_called(&fixed.destination(None, &[&text])), "{text} calls itself");
}

fn has_the_form_of_aws(arn: &Arn, text: &str) {
    assert_eq!(arn.as_str(), text);
    let is_word =
        |text: &str| text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    assert!(is_word(arn.region()) && arn.region().len() <= 32, "{text}");
    assert!(arn.account().len() == 12 && is_word(arn.account()), "{text}");
    assert!(text.ends_with(&format!(
        ":{}:{}:{}:{}",
        arn.service(),
        arn.region(),
        arn.account(),
        arn.resource()
    )));
    assert!(arn.is_same_resource(arn));
    if let Some(function) = arn.function() {
        assert!(text.starts_with(function), "{function}");
        assert!(Arn::parse(function).is_some_and(|it| it.is_same_resource(arn)), "{function}");
    }
}

/// Checks an address. Line `v4`: an IPv4 address as a number; the rest: a host, or 16 bytes of an IPv6 address.
///
/// # Panics
/// An IPv4 address is judged otherwise when it is embedded, or a URL otherwise than its address.
pub fn target_address(input: &[u8]) {
    let mut parts = Parts::read(input);
    let v4 = Ipv4Addr::from_bits(parts.take_as("v4").unwrap_or_default());
    let expected = v4.is_link_local();
    assert_eq!(is_refused(v4.into()), expected, "{v4}");
    for embedded in embeddings(v4) {
        assert_eq!(is_refused(embedded.into()), expected, "{v4} in {embedded}");
        assert_eq!(url_is_refused(&embedded.into()), Some(expected), "{v4} in {embedded}");
    }
    let host = parts.text();
    if let Ok(octets) = <[u8; 16]>::try_from(host.as_bytes()) {
        let v6 = Ipv6Addr::from(octets);
        assert_eq!(url_is_refused(&v6.into()), Some(is_refused(v6.into())), "{v6}");
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        assert_eq!(url_is_refused(&address), Some(is_refused(address)), "{host}");
    }
    if let Ok(url) = Url::parse(&format!("http://{host}/")) {
        let _ = names_refused(&url);
    }
}

fn url_is_refused(address: &IpAddr) -> Option<bool> {
    let url = match address {
        IpAddr::V4(v4) => format!("http://{v4}/"),
        IpAddr::V6(v6) => format!("http://[{v6}]/"),
    };
    Url::parse(&url).ok().map(|url| names_refused(&url))
}

/// Returns IPv6 addresses that contain an IPv4 address and nothing else that is refused.
fn embeddings(v4: Ipv4Addr) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = v4.octets();
    let high = u16::from_be_bytes([a, b]);
    let low = u16::from_be_bytes([c, d]);
    let v6 = |segments: [u16; 8]| Ipv6Addr::from(segments);
    vec![
        v4.to_ipv6_mapped(),
        v6([0, 0, 0, 0, 0xffff, 0, high, low]),
        v6([0x64, 0xff9b, 0, 0, 0, 0, high, low]),
        v6([0x2002, high, low, 0, 0, 0, 0, 1]),
        v6([0x2001, 0, high, low, 0, 0, 0xffff, 0xffff]),
        v6([0x2001, 0, 0, 0, 0, 0, !high, !low]),
        v6([0x2001, 0xdb8, 0, 0, 0, 0x5efe, high, low]),
        v6([0x2001, 0xdb8, 0, 0, 0x200, 0x5efe, high, low]),
    ]
}
