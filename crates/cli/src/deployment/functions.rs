//! The deployed functions: the configuration of one, and the names of the others for a suggestion when a name is wrong.

use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::destination::Arn;

use super::source_mapping::SourceMapping;
use crate::calls::answered;
use crate::config::Variables;

/// The maximum number of pages of functions that are read for a suggestion.
const MAX_PAGES: usize = 6;

/// The number of functions of a page: the maximum of Lambda.
const PAGE_SIZE: i32 = 50;

/// The maximum number of suggested names.
const MAX_SUGGESTIONS: usize = 3;

/// The minimum similarity of a suggested name, from 0 to 1. clap suggests options from 0.7 on, but names of functions
/// share more of their letters.
const MIN_SIMILARITY: f64 = 0.8;

/// The deployed replay function.
#[derive(Clone, Debug)]
pub struct DeployedFunction {
    pub name: String,
    /// The function's ARN without version or alias.
    pub arn: String,
    pub variables: Variables,
    pub timeout: Duration,
    /// The event source mappings of queues.
    pub mappings: Vec<SourceMapping>,
    /// The name of the log group of the function.
    pub log_group: String,
}

impl DeployedFunction {
    /// Returns the ARN of the queue that the function drains: that of its first event source mapping of a queue.
    pub fn queue_arn(&self) -> Option<&str> {
        self.mappings.first().map(|mapping| mapping.queue_arn.as_str())
    }
}

/// Reads the configuration of the function with this name or ARN.
///
/// # Errors
/// [`AwsError`], also if the function does not exist.
pub(crate) async fn read(
    lambda: &aws_sdk_lambda::Client,
    name: &str,
) -> Result<DeployedFunction, AwsError> {
    let operation =
        format!("reading the settings of the function {name} (lambda:GetFunctionConfiguration)");
    let call = lambda.get_function_configuration().function_name(name);
    let found = answered(&operation, call.send()).await?;
    let arn = found.function_arn();
    let arn = arn.ok_or_else(|| AwsError::incomplete(operation, "ARN"))?;
    let operation = format!("reading the event sources of {name} (lambda:ListEventSourceMappings)");
    let call = lambda.list_event_source_mappings().function_name(name);
    let mappings = answered(&operation, call.send()).await?;
    let mappings = mappings.event_source_mappings().iter().filter_map(SourceMapping::of_queue);
    let variables = found.environment().and_then(|it| it.variables()).cloned();
    let function_name = found.function_name().unwrap_or(name).to_owned();
    let log_group = found.logging_config().and_then(|it| it.log_group()).map(str::to_owned);
    Ok(DeployedFunction {
        name: function_name.clone(),
        arn: Arn::parse(arn).as_ref().and_then(Arn::function).unwrap_or(arn).to_owned(),
        variables: variables.unwrap_or_default().into_iter().collect(),
        timeout: Duration::from_secs(u64::try_from(found.timeout().unwrap_or(3)).unwrap_or(3)),
        mappings: mappings.collect(),
        log_group: log_group.unwrap_or_else(|| format!("/aws/lambda/{function_name}")),
    })
}

/// Returns up to three names of functions that are similar to this name or ARN, the most similar first.
pub(crate) async fn similar(
    lambda: &aws_sdk_lambda::Client,
    name: &str,
) -> Result<Vec<String>, AwsError> {
    let mut names = Vec::new();
    let mut marker = None;
    for _ in 0..MAX_PAGES {
        let call = lambda.list_functions().max_items(PAGE_SIZE).set_marker(marker);
        let page = answered("listing the functions (lambda:ListFunctions)", call.send()).await?;
        names
            .extend(page.functions().iter().filter_map(|it| it.function_name()).map(str::to_owned));
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    Ok(most_similar(name, names))
}

fn most_similar(name: &str, names: Vec<String>) -> Vec<String> {
    let arn = Arn::parse(name);
    let wanted = match arn.as_ref().and_then(Arn::function) {
        Some(arn) => Arn::resource_of(arn).trim_start_matches("function:"),
        None => name.split(':').next().unwrap_or(name),
    };
    let wanted = wanted.to_lowercase();
    let similarity = |name: &str| {
        let name = name.to_lowercase();
        let is_part = name.contains(&wanted) || wanted.contains(&name);
        if is_part { 1.0 } else { strsim::jaro_winkler(&name, &wanted) }
    };
    let rated = names.into_iter().map(|name| (similarity(&name), name));
    let mut rated: Vec<(f64, String)> =
        rated.filter(|(similarity, _)| *similarity >= MIN_SIMILARITY).collect();
    rated.sort_by(|(a, first), (b, second)| b.total_cmp(a).then_with(|| first.cmp(second)));
    rated.into_iter().take(MAX_SUGGESTIONS).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_the_most_similar_names_of_functions() {
        let names = ["genesys-replay", "stack-ReplayFunction-9A58", "billing", "genesys-ingest"];
        let found = |name: &str| most_similar(name, names.map(str::to_owned).to_vec());
        for name in [
            "genesys-reply",
            "Genesys-Replay",
            "genesys-replay:live",
            "arn:aws:lambda:eu-central-1:271828182845:function:genesys-repla",
        ] {
            assert_eq!(found(name)[0], "genesys-replay", "{name}");
        }
        assert_eq!(found("ReplayFunction"), ["stack-ReplayFunction-9A58"]);
        assert_eq!(found("unrelated"), [""; 0]);
    }
}
