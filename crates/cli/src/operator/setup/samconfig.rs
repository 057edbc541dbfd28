//! The configuration file of the SAM CLI: `samconfig.toml`.

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

use super::parameters::{ParameterError, Parameters, overrides, parse_overrides};

/// The environment of the SAM CLI whose sections are read and written.
const ENVIRONMENT: &str = "default";

/// The capabilities that the template needs: IAM roles and the macro of SAM.
const CAPABILITIES: [&str; 2] = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"];

/// The error of a file that the SAM CLI would not accept either.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum SamconfigError {
    #[error("not TOML: {0}")]
    NotToml(String),
    #[error("{key} is not a {expected}")]
    WrongKind { key: String, expected: &'static str },
    #[error("parameter_overrides: {0}")]
    Overrides(#[from] ParameterError),
}

/// The content of a file, with its comments and the sections of other commands.
#[derive(Clone, Debug, Default)]
pub(super) struct Samconfig {
    document: DocumentMut,
}

/// The deployment that a file describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Deployment {
    pub stack: String,
    pub region: String,
    /// `None` for the default profile.
    pub profile: Option<String>,
    pub parameters: Parameters,
}

impl Samconfig {
    /// Parses a file; an empty text is a new file.
    ///
    /// # Errors
    /// [`SamconfigError::NotToml`]
    pub(super) fn parse(text: &str) -> Result<Self, SamconfigError> {
        let document = text.parse::<DocumentMut>();
        let document = document
            .map_err(|error| SamconfigError::NotToml(error.to_string().trim().to_owned()))?;
        Ok(Self { document })
    }

    /// Returns the deployment of the file. A missing value is empty.
    ///
    /// # Errors
    /// [`SamconfigError`] if a value has another type.
    pub(super) fn deployment(&self) -> Result<Deployment, SamconfigError> {
        let text = |key: &str| -> Result<Option<String>, SamconfigError> {
            match self.parameter(key) {
                None => Ok(None),
                Some(found) => match found.as_str() {
                    Some(text) => Ok(Some(text.to_owned())),
                    None => Err(wrong(key, "text")),
                },
            }
        };
        let listed = match self.parameter("parameter_overrides") {
            None => String::new(),
            Some(found) => match (found.as_str(), found.as_array()) {
                (Some(text), _) => text.to_owned(),
                (None, Some(list)) => {
                    let texts = list.iter().map(|it| it.as_str());
                    let texts: Option<Vec<&str>> = texts.collect();
                    texts.ok_or_else(|| wrong("parameter_overrides", "list of texts"))?.join(" ")
                }
                (None, None) => return Err(wrong("parameter_overrides", "text")),
            },
        };
        Ok(Deployment {
            stack: text("stack_name")?.unwrap_or_default(),
            region: text("region")?.unwrap_or_default(),
            profile: text("profile")?,
            parameters: parse_overrides(&listed)?,
        })
    }

    /// Returns a value of `sam deploy`, or of all commands.
    fn parameter(&self, key: &str) -> Option<&Item> {
        ["deploy", "global"].into_iter().find_map(|command| {
            self.document.get(ENVIRONMENT)?.get(command)?.get("parameters")?.get(key)
        })
    }

    /// Returns the file with this deployment. Keeps comments, other values and other sections.
    ///
    /// # Errors
    /// [`SamconfigError::WrongKind`] if a section of the file is not a table.
    pub(super) fn with(mut self, deployment: &Deployment) -> Result<String, SamconfigError> {
        if self.document.get("version").is_none() {
            self.document.insert("version", value(0.1));
        }
        let parameters = [ENVIRONMENT, "deploy", "parameters"]
            .into_iter()
            .try_fold(self.document.as_table_mut() as &mut dyn TableLike, section)?;
        parameters.insert("stack_name", value(&deployment.stack));
        parameters.insert("region", value(&deployment.region));
        if let Some(profile) = &deployment.profile {
            parameters.insert("profile", value(profile));
        }
        if !parameters.contains_key("s3_bucket") {
            parameters.insert("resolve_s3", value(true));
        }
        parameters.insert("capabilities", value(Array::from_iter(CAPABILITIES)));
        parameters.insert("parameter_overrides", value(overrides(&deployment.parameters)));
        Ok(self.document.to_string())
    }
}

/// Returns a section, which is added if it is new.
fn section<'t>(
    parent: &'t mut dyn TableLike,
    name: &str,
) -> Result<&'t mut dyn TableLike, SamconfigError> {
    let is_last = name == "parameters";
    let new = || {
        let mut table = Table::new();
        // Without a line of its own for [default] and [default.deploy].
        table.set_implicit(!is_last);
        Item::Table(table)
    };
    let item = parent.entry(name).or_insert_with(new);
    item.as_table_like_mut().ok_or_else(|| wrong(name, "section"))
}

fn wrong(key: &str, expected: &'static str) -> SamconfigError {
    SamconfigError::WrongKind { key: key.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Deployment {
        let parameters = [("GenesysRegion", "eu-central-1"), ("ReplayEnabled", "true")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Deployment {
            stack: "genesys-replay".to_owned(),
            region: "eu-central-1".to_owned(),
            profile: None,
            parameters: parameters.into(),
        }
    }

    #[test]
    fn new_file_is_that_of_the_sam_cli() -> Result<(), SamconfigError> {
        let written = Samconfig::parse("")?.with(&deployment())?;
        let expected = r#"version = 0.1

[default.deploy.parameters]
stack_name = "genesys-replay"
region = "eu-central-1"
resolve_s3 = true
capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
parameter_overrides = 'GenesysRegion="eu-central-1" ReplayEnabled="true"'
"#;
        assert_eq!(written, expected);
        assert_eq!(Samconfig::parse(&written)?.deployment()?, deployment());
        assert_eq!(Samconfig::parse(&written)?.with(&deployment())?, written, "is idempotent");
        Ok(())
    }

    #[test]
    fn other_values_and_comments_are_kept() -> Result<(), SamconfigError> {
        let given = "# ours\nversion = 0.1\n[default.build.parameters]\ncached = true # quick\n\
                     [default.deploy.parameters]\ns3_bucket = \"artifacts\"\nstack_name = \"old\"\n\
                     parameter_overrides = [\"MaxReceives=50\", \"LogLevel='WARN'\"]\n";
        let read = Samconfig::parse(given)?.deployment()?;
        assert_eq!((read.stack.as_str(), read.parameters.len()), ("old", 2));
        let written = Samconfig::parse(given)?.with(&deployment())?;
        for kept in ["# ours", "cached = true # quick", "s3_bucket = \"artifacts\""] {
            assert!(written.contains(kept), "{written}");
        }
        assert!(!written.contains("resolve_s3"), "{written}");
        Ok(())
    }

    #[test]
    fn damaged_file_is_refused() {
        assert!(matches!(Samconfig::parse("version = "), Err(SamconfigError::NotToml(_))));
        for text in [
            "[default.deploy.parameters]\nstack_name = 1\n",
            "[default.deploy.parameters]\nparameter_overrides = [1]\n",
            "[default.deploy.parameters]\nparameter_overrides = \"A\"\n",
        ] {
            let read = Samconfig::parse(text).and_then(|it| it.deployment());
            assert!(read.is_err(), "{text}");
        }
        let written = Samconfig::parse("default = 1\n").and_then(|it| it.with(&deployment()));
        assert!(matches!(written, Err(SamconfigError::WrongKind { .. })));
    }
}
