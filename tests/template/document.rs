//! The template as a document with queries.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use serde_json::{Map, Value, json};

/// The replay function.
pub(crate) const REPLAY: &str = "ReplayFunction";
/// The ingest function.
pub(crate) const INGEST: &str = "IngestFunction";

/// The deployed file.
pub(crate) const TEMPLATE: &str = "template.yaml";
/// Set by Lambda itself, from the function's `LoggingConfig`.
const LOG_LEVEL: &str = "AWS_LAMBDA_LOG_LEVEL";

/// The template with its included files, and tags (`!Ref x`) as in JSON (`{"Ref": "x"}`).
pub(crate) struct Template(Value);

impl Template {
    pub(crate) fn read() -> Result<Self, Box<dyn Error>> {
        let mut template = parsed(TEMPLATE)?;
        include(&mut template)?;
        let common = template["Globals"]["Function"].clone();
        for (_, resource) in template["Resources"].as_object_mut().into_iter().flatten() {
            if resource["Type"] == "AWS::Serverless::Function" {
                add_common(&mut resource["Properties"], &common);
            }
        }
        Ok(Self(template))
    }

    /// Evaluates a value that does not depend on a deployed stack: a literal, or `Fn::FindInMap`, `Fn::Join` and
    /// `Fn::Split` of literals.
    pub(crate) fn computed(&self, value: &Value) -> Option<Value> {
        let Some(members) = value.as_object() else {
            return Some(value.clone());
        };
        let (function, operands) = members.iter().next()?;
        match function.as_str() {
            "Fn::FindInMap" => {
                let names = operands.as_array()?.iter().map(Value::as_str);
                let names = names.collect::<Option<Vec<_>>>()?;
                Some(self.at(&format!("Mappings/{}", names.join("/"))).clone())
            }
            "Fn::Join" => {
                let parts = self.computed(&operands[1])?;
                let parts = parts.as_array()?.iter().map(Value::as_str);
                let parts = parts.collect::<Option<Vec<_>>>()?;
                Some(parts.join(operands[0].as_str()?).into())
            }
            "Fn::Split" => {
                let text = self.computed(&operands[1])?;
                let parts = text.as_str()?.split(operands[0].as_str()?);
                Some(parts.collect::<Vec<_>>().into())
            }
            _ => None,
        }
    }

    /// Returns the value at a path such as `Resources/LedgerTable/Type`. Null: the path does not exist.
    pub(crate) fn at(&self, path: &str) -> &Value {
        path.split('/').fold(&self.0, |value, name| match name.parse::<usize>() {
            Ok(index) if value.is_array() => &value[index],
            Ok(_) | Err(_) => &value[name],
        })
    }

    pub(crate) fn property(&self, resource: &str, path: &str) -> &Value {
        self.at(&format!("Resources/{resource}/Properties/{path}"))
    }

    /// Returns the names of the resources of a type, in alphabetical order.
    pub(crate) fn of_type(&self, kind: &str) -> Vec<&str> {
        let resources = self.at("Resources").as_object().into_iter().flatten();
        resources
            .filter(|(_, resource)| resource["Type"] == kind)
            .map(|(name, _)| name.as_str())
            .collect()
    }

    pub(crate) fn event_source(&self, property: &str) -> &Value {
        self.property(REPLAY, &format!("Events/DeadLetters/Properties/{property}"))
    }

    pub(crate) fn parameter(&self, name: &str, attribute: &str) -> &Value {
        self.at(&format!("Parameters/{name}/{attribute}"))
    }

    /// Returns the values in a parameter: default, allowed, minimum and maximum.
    pub(crate) fn offered(&self, parameter: &str) -> BTreeSet<String> {
        let allowed = self.parameter(parameter, "AllowedValues").as_array();
        ["Default", "MinValue", "MaxValue"]
            .map(|attribute| self.parameter(parameter, attribute))
            .into_iter()
            .chain(allowed.into_iter().flatten())
            .filter(|value| !value.is_null())
            .map(plain)
            .collect()
    }

    /// Returns a function's variables with their values, and the log level.
    pub(crate) fn variables(&self, function: &str) -> BTreeMap<&str, &Value> {
        let variables = self.property(function, "Environment/Variables").as_object();
        let level = self.property(function, "LoggingConfig/ApplicationLogLevel");
        let named = variables.into_iter().flatten().map(|(name, value)| (name.as_str(), value));
        named.chain([(LOG_LEVEL, level)]).collect()
    }

    /// Returns the variables whose value is a parameter, with its name.
    pub(crate) fn parameters_by_variable(&self, function: &str) -> BTreeMap<&str, &str> {
        self.variables(function)
            .into_iter()
            .filter_map(|(variable, value)| Some((variable, value["Ref"].as_str()?)))
            .filter(|(_, name)| self.at("Parameters").get(name).is_some())
            .collect()
    }
}

/// Returns the ARN of the dead-letter queue.
pub(crate) fn queue() -> Value {
    json!({ "Fn::If": ["CreatesQueue", { "Fn::GetAtt": "DeadLetterQueue.Arn" }, { "Ref": "DeadLetterQueueArn" }] })
}

/// Returns the URL of the dead-letter queue.
pub(crate) fn queue_url() -> Value {
    let part =
        |at| json!({ "Fn::Select": [at, { "Fn::Split": [":", { "Ref": "DeadLetterQueueArn" }] }] });
    let url = "https://sqs.${AWS::Region}.${AWS::URLSuffix}/${Account}/${Name}";
    let of_an_existing = json!({ "Fn::Sub": [url, { "Account": part(4), "Name": part(5) }] });
    json!({ "Fn::If": ["CreatesQueue", { "Ref": "DeadLetterQueue" }, of_an_existing] })
}

/// Returns the name of the dead-letter queue.
pub(crate) fn queue_name() -> Value {
    let of_an_existing =
        json!({ "Fn::Select": [5, { "Fn::Split": [":", { "Ref": "DeadLetterQueueArn" }] }] });
    json!({ "Fn::If": ["CreatesQueue", { "Fn::GetAtt": "DeadLetterQueue.QueueName" }, of_an_existing] })
}

/// Returns the name of the parking queue.
pub(crate) fn parking_queue_name() -> Value {
    json!({ "Fn::GetAtt": "ParkingQueue.QueueName" })
}

/// Returns the archive bucket.
pub(crate) fn bucket() -> Value {
    json!({ "Fn::If": ["CreatesBucket", { "Ref": "ArchiveBucket" }, { "Ref": "ArchiveBucketName" }] })
}

/// Returns a parameter's value as text, as `CloudFormation` passes it.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the text of a file of the repository.
pub(crate) fn text_of(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}

fn parsed(path: &str) -> Result<Value, Box<dyn Error>> {
    written_out(serde_yaml_ng::from_str(&text_of(path)?)?)
}

/// Replaces each `Fn::Transform` with the members of the included file, as `CloudFormation` does.
fn include(part: &mut Value) -> Result<(), Box<dyn Error>> {
    match part {
        Value::Object(members) => {
            for value in members.values_mut() {
                include(value)?;
            }
            match members.remove("Fn::Transform") {
                Some(transform) => add_included(members, &transform),
                None => Ok(()),
            }
        }
        Value::Array(items) => items.iter_mut().try_for_each(include),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn add_included(members: &mut Map<String, Value>, transform: &Value) -> Result<(), Box<dyn Error>> {
    if transform["Name"] != "AWS::Include" {
        return Err(format!("no file is included: {transform}").into());
    }
    let location = transform["Parameters"]["Location"].as_str();
    let location = location.ok_or("the included file has no location")?;
    let Value::Object(included) = parsed(location)? else {
        return Err(format!("{location} is not a map").into());
    };
    for (name, value) in included {
        if members.insert(name.clone(), value).is_some() {
            return Err(format!("{name} is declared twice").into());
        }
    }
    Ok(())
}

/// Adds the members of `common` that `own` does not have, as SAM does with `Globals`.
fn add_common(own: &mut Value, common: &Value) {
    let (Value::Object(own), Value::Object(common)) = (own, common) else {
        return;
    };
    for (name, value) in common {
        match own.get_mut(name) {
            Some(own) => add_common(own, value),
            None => _ = own.insert(name.clone(), value.clone()),
        }
    }
}

/// Converts YAML into JSON and tags into members. `Fn::GetAtt` has its short form, `A.B`.
fn written_out(yaml: serde_yaml_ng::Value) -> Result<Value, Box<dyn Error>> {
    use serde_yaml_ng::Value as Yaml;
    Ok(match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = match tag.trim_start_matches('!') {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            json!({ name: written_out(tagged.value)? })
        }
        Yaml::Mapping(members) => members
            .into_iter()
            .map(|(name, value)| {
                let name = name.as_str().ok_or("a name is not text")?.to_owned();
                let value = match (name.as_str(), written_out(value)?) {
                    ("Fn::GetAtt", Value::Array(parts)) => {
                        let parts: Vec<_> = parts.iter().filter_map(Value::as_str).collect();
                        parts.join(".").into()
                    }
                    (_, value) => value,
                };
                Ok((name, value))
            })
            .collect::<Result<Map<_, _>, Box<dyn Error>>>()?
            .into(),
        Yaml::Sequence(items) => {
            items.into_iter().map(written_out).collect::<Result<Vec<_>, _>>()?.into()
        }
        scalar @ (Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::String(_)) => {
            serde_json::to_value(scalar)?
        }
    })
}
