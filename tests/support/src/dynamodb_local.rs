//! Amazon's `DynamoDB` Local, which is an optional installation.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::Process;

/// Returns the folder into which `make test DYNAMODB_LOCAL=1` installs it.
fn installed() -> Result<PathBuf, Box<dyn Error>> {
    let folder = std::env::var_os("GENESYS_REPLAY_DYNAMODB_LOCAL");
    let folder = folder.ok_or(
        "GENESYS_REPLAY_DYNAMODB_LOCAL is not set: run `make test DYNAMODB_LOCAL=1`, which installs DynamoDB Local",
    )?;
    Ok(PathBuf::from(folder))
}

/// The Jetty configuration with a loopback address, because the `main` of `DynamoDB` Local listens on every
/// interface and has no option for it.
pub(super) async fn start() -> Result<Process, Box<dyn Error>> {
    let installed = installed()?;
    let jetty = crate::root().join("tests/support/src/dynamodb_local.xml");
    let libraries = installed.join("DynamoDBLocal_lib");
    let classes = [installed.join("DynamoDBLocal.jar"), libraries.join("*")];
    let classes = std::env::join_paths(classes)?;
    Process::start("DynamoDB Local", |port, folder| {
        let property = |name: &str, value: &Path| format!("-D{name}={}", value.display());
        let mut command = Command::new("java");
        command
            // Disables the telemetry to Amazon.
            .env("DDB_LOCAL_TELEMETRY", "0")
            .arg("-Djava.net.preferIPv4Stack=true")
            .arg(format!("-Dport={port}"))
            .arg(property("java.io.tmpdir", folder))
            .arg(property("java.library.path", &libraries))
            .arg("-cp")
            .arg(&classes)
            .arg("org.eclipse.jetty.xml.XmlConfiguration")
            .arg(&jetty);
        command
    })
    .await
}

#[tokio::test]
#[ignore = "make test DYNAMODB_LOCAL=1 runs it: it needs Java and Amazon's DynamoDB Local"]
async fn dynamodb_local_listens_on_loopback_only() -> super::TestResult {
    let running = start().await?;
    let port = running.endpoint().rsplit(':').next().map(str::parse::<u16>);
    let port = port.ok_or("no port")??;
    // A server on every interface would also accept connections to this address.
    let elsewhere = std::net::TcpStream::connect(("127.0.0.2", port));
    assert!(elsewhere.is_err(), "{elsewhere:?}");
    Ok(())
}
