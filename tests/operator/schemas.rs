//! The JSON documents of the commands against their schemas in `docs/schemas`.

use std::collections::BTreeSet;
use std::error::Error;

use genesys_stand_in::Fault;
use genesys_test_support::{TestResult, conversation_event, root};
use serde_json::Value;

use super::apply::APPLY;
use super::plan::{plan, with_archived};
use crate::support::program::{Ran, run};

fn schema(name: &str) -> Result<Value, Box<dyn Error>> {
    let path = root().join("docs/schemas").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
    Ok(serde_json::from_str(&text)?)
}

/// Returns the members that a schema names at the top of a document.
fn members(schema: &Value) -> BTreeSet<&str> {
    let parts = [schema].into_iter().chain(schema["oneOf"].as_array().into_iter().flatten());
    let names = parts.filter_map(|part| part["properties"].as_object()).flat_map(|it| it.keys());
    names.map(String::as_str).collect()
}

/// Checks a command's document: it is valid, and each of its members is in the schema.
pub(crate) fn check(name: &str, ran: &Ran) -> TestResult {
    let (schema, document) = (schema(name)?, ran.json()?);
    let errors = jsonschema::validator_for(&schema)?;
    let errors: Vec<String> =
        errors.iter_errors(&document).map(|error| format!("{error}")).collect();
    assert!(errors.is_empty(), "{name}: {errors:?} in {document}");
    let known = members(&schema);
    for member in document.as_object().into_iter().flatten().map(|(member, _)| member) {
        assert!(known.contains(member.as_str()), "{name}: docs/schemas has no {member}");
    }
    Ok(())
}

/// Collects the names of all members that a schema fixes.
fn names<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                found.extend(properties.keys().map(String::as_str));
            }
            members.values().for_each(|member| names(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn schemas_are_valid_documented_and_in_snake_case() -> TestResult {
    let operator = std::fs::read_to_string(root().join("docs/OPERATOR.md"))?;
    for entry in std::fs::read_dir(root().join("docs/schemas"))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|it| it.to_str()).ok_or("no name")?;
        let schema = schema(name)?;
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        assert!(operator.contains(&format!("(schemas/{name}.json)")), "{name}");
        let mut found = Vec::new();
        names(&schema, &mut found);
        let is_snake = |it: &&str| it.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(found.iter().all(is_snake), "{name}: {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn json_of_each_command_fits_its_schema() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    let attributes = [("ERROR_CODE", "TIMEOUT")];
    desk.put(&desk.queue, &conversation_event("e-3", "c-3"), &attributes).await?;
    plan(&desk, &[]).await?;
    let patch = r#"[{"op":"replace","path":"/detail/eventBody/participantId","value":"x"}]"#;
    std::fs::write(desk.file("patch.json"), patch)?;
    std::fs::write(
        desk.file("failed.jsonl"),
        "{\"event_id\":\"e-9\",\"payload\":{\"a\":1}}\n{}\n",
    )?;
    let edit = ["edit", "plan.json", "--patch", "patch.json", "--reason", "x", "--out", "two.json"];
    let send = ["apply", "two.json", "--yes", "--to", "target", "--rate", "1000"];
    desk.world.genesys.fault(Fault::on("POST", "/targets/").status(422).times(1));
    for (name, arguments) in [
        ("doctor", &["doctor"][..]),
        ("diagnose", &["diagnose"]),
        ("report", &["report"]),
        ("trace", &["trace", "--interaction", "c-e-1"]),
        ("trace", &["trace", "--event", "none"]),
        ("reconcile", &["reconcile"]),
        ("plan", &["plan", "--reason", "x", "--out", "one.json"]),
        ("discard", &["discard", "--reason", "x", "--id", "e-2"]),
        ("discard", &["discard", "--reason", "x", "--id", "none", "--out", "none.json"]),
        ("apply", &["apply", "plan.json"]),
        ("edit", &edit),
        ("apply", &send),
        ("plan", &["plan", "--reason", "x", "--id", "none", "--out", "none.json"]),
        ("import", &["import", "--file", "failed.jsonl"]),
    ] {
        let ran = desk.run(&[&["--output", "json"], arguments].concat()).await?;
        check(name, &ran).map_err(|error| format!("{name}: {error}"))?;
    }
    let stuck = [&APPLY[..], &["--output", "json", "--wait", "1ms"]].concat();
    plan(&desk, &["--id", "e-2"]).await?;
    check("apply", &desk.run(&stuck).await?)?;
    let discard = ["--output", "json", "discard", "--reason", "x", "--from", "queue", "--yes"];
    check("discard", &desk.run(&[&discard[..], &["--out", "closed.json"]].concat()).await?)
}

#[tokio::test]
async fn json_of_offline_commands_fits_its_schema() -> TestResult {
    for arguments in [&["explain"][..], &["explain", "TARGET_REFUSED"], &["explain", "archived"]] {
        check("explain", &run(&[], &[&["--output", "json"], arguments].concat()).await?)?;
    }
    let replay = ["--output", "json", "genesys", "replay", "--subscription", "s", "--id", "e-1"];
    let url = "http://127.0.0.1:9";
    let variables = [
        ("GENESYS_API_BASE_URL", url),
        ("GENESYS_LOGIN_BASE_URL", url),
        ("GENESYS_CLIENT_ID", "id"),
        ("GENESYS_CLIENT_SECRET", "secret"),
    ];
    check("genesys-replay", &run(&variables, &replay).await?)
}
