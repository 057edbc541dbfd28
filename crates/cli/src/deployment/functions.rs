//! The names of the functions in the region, for a suggestion when a name is wrong.

use genesys_replay::aws::AwsError;
use genesys_replay::destination::Arn;

use crate::calls::answered;

/// The maximum number of pages of functions that are read for a suggestion.
const MAX_PAGES: usize = 6;

/// The number of functions of a page: the maximum of Lambda.
const PAGE_SIZE: i32 = 50;

/// The maximum number of suggested names.
const MAX_SUGGESTIONS: usize = 3;

/// The minimum similarity of a suggested name, from 0 to 1. clap suggests options from 0.7 on, but names of functions
/// share more of their letters.
const MIN_SIMILARITY: f64 = 0.8;

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
