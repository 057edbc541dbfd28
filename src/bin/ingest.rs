//! The HTTP side: reads the settings, builds the clients, then takes requests, as a Lambda function
//! or as a server of its own.

use std::future::pending;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use genesys_replay::app::ingest::IngestEdge;
use genesys_replay::config::{Host, IngestSettings};
use genesys_replay::telemetry::metrics::Metrics;
use genesys_replay::{app, http, telemetry};
use lambda_http::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// How often a server writes its metrics, at least.
const METRICS_EVERY: Duration = Duration::from_secs(10);

#[tokio::main]
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
    let settings = IngestSettings::from_env()?;
    telemetry::init(settings.log_level);
    telemetry::ingest::started(&settings);
    let metrics = Metrics::new(settings.log_level, Box::new(std::io::stdout()));
    let host = settings.host.clone();
    let edge = app::ingest::build(settings, &app::aws().await, metrics)?;
    app::ingest::prepare(&edge).await;
    let edge = Arc::new(edge);
    match host {
        Host::Lambda(_) => lambda_http::run(http::router(edge)).await?,
        Host::Server(address) => {
            tokio::spawn(write_metrics(Arc::clone(&edge)));
            let listener = TcpListener::bind(address).await?;
            http::server::serve(listener, Arc::clone(&edge), told_to_end()).await?;
            edge.flush_metrics();
        }
    }
    Ok(())
}

async fn write_metrics(edge: Arc<IngestEdge>) {
    loop {
        sleep(METRICS_EVERY).await;
        edge.flush_metrics();
    }
}

/// Ends with a SIGTERM or Ctrl-C.
async fn told_to_end() {
    let mut terminated = signal(SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminated {
            Some(signal) => signal.recv().await,
            None => pending().await,
        }
    };
    tokio::select! {
        _ = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
