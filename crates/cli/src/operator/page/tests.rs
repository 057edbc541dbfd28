use super::*;

const HOSTILE: &str = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> & \" ' \\ \u{2028}\u{2029} {{data}}";

fn page(text: &str) -> Page {
    Page {
        title: text.to_owned(),
        generated_at: Timestamp::from_millis(1_785_000_000_000),
        facts: vec![Fact { name: text.to_owned(), value: text.to_owned() }],
        charts: vec![
            Chart::Bars { title: text.to_owned(), bars: vec![(text.to_owned(), 3)] },
            Chart::TimeLine {
                title: text.to_owned(),
                series: vec![(text.to_owned(), vec![(Timestamp::from_millis(7), 2)])],
                step: Duration::from_mins(10),
            },
        ],
        notes: vec![text.to_owned()],
        table: Some(Table {
            columns: vec![text.to_owned()],
            rows: vec![vec![text.to_owned()]],
            notes: vec![vec![("Rule", text.to_owned())]],
            left_out: 4,
            details: vec![Some(text.to_owned())],
        }),
    }
}

fn between<'t>(text: &'t str, open: &str, close: &str) -> Option<&'t str> {
    Some(text.split_once(open)?.1.split_once(close)?.0)
}

#[test]
fn page_data_cannot_end_its_element_or_open_a_comment() -> Result<(), &'static str> {
    let rendered = page(HOSTILE).render();
    let plain = page("harmless").render();
    for mark in ["<script", "</script", "<!--", "<img"] {
        let [found, expected] = [&rendered, &plain].map(|page| page.matches(mark).count());
        assert_eq!(found, expected, "{mark}");
    }
    let data = between(&rendered, "id=\"data\">", "</script>").ok_or("no data")?;
    let has_mark = data.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
    assert!(!has_mark, "{data}");
    Ok(())
}

#[test]
fn page_data_is_read_back_unchanged() -> Result<(), Box<dyn std::error::Error>> {
    let rendered = page(HOSTILE).render();
    let data = between(&rendered, "id=\"data\">", "</script>").ok_or("no data")?;
    let data: Value = serde_json::from_str(data)?;
    for place in [
        "/title",
        "/facts/0/0",
        "/facts/0/1",
        "/charts/0/title",
        "/charts/0/bars/0/0",
        "/charts/1/series/0/0",
        "/notes/0",
        "/table/columns/0",
        "/table/rows/0/0",
        "/table/notes/0/0/1",
        "/table/details/0",
    ] {
        assert_eq!(data.pointer(place), Some(&json!(HOSTILE)), "{place}");
    }
    assert_eq!(data.pointer("/charts/1/series/0/1"), Some(&json!([[7, 2]])));
    assert_eq!(data.pointer("/charts/1/step"), Some(&json!(600_000)));
    assert_eq!(data.pointer("/table/leftOut"), Some(&json!(4)));
    Ok(())
}

#[test]
fn page_title_is_escaped() -> Result<(), &'static str> {
    let rendered = page("</title><b>&").render();
    let title = between(&rendered, "<title>", "</title>").ok_or("no title")?;
    assert_eq!(title, "&lt;/title&gt;&lt;b&gt;&amp;");
    Ok(())
}

#[test]
fn page_policy_allows_only_its_script_and_style() -> Result<(), &'static str> {
    let rendered = page("a").render();
    let policy = between(&rendered, "Policy\" content=\"", "\"").ok_or("no policy")?;
    let script = between(&rendered, "<script>", "</script>").ok_or("no script")?;
    let style = between(&rendered, "<style>", "</style>").ok_or("no style")?;
    let hash = |content: &str| STANDARD.encode(Sha256::digest(content.as_bytes()));
    let expected = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(script),
        hash(style)
    );
    assert_eq!(policy, expected);
    Ok(())
}

#[test]
fn page_loads_no_other_file() {
    let rendered = page("a").render();
    for word in ["http:", "https:", "src=", "href=", "url(", "@import", "{{"] {
        assert!(!rendered.contains(word), "{word}");
    }
}
