//! The Lambda function: reads the settings, builds the clients, then handles batches.

// The future of a batch nests more types than the compiler's default limit of 128.
#![recursion_limit = "256"]

use std::process::ExitCode;
use std::time::Duration;

use genesys_replay::replay::Shutdown;
use genesys_replay_aws::clients;
use genesys_replay_lambda::{app, lambda, startup};
use genesys_replay_settings::Settings;
use genesys_replay_telemetry as telemetry;
use genesys_replay_telemetry::metrics::Metrics;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use tokio::signal::unix::{SignalKind, signal};

/// The time that the last answer needs to leave the process.
const LAST_ANSWER: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Box::pin(run()).await {
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
    startup::started(&settings);
    let metrics = &Metrics::new(settings.log_level, Box::new(std::io::stdout()));
    let replay = &app::build(settings, &clients::load().await)?;
    app::prepare(replay).await;
    tokio::select! {
        ended = lambda_runtime::run(service_fn(|event: LambdaEvent<_>| lambda::handle(replay, metrics, event))) => ended,
        () = shutdown_signal(replay.shutdown.clone()) => Ok(()),
    }
}

/// Returns after a SIGTERM, once all work in flight has ended. Some platforms never send a SIGTERM.
async fn shutdown_signal(shutdown: Shutdown) {
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => terminated.recv().await,
        Err(_) => std::future::pending().await,
    };
    telemetry::ending();
    shutdown.trigger();
    shutdown.drained().await;
    tokio::time::sleep(LAST_ANSWER).await;
}
