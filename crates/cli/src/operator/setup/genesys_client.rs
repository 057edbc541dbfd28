//! The steps about the OAuth client of Genesys Cloud: its test and its secret.

use genesys_replay::genesys::Credentials;
use genesys_replay_genesys::{CredentialSetting, GenesysSettings};
use genesys_replay_settings::SettingsError;

use super::step::{SetupStep, StepChange, StepName};
use super::{SetupRun, Stopped};
use crate::config::Variables;
use crate::operator::doctor::{Verdict, genesys_access};

/// The form of the file with the OAuth client.
const FORM: &str = r#"{"client_id":"…","client_secret":"…"}"#;

/// The parameters of the template that the test needs, with the function's variables.
const VARIABLES: [(&str, &str); 5] = [
    ("GenesysRegion", "GENESYS_REGION"),
    ("GenesysOrgId", "GENESYS_ORG_ID"),
    ("GenesysApi", "GENESYS_API"),
    ("GenesysApiBaseUrl", "GENESYS_API_BASE_URL"),
    ("GenesysLoginBaseUrl", "GENESYS_LOGIN_BASE_URL"),
];

/// The credentials of an OAuth client as text, and the place where they are stored.
#[derive(Clone)]
pub(super) struct ClientText {
    text: String,
    client_id: String,
    /// The ARN of the secret with exactly this text; `None` if the text is not stored.
    stored: Option<String>,
    /// The ARN of a secret with another text, which is to be replaced.
    replaces: Option<String>,
    /// The id of the client in that secret.
    former_id: Option<String>,
}

impl SetupRun<'_> {
    /// Tests the OAuth client and the region with Genesys Cloud, before anything is deployed.
    pub(super) async fn test_genesys(&mut self) -> Result<(), Stopped> {
        let name = StepName::Genesys;
        if self.parameter("RetryState") == Some("off") {
            return self
                .settle(SetupStep::done(name, "RetryState=off: Genesys Cloud is not called"));
        }
        let client = self.read_credentials().await?;
        let mut variables = Variables::default();
        for (parameter, variable) in VARIABLES {
            if let Some(value) = self.parameter(parameter) {
                variables = variables.with(variable, value);
            }
        }
        let credentials = Credentials::from_secret(&client.text);
        let Ok(credentials) = credentials else {
            let found = format!("the credentials are not of the form {FORM}");
            return self.refuse(name, found, "correct the file or the secret");
        };
        // The client is tested before its secret exists, so this name is never read.
        let variables = variables.with("GENESYS_SECRET_ID", &self.secret_name());
        let settings = match variables.genesys() {
            Ok(settings) => {
                GenesysSettings { credentials: CredentialSetting::Given(credentials), ..settings }
            }
            Err(error) => {
                let found = problems(&error);
                let hint = "name the region of your organisation: --genesys-region eu-central-1";
                return self.refuse(name, found, hint);
            }
        };
        let host = settings.api_base.to_string();
        let built = (self.tools.genesys)(settings);
        let genesys = match built {
            Ok(genesys) => genesys,
            Err(error) => {
                return self.refuse(name, error.to_string(), "install the CA certificates");
            }
        };
        let checks = genesys_access(&genesys).await;
        if let Some(check) = checks.iter().find(|check| check.verdict == Verdict::Error) {
            let found = format!("{}: {}", check.name, check.found);
            return self.refuse(name, found, check.remedy.clone().unwrap_or_default());
        }
        let notes = checks.iter().filter(|check| check.verdict != Verdict::Ok);
        let notes = notes.map(|check| format!("{}: {}", check.name, check.found));
        let step =
            SetupStep::done(name, format!("{host} accepts the OAuth client {}", client.client_id));
        let notes = notes.collect();
        self.credentials = Some(client);
        self.settle(step.with_notes(notes))
    }

    /// Returns the name of the secret if no other is given.
    fn secret_name(&self) -> String {
        format!("{}/genesys-cloud", self.deployment.stack)
    }

    /// Returns the given credentials, or those of the secret.
    async fn read_credentials(&mut self) -> Result<ClientText, Stopped> {
        let name = StepName::Genesys;
        let named = self.wishes.secret.clone();
        let named = named.or_else(|| self.parameter("GenesysSecretArn").map(str::to_owned));
        let is_named = named.is_some();
        let id = named.unwrap_or_else(|| self.secret_name());
        let stored = match self.tools.secrets.read(&id).await {
            Ok(stored) => stored,
            Err(error) => return self.fail(name, &error),
        };
        let given = self.wishes.credentials.clone();
        let id_of = |text: &str| Credentials::from_secret(text).ok().map(|it| it.client_id);
        match (given, stored) {
            (Some(text), stored) => {
                let Some(client_id) = id_of(&text) else {
                    let found = format!("the file of the OAuth client is not of the form {FORM}");
                    return self.refuse(name, found, "correct the file of --client-file");
                };
                let former = stored.as_ref().and_then(|it| it.value.clone());
                let is_same = former.as_deref().is_some_and(|former| is_same(former, &text));
                let arn = stored.map(|it| it.arn);
                Ok(ClientText {
                    stored: arn.clone().filter(|_| is_same),
                    replaces: arn.filter(|_| !is_same),
                    former_id: former.as_deref().and_then(id_of),
                    client_id,
                    text,
                })
            }
            (None, Some(stored)) => {
                let Some(text) = stored.value.filter(|text| id_of(text).is_some()) else {
                    let found = format!("the secret {id} is not of the form {FORM}");
                    return self.refuse(
                        name,
                        found,
                        "correct the secret, or give the client: --client-file",
                    );
                };
                Ok(ClientText {
                    client_id: id_of(&text).unwrap_or_default(),
                    text,
                    stored: Some(stored.arn),
                    replaces: None,
                    former_id: None,
                })
            }
            (None, None) if is_named => self.refuse(
                name,
                format!("the secret {id} does not exist"),
                "check --secret, or give the client: --client-file",
            ),
            (None, None) => {
                let found = "the OAuth client is not given";
                let hint = "write the client into a file and name it, --client-file client.json, or name its secret: --secret";
                self.refuse(name, found, format!("{hint}; the file has the form {FORM}"))
            }
        }
    }

    /// Creates or changes the secret with the OAuth client.
    pub(super) async fn store_secret(&mut self) -> Result<(), Stopped> {
        let name = StepName::Secret;
        let Some(client) = self.credentials.take() else {
            return self.settle(SetupStep::done(name, "no secret is needed"));
        };
        if let Some(arn) = client.stored {
            let step = SetupStep::done(name, format!("{arn} has the OAuth client"));
            self.set_parameter("GenesysSecretArn", arn);
            return self.settle(step);
        }
        let id = client.replaces.clone();
        let id = id.or_else(|| self.wishes.secret.clone()).unwrap_or_else(|| self.secret_name());
        let former = client.replaces.as_ref().map(|_| {
            client
                .former_id
                .clone()
                .map_or_else(|| "another text".to_owned(), |id| format!("the OAuth client {id}"))
        });
        let change = StepChange::new(&id, former, format!("the OAuth client {}", client.client_id));
        let step = SetupStep::planned(name, format!("the secret {id}"), vec![change]);
        if !self.is_approved(&step) {
            return self.keep(step);
        }
        let secrets = &self.tools.secrets;
        let made = match client.replaces {
            Some(arn) => secrets.replace(&arn, &client.text).await.map(|()| arn),
            None => secrets.create(&id, &client.text).await,
        };
        let made = made.map(|arn| self.set_parameter("GenesysSecretArn", arn));
        self.applied_by_aws(step, made)
    }
}

fn is_same(one: &str, other: &str) -> bool {
    match (Credentials::from_secret(one), Credentials::from_secret(other)) {
        (Ok(one), Ok(other)) => one.is_same_as(&other),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
    }
}

/// Returns the problems of settings in one line.
fn problems(error: &SettingsError) -> String {
    error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
