//! The proxy of the environment.

use std::time::Duration;

use genesys_test_support::{LocalAws, TestResult, closed_port};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;

use crate::support::program::{program, run};

#[tokio::test]
async fn calls_of_every_command_use_the_proxy() -> TestResult {
    for (arguments, host) in [
        (&["report"][..], "CONNECT dynamodb."),
        (&["reconcile", "--queue", "dead-letters"], "CONNECT sqs."),
        (
            &["genesys", "replay", "--subscription", "s-1", "--id", "e-1", "--yes"],
            "CONNECT login.mypurecloud.de:",
        ),
        (&["diagnose", "--queue", "dead-letters"], "CONNECT sqs."),
        (&["doctor", "--function", "replay"], "CONNECT lambda."),
        (&["import", "--s3", "s3://bucket/"], "CONNECT bucket.s3."),
    ] {
        let proxy = TcpListener::bind("127.0.0.1:0").await?;
        let folder = tempfile::tempdir()?;
        let mut child = program(arguments)
            .env("HTTPS_PROXY", format!("http://{}", proxy.local_addr()?))
            .env("REPLAY_TARGET", "none")
            .env("GENESYS_REGION", "eu-central-1")
            .env("GENESYS_CLIENT_ID", "id")
            .env("GENESYS_CLIENT_SECRET", "hush")
            .current_dir(folder.path())
            .kill_on_drop(true)
            .spawn()?;
        let asked = async {
            loop {
                let (connection, _) = proxy.accept().await?;
                let mut line = String::new();
                BufReader::new(connection).read_line(&mut line).await?;
                if line.contains(host) {
                    return Ok::<_, std::io::Error>(line);
                }
            }
        };
        let line = tokio::time::timeout(Duration::from_secs(60), asked).await??;
        assert!(line.contains(":443 HTTP/1.1"), "{line}");
        child.kill().await?;
    }
    Ok(())
}

#[tokio::test]
async fn hosts_of_no_proxy_are_called_directly() -> TestResult {
    let aws = LocalAws::start().await?;
    let (_port, proxy) = closed_port()?;
    let endpoint = aws.endpoint();
    let variables = [
        ("IDEMPOTENCY_TABLE_NAME", aws.table.as_str()),
        ("HTTP_PROXY", proxy.as_str()),
        ("HTTPS_PROXY", proxy.as_str()),
        ("NO_PROXY", "127.0.0.1,localhost"),
    ];
    let ran = run(&variables, &["report", "--endpoint-url", &endpoint]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Ok(())
}
