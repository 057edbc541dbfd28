//! `genesys-stand-in [--host IP] [--port N] [--client-id ID] [--client-secret SECRET] [--rate-limit N]`
//!
//! Prints `{"url":"http://<host>:<port>"}` on one line once it listens, then serves until it is killed.

use std::future::pending;
use std::io::{self, Write};
use std::process::ExitCode;

use genesys_stand_in::{Builder, StandIn};
use serde_json::json;

const USAGE: &str = "usage: genesys-stand-in [--host IP] [--port N] [--client-id ID] [--client-secret SECRET] [--rate-limit N]";

// One thread, because the other cores are for the measured process.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(builder) = options(std::env::args().skip(1)) else {
        writeln!(io::stderr(), "{USAGE}").ok();
        return ExitCode::from(2);
    };
    match run(builder).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "cannot serve: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn run(builder: Builder) -> io::Result<()> {
    let stand_in = builder.start().await?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", json!({"url": stand_in.url()}))?;
    stdout.flush()?;
    pending().await
}

/// Returns the options of the command line. `None`: it is invalid.
fn options(mut arguments: impl Iterator<Item = String>) -> Option<Builder> {
    let mut builder = StandIn::builder();
    while let Some(flag) = arguments.next() {
        let value = arguments.next()?;
        builder = match flag.as_str() {
            "--host" => builder.host(value.parse().ok()?),
            "--port" => builder.port(value.parse().ok()?),
            "--client-id" => builder.client_id(value),
            "--client-secret" => builder.client_secret(value),
            "--rate-limit" => builder.rate_limit(value.parse().ok()?),
            _ => return None,
        };
    }
    Some(builder)
}
