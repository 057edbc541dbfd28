//! The description of an API destination: its endpoint, and its connection with the secret.

use aws_sdk_eventbridge::operation::describe_api_destination::{
    DescribeApiDestinationError, DescribeApiDestinationOutput,
};
use genesys_replay::destination::Arn;
use genesys_replay::digest;
use genesys_replay::failure::{Disposition, FailureCode};
use genesys_replay::target::DeliveryError;
use reqwest::Method;
use url::Url;

use super::connection::{Connection, PlainHttp};
use crate::aws::{AwsTargets, RegionalClients, delivery_error};
use crate::refreshed::LoadError;

/// The rate limit of an API destination without one, in requests per second. Source: `EventBridge`'s default.
const DEFAULT_PER_SECOND: u32 = 300;

/// The hint for an API destination that was replaced.
const REDIRECT_HINT: &str =
    "send its events to the new one with TARGET_REDIRECTS=<old ARN>=<new ARN>";

/// An API destination with its connection.
#[derive(Debug)]
pub(crate) struct ApiDestination {
    /// The endpoint. Each `*` in its path stands for a value of the rule.
    pub(super) endpoint: Url,
    pub(super) method: Method,
    pub(super) per_second: u32,
    pub(super) connection: Connection,
}

/// Reads the description of the API destination with this ARN. Returns it with the digest of everything that was read.
pub(super) async fn load(
    aws: &AwsTargets,
    arn: &Arn,
    plain_http: PlainHttp,
) -> Result<(ApiDestination, String), LoadError> {
    let clients = aws.of(arn);
    let name = arn.api_destination().unwrap_or_default();
    let call = clients.event_bridge.describe_api_destination().name(name);
    let described = call.send().await.map_err(|error| {
        let is_missing = error
            .as_service_error()
            .is_some_and(DescribeApiDestinationError::is_resource_not_found_exception);
        let error = hinted(delivery_error("EventBridge", error));
        if is_missing { replaced(arn, &error) } else { error }
    })?;
    check_arn(arn, &described)?;
    let malformed = |fault: &str| {
        LoadError::misconfigured(format!("the description of API destination {name} {fault}"))
    };
    let endpoint = described.invocation_endpoint().unwrap_or_default();
    let url = Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    let method = described.http_method().map_or("POST", |method| method.as_str());
    let (connection, secret) = connection(&clients, &described, plain_http).await?;
    let destination = ApiDestination {
        endpoint: url.ok_or_else(|| malformed("has no endpoint"))?,
        method: Method::from_bytes(method.as_bytes()).map_err(|_| malformed("has no method"))?,
        per_second: described
            .invocation_rate_limit_per_second()
            .and_then(|limit| u32::try_from(limit).ok())
            .filter(|limit| *limit > 0)
            .unwrap_or(DEFAULT_PER_SECOND),
        connection,
    };
    let read = format!("{endpoint}\n{method}\n{}\n{secret}", destination.per_second);
    Ok((destination, digest::hexadecimal(&read)))
}

/// Checks that the described API destination is the one that the dead letter names, because it was found by its name.
fn check_arn(arn: &Arn, described: &DescribeApiDestinationOutput) -> Result<(), LoadError> {
    let found = described.api_destination_arn().unwrap_or_default();
    if found == arn.as_str() {
        return Ok(());
    }
    let arn_text = arn.as_str();
    Err(match Arn::parse_trusted(found) {
        None => {
            LoadError::misconfigured(format!("the description of {arn_text} has the ARN {found:?}"))
        }
        Some(other) if other.account() == arn.account() => LoadError::misconfigured(format!(
            "{arn_text} does not exist, its name belongs to {found}; {REDIRECT_HINT}"
        )),
        Some(_) => LoadError {
            code: FailureCode::TargetNotAllowed,
            disposition: Disposition::Permanent,
            reason: format!("{arn_text} is an API destination of another account"),
        },
    })
}

/// Reads the connection of an API destination. Returns it with the text of its secret and its type.
async fn connection(
    clients: &RegionalClients,
    described: &DescribeApiDestinationOutput,
    plain_http: PlainHttp,
) -> Result<(Connection, String), LoadError> {
    let arn = described.connection_arn().and_then(Arn::parse_trusted);
    let named = arn.as_ref().and_then(|arn| Some((arn.resource(), arn.connection()?)));
    let (resource, name) = named.ok_or_else(|| {
        LoadError::misconfigured("the API destination has no connection".to_owned())
    })?;
    let call = clients.event_bridge.describe_connection().name(name);
    let found = call.send().await.map_err(|error| hinted(delivery_error("EventBridge", error)))?;
    let authorization = found.authorization_type().map_or("", |it| it.as_str());
    // The name of the secret follows from the connection, if the description does not have it.
    let secret_id = found.secret_arn().map_or_else(|| format!("events!{resource}"), str::to_owned);
    let call = clients.secrets.get_secret_value().secret_id(secret_id);
    let answer =
        call.send().await.map_err(|error| hinted(delivery_error("Secrets Manager", error)))?;
    let text = answer.secret_string().unwrap_or_default();
    let parsed = Connection::parse(authorization, text, plain_http).map_err(|fault| {
        LoadError::misconfigured(format!("the secret of connection {name} {fault}"))
    })?;
    Ok((parsed, format!("{authorization}\n{text}")))
}

/// Adds the setting that gives the permission to the reason of a denied call.
fn hinted(error: DeliveryError) -> LoadError {
    let hint = if error.code == FailureCode::TargetCredentials {
        "; is the connection in the parameter ConnectionNames?"
    } else {
        ""
    };
    LoadError { reason: format!("{}{hint}", error.reason), ..error.into() }
}

fn replaced(arn: &Arn, error: &LoadError) -> LoadError {
    let reason = &error.reason;
    LoadError::misconfigured(format!("{} does not exist: {reason}; {REDIRECT_HINT}", arn.as_str()))
}
