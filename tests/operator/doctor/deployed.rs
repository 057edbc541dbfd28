//! A deployment as in the template, on the local AWS.

use std::collections::HashMap;
use std::error::Error;

use aws_sdk_dynamodb::types::TimeToLiveSpecification;
use aws_sdk_lambda::types::{
    Environment, Filter, FilterCriteria, FunctionResponseType, ScalingConfig, State,
};
use aws_sdk_sqs::types::QueueAttributeName;
use genesys_test_support::{LocalAws, eventually};
use mockito::{Matcher, Mock, ServerGuard};
use serde_json::{Value, json};

use crate::support::program::{Ran, run};

/// A secret that must never be printed.
pub(crate) const SECRET: &str = "hush-hush-hush";

const NOBODY: &str = "/api/v2/conversations/00000000-0000-0000-0000-000000000000";

/// The answers of Genesys Cloud.
#[derive(Clone, Copy)]
pub(crate) enum Genesys {
    Well,
    UnknownClient,
    MayNotRead,
    MayNotMark,
    MayNotSearch,
}

/// A stand-in of Genesys Cloud without conversations.
pub(crate) struct GenesysCloud {
    server: ServerGuard,
    writes: Vec<Mock>,
}

impl GenesysCloud {
    pub(crate) async fn start() -> Self {
        let server = mockito::Server::new_async().await;
        let mut genesys = Self { server, writes: Vec::new() };
        genesys.become_like(Genesys::Well).await;
        genesys
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    pub(crate) async fn become_like(&mut self, genesys: Genesys) {
        let server = &mut self.server;
        server.reset();
        let token = server.mock("POST", "/oauth/token");
        let _ = match genesys {
            Genesys::UnknownClient => token
                .with_status(400)
                .with_body(json!({ "error": "invalid_client", "description": SECRET }).to_string()),
            Genesys::Well | Genesys::MayNotRead | Genesys::MayNotMark | Genesys::MayNotSearch => {
                token.with_body(
                    json!({ "access_token": "a-token", "expires_in": 86_400 }).to_string(),
                )
            }
        }
        .create_async()
        .await;
        let answer = |mock: Mock, refused: bool, status: usize, code: &str| {
            let (status, code) =
                if refused { (403, "missing.permissions") } else { (status, code) };
            mock.with_status(status)
                .with_body(json!({ "code": code, "status": status, "message": SECRET }).to_string())
        };
        let refused = matches!(genesys, Genesys::MayNotRead);
        answer(server.mock("GET", NOBODY), refused, 404, "not.found").create_async().await;
        let refused = matches!(genesys, Genesys::MayNotMark);
        let patch = Matcher::Regex(format!("^{NOBODY}/participants/.*/attributes$"));
        let patch =
            server.mock("PATCH", patch).match_body(Matcher::Json(json!({ "attributes": {} })));
        let patch = answer(patch, refused, 404, "not.found");
        self.writes = vec![patch.expect_at_least(1).create_async().await];
        let refused = matches!(genesys, Genesys::MayNotSearch);
        let search = server.mock("POST", "/api/v2/analytics/conversations/details/query");
        answer(search, refused, 200, "").create_async().await;
        // The target's host; a delivery would be a POST.
        server.mock("HEAD", "/").with_status(404).create_async().await;
    }

    /// Every write was an empty one, on a conversation that does not exist.
    pub(super) fn assert_nothing_was_written(&self) {
        for write in &self.writes {
            write.assert();
        }
    }
}

pub(super) struct Deployed {
    pub(super) aws: LocalAws,
    pub(super) genesys: GenesysCloud,
    function: String,
    mapping: String,
    queue: String,
    parking: String,
    variables: HashMap<String, String>,
}

impl Deployed {
    /// Returns a deployment as in the template.
    pub(super) async fn good() -> Result<Self, Box<dyn Error>> {
        let aws = LocalAws::start().await?;
        let genesys = GenesysCloud::start().await;
        let arn = aws.create_queue(false).await?;
        let parking_arn = aws.create_queue(false).await?;
        let function = aws.create_function("http://127.0.0.1:1").await?;
        let url = genesys.server.url();
        let archive = aws.create_bucket().await?;
        let variables = [
            ("GENESYS_API_BASE_URL", url.as_str()),
            ("GENESYS_LOGIN_BASE_URL", &url),
            ("GENESYS_CLIENT_ID", "an-id"),
            ("GENESYS_CLIENT_SECRET", SECRET),
            ("REPLAY_TARGET", &format!("{url}/events?key={SECRET}")),
            ("IDEMPOTENCY_TABLE_NAME", &aws.table),
            ("ARCHIVE_BUCKET", &archive),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut deployed = Self {
            queue: aws.queue_url(&arn).await?,
            parking: aws.queue_url(&parking_arn).await?,
            function,
            mapping: String::new(),
            variables: variables.into(),
            genesys,
            aws,
        };
        let policy = json!({ "deadLetterTargetArn": parking_arn, "maxReceiveCount": 203 });
        deployed.queue_attribute("RedrivePolicy", &policy.to_string()).await?;
        deployed.queue_attribute("VisibilityTimeout", "400").await?;
        deployed.queue_attribute("MessageRetentionPeriod", "864000").await?;
        deployed.parking_attribute("MessageRetentionPeriod", "1209600").await?;
        deployed.forget(true).await?;
        deployed.is_ready().await?;
        deployed.timeout(60).await?;
        let created = deployed
            .lambda()
            .create_event_source_mapping()
            .function_name(&deployed.function)
            .event_source_arn(arn)
            .batch_size(10)
            .function_response_types(FunctionResponseType::ReportBatchItemFailures)
            .scaling_config(ScalingConfig::builder().maximum_concurrency(2).build())
            .send()
            .await?;
        deployed.mapping = created.uuid.ok_or("no id")?;
        Ok(deployed)
    }

    fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.aws.config())
    }

    /// Waits until the function can be called. The SDK's own waiter checks only once a second.
    async fn is_ready(&self) -> Result<(), Box<dyn Error>> {
        let lambda = self.lambda();
        eventually("the function is active", async || {
            let call = lambda.get_function_configuration();
            let found = call.function_name(&self.function).send().await?;
            match found.state() {
                None | Some(State::Active) => Ok(Some(())),
                Some(State::Failed) => Err("the function has failed".into()),
                Some(_) => Ok(None),
            }
        })
        .await
    }

    pub(super) async fn set(&mut self, name: &str, value: &str) -> Result<(), Box<dyn Error>> {
        self.variables.insert(name.to_owned(), value.to_owned());
        self.timeout(60).await
    }

    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// Removes all variables and sets these.
    pub(super) async fn replace_variables(
        &mut self,
        variables: &[(&str, &str)],
    ) -> Result<(), Box<dyn Error>> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.variables = variables.collect();
        self.timeout(60).await
    }

    /// Replaces the function's settings.
    pub(super) async fn timeout(&self, seconds: i32) -> Result<(), Box<dyn Error>> {
        let variables = Environment::builder().set_variables(Some(self.variables.clone()));
        self.lambda()
            .update_function_configuration()
            .function_name(&self.function)
            .timeout(seconds)
            .description(format!("{}: replays dead letters", genesys_replay_version::PROGRAM))
            .environment(variables.build())
            .send()
            .await?;
        self.is_ready().await
    }

    pub(super) async fn queue_attribute(
        &self,
        name: &str,
        value: &str,
    ) -> Result<(), Box<dyn Error>> {
        self.attribute(&self.queue, name, value).await
    }

    pub(super) async fn parking_attribute(
        &self,
        name: &str,
        value: &str,
    ) -> Result<(), Box<dyn Error>> {
        self.attribute(&self.parking, name, value).await
    }

    async fn attribute(&self, url: &str, name: &str, value: &str) -> Result<(), Box<dyn Error>> {
        aws_sdk_sqs::Client::new(&self.aws.config())
            .set_queue_attributes()
            .queue_url(url)
            .attributes(QueueAttributeName::from(name), value)
            .send()
            .await?;
        Ok(())
    }

    pub(super) async fn forget_nothing(&self) -> Result<(), Box<dyn Error>> {
        self.forget(false).await
    }

    async fn forget(&self, enabled: bool) -> Result<(), Box<dyn Error>> {
        let expiry = TimeToLiveSpecification::builder()
            .attribute_name("ExpiresAt")
            .enabled(enabled)
            .build()?;
        self.aws
            .dynamodb()
            .update_time_to_live()
            .table_name(&self.aws.table)
            .time_to_live_specification(expiry)
            .send()
            .await?;
        Ok(())
    }

    /// Changes the event source mapping, with the member names of its API.
    pub(super) async fn change_source(&self, change: &Value) -> Result<(), Box<dyn Error>> {
        let lambda = self.lambda();
        let mut call = lambda.update_event_source_mapping().uuid(&self.mapping);
        if change["FunctionResponseTypes"].is_array() {
            call = call.set_function_response_types(Some(Vec::new()));
        }
        if let Some(pattern) = change["FilterCriteria"]["Filters"][0]["Pattern"].as_str() {
            let filter = Filter::builder().pattern(pattern).build();
            call = call.filter_criteria(FilterCriteria::builder().filters(filter).build());
        }
        if let Some(enabled) = change["Enabled"].as_bool() {
            call = call.enabled(enabled);
        }
        if let Some(size) = change["BatchSize"].as_i64() {
            call = call.batch_size(i32::try_from(size)?).maximum_batching_window_in_seconds(1);
        }
        call.send().await?;
        Ok(())
    }

    /// Runs the program on the deployment.
    pub(super) async fn examine(&mut self, more: &[&str]) -> Result<Ran, Box<dyn Error>> {
        let endpoint = self.aws.endpoint();
        let mut arguments = vec!["doctor", "--endpoint-url", &endpoint, "--function"];
        arguments.push(&self.function);
        arguments.extend(more);
        run(&[], &arguments).await
    }
}
