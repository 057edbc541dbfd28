//! The written files: complete, readable by their owner only, and payloads only in the right places.

use std::collections::BTreeMap;
use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use genesys_test_support::{Record, TestResult, conversation_event};

use super::run::OperatorHarness;

fn mode(path: &Path) -> Result<u32, Box<dyn Error>> {
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
}

#[tokio::test]
async fn diagnose_page_has_payloads_only_with_the_option() -> TestResult {
    let desk = OperatorHarness::new().await?;
    desk.put(&Record::dead_letter("m", "e-1", "c-1")).await?;
    let done = desk.diagnose(&["--html", "page.html"]).await?;
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let page = std::fs::read_to_string(desk.path("page.html"))?;
    for text in ["e-1", "ENDPOINT_UNREACHABLE", "c-1", "/targets/crm"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("+4930123456"));
    desk.diagnose(&["--html", "page.html", "--payloads"]).await?;
    let page = std::fs::read_to_string(desk.path("page.html"))?;
    assert!(page.contains("+4930123456"));
    for file in ["page.html", "eventbridge_diagnostics.json"] {
        assert_eq!(mode(&desk.path(file))?, 0o600, "{file}");
    }
    Ok(())
}

#[tokio::test]
async fn diagnose_saves_payloads_byte_for_byte() -> TestResult {
    let desk = OperatorHarness::new().await?;
    let event = conversation_event("e-1", "c-1");
    desk.put(&Record::dead_letter("m", "e-1", "c-1")).await?;
    desk.put(&Record::dead_letter("m", "e-1", "c-1")).await?;
    desk.put(&Record::dead_letter("m", "../../etc/passwd", "c-1")).await?;
    desk.put(&Record::new("m", "kein Ereignis: é 語")).await?;
    let binary = Record::new("m", "//4AAQ==")
        .with("Origin", "ingest/webhook")
        .with("Malformed", "not_utf8")
        .with("BodyEncoding", "base64");
    desk.put(&binary).await?;
    let done = desk.diagnose(&["--save", "new/payloads"]).await?;
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let folder = desk.path("new/payloads");
    assert_eq!(mode(&folder)?, 0o700);
    let mut saved = BTreeMap::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        assert_eq!(mode(&path)?, 0o600);
        let name = path.file_name().ok_or("no name")?.to_string_lossy().into_owned();
        assert!(name.chars().all(|it| it.is_ascii_alphanumeric() || "-_.".contains(it)), "{name}");
        saved.insert(name, std::fs::read(&path)?);
    }
    let expected: [&[u8]; 5] = [
        event.as_bytes(),
        event.as_bytes(),
        &conversation_event("../../etc/passwd", "c-1").into_bytes(),
        "kein Ereignis: é 語".as_bytes(),
        &[0xff, 0xfe, 0x00, 0x01],
    ];
    let mut expected: Vec<Vec<u8>> = expected.iter().map(|it| it.to_vec()).collect();
    let mut found: Vec<Vec<u8>> = saved.values().cloned().collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(saved.keys().filter(|name| name.starts_with("e-1-")).count(), 2);
    assert_eq!(saved.keys().filter(|name| name.rsplit('.').next() == Some("bin")).count(), 1);
    let records = desk.records()?;
    let records = records["records"].as_array().ok_or("no list")?;
    let encoded = records.iter().find(|it| it["payloadEncoding"] == "base64");
    assert_eq!(encoded.ok_or("lost")?["replayPayload"], "//4AAQ==");
    Ok(())
}

#[tokio::test]
async fn diagnose_refuses_a_nonempty_folder_before_receiving() -> TestResult {
    let desk = OperatorHarness::new().await?;
    desk.put(&Record::dead_letter("m", "e-1", "c-1")).await?;
    std::fs::create_dir(desk.path("saved"))?;
    std::fs::write(desk.path("saved/earlier.json"), "{}")?;
    let done = desk.diagnose(&["--save", "saved"]).await?;
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("is not empty"), "{}", done.stderr);
    assert_eq!(desk.shown().await?, ["1"]);
    assert_eq!(desk.files()?, ["saved"]);
    Ok(())
}

#[tokio::test]
async fn diagnose_refuses_an_unwritable_path_before_receiving() -> TestResult {
    let desk = OperatorHarness::new().await?;
    desk.put(&Record::dead_letter("m", "e-1", "c-1")).await?;
    for arguments in [["--out", "no/such/folder.json"], ["--html", "."]] {
        let done = desk.diagnose(&arguments).await?;
        assert_eq!(done.code, Some(3), "{}", done.stderr);
    }
    assert_eq!(desk.shown().await?, ["1"]);
    assert_eq!(desk.files()?, Vec::<String>::new());
    Ok(())
}
