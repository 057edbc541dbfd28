//! Files from outside: foreign files are not changed, links are not followed, and no text forges lines.

use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;

use genesys_replay_cli::operator::plan::{Plan, PlanContent};
use genesys_test_support::TestResult;

use super::plan::{plan, with_archived};
use crate::support::harness::{OperatorHarness, ended};
use crate::support::program::program;

const AUDIT: &str = "plan.audit.jsonl";
const WAVE: &str = r#"{"at":"2026-11-22T12:00:00Z","what":"wave","size":1}"#;

/// Applies the plan as a first run and as a resume. Both must be refused.
async fn refused(desk: &OperatorHarness) -> Result<String, Box<dyn Error>> {
    let mut printed = String::new();
    for more in [&["--resume"][..], &[]] {
        let ran = desk.run(&[&["apply", "plan.json", "--yes"], more].concat()).await?;
        assert_eq!(ran.code, Some(3), "{ran:?}");
        printed += &ran.stderr;
    }
    Ok(printed)
}

#[tokio::test]
async fn audit_of_another_program_is_not_changed() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    let begun = r#"{"at":"2026-11-22T12:00:00Z","what":"begun","plan":"p","hash":"other","by":"b","to":"t","direct":false,"resumed":false}"#;
    for foreign in [
        "notes without a line feed".to_owned(),
        "first line\nsecond line, not ended".to_owned(),
        "{\"id\":1}\n{\"id\":2}\n".to_owned(),
        format!("{WAVE}\n{WAVE}\ntorn"),
        format!("{begun}\n{{\"at\":\"torn"),
        "\u{feff}\n".to_owned(),
    ] {
        fs::write(desk.file(AUDIT), &foreign)?;
        let printed = refused(&desk).await?;
        assert!(printed.contains(AUDIT) || printed.contains("another plan"), "{printed}");
        assert_eq!(desk.read(AUDIT)?, foreign);
    }
    assert_eq!(desk.depth(&desk.queue).await?, 0);
    Ok(())
}

#[tokio::test]
async fn audit_is_not_written_through_a_link() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    let precious = desk.file("precious");
    for content in ["precious", ""] {
        fs::write(&precious, content)?;
        let _ = fs::remove_file(desk.file(AUDIT));
        symlink(&precious, desk.file(AUDIT))?;
        let ran = desk.run(&["apply", "plan.json", "--yes"]).await?;
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.stderr.contains("symbolic link"), "{ran:?}");
        assert_eq!(fs::read_to_string(&precious)?, content);
    }
    fs::remove_file(desk.file(AUDIT))?;
    symlink(desk.file("missing"), desk.file(AUDIT))?;
    assert_eq!(desk.run(&["apply", "plan.json", "--yes"]).await?.code, Some(3));
    assert!(!desk.file("missing").exists());
    Ok(())
}

#[tokio::test]
async fn torn_line_of_an_audit_is_cut_by_the_first_entry() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    fs::write(desk.file(AUDIT), "{\"at\":\"2026-11-22T12:0")?;
    let ran = desk.run_beside_function(&["apply", "plan.json", "--yes", "--resume"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let audit = desk.read(AUDIT)?;
    assert!(audit.starts_with("{\"at\":\"") && audit.lines().count() > 3, "{audit}");
    assert!(!audit.contains("12:0{"), "{audit}");
    Ok(())
}

#[tokio::test]
async fn reports_replace_only_files_of_their_kind() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let page = ["report", "--html", "page.html"];
    desk.run(&page).await?.with(0)?;
    desk.run(&page).await?.with(0)?;
    fs::write(desk.file("page.html"), "")?;
    desk.run(&page).await?.with(0)?;
    fs::write(desk.file("page.html"), "<!doctype html><title>a page of somebody</title>")?;
    let before = desk.read("page.html")?;
    assert_eq!(desk.run(&page).await?.code, Some(3));
    assert_eq!(desk.read("page.html")?, before);
    fs::remove_file(desk.file("page.html"))?;
    symlink(desk.file("elsewhere"), desk.file("page.html"))?;
    let ran = desk.run(&page).await?;
    assert!(ran.code == Some(3) && ran.stderr.contains("symbolic link"), "{ran:?}");
    assert!(!desk.file("elsewhere").exists());

    let records = ["diagnose", "--out", "records.json"];
    desk.run(&records).await?.with(0)?;
    desk.run(&records).await?.with(0)?;
    fs::write(desk.file("records.json"), r#"{"generatedAt": "by another program"}"#)?;
    let ran = desk.run(&records).await?;
    assert!(ran.code == Some(3) && ran.stderr.contains("name another file"), "{ran:?}");
    Ok(())
}

/// Changes the content of the plan file, with a new hash.
fn change(desk: &OperatorHarness, change: impl FnOnce(&mut PlanContent)) -> TestResult {
    let mut content = Plan::read(desk.read("plan.json")?.as_bytes())?.content;
    change(&mut content);
    fs::write(desk.file("plan.json"), Plan::of(content).write()?)?;
    Ok(())
}

#[tokio::test]
async fn texts_of_a_plan_do_not_forge_lines() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    change(&desk, |content| {
        content.reason = "harmless\nforged: 0 dead letters\u{1b}[2K\u{200b}".to_owned();
        content.created_by = "marta\r\nforged".to_owned();
        content.queue_arn = format!("{}\nforged", content.queue_arn);
        content.items[0].event_type = "t\nforged".to_owned();
    })?;
    // Without the variable, the plan alone names the queue.
    let mut preview = desk.program(&["apply", "plan.json"]);
    let ran = ended(preview.env_remove("REPLAY_QUEUE_URL").spawn()?).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stdout.lines().any(|line| line.trim_start().starts_with("forged")), "{ran:?}");
    assert!(ran.stdout.contains(r"harmless\nforged: 0 dead letters\u{1b}[2K\u{200b}"), "{ran:?}");
    let forged = desk.read("plan.json")?.replacen("\"id\": \"plan-", "\"id\": \"x\\nforged", 1);
    fs::write(desk.file("plan.json"), forged)?;
    assert_eq!(
        desk.run(&["apply", "plan.json"]).await?.code,
        Some(3),
        "the id follows from the content"
    );
    Ok(())
}

#[tokio::test]
async fn plan_is_refused_when_it_shows_another_target() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    change(&desk, |content| content.items[0].target = "https://harmless.example/".to_owned())?;
    let ran = desk.run(&["apply", "plan.json"]).await?;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("is not the target in its key"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn inputs_without_an_end_are_refused() -> TestResult {
    let desk = OperatorHarness::open().await?;
    for arguments in [
        &["import", "--file", "/dev/zero"][..],
        &["plan", "--reason", "x", "--ids", "/dev/zero"],
        &["apply", "/dev/zero"],
    ] {
        let ran = desk.run(arguments).await?;
        assert_eq!(ran.code, Some(3), "{arguments:?} {ran:?}");
        assert!(ran.stderr.contains("/dev/zero") && ran.stderr.contains("hint:"), "{ran:?}");
    }
    // The same inputs as stdin.
    for arguments in [
        &["import", "--file", "-", "--queue", desk.queue.as_str()][..],
        &["genesys", "replay", "--subscription", "s-1", "--ids", "-"],
    ] {
        let mut command = program(arguments);
        let output = command.stdin(fs::File::open("/dev/zero")?).output().await?;
        let stderr = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(3), "{arguments:?} {stderr}");
        assert!(stderr.contains(" bytes"), "{arguments:?} {stderr}");
    }
    Ok(())
}
