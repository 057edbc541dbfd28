//! The Lambda function: reads the settings, builds the clients, then handles batches.

// The future of a batch nests more types than the compiler's default limit of 128.
#![recursion_limit = "256"]

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

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
            telemetry::start_refused(error.as_ref()).await;
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let settings = Settings::from_env()?;
    let lines = telemetry::init(settings.log_level)?;
    startup::started(&settings);
    let metrics = &Metrics::new(settings.log_level, Box::new(lines));
    let replay = &app::build(settings, &clients::load().await)?;
    app::prepare(replay).await;
    let handle = async |event: LambdaEvent<_>| {
        let deadline = event.context.deadline();
        let answer = lambda::handle(replay, metrics, event).await;
        let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        // After a shutdown the answer must leave the process within LAST_ANSWER.
        let is_ending = replay.shutdown.is_requested();
        telemetry::flush(if is_ending { left.min(LAST_ANSWER / 2) } else { left }).await;
        answer
    };
    let ended = tokio::select! {
        ended = lambda_runtime::run(service_fn(handle)) => ended,
        () = shutdown_signal(replay.shutdown.clone()) => Ok(()),
    };
    telemetry::flush_last_lines().await;
    ended
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
