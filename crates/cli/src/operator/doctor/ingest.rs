//! Checks the settings of ingest and its queue.

use genesys_replay_ingest::config::{Auth, IngestSettings};

use super::settings::{SETTINGS, other_names};
use super::{AreaChecks, Check, DoctorInput, answer, function, queue};
use crate::config::Variables;
use crate::deployment::aws::AwsDeployment;

const AUTHENTICATION: &str = "authentication";

/// Variables that only ingest reads.
const OWN_VARIABLES: [&str; 3] = ["INGEST_AUTH", "INGEST_SECRET", "INGEST_SECRET_ID"];

/// Returns true if the variables are those of ingest.
pub fn is_ingest(variables: &Variables) -> bool {
    OWN_VARIABLES.iter().any(|name| variables.get(name).is_some())
}

pub(super) async fn checks(input: &DoctorInput, deployment: &AwsDeployment) -> AreaChecks {
    let mut checks = Vec::new();
    let mut answers = Vec::new();
    let settings = read(input);
    match &settings {
        Ok(settings) => {
            checks.push(Check::ok(SETTINGS, "ingest starts with these settings"));
            checks.push(check_authentication(&settings.auth));
        }
        Err(problems) => {
            let remedy = "correct the setting of ingest; it does not start before";
            checks.extend(
                problems.iter().map(|problem| Check::error(SETTINGS, problem.clone(), remedy)),
            );
        }
    }
    checks.extend(other_names(&input.variables));
    if let Some(name) = &input.function {
        let facts = deployment.function(name).await;
        answers.push(answer(&facts));
        checks.push(function::check(&facts));
        checks.extend(facts.iter().map(function::check_release));
    }
    if let Ok(settings) = settings {
        let found = deployment.queue(settings.queue_url.as_str()).await;
        answers.push(answer(&found));
        checks.push(match &found {
            Ok(found) => queue::check(found, None),
            Err(error) => Check::missing_or_failed(
                queue::QUEUE,
                error,
                "the queue of REPLAY_QUEUE_URL does not exist: every request is answered with 503",
                "set REPLAY_QUEUE_URL to the URL of the queue that the replay function drains",
            ),
        });
    }
    (checks, answers)
}

/// Reads the settings as the deployed program does.
fn read(input: &DoctorInput) -> Result<IngestSettings, Vec<String>> {
    // Lambda sets this variable when the program starts.
    const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
    let is_function = input.function.is_some();
    let settings = IngestSettings::from_lookup(|name| {
        if name == RUNTIME_API && is_function {
            return Some("lambda".to_owned());
        }
        input.variables.get(name).map(str::to_owned)
    });
    settings.map_err(|error| error.problems)
}

fn check_authentication(auth: &Auth) -> Check {
    match auth {
        Auth::Signature(_) => Check::ok(AUTHENTICATION, "requests need a signature"),
        Auth::Iam => Check::ok(AUTHENTICATION, "AWS IAM authorizes requests"),
        Auth::Anyone => Check::warning(
            AUTHENTICATION,
            "INGEST_AUTH=none: anyone with access to the address can put events on the queue",
            "set INGEST_AUTH=signature and INGEST_SECRET_ID",
        ),
    }
}
