//! A writer of log lines that never blocks its caller.
//!
//! A full pipe that nobody reads would otherwise block the thread that handles a batch until its deadline.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use genesys_replay::clock::{Clock, SystemClock};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// The maximum size of the lines that wait to be written, in bytes. A batch of 10,000 records logs about half of it.
const MAX_QUEUED_BYTES: usize = 16 * 1024 * 1024;

/// The maximum number of bytes of one call to the output, unless one line is longer.
const MAX_WRITE_BYTES: usize = 64 * 1024;

/// The time without progress after which [`LineWriter::drain`] drops the waiting lines.
const MAX_STALL: Duration = Duration::from_millis(200);

/// A writer to an output that may block. A thread of its own writes the lines, in order.
///
/// Lines are dropped if 16 MiB wait already, or if the output stalls during a [`drain`](Self::drain). Their number
/// is written as a line of its own as soon as the output accepts lines.
#[derive(Clone, Debug)]
pub struct LineWriter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Notified when a line was queued.
    queued: Condvar,
    /// The number of texts that were written or dropped.
    progress: watch::Sender<u64>,
    max_stall: Duration,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Box<[u8]>>,
    waiting_bytes: usize,
    /// The number of texts that were queued.
    queued: u64,
    is_writing: bool,
    dropped_lines: usize,
    /// True after the output refused a write. The number of dropped lines then waits for the next line.
    is_refusing: bool,
}

/// The content of one call to the output.
#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    texts: u64,
    /// The number of lines that are lost if the output refuses the call, with those that were dropped before.
    lost_lines: usize,
}

impl State {
    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || (self.dropped_lines > 0 && !self.is_refusing)
    }

    fn is_idle(&self) -> bool {
        !self.is_writing && !self.has_work()
    }

    /// Drops the waiting texts and returns their number.
    fn drop_waiting(&mut self) -> u64 {
        let lines: usize = self.waiting.iter().map(|text| lines_in(text)).sum();
        self.dropped_lines += lines;
        self.waiting_bytes = 0;
        self.waiting.drain(..).fold(0, |texts, _| texts + 1)
    }

    /// Takes at most [`MAX_WRITE_BYTES`], and at least one text if there is one.
    fn take(&mut self) -> Chunk {
        let mut chunk = Chunk { lost_lines: self.dropped_lines, ..Chunk::default() };
        if self.dropped_lines > 0 {
            chunk.bytes.extend(dropped(self.dropped_lines));
            self.dropped_lines = 0;
        }
        while let Some(next) = self.waiting.pop_front_if(|next| {
            chunk.texts == 0 || chunk.bytes.len() + next.len() <= MAX_WRITE_BYTES
        }) {
            chunk.texts += 1;
            chunk.lost_lines += lines_in(&next);
            self.waiting_bytes -= next.len();
            chunk.bytes.extend_from_slice(&next);
        }
        chunk
    }
}

impl LineWriter {
    /// Starts the thread that writes to `out`. Lines that `out` refuses are counted as dropped.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        Self::with_stall(out, MAX_STALL)
    }

    fn with_stall(out: impl Write + Send + 'static, max_stall: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            queued: Condvar::new(),
            progress: watch::Sender::new(0),
            max_stall,
        });
        let writing = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_to(out))?;
        Ok(Self(shared))
    }

    /// Waits until the queued lines are written, at most for `limit`. Drops the rest if the output makes no progress
    /// for 200 ms. Lines that are left after a shorter limit stay queued.
    pub async fn drain(&self, limit: Duration) {
        let end = Instant::now() + limit;
        let mut progress = self.0.progress.subscribe();
        while !self.0.state().is_idle() {
            let left = end.saturating_duration_since(Instant::now());
            let max_stall = self.0.max_stall;
            if timeout(left.min(max_stall), progress.changed()).await.is_ok() {
                continue;
            }
            if left >= max_stall {
                let dropped = self.0.state().drop_waiting();
                self.0.progress.send_modify(|written| *written += dropped);
            }
            return;
        }
    }

    /// Waits until the lines that are queued now are written, at most for `limit`. Drops no line.
    pub async fn written(&self, limit: Duration) {
        let queued = self.0.state().queued;
        let mut progress = self.0.progress.subscribe();
        let _ = timeout(limit, progress.wait_for(|written| *written >= queued)).await;
    }
}

impl Write for LineWriter {
    /// Queues whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state();
        if state.waiting_bytes + lines.len() > MAX_QUEUED_BYTES {
            state.dropped_lines += lines_in(lines);
        } else {
            state.waiting.push_back(lines.into());
            state.waiting_bytes += lines.len();
            state.queued += 1;
            self.0.queued.notify_one();
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes queued lines until the process ends.
    fn write_to(&self, mut out: impl Write) {
        let mut state = self.state();
        loop {
            while !state.has_work() {
                state = self.queued.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.is_writing = true;
            let chunk = state.take();
            drop(state);
            let written = out.write_all(&chunk.bytes).and_then(|()| out.flush());
            state = self.state();
            state.is_writing = false;
            state.is_refusing = written.is_err();
            if written.is_err() {
                state.dropped_lines += chunk.lost_lines;
            }
            self.progress.send_modify(|written| *written += chunk.texts);
        }
    }
}

fn lines_in(text: &[u8]) -> usize {
    text.split_inclusive(|byte| *byte == b'\n').count()
}

/// Returns the line that counts dropped lines. Its level is never filtered.
fn dropped(lines: usize) -> Vec<u8> {
    let line = json!({
        "timestamp": SystemClock.now().to_string(),
        "level": "ERROR",
        "message": "log lines dropped",
        "lines": lines,
    });
    format!("{line}\n").into_bytes()
}

/// Writes the line of a refused start-up to stdout, without the thread of the other lines.
pub(crate) fn write_directly(error: &str) {
    let line = json!({
        "timestamp": SystemClock.now().to_string(),
        "level": "ERROR",
        "message": "start-up refused",
        "error": error,
    });
    // Nothing can report an error of stdout.
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Longer than a slow machine needs.
    const AMPLE: Duration = Duration::from_secs(600);

    /// An output that accepts one write for each permit.
    struct Gate {
        permits: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.permits.recv();
            self.written.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Gated = (LineWriter, mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>);

    fn gated(max_stall: Duration) -> io::Result<Gated> {
        let (permit, permits) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let gate = Gate { permits, written: Arc::clone(&written) };
        Ok((LineWriter::with_stall(gate, max_stall)?, permit, written))
    }

    /// Waits until all lines are written, without a limit.
    async fn idle(writer: &LineWriter) {
        let mut progress = writer.0.progress.subscribe();
        while !writer.0.state().is_idle() {
            let _ = progress.changed().await;
        }
    }

    fn lines(written: &Mutex<Vec<u8>>) -> Vec<String> {
        let text = written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn lines_are_written_in_order_before_a_drain_ends() -> io::Result<()> {
        let (mut writer, permit, written) = gated(AMPLE)?;
        for number in 0..100 {
            writer.write_all(format!("{{\"number\":{number}}}\n").as_bytes())?;
        }
        drop(permit);
        writer.drain(AMPLE).await;
        let expected: Vec<_> = (0..100).map(|number| format!("{{\"number\":{number}}}")).collect();
        assert_eq!(lines(&written), expected);
        Ok(())
    }

    #[tokio::test]
    async fn lines_are_dropped_and_counted_when_the_output_stalls() -> io::Result<()> {
        let (mut writer, permit, written) = gated(Duration::from_millis(1))?;
        writer.write_all(b"\"blocked\"\n")?;
        while writer.0.state().waiting_bytes > 0 {
            tokio::task::yield_now().await;
        }
        writer.write_all(b"\"lost\"\n\"lost, too\"\n")?;
        writer.drain(AMPLE).await;
        writer.write_all(b"\"after\"\n")?;
        drop(permit);
        idle(&writer).await;
        let lines = lines(&written);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!((lines[0].as_str(), lines[2].as_str()), ("\"blocked\"", "\"after\""));
        assert!(lines[1].contains("\"lines\":2"), "{lines:?}");
        Ok(())
    }

    #[tokio::test]
    async fn lines_stay_queued_when_only_the_time_is_short() -> io::Result<()> {
        let (mut writer, permit, written) = gated(AMPLE)?;
        writer.write_all(b"\"one\"\n\"two\"\n")?;
        writer.drain(Duration::ZERO).await;
        drop(permit);
        idle(&writer).await;
        assert_eq!(lines(&written), ["\"one\"", "\"two\""]);
        Ok(())
    }

    #[tokio::test]
    async fn line_is_written_before_a_later_one_is_queued() -> io::Result<()> {
        let (mut writer, permit, written) = gated(AMPLE)?;
        writer.write_all(b"\"one\"\n")?;
        let _ = permit.send(());
        writer.written(AMPLE).await;
        assert_eq!(lines(&written), ["\"one\""]);
        writer.write_all(b"\"two\"\n")?;
        writer.written(Duration::ZERO).await;
        assert_eq!(lines(&written), ["\"one\""], "the output is blocked");
        Ok(())
    }

    /// An output that refuses its first writes.
    struct RefusesFirst(Arc<Mutex<Vec<u8>>>, u32);

    impl Write for RefusesFirst {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            if self.1 > 0 {
                self.1 -= 1;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn lines_that_the_output_refuses_are_counted() -> io::Result<()> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut writer = LineWriter::with_stall(RefusesFirst(Arc::clone(&written), 2), AMPLE)?;
        for _ in 0..2 {
            writer.write_all(b"\"refused\"\n")?;
            idle(&writer).await;
        }
        writer.write_all(b"\"after\"\n")?;
        idle(&writer).await;
        let lines = lines(&written);
        assert!(lines[0].contains("\"lines\":2") && lines[1] == "\"after\"", "{lines:?}");
        Ok(())
    }

    #[tokio::test]
    async fn lines_are_dropped_and_counted_when_too_many_wait() -> io::Result<()> {
        let (mut writer, permit, written) = gated(AMPLE)?;
        let mut line = vec![b'x'; 1024 * 1024 - 1];
        line.push(b'\n');
        for _ in 0..40 {
            writer.write_all(&line)?;
        }
        drop(permit);
        idle(&writer).await;
        writer.write_all(b"\"after\"\n")?;
        idle(&writer).await;
        let lines = lines(&written);
        let kept = lines.iter().filter(|line| line.starts_with('x')).count();
        assert!((16..=17).contains(&kept), "{kept}");
        let counts = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
        let counts = counts.filter_map(|line: serde_json::Value| line["lines"].as_u64());
        assert_eq!(counts.sum::<u64>(), 40 - kept as u64);
        Ok(())
    }
}
