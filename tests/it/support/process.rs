//! Servers in processes of their own, each on a free port of this machine alone.

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// A server that ends with this.
pub(super) struct Process {
    child: Mutex<Child>,
    port: u16,
    /// Where it keeps its temporary files: killed, it does not tidy up.
    folder: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself; there is nothing to do about either failure.
        let _ = child.kill();
        let _ = child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Process {
    /// Where it is.
    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The one that runs, else one that is started now. It ends with the last who has it.
    pub(super) fn shared(
        running: &Mutex<Weak<Self>>,
        start: impl FnOnce() -> Result<Self, Box<dyn Error>>,
    ) -> Result<Arc<Self>, Box<dyn Error>> {
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = running.upgrade() {
            return Ok(process);
        }
        let process = Arc::new(start()?);
        *running = Arc::downgrade(&process);
        Ok(process)
    }

    /// Starts what `command` makes of a port and a folder, and waits until it listens.
    pub(super) fn start(
        name: &str,
        command: impl Fn(u16, &Path) -> Command,
    ) -> Result<Self, Box<dyn Error>> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let folder = std::env::temp_dir().join(format!(
            "genesys-replay-{}-{}",
            std::process::id(),
            STARTED.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir_all(&folder)?;
        // Another process may take the port between our looking and its listening: try others then.
        for _ in 0..5 {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            let mut child = command(port, &folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            while child.try_wait()?.is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Ok(Self {
                        child: Mutex::new(child),
                        port,
                        folder,
                    });
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Err(format!("{name} does not start").into())
    }
}
