//! The Lambda function: reads the settings, builds the clients, then handles batches.

use std::process::ExitCode;

use genesys_replay::config::Settings;
use genesys_replay::{app, lambda, telemetry};
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::start_refused(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let settings = Settings::from_env()?;
    telemetry::init(settings.log_level);
    telemetry::started(&settings);
    let replay = &app::build(settings, &app::aws().await)?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| {
        lambda::handle(replay, event)
    }))
    .await
}
