//! The suites on the ports of ingest, fakes and real adapters.

use std::sync::Arc;

use genesys_fakes::conformance::message_sender::Stored;
use genesys_fakes::conformance::{CallFault, Result, message_sender, secret, subscriptions};
use genesys_fakes::{MemorySecret, MemorySender, MemorySubscriptions};
use genesys_replay::genesys::{Call, GenesysError, Standing, SubscriptionForm, UnavailableCause};
use genesys_replay::message::{MessageId, TypedAttribute, TypedValue};
use genesys_replay::queue::PutError;
use genesys_replay::replay::RetryState;
use genesys_replay::secret::SecretError;
use genesys_replay_aws::secrets_manager::SecretsManagerSecret;
use genesys_replay_aws::sqs_sender::SqsSender;
use genesys_replay_genesys::GenesysSubscriptions;
use genesys_test_support::{HIDDEN_SECONDS, LocalAws, ReplayHarness};

use super::fakes::{NextCall, fault_text};
use super::real::{FaultInterceptor, inject};

pub(super) struct SenderInMemory {
    port: MemorySender,
    is_fifo: bool,
    next: Arc<NextCall<PutError>>,
}

impl SenderInMemory {
    pub(super) fn new(is_fifo: bool) -> Self {
        let next = NextCall::new(|fault| {
            let reason = fault_text(fault);
            match fault {
                CallFault::NoEffect => PutError::Unavailable { reason },
                CallFault::ResponseLost => PutError::Unanswered { reason },
            }
        });
        let port = if is_fifo { MemorySender::fifo() } else { MemorySender::default() };
        let port = port.with_faults(next.clone());
        Self { port, is_fifo, next }
    }
}

impl message_sender::MessageSenderSuite for SenderInMemory {
    type MessageSender = MemorySender;

    fn sender(&self) -> &MemorySender {
        &self.port
    }

    fn is_fifo(&self) -> bool {
        self.is_fifo
    }

    fn next_call(&self, fault: CallFault) {
        self.next.set(fault);
    }

    async fn stored(&self) -> Result<Vec<Stored>> {
        let stored = self.port.messages().into_iter().map(|(id, message)| {
            let attributes = message.attributes.iter();
            Stored {
                id,
                attributes: attributes
                    .map(|(name, value)| (name.to_string(), value.clone()))
                    .collect(),
                body: message.body,
                group: self.is_fifo.then_some(message.group),
            }
        });
        Ok(stored.collect())
    }
}

pub(super) struct SenderInSqs {
    aws: LocalAws,
    arn: String,
    is_fifo: bool,
    port: SqsSender,
    interceptor: FaultInterceptor,
}

impl SenderInSqs {
    pub(super) async fn start(is_fifo: bool) -> Result<Self> {
        let aws = LocalAws::start().await?;
        let arn = aws.create_queue(is_fifo).await?;
        let interceptor = FaultInterceptor::default();
        let config = aws_sdk_sqs::config::Builder::from(&aws.config())
            .interceptor(interceptor.clone())
            .build();
        let client = aws_sdk_sqs::Client::from_conf(config);
        Ok(Self {
            port: SqsSender::new(client, aws.queue_url(&arn).await?),
            aws,
            arn,
            is_fifo,
            interceptor,
        })
    }
}

impl message_sender::MessageSenderSuite for SenderInSqs {
    type MessageSender = SqsSender;

    fn sender(&self) -> &SqsSender {
        &self.port
    }

    fn is_fifo(&self) -> bool {
        self.is_fifo
    }

    fn next_call(&self, fault: CallFault) {
        self.interceptor.set(fault);
    }

    /// Returns every message that was sent.
    async fn stored(&self) -> Result<Vec<Stored>> {
        let mut all = Vec::new();
        let mut handles = Vec::new();
        loop {
            let messages = self.aws.receive(&self.arn, HIDDEN_SECONDS).await?;
            if messages.is_empty() {
                break;
            }
            for message in messages {
                handles.push(message.receipt_handle.clone().ok_or("no receipt")?);
                all.push(stored(message)?);
            }
        }
        for handle in handles {
            self.aws.show_again(&self.arn, &handle).await?;
        }
        Ok(all)
    }
}

fn stored(message: aws_sdk_sqs::types::Message) -> Result<Stored> {
    let group = aws_sdk_sqs::types::MessageSystemAttributeName::MessageGroupId;
    let system = message.attributes.unwrap_or_default();
    let attributes = message.message_attributes.unwrap_or_default().into_iter();
    let attributes = attributes.filter_map(|(name, value)| {
        let text = value.string_value.map(TypedValue::Text);
        let value_of =
            text.or_else(|| value.binary_value.map(|it| TypedValue::Binary(it.into_inner())));
        Some((name, TypedAttribute { data_type: value.data_type, value: value_of? }))
    });
    Ok(Stored {
        id: message.message_id.and_then(MessageId::new).ok_or("no id")?,
        body: message.body.unwrap_or_default(),
        attributes: attributes.collect(),
        group: system.get(&group).cloned(),
    })
}

pub(super) struct SubscriptionsInMemory {
    port: MemorySubscriptions,
    next: Arc<NextCall<GenesysError>>,
}

impl SubscriptionsInMemory {
    pub(super) fn new() -> Self {
        let next = NextCall::new(|_| GenesysError::Unavailable {
            call: Call::Subscription,
            problem: UnavailableCause::Broken,
            after: None,
        });
        let port = MemorySubscriptions::default().with_faults(next.clone());
        Self { port, next }
    }
}

impl subscriptions::SubscriptionsSuite for SubscriptionsInMemory {
    type Subscriptions = MemorySubscriptions;

    fn subscriptions(&self) -> &MemorySubscriptions {
        &self.port
    }

    fn put(&self, id: &str, standing: Standing) {
        self.port.put(id, standing);
    }

    fn next_call(&self, fault: CallFault) {
        self.next.set(fault);
    }
}

pub(super) struct SubscriptionsOfGenesys {
    harness: ReplayHarness,
    port: GenesysSubscriptions,
}

impl SubscriptionsOfGenesys {
    pub(super) async fn with_form(form: SubscriptionForm) -> Result<Self> {
        let harness = ReplayHarness::start().await?;
        let (RetryState::Required(client) | RetryState::BestEffort(client)) =
            harness.function()?.retry_state
        else {
            return Err("no client".into());
        };
        let port = GenesysSubscriptions::new(client, form);
        Ok(Self { harness, port })
    }
}

impl subscriptions::SubscriptionsSuite for SubscriptionsOfGenesys {
    type Subscriptions = GenesysSubscriptions;

    fn subscriptions(&self) -> &GenesysSubscriptions {
        &self.port
    }

    fn put(&self, id: &str, standing: Standing) {
        let genesys = &self.harness.genesys;
        match standing {
            Standing::Active => genesys.put_subscription(id, "ACTIVE"),
            Standing::Inactive => genesys.put_subscription(id, "INACTIVE"),
            Standing::Unknown => genesys.remove_subscription(id),
        }
    }

    fn next_call(&self, fault: CallFault) {
        inject(&self.harness.genesys, "GET", "/api/v2/", fault);
    }
}

pub(super) struct SecretInMemory(MemorySecret);

impl SecretInMemory {
    pub(super) fn new() -> Self {
        Self(MemorySecret::of(""))
    }
}

impl secret::SecretSuite for SecretInMemory {
    type Secret = MemorySecret;

    fn secret(&self) -> &MemorySecret {
        &self.0
    }

    async fn put(&self, text: &str) -> Result<()> {
        self.0.put(Ok(text));
        Ok(())
    }

    async fn put_binary(&self) -> Result<()> {
        self.0.put(Err(SecretError::Binary));
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        let code = "ResourceNotFoundException".to_owned();
        self.0.put(Err(SecretError::Refused(code)));
        Ok(())
    }
}

pub(super) struct SecretInSecretsManager {
    client: aws_sdk_secretsmanager::Client,
    name: String,
    port: SecretsManagerSecret,
    _aws: LocalAws,
}

impl SecretInSecretsManager {
    pub(super) async fn start() -> Result<Self> {
        let aws = LocalAws::start().await?;
        let client = aws_sdk_secretsmanager::Client::new(&aws.config());
        let name = LocalAws::name("secret");
        client.create_secret().name(&name).secret_string("first").send().await?;
        Ok(Self {
            port: SecretsManagerSecret::new(client.clone(), name.clone()),
            client,
            name,
            _aws: aws,
        })
    }
}

impl secret::SecretSuite for SecretInSecretsManager {
    type Secret = SecretsManagerSecret;

    fn secret(&self) -> &SecretsManagerSecret {
        &self.port
    }

    async fn put(&self, text: &str) -> Result<()> {
        let put = self.client.put_secret_value().secret_id(&self.name);
        put.secret_string(text).send().await?;
        Ok(())
    }

    async fn put_binary(&self) -> Result<()> {
        let bytes = aws_sdk_secretsmanager::primitives::Blob::new([0, 159]);
        let put = self.client.put_secret_value().secret_id(&self.name);
        put.secret_binary(bytes).send().await?;
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        let delete = self.client.delete_secret().secret_id(&self.name);
        delete.force_delete_without_recovery(true).send().await?;
        Ok(())
    }
}
