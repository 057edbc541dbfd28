//! The help, the man pages and the completions of the command.

use std::error::Error;

use genesys_replay::failure::{FailureCode, RefusalCode};
use genesys_replay_cli::operator::vocabulary::terms;
use genesys_test_support::{TestResult, root};
use serde_json::Value;

use crate::support::program::run;

/// The names of the commands, as the command itself lists them.
async fn commands() -> Result<Vec<String>, Box<dyn Error>> {
    let help = run(&[], &["--help"]).await?.stdout;
    let list = help.split_once("Commands:\n").ok_or("no commands")?.1;
    let list = list.split_once("\n\n").ok_or("no end of the commands")?.0;
    let lines = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    Ok(names.filter(|name| *name != "help").map(str::to_owned).collect())
}

#[tokio::test]
async fn commands_have_examples_and_a_manual_page() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_str().ok_or("no path")?;
    let ran = run(&[], &["man", "--dir", path]).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let commands = commands().await?;
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let help = run(&[], &[&command, "--help"]).await?.stdout;
        let examples = help.split_once("Examples:\n").ok_or(format!("{command}: no examples"))?.1;
        assert!(examples.contains(&format!("genesys-replay {command}")), "{command}");
        let page = folder.path().join(format!("genesys-replay-{command}.1"));
        let page = std::fs::read_to_string(&page).map_err(|error| format!("{command}: {error}"))?;
        assert!(page.contains(".SH NAME") && page.contains("Examples:"), "{command}");
    }
    Ok(())
}

#[tokio::test]
async fn version_is_that_of_the_build() -> TestResult {
    let version = run(&[], &["--version"]).await?.with(0)?;
    assert_eq!(version.trim_end(), genesys_replay_version::PROGRAM);
    assert!(version.starts_with(concat!("genesys-replay ", env!("CARGO_PKG_VERSION"))));
    Ok(())
}

#[tokio::test]
async fn manual_page_names_the_commands_and_exit_codes() -> TestResult {
    let page = run(&[], &["man"]).await?.stdout;
    for command in commands().await? {
        let named = format!("genesys\\-replay\\-{}(1)", command.replace('-', "\\-"));
        assert!(page.contains(&named), "{named}");
    }
    assert!(page.contains("Exit codes"));
    Ok(())
}

#[tokio::test]
async fn bash_completes_the_options_of_each_command() -> TestResult {
    // The words before the cursor, and an expected completion.
    for (words, expected) in [
        ("''", "doctor"),
        ("doctor --", "--function"),
        ("doctor ''", "rules"),
        ("doctor rules --", "--terraform"),
        ("plan --", "--reason"),
        ("genesys ''", "replay"),
        ("genesys replay --", "--subscription"),
        ("completions ''", "fish"),
        ("plan --category ''", "RATE_LIMIT_EXCEEDED"),
        ("plan --code TARGET_REF", "TARGET_REFUSED"),
        ("plan --from ''", "parking"),
        ("apply --to ''", "target"),
        ("explain TARGET_REF", "TARGET_REFUSED"),
        ("explain open_", "open_not_queued"),
    ] {
        let script = run(&[], &["completions", "bash"]).await?.with(0)?;
        let call = format!(
            "COMP_WORDS=(genesys-replay {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _genesys__replay genesys-replay \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"\n\
             echo \"${{COMPREPLY[@]}}\"\n"
        );
        let output = tokio::process::Command::new("bash")
            .args(["--norc", "-c", &format!("{script}\n{call}")])
            .output()
            .await?;
        let completions = String::from_utf8(output.stdout)?;
        assert!(completions.split_whitespace().any(|it| it == expected), "{words}: {completions}");
    }
    Ok(())
}

#[tokio::test]
async fn completions_exist_for_every_shell() -> TestResult {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&[], &["completions", shell]).await?;
        assert_eq!(ran.code, Some(0), "{shell}: {}", ran.stderr);
        assert!(ran.stdout.contains("reconcile") && ran.stdout.contains("since"), "{shell}");
        if matches!(shell, "bash" | "zsh" | "fish") {
            for value in ["RATE_LIMIT_EXCEEDED", "TARGET_REFUSED", "parking", "open_not_queued"] {
                assert!(ran.stdout.contains(value), "{shell}: {value}");
            }
        }
    }
    let ran = run(&[], &["completions", "cmd"]).await?;
    assert_eq!(ran.code, Some(2));
    Ok(())
}

#[tokio::test]
async fn explain_prints_every_code_in_both_formats_and_any_case() -> TestResult {
    let failures = FailureCode::ALL.iter().map(|it| (it.as_str(), it.page()));
    let refusals = RefusalCode::ALL.iter().map(|it| (it.as_str(), it.page()));
    let list = run(&[], &["explain"]).await?.stdout;
    let listed = run(&[], &["explain", "--output", "json"]).await?.json()?;
    let listed: Vec<&Value> =
        listed.as_array().ok_or("no list")?.iter().map(|it| &it["code"]).collect();
    for (code, page) in failures.chain(refusals) {
        assert!(list.lines().any(|line| line.split(' ').next() == Some(code)), "{code}");
        assert!(listed.iter().any(|it| *it == code), "{code}");
        let text = run(&[], &["explain", code]).await?;
        // A category may have the same name.
        assert!(text.code == Some(0) && text.stdout.starts_with(page), "{code}: {text:?}");
        let json =
            run(&[], &["explain", &code.to_lowercase(), "--output", "json"]).await?.json()?;
        assert_eq!(json["page"], page, "{code}");
    }
    Ok(())
}

#[tokio::test]
async fn explain_refuses_an_unknown_code_with_a_hint() -> TestResult {
    for output in ["text", "json"] {
        let ran = run(&[], &["explain", "NO_SUCH_CODE", "--output", output]).await?;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("hint: see the list: genesys-replay explain"),
            "{}",
            ran.stderr
        );
    }
    let ran = run(&[], &["explain", "target_refuse"]).await?;
    assert!(ran.stderr.contains("hint: did you mean TARGET_REFUSED"), "{}", ran.stderr);
    ran.with(3)?;
    Ok(())
}

#[tokio::test]
async fn explain_knows_the_names_of_every_output() -> TestResult {
    let list = run(&[], &["explain"]).await?.with(0)?;
    for (name, says) in [
        ("rate_limit_exceeded", "RATE_LIMIT_EXCEEDED (category): the target was throttled"),
        ("deferred", "DEFERRED (ledger status): "),
        ("DEFERRED", "deferred (outcome): "),
        ("Discarded", "DISCARDED (ledger status): "),
        ("acknowledge", "ACKNOWLEDGE (next step): "),
        ("open_not_queued", "open_not_queued (finding): "),
        ("archived again", "archived_again (outcome of apply): "),
        ("replay_failed", "replay_failed (retry status): "),
        ("abandoned", "abandoned (state of a shared plan): "),
    ] {
        let ran = run(&[], &["explain", name]).await?.with(0)?;
        assert!(ran.lines().any(|line| line.starts_with(says)), "{name}: {ran}");
        let known = says.split(' ').next();
        assert!(list.lines().any(|line| line.split(' ').next() == known), "{name}");
    }
    let json = run(&[], &["explain", "archived", "--output", "json"]).await?.json()?;
    assert_eq!(json["meanings"].as_array().map(Vec::len), Some(2), "{json}");
    Ok(())
}

#[tokio::test]
async fn explained_names_are_documented() -> TestResult {
    let mut documents = String::new();
    for name in ["OPERATOR.md", "LOGGING.md", "GLOSSARY.md", "failures/README.md", "MESSAGES.md"] {
        documents.push_str(&std::fs::read_to_string(root().join("docs").join(name))?);
    }
    for term in terms() {
        assert!(documents.contains(term.name), "{}", term.name);
    }
    Ok(())
}
