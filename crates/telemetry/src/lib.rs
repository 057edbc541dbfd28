//! Logs and metrics: JSON lines for `CloudWatch`, never a payload, token or secret. `docs/LOGGING.md` lists
//! all lines.

mod level;
mod line_writer;
pub mod metrics;

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use genesys_replay::error::with_causes;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::time::UtcTime;
use tracing_subscriber::layer::SubscriberExt;

pub use level::LogLevel;
pub use line_writer::LineWriter;

/// The writer of this process to stdout.
static STDOUT: OnceLock<LineWriter> = OnceLock::new();

/// The maximum delay of an answer for its lines.
const MAX_LINE_DELAY: Duration = Duration::from_millis(5);

/// The maximum time for the last lines of a process.
const MAX_LAST_LINES_TIME: Duration = Duration::from_secs(1);

/// The maximum time for the lines of one invocation, if the output makes progress.
const MAX_FLUSH_TIME: Duration = Duration::from_secs(2);

/// The minimum time for the lines of one invocation: the thread that writes needs a turn of the processor.
const MIN_FLUSH_TIME: Duration = Duration::from_millis(20);

/// The time that an answer needs before the deadline of its invocation.
const ANSWER_TIME: Duration = Duration::from_millis(20);

/// Starts logging to stdout: one JSON object per line, with an RFC 3339 `timestamp` and the `level`, which
/// Lambda uses as the line's level. Logs only lines of crates whose name begins with `genesys_replay`: lines
/// of libraries may contain requests and answers. Returns the writer of all lines, which never blocks.
///
/// # Errors
/// The thread that writes cannot be started.
pub fn init(level: LogLevel) -> io::Result<LineWriter> {
    let writer = if let Some(writer) = STDOUT.get() {
        writer.clone()
    } else {
        let started = LineWriter::start(io::stdout())?;
        STDOUT.get_or_init(|| started).clone()
    };
    let filter = Targets::new().with_target("genesys_replay", level.tracing());
    // The span's fields are top-level members of each line, so that queries for one request need no path.
    let lines = json_subscriber::layer()
        .flatten_event(true)
        .flatten_current_span_on_top_level(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_timer(UtcTime::rfc_3339())
        .with_writer({
            let writer = writer.clone();
            move || writer.clone()
        });
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    // A second start-up in the same process (tests) keeps the first subscriber.
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(Box::new(|panic| {
        // The panic's message may quote data. Its location is enough to find the cause.
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
    Ok(writer)
}

/// Waits until the lines of an invocation are written, `left` before its deadline. Lambda freezes the process after
/// the answer. If the output stalls, the lines are dropped and counted.
pub async fn flush(left: Duration) {
    if let Some(writer) = STDOUT.get() {
        writer.drain(left.saturating_sub(ANSWER_TIME).clamp(MIN_FLUSH_TIME, MAX_FLUSH_TIME)).await;
    }
}

/// Waits until the lines of a request are written, so that its answer follows them. An output that blocks delays the
/// answer by 5 ms at most.
pub async fn lines_written() {
    if let Some(writer) = STDOUT.get() {
        writer.written(MAX_LINE_DELAY).await;
    }
}

/// Waits until the last lines of the process are written.
pub async fn flush_last_lines() {
    if let Some(writer) = STDOUT.get() {
        writer.drain(MAX_LAST_LINES_TIME).await;
    }
}

/// Logs the last line of a failed start-up.
pub async fn start_refused(error: &(dyn std::error::Error + Send + Sync)) {
    let error = with_causes(error);
    match init(LogLevel::Error) {
        Ok(_) => {
            tracing::error!(error, "start-up refused");
            flush_last_lines().await;
        }
        // Without the thread of the lines, this one is written directly.
        Err(_) => line_writer::write_directly(&error),
    }
}

/// Logs that a SIGTERM was received.
pub fn ending() {
    tracing::info!("shutdown requested: finishing or releasing work in flight");
}

/// Returns the id in a tracing header such as `Root=1-5bef4de7-ad49b0e8;Parent=…;Sampled=1`.
#[must_use]
pub fn trace_id(header: &str) -> &str {
    let mut parts = header.split(';');
    let root = parts.find_map(|part| part.trim().strip_prefix("Root="));
    root.unwrap_or(header)
}

/// Warns of settings whose URLs are plain `http://`.
pub fn warn_of_plain_http(settings: &[&'static str]) {
    for setting in settings {
        tracing::warn!(setting, "plain http: requests and answers are not encrypted");
    }
}

/// Warns of variables that are set and are not settings. Each has the instruction that replaces it.
pub fn warn_of_other_names(names: impl IntoIterator<Item = (&'static str, &'static str)>) {
    for (setting, remedy) in names {
        tracing::warn!(setting, remedy, "not a setting of this program");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn trace_id_is_extracted_from_xray_header() {
        for header in [
            "1-5bef4de7-ad49b0e8",
            "Root=1-5bef4de7-ad49b0e8",
            "Root=1-5bef4de7-ad49b0e8;Parent=53995c3f42cd8ad8;Sampled=1",
            "Sampled=0; Root=1-5bef4de7-ad49b0e8",
        ] {
            assert_eq!(super::trace_id(header), "1-5bef4de7-ad49b0e8", "{header}");
        }
    }
}
