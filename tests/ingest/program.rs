//! The real program as a server, with curl as the client and the local AWS.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;

use genesys_replay::digest;
use genesys_stand_in::Fault;
use genesys_test_support::ingest_harness::{Answer, SECRET, signature, wrapper};
use genesys_test_support::{HIDDEN_SECONDS, ReplayHarness, TestResult, are_documented, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::server::Server;

/// Returns the settings of a server with this queue, the stand-in and [`SECRET`].
pub(super) async fn settings(
    harness: &ReplayHarness,
    queue_arn: &str,
) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let url = harness.genesys.url();
    let settings = [
        ("REPLAY_QUEUE_URL", harness.aws.queue_url(queue_arn).await?),
        ("INGEST_SECRET", SECRET.to_owned()),
        ("GENESYS_API_BASE_URL", url.clone()),
        ("GENESYS_LOGIN_BASE_URL", url),
        ("GENESYS_CLIENT_ID", "demo-client".to_owned()),
        ("GENESYS_CLIENT_SECRET", "demo-secret".to_owned()),
    ];
    Ok(settings.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Sends a request with curl. Returns the status and the body of the response.
async fn curl(
    url: &str,
    headers: &[(&'static str, String)],
    body: &[u8],
) -> Result<(String, Value), Box<dyn Error>> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(body)?;
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "60"])
        .args(["--write-out", "\n%{http_code}", "--data-binary"])
        .arg(format!("@{}", file.path().display()));
    for (name, value) in headers {
        command.arg("--header").arg(format!("{name}: {value}"));
    }
    let output = command.arg(url).output().await?;
    let text = String::from_utf8(output.stdout)?;
    let failed = || format!("{text}: {}", String::from_utf8_lossy(&output.stderr));
    let (answer, status) = text.rsplit_once('\n').ok_or_else(failed)?;
    Ok((status.to_owned(), serde_json::from_str(answer).map_err(|_| failed())?))
}

#[tokio::test]
async fn requests_below_the_base_path_are_accepted() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("INGEST_BASE_PATH".to_owned(), "/hooks/genesys".to_owned());
    let server = Server::start(&settings, &harness.aws).await?;
    for (path, status) in [
        ("/hooks/genesys/dead-letter", "200"),
        ("/hooks/genesys/webhooks/genesys-outbound", "200"),
        ("/dead-letter", "200"),
        ("/hooks/genesys", "404"),
        ("/hooks/genesysdead-letter", "404"),
        ("/hooks/genesys/hooks/genesys/dead-letter", "404"),
        ("/hooks/dead-letter", "404"),
    ] {
        let body = if path.ends_with("outbound") {
            r#"{"campaignId":"c-1"}"#.to_owned()
        } else {
            wrapper("s-1", 2, r#"{"interactionId":"c-1"}"#)
        };
        let headers = signature(SECRET, &format!("msg-{path}").replace('/', "-"), 0, &body)?;
        let answer = curl(&server.url(path), &headers, body.as_bytes()).await?;
        assert_eq!(answer.0, status, "{path}: {}", answer.1);
    }
    assert_eq!(harness.aws.receive(&arn, HIDDEN_SECONDS).await?.len(), 3);
    let health = reqwest::get(server.url("/hooks/genesys/health")).await?;
    assert_eq!(health.status(), 200);
    Ok(())
}

#[tokio::test]
async fn request_by_curl_is_queued_and_logged_without_its_payload() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("AWS_LAMBDA_LOG_LEVEL".to_owned(), "TRACE".to_owned());
    let server = Server::start(&settings, &harness.aws).await?;
    harness.genesys.put_subscription("s-off", "INACTIVE");

    let event = r#"{"interactionId":"c-1","ani":"tel:+4930123456"}"#;
    let dead_letter = wrapper("s-1", 2, event);
    let webhook = r#"{"campaignId":"c-1","phone":"tel:+4930654321"}"#;
    let large = wrapper("s-1", 0, &format!("\"{}\"", "x".repeat(1_000_000)));
    let to_dead_letter = server.url("/dead-letter");
    let to_webhook = server.url("/webhooks/genesys-outbound");
    for (url, id, body, status) in [
        (&to_dead_letter, "msg-1", dead_letter.as_str(), "200"),
        (&to_webhook, "msg-2", webhook, "200"),
        (&to_webhook, "msg-3", "tel:+4930999999 is not json", "200"),
        (&to_dead_letter, "msg-4", &large, "200"),
        (&to_dead_letter, "msg-5", &wrapper("s-off", 0, event), "403"),
        (&to_dead_letter, "msg-6", &"x".repeat(1_100_000), "413"),
        (&to_dead_letter, "msg-7", "{\"eventType\":\"tel:+4930888888\"}", "400"),
    ] {
        let headers = signature(SECRET, id, 0, body)?;
        let answer = curl(url, &headers, body.as_bytes()).await?;
        assert_eq!(answer.0, status, "{id}: {}", answer.1);
    }
    let unsigned = [("content-type", "application/json".to_owned())];
    let answer = curl(&to_dead_letter, &unsigned, dead_letter.as_bytes()).await?;
    assert_eq!((answer.0.as_str(), &answer.1["code"]), ("401", &json!("INGEST_NOT_AUTHENTICATED")));

    let mut bodies: Vec<_> = harness
        .aws
        .receive(&arn, HIDDEN_SECONDS)
        .await?
        .into_iter()
        .filter_map(|message| message.body)
        .collect();
    bodies.sort_by_key(String::len);
    let mut expected = vec![
        dead_letter.clone(),
        webhook.to_owned(),
        "tel:+4930999999 is not json".to_owned(),
        large,
    ];
    expected.sort_by_key(String::len);
    assert!(bodies == expected, "{} bodies", bodies.len());

    let (success, printed) = server.end().await?;
    assert!(success);
    assert_eq!(printed.stderr, "");
    for secret in
        ["tel:+49", "whsec_", "Z2VuZXN5cy", "v1,", "demo-secret", "stand-in-token", "Bearer "]
    {
        assert!(!printed.stdout.contains(secret), "{secret} in {}", printed.stdout);
    }
    let event_id = format!("msg-1-{}", digest::short(event));
    log_has_the_outcome_of_each(&printed.lines()?, dead_letter.len(), &event_id)
}

/// Checks the log lines and the metrics of the requests.
fn log_has_the_outcome_of_each(lines: &[Value], letter_bytes: usize, event_id: &str) -> TestResult {
    are_documented(lines)?;
    let handled: Vec<_> =
        lines.iter().filter(|line| line["message"] == "request handled").collect();
    let statuses: Vec<_> =
        handled.iter().map(|line| line["status"].as_u64().unwrap_or(0)).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 403, 413, 400, 401]);
    let first = handled.first().ok_or("no line")?;
    for (field, value) in [
        ("route", json!("/dead-letter")),
        ("webhook_id", json!("msg-1")),
        ("event_id", json!(event_id)),
        ("subscription_id", json!("s-1")),
        ("retry_count", json!(2)),
        ("body_bytes", json!(letter_bytes)),
        ("level", json!("INFO")),
    ] {
        assert_eq!(first[field], value, "{field}");
    }
    assert_eq!(handled[2]["malformed"], "not_json");
    assert_eq!(
        (&handled[4]["problem"], &handled[4]["level"]),
        (&json!("INGEST_SUBSCRIPTION_REFUSED"), &json!("WARN"))
    );
    let metrics: Vec<_> = lines.iter().filter(|line| line.get("_aws").is_some()).collect();
    // One document on a fast machine, otherwise one per ten seconds.
    let sum = |metric: &str| -> u64 {
        let values = metrics.iter().filter_map(|it| it[metric].as_u64());
        values.sum()
    };
    for (metric, value) in [
        ("Requests", 8),
        ("Accepted", 4),
        ("Refused", 3),
        ("Unauthenticated", 1),
        ("Unavailable", 0),
        ("MalformedKept", 1),
    ] {
        assert_eq!(sum(metric), value, "{metric}");
    }
    // One token, and one lookup per subscription.
    assert_eq!(sum("GenesysCalls"), 3);
    Ok(())
}

#[tokio::test]
async fn fifo_queue_drops_a_duplicate_webhook() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(true).await?;
    let server = Server::start(&settings(&harness, &arn).await?, &harness.aws).await?;
    let webhook = r#"{"campaignId":"c-1"}"#;
    for id in ["w-1", "w-1", "w-2"] {
        let headers = signature(SECRET, id, 0, webhook)?;
        let url = server.url("/webhooks/genesys-outbound");
        let answer = curl(&url, &headers, webhook.as_bytes()).await?;
        assert_eq!(answer, ("200".to_owned(), json!({ "status": "accepted" })));
    }
    assert_eq!(harness.aws.receive(&arn, HIDDEN_SECONDS).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn rotated_secret_in_secrets_manager_needs_no_restart() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let secrets = aws_sdk_secretsmanager::Client::new(&harness.aws.config());
    let name = "ingest-secret";
    let create = secrets.create_secret().name(name).secret_string("not a secret");
    create.send().await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("INGEST_SECRET".to_owned(), String::new());
    settings.insert("INGEST_SECRET_ID".to_owned(), name.to_owned());
    settings.insert("SUBSCRIPTION_CHECK".to_owned(), "off".to_owned());
    let server = Server::start(&settings, &harness.aws).await?;
    let body = wrapper("s-1", 0, "[1]");
    let url = server.url("/dead-letter");
    let headers = signature(SECRET, "msg-1", 0, &body)?;
    let answer = curl(&url, &headers, body.as_bytes()).await?;
    assert_eq!(
        (answer.0.as_str(), &answer.1["code"]),
        ("503", &json!("INGEST_SECRET_UNAVAILABLE"))
    );
    let (_, printed) = server.end().await?;
    are_documented(&printed.lines()?)?;
    assert!(printed.stdout.contains("secret for signatures not read"));
    assert!(!printed.stdout.contains("not a secret"), "it is not quoted");

    let put = |text: &str| {
        let put = secrets.put_secret_value().secret_id(name);
        put.secret_string(text).send()
    };
    put(SECRET).await?;
    let server = Server::start(&settings, &harness.aws).await?;
    let url = server.url("/dead-letter");
    // A failed or slow read is repeated after 10 s.
    let is_accepted = async |secret: &str, id: &str| {
        eventually("the secret is read", async || {
            let headers = signature(secret, id, 0, &body)?;
            let answer = curl(&url, &headers, body.as_bytes()).await?;
            Ok((answer.0 == "200").then_some(()))
        })
        .await
    };
    is_accepted(SECRET, "msg-1").await?;
    let new = "whsec_YS1uZXdlci1zZWNyZXQtYW4tZXZlbi1sb25nZXItb25l";
    put(new).await?;
    is_accepted(new, "msg-2").await?;
    Ok(())
}

#[tokio::test]
async fn wrong_settings_stop_the_start_with_all_of_them_named() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let settings = [
        ("REPLAY_QUEUE_URL", "arn:aws:sqs:eu-central-1:271828182845:q"),
        ("INGEST_AUTH", "iam"),
        ("MAX_BODY_BYTES", "1048577"),
        ("LISTEN_ADDR", "localhost"),
        ("GENESYS_CLIENT_ID", "demo-client"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let started = Server::start(&settings.into(), &harness.aws).await;
    let printed = started.err().ok_or("it has started")?.to_string();
    assert_eq!(printed.lines().count(), 1, "one message: {printed}");
    for name in [
        "REPLAY_QUEUE_URL must be the https:// URL",
        "INGEST_AUTH must not be 'iam' outside of Lambda",
        "MAX_BODY_BYTES must be a whole number from 1024 to 1048576",
        "LISTEN_ADDR must be an IP address and a port",
        "GENESYS_REGION is missing",
        "GENESYS_CLIENT_SECRET is missing",
        "SUBSCRIPTION_CHECK=off",
    ] {
        assert!(printed.contains(name), "{name} in {printed}");
    }
    Ok(())
}

#[tokio::test]
async fn startup_refuses_a_password_in_the_queue_url() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    let url = settings["REPLAY_QUEUE_URL"].replace("http://", "http://someone:hush-hush@");
    settings.insert("REPLAY_QUEUE_URL".to_owned(), url);
    let printed = Server::start(&settings, &harness.aws).await.err().ok_or("it started")?;
    let printed = printed.to_string();
    let problem = "REPLAY_QUEUE_URL must not contain a user or a password";
    assert!(printed.contains(problem) && !printed.contains("hush"), "{printed}");
    Ok(())
}

#[tokio::test]
async fn startup_warns_when_the_queue_does_not_exist() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    for (suffix, is_missing) in [("", false), ("-missing", true)] {
        let url = format!("{}{suffix}", harness.aws.queue_url(&arn).await?);
        settings.insert("REPLAY_QUEUE_URL".to_owned(), url);
        let (_, printed) = Server::start(&settings, &harness.aws).await?.end().await?;
        let lines = printed.lines()?;
        are_documented(&lines)?;
        let text = "queue does not exist: every request is answered with 503";
        assert_eq!(lines.iter().any(|line| line["message"] == text), is_missing, "{lines:?}");
    }
    Ok(())
}

#[tokio::test]
async fn startup_warns_of_variables_that_are_not_settings() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("SQS_DLQ_URL".to_owned(), "https://sqs.example/1/q".to_owned());
    let (_, printed) = Server::start(&settings, &harness.aws).await?.end().await?;
    let lines = printed.lines()?;
    are_documented(&lines)?;
    let warned = lines.iter().find(|line| line["setting"] == "SQS_DLQ_URL");
    assert_eq!(warned.map(|line| &line["level"]), Some(&json!("WARN")));
    Ok(())
}

#[tokio::test]
async fn startup_warns_when_requests_are_not_authenticated() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("INGEST_AUTH".to_owned(), "none".to_owned());
    let server = Server::start(&settings, &harness.aws).await?;
    let (_, printed) = server.end().await?;
    let lines = printed.lines()?;
    are_documented(&lines)?;
    let warned = |setting: &str| {
        lines.iter().any(|line| line["level"] == "WARN" && line["setting"] == setting)
    };
    assert!(warned("INGEST_AUTH") && warned("REPLAY_QUEUE_URL"));
    Ok(())
}

#[tokio::test]
async fn rate_limit_of_genesys_cloud_is_forwarded_and_respected() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("INGEST_AUTH".to_owned(), "none".to_owned());
    let server = Server::start(&settings, &harness.aws).await?;
    let path = "/api/v2/integrations/";
    let limit = Fault::on("GET", path).status(429).header("Retry-After", "42").times(1);
    harness.genesys.fault(limit);
    let client = reqwest::Client::new();
    for id in ["s-1", "s-2", "s-3"] {
        let request = client
            .post(server.url("/dead-letter"))
            .header("content-type", "application/json")
            .body(wrapper(id, 0, "[1]"));
        let answer = Answer::of(request.send().await?).await?;
        assert_eq!(answer.status, 503, "{}", answer.text);
        let wait: u64 = answer.header("retry-after").unwrap_or_default().parse()?;
        assert!((1..=42).contains(&wait), "{wait}");
    }
    let asked = harness.genesys.calls_to("GET", path).len();
    assert_eq!(asked, 1, "no lookup before the end of the retry-after");
    assert!(harness.aws.receive(&arn, 0).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn incomplete_request_is_logged_when_the_sender_disconnects() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("INGEST_AUTH".to_owned(), "none".to_owned());
    let server = Server::start(&settings, &harness.aws).await?;
    let address = server.url("").trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await?;
    let head = "POST /dead-letter HTTP/1.1\r\nHost: i\r\nContent-Type: application/json\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    // A request with a response 100 is being handled.
    stream.read_exact(&mut [0; 25]).await?;
    stream.set_zero_linger()?;
    drop(stream);
    let (success, printed) = server.end().await?;
    assert!(success);
    let lines = printed.lines()?;
    let handled = lines.iter().find(|line| line["message"] == "request handled");
    let handled = handled.ok_or("no line")?;
    assert_eq!(handled["problem"], "INGEST_BODY_INCOMPLETE", "{handled}");
    Ok(())
}

#[tokio::test]
async fn subscription_is_unknown_when_genesys_cloud_refuses_its_id() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let arn = harness.aws.create_queue(false).await?;
    let mut settings = settings(&harness, &arn).await?;
    settings.insert("INGEST_AUTH".to_owned(), "none".to_owned());
    let server = Server::start(&settings, &harness.aws).await?;
    for (genesys, status) in [(400, 403), (403, 503)] {
        let answers = Fault::on("GET", "/api/v2/integrations/").status(genesys);
        harness.genesys.fault(answers.times(1));
        let request = reqwest::Client::new()
            .post(server.url("/dead-letter"))
            .header("content-type", "application/json")
            .body(wrapper("no.uuid", 0, "[1]"));
        let answer = Answer::of(request.send().await?).await?;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    Ok(())
}
