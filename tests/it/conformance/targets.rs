//! The suite on the targets: the stand-in for HTTP, the local AWS for targets with an ARN.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use genesys_fakes::conformance::target::{Arrival, TargetSuite};
use genesys_fakes::conformance::{CallFault, Result};
use genesys_replay::destination::Destination;
use genesys_replay::target::Delivery;
use genesys_replay_lambda::app;
use genesys_replay_settings::Settings;
use genesys_replay_targets::aws::{AwsTargets, RegionalClients};
use genesys_replay_targets::{KnownBuses, Targets};
use genesys_stand_in::{Call, Fault};
use genesys_test_support::{LocalAws, ReplayHarness, aws_at, eventually};
use serde_json::Value;
use url::Url;

use super::real::FaultInterceptor;

/// The path of the stage at a local API Gateway.
const LOCAL_API: &str = "/_aws/execute-api/a1b2c3/live";

/// The ways to an HTTP endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpEndpoint {
    Url,
    ApiDestination,
    ApiGateway,
}

/// HTTP endpoints.
pub(super) struct Http {
    endpoint: HttpEndpoint,
    harness: ReplayHarness,
    port: Targets,
    created: AtomicU32,
    /// The paths of API destinations, by ARN.
    paths: Mutex<BTreeMap<String, String>>,
}

impl Http {
    pub(super) async fn start(endpoint: HttpEndpoint) -> Result<Self> {
        let harness = ReplayHarness::start().await?;
        let mut port = harness.function()?.target;
        if endpoint == HttpEndpoint::ApiGateway {
            // The stand-in plays API Gateway.
            let settings = harness.settings().clone();
            let settings = Settings::from_lookup(|name| settings.get(name).cloned())?;
            let aws = aws_at(&harness.genesys.url()).into_builder();
            let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
            let aws = aws.credentials_provider(credentials).build();
            port.api_gateways = app::build(settings, &aws)?.target.api_gateways;
        }
        Ok(Self { endpoint, port, harness, created: AtomicU32::new(0), paths: Mutex::default() })
    }
}

impl TargetSuite for Http {
    type Target = Targets;

    fn target(&self) -> &Targets {
        &self.port
    }

    async fn destination(&self) -> Result<Destination> {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        let path = format!("/targets/crm-{number}");
        let url = format!("{}{path}", self.harness.genesys.url());
        Ok(match self.endpoint {
            HttpEndpoint::Url => Destination::Http(Url::parse(&url)?),
            HttpEndpoint::ApiDestination => {
                let arn = self.harness.aws.create_api_destination(&url).await?;
                let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
                paths.insert(arn.clone(), path);
                Destination::of_arn(&arn)
            }
            HttpEndpoint::ApiGateway => Destination::of_arn(&format!(
                "arn:aws:execute-api:us-east-1:000000000000:a1b2c3/live/POST{path}"
            )),
        })
    }

    fn drops_duplicates(&self) -> bool {
        false
    }

    fn next_call(&self, fault: CallFault) {
        let rule = Fault::on("POST", "/targets/").times(1);
        self.harness.genesys.fault(match fault {
            CallFault::NoEffect => rule.status(503),
            CallFault::ResponseLost => rule.act().close(),
        });
    }

    fn shown(&self, delivery: &Delivery<'_>) -> Arrival {
        Arrival { key: Some(delivery.key.digest()), ..Arrival::whole(delivery) }
    }

    async fn arrivals(&self, destination: &Destination, _: usize) -> Result<Vec<Arrival>> {
        let calls = self.harness.genesys.calls_to("POST", "/targets/").into_iter();
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let created = paths.get(destination.key_part()).map(String::as_str);
        let place = created.unwrap_or(destination.key_part()).to_owned();
        let path = |call: &Call| call.path.trim_start_matches(LOCAL_API).to_owned();
        let here = calls.filter(|call| call.acted && place.ends_with(&path(call)));
        let arrivals = here.map(|call| Arrival {
            key: call.headers.get("idempotency-key").cloned(),
            attempt_count: call.headers.get("x-attempt-count").and_then(|count| count.parse().ok()),
            payload: call.body,
        });
        Ok(arrivals.collect())
    }

    fn calls(&self) -> usize {
        self.harness.deliveries()
    }
}

/// The AWS services that are targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Queue,
    FifoQueue,
    Topic,
    FifoTopic,
    Function,
    StateMachine,
    EventBus,
    Kinesis,
    Firehose,
    LogGroup,
}

/// Targets of one service.
pub(super) struct Aws {
    service: Service,
    harness: ReplayHarness,
    port: Targets,
    interceptor: FaultInterceptor,
    /// The queue or URL that shows the delivered events, by destination.
    windows: Mutex<BTreeMap<String, String>>,
}

impl Aws {
    pub(super) async fn start(service: Service) -> Result<Self> {
        let harness = ReplayHarness::start().await?;
        harness.genesys.fault(Fault::on("POST", "/out-of-service").status(503));
        let interceptor = FaultInterceptor::with_unavailable_url(format!(
            "{}/out-of-service",
            harness.genesys.url()
        ));
        // As in the program: one delivery is one attempt.
        let aws = harness.aws.config().into_builder();
        let aws = aws.retry_config(RetryConfig::disabled()).build();
        let function = harness.function()?;
        let (mut port, in_clients) = (function.target, interceptor.clone());
        port.aws = AwsTargets::new(Box::new(move |_| clients(&aws, &in_clients)), function.clock);
        Ok(Self { service, harness, port, interceptor, windows: Mutex::default() })
    }

    /// Returns the delivered events of a destination.
    async fn seen(&self, window: &str) -> Result<Vec<Arrival>> {
        match self.service {
            Service::Queue | Service::FifoQueue | Service::Topic | Service::FifoTopic => {
                self.messages(window, str::to_owned).await
            }
            Service::EventBus => {
                self.messages(window, |envelope| {
                    let envelope: Value = serde_json::from_str(envelope).unwrap_or_default();
                    envelope["detail"].to_string()
                })
                .await
            }
            Service::Function => {
                let calls = self.harness.genesys.calls_to("POST", window).into_iter();
                let here = calls.filter(|call| call.path == window);
                Ok(here.map(|call| payload(as_json(&call.body))).collect())
            }
            Service::Kinesis => {
                let records = self.harness.aws.stream_records(window).await?.into_iter();
                Ok(records.map(|(key, data)| Arrival { key: Some(key), ..payload(data) }).collect())
            }
            Service::Firehose => {
                let stored = self.harness.aws.firehose_records(window).await?;
                Ok(stored.into_iter().map(payload).collect())
            }
            Service::LogGroup => {
                let events = self.harness.aws.log_events(window).await?;
                Ok(events.into_iter().map(|(_, message)| payload(message)).collect())
            }
            Service::StateMachine => {
                let executions = self.harness.aws.executions(window).await?.into_iter();
                let arrivals = executions.map(|(name, input)| Arrival {
                    // The name ends with the hash of the key.
                    key: name.rsplit('-').next().map(str::to_owned),
                    ..payload(input)
                });
                Ok(arrivals.collect())
            }
        }
    }

    async fn messages(&self, queue: &str, event: impl Fn(&str) -> String) -> Result<Vec<Arrival>> {
        let messages = self.harness.aws.receive(queue, 0).await?.into_iter();
        let id = MessageSystemAttributeName::MessageDeduplicationId;
        let arrivals = messages.map(|message| Arrival {
            key: message.attributes().and_then(|all| all.get(&id)).cloned(),
            ..payload(event(message.body().unwrap_or_default()))
        });
        Ok(arrivals.collect())
    }
}

impl TargetSuite for Aws {
    type Target = Targets;

    fn target(&self) -> &Targets {
        &self.port
    }

    async fn destination(&self) -> Result<Destination> {
        let aws = &self.harness.aws;
        let (arn, window) = match self.service {
            Service::Queue | Service::FifoQueue => {
                let fifo = self.service == Service::FifoQueue;
                let queue = aws.create_queue(fifo).await?;
                (queue.clone(), queue)
            }
            Service::Topic | Service::FifoTopic => {
                let fifo = self.service == Service::FifoTopic;
                let queue = aws.create_queue(fifo).await?;
                (aws.create_topic(&queue, fifo).await?, queue)
            }
            Service::EventBus => {
                let queue = aws.create_queue(false).await?;
                (aws.create_event_bus(&queue).await?, queue)
            }
            Service::Function => {
                let path = format!("/targets/{}", LocalAws::name("function"));
                let url = format!("{}{path}", self.harness.genesys.url());
                (aws.create_function(&url).await?, path)
            }
            Service::Kinesis => {
                let stream = aws.create_stream().await?;
                (stream.clone(), stream)
            }
            Service::Firehose => aws.create_firehose().await?,
            // With its stream, because a first call without it has no effect.
            Service::LogGroup => aws.create_log_group(Some("genesys-replay")).await?,
            Service::StateMachine => {
                let state_machine = aws.create_state_machine().await?;
                (state_machine.clone(), state_machine)
            }
        };
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.insert(arn.clone(), window);
        Ok(Destination::of_arn(&arn))
    }

    fn drops_duplicates(&self) -> bool {
        match self.service {
            Service::FifoQueue | Service::FifoTopic | Service::StateMachine => true,
            Service::Queue
            | Service::Topic
            | Service::Function
            | Service::EventBus
            | Service::Kinesis
            | Service::Firehose
            | Service::LogGroup => false,
        }
    }

    fn next_call(&self, fault: CallFault) {
        self.interceptor.set(fault);
    }

    fn shown(&self, delivery: &Delivery<'_>) -> Arrival {
        let raw = payload(delivery.payload.to_owned());
        let digest = delivery.key.digest();
        match self.service {
            Service::Queue | Service::Topic | Service::Firehose | Service::LogGroup => raw,
            // The partition key is the event's id.
            Service::Kinesis => Arrival { key: Some(delivery.key.event_id().to_owned()), ..raw },
            Service::FifoQueue | Service::FifoTopic => Arrival { key: Some(digest), ..raw },
            Service::StateMachine => {
                Arrival { key: Some(digest.chars().take(32).collect()), ..raw }
            }
            // These services re-serialize the event.
            Service::Function | Service::EventBus => payload(as_json(delivery.payload)),
        }
    }

    async fn arrivals(&self, destination: &Destination, least: usize) -> Result<Vec<Arrival>> {
        let window = {
            let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            let window = windows.get(destination.key_part()).cloned();
            window.ok_or("no such destination")?
        };
        eventually(&format!("{least} deliveries arrive"), async || {
            let seen = self.seen(&window).await?;
            Ok((seen.len() >= least).then_some(seen))
        })
        .await
    }

    fn calls(&self) -> usize {
        self.interceptor.calls()
    }
}

/// Returns an arrival with the event only.
fn payload(payload: String) -> Arrival {
    Arrival { payload, key: None, attempt_count: None }
}

/// Returns a normalized JSON text.
fn as_json(text: &str) -> String {
    serde_json::from_str(text).map_or_else(|_| text.to_owned(), |value: Value| value.to_string())
}

macro_rules! with_interceptor {
    ($sdk:ident, $aws:expr, $interceptor:expr) => {
        $sdk::Client::from_conf(
            $sdk::config::Builder::from($aws).interceptor($interceptor.clone()).build(),
        )
    };
}

fn clients(aws: &SdkConfig, interceptor: &FaultInterceptor) -> RegionalClients {
    RegionalClients {
        lambda: with_interceptor!(aws_sdk_lambda, aws, interceptor),
        sqs: with_interceptor!(aws_sdk_sqs, aws, interceptor),
        kinesis: with_interceptor!(aws_sdk_kinesis, aws, interceptor),
        firehose: with_interceptor!(aws_sdk_firehose, aws, interceptor),
        logs: with_interceptor!(aws_sdk_cloudwatchlogs, aws, interceptor),
        custom_buses: with_interceptor!(aws_sdk_eventbridgev2, aws, interceptor),
        secrets: with_interceptor!(aws_sdk_secretsmanager, aws, interceptor),
        sns: with_interceptor!(aws_sdk_sns, aws, interceptor),
        step_functions: with_interceptor!(aws_sdk_sfn, aws, interceptor),
        event_bridge: with_interceptor!(aws_sdk_eventbridge, aws, interceptor),
        buses: KnownBuses::default(),
    }
}
