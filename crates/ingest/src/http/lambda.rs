//! Ingest as a Lambda function behind a function URL or an HTTP API: events in payload format 2.0, and their answers.
//!
//! Strangers choose most parts of an event, so every event gets an answer. The crate `lambda_http` was rejected,
//! because it panics on queries, paths, bodies and numbers of headers that strangers can send.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_replay::clock::Timestamp;
use genesys_replay_telemetry as telemetry;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use lambda_runtime::{Context, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{IngestService, Work, router};
use crate::{IngestPorts, Refusal, RequestFault};

/// The time before the end of an invocation in which the answer is written.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// A mark on requests that AWS IAM has authorized. Only [`LambdaEdge`] sets it, from a part of the event that AWS
/// writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct IamAuthorized;

/// The edge of ingest to Lambda.
pub struct LambdaEdge<P: IngestPorts> {
    service: Arc<IngestService<P>>,
    router: TowerToHyperService<Router>,
}

/// An event in payload format 2.0. Cookies and parsed queries have no use here and are not read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestEvent {
    raw_path: String,
    raw_query_string: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    request_context: EventContext,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct EventContext {
    http: EventHttp,
    #[serde(default)]
    authorizer: Value,
}

#[derive(Deserialize)]
struct EventHttp {
    method: String,
}

/// An answer in payload format 2.0.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventAnswer {
    /// The status.
    pub status_code: u16,
    /// The headers.
    pub headers: BTreeMap<String, String>,
    /// The body, always text.
    pub body: String,
    is_base64_encoded: bool,
}

/// Answers the events of this environment, until Lambda ends it.
///
/// # Errors
/// The Runtime API is not reachable.
pub async fn run<P: IngestPorts>(
    service: Arc<IngestService<P>>,
) -> Result<(), lambda_runtime::Error> {
    let edge = Arc::new(LambdaEdge::new(service));
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let edge = Arc::clone(&edge);
        async move {
            let deadline = event.context.deadline();
            let answer = edge.answer(event.payload.get(), event.context).await;
            let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
            telemetry::flush(left).await;
            Ok::<_, Infallible>(answer)
        }
    }))
    .await
}

impl<P: IngestPorts> LambdaEdge<P> {
    /// Creates the edge of this service.
    #[must_use]
    pub fn new(service: Arc<IngestService<P>>) -> Self {
        let router = TowerToHyperService::new(router(Arc::clone(&service)));
        Self { service, router }
    }

    /// Answers one event. An event that is not a request in payload format 2.0 gets a 400.
    pub async fn answer(&self, event: &str, context: Context) -> EventAnswer {
        let response = match request(event) {
            Ok(mut request) => {
                request.extensions_mut().insert(context);
                let Ok(response) = self.router.call(request).await;
                response
            }
            Err(fault) => {
                let mut request = Request::default();
                request.extensions_mut().insert(context);
                let refusal = Refusal::RequestMalformed(fault);
                self.service.answer(None, request, Work::Refuse(refusal)).await
            }
        };
        EventAnswer::of(response).await
    }
}

/// Returns the time at which the work on a request must end; `None` outside of Lambda.
pub(super) fn ends(extensions: &Extensions, now: Timestamp) -> Option<Instant> {
    let context = extensions.get::<Context>()?;
    let left = Duration::from_millis(context.deadline.saturating_sub(now.as_millis()));
    Some(Instant::now() + left.saturating_sub(ANSWER_TIME))
}

fn request(event: &str) -> Result<Request, RequestFault> {
    let event: RequestEvent = serde_json::from_str(event).map_err(|_| RequestFault::Event)?;
    let method = event.request_context.http.method;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| RequestFault::Method)?;
    let uri = uri(&event.raw_path, event.raw_query_string.as_deref().unwrap_or_default())?;
    let mut headers = HeaderMap::new();
    for (name, value) in event.headers.unwrap_or_default() {
        let name = HeaderName::try_from(name).map_err(|_| RequestFault::Header)?;
        let value = HeaderValue::try_from(value.into_bytes()).map_err(|_| RequestFault::Header)?;
        headers.try_append(name, value).map_err(|_| RequestFault::Header)?;
    }
    let body = event.body.unwrap_or_default();
    let body = if event.is_base64_encoded.unwrap_or_default() {
        STANDARD.decode(body).map_err(|_| RequestFault::Base64)?
    } else {
        body.into_bytes()
    };
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    if is_authorized(&event.request_context.authorizer) {
        request.extensions_mut().insert(IamAuthorized);
    }
    Ok(request)
}

/// Returns the URI of this path and query. The server refuses the same URIs.
fn uri(path: &str, query: &str) -> Result<Uri, RequestFault> {
    let uri = Uri::try_from(path).map_err(|_| RequestFault::Path)?;
    // Otherwise a path with a question mark would be the path of another route.
    if !path.starts_with('/') || uri.path() != path {
        return Err(RequestFault::Path);
    }
    if query.is_empty() {
        return Ok(uri);
    }
    Uri::try_from(format!("{path}?{query}")).map_err(|_| RequestFault::Query)
}

/// Returns true if AWS IAM has authorized a request in front of the function. Only AWS writes this part of an event.
fn is_authorized(authorizer: &Value) -> bool {
    authorizer["iam"].as_object().is_some_and(|caller| !caller.is_empty())
}

impl EventAnswer {
    async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let headers = head.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        // A body in memory is read without an error.
        let body = body.collect().await.map(http_body_util::Collected::to_bytes);
        Self {
            status_code: head.status.as_u16(),
            headers: headers.collect(),
            body: String::from_utf8_lossy(&body.unwrap_or_default()).into_owned(),
            is_base64_encoded: false,
        }
    }
}
