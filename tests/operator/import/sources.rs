//! The sources of failed events: a subscription and archives.

use genesys_test_support::{Record, TestResult, conversation_event};
use mockito::Matcher;
use serde_json::json;

use super::{Office, page};

#[tokio::test]
async fn import_reads_a_subscription_by_page_and_waits_on_429() -> TestResult {
    let mut office = Office::open().await?;
    let mut genesys = mockito::Server::new_async().await;
    let _token = genesys
        .mock("POST", "/oauth/token")
        .with_body(r#"{"access_token":"t","expires_in":86400}"#)
        .create_async()
        .await;
    let path = "/api/v2/analytics/event-bridge/failed-events/sub-1";
    let at = |offset: u32| format!("{path}?limit=100&offset={offset}");
    let limited = genesys
        .mock("GET", at(0).as_str())
        .with_status(429)
        .with_header("retry-after", "1")
        .expect(1)
        .create_async()
        .await;
    let mut pages = Vec::new();
    for (offset, ids) in [(0, &["a", "b"][..]), (2, &["b", "c"]), (4, &[])] {
        pages.push(
            genesys
                .mock("GET", at(offset).as_str())
                .with_body(page(ids))
                .expect(1)
                .create_async()
                .await,
        );
    }
    office.world.set("GENESYS_API_BASE_URL", &genesys.url());
    office.world.set("GENESYS_LOGIN_BASE_URL", &genesys.url());
    let ran = office.import(&["--subscription", "sub-1", "--yes"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said = ran.json()?;
    assert_eq!([&said["queued"], &said["duplicates"]], [3, 1]);
    assert!(ran.stderr.contains("next attempt in 1 s"), "{ran:?}");
    assert_eq!(office.queued().await?.len(), 3);
    limited.assert_async().await;
    for page in pages {
        page.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn import_of_a_subscription_is_refused_without_the_api() -> TestResult {
    let office = Office::open().await?;
    let ran = office.import(&["--subscription", "sub-1"]).await?;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(
        ran.stderr.contains("only exists in the legacy sample API: use --file or --s3"),
        "{ran:?}"
    );
    Ok(())
}

#[tokio::test]
async fn import_reads_both_archive_formats_and_names_other_objects() -> TestResult {
    let mut office = Office::open().await?;
    let bucket = office.world.aws.create_bucket().await?;
    // An archived dead letter of ours, written by the function itself.
    office.world.set("ARCHIVE_BUCKET", &bucket);
    office.world.set("ARCHIVE_PREFIX", "archives/ours/");
    let malformed = Record::dead_letter("m-1", "own-1", "c-1").with("ERROR_CODE", "INVALID_JSON");
    office.world.deliver(&[malformed]).await?;
    let s3 = office.world.aws.s3();
    let tutorial = json!({
        "event_id": "e-2", "event_type": "t", "failure_code": "503", "failure_reason": "no answer", "stack_trace": null,
        "category": "transient", "original_payload": { "interactionId": "c-2" },
        "processing_metadata": {}, "archived_at": "2026-07-25T17:20:00Z",
    });
    for (key, body) in [
        ("archives/a.json", tutorial.to_string().into_bytes()),
        ("archives/b.json", b"{\"settings\":{}}".to_vec()),
        ("archives/c.bin", b"\xff\xfe".to_vec()),
        ("elsewhere/d.json", tutorial.to_string().into_bytes()),
    ] {
        s3.put_object().bucket(&bucket).key(key).body(body.into()).send().await?;
    }
    let ran = office.import(&["--s3", &format!("s3://{bucket}/archives/"), "--yes"]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = ran.json()?;
    assert_eq!([&said["found"], &said["queued"], &said["refused"]], [4, 2, 2]);
    for foreign in ["archives/b.json", "archives/c.bin"] {
        assert!(
            ran.stderr.contains(&format!("s3://{bucket}/{foreign}: neither a failed event")),
            "{ran:?}"
        );
    }
    let messages = office.queued().await?;
    let ours = messages.iter().find(|it| it.body == conversation_event("own-1", "c-1"));
    assert_eq!(ours.and_then(|it| it.attribute("ERROR_CODE")), Some("INVALID_JSON"));
    assert!(messages.iter().all(|it| it.replay_plan().is_none()));

    // Only the other event is delivered, because ours is finished in this deployment's ledger.
    office.replay(&messages).await?;
    assert_eq!(office.world.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn import_shrinks_pages_and_stops_at_an_invalid_cursor() -> TestResult {
    let mut office = Office::open().await?;
    let mut genesys = mockito::Server::new_async().await;
    genesys
        .mock("POST", "/oauth/token")
        .with_body(r#"{"access_token":"t","expires_in":86400}"#)
        .create_async()
        .await;
    let path = "/api/v2/analytics/event-bridge/failed-events/sub-1";
    let with_cursor = page(&["b"]).replacen('{', r#"{"next_page":"more","#, 1);
    for (query, body) in [
        // As for an answer above the size limit.
        ("limit=100&offset=0", r#"{"entities":[{"id":"#.to_owned()),
        (
            "limit=25&offset=0",
            page(&["a"]).replacen(
                '{',
                r#"{"nextUri":"https://elsewhere.example/x?cursor=more","#,
                1,
            ),
        ),
        ("limit=25&cursor=more", with_cursor),
    ] {
        genesys
            .mock("GET", format!("{path}?{query}").as_str())
            .with_body(body)
            .expect(1)
            .create_async()
            .await;
    }
    office.world.set("GENESYS_API_BASE_URL", &genesys.url());
    office.world.set("GENESYS_LOGIN_BASE_URL", &genesys.url());
    let ran = office.import(&["--subscription", "sub-1"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.json()?["fit"], 2);
    Ok(())
}

#[tokio::test]
async fn import_stops_at_repeated_pages_and_queues_their_events() -> TestResult {
    let path = "/api/v2/analytics/event-bridge/failed-events/sub-1?limit=100";
    let then = |ids: &[&str], cursor: &str| {
        page(ids).replacen('{', &format!(r#"{{"cursor":"{cursor}","#), 1)
    };
    let ignores_the_offset = [0, 2, 4, 6, 8, 10]
        .map(|offset| (format!("{path}&offset={offset}"), page(&["a", "b"]), 1))
        .to_vec();
    let cursors_in_a_circle = vec![
        (format!("{path}&offset=0"), then(&["a"], "two"), 1),
        (format!("{path}&cursor=one"), then(&["a"], "two"), 3),
        (format!("{path}&cursor=two"), then(&["b"], "one"), 3),
    ];
    for pages in [ignores_the_offset, cursors_in_a_circle] {
        let mut office = Office::open().await?;
        let mut genesys = mockito::Server::new_async().await;
        let login = genesys.mock("POST", "/oauth/token");
        let token = r#"{"access_token":"t","expires_in":86400}"#;
        login.with_body(token).create_async().await;
        for (page, body, times) in pages {
            let answers = genesys.mock("GET", page.as_str()).with_body(body);
            answers.expect(times).create_async().await;
        }
        // A request for more events fails.
        let more = Matcher::Any;
        let more = genesys.mock("GET", more).with_status(400).expect(0);
        let more = more.create_async().await;
        office.world.set("GENESYS_API_BASE_URL", &genesys.url());
        office.world.set("GENESYS_LOGIN_BASE_URL", &genesys.url());
        let ran = office.import(&["--subscription", "sub-1", "--yes"]).await?;
        more.assert_async().await;
        assert_eq!(ran.code, Some(4), "{ran:?}");
        assert_eq!(ran.json()?["queued"], 2);
        for said in [
            "2 events are on the queue",
            "the endpoint returns the same page repeatedly",
            "hint: all returned events were read",
        ] {
            assert!(ran.stderr.contains(said), "{said}: {ran:?}");
        }
        assert_eq!(office.queued().await?.len(), 2);
    }
    Ok(())
}

#[tokio::test]
async fn import_stops_at_its_page_limit_and_queues_the_events_before() -> TestResult {
    let mut office = Office::open().await?;
    let mut genesys = mockito::Server::new_async().await;
    let login = genesys.mock("POST", "/oauth/token");
    login.with_body(r#"{"access_token":"t","expires_in":86400}"#).create_async().await;
    // Each page has a new event and names another page.
    let pages = std::sync::atomic::AtomicU32::new(0);
    let endless = genesys.mock("GET", Matcher::Any).with_body_from_request(move |_| {
        let number = pages.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let body = page(&[&format!("e-{number}")]);
        body.replacen('{', &format!(r#"{{"cursor":"c-{number}","#), 1).into()
    });
    let endless = endless.expect(3).create_async().await;
    office.world.set("GENESYS_API_BASE_URL", &genesys.url());
    office.world.set("GENESYS_LOGIN_BASE_URL", &genesys.url());
    let import = ["--subscription", "sub-1", "--max-pages", "3", "--yes"];
    let ran = office.import(&import).await?;
    endless.assert_async().await;
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert_eq!(ran.json()?["queued"], 3);
    assert!(ran.stderr.contains("more than 3 pages") && ran.stderr.contains("--max-pages"));
    Ok(())
}
