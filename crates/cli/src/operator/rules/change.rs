//! Changes in AWS that a person makes: as a command of the AWS CLI, and as Terraform. This program makes none of them.

use genesys_replay::destination::Arn;
use genesys_replay::queue::MAX_MESSAGE_BYTES;
use serde_json::{Value, json};

use super::key_policy::{ACTIONS, KEY_STATEMENT_ID};
use super::queue_policy::{EVENT_BRIDGE, STATEMENT_ID};
use crate::deployment::dead_letter_queues::DeadLetterQueueFacts;
use crate::deployment::event_rules::{RuleFacts, RuleTargetFacts};

/// A change that removes a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsChange {
    /// The words of each command after `aws`, in their order.
    calls: Vec<Vec<String>>,
    /// The change as Terraform, for a resource that Terraform manages.
    pub terraform: String,
}

impl AwsChange {
    fn new(calls: &[&[&str]], terraform: String) -> Self {
        let words = |call: &&[&str]| call.iter().copied().map(str::to_owned).collect();
        Self { calls: calls.iter().map(words).collect(), terraform }
    }

    /// Returns the command for a POSIX shell. `options` are added to each call of the AWS CLI, such as `--region`.
    pub fn command(&self, options: &[&str]) -> String {
        let calls = self.calls.iter().map(|call| {
            let words = call.iter().map(String::as_str).chain(options.iter().copied());
            let words: Vec<String> = ["aws"].into_iter().chain(words).map(quoted).collect();
            words.join(" ")
        });
        calls.collect::<Vec<_>>().join(" && ")
    }

    /// Replaces a target of a rule by this definition, which must be whole.
    pub(super) fn put_target(
        rule: &RuleFacts,
        target: &RuleTargetFacts,
        definition: &Value,
    ) -> Self {
        let (queue, retries) = (&definition["DeadLetterConfig"], &definition["RetryPolicy"]);
        let mut terraform = format!(
            "# in the resource aws_cloudwatch_event_target of the target {} of the rule {}\n",
            comment(&target.id),
            comment(&rule.name)
        );
        if let Some(arn) = queue["Arn"].as_str() {
            terraform.extend(["dead_letter_config {\n  arn = ", &string(arn), "\n}\n"]);
        }
        if let Some(members) = retries.as_object().filter(|it| !it.is_empty()) {
            terraform.push_str("retry_policy {\n");
            for (member, name) in [
                ("MaximumEventAgeInSeconds", "maximum_event_age_in_seconds"),
                ("MaximumRetryAttempts", "maximum_retry_attempts"),
            ] {
                if let Some(value) = members.get(member) {
                    terraform.extend(["  ", name, " = ", &value.to_string(), "\n"]);
                }
            }
            terraform.push_str("}\n");
        }
        let targets = ascii(&json!([definition]));
        let call = ["events", "put-targets", "--rule", &rule.name, "--event-bus-name", &rule.bus];
        Self::new(&[&[&call[..], &["--targets", &targets]].concat()], terraform)
    }

    /// Replaces the policy of a queue, which must be whole. `sources` are those of the new statement.
    pub(super) fn queue_policy(
        queue: &DeadLetterQueueFacts,
        policy: &Value,
        sources: &[String],
    ) -> Self {
        let sources: Vec<String> = sources.iter().map(|it| string(it)).collect();
        let terraform = format!(
            "# in the aws_iam_policy_document of the queue {}\n\
             statement {{\n  sid       = \"{STATEMENT_ID}\"\n  \
             actions   = [\"sqs:SendMessage\"]\n  resources = [{}]\n  \
             principals {{\n    type        = \"Service\"\n    \
             identifiers = [\"{EVENT_BRIDGE}\"]\n  }}\n  \
             condition {{\n    test     = \"ArnLike\"\n    variable = \"aws:SourceArn\"\n    \
             values   = [{}]\n  }}\n}}\n",
            comment(Arn::resource_of(&queue.arn)),
            string(&queue.arn),
            sources.join(", "),
        );
        Self::queue_attributes(queue, &json!({ "Policy": ascii(policy) }), terraform)
    }

    /// Sets the limit for messages to the maximum of SQS.
    pub(super) fn message_size(queue: &DeadLetterQueueFacts) -> Self {
        let terraform = in_queue(queue, &format!("max_message_size = {MAX_MESSAGE_BYTES}"));
        let attributes = json!({ "MaximumMessageSize": MAX_MESSAGE_BYTES.to_string() });
        Self::queue_attributes(queue, &attributes, terraform)
    }

    /// Encrypts a queue with keys of SQS, which need no permission.
    pub(super) fn keys_of_sqs(queue: &DeadLetterQueueFacts) -> Self {
        let settings = "kms_master_key_id       = null\nsqs_managed_sse_enabled = true";
        let attributes = json!({ "KmsMasterKeyId": "", "SqsManagedSseEnabled": "true" });
        Self::queue_attributes(queue, &attributes, in_queue(queue, settings))
    }

    fn queue_attributes(
        queue: &DeadLetterQueueFacts,
        attributes: &Value,
        terraform: String,
    ) -> Self {
        let attributes = ascii(attributes);
        let call = ["sqs", "set-queue-attributes", "--queue-url", &queue.url];
        Self::new(&[&[&call[..], &["--attributes", &attributes]].concat()], terraform)
    }

    /// Replaces the policy of a key, which must be whole.
    pub(super) fn key_policy(key: &str, policy: &Value) -> Self {
        let terraform = format!(
            "# in the policy of the aws_kms_key {}\n\
             statement {{\n  sid       = \"{KEY_STATEMENT_ID}\"\n  actions   = [{}]\n  resources = [\"*\"]\n  \
             principals {{\n    type        = \"Service\"\n    identifiers = [\"{EVENT_BRIDGE}\"]\n  }}\n}}\n",
            comment(key),
            ACTIONS.map(string).join(", "),
        );
        let policy = ascii(policy);
        let call = ["kms", "put-key-policy", "--key-id", key, "--policy-name", "default"];
        Self::new(&[&[&call[..], &["--policy", &policy]].concat()], terraform)
    }

    /// Enables a key. A key that is about to be deleted is kept.
    pub(super) fn enable_key(key: &str, is_deleted_soon: bool) -> Self {
        let terraform =
            format!("# in the resource aws_kms_key {}\nis_enabled = true\n", comment(key));
        let enable = ["kms", "enable-key", "--key-id", key];
        if is_deleted_soon {
            let keep = ["kms", "cancel-key-deletion", "--key-id", key];
            Self::new(&[&keep, &enable], terraform)
        } else {
            Self::new(&[&enable], terraform)
        }
    }

    /// Creates a missing queue with the maximum retention.
    pub(super) fn create_queue(name: &str) -> Self {
        let terraform = format!(
            "resource \"aws_sqs_queue\" \"dead_letters\" {{\n  \
             name                      = {}\n  message_retention_seconds = 1209600\n  \
             max_message_size          = {MAX_MESSAGE_BYTES}\n}}\n",
            string(name)
        );
        let attributes = json!({
            "MessageRetentionPeriod": "1209600",
            "MaximumMessageSize": MAX_MESSAGE_BYTES.to_string(),
        });
        let attributes = ascii(&attributes);
        let call = ["sqs", "create-queue", "--queue-name", name, "--attributes", &attributes];
        Self::new(&[&call], terraform)
    }

    /// Creates the bus of a partner event source.
    pub(super) fn create_bus(source: &str) -> Self {
        let source_name = string(source);
        let terraform = format!(
            "resource \"aws_cloudwatch_event_bus\" \"genesys\" {{\n  \
             name              = {source_name}\n  event_source_name = {source_name}\n}}\n"
        );
        let call = ["events", "create-event-bus", "--name", source, "--event-source-name", source];
        Self::new(&[&call], terraform)
    }
}

fn in_queue(queue: &DeadLetterQueueFacts, settings: &str) -> String {
    let name = comment(Arn::resource_of(&queue.arn));
    format!("# in the resource aws_sqs_queue {name}\n{settings}\n")
}

/// Returns a word for a POSIX shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Returns JSON in printable ASCII, because a terminal does not show every character.
fn ascii(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if c == ' ' || c.is_ascii_graphic() {
            text.push(c);
        } else {
            // Characters outside of ASCII are only in strings.
            text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

/// Returns a string of Terraform, in which nothing is a template.
fn string(text: &str) -> String {
    Value::from(text).to_string().replace("${", "$${").replace("%{", "%%{")
}

/// Returns a name for the line of a comment.
fn comment(name: &str) -> String {
    name.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_quotes_each_word_for_the_shell() {
        let change = AwsChange::new(&[&["a", "it's", "$x `y` \"z\"\n", ""], &["b"]], String::new());
        let expected =
            "aws a 'it'\\''s' '$x `y` \"z\"\n' '' --region eu-west-1 && aws b --region eu-west-1";
        assert_eq!(change.command(&["--region", "eu-west-1"]), expected);
    }

    #[test]
    fn json_is_printable_and_keeps_its_value() {
        let value = json!({ "a": "Zoë \u{202e}\u{7f}\u{1f980}\n$x" });
        let text = ascii(&value);
        assert!(text.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
    }

    #[test]
    fn terraform_string_is_not_a_template() {
        assert_eq!(string(r#"a"${b}%{c}"#), r#""a\"$${b}%%{c}""#);
    }
}
