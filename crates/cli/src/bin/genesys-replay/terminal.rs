//! Data on stdout, messages on stderr.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use genesys_replay_cli::operator::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// Returns a text of several lines without characters that move the cursor, change colours or are invisible. They are
/// shown as escapes, such as `\u{200b}`.
pub(crate) fn printable(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// Returns a text from outside as one printable line: ids, types, reasons and errors may contain line feeds, and would
/// forge lines of the output.
pub(crate) fn one_line(text: &str) -> String {
    escaped(text, |_| false)
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_kept(c) || is_visible(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_debug());
        }
    }
    shown
}

/// Returns true for characters that the standard library prints unescaped in a debug text.
fn is_visible(c: char) -> bool {
    // After another character, because an accent is visible there.
    let text: String = ['a', c].iter().collect();
    matches!(c, '"' | '\'' | '\\') || text.escape_debug().count() == 2
}

/// Writes a JSON document to stdout. Characters that are invisible on a terminal are written as JSON escapes.
pub(crate) fn json(document: &str) -> io::Result<()> {
    coloured(&escaped_json(document))
}

fn escaped_json(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    for c in document.chars() {
        let is_shown =
            if c.is_ascii() { !c.is_ascii_control() || c == '\n' } else { is_visible(c) };
        if is_shown {
            shown.push(c);
        } else {
            // serde has escaped the control characters of ASCII except DEL. The rest is only in strings.
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    }
    shown
}

/// Writes data to stdout. Ignores a closed stdout, because its reader may have read enough.
pub(crate) fn data(text: &str) -> io::Result<()> {
    // Without escapes, so that nothing is coloured.
    coloured(&printable(text))
}

/// The minimum width for which lines are wrapped. A narrower terminal wraps them itself.
const MIN_WIDTH: usize = 60;

/// Returns the width of the terminal to which lines are fitted; `None` if stdout is not a terminal, because another
/// program may read the lines.
pub(crate) fn width() -> Option<usize> {
    let (size, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(size.0).max(MIN_WIDTH))
}

/// Returns a text of one line as lines of at most `width` columns. All lines after the first have an indent.
pub(crate) fn wrapped(line: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width else {
        return line.to_owned();
    };
    let indent = " ".repeat(indent);
    textwrap::wrap(line, textwrap::Options::new(width).subsequent_indent(&indent)).join("\n")
}

/// Returns a text for people with its long lines wrapped to the terminal. The rest of a line is indented by two more
/// columns than its begin.
pub(crate) fn fitted(text: &str) -> String {
    let width = width();
    let lines = text.lines().map(|line| {
        let indent = line.len() - line.trim_start_matches(' ').len();
        wrapped(line, width, indent + 2) + "\n"
    });
    lines.collect()
}

/// Writes a text with colours to stdout, if it is a terminal and `NO_COLOR`, `CLICOLOR` and `CLICOLOR_FORCE` do not say
/// otherwise. The parts of the text that come from outside are [`one_line`] already.
pub(crate) fn coloured(text: &str) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
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
    let _ = writeln!(io::stderr().lock(), "{}", one_line(line));
}

/// A progress bar on stderr if stderr is a terminal; otherwise only warnings, and one line per wait.
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

    fn rename(&self, what: &str) {
        self.with(|bar| bar.set_message(what.to_owned()));
    }

    fn wait_for(&self, what: &str) {
        if io::stderr().is_terminal() {
            self.rename(what);
        } else {
            say(what);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_line_is_wrapped_to_the_width_of_the_terminal() {
        let line = "0123456789 ".repeat(12);
        assert_eq!(wrapped(&line, None, 4), line);
        let text = wrapped(&line, Some(80), 4);
        let widths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(widths, [76, 58]);
        assert!(text.lines().skip(1).all(|line| line.starts_with("    0")), "{text}");
        let arn = "arn:aws:lambda:eu-central-1:271828182845:function:".repeat(2);
        assert!(wrapped(&arn, Some(80), 4).lines().count() >= 2);
    }

    #[test]
    fn json_document_keeps_its_value_when_characters_are_invisible() {
        let value = serde_json::json!({ "id": "a\u{a0}\u{200d}\u{e0041}\u{7f}\n\"語\u{3000}" });
        for text in [value.to_string(), format!("{value:#}")] {
            let shown = escaped_json(&text);
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&shown).ok().as_ref(),
                Some(&value)
            );
            assert!(shown.chars().all(|c| c == '\n' || is_visible(c)), "{shown}");
            assert!(shown.contains('語'), "{shown}");
        }
    }

    #[test]
    fn text_from_outside_is_one_printable_line() {
        for (text, expected) in [
            ("plain \"text\" with a \\", "plain \"text\" with a \\"),
            ("Zoë e\u{301} हिन्दी 語 🦀", "Zoë e\u{301} हिन्दी 語 🦀"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{1b}[2Jx", "\\u{1b}[2Jx"),
            ("a\u{200b}b\u{202e}c\u{2028}d\u{feff}e", "a\\u{200b}b\\u{202e}c\\u{2028}d\\u{feff}e"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
        ] {
            assert_eq!(one_line(text), expected);
        }
        assert_eq!(printable("a\n\tb\u{7}"), "a\n\tb\\u{7}");
    }
}
