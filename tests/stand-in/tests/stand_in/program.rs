//! The program as scripts start it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use reqwest::StatusCode;
use serde_json::Value;

use crate::client::{Client, Result};

/// A child process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genesys-stand-in"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn program_prints_its_address_and_serves_it() -> Result {
    let flags = ["--client-id", "me", "--client-secret", "mine", "--rate-limit", "7"];
    let mut running = Running(program(&flags).spawn()?);
    let stdout = running.0.stdout.take().ok_or("no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;

    let said: Value = serde_json::from_str(&line)?;
    let client = Client::anonymous(said["url"].as_str().ok_or("no url")?)?;

    assert_eq!(client.get("/_stand-in/health").await?.status, StatusCode::OK);
    assert_eq!(client.ask_for_token("me", "mine").await?.status, StatusCode::OK);
    let refused = client.get("/api/v2/conversations/abc").await?;
    assert_eq!(refused.header("inin-ratelimit-allowed"), Some("7"));
    Ok(())
}

#[test]
fn program_refuses_wrong_flags_with_the_usage() -> Result {
    for flags in [["--port", "x"].as_slice(), &["--prot", "1"], &["--port"]] {
        let output = program(flags).output()?;
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(String::from_utf8(output.stderr)?.starts_with("usage: "));
        assert!(output.stdout.is_empty());
    }
    Ok(())
}
