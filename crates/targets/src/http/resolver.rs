//! Name resolution without refused addresses.

use std::net::SocketAddr;
use std::sync::Arc;

use genesys_replay::destination::address::{AddressPolicy, RefusedAddress, is_refused};
use reqwest::ClientBuilder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The system's resolver. It rejects a host name if one of its addresses is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuardedResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| is_refused(address.ip())) {
                return Err(RefusedAddress.into());
            }
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

/// Configures a client to reject host names that resolve to refused addresses, if the policy requires it.
pub fn guarded(client: ClientBuilder, policy: AddressPolicy) -> ClientBuilder {
    match policy {
        AddressPolicy::BlockLinkLocal => client.dns_resolver(Arc::new(GuardedResolver)),
        AddressPolicy::AllowAll => client,
    }
}
