//! The API call of a schedule: its target, its payload and its other parameters.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::super::json::Object;
use crate::destination::Arn;
use crate::message::{TypedAttribute, TypedValue};

/// The parameters of a schedule's call that are delivered with the payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallParameters {
    /// The message group, for a FIFO queue or topic.
    pub group: Option<String>,
    /// The message attributes, for a queue or topic.
    pub attributes: BTreeMap<String, TypedAttribute>,
    /// The source and the detail type of the event, for a bus.
    pub event: Option<BusEvent>,
}

/// The names by which the rules of a bus match an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusEvent {
    /// The source, such as `my.app`.
    pub source: String,
    /// The detail type.
    pub detail_type: String,
}

/// A call with a supported target.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ScheduledCall {
    /// The ARN of the call's target.
    pub(super) target_arn: String,
    /// The payload, as the target would have received it.
    pub(super) payload: String,
    pub(super) parameters: CallParameters,
}

/// A message attribute in the form of the API.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    data_type: String,
    string_value: Option<String>,
    binary_value: Option<String>,
}

/// The account of the schedule. It completes names that are not ARNs.
struct Home {
    partition: String,
    region: Option<String>,
    account: Option<String>,
}

impl Home {
    fn arn(&self, service: &str, resource: &str) -> Option<String> {
        let (region, account) = (self.region.as_ref()?, self.account.as_ref()?);
        Some(format!("arn:{}:{service}:{region}:{account}:{resource}", self.partition))
    }
}

impl ScheduledCall {
    /// Reads the call of an action such as `arn:aws:scheduler:::aws-sdk:sqs:sendMessage`. Returns `None` for an action
    /// without a supported target, and for parameters that a delivery of ours cannot reproduce.
    pub(super) fn read(action: &str, schedule: Option<&str>, input: &Object<'_>) -> Option<Self> {
        let (partition, action) =
            action.strip_prefix("arn:")?.split_once(":scheduler:::aws-sdk:")?;
        let schedule = schedule.and_then(Arn::parse_trusted);
        let home = Home {
            partition: partition.to_owned(),
            region: schedule.as_ref().map(|arn| arn.region().to_owned()),
            account: schedule.as_ref().map(|arn| arn.account().to_owned()),
        };
        match action.to_ascii_lowercase().as_str() {
            "sqs:sendmessage" => send_message(&home, input),
            "sns:publish" => publish(input),
            "lambda:invoke" => invoke(&home, input),
            "sfn:startexecution" => start_execution(input),
            "eventbridge:putevents" => put_events(&home, input),
            _ => None,
        }
    }

    fn new(target_arn: String, payload: String) -> Self {
        Self { target_arn, payload, parameters: CallParameters::default() }
    }
}

/// Returns true if every parameter of a call is one of these. Parameters that are null do not count.
fn has_only(input: &Object<'_>, known: &[&str]) -> bool {
    input.names().all(|name| known.contains(&name) || input.raw(name).is_none())
}

/// Returns a payload: the content of a string, or the text of another JSON value.
fn payload(input: &Object<'_>, name: &str) -> Option<String> {
    input.string(name).or_else(|| input.raw(name).map(str::to_owned))
}

fn send_message(home: &Home, input: &Object<'_>) -> Option<ScheduledCall> {
    let is_known = has_only(
        input,
        &[
            "QueueUrl",
            "MessageBody",
            "MessageAttributes",
            "MessageGroupId",
            // A delivery of ours is not delayed, has its own trace, and names itself.
            "DelaySeconds",
            "MessageSystemAttributes",
            "MessageDeduplicationId",
        ],
    );
    let queue = queue_arn(home, &input.string("QueueUrl")?).filter(|_| is_known)?;
    let mut call = ScheduledCall::new(queue, payload(input, "MessageBody")?);
    call.parameters = parameters(input)?;
    Some(call)
}

fn publish(input: &Object<'_>) -> Option<ScheduledCall> {
    let is_known = has_only(
        input,
        &[
            "TopicArn",
            "TargetArn",
            "Message",
            "MessageAttributes",
            "MessageGroupId",
            "MessageDeduplicationId",
        ],
    );
    let topic = input.string("TopicArn").or_else(|| input.string("TargetArn"));
    let mut call = ScheduledCall::new(topic.filter(|_| is_known)?, payload(input, "Message")?);
    call.parameters = parameters(input)?;
    Some(call)
}

fn invoke(home: &Home, input: &Object<'_>) -> Option<ScheduledCall> {
    let is_known =
        has_only(input, &["FunctionName", "Qualifier", "InvocationType", "Payload", "LogType"]);
    let is_invocation = input.string("InvocationType").is_none_or(|it| it != "DryRun");
    let name = input.string("FunctionName").filter(|_| is_known && is_invocation)?;
    let mut function = match name.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", ..] => name,
        // `account:function:name`
        [account, "function", rest @ ..] if !rest.is_empty() => {
            let home = Home {
                partition: home.partition.clone(),
                region: home.region.clone(),
                account: Some((*account).to_owned()),
            };
            home.arn("lambda", &format!("function:{}", rest.join(":")))?
        }
        ["function", ..] => home.arn("lambda", &name)?,
        _ => home.arn("lambda", &format!("function:{name}"))?,
    };
    if let Some(qualifier) = input.string("Qualifier") {
        function = format!("{function}:{qualifier}");
    }
    let payload = payload(input, "Payload").unwrap_or_else(|| "{}".to_owned());
    Some(ScheduledCall::new(function, payload))
}

fn start_execution(input: &Object<'_>) -> Option<ScheduledCall> {
    let is_known = has_only(input, &["StateMachineArn", "Input", "Name", "TraceHeader"]);
    let machine = input.string("StateMachineArn").filter(|_| is_known)?;
    let payload = payload(input, "Input").unwrap_or_else(|| "{}".to_owned());
    Some(ScheduledCall::new(machine, payload))
}

/// Reads a call with one event. Several events would need several deliveries, each with its own outcome.
fn put_events(home: &Home, input: &Object<'_>) -> Option<ScheduledCall> {
    let entries: Vec<&RawValue> = serde_json::from_str(input.raw("Entries")?).ok()?;
    let [entry] = entries.as_slice() else {
        return None;
    };
    let known = ["Detail", "DetailType", "Source", "EventBusName", "TraceHeader"];
    let entry = Object::read(entry.get())
        .filter(|entry| has_only(input, &["Entries"]) && has_only(entry, &known))?;
    let bus = entry.string("EventBusName").unwrap_or_else(|| "default".to_owned());
    let bus = if bus.starts_with("arn:") {
        bus
    } else {
        home.arn("events", &format!("event-bus/{bus}"))?
    };
    let mut call = ScheduledCall::new(bus, payload(&entry, "Detail")?);
    let (source, detail_type) = (entry.string("Source")?, entry.string("DetailType")?);
    call.parameters.event = Some(BusEvent { source, detail_type });
    Some(call)
}

/// Returns message group and attributes; `None` if an attribute cannot be read.
fn parameters(input: &Object<'_>) -> Option<CallParameters> {
    let attributes: BTreeMap<String, Attribute> = match input.raw("MessageAttributes") {
        None => BTreeMap::new(),
        Some(raw) => serde_json::from_str(raw).ok()?,
    };
    let attributes = attributes.into_iter().map(|(name, attribute)| {
        let Attribute { data_type, string_value, binary_value } = attribute;
        let binary = || BASE64_STANDARD.decode(binary_value?).ok().map(TypedValue::Binary);
        let value = string_value.map(TypedValue::Text).or_else(binary)?;
        Some((name, TypedAttribute { data_type, value }))
    });
    Some(CallParameters {
        group: input.string("MessageGroupId"),
        attributes: attributes.collect::<Option<_>>()?,
        event: None,
    })
}

/// Returns the ARN of a queue by its URL: `https://sqs.<region>.<suffix>/<account>/<name>`, also of an interface endpoint,
/// and the former `https://<region>.queue.amazonaws.com/…`.
fn queue_arn(home: &Home, url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let parts: Vec<_> = url.path_segments()?.collect();
    let [account, name] = parts.as_slice() else {
        return None;
    };
    let labels: Vec<_> = url.host_str()?.split('.').collect();
    let region = match labels.as_slice() {
        ["queue", "amazonaws", ..] => "us-east-1".to_owned(),
        labels => {
            let named = labels.iter().find(|label| Arn::is_region(label));
            named.map(|label| (*label).to_owned()).or_else(|| home.region.clone())?
        }
    };
    (!name.is_empty()).then(|| format!("arn:{}:sqs:{region}:{account}:{name}", home.partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: &str = "arn:aws:scheduler:eu-central-1:271828182845:schedule/default/nightly";

    fn read(action: &str, input: &str) -> Option<ScheduledCall> {
        let action = format!("arn:aws:scheduler:::aws-sdk:{action}");
        ScheduledCall::read(&action, Some(SCHEDULE), &Object::read(input)?)
    }

    #[test]
    fn scheduled_call_has_the_target_and_payload_of_its_action() {
        for (action, input, target, payload) in [
            (
                "sqs:sendMessage",
                r#"{"MessageBody":"{\"job\":1}","QueueUrl":"https://sqs.eu-west-1.amazonaws.com/271828182845/jobs"}"#,
                "arn:aws:sqs:eu-west-1:271828182845:jobs",
                r#"{"job":1}"#,
            ),
            (
                "sns:publish",
                r#"{"Message":"text","TopicArn":"arn:aws:sns:eu-west-1:271828182845:t"}"#,
                "arn:aws:sns:eu-west-1:271828182845:t",
                "text",
            ),
            (
                "lambda:invoke",
                r#"{"FunctionName":"crm","InvocationType":"Event","Payload":"{\"a\": 1}"}"#,
                "arn:aws:lambda:eu-central-1:271828182845:function:crm",
                r#"{"a": 1}"#,
            ),
            (
                "lambda:invoke",
                r#"{"FunctionName":"314159265358:function:crm","Qualifier":"live","Payload":{"a": 1}}"#,
                "arn:aws:lambda:eu-central-1:314159265358:function:crm:live",
                r#"{"a": 1}"#,
            ),
            (
                "lambda:invoke",
                r#"{"FunctionName":"arn:aws:lambda:us-east-1:271828182845:function:crm"}"#,
                "arn:aws:lambda:us-east-1:271828182845:function:crm",
                "{}",
            ),
            (
                "sfn:startExecution",
                r#"{"StateMachineArn":"arn:aws:states:eu-west-1:271828182845:stateMachine:m","Input":"{}"}"#,
                "arn:aws:states:eu-west-1:271828182845:stateMachine:m",
                "{}",
            ),
            (
                "eventbridge:putEvents",
                r#"{"Entries":[{"Detail":"{\"a\":1}","DetailType":"t","Source":"s","EventBusName":"crm"}]}"#,
                "arn:aws:events:eu-central-1:271828182845:event-bus/crm",
                r#"{"a":1}"#,
            ),
        ] {
            let call = read(action, input);
            let found = call.as_ref().map(|call| (&*call.target_arn, &*call.payload));
            assert_eq!(found, Some((target, payload)), "{input}");
        }
    }

    #[test]
    fn scheduled_call_is_not_read_when_a_delivery_would_differ() {
        let queue = "https://sqs.eu-west-1.amazonaws.com/271828182845/jobs";
        let entry = r#"{"Detail":"{}","DetailType":"t","Source":"s"}"#;
        for (action, input) in [
            ("sqs:sendMessage", format!(r#"{{"QueueUrl":"{queue}"}}"#)),
            ("sqs:sendMessage", r#"{"MessageBody":"b"}"#.to_owned()),
            ("sqs:sendMessage", r#"{"MessageBody":"b","QueueUrl":"jobs"}"#.to_owned()),
            ("sqs:sendMessage", format!(r#"{{"MessageBody":"b","QueueUrl":"{queue}","New":1}}"#)),
            (
                "sqs:sendMessage",
                format!(
                    r#"{{"MessageBody":"b","QueueUrl":"{queue}","MessageAttributes":{{"a":1}}}}"#
                ),
            ),
            ("sqs:deleteMessage", format!(r#"{{"MessageBody":"b","QueueUrl":"{queue}"}}"#)),
            ("sns:publish", r#"{"Message":"b","PhoneNumber":"+49"}"#.to_owned()),
            ("sns:publish", r#"{"Message":"b","TopicArn":"arn","Subject":"s"}"#.to_owned()),
            ("lambda:invoke", r#"{"FunctionName":"f","InvocationType":"DryRun"}"#.to_owned()),
            ("lambda:invoke", "{}".to_owned()),
            ("eventbridge:putEvents", r#"{"Entries":[]}"#.to_owned()),
            ("eventbridge:putEvents", format!(r#"{{"Entries":[{entry},{entry}]}}"#)),
            (
                "eventbridge:putEvents",
                r#"{"Entries":[{"Detail":"{}","DetailType":"t"}]}"#.to_owned(),
            ),
            (
                "eventbridge:putEvents",
                r#"{"Entries":[{"Detail":"{}","DetailType":"t","Source":"s","Resources":["r"]}]}"#
                    .to_owned(),
            ),
            ("ecs:runTask", r#"{"Cluster":"c"}"#.to_owned()),
        ] {
            assert_eq!(read(action, &input), None, "{action} {input}");
        }
    }

    #[test]
    fn queue_url_names_the_region_of_its_queue() {
        let home = Home {
            partition: "aws".to_owned(),
            region: Some("eu-central-1".to_owned()),
            account: None,
        };
        for (host, region) in [
            ("https://sqs.eu-west-1.amazonaws.com", "eu-west-1"),
            ("https://sqs-fips.us-east-2.amazonaws.com", "us-east-2"),
            ("https://sqs.eu-west-1.api.aws", "eu-west-1"),
            ("https://vpce-1-2.sqs.eu-west-1.vpce.amazonaws.com", "eu-west-1"),
            ("https://eu-west-1.queue.amazonaws.com", "eu-west-1"),
            ("https://queue.amazonaws.com", "us-east-1"),
            ("http://127.0.0.1:4566", "eu-central-1"),
        ] {
            let arn = queue_arn(&home, &format!("{host}/271828182845/jobs.fifo"));
            let expected = format!("arn:aws:sqs:{region}:271828182845:jobs.fifo");
            assert_eq!(arn, Some(expected), "{host}");
        }
        for url in ["", "jobs", "https://sqs.eu-west-1.amazonaws.com/jobs", "mailto:a@b"] {
            assert_eq!(queue_arn(&home, url), None, "{url}");
        }
    }

    #[test]
    fn scheduled_message_keeps_its_group_and_attributes() {
        let call = read(
            "sqs:sendMessage",
            r#"{"MessageBody":"b","QueueUrl":"https://sqs.eu-west-1.amazonaws.com/271828182845/q.fifo",
                "MessageGroupId":"g","MessageDeduplicationId":null,"MessageAttributes":{
                "n":{"DataType":"Number","StringValue":"7"},"b":{"DataType":"Binary","BinaryValue":"AAH/"}}}"#,
        );
        let parameters = call.map(|call| call.parameters).unwrap_or_default();
        assert_eq!(parameters.group.as_deref(), Some("g"));
        let attribute = |name, data_type: &str, value| {
            let found = parameters.attributes.get(name);
            assert_eq!(found, Some(&TypedAttribute { data_type: data_type.to_owned(), value }));
        };
        attribute("n", "Number", TypedValue::Text("7".to_owned()));
        attribute("b", "Binary", TypedValue::Binary(vec![0, 1, 255]));
    }
}
