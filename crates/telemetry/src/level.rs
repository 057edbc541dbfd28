//! Log levels.

use tracing::Level;

/// The least severe level that is logged, with the names of Lambda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// All lines.
    Trace,
    /// Details that help to find a fault.
    Debug,
    /// Normal operation.
    Info,
    /// A problem that may need a person.
    Warn,
    /// A problem that needs a person.
    Error,
    /// The same as [`Error`](Self::Error), because no line is more severe.
    Fatal,
}

impl LogLevel {
    /// Every level.
    pub const ALL: [Self; 6] =
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];

    /// Returns the name in settings and log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    pub(super) const fn tracing(self) -> Level {
        match self {
            Self::Trace => Level::TRACE,
            Self::Debug => Level::DEBUG,
            Self::Info => Level::INFO,
            Self::Warn => Level::WARN,
            Self::Error | Self::Fatal => Level::ERROR,
        }
    }
}
