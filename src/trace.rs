//! The trace of an invocation, which every call to another service continues.
//!
//! The trace accompanies each HTTP request, but no decision depends on it. So it is context of the running task, as in
//! `OpenTelemetry`. A parameter of every port was rejected, because no use case would read it.

use std::sync::Arc;

/// The header with the trace, as X-Ray and Lambda write it.
pub const TRACE_HEADER: &str = "x-amzn-trace-id";

/// The header with the trace, as W3C Trace Context defines it.
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// The maximum length of a trace header, in bytes. Longer headers could not be sent to all services.
const MAX_TRACE_HEADER_BYTES: usize = 500;

tokio::task_local! {
    static CURRENT: Option<Arc<Trace>>;
}

/// The trace of one invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    header: String,
    traceparent: Option<String>,
}

impl Trace {
    /// Parses the trace header of an invocation: `Root=1-<8 hex digits>-<24 hex digits>;Parent=<16 hex digits>;Sampled=<0|1>`.
    /// Returns `None` if the text cannot be a header.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let fits = (1..=MAX_TRACE_HEADER_BYTES).contains(&header.len());
        let is_printable = header.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        (fits && is_printable)
            .then(|| Self { header: header.to_owned(), traceparent: traceparent(header) })
    }

    /// Returns the header of X-Ray, unchanged.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// Returns the header of W3C Trace Context for the same trace; `None` if the trace has no root.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// Returns the headers of a request that continues the trace, by name.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let traceparent = self.traceparent().map(|text| (TRACEPARENT_HEADER, text));
        [(TRACE_HEADER, self.header())].into_iter().chain(traceparent)
    }
}

/// Returns the value of one part of a trace header.
fn part<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

fn traceparent(header: &str) -> Option<String> {
    let is_hex = |text: &str, digits: usize| {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == digits && text.bytes().all(is_digit) && text.bytes().any(|byte| byte != b'0')
    };
    let (time, random) = part(header, "Root")?.strip_prefix("1-")?.split_once('-')?;
    let trace_id = format!("{time}{random}").to_ascii_lowercase();
    if time.len() != 8 || !is_hex(&trace_id, 32) {
        return None;
    }
    let parent = part(header, "Parent").map(str::to_ascii_lowercase);
    let parent = parent.filter(|parent| is_hex(parent, 16));
    // Lambda omits the parent in some traces; W3C requires one.
    let parent = parent.unwrap_or_else(|| trace_id.chars().skip(16).collect());
    let flags = if part(header, "Sampled") == Some("1") { "01" } else { "00" };
    is_hex(&parent, 16).then(|| format!("00-{trace_id}-{parent}-{flags}"))
}

/// Runs a future as part of a trace.
pub async fn scope<F: Future>(trace: Option<Trace>, future: F) -> F::Output {
    CURRENT.scope(trace.map(Arc::new), future).await
}

/// Returns the trace of the running task; `None` outside of a trace.
#[must_use]
pub fn current() -> Option<Arc<Trace>> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_is_made_from_the_trace_header() {
        let traceparent = |header: &str| Trace::parse(header)?.traceparent;
        for (header, expected) in [
            (
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
                Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"),
            ),
            (
                "Sampled=0; Root=1-5759E988-bd862e3fe1be46a994272793; Parent=53995c3f42cd8ad8;Lineage=1:a:0",
                Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-00"),
            ),
            (
                "Root=1-5759e988-bd862e3fe1be46a994272793",
                Some("00-5759e988bd862e3fe1be46a994272793-e1be46a994272793-00"),
            ),
            (
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0000000000000000;Sampled=1",
                Some("00-5759e988bd862e3fe1be46a994272793-e1be46a994272793-01"),
            ),
            ("Root=1-5759e988-bd862e3f", None),
            ("Root=2-5759e988-bd862e3fe1be46a994272793", None),
            ("Root=1-00000000-000000000000000000000000;Parent=53995c3f42cd8ad8", None),
            ("Parent=53995c3f42cd8ad8", None),
        ] {
            assert_eq!(traceparent(header).as_deref(), expected, "{header}");
        }
    }

    #[test]
    fn trace_is_missing_when_it_cannot_be_a_header() {
        let long = format!("Root={}", "1".repeat(MAX_TRACE_HEADER_BYTES));
        for header in ["", "Root=1\r\nX: y", "Root=\u{e4}", &long] {
            assert_eq!(Trace::parse(header), None, "{header}");
        }
    }

    #[tokio::test]
    async fn trace_is_known_inside_its_scope_only() {
        assert_eq!(current(), None);
        let trace = Trace::parse("Root=1-5759e988-bd862e3fe1be46a994272793");
        let seen = scope(trace.clone(), async { current() }).await;
        assert_eq!(seen.as_deref(), trace.as_ref());
        assert_eq!(current(), None);
    }
}
