//! Wrong input of the commands about shared plans: each has a clear error with a hint.

use genesys_replay_cli::app;
use genesys_replay_cli::plan_store::PlanStore;
use genesys_test_support::{TestResult, aws_at};
use mockito::{Matcher, Server, ServerGuard};

use super::super::plan::with_archived;
use super::{objects, share};
use crate::support::harness::{OperatorHarness, ended};
use crate::support::program::{Ran, run};

async fn put(desk: &OperatorHarness, key: &str, content: &str) -> TestResult {
    let call = desk.world.aws.s3().put_object().bucket(&desk.bucket).key(key);
    call.body(content.as_bytes().to_vec().into()).send().await?;
    Ok(())
}

fn refused(ran: &Ran, says: &[&str]) {
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("hint: "), "{ran:?}");
    for text in says {
        assert!(ran.says(text), "{text}: {ran:?}");
    }
}

#[tokio::test]
async fn bucket_without_plans_is_an_empty_list() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let list = desk.run(&["plans", "list"]).await?.with(0)?;
    assert_eq!(list, format!("no shared plans in s3://{}/plans/\n", desk.bucket));
    let history = desk.run(&["history"]).await?.with(0)?;
    assert_eq!(history, "no run of a shared plan in this time\n");
    let none = desk.run(&["apply", "plan-2026"]).await?;
    refused(&none, &["no shared plan begins with plan-2026", "plans list"]);
    Ok(())
}

#[tokio::test]
async fn foreign_objects_are_named_and_skipped() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let id = share(&desk).await?;
    put(&desk, "plans/holiday.txt", "x").await?;
    put(&desk, "plans/plan-2025/plan.json", "{}").await?;
    let list = desk.run(&["plans", "list"]).await?;
    for text in ["plans/holiday.txt is not part of a shared plan", &id, "not applied"] {
        assert!(list.says(text), "{text}: {list:?}");
    }
    list.with(0)?;
    let show = desk.run(&["plans", "show", "plan-2025"]).await?;
    refused(&show, &["plans/plan-2025/plan.json is not part of a shared plan"]);
    Ok(())
}

#[tokio::test]
async fn ambiguous_id_is_refused_with_the_list() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let ids = [share(&desk).await?, "plan-20200101000000-00000000".to_owned()];
    put(&desk, &format!("plans/{}/plan.json", ids[1]), "{}").await?;
    let ran = desk.run(&["apply", "plan-20"]).await?;
    refused(&ran, &["2 shared plans begin with plan-20", &ids[0], &ids[1]]);
    Ok(())
}

#[tokio::test]
async fn damaged_plan_is_refused_and_stays_out_of_the_list() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let id = share(&desk).await?;
    let key = format!("plans/{id}/plan.json");
    let plan = objects(&desk, &key).await?.remove(0).1;
    put(&desk, &key, &plan.replace("the CRM was down", "another reason")).await?;
    for arguments in [&["apply", &id, "--yes"][..], &["plans", "show", &id]] {
        let ran = desk.run(arguments).await?;
        refused(&ran, &["does not match the hash", "make a new plan"]);
    }
    put(&desk, &key, "{}").await?;
    put(&desk, &format!("plans/{id}/overview.json"), "{}").await?;
    let list = desk.run(&["plans", "list"]).await?;
    assert!(list.says(&format!("warning: {id} cannot be read: ")), "{list:?}");
    assert_eq!(list.code, Some(1), "{list:?}");
    Ok(())
}

#[tokio::test]
async fn damaged_audit_is_refused_by_each_command() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let id = share(&desk).await?;
    desk.run_beside_function(&["apply", &id, "--yes"]).await?.with(0)?;
    let parts = objects(&desk, &format!("plans/{id}/audit/")).await?;
    put(&desk, &parts[0].0, "x").await?;
    for arguments in [&["apply", &id, "--yes", "--resume"][..], &["plans", "show", &id]] {
        refused(&desk.run(arguments).await?, &["00000001.jsonl is damaged", "older version"]);
    }
    let history = desk.run(&["history"]).await?;
    assert!(history.says(&format!("warning: {id} cannot be read")), "{history:?}");
    assert_eq!(history.code, Some(1));
    Ok(())
}

#[tokio::test]
async fn plan_of_another_queue_is_refused() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let id = share(&desk).await?;
    let other = desk.world.aws.create_queue(false).await?;
    let ran = desk.run(&["apply", &id, "--yes", "--queue", &other]).await?;
    refused(&ran, &["the plan is for the queue", "name the plan's queue"]);
    assert!(objects(&desk, &format!("plans/{id}/audit/")).await?.is_empty(), "nothing is begun");
    Ok(())
}

#[tokio::test]
async fn shared_plan_is_refused_without_a_bucket() -> TestResult {
    let mut desk = OperatorHarness::open().await?;
    desk.world.set("ARCHIVE_BUCKET", "");
    for arguments in
        [&["plans", "list"][..], &["apply", "plan-2026"], &["plan", "--shared", "--reason", "x"]]
    {
        let ran = desk.run(arguments).await?;
        refused(&ran, &["shared plans are in the bucket of the archive", "ARCHIVE_BUCKET"]);
    }
    Ok(())
}

#[tokio::test]
async fn archive_in_the_folder_of_plans_is_refused() -> TestResult {
    let mut desk = OperatorHarness::open().await?;
    desk.world.set("ARCHIVE_PREFIX", "plans/dead/");
    let ran = desk.run(&["plan", "--reason", "x"]).await?;
    refused(&ran, &["plans/dead/ is in the folder of shared plans", "set an ARCHIVE_PREFIX"]);
    Ok(())
}

/// Returns a server that answers each call with this error.
async fn refusing(code: &str) -> ServerGuard {
    let mut server = Server::new_async().await;
    let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
    for method in ["GET", "PUT", "POST"] {
        let mock = server.mock(method, Matcher::Any).with_status(403).with_body(&body);
        mock.create_async().await;
    }
    server
}

#[tokio::test]
async fn missing_permission_is_named() -> TestResult {
    let server = refusing("AccessDenied").await;
    let store = app::plan_store(&aws_at(&server.url()), "plans-bucket");
    let errors = [
        store.list("plans/").await.err(),
        store.get("plans/a", 1).await.err(),
        store.put_new("plans/a", Vec::new()).await.err(),
    ];
    let permissions = ["s3:ListBucket", "s3:GetObject", "s3:PutObject"];
    for (error, permission) in errors.into_iter().zip(permissions) {
        let error = error.ok_or(permission)?.to_string();
        let says = format!("({permission}): AWS denies the permission");
        assert!(error.contains(&says), "{error}");
    }
    let url = server.url();
    let variables = [("AWS_ENDPOINT_URL", url.as_str()), ("ARCHIVE_BUCKET", "plans-bucket")];
    let ran = run(&variables, &["plans", "list"]).await?;
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.says("(s3:ListBucket): AWS denies") && ran.says("hint: "), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn author_is_the_name_when_the_identity_is_denied() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let server = refusing("AccessDenied").await;
    for (user, author) in [("marta", "marta"), ("", "unknown")] {
        let plan = ["plan", "--reason", "x", "--out", &format!("{author}.json")];
        let mut program = desk.program(&plan);
        program.env("USER", user).env("AWS_ENDPOINT_URL_STS", server.url());
        let ran = ended(program.spawn()?).await?;
        assert!(ran.says("warning: reading the AWS identity (sts:GetCallerIdentity)"), "{ran:?}");
        ran.with(0)?;
        let plan = desk.document(&format!("{author}.json"))?;
        assert_eq!(plan["content"]["created_by"], author);
    }
    Ok(())
}

#[tokio::test]
async fn wrong_clock_is_named_by_its_remedy() -> TestResult {
    let server = refusing("RequestTimeTooSkewed").await;
    let url = server.url();
    let variables = [("AWS_ENDPOINT_URL", url.as_str()), ("ARCHIVE_BUCKET", "plans-bucket")];
    let ran = run(&variables, &["plans", "list"]).await?;
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.says("set the clock of this computer"), "{ran:?}");
    Ok(())
}
