//! Data on stdout, messages on stderr.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use genesys_replay_cli::operator::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// Returns a text without characters that move the cursor or change colours: ids, types and errors come from outside.
pub(crate) fn printable(text: &str) -> String {
    let moves = |c: char| match c {
        '\n' | '\t' => false,
        // These characters change the direction of writing, which can hide text.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => c.is_control(),
    };
    text.replace(moves, " ")
}

/// Writes data to stdout. Ignores a closed stdout, because its reader may have read enough.
pub(crate) fn data(text: &str) -> io::Result<()> {
    coloured(&printable(text))
}

/// Writes a text with colours to stdout. The parts of the text that come from outside are [`printable`] already.
pub(crate) fn coloured(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = write!(stdout, "{text}{end}").and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes one line to stderr.
pub(crate) fn say(line: &str) {
    // An error cannot be reported anywhere else.
    let _ = writeln!(io::stderr().lock(), "{}", printable(line));
}

/// A progress bar on stderr if stderr is a terminal; otherwise only warnings.
#[derive(Default)]
pub(crate) struct Bar {
    bar: Mutex<Option<ProgressBar>>,
}

impl Bar {
    fn with(&self, act: impl FnOnce(&ProgressBar)) {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bar.as_ref() {
            act(bar);
        }
    }
}

impl Progress for Bar {
    fn begin(&self, what: &str, steps: Option<u64>) {
        if !io::stderr().is_terminal() {
            return;
        }
        let bar = match steps {
            Some(steps) => ProgressBar::new(steps),
            None => ProgressBar::new_spinner(),
        };
        let template = match steps {
            Some(_) => "{msg} {wide_bar} {pos}/{len} {eta}",
            None => "{spinner} {msg} {pos}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        let mut current = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(bar);
    }

    fn advance(&self, steps: u64) {
        self.with(|bar| bar.inc(steps));
    }

    fn end(&self) {
        let mut current = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = current.take() {
            bar.finish_and_clear();
        }
    }

    fn warn(&self, what: &str) {
        let line = format!("warning: {what}");
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match bar.as_ref() {
            Some(bar) => bar.suspend(|| say(&line)),
            None => say(&line),
        }
    }
}
