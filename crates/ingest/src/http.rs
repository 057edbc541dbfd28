//! The edge of ingest: from an HTTP request to a queued message, and back to the answer.
//!
//! One router serves a function URL, an HTTP API ([`lambda`]) and the standalone [`server`].

mod answer;
mod body;
mod buffer;
mod connections;
mod counted_stream;
pub mod lambda;
pub mod log;
pub mod metrics;
mod progress;
pub mod server;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::FutureExt;
use genesys_replay::meter::UpstreamCounters;
use genesys_replay_aws::sqs_inlet::transfer_time;
use genesys_replay_telemetry as telemetry;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::{
    AcceptedRequest, Authentication, AuthenticationError, BasePath, ClaimedIds, Ingest,
    IngestPorts, Refusal, RequestSummary,
};
use body::{BodyReader, BufferedBody};
use connections::ConnectionHandle;
use lambda::IamAuthorized;
use log::Handled;
use metrics::{IngestMetrics, RequestFigures};

/// The maximum time from an authenticated body to the answer, without the time in which the body reaches SQS. Senders
/// such as Genesys Cloud stop waiting after 5 s.
const QUEUEING_TIME: Duration = Duration::from_millis(4_500);

/// The shared state of the HTTP handlers.
pub struct IngestService<P: IngestPorts> {
    ingest: Ingest<P>,
    bodies: BodyReader,
    metrics: IngestMetrics,
    meter: Arc<UpstreamCounters>,
    base_path: BasePath,
}

/// The paths that accept events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    DeadLetter,
    Webhook,
}

impl Route {
    const fn path(self) -> &'static str {
        match self {
            Self::DeadLetter => "/dead-letter",
            Self::Webhook => "/webhooks/genesys-outbound",
        }
    }
}

/// The outcome of a request.
struct HandledRequest {
    summary: RequestSummary,
    /// The length of the body; `None` if the body was not read to its end.
    body_bytes: Option<usize>,
    result: Result<AcceptedRequest, Refusal>,
}

impl From<Refusal> for HandledRequest {
    fn from(refusal: Refusal) -> Self {
        Self { summary: RequestSummary::default(), body_bytes: None, result: Err(refusal) }
    }
}

impl<P: IngestPorts> IngestService<P> {
    /// Creates a service that accepts bodies of at most `most_bytes`.
    #[must_use]
    pub fn new(
        ingest: Ingest<P>,
        most_bytes: usize,
        metrics: IngestMetrics,
        meter: Arc<UpstreamCounters>,
    ) -> Self {
        let bodies = BodyReader::new(most_bytes);
        Self { ingest, bodies, metrics, meter, base_path: BasePath::default() }
    }

    /// Also accepts requests below this path.
    #[must_use]
    pub fn with_base_path(self, base_path: BasePath) -> Self {
        Self { base_path, ..self }
    }

    /// Returns the use case behind the service.
    #[must_use]
    pub const fn ingest(&self) -> &Ingest<P> {
        &self.ingest
    }

    /// Writes the metrics of the requests since the last write.
    pub fn flush_metrics(&self) {
        self.metrics.flush(self.ingest.clock.now(), self.meter.take());
    }

    async fn handle(&self, route: Route, request: Request) -> HandledRequest {
        let (head, body) = request.into_parts();
        let is_signed = matches!(self.ingest.authentication, Authentication::Signature(_));
        let said = said(&head.headers, route, is_signed);
        let mut body_bytes = None;
        let body = match self.read(route, &head, body, &mut body_bytes).await {
            Ok(body) => body,
            Err(refusal) => {
                let summary = RequestSummary::of(&said);
                return HandledRequest { summary, body_bytes, result: Err(refusal) };
            }
        };
        let queueing_ends = Instant::now() + QUEUEING_TIME + transfer_time(body.bytes.len());
        let ends = lambda::ends(&head.extensions, self.ingest.clock.now());
        let queued =
            timeout_at(ends.map_or(queueing_ends, |ends| ends.min(queueing_ends)), async {
                match route {
                    Route::DeadLetter => self.ingest.dead_letter(body.bytes, &said).await,
                    Route::Webhook => self.ingest.webhook(body.bytes, &said).await,
                }
            });
        let (summary, result) = match queued.await {
            Ok(queued) => queued,
            Err(_elapsed) => (RequestSummary::of(&said), Err(Refusal::OutOfTime)),
        };
        HandledRequest { summary, body_bytes, result }
    }

    /// Reads a body and authenticates its sender.
    async fn read(
        &self,
        route: Route,
        head: &Parts,
        body: Body,
        body_bytes: &mut Option<usize>,
    ) -> Result<BufferedBody<'_>, Refusal> {
        if let Some(refusal) = self.refused_by_head(route, head) {
            body::discard(&head.headers, body);
            return Err(refusal);
        }
        let connection = head.extensions.get::<Arc<ConnectionHandle>>().map(AsRef::as_ref);
        let body = self.bodies.read(&head.headers, connection, body).await?;
        *body_bytes = Some(body.bytes.len());
        if let Authentication::Signature(keys) = &self.ingest.authentication {
            keys.verify(&head.headers, &body.bytes).await?;
        }
        Ok(body)
    }

    /// Returns the refusal that the head of a request causes, before its body is read.
    fn refused_by_head(&self, route: Route, head: &Parts) -> Option<Refusal> {
        let fault = match &self.ingest.authentication {
            Authentication::Signature(keys) => keys.check_headers(&head.headers).err(),
            Authentication::Iam => head
                .extensions
                .get::<IamAuthorized>()
                .is_none()
                .then_some(AuthenticationError::NotAuthorized),
            Authentication::None => None,
        };
        let is_unreadable = route == Route::DeadLetter && !is_json(&head.headers);
        fault.map(Refusal::NotAuthenticated).or(is_unreadable.then_some(Refusal::MediaType))
    }

    /// Answers a request, even after a panic, and logs the result.
    async fn answer(&self, route: Option<Route>, request: Request, work: Work) -> Response {
        let started = Instant::now();
        let lambda = request.extensions().get::<lambda_runtime::Context>();
        let request_id = lambda.map(|lambda| lambda.request_id.clone());
        let xray_trace_id = lambda
            .and_then(|lambda| lambda.xray_trace_id.as_deref())
            .map(|header| telemetry::trace_id(header).to_owned());
        let span = tracing::error_span!("request", request_id, xray_trace_id);
        async {
            let path = route.map(Route::path);
            let has_body = !request.body().is_end_stream();
            let outcome = match (work, route) {
                (Work::Take, Some(route)) => AssertUnwindSafe(self.handle(route, request))
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_panic| Refusal::Internal.into()),
                (Work::Take, None) => refused(request, Refusal::NotFound),
                (Work::Refuse(refusal), _) => refused(request, refusal),
            };
            // Close the connection, because the rest of the body would be parsed as the next request.
            let closes_connection = has_body && outcome.body_bytes.is_none();
            let response = answer::response(
                route == Some(Route::DeadLetter),
                &outcome.result,
                closes_connection,
            );
            let duration = started.elapsed();
            log::request_handled(&Handled {
                route: path,
                status: response.status().as_u16(),
                summary: &outcome.summary,
                body_bytes: outcome.body_bytes.unwrap_or(0),
                result: &outcome.result,
                duration,
            });
            let figures = RequestFigures {
                status: response.status().as_u16(),
                is_malformed: outcome.summary.malformed.is_some() && outcome.result.is_ok(),
                duration,
            };
            if self.metrics.count(&figures) {
                self.flush_metrics();
            }
            telemetry::lines_written().await;
            response
        }
        .instrument(span)
        .await
    }
}

/// Refuses a request without reading its content.
fn refused(request: Request, refusal: Refusal) -> HandledRequest {
    let (head, body) = request.into_parts();
    body::discard(&head.headers, body);
    refusal.into()
}

/// The handling of a request.
enum Work {
    Take,
    Refuse(Refusal),
}

/// Returns the router of all paths, with and without the base path.
pub fn router<P: IngestPorts>(edge: Arc<IngestService<P>>) -> Router {
    let mut router = Router::new();
    for path in edge.base_path.forms_of("/health") {
        router = router.route(&path, get(answer::healthy).fallback(method_not_allowed::<P>));
    }
    for route in [Route::DeadLetter, Route::Webhook] {
        let take = move |State(edge): State<Arc<IngestService<P>>>, request: Request| async move {
            edge.answer(Some(route), request, Work::Take).await
        };
        let refuse = move |State(edge): State<Arc<IngestService<P>>>, request: Request| async move {
            let refusal = Refusal::Method { allowed: "POST" };
            edge.answer(Some(route), request, Work::Refuse(refusal)).await
        };
        for path in edge.base_path.forms_of(route.path()) {
            router = router.route(&path, post(take).fallback(refuse));
        }
    }
    router.fallback(not_found::<P>).with_state(edge)
}

async fn method_not_allowed<P: IngestPorts>(
    State(edge): State<Arc<IngestService<P>>>,
    request: Request,
) -> Response {
    let refusal = Refusal::Method { allowed: "GET" };
    edge.answer(None, request, Work::Refuse(refusal)).await
}

async fn not_found<P: IngestPorts>(
    State(edge): State<Arc<IngestService<P>>>,
    request: Request,
) -> Response {
    edge.answer(None, request, Work::Take).await
}

/// Returns true if a request declares an unencoded JSON body.
fn is_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let plain = text(header::CONTENT_ENCODING).is_none_or(|it| it.eq_ignore_ascii_case("identity"));
    let kind = text(header::CONTENT_TYPE)
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    plain
        && (kind == "application/json"
            || (kind.starts_with("application/") && kind.ends_with("+json")))
}

/// Returns the ids in the headers. If senders sign, only signed headers count. Otherwise Genesys Cloud's own headers
/// come first on the path for its webhooks.
fn said(headers: &HeaderMap, route: Route, is_signed: bool) -> ClaimedIds {
    const GENESYS: [&str; 2] = ["x-genesys-webhook-id", "x-genesys-webhook-timestamp"];
    const STANDARD: [&str; 2] = ["webhook-id", "webhook-timestamp"];
    let order: &[[&str; 2]] = match route {
        _ if is_signed => &[STANDARD],
        Route::DeadLetter => &[STANDARD, GENESYS],
        Route::Webhook => &[GENESYS, STANDARD],
    };
    let text = |index: usize| {
        order.iter().find_map(|names| {
            let value = headers.get(names[index])?.to_str().ok()?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        })
    };
    ClaimedIds { webhook_id: text(0), webhook_timestamp: text(1) }
}
