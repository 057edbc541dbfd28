//! The suites on the real adapters: the local AWS, and the stand-in for Genesys Cloud.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use genesys_fakes::Received;
use genesys_fakes::conformance::{CallFault, Result, archive, genesys, ledger, queue};
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::{ApiForm, Call, Interaction};
use genesys_replay::ledger::EventKey;
use genesys_replay::message::MessageId;
use genesys_replay::replay::RetryState;
use genesys_replay_aws::sqs_queue::SqsQueue;
use genesys_replay_genesys::GenesysClient;
use genesys_replay_storage::dynamodb::DynamoDbLedger;
use genesys_replay_storage::s3::S3Archive;
use genesys_stand_in::{Fault, StandIn, Table};
use genesys_test_support::replay_harness::mark;
use genesys_test_support::{LocalAws, ReplayHarness, aws_at};
use serde_json::Value;

/// An interceptor of an AWS client that injects a fault into its next call.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultInterceptor {
    next: Arc<Mutex<Option<CallFault>>>,
    loses_response: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    /// The URL to which a call without an effect is sent. `None`: the call is not sent.
    unavailable_url: Option<String>,
}

impl FaultInterceptor {
    pub(super) fn with_unavailable_url(url: String) -> Self {
        Self { unavailable_url: Some(url), ..Self::default() }
    }

    pub(super) fn set(&self, fault: CallFault) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// Returns the number of calls.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Intercept for FaultInterceptor {
    fn name(&self) -> &'static str {
        "FaultInterceptor"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        // A lookup of the target is not the call.
        let target = context.request().headers().get("x-amz-target");
        let look_ups = [".GetQueueUrl", ".DescribeEventBus", ".DescribeExecution"];
        if target.is_some_and(|target| look_ups.iter().any(|it| target.ends_with(it))) {
            return Ok(());
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match (next.take(), &self.unavailable_url) {
            (None, _) => Ok(()),
            (Some(CallFault::NoEffect), None) => Err("injected failure before the request".into()),
            (Some(CallFault::NoEffect), Some(url)) => {
                Ok(context.request_mut().set_uri(url.as_str())?)
            }
            (Some(CallFault::ResponseLost), _) => {
                self.loses_response.store(true, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    fn read_after_transmit(
        &self,
        _: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        if self.loses_response.swap(false, Ordering::SeqCst) {
            return Err("injected loss of the response".into());
        }
        Ok(())
    }
}

pub(super) struct Ledger {
    aws: LocalAws,
    port: DynamoDbLedger,
    interceptor: FaultInterceptor,
}

impl Ledger {
    /// Returns a ledger in the table of this AWS.
    pub(super) fn of(aws: LocalAws) -> Self {
        let (port, interceptor) = ledger_in(&aws.config(), aws.table.clone());
        Self { aws, port, interceptor }
    }
}

fn ledger_in(config: &SdkConfig, table: String) -> (DynamoDbLedger, FaultInterceptor) {
    let interceptor = FaultInterceptor::default();
    let config =
        aws_sdk_dynamodb::config::Builder::from(config).interceptor(interceptor.clone()).build();
    let client = aws_sdk_dynamodb::Client::from_conf(config);
    let ledger = DynamoDbLedger::new(client, table, ledger::REMEMBER);
    (ledger, interceptor)
}

impl ledger::LedgerSuite for Ledger {
    type Ledger = DynamoDbLedger;

    fn ledger(&self) -> &DynamoDbLedger {
        &self.port
    }

    fn next_call(&self, fault: CallFault) {
        self.interceptor.set(fault);
    }

    async fn item(&self, key: &EventKey) -> Result<BTreeMap<String, String>> {
        Ok(self.aws.item(key.as_str()).await?.into_iter().collect())
    }
}

/// The ledger in the table of the benchmark.
pub(super) struct LedgerInStandIn {
    table: Table,
    port: DynamoDbLedger,
    interceptor: FaultInterceptor,
}

impl LedgerInStandIn {
    pub(super) async fn start() -> Result<Self> {
        let table = Table::start("EventId").await?;
        let (port, interceptor) = ledger_in(&aws_at(&table.url()), "any".to_owned());
        Ok(Self { table, port, interceptor })
    }
}

impl ledger::LedgerSuite for LedgerInStandIn {
    type Ledger = DynamoDbLedger;

    fn ledger(&self) -> &DynamoDbLedger {
        &self.port
    }

    fn next_call(&self, fault: CallFault) {
        self.interceptor.set(fault);
    }

    async fn item(&self, key: &EventKey) -> Result<BTreeMap<String, String>> {
        let mut items = self.table.items().into_iter();
        let item = items.find(|item| item["EventId"]["S"] == key.as_str());
        let attributes = item.unwrap_or_default().into_iter();
        Ok(attributes
            .filter_map(|(name, value)| {
                let text = value.get("S").or_else(|| value.get("N"));
                let flag = || Some(value.get("BOOL")?.to_string());
                let text = text.and_then(|text| text.as_str()).map(str::to_owned);
                Some((name, text.or_else(flag)?))
            })
            .collect())
    }
}

pub(super) struct Archive {
    aws: LocalAws,
    bucket: String,
    port: S3Archive,
    interceptor: FaultInterceptor,
}

impl Archive {
    pub(super) async fn start() -> Result<Self> {
        let aws = LocalAws::start().await?;
        let bucket = aws.create_bucket().await?;
        let interceptor = FaultInterceptor::default();
        let config = aws_sdk_s3::config::Builder::from(&aws.config())
            .force_path_style(true)
            .interceptor(interceptor.clone())
            .build();
        let client = aws_sdk_s3::Client::from_conf(config);
        Ok(Self {
            port: S3Archive::new(client, bucket.clone(), "dlq/archives/".to_owned()),
            aws,
            bucket,
            interceptor,
        })
    }
}

impl archive::ArchiveSuite for Archive {
    type Archive = S3Archive;

    fn archive(&self) -> &S3Archive {
        &self.port
    }

    fn next_call(&self, fault: CallFault) {
        self.interceptor.set(fault);
    }

    async fn objects(&self) -> Result<BTreeMap<String, Value>> {
        Ok(self.aws.objects(&self.bucket).await?.into_iter().collect())
    }
}

pub(super) struct Queues {
    aws: LocalAws,
    sqs: aws_sdk_sqs::Client,
    port: SqsQueue,
    interceptor: FaultInterceptor,
}

impl Queues {
    pub(super) async fn start() -> Result<Self> {
        let aws = LocalAws::start().await?;
        let interceptor = FaultInterceptor::default();
        let config = aws_sdk_sqs::config::Builder::from(&aws.config())
            .interceptor(interceptor.clone())
            .build();
        Ok(Self {
            port: SqsQueue::new(aws_sdk_sqs::Client::from_conf(config)),
            sqs: aws_sdk_sqs::Client::new(&aws.config()),
            aws,
            interceptor,
        })
    }
}

impl queue::QueueSuite for Queues {
    type Queue = SqsQueue;

    fn queue(&self) -> &SqsQueue {
        &self.port
    }

    fn next_call(&self, fault: CallFault) {
        self.interceptor.set(fault);
    }

    async fn create(&self, parking: Option<(&str, u32)>) -> Result<String> {
        let arn = self.aws.create_queue(false).await?;
        if let Some((parking, max_receives)) = parking {
            let policy = serde_json::json!({
                "deadLetterTargetArn": parking,
                "maxReceiveCount": max_receives,
            });
            self.sqs
                .set_queue_attributes()
                .queue_url(self.aws.queue_url(&arn).await?)
                .attributes(QueueAttributeName::RedrivePolicy, policy.to_string())
                .send()
                .await?;
        }
        Ok(arn)
    }

    async fn send(&self, arn: &str, body: &str) -> Result<()> {
        let url = self.aws.queue_url(arn).await?;
        let send = self.sqs.send_message().queue_url(url);
        send.message_body(body).send().await?;
        Ok(())
    }

    async fn receive(&self, arn: &str) -> Result<Vec<Received>> {
        let messages = self.aws.receive(arn, i32::try_from(queue::VISIBILITY.as_secs())?).await?;
        let received = messages.into_iter().map(|message| {
            let count = MessageSystemAttributeName::ApproximateReceiveCount;
            let attributes = message.attributes.unwrap_or_default();
            let count = attributes.get(&count).ok_or("no receive count")?;
            Ok(Received {
                message_id: message.message_id.and_then(MessageId::new).ok_or("no id")?,
                receipt_handle: message.receipt_handle.ok_or("no receipt")?,
                receive_count: count.parse()?,
                sent_at: Timestamp::from_millis(0),
                draft: message.body.unwrap_or_default().as_str().into(),
            })
        });
        received.collect()
    }

    async fn delete(&self, arn: &str, receipt_handle: &str) -> Result<()> {
        let url = self.aws.queue_url(arn).await?;
        let delete = self.sqs.delete_message().queue_url(url);
        delete.receipt_handle(receipt_handle).send().await?;
        Ok(())
    }

    async fn visibility_timeouts(&self, arn: &str) -> Result<Vec<Duration>> {
        let visibility_timeouts = self.aws.visibility_timeouts(arn).await?.into_iter();
        Ok(visibility_timeouts
            .map(|wait| Duration::from_secs(wait.try_into().unwrap_or_default()))
            .collect())
    }
}

/// Makes the stand-in fail its next call to Genesys Cloud of this kind. A lost response is cut off, because the client
/// repeats a request whose connection is closed before a response.
pub(super) fn inject(stand_in: &StandIn, method: &str, path: &str, fault: CallFault) {
    let rule = Fault::on(method, path).times(1);
    stand_in.fault(match fault {
        CallFault::NoEffect => rule.status(503),
        CallFault::ResponseLost => rule.act().truncate(),
    });
}

pub(super) struct Genesys {
    harness: ReplayHarness,
    form: ApiForm,
    port: GenesysClient,
}

impl Genesys {
    pub(super) async fn with_form(form: ApiForm) -> Result<Self> {
        let mut harness = ReplayHarness::start().await?;
        harness.set("GENESYS_API", form.as_str());
        let client = match harness.function()?.retry_state {
            RetryState::Required(client) | RetryState::BestEffort(client) => client,
            RetryState::Off => return Err("no client".into()),
        };
        Ok(Self { harness, form, port: client })
    }
}

impl genesys::GenesysSuite for Genesys {
    type Genesys = GenesysClient;

    fn genesys(&self) -> &GenesysClient {
        &self.port
    }

    fn form(&self) -> ApiForm {
        self.form
    }

    fn next_call(&self, call: Call, fault: CallFault) {
        let (method, path) = match call {
            Call::Token => ("POST", "/oauth/token"),
            Call::Fetch | Call::Subscription | Call::FailedEvents => ("GET", "/api/v2/"),
            Call::Mark => ("PATCH", "/api/v2/"),
            Call::Analytics | Call::Reinject => ("POST", "/api/v2/analytics/"),
        };
        inject(&self.harness.genesys, method, path, fault);
    }

    /// Creates participants. Interactions of the legacy sample API exist without participants.
    fn put_participants(&self, interaction: &str, participants: &[(&str, &str)]) {
        let stand_in = &self.harness.genesys;
        stand_in.put_participants(interaction, participants);
    }

    fn forget(&self, interaction: &str) {
        for method in ["GET", "PATCH"] {
            let unknown = Fault::on(method, interaction).status(404);
            self.harness.genesys.fault(unknown);
        }
    }

    fn marks(&self, interaction: &InteractionId) -> Vec<(Interaction, String)> {
        let calls = self.harness.genesys.calls_to("PATCH", "/api/v2/").into_iter();
        calls
            .filter(|call| call.acted)
            .filter_map(|call| Some((marked(&call.path)?, mark(&call.body)?)))
            .filter(|(marked, _)| match marked {
                Interaction::Conversation { id, .. } | Interaction::Record { id } => {
                    id == interaction
                }
            })
            .collect()
    }
}

/// Returns the location of the mark of a PATCH with this path.
fn marked(path: &str) -> Option<Interaction> {
    let segments: Vec<_> = path.split('/').collect();
    match segments.as_slice() {
        ["", "api", "v2", "conversations", id, "participants", participant, "attributes"] => {
            Some(Interaction::Conversation {
                id: InteractionId::new(*id)?,
                participant: InteractionId::new(*participant)?,
            })
        }
        ["", "api", "v2", "interactions", id] => {
            Some(Interaction::Record { id: InteractionId::new(*id)? })
        }
        _ => None,
    }
}
