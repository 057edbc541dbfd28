//! One call: a request and its answer, and a second request if the connection of the first one was dead.

use std::error::Error;
use std::io;

use genesys_replay::clock::Clock;
use genesys_replay::error::has_cause;
use genesys_replay::genesys::{Call, GenesysError};
use genesys_replay::trace;
use reqwest::{Client, RequestBuilder};

use super::answer::{ApiResponse, transport_error};
use super::http_pool::HttpPool;

/// Makes a call and reads the answer. `admit` runs before each request that is sent.
///
/// A server may close an idle connection while a request is on the way to it. If a request breaks on a connection that
/// may have been idle, and its repetition is harmless, it is sent once more on a new connection.
///
/// # Errors
/// [`GenesysError::Unavailable`] if the answer is missing or incomplete, and the errors of `admit`.
pub(crate) async fn send<F>(
    pool: &HttpPool,
    call: Call,
    clock: &dyn Clock,
    request: impl Fn(&Client) -> RequestBuilder + Send,
    admit: impl Fn() -> F + Send,
) -> Result<ApiResponse, GenesysError>
where
    F: Future<Output = Result<(), GenesysError>> + Send,
{
    let trace = trace::current();
    let request = |client: &Client| {
        let headers = trace.iter().flat_map(|trace| trace.headers());
        headers.fold(request(client), |request, (name, text)| request.header(name, text))
    };
    admit().await?;
    let mut pooled = pool.acquire();
    let mut sent = request(pooled.client()).send().await;
    if let Err(error) = &sent
        && pooled.may_reuse_connection()
        && is_harmless_to_repeat(call)
        && has_broken(error)
    {
        tracing::debug!(%call, "idle connection broke, request sent again");
        admit().await?;
        pooled = pool.renew(pooled);
        sent = request(pooled.client()).send().await;
    }
    let response = sent.map_err(|error| transport_error(call, &error))?;
    ApiResponse::read(response, call, clock.now()).await
}

const fn is_harmless_to_repeat(call: Call) -> bool {
    match call {
        // Reads, a token more than needed, and a mark that is written over itself.
        Call::Token
        | Call::Fetch
        | Call::Mark
        | Call::Subscription
        | Call::FailedEvents
        | Call::Analytics => true,
        // Genesys Cloud would send the events twice.
        Call::Reinject => false,
    }
}

/// Returns true if the connection ended before the head of an answer. A timeout, a refused connection and an answer
/// that is not HTTP are other problems, which a new connection does not repair.
fn has_broken(error: &reqwest::Error) -> bool {
    let is_broken_exchange = |error: &hyper::Error| {
        error.is_incomplete_message() || error.is_canceled() || error.is_closed()
    };
    let is_broken_socket = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected
                | io::ErrorKind::UnexpectedEof
        )
    };
    let cause: &(dyn Error + 'static) = error;
    !error.is_timeout()
        && !error.is_connect()
        && (has_cause(cause, is_broken_exchange) || has_cause(cause, is_broken_socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_is_not_repeated_when_it_sends_events() {
        assert!(is_harmless_to_repeat(Call::Mark));
        assert!(!is_harmless_to_repeat(Call::Reinject));
    }
}
