//! Delivers to a method of API Gateway, with the credentials of AWS and the parameters of the rule.

use std::sync::Arc;

use genesys_replay::destination::{ApiMethod, Arn};
use genesys_replay::target::{Delivery, DeliveryError};
use reqwest::Method;
use url::Url;

use crate::http::sender::{OutgoingRequest, event_headers};
use crate::http::{HttpSender, SigV4Signer};
use crate::http_parameters::{add_rule_parameters, fill_path};
use crate::parameters::EventValues;
use crate::refreshed::LoadError;
use crate::rule::TargetParameters;

/// The adapter for API Gateway.
pub struct ApiGateways {
    sender: HttpSender,
    signer: SigV4Signer,
    /// The endpoint that replaces those of AWS, for a local AWS.
    endpoint: Option<Arc<str>>,
}

impl ApiGateways {
    /// Creates an adapter. `endpoint` replaces the hosts of AWS, as `AWS_ENDPOINT_URL` does for other services.
    #[must_use]
    pub fn new(sender: HttpSender, signer: SigV4Signer, endpoint: Option<&str>) -> Self {
        Self { sender, signer, endpoint: endpoint.map(Into::into) }
    }

    /// Delivers one event.
    ///
    /// # Errors
    /// The errors of [`Target::deliver`](genesys_replay::target::Target::deliver).
    pub(crate) async fn deliver(
        &self,
        arn: &Arn,
        parameters: &TargetParameters,
        delivery: &Delivery<'_>,
    ) -> Result<(), DeliveryError> {
        let misconfigured =
            || LoadError::misconfigured(format!("{} is not a method of API Gateway", arn.as_str()));
        let called = arn.api_method().ok_or_else(misconfigured)?;
        let url = Url::parse(&url(arn, &called, self.endpoint.as_deref()));
        let url = url.map_err(|_| misconfigured())?;
        let method = if called.method == "*" { "POST" } else { called.method };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| misconfigured())?;
        let event = EventValues::new(delivery.payload);
        let has_body = !matches!(method, Method::GET | Method::HEAD);
        let mut request = OutgoingRequest {
            method,
            url: fill_path(url, &parameters.path_values, &event)?,
            headers: event_headers(delivery),
            body: if has_body { delivery.payload.to_owned() } else { String::new() },
        };
        add_rule_parameters(&mut request, parameters, &event)?;
        self.signer.sign(&mut request, "execute-api", arn.region()).await?;
        self.sender.deliver(request, delivery).await
    }
}

/// Returns the URL of a method. A local AWS has the path of `LocalStack`, because its host names need DNS.
fn url(arn: &Arn, called: &ApiMethod<'_>, endpoint: Option<&str>) -> String {
    let ApiMethod { api, stage, path, .. } = called;
    if let Some(endpoint) = endpoint {
        let endpoint = endpoint.trim_end_matches('/');
        return format!("{endpoint}/_aws/execute-api/{api}/{stage}/{path}");
    }
    let (region, suffix) = (arn.region(), arn.dns_suffix());
    format!("https://{api}.execute-api.{region}.{suffix}/{stage}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_of_a_method_follows_from_its_arn() {
        for (arn, expected) in [
            (
                "arn:aws:execute-api:eu-west-1:271828182845:a1b2c3/live/POST/events/*",
                "https://a1b2c3.execute-api.eu-west-1.amazonaws.com/live/events/*",
            ),
            (
                "arn:aws-cn:execute-api:cn-north-1:271828182845:a1b2c3/live/POST",
                "https://a1b2c3.execute-api.cn-north-1.amazonaws.com.cn/live/",
            ),
        ] {
            let arn = Arn::parse(arn);
            let url = arn.as_ref().and_then(|arn| Some(url(arn, &arn.api_method()?, None)));
            assert_eq!(url.as_deref(), Some(expected));
        }
    }
}
