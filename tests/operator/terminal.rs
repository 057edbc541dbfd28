//! The output on a terminal: its width and its colours.

use std::error::Error;
use std::process::Stdio;

use genesys_test_support::{TestResult, conversation_event};

use super::plan::{plan, with_archived};
use crate::support::harness::{OperatorHarness, ended};

const ESCAPE: char = '\u{1b}';

/// Runs the program with a pseudo-terminal of 80 columns as stdout and returns its output. stderr has the progress.
async fn on_a_terminal(
    desk: &OperatorHarness,
    arguments: &[&str],
) -> Result<String, Box<dyn Error>> {
    let program = env!("CARGO_BIN_EXE_genesys-replay");
    let call =
        format!("stty cols 80 rows 40; exec '{program}' {} 2>/dev/null", arguments.join(" "));
    let mut script = desk.program(&[]);
    let settings: Vec<_> = script
        .as_std()
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    script = tokio::process::Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &call, "/dev/null"])
        .env_clear()
        .envs(settings)
        .env("TERM", "xterm-256color")
        .current_dir(desk.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(ended(script.spawn()?).await?.stdout.replace('\r', ""))
}

/// Returns a text without escape sequences for colours.
fn plain(text: &str) -> String {
    let mut parts = text.split(ESCAPE);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[tokio::test]
async fn output_fits_a_terminal_of_80_columns() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    plan(&desk, &[]).await?;
    let target = "arn:aws:lambda:eu-central-1:271828182845:function:a-function-with-a-long-name";
    let attributes = [("TARGET_ARN", target), ("ERROR_CODE", "TIMEOUT")];
    desk.put(&desk.queue, &conversation_event("e-3", "c-3"), &attributes).await?;
    for arguments in [
        &["doctor"][..],
        &["diagnose"],
        &["report"],
        &["reconcile"],
        &["explain"],
        &["apply", "plan.json"],
        &["plan", "--help"],
        &["report", "--help"],
    ] {
        let printed = on_a_terminal(&desk, arguments).await?;
        assert!(printed.lines().count() > 1, "{arguments:?}: {printed}");
        for line in plain(&printed).lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn tables_keep_words_whole_on_80_columns() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let timeout = [("ERROR_CODE", "TIMEOUT")];
    desk.put(&desk.queue, &conversation_event("e-3", "c-3"), &timeout).await?;
    let url = format!("{}/targets/crm", desk.world.genesys.url());
    let topic = "v2.detail.events.conversation.{id}.customer.end";
    for (arguments, words) in [
        (&["diagnose"][..], &["ENDPOINT_UNREACHABLE", topic, &url][..]),
        (&["report"], &["TARGET_REFUSED", &url]),
        (&["plan", "--reason", "x"], &["TARGET_REFUSED", topic, &url]),
    ] {
        let printed = plain(&on_a_terminal(&desk, arguments).await?);
        for word in words {
            assert!(printed.contains(word), "{arguments:?}: {word}: {printed}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn doctor_prints_its_totals_before_the_checks() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let ran = desk.run(&["doctor"]).await?;
    let first = ran.stdout.lines().next().unwrap_or_default();
    assert!(first.starts_with("ok: ") && first.contains(", errors: "), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn colours_follow_the_terminal_and_the_environment() -> TestResult {
    let mut desk = OperatorHarness::open().await?;
    assert!(on_a_terminal(&desk, &["doctor"]).await?.contains(ESCAPE));
    assert!(!desk.run(&["doctor"]).await?.stdout.contains(ESCAPE), "a pipe");
    desk.world.set("CLICOLOR_FORCE", "1");
    assert!(desk.run(&["doctor"]).await?.stdout.contains(ESCAPE));
    desk.world.set("CLICOLOR_FORCE", "");
    desk.world.set("NO_COLOR", "1");
    assert!(!on_a_terminal(&desk, &["doctor"]).await?.contains(ESCAPE));
    desk.world.set("NO_COLOR", "");
    desk.world.set("CLICOLOR", "0");
    assert!(!on_a_terminal(&desk, &["doctor"]).await?.contains(ESCAPE));
    Ok(())
}
