//! The connections of API destinations.

use genesys_replay::aws::AwsError;
use genesys_replay::destination::Arn;

use super::event_rules::EventRulesReader;
use crate::calls::answered;

impl EventRulesReader {
    /// Returns the name of the connection of an API destination; `None` if it has none.
    ///
    /// # Errors
    /// [`AwsError`], also if the API destination does not exist.
    pub async fn connection_of(&self, api_destination: &str) -> Result<Option<String>, AwsError> {
        let operation = format!(
            "reading the API destination {api_destination} (events:DescribeApiDestination)"
        );
        let call = self.client.describe_api_destination().name(api_destination);
        let found = answered(&operation, call.send()).await?;
        let arn = found.connection_arn().and_then(Arn::parse);
        Ok(arn.and_then(|arn| arn.connection().map(str::to_owned)))
    }
}
