//! The Lambda function: reads the settings, builds the clients, then handles batches.

use genesys_replay::config::Settings;
use genesys_replay::{app, lambda, telemetry};
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let settings = Settings::from_env().inspect_err(|error| {
        telemetry::init(tracing::Level::ERROR);
        tracing::error!(%error, "start-up refused");
    })?;
    telemetry::init(settings.log_level);
    telemetry::started(&settings);
    let replay = &app::build(settings, &app::aws().await)?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| {
        lambda::handle(replay, event)
    }))
    .await
}
