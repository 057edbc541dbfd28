//! The pool of connections to Genesys Cloud and to HTTP targets.

use std::sync::Arc;
use std::time::Duration;

use genesys_replay::connections::{ConnectionPool, FreezeDetector};
use reqwest::{Client, ClientBuilder, redirect};
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls_platform_verifier::Verifier;

/// The maximum time for a connection. A slower connection will not succeed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The maximum idle time of a connection while the environment runs. Servers on Node.js and Apache close theirs after
/// 5 s, and a request that is sent at this moment gets no answer.
const MAX_IDLE_TIME: Duration = Duration::from_secs(4);

/// The pool of an HTTP client. Its clients do not follow redirects and have timeouts.
pub type HttpPool = ConnectionPool<Client>;

/// The error when an HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS roots are missing, or the library for cryptography is not usable.
    #[error("TLS cannot be configured")]
    Tls(#[from] rustls::Error),
    /// The client itself cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
}

/// Returns a builder of HTTP clients that do not follow redirects. A redirect of the API means a wrong host,
/// and a redirect of a delivery could lead anywhere. A request takes at most `within`.
pub fn http_client(within: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(genesys_replay_version::USER_AGENT)
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(MAX_IDLE_TIME)
        .timeout(within)
}

/// Creates a pool whose clients come from [`http_client`] and `configure`.
///
/// The TLS configuration is built once, because reading the TLS roots takes milliseconds. So new connections can also
/// resume the TLS sessions of earlier ones.
///
/// # Errors
/// [`BuildError`], which no retry repairs.
pub fn http_pool(
    within: Duration,
    detector: Arc<FreezeDetector>,
    configure: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
) -> Result<Arc<HttpPool>, BuildError> {
    let tls = tls()?;
    let build =
        move || configure(http_client(within).tls_backend_preconfigured(tls.clone())).build();
    let first = build()?;
    let rebuild = move || {
        let client = build();
        client.inspect_err(|error| tracing::warn!(%error, "HTTP client not replaced")).ok()
    };
    Ok(Arc::new(ConnectionPool::new(first, detector, rebuild)))
}

/// Returns the TLS configuration that reqwest would build: the roots of the system, all TLS versions, HTTP/1.1.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let installed = CryptoProvider::get_default().cloned();
    let provider = installed.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let verifier = Verifier::new(Arc::clone(&provider))?;
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}
