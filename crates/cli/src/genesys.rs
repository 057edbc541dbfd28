//! The calls to Genesys Cloud that only an operator needs.

pub mod analytics;
pub(crate) mod failed_events;
pub(crate) mod permissions;

use genesys_replay_genesys::GenesysClient;
use genesys_replay_genesys::answer::join_path;
use url::Url;

/// Returns the URL of a path below the API's host.
fn endpoint(client: &GenesysClient, path: &str) -> Url {
    let segments: Vec<&str> = path.split('/').collect();
    join_path(client.api_base(), &segments)
}
