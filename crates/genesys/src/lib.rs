//! The client of Genesys Cloud's API, in both forms: the real API, and the legacy sample API.

pub mod answer;
pub mod body;
mod client;
mod conversations;
mod credential_source;
mod exchange;
mod http_pool;
mod interactions;
mod rate_limit;
mod refusal;
mod settings;
mod subscriptions;
mod token;

pub use answer::ApiResponse;
pub use client::{GenesysClient, interaction};
pub use credential_source::{CredentialSource, ReadSecret};
pub use http_pool::{BuildError, HttpPool, http_client, http_pool};
pub use rate_limit::{RateLimitHeaders, RateLimiter};
pub use settings::{CredentialSetting, GenesysSettings, Parts, client};
pub use subscriptions::GenesysSubscriptions;
pub use token::{Grant, TokenSource};
