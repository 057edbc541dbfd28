//! The request of one delivery to an API destination.

use std::collections::BTreeMap;

use genesys_replay::target::{Delivery, DeliveryError};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::value::RawValue;

use super::connection::{ConnectionAuth, Parameters};
use super::description::ApiDestination;
use super::oauth::basic;
use crate::http::sender::{OutgoingRequest, event_headers};
use crate::http_parameters::{add_rule_parameters, fill_path, set_header, set_query};
use crate::parameters::{EventValues, unknown};
use crate::refreshed::LoadError;
use crate::rule::TargetParameters;

/// Returns the request. The parameters of the connection take precedence over those of the rule.
///
/// # Errors
/// A parameter cannot be computed.
pub(super) fn request(
    destination: &ApiDestination,
    rule: &TargetParameters,
    delivery: &Delivery<'_>,
    token: Option<&HeaderValue>,
    event: &EventValues<'_>,
) -> Result<OutgoingRequest, DeliveryError> {
    let connection = &destination.connection;
    // A GET or HEAD has no body (RFC 9110).
    let has_body = !matches!(destination.method, Method::GET | Method::HEAD);
    let mut request = OutgoingRequest {
        method: destination.method.clone(),
        url: fill_path(destination.endpoint.clone(), &rule.path_values, event)?,
        headers: event_headers(delivery),
        body: if has_body {
            body(delivery.payload, &connection.parameters.body)?
        } else {
            String::new()
        },
    };
    add_rule_parameters(&mut request, rule, event)?;
    for (name, value) in connection.parameters.headers.pairs() {
        set_header(&mut request, name, value, true)?;
    }
    set_query(&mut request.url, connection.parameters.query.pairs().into_iter());
    let malformed = || {
        LoadError::misconfigured("the connection has credentials that cannot be sent".to_owned())
    };
    match &connection.auth {
        ConnectionAuth::Basic { username, password } => {
            let value = basic(username, password.expose_secret()).ok_or_else(malformed)?;
            request.headers.insert(AUTHORIZATION, value);
        }
        ConnectionAuth::ApiKey { name, value } => {
            set_header(&mut request, name, value.expose_secret(), true).map_err(|_| malformed())?;
        }
        ConnectionAuth::OAuth(_) => {
            let token = token.ok_or_else(malformed)?;
            request.headers.insert(AUTHORIZATION, token.clone());
        }
    }
    Ok(request)
}

/// Returns the payload, unchanged unless the connection adds members to it.
fn body(payload: &str, parameters: &Parameters) -> Result<String, DeliveryError> {
    let parameters = parameters.pairs();
    if parameters.is_empty() {
        return Ok(payload.to_owned());
    }
    let not_an_object = || {
        let reason =
            "the connection adds parameters to the body, and the payload is not a JSON object";
        unknown(reason.to_owned())
    };
    let is_object = payload.trim_start().starts_with('{');
    let members: Option<BTreeMap<String, &RawValue>> =
        is_object.then(|| serde_json::from_str(payload).ok()).flatten();
    let members = members.ok_or_else(not_an_object)?;
    let added: BTreeMap<&str, Box<RawValue>> = parameters
        .into_iter()
        .filter_map(|(name, value)| Some((name, serde_json::value::to_raw_value(value).ok()?)))
        .collect();
    let mut all: BTreeMap<&str, &RawValue> =
        members.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    all.extend(added.iter().map(|(name, value)| (*name, value.as_ref())));
    serde_json::to_string(&all).map_err(|_| not_an_object())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_unchanged_unless_the_connection_adds_members() {
        let none = Parameters::default();
        let payload = "{ \"a\": 1.0 }";
        assert_eq!(body(payload, &none).ok().as_deref(), Some(payload));
        let added = serde_json::from_str::<Parameters>(
            r#"[{"key":"a","value":"x"},{"key":"k","value":"\"v\""}]"#,
        );
        let Ok(added) = added else {
            unreachable!("the parameters are valid");
        };
        let with = body("{ \"b\": 1.0, \"a\": [] }", &added).ok();
        assert_eq!(with.as_deref(), Some(r#"{"a":"x","b":1.0,"k":"\"v\""}"#));
        for payload in ["[]", "text", "{"] {
            assert!(body(payload, &added).is_err(), "{payload}");
        }
    }
}
