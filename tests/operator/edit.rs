//! `edit`: a new plan with changed bodies.

use genesys_test_support::{Record, TestResult, conversation_event};
use serde_json::{Value, json};

use super::apply::{APPLY, once};
use super::plan::{archive_records, plan, with_archived};

const PATCH: &str =
    r#"[{"op":"replace","path":"/detail/eventBody/participantId","value":"caller-2"}]"#;

#[tokio::test]
async fn edit_shows_a_diff_and_supersedes_the_plan() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    let before = plan(&desk, &[]).await?;
    std::fs::write(desk.file("patch.json"), PATCH)?;
    let edit = [
        "edit",
        "plan.json",
        "--patch",
        "patch.json",
        "--id",
        "e-1",
        "--reason",
        "wrong caller",
        "--out",
        "fixed.json",
    ];
    let edited = desk.run(&edit).await?;
    assert!(
        edited.stdout.contains(
            "-      \"participantId\": \"caller-1\"\n+      \"participantId\": \"caller-2\""
        ),
        "{edited:?}"
    );
    edited.with(0)?;
    let after = desk.document("fixed.json")?;
    assert_eq!(after["content"]["edit_of"], before["id"]);
    assert_eq!(desk.document("plan.json")?["superseded_by"], after["id"]);

    for arguments in [&APPLY[..], &["apply", "plan.json"], &edit] {
        let refused = desk.run(arguments).await?;
        assert_eq!(refused.code, Some(3));
        assert!(refused.stderr.contains("was superseded by"), "{refused:?}");
    }
    desk.world.genesys.clear_calls();
    let done =
        desk.run_beside_function(&["apply", "fixed.json", "--yes", "--rate", "1000"]).await?;
    done.with(0)?;
    assert_eq!(desk.delivered(), once(&["e-1", "e-2"]));
    for call in desk.world.genesys.calls_to("POST", "/targets/") {
        let body: Value = serde_json::from_str(&call.body)?;
        let caller = if body["id"] == "e-1" { "caller-2" } else { "caller-1" };
        assert_eq!(body["detail"]["eventBody"]["participantId"], caller);
    }
    Ok(())
}

#[tokio::test]
async fn edit_changes_no_plan_when_the_patch_does_not_fit() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    let before = desk.read("plan.json")?;
    for (patch, says) in [
        (r#"[{"op":"replace","path":"/none","value":1}]"#, "does not fit"),
        (r#"[{"op":"replace","path":"/id","value":"e-9"}]"#, "the event's id or target"),
        (r#"{"op":"none"}"#, "not a JSON Patch"),
    ] {
        std::fs::write(desk.file("patch.json"), patch)?;
        let refused =
            desk.run(&["edit", "plan.json", "--patch", "patch.json", "--reason", "x"]).await?;
        assert_eq!(refused.code, Some(3), "{refused:?}");
        assert!(refused.stderr.contains(says), "{refused:?}");
        let names_option = refused.stderr.contains("--skip-unfit");
        assert_eq!(names_option, says == "does not fit", "{refused:?}");
        assert_eq!(desk.read("plan.json")?, before);
        assert!(!desk.file("plan-edited.json").exists());
    }
    Ok(())
}

#[tokio::test]
async fn edit_can_change_a_body_twice() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    std::fs::write(desk.file("patch.json"), PATCH)?;
    let second = r#"[{"op":"replace","path":"/detail/eventBody/ani","value":"withheld"}]"#;
    std::fs::write(desk.file("second.json"), second)?;
    for (from, patch, to) in
        [("plan.json", "patch.json", "once.json"), ("once.json", "second.json", "twice.json")]
    {
        let edit = ["edit", from, "--patch", patch, "--reason", "x", "--out", to];
        desk.run(&edit).await?.with(0)?;
    }
    desk.world.genesys.clear_calls();
    let done =
        desk.run_beside_function(&["apply", "twice.json", "--yes", "--rate", "1000"]).await?;
    done.with(0)?;
    let call = desk.world.genesys.calls_to("POST", "/targets/").remove(0);
    let body: Value = serde_json::from_str(&call.body)?;
    assert_eq!(body["detail"]["eventBody"]["participantId"], "caller-2");
    assert_eq!(body["detail"]["eventBody"]["ani"], "withheld");
    Ok(())
}

#[tokio::test]
async fn edit_leaves_out_unfit_dead_letters_when_asked() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    // Its number would change when the body is written again, and a text has no members.
    let number =
        conversation_event("e-3", "c-3").replacen('{', "{\"n\":1234567890123456789012,", 1);
    let records = [("m-3", number.as_str()), ("m-4", "\"a text\"")].map(|(id, body)| {
        let target = format!("{}/targets/crm", desk.world.genesys.url());
        Record::new(id, body).with("TARGET_ARN", &target).with("ERROR_CODE", "TIMEOUT")
    });
    archive_records(&desk, &records).await?;
    plan(&desk, &[]).await?;
    std::fs::write(desk.file("patch.json"), PATCH)?;
    let edit = ["edit", "plan.json", "--patch", "patch.json", "--reason", "x", "--out", "new.json"];
    let refused = desk.run(&edit).await?;
    assert!(refused.stderr.contains("--skip-unfit"), "{refused:?}");
    refused.with(3)?;
    let edited = desk.run(&[&edit[..], &["--skip-unfit"]].concat()).await?;
    for says in [
        "left out: 2 dead letters",
        "the number 1234567890123456789012 in the body would change",
        "m-4|",
        ": 2 dead letters, 2 of them changed",
    ] {
        assert!(edited.stdout.contains(says), "{says}: {edited:?}");
    }
    edited.with(0)?;
    let content = &desk.document("new.json")?["content"];
    let left_out: Vec<Value> = content["left_out"].as_array().cloned().unwrap_or_default();
    let number =
        left_out.iter().find(|it| it["reason"] == "the edit: a number in the body would change");
    assert_eq!(
        number.map(|it| (&it["count"], &it["examples"][0])),
        Some((&json!(1), &json!("e-3")))
    );
    assert_eq!(left_out.iter().filter_map(|it| it["count"].as_u64()).sum::<u64>(), 2);
    desk.world.genesys.clear_calls();
    let apply = ["apply", "new.json", "--yes", "--rate", "1000"];
    desk.run_beside_function(&apply).await?.with(0)?;
    assert_eq!(desk.delivered(), once(&["e-1", "e-2"]));
    Ok(())
}

#[tokio::test]
async fn edit_is_refused_when_the_patch_fits_no_dead_letter() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    std::fs::write(desk.file("patch.json"), r#"[{"op":"test","path":"/id","value":"other"}]"#)?;
    let edit = ["edit", "plan.json", "--patch", "patch.json", "--reason", "x", "--skip-unfit"];
    let refused = desk.run(&edit).await?;
    assert!(refused.stderr.contains("the patch fits none of 1 dead letter"), "{refused:?}");
    assert!(refused.stderr.contains("  e-1|"), "{refused:?}");
    refused.with(3)?;
    assert!(!desk.file("plan-edited.json").exists());
    Ok(())
}
