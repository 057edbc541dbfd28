//! A Runtime API of Lambda, and the real binary as its function.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::JoinHandle;

use super::replay_harness::AMPLE_TIME;
use super::{LocalAws, TestResult, eventually};

/// The ARN of the invocations, with an alias.
const FUNCTION_ARN: &str = "arn:aws:lambda:eu-central-1:271828182845:function:replay:live";

/// A running program of the function.
pub struct Function {
    child: Child,
    /// The output, read while the program runs, because a full pipe would block the program.
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    events: mpsc::UnboundedSender<Value>,
    answers: mpsc::UnboundedReceiver<Invocation>,
    is_read: Arc<Notify>,
}

/// The result of an invocation.
#[derive(Debug)]
pub enum Invocation {
    Response(Value),
    Error(Value),
}

/// The output of a finished program.
pub struct Printed {
    pub stdout: String,
    pub stderr: String,
}

impl Printed {
    /// Returns the log lines and metrics.
    pub fn lines(&self) -> Result<Vec<Value>, Box<dyn Error>> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        Ok(lines.collect::<Result<_, _>>()?)
    }
}

struct Api {
    events: Mutex<mpsc::UnboundedReceiver<Value>>,
    answers: mpsc::UnboundedSender<Invocation>,
}

/// Returns the command that starts a program with these settings, only these environment variables and the local AWS.
pub fn command(program: &str, settings: &BTreeMap<String, String>, aws: &LocalAws) -> Command {
    command_at(program, settings, &aws.endpoint())
}

/// Returns the command of [`command`] with an AWS at this endpoint.
fn command_at(program: &str, settings: &BTreeMap<String, String>, endpoint: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(settings)
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_ENDPOINT_URL", endpoint)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Function {
    /// Starts a function's program with these settings and the local AWS.
    pub async fn start(
        program: &str,
        settings: &BTreeMap<String, String>,
        aws: &LocalAws,
    ) -> Result<Self, Box<dyn Error>> {
        Self::start_at(program, settings, &aws.endpoint()).await
    }

    /// Starts a function's program with these settings and an AWS at this endpoint.
    pub async fn start_at(
        program: &str,
        settings: &BTreeMap<String, String>,
        endpoint: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let function = Self::start_command(command_at(program, settings, endpoint)).await?;
        function.read_output();
        Ok(function)
    }

    /// Starts a function's program whose stdout is not read until [`read_output`](Self::read_output).
    pub async fn start_unread(
        program: &str,
        settings: &BTreeMap<String, String>,
        aws: &LocalAws,
    ) -> Result<Self, Box<dyn Error>> {
        Self::start_command(command(program, settings, aws)).await
    }

    async fn start_command(mut command: Command) -> Result<Self, Box<dyn Error>> {
        let (events, waiting) = mpsc::unbounded_channel();
        let (answered, answers) = mpsc::unbounded_channel();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let api = Arc::new(Api { events: Mutex::new(waiting), answers: answered });
        tokio::spawn(serve(listener, api));
        let mut child = command
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "replay")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let stderr = child.stderr.take().ok_or("no stderr")?;
        let is_read = Arc::new(Notify::new());
        let read_from_now = Arc::clone(&is_read);
        let stdout = async move {
            read_from_now.notified().await;
            read(stdout).await
        };
        Ok(Self {
            child,
            is_read,
            stdout: tokio::spawn(stdout),
            stderr: tokio::spawn(read(stderr)),
            events,
            answers,
        })
    }

    /// Reads the output from now on.
    pub fn read_output(&self) {
        self.is_read.notify_one();
    }

    /// Sends one event and waits for the response.
    pub async fn invoke(&mut self, event: Value) -> Result<Invocation, Box<dyn Error>> {
        self.send(event)?;
        self.answer().await
    }

    /// Sends one event.
    pub fn send(&self, event: Value) -> TestResult {
        Ok(self.events.send(event)?)
    }

    /// Returns the resident memory of the program, in KiB.
    pub fn resident_kib(&self) -> Result<u64, Box<dyn Error>> {
        let id = self.child.id().ok_or("the program has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|value| value.split_whitespace().next());
        Ok(resident.ok_or("no VmRSS")?.parse()?)
    }

    /// Sends a SIGTERM to the program.
    pub fn terminate(&self) -> TestResult {
        terminate(&self.child)
    }

    /// Stops the program as Lambda freezes an environment, and waits until it has stopped.
    pub async fn freeze(&self) -> TestResult {
        signal(&self.child, "-STOP")?;
        let id = self.child.id().ok_or("the program has ended")?;
        eventually("the program has stopped", async || {
            let state = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
            Ok(state.contains(") T ").then_some(()))
        })
        .await
    }

    /// Continues a frozen program.
    pub fn thaw(&self) -> TestResult {
        signal(&self.child, "-CONT")
    }

    /// Waits for the response to an event.
    pub async fn answer(&mut self) -> Result<Invocation, Box<dyn Error>> {
        tokio::select! {
            // A response counts, also when the program ends right after it.
            biased;
            answer = self.answers.recv() => answer.ok_or_else(|| "no answer".into()),
            status = self.child.wait() => Err(format!("the program ended: {}", status?).into()),
        }
    }

    /// Waits for the end of the program.
    pub async fn ended(mut self) -> Result<(bool, Printed), Box<dyn Error>> {
        let status = self.child.wait().await?;
        let printed = Printed { stdout: self.stdout.await?, stderr: self.stderr.await? };
        Ok((status.success(), printed))
    }

    /// Ends the program and returns its output.
    pub async fn end(mut self) -> Result<Printed, Box<dyn Error>> {
        self.child.start_kill()?;
        let (_killed, printed) = self.ended().await?;
        Ok(printed)
    }
}

/// Sends a SIGTERM.
pub fn terminate(child: &Child) -> TestResult {
    signal(child, "-TERM")
}

fn signal(child: &Child, signal: &str) -> TestResult {
    let id = child.id().ok_or("the program has ended")?;
    let status = std::process::Command::new("kill").arg(signal).arg(id.to_string()).status()?;
    if !status.success() {
        return Err("no signal was sent".into());
    }
    Ok(())
}

pub async fn read(mut pipe: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    // Invalid UTF-8 is not a log line. A test that expects the line fails.
    let _ = pipe.read_to_string(&mut text).await;
    text
}

async fn serve(listener: TcpListener, api: Arc<Api>) {
    while let Ok((stream, _)) = listener.accept().await {
        let api = Arc::clone(&api);
        let service = service_fn(move |request| answer(request, Arc::clone(&api)));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(
    request: Request<Incoming>,
    api: Arc<Api>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path.ends_with("/invocation/next") {
        let event = api.events.lock().await.recv().await.unwrap_or_default();
        let deadline =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + AMPLE_TIME;
        let response = Response::builder()
            .header("Lambda-Runtime-Aws-Request-Id", "request-1")
            .header("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700")
            .header("Lambda-Runtime-Invoked-Function-Arn", FUNCTION_ARN)
            .header("Lambda-Runtime-Deadline-Ms", deadline.as_millis().to_string())
            .body(Full::from(event.to_string()));
        return Ok(response.unwrap_or_default());
    }
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    // The receiver is dropped when the test has ended.
    let _ = api.answers.send(if path.ends_with("/response") {
        Invocation::Response(value)
    } else {
        Invocation::Error(value)
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
