//! Shared plans of the real program: one life from `plan` to `history`, two operators, and wrong input.

mod faults;
mod leases;
mod store;

use std::error::Error;

use genesys_test_support::{TestResult, eventually};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::apply::once;
use super::discard::item_of;
use super::plan::with_archived;
use super::schemas::check;
use crate::support::harness::{OperatorHarness, ended};
use crate::support::program::Ran;

/// Makes a shared plan and returns its id.
pub(super) async fn share(desk: &OperatorHarness) -> Result<String, Box<dyn Error>> {
    let made = desk.run(&["--output", "json", "plan", "--reason", "the CRM was down"]).await?;
    let id = made.json()?["plan"].as_str().unwrap_or_default().to_owned();
    made.with(0)?;
    assert!(id.starts_with("plan-"), "{id}");
    Ok(id)
}

/// Runs the program as another operator.
async fn as_ben(desk: &OperatorHarness, arguments: &[&str]) -> Result<Ran, Box<dyn Error>> {
    ended(desk.program(arguments).env("USER", "ben").spawn()?).await
}

/// Returns the keys and contents of the bucket's objects below a prefix.
pub(super) async fn objects(
    desk: &OperatorHarness,
    prefix: &str,
) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let s3 = desk.world.aws.s3();
    let listed = s3.list_objects_v2().bucket(&desk.bucket).prefix(prefix).send().await?;
    let mut objects = Vec::new();
    for key in listed.contents.unwrap_or_default().into_iter().filter_map(|it| it.key) {
        let object = s3.get_object().bucket(&desk.bucket).key(&key).send().await?;
        let content = object.body.collect().await?.to_vec();
        objects.push((key, String::from_utf8(content)?));
    }
    Ok(objects)
}

/// Returns the entries of one kind in the audit of a shared plan.
async fn entries(
    desk: &OperatorHarness,
    id: &str,
    what: &str,
) -> Result<Vec<Value>, Box<dyn Error>> {
    let parts = objects(desk, &format!("plans/{id}/audit/")).await?;
    let lines = parts.iter().flat_map(|(_, text)| text.lines()).map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line["what"] == what).collect())
}

async fn signal(child: &Child, name: &str) -> TestResult {
    let id = child.id().ok_or("the process has ended")?.to_string();
    assert!(Command::new("kill").args([name, &id]).status().await?.success());
    Ok(())
}

#[tokio::test]
async fn shared_plan_is_applied_by_the_begin_of_its_id() -> TestResult {
    let ids = ["e-1", "e-2", "e-3"];
    let desk = with_archived(&ids).await?;
    let id = share(&desk).await?;
    assert_eq!(std::fs::read_dir(desk.folder.path())?.count(), 0, "no file is written");
    let preview = desk.run(&["apply", &id[..9]]).await?;
    assert!(preview.says("the CRM was down") && preview.says("add --yes"), "{preview:?}");
    preview.with(0)?;
    desk.world.genesys.clear_calls();
    let reason = ["apply", &id[..9], "--yes", "--rate", "1000", "--reason", "ticket 4711"];
    let applied = desk.run_beside_function(&reason).await?;
    assert!(applied.says(&format!("audit: s3://{}/plans/{id}/audit/", desk.bucket)), "{applied:?}");
    applied.with(0)?;
    assert_eq!(desk.delivered(), once(&ids));
    let again = desk.run(&reason).await?;
    assert!(again.says("has an earlier run") && again.says("--resume"), "{again:?}");
    assert_eq!(again.code, Some(3));

    let item = item_of(&desk, &desk.world.key("e-2")).await?;
    let noted = ["PlanId", "Reason"].map(|name| item.get(name).cloned().unwrap_or_default());
    assert_eq!(noted, [id.clone(), "ticket 4711".to_owned()]);
    assert!(item.get("By").is_some_and(|by| by.starts_with("marta (arn:aws:")), "{item:?}");
    let trace = desk.run(&["trace", "--event", "e-2", "--no-queues"]).await?.with(0)?;
    assert!(trace.contains(&format!("{id} by marta (arn:aws:")), "{trace}");
    assert!(trace.contains(": ticket 4711"), "{trace}");
    assert!(trace.contains("sent again by"), "the trace reads shared audits: {trace}");

    let json = |arguments: &[&str]| {
        let all: Vec<String> =
            ["--output", "json"].iter().chain(arguments).map(|it| (*it).to_owned()).collect();
        let desk = &desk;
        async move { desk.run(&all.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let list = json(&["plans", "list"]).await?;
    let plan = &list.json()?["plans"][0];
    assert_eq!([&plan["items"], &plan["settled"]], [3, 3], "{plan}");
    assert_eq!(plan["state"]["state"], "ended", "{plan}");
    check("plans-list", &list)?;
    let show = json(&["plans", "show", &id]).await?;
    assert_eq!(show.json()?["runs"][0]["outcomes"]["delivered"], 3, "{show:?}");
    check("plans-show", &show)?;
    let history = json(&["history", "--since", "1h"]).await?;
    assert_eq!(history.json()?["runs"][0]["reason"], "ticket 4711", "{history:?}");
    check("history", &history)?;
    let before = json(&["history", "--until", "1h"]).await?.json()?;
    assert_eq!(before["total"], 0, "{before}");
    let event = json(&["history", "--event", "e-2"]).await?;
    let steps: Vec<String> = event.json()?["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| step["what"].to_string())
        .collect();
    assert!(steps[0].contains("sent again") && steps[1].contains("delivered"), "{steps:?}");
    check("history", &event)?;
    let other = desk.run(&["history", "--event", "e-9"]).await?;
    assert_eq!(other.code, Some(1), "{other:?}");
    let text = desk.run(&["history"]).await?.with(0)?;
    assert!(text.contains("replay by marta (arn") && text.contains("3 delivered of 3"), "{text}");
    let text = desk.run(&["plans", "show", &id]).await?.with(0)?;
    assert!(text.contains("next:     nothing: every dead letter is settled"), "{text}");
    Ok(())
}

#[tokio::test]
async fn paused_apply_sends_nothing_after_another_took_over() -> TestResult {
    let ids = ["e-1", "e-2", "e-3", "e-4"];
    let desk = with_archived(&ids).await?;
    let id = share(&desk).await?;
    desk.world.genesys.clear_calls();
    // Without a function, the first process waits for the canary.
    let first = desk.program(&["apply", &id, "--yes", "--rate", "1000"]).spawn()?;
    eventually("the canary is in the audit", async || {
        Ok((entries(&desk, &id, "sent").await?.len() == 1).then_some(()))
    })
    .await?;
    signal(&first, "-STOP").await?;

    let resume = ["apply", &id, "--yes", "--rate", "1000", "--resume"];
    let held = as_ben(&desk, &resume).await?;
    assert!(held.says(&format!("{id} is held by marta (arn:aws:")), "{held:?}");
    assert!(held.says(&format!("plans take-over {id} --force --yes")), "{held:?}");
    assert_eq!(held.code, Some(3));
    let early = as_ben(&desk, &["plans", "take-over", &id, "--yes"]).await?;
    assert!(early.says("running by marta") && early.says("add --force"), "{early:?}");
    assert_eq!(early.code, Some(3));
    let dry = as_ben(&desk, &["plans", "take-over", &id, "--force"]).await?;
    assert!(dry.says("would take over") && dry.says("add --yes"), "{dry:?}");
    assert!(entries(&desk, &id, "taken_over").await?.is_empty(), "{dry:?}");
    let take = ["plans", "take-over", &id, "--force", "--yes", "--output", "json"];
    let taken = as_ben(&desk, &take).await?;
    check("plans-change", &taken)?;
    assert_eq!(taken.json()?["state"]["state"], "taken_over", "{taken:?}");
    assert!(taken.json()?["before"]["by"].to_string().contains("marta"), "{taken:?}");
    let marta = desk.run(&resume).await?;
    assert!(marta.says(&format!("{id} is held by ben (arn:aws:")), "{marta:?}");
    assert_eq!(marta.code, Some(3));

    let function = desk.world.function()?;
    let second = desk.program(&resume).env("USER", "ben").spawn()?;
    let second = tokio::select! {
        ended = ended(second) => ended?,
        error = desk.drain(&function) => return Err(error),
    };
    assert!(second.says("4 delivered"), "{second:?}");
    second.with(0)?;
    signal(&first, "-CONT").await?;
    let first = ended(first).await?;
    assert!(first.says("ben (arn:aws:"), "{first:?}");
    assert!(first.says("continues or ended this plan in another process"), "{first:?}");
    assert_eq!(first.code, Some(5), "{first:?}");
    // Each event was sent once: the audit has one message of each, and the queue has no other message.
    let mut sent: Vec<String> = entries(&desk, &id, "sent")
        .await?
        .iter()
        .filter_map(|entry| Some(entry["key"].as_str()?.split('|').next()?.to_owned()))
        .collect();
    sent.sort();
    assert_eq!(sent, ids);
    assert_eq!(desk.depth(&desk.queue).await?, 0);
    assert_eq!(desk.delivered(), once(&ids));
    Ok(())
}

#[tokio::test]
async fn aborted_plan_is_refused_and_stays_in_the_bucket() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let id = share(&desk).await?;
    let abort = ["plans", "abort", &id, "--reason", "wrong target"];
    let dry = desk.run(&abort).await?;
    assert!(dry.says("would abort") && dry.says("nothing was changed: add --yes"), "{dry:?}");
    dry.with(0)?;
    let before = objects(&desk, "plans/").await?;
    let aborted = desk.run(&[&abort[..], &["--yes"]].concat()).await?;
    aborted.with(0)?;
    let after = objects(&desk, "plans/").await?;
    assert_eq!(after.len(), before.len() + 1, "nothing is deleted");
    for arguments in [
        &["apply", &id, "--yes"][..],
        &[&abort[..], &["--yes"]].concat(),
        &["plans", "take-over", &id, "--yes"],
    ] {
        let refused = desk.run(arguments).await?;
        assert!(refused.says("aborted by marta") && refused.says("wrong target"), "{refused:?}");
        assert_eq!(refused.code, Some(3), "{refused:?}");
    }
    assert_eq!(desk.depth(&desk.queue).await?, 0);
    Ok(())
}

#[tokio::test]
async fn edited_plan_is_shared_and_supersedes_the_first_one() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let id = share(&desk).await?;
    let patch = r#"[{"op":"replace","path":"/detail/eventBody/participantId","value":"x"}]"#;
    std::fs::write(desk.file("patch.json"), patch)?;
    let edit = ["--output", "json", "edit", &id, "--patch", "patch.json", "--reason", "fix"];
    let edited = desk.run(&edit).await?;
    let newer = edited.json()?["plan"].as_str().unwrap_or_default().to_owned();
    edited.with(0)?;
    for arguments in [&["apply", &id, "--yes"][..], &edit] {
        let refused = desk.run(arguments).await?;
        assert!(refused.says(&format!("was superseded by {newer}")), "{refused:?}");
        assert_eq!(refused.code, Some(3), "{refused:?}");
    }
    desk.run_beside_function(&["apply", &newer, "--yes"]).await?.with(0)?;
    Ok(())
}

#[tokio::test]
async fn shared_discard_and_restore_have_their_audits_in_the_bucket() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    let discard = ["--output", "json", "discard", "--reason", "test call", "--id", "e-1", "--yes"];
    let discarded = desk.run(&discard).await?;
    let id = discarded.json()?["plan"].as_str().unwrap_or_default().to_owned();
    discarded.with(0)?;
    assert_eq!(entries(&desk, &id, "closed").await?.len(), 1);
    let restore = ["--output", "json", "restore", "--reason", "by mistake", "--id", "e-1"];
    let planned = desk.run(&restore).await?.json()?;
    let restore = planned["plan"].as_str().unwrap_or_default();
    desk.run(&["apply", restore, "--yes"]).await?.with(0)?;
    let history = desk.run(&["history"]).await?.with(0)?;
    let kinds: Vec<&str> =
        history.lines().filter_map(|line| line.split("  ").nth(2)?.split(' ').next()).collect();
    assert_eq!(kinds[0], "restore", "{history}");
    assert!(history.contains("discard by marta") && history.contains("1 discarded of 1"));
    Ok(())
}
