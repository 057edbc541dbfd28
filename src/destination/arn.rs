//! Amazon Resource Names.

/// `arn:<partition>:<service>:<region>:<account>:<resource>`, as AWS writes it for regional resources.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arn {
    text: String,
    /// The positions of service, region, account and resource.
    starts: [usize; 4],
}

/// A method of API Gateway: `<api>/<stage>/<method>/<path>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiMethod<'a> {
    /// The id of the API, which is the first label of its host name.
    pub api: &'a str,
    /// The stage.
    pub stage: &'a str,
    /// The HTTP method; `*` for any.
    pub method: &'a str,
    /// The path below the stage, without a slash in front. Each `*` stands for one path parameter.
    pub path: &'a str,
}

/// The maximum length of a region's name, in bytes.
const MAX_REGION_BYTES: usize = 32;

const FUNCTION: &str = "function:";

impl Arn {
    /// Parses an ARN. Returns `None` if a part is missing or does not have AWS's form: a partition such as `aws` or
    /// `aws-cn`, a region such as `eu-central-1`, an account of twelve digits, and printable ASCII throughout.
    ///
    /// Many dead letters can name many regions, and each region costs memory, so made-up names are not accepted.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let arn = Self::parse_trusted(text)?;
        let has_form = is_partition(arn.partition())
            && is_name(arn.service())
            && Self::is_region(arn.region())
            && is_account(arn.account());
        has_form.then_some(arn)
    }

    /// Parses an ARN from a trusted source: the event source of an invocation, or the command line. Its parts may have
    /// another form, as those of local queues have. Returns `None` if a part is missing or a character is not printable
    /// ASCII.
    #[must_use]
    pub fn parse_trusted(text: &str) -> Option<Self> {
        let mut colons = text.match_indices(':').map(|(at, _)| at + 1);
        let partition = colons.next()?;
        let starts = [colons.next()?, colons.next()?, colons.next()?, colons.next()?];
        let arn = Self { text: text.to_owned(), starts };
        let is_whole = text.get(..partition) == Some("arn:")
            && [arn.service(), arn.region(), arn.account(), arn.resource()]
                .iter()
                .all(|part| !part.is_empty())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_whole.then_some(arn)
    }

    /// Returns the whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the service, such as `lambda`.
    #[must_use]
    pub fn service(&self) -> &str {
        self.between(0, 1)
    }

    /// Returns the region.
    #[must_use]
    pub fn region(&self) -> &str {
        self.between(1, 2)
    }

    /// Returns the account.
    #[must_use]
    pub fn account(&self) -> &str {
        self.between(2, 3)
    }

    /// Returns everything after the account.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.text.get(self.starts[3]..).unwrap_or_default()
    }

    /// Returns the ARN of the Lambda function without version or alias; `None` for every other ARN.
    #[must_use]
    pub fn function(&self) -> Option<&str> {
        let name = self.function_name()?;
        self.text.get(..self.starts[3] + FUNCTION.len() + name.len())
    }

    fn function_name(&self) -> Option<&str> {
        let mut parts = self.resource().strip_prefix(FUNCTION)?.split(':');
        let name = parts.next().filter(|name| !name.is_empty())?;
        let has_one_qualifier_at_most = parts.nth(1).is_none();
        (self.service() == "lambda" && has_one_qualifier_at_most).then_some(name)
    }

    /// Returns the name of a resource of this type (`stream/`); `None` for another type, and for a part of such a resource.
    #[must_use]
    pub fn named(&self, resource_type: &str) -> Option<&str> {
        let name = self.resource().strip_prefix(resource_type)?;
        (!name.is_empty() && !name.contains(['/', ':'])).then_some(name)
    }

    /// Returns the name of an API destination; `None` for every other ARN. `EventBridge` appends the id of the API
    /// destination to its name, some emulators do not.
    #[must_use]
    pub fn api_destination(&self) -> Option<&str> {
        self.name_before_id("api-destination/")
    }

    /// Returns the name of a connection of `EventBridge`; `None` for every other ARN.
    #[must_use]
    pub fn connection(&self) -> Option<&str> {
        self.name_before_id("connection/")
    }

    fn name_before_id(&self, prefix: &str) -> Option<&str> {
        let mut parts = self.resource().strip_prefix(prefix)?.split('/');
        let name = parts.next()?;
        let id = parts.next();
        let is_whole = !name.is_empty() && id != Some("") && parts.next().is_none();
        (is_whole && !name.contains(':')).then_some(name)
    }

    /// Returns the parts of a method of API Gateway; `None` for every other ARN.
    #[must_use]
    pub fn api_method(&self) -> Option<ApiMethod<'_>> {
        let mut parts = self.resource().splitn(4, '/');
        let (api, stage, method) = (parts.next()?, parts.next()?, parts.next()?);
        let is_id = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        // The text becomes a URL, in which it must not mean another stage, path or query.
        let is_stage = !stage.is_empty() && stage != "*" && is_plain_path(stage);
        let is_method = method == "*" || is_id(method);
        let path = parts.next().unwrap_or_default();
        let is_valid = is_id(api) && is_stage && is_method && is_plain_path(path);
        is_valid.then_some(ApiMethod { api, stage, method, path })
    }

    /// Returns the DNS suffix of the partition (`botocore/data/partitions.json`).
    #[must_use]
    pub fn dns_suffix(&self) -> &'static str {
        match self.partition() {
            "aws-cn" => "amazonaws.com.cn",
            "aws-eusc" => "amazonaws.eu",
            "aws-iso" => "c2s.ic.gov",
            "aws-iso-b" => "sc2s.sgov.gov",
            "aws-iso-e" => "cloud.adc-e.uk",
            "aws-iso-f" => "csp.hci.ic.gov",
            _ => "amazonaws.com",
        }
    }

    /// Returns the name of a log group; `None` for every other ARN. The ARN may end with `:*`.
    #[must_use]
    pub fn log_group(&self) -> Option<&str> {
        let name = self.resource().strip_prefix("log-group:")?;
        let name = name.strip_suffix(":*").unwrap_or(name);
        (!name.is_empty() && !name.contains(':')).then_some(name)
    }

    /// Returns true if both ARNs have the same service, account and name. A version or alias has the name of its
    /// function. Partition and region are not compared, because an endpoint that is set replaces both.
    #[must_use]
    pub fn is_same_resource(&self, other: &Self) -> bool {
        let parts = |arn: &Self| {
            let name = arn.function_name().unwrap_or(arn.resource());
            [arn.service(), arn.account(), name].map(str::to_owned)
        };
        parts(self) == parts(other)
    }

    /// Returns the resource of an ARN: for a queue, its name. A text that is not an ARN is returned whole.
    #[must_use]
    pub fn resource_of(text: &str) -> &str {
        Self::parse_trusted(text).and_then(|arn| text.get(arn.starts[3]..)).unwrap_or(text)
    }

    /// Returns true if the ARN names a FIFO queue or topic, which keep an order.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.text.strip_suffix(".fifo").is_some()
    }

    /// Returns true for the form `<area>-<direction>-<number>`, such as `us-gov-west-1`.
    #[must_use]
    pub fn is_region(text: &str) -> bool {
        let is_word =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
        let Some((words, number)) = text.rsplit_once('-') else {
            return false;
        };
        text.len() <= MAX_REGION_BYTES
            && words.contains('-')
            && words.split('-').all(is_word)
            && matches!(number.as_bytes(), [b'1'..=b'9'] | [b'1'..=b'9', b'0'..=b'9'])
    }

    /// Returns the partition: `aws`, `aws-cn` and similar.
    #[must_use]
    pub fn partition(&self) -> &str {
        self.text.get("arn:".len()..self.starts[0] - 1).unwrap_or_default()
    }

    fn between(&self, from: usize, to: usize) -> &str {
        self.text.get(self.starts[from]..self.starts[to] - 1).unwrap_or_default()
    }
}

/// Returns true for a path without a query, a fragment, an escape or a dot segment.
fn is_plain_path(text: &str) -> bool {
    !text.contains(['?', '#', '\\', '%']) && !text.split('/').any(|part| matches!(part, "." | ".."))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit())
}

/// Returns true for `aws`, `aws-cn`, `aws-us-gov` and similar names.
fn is_partition(text: &str) -> bool {
    text.strip_prefix("aws")
        .is_some_and(|rest| rest.is_empty() || (rest.starts_with('-') && is_name(rest)))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arn_has_its_parts() {
        let arn = Arn::parse("arn:aws:lambda:eu-west-1:271828182845:function:crm:$LATEST");
        let parts =
            arn.as_ref().map(|arn| (arn.service(), arn.region(), arn.account(), arn.resource()));
        assert_eq!(parts, Some(("lambda", "eu-west-1", "271828182845", "function:crm:$LATEST")));
    }

    #[test]
    fn function_is_named_without_its_qualifier() {
        const CRM: &str = "arn:aws:lambda:eu-west-1:271828182845:function:crm";
        let live = format!("{CRM}:live");
        for (text, expected) in [
            (CRM, Some(CRM)),
            (&live, Some(CRM)),
            ("arn:aws:lambda:eu-west-1:271828182845:function:", None),
            ("arn:aws:lambda:eu-west-1:271828182845:function:crm:live:live", None),
            ("arn:aws:lambda:eu-west-1:271828182845:layer:crm:1", None),
            ("arn:aws:sqs:eu-west-1:271828182845:function:crm", None),
        ] {
            let arn = Arn::parse(text);
            assert_eq!(arn.as_ref().and_then(Arn::function), expected, "{text}");
        }
    }

    #[test]
    fn resource_of_a_queue_is_its_name() {
        let queue = "arn:aws:sqs:eu-west-1:271828182845:crm.fifo";
        assert_eq!(Arn::resource_of(queue), "crm.fifo");
        assert_eq!(Arn::resource_of("crm"), "crm");
    }

    #[test]
    fn arn_is_fifo_by_its_suffix() {
        let is_fifo = |text| Arn::parse(text).map(|arn| arn.is_fifo());
        assert_eq!(is_fifo("arn:aws:sqs:eu-west-1:271828182845:crm.fifo"), Some(true));
        assert_eq!(is_fifo("arn:aws:sqs:eu-west-1:271828182845:crm"), Some(false));
    }

    #[test]
    fn arn_is_refused_when_a_part_is_missing() {
        for text in [
            "",
            "arn",
            "arn:aws:lambda:eu-west-1:271828182845",
            "arn:aws:lambda:eu-west-1:271828182845:",
            "arn:aws::eu-west-1:271828182845:x",
            "urn:aws:lambda:eu-west-1:271828182845:x",
            "arn:aws:s3:::bucket",
            "arn:aws:lambda:eu-west-1:271828182845:function:with space",
        ] {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn is_refused_when_a_part_does_not_have_the_form_of_aws() {
        for text in [
            "arn::sqs:eu-west-1:271828182845:q",
            "arn:AWS:sqs:eu-west-1:271828182845:q",
            "arn:awscn:sqs:eu-west-1:271828182845:q",
            "arn:azure:sqs:eu-west-1:271828182845:q",
            "ARN:aws:sqs:eu-west-1:271828182845:q",
            "arn:aws:SQS:eu-west-1:271828182845:q",
            "arn:aws:sqs:US-EAST-1:271828182845:q",
            "arn:aws:sqs:eu-west:271828182845:q",
            "arn:aws:sqs:eu-west-01:271828182845:q",
            "arn:aws:sqs:eu--west-1:271828182845:q",
            "arn:aws:sqs:west-1:271828182845:q",
            "arn:aws:sqs:eu-west-1.attacker.example:271828182845:q",
            "arn:aws:sqs:eu-west-1/x:271828182845:q",
            "arn:aws:sqs:eu-a-very-long-name-of-a-region-1:271828182845:q",
            "arn:aws:sqs:eu-west-1:27182818284:q",
            "arn:aws:sqs:eu-west-1:2718281828459:q",
            "arn:aws:sqs:eu-west-1:aws:q",
            "arn:aws:sqs:eu-west-1:٢٧١٨٢٨١٨٢٨٤٥:q",
        ] {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn is_accepted_in_every_partition() {
        for text in [
            "arn:aws-cn:sqs:cn-northwest-1:271828182845:q",
            "arn:aws-us-gov:sqs:us-gov-west-1:271828182845:q",
            "arn:aws-iso-b:sqs:us-isob-east-1:271828182845:q",
            "arn:aws-eusc:sqs:eusc-de-east-1:271828182845:q",
            "arn:aws:sqs:ap-southeast-12:000000000000:q",
        ] {
            assert!(Arn::parse(text).is_some(), "{text}");
        }
    }

    #[test]
    fn names_the_same_resource_in_every_partition_and_region() {
        let same = |one: &str, other: &str| {
            Arn::parse(one).zip(Arn::parse(other)).map(|(one, other)| one.is_same_resource(&other))
        };
        let queue = "arn:aws:sqs:eu-west-1:271828182845:q";
        let function = "arn:aws:lambda:eu-west-1:271828182845:function:replay";
        for (one, other, expected) in [
            (queue, "arn:aws-cn:sqs:eu-west-1:271828182845:q", true),
            (queue, "arn:aws:sqs:us-east-1:271828182845:q", true),
            (queue, "arn:aws:sqs:eu-west-1:271828182845:q2", false),
            (queue, "arn:aws:sqs:eu-west-1:271828182846:q", false),
            (queue, "arn:aws:sns:eu-west-1:271828182845:q", false),
            (
                function,
                "arn:aws-us-gov:lambda:us-gov-west-1:271828182845:function:replay:live",
                true,
            ),
            (function, "arn:aws:lambda:eu-west-1:271828182845:function:replay-2", false),
        ] {
            assert_eq!(same(one, other), Some(expected), "{other}");
        }
    }
}
