//! The operator's page in a real browser.

use std::error::Error;
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay_cli::operator::page::{Chart, Fact, Page, Table};
use genesys_test_support::TestResult;
use serde_json::{Value, json};

use crate::support::browser::Browser;

const HOSTILE: &str = "</script><script>window.hacked = 1</script><img src=x onerror=\"window.hacked = 1\"><!-- `<b>` \u{2028}";

fn page(texts: &[&str], rows: usize) -> Page {
    let at = |minutes: u64| Timestamp::from_millis(1_785_000_000_000 + 60_000 * minutes);
    let bars = || texts.iter().zip(1..).map(|(text, count)| ((*text).to_owned(), count)).collect();
    let series = |text: &str| (text.to_owned(), (0..200).map(|it| (at(it * 10), it % 7)).collect());
    let row = |number: usize| {
        let text = texts[number % texts.len()];
        vec![
            at(u64::try_from(number).unwrap_or(0)).to_string(),
            text.to_owned(),
            number.to_string(),
        ]
    };
    Page {
        title: texts[0].to_owned(),
        generated_at: at(0),
        facts: texts
            .iter()
            .map(|text| Fact { name: (*text).to_owned(), value: (*text).to_owned() })
            .collect(),
        charts: vec![
            Chart::TimeLine {
                title: "When".to_owned(),
                series: texts.iter().map(|text| series(text)).collect(),
                step: Duration::from_secs(600),
            },
            Chart::Bars { title: "Why".to_owned(), bars: bars() },
        ],
        notes: texts.iter().map(|text| (*text).to_owned()).collect(),
        table: Some(Table {
            columns: ["Time", "Category", "Number"].map(str::to_owned).to_vec(),
            rows: (0..rows).map(row).collect(),
            notes: Vec::new(),
            left_out: 0,
            details: Vec::new(),
        }),
    }
}

async fn shown(browser: &Browser) -> Result<(u64, String), Box<dyn Error>> {
    let rows = "return [...document.querySelectorAll('tr.row')].filter((row) => row.checkVisibility()).length";
    let counter = "return document.querySelector('output').textContent";
    let rows = browser.script(rows).await?.as_u64().ok_or("no rows")?;
    let counter = browser.script(counter).await?;
    Ok((rows, counter.as_str().ok_or("no counter")?.to_owned()))
}

async fn column(browser: &Browser, index: usize) -> Result<Value, Box<dyn Error>> {
    let script = format!(
        "return [...document.querySelectorAll('tr.row')].map((row) => row.children[{index}].textContent)"
    );
    browser.script(&script).await
}

#[tokio::test]
#[ignore = "make test BROWSER=1 runs it: it needs Chromium and its driver"]
async fn page_makes_no_network_request_and_no_console_message() -> TestResult {
    let browser = Browser::showing(&page(&["one", "two"], 30).render()).await?;
    assert_eq!(shown(&browser).await?, (30, "30 of 30".to_owned()));
    assert_eq!(browser.log("browser").await?, Vec::<String>::new());
    let mut asked = Vec::new();
    for message in browser.log("performance").await? {
        let message: Value = serde_json::from_str(&message)?;
        let message = &message["message"];
        let from = message["params"]["documentURL"].as_str().unwrap_or_default();
        // Ignore the browser's own first page.
        if message["method"] == "Network.requestWillBeSent" && !from.starts_with("chrome:") {
            asked.push(message["params"]["request"]["url"].to_string());
        }
    }
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("file:///") && asked[0].contains("page.html"), "{asked:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "make test BROWSER=1 runs it: it needs Chromium and its driver"]
async fn page_shows_hostile_texts_without_running_them() -> TestResult {
    let mut page = page(&[HOSTILE, "{{data}}"], 4);
    if let Some(table) = &mut page.table {
        table.columns[1] = HOSTILE.to_owned();
        table.details = vec![Some(HOSTILE.to_owned()); 4];
    }
    let browser = Browser::showing(&page.render()).await?;
    assert_eq!(browser.script("return window.hacked ?? null").await?, Value::Null);
    assert_eq!(browser.script("return document.querySelectorAll('img').length").await?, json!(0));
    for selector in [
        "h1",
        "dt",
        "dd",
        ".bars span",
        ".legend span",
        "tr.row td:nth-child(2)",
        "th:nth-child(2) button",
        "pre",
    ] {
        let script = format!(
            "return [...document.querySelectorAll({selector:?})].map((it) => it.textContent)"
        );
        let texts = browser.script(&script).await?;
        let texts = texts.as_array().ok_or("no texts")?;
        assert!(texts.contains(&json!(HOSTILE)), "{selector}: {texts:?}");
    }
    assert_eq!(browser.script("return document.title").await?, json!(HOSTILE));
    assert_eq!(browser.log("browser").await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
#[ignore = "make test BROWSER=1 runs it: it needs Chromium and its driver"]
async fn page_blocks_injected_scripts() -> TestResult {
    let rendered = page(&["one"], 1).render();
    let broken = rendered.replace("</body>", "<script>window.hacked = 1</script></body>");
    let browser = Browser::showing(&broken).await?;
    assert_eq!(browser.script("return window.hacked ?? null").await?, Value::Null);
    let said = browser.log("browser").await?.join(" ");
    assert!(said.contains("Content Security Policy"), "{said}");
    Ok(())
}

#[tokio::test]
#[ignore = "make test BROWSER=1 runs it: it needs Chromium and its driver"]
async fn search_filters_rows_shows_the_count_and_updates_the_url() -> TestResult {
    let browser = Browser::showing(&page(&["alpha", "beta"], 10).render()).await?;
    browser.keys("#search", "BETA 2026").await?;
    assert_eq!(shown(&browser).await?, (5, "5 of 10".to_owned()));
    let address = browser.script("return location.href").await?;
    let address = address.as_str().ok_or("no address")?;
    assert!(address.ends_with("#search=BETA+2026"), "{address}");
    browser.visit("about:blank").await?;
    browser.visit(address).await?;
    assert_eq!(shown(&browser).await?, (5, "5 of 10".to_owned()));
    browser.keys("#search", "x").await?;
    assert_eq!(shown(&browser).await?, (0, "0 of 10".to_owned()));
    Ok(())
}

#[tokio::test]
#[ignore = "make test BROWSER=1 runs it: it needs Chromium and its driver"]
async fn columns_sort_by_click_and_keyboard_and_numbers_by_value() -> TestResult {
    let browser = Browser::showing(&page(&["a"], 12).render()).await?;
    let up: Vec<String> = (0..12).map(|it| it.to_string()).collect();
    let down: Vec<&String> = up.iter().rev().collect();
    let third = "th:nth-child(3)";
    let order = format!("return document.querySelector('.rows {third}').getAttribute('aria-sort')");
    browser.click(&format!(".rows {third} button")).await?;
    assert_eq!(browser.script(&order).await?, json!("ascending"));
    assert_eq!(column(&browser, 2).await?, json!(up));
    browser.keys(&format!(".rows {third} button"), "\u{e007}").await?;
    assert_eq!(browser.script(&order).await?, json!("descending"));
    assert_eq!(column(&browser, 2).await?, json!(down));
    Ok(())
}

#[tokio::test]
#[ignore = "make test BROWSER=1 runs it: it needs Chromium and its driver"]
async fn light_and_dark_themes_differ_and_are_readable() -> TestResult {
    let browser = Browser::showing(&page(&["a"], 3).render()).await?;
    let mut seen = Vec::new();
    for scheme in ["light", "dark"] {
        // Without motion, because otherwise colours are read during their transition.
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        browser.chromium("Emulation.setEmulatedMedia", features).await?;
        let contrast = browser.script(CONTRAST).await?;
        let contrast = contrast.as_f64().ok_or("no contrast")?;
        assert!(contrast >= 4.5, "{scheme}: {contrast}");
        seen.push(browser.script("return getComputedStyle(document.body).backgroundColor").await?);
    }
    assert_ne!(seen[0], seen[1]);
    Ok(())
}

/// The minimum contrast of texts with their background, as defined by WCAG.
const CONTRAST: &str = r"
const light = (color) => {
  const [r, g, b] = color.match(/[\d.]+/g).map(Number).map((it) => it / 255).map((it) => it <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (it) => { const color = getComputedStyle(it).backgroundColor; return color === 'rgba(0, 0, 0, 0)' ? behind(it.parentElement) : color; };
return Math.min(...[...document.querySelectorAll('h1, h2, p, dt, dd, td, th button, output, summary, .scale, .ends, .bars small')].map((it) => {
  const [a, b] = [light(getComputedStyle(it).color), light(behind(it))].sort((a, b) => b - a);
  return (a + 0.05) / (b + 0.05);
}));";

#[tokio::test]
#[ignore = "make test BROWSER=1 runs it: it needs Chromium and its driver"]
async fn page_fits_a_phone_without_horizontal_scroll() -> TestResult {
    let long = "x".repeat(600);
    let arn =
        "arn:aws:lambda:eu-central-1:271828182845:function:a-function-with-a-rather-long-name";
    let browser = Browser::showing(&page(&[arn, &long], 6).render()).await?;
    for width in [390, 1280] {
        let metrics =
            json!({ "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500 });
        browser.chromium("Emulation.setDeviceMetricsOverride", metrics).await?;
        let needed =
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.script(needed).await?, json!(0), "{width}");
        assert_eq!(browser.script("return innerWidth").await?, json!(width));
    }
    Ok(())
}

#[tokio::test]
#[ignore = "make test BROWSER=1 runs it: it needs Chromium and its driver"]
async fn columns_of_a_diagnosis_fit_1280_pixels() -> TestResult {
    let columns =
        "Happened,Category,Event type,Target,Interaction,Event,Failure code,Ledger,Receives,Next";
    let target =
        "arn:aws:lambda:eu-central-1:271828182845:function:a-function-with-a-rather-long-name";
    let rule = "arn:aws:events:eu-central-1:271828182845:rule/aws.partner/genesys.com/cloud/forward-to-crm";
    let row = [
        "2026-07-25T17:20:00Z",
        "AUTHENTICATION_REJECTED",
        "v2.detail.events.conversation.{id}.customer.end",
        target,
        "f3ebf024-0c96-4929-9a1c-210feb673958",
        "bb8d0e80-4815-484d-b7ce-91a20ff046ec",
        "FAILED_AFTER_ACCEPTANCE",
        "IN_PROGRESS",
        "102",
        "ACKNOWLEDGE",
    ];
    let mut page = page(&["a"], 0);
    page.table = Some(Table {
        columns: columns.split(',').map(str::to_owned).collect(),
        rows: vec![row.map(str::to_owned).to_vec(); 3],
        notes: vec![vec![("Error", "x".repeat(300)), ("Rule", rule.to_owned())]; 3],
        left_out: 0,
        details: vec![Some("{}".to_owned()); 3],
    });
    let browser = Browser::showing(&page.render()).await?;
    let metrics = json!({ "width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": false });
    browser.chromium("Emulation.setDeviceMetricsOverride", metrics).await?;
    let fits = "return document.scrollingElement.scrollWidth <= innerWidth";
    assert_eq!(browser.script(fits).await?, json!(true));
    // A column that is only reached by scrolling inside the table is cut as well.
    let cut =
        "const it = document.querySelector('.scroll'); return it.scrollWidth - it.clientWidth";
    assert_eq!(browser.script(cut).await?, json!(0));
    let shown = "return document.querySelectorAll('tr.detail p').length";
    assert_eq!(browser.script(shown).await?, json!(6));
    browser.keys("#search", "forward-to-crm").await?;
    assert_eq!(crate::browser::shown(&browser).await?, (3, "3 of 3".to_owned()));
    Ok(())
}

#[tokio::test]
#[ignore = "make test BROWSER=1 runs it: it needs Chromium and its driver"]
async fn page_loads_and_searches_5000_rows() -> TestResult {
    let browser = Browser::showing(&page(&["alpha", "beta"], 5_000).render()).await?;
    assert_eq!(shown(&browser).await?, (5_000, "5,000 of 5,000".to_owned()));
    browser.keys("#search", "alpha").await?;
    assert_eq!(shown(&browser).await?, (2_500, "2,500 of 5,000".to_owned()));
    Ok(())
}

#[tokio::test]
#[ignore = "make test BROWSER=1 runs it: it needs Chromium and its driver"]
async fn payloads_are_shown_only_when_given_and_closed_at_first() -> TestResult {
    let mut page = page(&["a"], 2);
    let count = "return document.querySelectorAll('.rows details').length";
    let browser = Browser::showing(&page.render()).await?;
    assert_eq!(browser.script(count).await?, json!(0));
    drop(browser);
    if let Some(table) = &mut page.table {
        table.details = vec![None, Some("{ \"ani\": 1 }".to_owned())];
    }
    let browser = Browser::showing(&page.render()).await?;
    assert_eq!(browser.script(count).await?, json!(1));
    let visible = "return document.querySelector('pre').checkVisibility()";
    assert_eq!(browser.script(visible).await?, json!(false));
    browser.click(".rows summary").await?;
    assert_eq!(browser.script(visible).await?, json!(true));
    Ok(())
}
