//! Requests that Genesys Cloud sends failed events again.

use std::error::Error;
use std::io::Write;

use genesys_test_support::TestResult;
use mockito::{Matcher, Mock, ServerGuard};
use serde_json::{Value, json};

use crate::support::program::{Ran, run};

const SECRET: &str = "hush-hush-hush";
const REPLAY: &str = "/api/v2/analytics/event-bridge/replay";

async fn genesys() -> ServerGuard {
    let mut server = mockito::Server::new_async().await;
    server
        .mock("POST", "/oauth/token")
        .with_body(r#"{"access_token":"a-token","expires_in":86400}"#)
        .create_async()
        .await;
    server
}

async fn replay(genesys: &ServerGuard, arguments: &[&str]) -> Result<Ran, Box<dyn Error>> {
    run_command(genesys, &["genesys", "replay"], arguments).await
}

async fn run_command(
    genesys: &ServerGuard,
    command: &[&str],
    arguments: &[&str],
) -> Result<Ran, Box<dyn Error>> {
    let url = genesys.url();
    let variables = [
        ("GENESYS_API_BASE_URL", url.as_str()),
        ("GENESYS_LOGIN_BASE_URL", &url),
        ("GENESYS_CLIENT_ID", "id"),
        ("GENESYS_CLIENT_SECRET", SECRET),
    ];
    let common = ["--output", "json", "--subscription", "sub-1"];
    let all = [command, &common, arguments].concat();
    let ran = run(&variables, &all).await?;
    assert!(!ran.says(SECRET) && !ran.says("a-token"), "{ran:?}");
    Ok(ran)
}

fn ids(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|id| format!("e-{id}")).collect()
}

/// The request for exactly these ids.
fn asked(genesys: &mut ServerGuard, ids: &[String]) -> Mock {
    let body = json!({ "subscriptionId": "sub-1", "eventIds": ids });
    genesys.mock("POST", REPLAY).match_body(Matcher::Json(body))
}

fn file(ids: &[String]) -> Result<tempfile::NamedTempFile, Box<dyn Error>> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(ids.join("\n").as_bytes())?;
    Ok(file)
}

fn counts(said: &Value) -> [Value; 4] {
    ["ids", "accepted", "failed", "left"].map(|name| said[name].clone())
}

#[tokio::test]
async fn replay_requests_each_id_once_in_requests_of_100() -> TestResult {
    let mut genesys = genesys().await;
    let all = ids(0..230);
    let mut requests = Vec::new();
    for chunk in all.chunks(100) {
        requests.push(asked(&mut genesys, chunk).with_body("{}").expect(1).create_async().await);
    }
    let file = file(&[&all[..], &all[5..9]].concat())?;
    let ran = replay(
        &genesys,
        &["--ids", file.path().to_str().ok_or("no text")?, "--id", "e-1", "--yes"],
    )
    .await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said = ran.json()?;
    assert_eq!(counts(&said), [230, 230, 0, 0]);
    assert_eq!([&said["duplicates"], &said["requests"]], [5, 3]);
    assert!(ran.stderr.contains("not followed in the ledger"), "{ran:?}");
    for request in requests {
        request.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn replay_has_its_former_name_too() -> TestResult {
    let mut genesys = genesys().await;
    let request = asked(&mut genesys, &ids(1..2)).with_body("{}").expect(1);
    let request = request.create_async().await;
    let former = ["replay", "--via", "genesys"];
    let ran = run_command(&genesys, &former, &["--id", "e-1", "--yes"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    request.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn replay_without_yes_makes_no_request() -> TestResult {
    let mut genesys = genesys().await;
    let none = genesys.mock("POST", Matcher::Any).expect(0).create_async().await;
    let ran = replay(&genesys, &["--id", "e-1", "--id", "e-2", "--id", "e-1"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said = ran.json()?;
    assert_eq!(
        [&said["dry_run"], &said["ids"], &said["duplicates"]],
        [&json!(true), &json!(2), &json!(1)]
    );
    none.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn replay_waits_for_the_rate_limit_and_names_refused_requests() -> TestResult {
    let mut genesys = genesys().await;
    let all = ids(0..250);
    let [first, second, third] = [&all[..100], &all[100..200], &all[200..]];
    let too_soon = asked(&mut genesys, first)
        .with_status(429)
        .with_header("retry-after", "1")
        .expect(1)
        .create_async()
        .await;
    let taken = asked(&mut genesys, first)
        .with_body(r#"{"failed":["e-7"]}"#)
        .expect(1)
        .create_async()
        .await;
    asked(&mut genesys, second)
        .with_status(400)
        .with_body(r#"{"code":"bad.request"}"#)
        .create_async()
        .await;
    asked(&mut genesys, third).with_status(202).create_async().await;
    let file = file(&all)?;
    let ran = replay(&genesys, &["--ids", file.path().to_str().ok_or("no text")?, "--yes"]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = ran.json()?;
    assert_eq!(counts(&said), [250, 149, 101, 0]);
    assert_eq!(said["refused_requests"][0]["request"], 2);
    assert_eq!(said["failed_ids"][0], "e-7");
    assert!(ran.stderr.contains("request 2 of 3"), "{ran:?}");
    assert!(ran.stderr.contains("bad.request"), "{ran:?}");
    too_soon.assert_async().await;
    taken.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn replay_stops_and_reports_progress_on_a_general_error() -> TestResult {
    let all = ids(0..150);
    for (status, code, said) in [
        (404, 3, "only exists in the legacy sample API"),
        (403, 4, "wrong region or credentials?"),
        (503, 4, "did not serve the POST of the replay"),
    ] {
        let mut genesys = genesys().await;
        asked(&mut genesys, &all[..100]).create_async().await;
        asked(&mut genesys, &all[100..]).with_status(status).expect(1).create_async().await;
        let file = file(&all)?;
        let ran =
            replay(&genesys, &["--ids", file.path().to_str().ok_or("no text")?, "--yes"]).await?;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
        assert!(
            ran.stderr.contains("100 accepted, 50 without an answer, starting with e-100"),
            "{ran:?}"
        );
        assert_eq!(counts(&ran.json()?), [150, 100, 0, 50]);
    }
    Ok(())
}

#[tokio::test]
async fn replay_refuses_invalid_ids() -> TestResult {
    let genesys = genesys().await;
    for (option, wrong, says) in [
        ("--ids", "no/such/file.txt", "cannot be read"),
        ("--ids", "mistyped", "cannot be read"),
        ("--id", "no/such/file.txt", "is not an event id"),
        ("--id", "two words", "is not an event id"),
    ] {
        let ran = replay(&genesys, &[option, wrong, "--yes"]).await?;
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.stderr.contains(says), "{ran:?}");
    }
    Ok(())
}
