//! Targets of deliveries, and ways to read the delivered events.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use aws_sdk_eventbridge::types::{
    ApiDestinationHttpMethod, ConnectionAuthorizationType, CreateConnectionAuthRequestParameters,
};

use super::{LocalAws, program};

impl LocalAws {
    /// Creates a topic with a subscribed queue, both FIFO or both standard. Returns its ARN.
    pub async fn create_topic(&self, queue: &str, fifo: bool) -> Result<String, Box<dyn Error>> {
        let sns = aws_sdk_sns::Client::new(&self.config());
        let name = Self::name("topic");
        let create = if fifo {
            sns.create_topic().name(format!("{name}.fifo")).attributes("FifoTopic", "true")
        } else {
            sns.create_topic().name(name)
        };
        let created = create.send().await?;
        let topic = created.topic_arn.ok_or("no ARN")?;
        sns.subscribe()
            .topic_arn(&topic)
            .protocol("sqs")
            .endpoint(queue)
            .attributes("RawMessageDelivery", "true")
            .send()
            .await?;
        Ok(topic)
    }

    /// Creates an event bus with a rule to a queue. Returns its ARN.
    pub async fn create_event_bus(&self, queue: &str) -> Result<String, Box<dyn Error>> {
        let events = aws_sdk_eventbridge::Client::new(&self.config());
        let name = Self::name("bus");
        let created = events.create_event_bus().name(&name).send().await?;
        events
            .put_rule()
            .event_bus_name(&name)
            .name("replayed")
            .event_pattern(r#"{"source":["genesys-replay"]}"#)
            .send()
            .await?;
        let target =
            aws_sdk_eventbridge::types::Target::builder().id("queue").arn(queue).build()?;
        events.put_targets().event_bus_name(&name).rule("replayed").targets(target).send().await?;
        Ok(created.event_bus_arn.ok_or("no ARN")?)
    }

    /// Creates an API destination with an API key for an endpoint, and the secret of its connection. Returns its ARN.
    pub async fn create_api_destination(&self, endpoint: &str) -> Result<String, Box<dyn Error>> {
        let events = aws_sdk_eventbridge::Client::new(&self.config());
        let name = Self::name("destination");
        let connection = events
            .create_connection()
            .name(&name)
            .authorization_type(ConnectionAuthorizationType::ApiKey)
            .auth_parameters(CreateConnectionAuthRequestParameters::builder().build())
            .send()
            .await?;
        // In AWS, EventBridge creates this secret.
        let secrets = aws_sdk_secretsmanager::Client::new(&self.config());
        let secret = r#"{"api_key_name":"X-Api-Key","api_key_value":"a-key"}"#;
        let create = secrets.create_secret().name(format!("events!connection/{name}"));
        create.secret_string(secret).send().await?;
        let created = events
            .create_api_destination()
            .name(&name)
            .set_connection_arn(connection.connection_arn)
            .invocation_endpoint(endpoint)
            .http_method(ApiDestinationHttpMethod::Post)
            .send()
            .await?;
        Ok(created.api_destination_arn.ok_or("no ARN")?)
    }

    /// Creates a state machine without an effect. Returns its ARN.
    pub async fn create_state_machine(&self) -> Result<String, Box<dyn Error>> {
        const DEFINITION: &str = r#"{"StartAt":"Done","States":{"Done":{"Type":"Succeed"}}}"#;
        let created = aws_sdk_sfn::Client::new(&self.config())
            .create_state_machine()
            .name(Self::name("flow"))
            .definition(DEFINITION)
            .role_arn("arn:aws:iam::000000000000:role/any")
            .send()
            .await?;
        Ok(created.state_machine_arn)
    }

    /// Returns the name and the input of each execution of a state machine.
    pub async fn executions(
        &self,
        state_machine: &str,
    ) -> Result<Vec<(String, String)>, Box<dyn Error>> {
        let sfn = aws_sdk_sfn::Client::new(&self.config());
        let list = sfn.list_executions().state_machine_arn(state_machine);
        let mut executions = Vec::new();
        for execution in list.send().await?.executions {
            let describe = sfn.describe_execution();
            let arn = execution.execution_arn;
            let input = describe.execution_arn(arn).send().await?.input;
            executions.push((execution.name, input.unwrap_or_default()));
        }
        Ok(executions)
    }

    /// Creates a Lambda function that posts every event to `url`. Returns its ARN.
    pub async fn create_function(&self, url: &str) -> Result<String, Box<dyn Error>> {
        self.create_python_function(url, "None").await
    }

    /// Creates a Lambda function that posts every event to `url`, and returns the answer, a JSON document. Returns its ARN.
    pub async fn create_answering_function(&self, url: &str) -> Result<String, Box<dyn Error>> {
        self.create_python_function(url, "json.loads(answer.read())").await
    }

    async fn create_python_function(
        &self,
        url: &str,
        returned: &str,
    ) -> Result<String, Box<dyn Error>> {
        let code = format!(
            "import json, os, urllib.request\n\
            def handler(event, context):\n    \
            data = json.dumps(event).encode()\n    \
            request = urllib.request.Request(os.environ['URL'], data=data, method='POST')\n    \
            with urllib.request.urlopen(request) as answer:\n        \
            return {returned}\n"
        );
        let name = Self::name("function");
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("index.py"), code)?;
        let python = Path::new(&program()?).with_file_name("python");
        let status = Command::new(python)
            .args(["-m", "zipfile", "-c", "code.zip", "index.py"])
            .current_dir(&folder)
            .status()?;
        let code = std::fs::read(folder.join("code.zip"))?;
        std::fs::remove_dir_all(&folder)?;
        assert!(status.success());
        let created = aws_sdk_lambda::Client::new(&self.config())
            .create_function()
            .function_name(name)
            .runtime(aws_sdk_lambda::types::Runtime::Python312)
            .handler("index.handler")
            .role("arn:aws:iam::000000000000:role/any")
            .timeout(60)
            .code(aws_sdk_lambda::types::FunctionCode::builder().zip_file(code.into()).build())
            .environment(
                aws_sdk_lambda::types::Environment::builder().variables("URL", url).build(),
            )
            .send()
            .await?;
        Ok(created.function_arn.ok_or("no ARN")?)
    }
}
