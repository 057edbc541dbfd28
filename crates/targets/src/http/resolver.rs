//! Name resolution without refused addresses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use genesys_replay::destination::address::{AddressPolicy, RefusedAddress, is_refused};
use reqwest::ClientBuilder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::timeout;

/// The system's resolver. It rejects a host name if one of its addresses is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuardedResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = resolve(name.as_str()).await?;
            if found.iter().any(|address| is_refused(address.ip())) {
                return Err(RefusedAddress.into());
            }
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

/// The maximum time of a lookup that only checks a name. Without DNS, a lookup takes many seconds.
const MAX_LOOKUP_TIME: Duration = Duration::from_secs(1);

async fn resolve(name: &str) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

/// Returns true if a host name resolves to a refused address here. A name that only the proxy can resolve is not
/// refused, because a proxied network often has no public DNS.
pub(super) async fn is_refused_name(name: &str) -> bool {
    let found = timeout(MAX_LOOKUP_TIME, resolve(name)).await;
    let found = found.ok().and_then(Result::ok).unwrap_or_default();
    found.iter().any(|address| is_refused(address.ip()))
}

/// Configures a client to reject host names that resolve to refused addresses, if the policy requires it.
pub fn guarded(client: ClientBuilder, policy: AddressPolicy) -> ClientBuilder {
    match policy {
        AddressPolicy::BlockLinkLocal => client.dns_resolver(Arc::new(GuardedResolver)),
        AddressPolicy::AllowAll => client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn name_is_refused_when_it_resolves_to_a_refused_address() {
        for (name, expected) in [
            ("169.254.169.254", true),
            ("fe80::1", true),
            ("127.0.0.1", false),
            ("localhost", false),
            ("does-not-exist.invalid", false),
        ] {
            assert_eq!(is_refused_name(name).await, expected, "{name}");
        }
    }
}
