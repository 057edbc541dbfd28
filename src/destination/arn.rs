//! Amazon Resource Names.

/// `arn:<partition>:<service>:<region>:<account>:<resource>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arn {
    text: String,
    /// The positions of service, region, account and resource.
    starts: [usize; 4],
}

impl Arn {
    /// Parses an ARN; returns `None` if a part is missing or a character is not printable ASCII.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut colons = text.match_indices(':').map(|(at, _)| at + 1);
        let partition = colons.next()?;
        let starts = [colons.next()?, colons.next()?, colons.next()?, colons.next()?];
        let arn = Self { text: text.to_owned(), starts };
        let whole = text.get(..partition) == Some("arn:")
            && [arn.service(), arn.region(), arn.account(), arn.resource()]
                .iter()
                .all(|part| !part.is_empty())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        whole.then_some(arn)
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
        let resource = self.resource().strip_prefix("function:")?;
        let name = resource.split(':').next().filter(|name| !name.is_empty())?;
        let qualifier = resource.len() - name.len();
        let is_lambda = self.service() == "lambda";
        self.text.get(..self.text.len() - qualifier).filter(|_| is_lambda)
    }

    /// Returns the resource of an ARN: for a queue, its name. A text that is not an ARN is returned whole.
    #[must_use]
    pub fn resource_of(text: &str) -> &str {
        Self::parse(text).and_then(|arn| text.get(arn.starts[3]..)).unwrap_or(text)
    }

    /// Returns true if the ARN names a FIFO queue or topic, which keep an order.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.text.strip_suffix(".fifo").is_some()
    }

    fn between(&self, from: usize, to: usize) -> &str {
        self.text.get(self.starts[from]..self.starts[to] - 1).unwrap_or_default()
    }
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
}
