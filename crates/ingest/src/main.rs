//! The HTTP side: reads the settings, builds the clients, then accepts requests, as a Lambda function or as a
//! standalone server.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use genesys_replay_aws::clients;
use genesys_replay_ingest::app::{self, IngestFunction};
use genesys_replay_ingest::config::{Host, IngestSettings};
use genesys_replay_ingest::http::server::{HttpServer, listen};
use genesys_replay_ingest::{http, startup};
use genesys_replay_telemetry as telemetry;
use genesys_replay_telemetry::metrics::Metrics;
use lambda_runtime::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// The maximum time between two writes of a server's metrics.
const METRICS_EVERY: Duration = Duration::from_secs(10);

#[tokio::main]
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
    let settings = IngestSettings::from_env()?;
    let lines = telemetry::init(settings.log_level)?;
    startup::started(&settings);
    let metrics = Metrics::new(settings.log_level, Box::new(lines));
    let host = settings.host.clone();
    let aws = clients::load().await;
    let queue_url = settings.queue_url.to_string();
    let edge = app::build(settings, &aws, metrics)?;
    tokio::join!(app::prepare(&edge), app::check_queue(&aws, &queue_url));
    let edge = Arc::new(edge);
    match host {
        Host::Lambda(_) => http::lambda::run(edge).await?,
        Host::Server(address) => {
            tokio::spawn(write_metrics(Arc::clone(&edge)));
            // Registered before the server logs that it listens, because a signal may arrive from then on.
            let shutdown = shutdown_signal()?;
            let listener = listen(address)?;
            HttpServer::new(Arc::clone(&edge)).serve(listener, shutdown).await?;
            edge.flush_metrics();
        }
    }
    telemetry::flush_last_lines().await;
    Ok(())
}

async fn write_metrics(edge: Arc<IngestFunction>) {
    loop {
        sleep(METRICS_EVERY).await;
        edge.flush_metrics();
    }
}

/// Registers SIGTERM and SIGINT at once. The returned future ends with the first of these signals.
fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
