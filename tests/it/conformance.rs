//! The contract of every port, checked on the in-memory fake and on the real adapter.
//!
//! A suite is one test per implementation. A failure names its cases. Shared behaviour belongs in
//! `tests/fakes/src/conformance/`, behaviour of the wire only in the other files of this folder.

mod fakes;
mod ingest;
mod real;
mod targets;

use genesys_fakes::Flaw;
use genesys_fakes::conformance::{
    archive, genesys, ledger, message_sender, queue, secret, subscriptions, target,
};
use genesys_replay::genesys::{ApiForm, SubscriptionForm};
use genesys_test_support::{LocalAws, TestResult};

use self::targets::{HttpEndpoint, Service};

#[tokio::test]
async fn ledger_in_memory_keeps_the_contract() -> TestResult {
    ledger::conforms(&fakes::Ledger::new()).await
}

#[tokio::test]
async fn ledger_with_an_injected_flaw_fails_the_contract() {
    for flaw in Flaw::ALL {
        let suite = ledger::conforms(&fakes::Ledger::flawed(flaw)).await;
        assert!(suite.is_err(), "{flaw:?} passes");
    }
}

#[tokio::test]
async fn ledger_in_dynamodb_keeps_the_contract() -> TestResult {
    ledger::conforms(&real::Ledger::of(LocalAws::start().await?)).await
}

#[tokio::test]
async fn ledger_in_the_benchmark_table_keeps_the_contract() -> TestResult {
    ledger::conforms(&real::LedgerInStandIn::start().await?).await
}

#[tokio::test]
#[ignore = "make test DYNAMODB_LOCAL=1 runs it: it needs Java and Amazon's DynamoDB Local"]
async fn ledger_in_dynamodb_local_keeps_the_contract() -> TestResult {
    ledger::conforms(&real::Ledger::of(LocalAws::dynamodb_local().await?)).await
}

#[tokio::test]
async fn archive_in_memory_keeps_the_contract() -> TestResult {
    archive::conforms(&fakes::Archive::new()).await
}

#[tokio::test]
async fn archive_in_s3_keeps_the_contract() -> TestResult {
    archive::conforms(&real::Archive::start().await?).await
}

#[tokio::test]
async fn queues_in_memory_keep_the_contract() -> TestResult {
    queue::conforms(&fakes::Queues::new()).await
}

#[tokio::test]
async fn queues_in_sqs_keep_the_contract() -> TestResult {
    queue::conforms(&real::Queues::start().await?).await
}

#[tokio::test]
async fn target_in_memory_keeps_the_contract() -> TestResult {
    target::conforms(&fakes::Target::new()).await
}

#[tokio::test]
async fn target_over_http_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Http::start(HttpEndpoint::Url).await?).await
}

#[tokio::test]
async fn target_at_an_api_destination_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Http::start(HttpEndpoint::ApiDestination).await?).await
}

#[tokio::test]
async fn target_at_api_gateway_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Http::start(HttpEndpoint::ApiGateway).await?).await
}

#[tokio::test]
async fn target_in_sqs_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Aws::start(Service::Queue).await?).await
}

#[tokio::test]
async fn target_in_a_fifo_queue_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Aws::start(Service::FifoQueue).await?).await
}

#[tokio::test]
async fn target_in_sns_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Aws::start(Service::Topic).await?).await
}

#[tokio::test]
async fn target_in_a_fifo_topic_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Aws::start(Service::FifoTopic).await?).await
}

#[tokio::test]
async fn target_in_lambda_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Aws::start(Service::Function).await?).await
}

#[tokio::test]
async fn target_in_step_functions_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Aws::start(Service::StateMachine).await?).await
}

#[tokio::test]
async fn target_on_an_event_bus_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Aws::start(Service::EventBus).await?).await
}

#[tokio::test]
async fn target_in_kinesis_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Aws::start(Service::Kinesis).await?).await
}

#[tokio::test]
async fn target_in_firehose_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Aws::start(Service::Firehose).await?).await
}

#[tokio::test]
async fn target_in_a_log_group_keeps_the_contract() -> TestResult {
    target::conforms(&targets::Aws::start(Service::LogGroup).await?).await
}

#[tokio::test]
async fn genesys_in_memory_keeps_the_contract_in_both_api_forms() -> TestResult {
    for form in [ApiForm::Conversations, ApiForm::Interactions] {
        genesys::conforms(&fakes::Genesys::with_form(form)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn genesys_client_keeps_the_contract_with_conversations() -> TestResult {
    genesys::conforms(&real::Genesys::with_form(ApiForm::Conversations).await?).await
}

#[tokio::test]
async fn genesys_client_keeps_the_contract_with_interactions() -> TestResult {
    genesys::conforms(&real::Genesys::with_form(ApiForm::Interactions).await?).await
}

#[tokio::test]
async fn message_sender_in_memory_keeps_the_contract() -> TestResult {
    for is_fifo in [false, true] {
        message_sender::conforms(&ingest::SenderInMemory::new(is_fifo)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn message_sender_in_sqs_keeps_the_contract() -> TestResult {
    message_sender::conforms(&ingest::SenderInSqs::start(false).await?).await
}

#[tokio::test]
async fn message_sender_in_a_fifo_queue_keeps_the_contract() -> TestResult {
    message_sender::conforms(&ingest::SenderInSqs::start(true).await?).await
}

#[tokio::test]
async fn subscriptions_in_memory_keep_the_contract() -> TestResult {
    subscriptions::conforms(&ingest::SubscriptionsInMemory::new()).await
}

#[tokio::test]
async fn subscriptions_in_genesys_keep_the_contract_in_both_api_forms() -> TestResult {
    for form in [SubscriptionForm::EventStreams, SubscriptionForm::Integration] {
        let harness = ingest::SubscriptionsOfGenesys::with_form(form).await?;
        subscriptions::conforms(&harness).await?;
    }
    Ok(())
}

#[tokio::test]
async fn secret_in_memory_keeps_the_contract() -> TestResult {
    secret::conforms(&ingest::SecretInMemory::new()).await
}

#[tokio::test]
async fn secret_in_secrets_manager_keeps_the_contract() -> TestResult {
    secret::conforms(&ingest::SecretInSecretsManager::start().await?).await
}
