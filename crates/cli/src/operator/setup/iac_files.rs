//! The parameters for Terraform and the AWS CDK, in files that both read by themselves.

use serde_json::{Map, Value, json};

use super::parameters::Parameters;

/// A file with the parameters for another tool than the SAM CLI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterFile {
    /// Terraform reads the file beside `terraform.tfvars`.
    Terraform,
    /// The context of the AWS CDK, with other keys of the project.
    Cdk,
}

impl ParameterFile {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Terraform => "genesys-replay.auto.tfvars.json",
            Self::Cdk => "cdk.context.json",
        }
    }

    /// Returns the name of the variable or the context key.
    const fn key(self) -> &'static str {
        match self {
            Self::Terraform => "genesys_replay_parameters",
            Self::Cdk => "genesys-replay:parameters",
        }
    }

    /// Returns the file with these parameters. Keeps its other members.
    ///
    /// # Errors
    /// [`serde_json::Error`] if the file is not a JSON object.
    pub fn with(
        self,
        existing: Option<&str>,
        parameters: &Parameters,
    ) -> Result<String, serde_json::Error> {
        let mut document: Map<String, Value> = match existing {
            Some(text) if !text.trim().is_empty() => serde_json::from_str(text)?,
            Some(_) | None => Map::new(),
        };
        let set = parameters.iter().filter(|(_, value)| !value.is_empty());
        let set: Map<String, Value> =
            set.map(|(name, value)| (name.clone(), json!(value))).collect();
        document.insert(self.key().to_owned(), set.into());
        Ok(format!("{:#}\n", Value::Object(document)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_one_member_beside_the_others() -> Result<(), serde_json::Error> {
        let parameters = [("GenesysRegion", "eu-central-1"), ("LogLevel", "")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        for (file, key) in [
            (ParameterFile::Terraform, "genesys_replay_parameters"),
            (ParameterFile::Cdk, "genesys-replay:parameters"),
        ] {
            let written = file.with(Some(r#"{"availability-zones":["a"]}"#), &parameters)?;
            let expected =
                json!({ "availability-zones": ["a"], key: { "GenesysRegion": "eu-central-1" } });
            assert_eq!(serde_json::from_str::<Value>(&written)?, expected);
            assert_eq!(file.with(Some(&written), &parameters)?, written, "is idempotent");
            assert!(file.with(Some("[]"), &parameters).is_err());
        }
        Ok(())
    }
}
