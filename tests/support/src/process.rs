//! Server processes, each on a free port of 127.0.0.1.

use std::error::Error;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::TcpStream;

use super::eventually;

/// A script that runs a server until standard input or the server ends. Standard input ends with the tests'
/// process, also when that is killed. `$0` is the server's folder.
const SUPERVISOR: &str = r#"exec 3<&0
"$@" & server=$!
(cat <&3 > /dev/null; kill -9 "$server") & guard=$!
wait "$server"
kill "$guard"
rm -rf "$0""#;

/// A server that ends when this is dropped or the tests end.
pub(super) struct Process {
    supervisor: Child,
    port: u16,
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // A failure has no consequence.
        let _ = self.supervisor.wait();
    }
}

impl Process {
    /// Returns the server's URL.
    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts the command that `command` returns for a port and a temporary folder, and waits until the
    /// server listens.
    ///
    /// # Errors
    /// The server ends before it listens, on each of several ports.
    pub(super) async fn start(
        name: &str,
        command: impl Fn(u16, &Path) -> Command,
    ) -> Result<Self, Box<dyn Error>> {
        let listening = &format!("{name} listens");
        // Another process may bind the port first. The server ends then.
        for _ in 0..5 {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            let folder = folder()?;
            let server = command(port, &folder);
            let mut process = Self { supervisor: supervise(&server, &folder)?, port };
            let listens = eventually(listening, async || {
                if process.supervisor.try_wait()?.is_some() {
                    return Ok(Some(false));
                }
                let connected = TcpStream::connect(("127.0.0.1", port)).await;
                Ok(connected.is_ok().then_some(true))
            })
            .await?;
            if listens {
                return Ok(process);
            }
        }
        Err(format!("{name} does not start").into())
    }
}

fn folder() -> Result<PathBuf, std::io::Error> {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let folder = std::env::temp_dir().join(format!(
        "genesys-replay-{}-{}",
        std::process::id(),
        STARTED.fetch_add(1, Ordering::Relaxed)
    ));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn supervise(server: &Command, folder: &Path) -> Result<Child, std::io::Error> {
    let mut supervisor = Command::new("sh");
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => supervisor.env(name, value),
            None => supervisor.env_remove(name),
        };
    }
    supervisor
        .arg("-c")
        .arg(SUPERVISOR)
        .arg(folder)
        .arg(server.get_program())
        .args(server.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
