//! The destinations of events.

pub mod address;
mod allowed;
mod arn;
mod redirects;

use std::fmt;

use url::Url;

use crate::digest;
pub use allowed::AllowedTargets;
pub use arn::{ApiMethod, Arn};
pub use redirects::{Redirect, RedirectFault, Redirects};

/// The maximum length of an ARN or URL as a destination, in bytes. The ledger's key contains it, and
/// `DynamoDB` limits keys to 2,048 bytes.
pub const MAX_TARGET_BYTES: usize = 1024;

/// The qualifier that names the same function as no qualifier.
pub const LATEST: &str = ":$LATEST";

/// The end of a log group's ARN that stands for all its streams.
const EVERY_STREAM: &str = ":*";

/// The setting `REPLAY_TARGET`.
#[derive(Clone, Debug)]
pub enum ReplayTarget {
    /// Every event goes to its original target, or to the target that replaces it.
    Original(OriginalTargets),
    /// Every event goes to this destination.
    Fixed(Destination),
}

/// The original targets of events.
#[derive(Clone, Debug)]
pub struct OriginalTargets {
    /// The allowed targets. A dead letter comes from outside and could name any target.
    pub allowed: AllowedTargets,
    /// The targets that replace others. They must be allowed too.
    pub redirects: Redirects,
}

impl ReplayTarget {
    /// Returns the setting for original targets without redirects.
    #[must_use]
    pub const fn original(allowed: AllowedTargets) -> Self {
        Self::Original(OriginalTargets { allowed, redirects: Redirects::NONE })
    }

    /// Returns the destination of an event whose dead letter names `target_arn`. `own` are the ARNs of the
    /// source queue, the parking queue and this function; delivery to them would loop forever.
    #[must_use]
    pub fn destination(&self, target_arn: Option<&str>, own: &[&str]) -> Destination {
        let target_arn = target_arn.map(without_latest);
        let target_arn = match (self, target_arn) {
            (Self::Original(OriginalTargets { redirects, .. }), Some(arn)) => {
                Some(redirects.get(arn).unwrap_or(arn))
            }
            (Self::Original(_) | Self::Fixed(_), arn) => arn,
        };
        let destination = match (self, target_arn) {
            (Self::Fixed(destination), _) => destination.clone(),
            (Self::Original(_), Some(arn)) if arn.len() > MAX_TARGET_BYTES => {
                Destination::TooLong(digest::hexadecimal(arn))
            }
            (Self::Original(OriginalTargets { allowed, .. }), Some(arn)) if !arn.is_empty() => {
                if allowed.contains(arn) {
                    Destination::of_arn(arn)
                } else {
                    Destination::NotAllowed(arn.to_owned())
                }
            }
            (Self::Original(_), _) => Destination::Missing,
        };
        let is_own = |arn: &Arn| {
            let mut own = own.iter().filter_map(|own| Arn::parse_trusted(own));
            own.any(|own| own.is_same_resource(arn))
        };
        match (self, destination.arn()) {
            (Self::Original(_), Some(arn)) if is_own(arn) => {
                Destination::NotAllowed(arn.as_str().to_owned())
            }
            (Self::Fixed(_), Some(arn)) if is_own(arn) => {
                Destination::Looping(arn.as_str().to_owned())
            }
            (Self::Original(_) | Self::Fixed(_), _) => destination,
        }
    }

    /// Returns the old target of an event that is redirected; `None` for other events. The old target may have the event.
    #[must_use]
    pub fn redirected_from(&self, target_arn: Option<&str>) -> Option<Destination> {
        let (Self::Original(OriginalTargets { redirects, .. }), Some(arn)) = (self, target_arn)
        else {
            return None;
        };
        redirects.get(arn).map(|_| Destination::of_arn(without_latest(arn)))
    }
}

/// Returns the ARN of a function without the qualifier that names the same function; other ARNs unchanged.
fn without_latest(arn: &str) -> &str {
    match arn.strip_suffix(LATEST) {
        Some(plain) if Arn::parse(arn).as_ref().and_then(Arn::function) == Some(plain) => plain,
        Some(_) | None => arn,
    }
}

impl fmt::Display for ReplayTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Original(_) => f.write_str("original"),
            Self::Fixed(destination) => destination.fmt(f),
        }
    }
}

/// One destination of an event.
#[derive(Clone, PartialEq, Eq)]
pub enum Destination {
    /// No delivery: the interaction is marked, nothing is sent.
    None,
    /// An HTTP endpoint.
    Http(Url),
    /// A Lambda function.
    Lambda(Arn),
    /// An SQS queue.
    Sqs(Arn),
    /// An SNS topic.
    Sns(Arn),
    /// A Step Functions state machine.
    StateMachine(Arn),
    /// An event bus.
    EventBus(Arn),
    /// A Kinesis data stream.
    Kinesis(Arn),
    /// A Firehose stream.
    Firehose(Arn),
    /// A log group of `CloudWatch` Logs.
    LogGroup(Arn),
    /// An API destination: an HTTP endpoint with a connection, both managed by `EventBridge`.
    ApiDestination(Arn),
    /// A method of an API of API Gateway.
    ApiGateway(Arn),
    /// A custom event bus (`event-busv2`).
    CustomBus(Arn),
    /// A target type that this function does not support, by its ARN.
    Unsupported(String),
    /// A target that the settings do not allow, by its ARN.
    NotAllowed(String),
    /// A fixed target that is the source queue, the parking queue or this function, by its ARN. The setting is wrong,
    /// not the event.
    Looping(String),
    /// A target with an ARN longer than [`MAX_TARGET_BYTES`], by the ARN's SHA-256: two such targets must not
    /// share a key of the ledger.
    TooLong(String),
    /// The dead letter names no target.
    Missing,
}

impl Destination {
    /// Returns the destination that an ARN names.
    #[must_use]
    pub fn of_arn(text: &str) -> Self {
        let Some(arn) = Arn::parse(text) else {
            return Self::Unsupported(text.to_owned());
        };
        let resource = arn.resource();
        match arn.service() {
            // `$LATEST` is not a separate version: the function without a qualifier is the same target.
            "lambda" if arn.function().is_some() => match text.strip_suffix(LATEST) {
                Some(plain) => Self::of_arn(plain),
                None => Self::Lambda(arn),
            },
            "sqs" => Self::Sqs(arn),
            "sns" => Self::Sns(arn),
            "states" if resource.starts_with("stateMachine:") => Self::StateMachine(arn),
            "events" if resource.starts_with("event-bus/") => Self::EventBus(arn),
            "events" if arn.api_destination().is_some() => Self::ApiDestination(arn),
            "events" if resource.starts_with("event-busv2/") => Self::CustomBus(arn),
            "execute-api" if arn.api_method().is_some() => Self::ApiGateway(arn),
            "kinesis" if arn.named("stream/").is_some() => Self::Kinesis(arn),
            "firehose" if arn.named("deliverystream/").is_some() => Self::Firehose(arn),
            // AWS writes the ARN of a log group with and without `:*`.
            "logs" if arn.log_group().is_some() => match text.strip_suffix(EVERY_STREAM) {
                Some(plain) => Self::of_arn(plain),
                None => Self::LogGroup(arn),
            },
            _ => Self::Unsupported(text.to_owned()),
        }
    }

    /// Returns the ARN of a destination that can be called; `None` for every other destination.
    fn arn(&self) -> Option<&Arn> {
        match self {
            Self::Lambda(arn)
            | Self::Sqs(arn)
            | Self::Sns(arn)
            | Self::StateMachine(arn)
            | Self::EventBus(arn)
            | Self::Kinesis(arn)
            | Self::Firehose(arn)
            | Self::LogGroup(arn)
            | Self::ApiDestination(arn)
            | Self::ApiGateway(arn)
            | Self::CustomBus(arn) => Some(arn),
            Self::None
            | Self::Http(_)
            | Self::Unsupported(_)
            | Self::NotAllowed(_)
            | Self::Looping(_)
            | Self::TooLong(_)
            | Self::Missing => None,
        }
    }

    /// Returns the part of the ledger's key that distinguishes this destination from others.
    #[must_use]
    pub fn key_part(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Http(url) => url.as_str(),
            Self::Lambda(arn)
            | Self::Sqs(arn)
            | Self::Sns(arn)
            | Self::StateMachine(arn)
            | Self::EventBus(arn)
            | Self::Kinesis(arn)
            | Self::Firehose(arn)
            | Self::LogGroup(arn)
            | Self::ApiDestination(arn)
            | Self::ApiGateway(arn)
            | Self::CustomBus(arn) => arn.as_str(),
            Self::Unsupported(arn) | Self::NotAllowed(arn) | Self::Looping(arn) => arn,
            Self::TooLong(digest) => digest,
            Self::Missing => "unknown",
        }
    }
}

impl fmt::Display for Destination {
    /// Writes a URL without user, password, query and fragment, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Http(url) = self else {
            return f.write_str(self.key_part());
        };
        write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path())
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAMBDA: &str = "arn:aws:lambda:eu-west-1:271828182845:function:crm-sync";

    #[test]
    fn destination_is_shown_without_secret_url_parts() {
        let url = Url::parse("https://user:pass@crm.example:8443/events?token=secret#part");
        let destination = url.map(Destination::Http);
        assert_eq!(
            destination.as_ref().map(ToString::to_string),
            Ok("https://crm.example:8443/events".to_owned())
        );
        assert_eq!(
            destination.map(|shown| format!("{shown:?}")),
            Ok("Destination(https://crm.example:8443/events)".to_owned())
        );
    }

    #[test]
    fn destination_of_an_arn_is_callable_or_unsupported() {
        let kind = |arn: &str| match Destination::of_arn(arn) {
            Destination::Lambda(_) => "lambda",
            Destination::Sqs(_) => "sqs",
            Destination::Sns(_) => "sns",
            Destination::StateMachine(_) => "states",
            Destination::EventBus(_) => "bus",
            Destination::Kinesis(_) => "kinesis",
            Destination::Firehose(_) => "firehose",
            Destination::LogGroup(_) => "logs",
            Destination::ApiDestination(_) => "api destination",
            Destination::ApiGateway(_) => "api gateway",
            Destination::CustomBus(_) => "custom bus",
            Destination::Unsupported(_) => "unsupported",
            Destination::None
            | Destination::Http(_)
            | Destination::NotAllowed(_)
            | Destination::Looping(_)
            | Destination::TooLong(_)
            | Destination::Missing => "none",
        };
        for (arn, expected) in [
            (LAMBDA, "lambda"),
            ("arn:aws:lambda:eu-west-1:271828182845:function:crm-sync:$LATEST", "lambda"),
            ("arn:aws:lambda:eu-west-1:271828182845:function:crm:live:$LATEST", "unsupported"),
            ("arn:aws:lambda:eu-west-1:271828182845:layer:crm:1", "unsupported"),
            ("arn:aws-cn:sqs:cn-north-1:271828182845:orders.fifo", "sqs"),
            ("arn:aws:sns:eu-west-1:271828182845:topic", "sns"),
            ("arn:aws:states:eu-west-1:271828182845:stateMachine:flow", "states"),
            ("arn:aws:events:eu-west-1:271828182845:event-bus/other", "bus"),
            ("arn:aws:events:eu-west-1:271828182845:event-busv2/orders/5b6c", "custom bus"),
            ("arn:aws:events:eu-west-1:271828182845:api-destination/crm/5b6c", "api destination"),
            ("arn:aws:events:eu-west-1:271828182845:api-destination/crm", "api destination"),
            ("arn:aws:events:eu-west-1:271828182845:api-destination/crm/5b6c/x", "unsupported"),
            ("arn:aws:events:eu-west-1:271828182845:api-destination/", "unsupported"),
            ("arn:aws:execute-api:eu-west-1:271828182845:a1b2c3/live/POST/events/*", "api gateway"),
            ("arn:aws:execute-api:eu-west-1:271828182845:a1b2c3/live/POST", "api gateway"),
            ("arn:aws:execute-api:eu-west-1:271828182845:a1b2c3/live", "unsupported"),
            ("arn:aws:execute-api:eu-west-1:271828182845:a.example/live/POST/x", "unsupported"),
            ("arn:aws:execute-api:eu-west-1:271828182845:a1b2c3/live/POST/x/../y", "unsupported"),
            ("arn:aws:execute-api:eu-west-1:271828182845:a1b2c3/../POST/x", "unsupported"),
            ("arn:aws:execute-api:eu-west-1:271828182845:a1b2c3/live/POST/%2e%2e/y", "unsupported"),
            (
                "arn:aws:execute-api:eu-west-1:271828182845:a1b2c3/live/POST/x?admin=1",
                "unsupported",
            ),
            ("arn:aws:execute-api:eu-west-1:271828182845:a1b2c3/live/POST/x#y", "unsupported"),
            ("arn:aws:states:eu-west-1:271828182845:execution:flow:1", "unsupported"),
            ("arn:aws:kinesis:eu-west-1:271828182845:stream/s", "kinesis"),
            ("arn:aws:kinesis:eu-west-1:271828182845:stream/s/consumer/c:1", "unsupported"),
            ("arn:aws:firehose:eu-west-1:271828182845:deliverystream/s", "firehose"),
            ("arn:aws:logs:eu-west-1:271828182845:log-group:/aws/events/genesys", "logs"),
            ("arn:aws:logs:eu-west-1:271828182845:log-group:/aws/events/genesys:*", "logs"),
            ("arn:aws:logs:eu-west-1:271828182845:log-group:", "unsupported"),
            ("arn:aws:logs:eu-west-1:271828182845:log-group:g:log-stream:s", "unsupported"),
            ("not an arn", "unsupported"),
        ] {
            assert_eq!(kind(arn), expected, "{arn}");
        }
    }

    #[test]
    fn destination_is_missing_without_a_usable_target() {
        let target = ReplayTarget::original(AllowedTargets::Any);
        assert_eq!(target.destination(None, &[]), Destination::Missing);
        assert_eq!(target.destination(Some(""), &[]), Destination::Missing);
    }

    #[test]
    fn latest_names_the_function_without_a_qualifier() {
        let only = ReplayTarget::original(AllowedTargets::only([LAMBDA]));
        let key = |qualifier: &str| {
            let target = only.destination(Some(&format!("{LAMBDA}{qualifier}")), &[]);
            (target.key_part().to_owned(), matches!(target, Destination::Lambda(_)))
        };
        assert_eq!(key(LATEST), (LAMBDA.to_owned(), true));
        assert_eq!(key(""), key(LATEST));
        assert_ne!(key(":live").0, key("").0);
    }

    #[test]
    fn too_long_targets_are_distinguished_by_their_digests() {
        let target = ReplayTarget::original(AllowedTargets::Any);
        let [one, other] = ["x", "y"].map(|character| {
            let long = format!("{LAMBDA}{}", character.repeat(MAX_TARGET_BYTES));
            target.destination(Some(&long), &[])
        });
        assert!(matches!(&one, Destination::TooLong(digest) if digest.len() == 64));
        assert_ne!(one.key_part(), other.key_part());
    }

    #[test]
    fn target_is_refused_when_not_allowed() {
        let only = |patterns: &[&str]| {
            ReplayTarget::original(AllowedTargets::only(patterns.iter().copied()))
        };
        let refused = Destination::NotAllowed(LAMBDA.to_owned());
        let pattern = "arn:aws:lambda:*:*:function:crm-*";
        assert!(matches!(only(&[pattern]).destination(Some(LAMBDA), &[]), Destination::Lambda(_)));
        assert_eq!(only(&["arn:aws:sqs:*"]).destination(Some(LAMBDA), &[]), refused);
        assert_eq!(only(&[]).destination(Some(LAMBDA), &[]), refused);
        let queue = "arn:aws:sqs:eu-west-1:271828182845:dead-letters";
        let any = ReplayTarget::original(AllowedTargets::Any);
        let own = any.destination(Some(queue), &[queue]);
        assert_eq!(own, Destination::NotAllowed(queue.to_owned()), "its own queue");
        let fixed = ReplayTarget::Fixed(Destination::of_arn(queue));
        let own = fixed.destination(Some(LAMBDA), &[queue]);
        assert_eq!(own, Destination::Looping(queue.to_owned()), "a mistake in the settings");
        for qualifier in ["", ":live", ":$LATEST", ":7"] {
            let itself = format!("{LAMBDA}{qualifier}");
            let shown = itself.trim_end_matches(LATEST).to_owned();
            assert_eq!(
                any.destination(Some(&itself), &[queue, LAMBDA]),
                Destination::NotAllowed(shown),
            );
        }
        let other = format!("{LAMBDA}-2");
        assert!(matches!(any.destination(Some(&other), &[LAMBDA]), Destination::Lambda(_)));
    }
}
