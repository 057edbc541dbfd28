//! Errors with their causes.

use std::error::Error;
use std::io;

/// Returns an error and its causes in one line, separated by colons.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Returns true if the error or one of its causes has this type and matches.
pub fn has_cause<E: Error + 'static>(
    error: &(dyn Error + 'static),
    matches: impl Fn(&E) -> bool,
) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| cause(error));
    causes.any(|cause| cause.downcast_ref::<E>().is_some_and(&matches))
}

/// Returns the next cause. The source of an I/O error is the source of its payload, so the payload itself would be
/// left out.
fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|payload| payload as &(dyn Error + 'static)),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_is_found_when_io_errors_contain_it() {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        let nested = io::Error::other(io::Error::other(std::fmt::Error));
        assert!(has_cause(&nested, |_: &std::fmt::Error| true));
        assert!(!has_cause(&reset(), |_: &std::fmt::Error| true));
        assert!(has_cause(&io::Error::other(reset()), |io: &io::Error| {
            io.kind() == io::ErrorKind::ConnectionReset
        }));
    }
}
