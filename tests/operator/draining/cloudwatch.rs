//! A stand-in of `CloudWatch`, because the local AWS does not read the SDK's requests.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use ciborium::Value;
use mockito::{Mock, ServerGuard};

/// A service that answers every request in the same way.
pub(crate) struct CloudWatch {
    server: ServerGuard,
    _answer: Mock,
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn map(entries: Vec<(&str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(name, value)| (text(name), value)).collect())
}

impl CloudWatch {
    /// Answers with metrics by the id of their query. Each has a value of each of the last minutes, the latest first.
    pub(crate) async fn with_metrics(metrics: &[(&str, &[f64])]) -> Result<Self, Box<dyn Error>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let results = metrics.iter().map(|(id, values)| {
            let minutes = (1_u64..).take(values.len());
            let times = minutes.map(|minutes| {
                Value::Tag(1, Box::new(Value::Integer((now - minutes * 60).into())))
            });
            map(vec![
                ("Id", text(id)),
                ("StatusCode", text("Complete")),
                ("Timestamps", Value::Array(times.collect())),
                ("Values", Value::Array(values.iter().copied().map(Value::Float).collect())),
            ])
        });
        let answer = map(vec![("MetricDataResults", Value::Array(results.collect()))]);
        Self::answering(200, &answer).await
    }

    /// Refuses every request.
    pub(crate) async fn denied() -> Result<Self, Box<dyn Error>> {
        let code = "com.amazonaws.cloudwatch#AccessDeniedException";
        Self::answering(400, &map(vec![("__type", text(code))])).await
    }

    async fn answering(status: usize, answer: &Value) -> Result<Self, Box<dyn Error>> {
        let mut body = Vec::new();
        ciborium::into_writer(answer, &mut body)?;
        let mut server = mockito::Server::new_async().await;
        let mock = server
            .mock("POST", mockito::Matcher::Any)
            .with_status(status)
            .with_header("smithy-protocol", "rpc-v2-cbor")
            .with_header("content-type", "application/cbor")
            .with_body(body);
        Ok(Self { _answer: mock.create_async().await, server })
    }

    /// Returns the variable that names this endpoint.
    pub(crate) fn endpoint(&self) -> (&'static str, String) {
        ("AWS_ENDPOINT_URL_CLOUDWATCH", self.server.url())
    }
}
