//! A real browser, driven over `WebDriver`.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

type Answer<T> = Result<T, Box<dyn Error>>;

/// A Chromium window with a fresh profile, closed when dropped.
pub(crate) struct Browser {
    driver: Child,
    /// Kept open, because the driver fails on a closed pipe.
    _output: BufReader<ChildStdout>,
    port: u16,
    session: String,
    folder: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser that it started, and then answers. A killed driver would not end the
        // browser.
        if let Ok(mut driver) = TcpStream::connect(("127.0.0.1", self.port)) {
            let request = format!(
                "DELETE /session/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
                self.session
            );
            let _ = driver.write_all(request.as_bytes());
            let _ = driver.read(&mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Opens a window with this page in it.
    pub(crate) async fn showing(page: &str) -> Answer<Self> {
        let program = std::env::var("GENESYS_REPLAY_CHROMEDRIVER")
            .map_err(|_| "GENESYS_REPLAY_CHROMEDRIVER is not set: run `make test BROWSER=1`")?;
        let mut driver = Command::new(&program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let mut output = BufReader::new(driver.stdout.take().ok_or("no output")?);
        // The driver first prints port 0, then the real port.
        let port = output.by_ref().lines().map_while(Result::ok).find_map(|line| {
            let port = line.rsplit_once(" on port ")?.1.trim_end_matches('.');
            port.parse().ok().filter(|port: &u16| *port != 0)
        });
        let mut browser = Self {
            driver,
            _output: output,
            port: port.ok_or("chromedriver does not start")?,
            session: String::new(),
            folder: tempfile::tempdir()?,
        };
        let profile = browser.folder.path().join("profile");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        }}});
        let session = browser.post("/session", &wanted).await?;
        browser.session = session["sessionId"].as_str().ok_or("no session")?.to_owned();
        browser.open(page).await?;
        Ok(browser)
    }

    async fn open(&self, page: &str) -> Answer<()> {
        let file = self.folder.path().join("page.html");
        std::fs::write(&file, page)?;
        self.visit(&Self::address(&file)).await
    }

    fn address(file: &Path) -> String {
        format!("file://{}", file.display())
    }

    /// Opens an address and waits until the page is loaded.
    pub(crate) async fn visit(&self, address: &str) -> Answer<()> {
        self.command("url", &json!({ "url": address })).await.map(drop)
    }

    /// Returns the result of a script in the page.
    pub(crate) async fn script(&self, script: &str) -> Answer<Value> {
        self.command("execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// Types into the element of the selector, as a person would.
    pub(crate) async fn keys(&self, selector: &str, text: &str) -> Answer<()> {
        let element = self.element(selector).await?;
        self.command(&format!("element/{element}/value"), &json!({ "text": text })).await.map(drop)
    }

    /// Clicks on the element of the selector.
    pub(crate) async fn click(&self, selector: &str) -> Answer<()> {
        let element = self.element(selector).await?;
        self.command(&format!("element/{element}/click"), &json!({})).await.map(drop)
    }

    /// Calls a command of Chromium's own protocol.
    pub(crate) async fn chromium(&self, command: &str, params: Value) -> Answer<Value> {
        self.command("goog/cdp/execute", &json!({ "cmd": command, "params": params })).await
    }

    /// Returns the log entries since the last call: `browser` (the console) or `performance` (the network).
    pub(crate) async fn log(&self, kind: &str) -> Answer<Vec<String>> {
        let entries = self.command("se/log", &json!({ "type": kind })).await?;
        let entries = entries.as_array().ok_or("no entries")?.iter();
        Ok(entries.filter_map(|it| Some(it["message"].as_str()?.to_owned())).collect())
    }

    async fn element(&self, selector: &str) -> Answer<String> {
        let by = json!({ "using": "css selector", "value": selector });
        let found = self.command("element", &by).await?;
        let id = found.as_object().and_then(|it| it.values().next()?.as_str());
        Ok(id.ok_or("no element")?.to_owned())
    }

    async fn command(&self, command: &str, body: &Value) -> Answer<Value> {
        self.post(&format!("/session/{}/{command}", self.session), body).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let call = reqwest::Client::new().post(url).body(body.to_string());
        let answer = call.header("Content-Type", "application/json").send().await?;
        let status = answer.status();
        let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
        if status.is_success() {
            Ok(answer["value"].clone())
        } else {
            Err(format!("{path}: {}", answer["value"]["message"]).into())
        }
    }
}
