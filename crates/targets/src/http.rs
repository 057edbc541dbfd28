//! Delivers by HTTP POST.

mod auth;
pub mod resolver;
pub(crate) mod sender;
mod sigv4;
mod stored_secret;

use genesys_replay::failure::FailureCode;
use genesys_replay::target::{Delivery, DeliveryError};
use reqwest::Method;
use url::Url;

pub use auth::HttpAuth;
pub use sender::HttpSender;
use sender::{OutgoingRequest, event_headers};
pub use sigv4::SigV4Signer;

/// The adapter for HTTP endpoints.
pub struct HttpTarget {
    sender: HttpSender,
    auth: HttpAuth,
}

impl HttpTarget {
    /// Creates an adapter that authenticates its requests with `auth`.
    #[must_use]
    pub const fn new(sender: HttpSender, auth: HttpAuth) -> Self {
        Self { sender, auth }
    }

    /// Posts one event. If the target refuses the credentials, and the secret has others by now, the event is posted once
    /// more: the refusal proves that the target did not act.
    ///
    /// # Errors
    /// The errors of [`Target::deliver`](super::Target::deliver).
    pub async fn post(&self, url: &Url, delivery: &Delivery<'_>) -> Result<(), DeliveryError> {
        let request = OutgoingRequest {
            method: Method::POST,
            url: url.clone(),
            headers: event_headers(delivery),
            body: delivery.payload.to_owned(),
        };
        delivery.progress.preparing();
        let credentials = self.auth.credentials().await?;
        let authenticated = credentials.authenticate(request.clone(), delivery).await?;
        let answer = self.sender.deliver(authenticated, delivery).await;
        match answer {
            Err(error) if error.code == FailureCode::TargetCredentials => {
                delivery.progress.preparing();
                let Some(newer) = credentials.newer().await else {
                    return Err(error);
                };
                tracing::info!("credentials refused, the secret of TARGET_SECRET_ID has changed");
                let authenticated = newer.authenticate(request, delivery).await?;
                self.sender.deliver(authenticated, delivery).await
            }
            answer => answer,
        }
    }
}
