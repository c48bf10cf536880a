use std::io::{BufRead, BufReader, Write, stderr};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::children::{self, Process, lock};
use crate::directory::Directory;
use crate::foreign::ALL;
use crate::wait::PATIENCE_WITH_PROGRAMS as PATIENCE;

/// The seconds after which a browser that hangs is killed: a failure, however slow the machine is.
const LIFETIME: &str = "600";

/// The time between two polls of a condition in the page.
const PAUSE: Duration = Duration::from_millis(20);

/// Returns true if there is no browser, and says so.
///
/// # Panics
///
/// Panics if there is no browser although the environment requires all tools, as `.ci/run` does.
#[must_use]
pub fn lacks_chromium() -> bool {
    let mut version = Command::new("chromium");
    let tried = version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_missing = !tried.is_ok_and(|status| status.success());
    if is_missing {
        let why = "chromium is missing, of the package chromium: .ci/tools installs it";
        assert!(std::env::var_os(ALL).is_none_or(|all| all != "1"), "{why}");
        writeln!(stderr(), "skipped: {why}; with {ALL}=1 that is a failure").ok();
    }
    is_missing
}

/// A page in headless Chromium, which is driven by the
/// [DevTools protocol](https://chromedevtools.github.io/devtools-protocol/) on pipes.
///
/// All methods panic if the browser ends or refuses a command.
pub struct Browser {
    process: Arc<Mutex<Process>>,
    commands: ChildStdin,
    messages: BufReader<ChildStdout>,
    /// The number of commands so far.
    number: u64,
    /// The session of the page.
    session: Option<String>,
    /// The errors that the page has reported.
    errors: Vec<String>,
    _profile: Directory,
}

impl Browser {
    /// Starts a browser with an empty page of this size in CSS pixels.
    ///
    /// # Panics
    ///
    /// Panics if the browser cannot be started.
    #[must_use]
    pub fn start(width: u32, height: u32) -> Self {
        let profile = Directory::new("chromium");
        // The browser expects commands on descriptor 3, and writes messages to 4.
        let script = "exec timeout \"$@\" 3<&0 4>&1 0</dev/null 1>&2";
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh", LIFETIME, "chromium", "--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--disable-crash-reporter", "--hide-scrollbars"])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let process = children::spawn(&mut command, true).expect("the browser can be started");
        let (commands, messages) = {
            let child = &mut lock(&process).child;
            (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"))
        };
        let mut browser = Self {
            process,
            commands,
            messages: BufReader::new(messages),
            number: 0,
            session: None,
            errors: Vec::new(),
            _profile: profile,
        };
        let page = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, &json!({}));
        }
        // A page in the background is not drawn.
        browser.call("Page.bringToFront", &json!({}));
        browser.resize(width, height);
        browser
    }

    /// Sets the size of the page in CSS pixels.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Sets what the user prefers, such as "dark" for "prefers-color-scheme", instead of what was set before.
    pub fn prefer(&mut self, features: &[(&str, &str)]) {
        let all: Vec<_> =
            features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.call("Emulation.setEmulatedMedia", &json!({"features": all}));
    }

    /// Opens a URL, and waits until the page has loaded.
    ///
    /// # Panics
    ///
    /// Panics if there is no such page.
    pub fn open(&mut self, url: &str) {
        // If only the fragment changes, the page would remain.
        self.call("Page.navigate", &json!({"url": "about:blank"}));
        let opened = self.call("Page.navigate", &json!({"url": url}));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        self.wait(
            "the page has loaded",
            "location.href !== 'about:blank' && document.readyState === 'complete'",
        );
    }

    /// Returns the value of an expression in the page. A promise is awaited.
    ///
    /// # Panics
    ///
    /// Panics if the expression fails.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let evaluate = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut result = self.call("Runtime.evaluate", &evaluate);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].take()
    }

    /// Waits until an expression is neither false nor null, and returns its value.
    ///
    /// # Panics
    ///
    /// Panics if that takes too long.
    pub fn wait(&mut self, what: &str, expression: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.evaluate(expression);
            if !value.is_null() && value != false {
                return value;
            }
            if Instant::now() > deadline {
                let text = self.evaluate("document.body.innerText");
                panic!("{what}: not within {PATIENCE:?}; errors: {:?}; the page: {text}", self.errors);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Presses a key, such as "Tab", "Enter" or "ArrowRight".
    pub fn press(&mut self, key: &str) {
        // Without its text, the key would not act on a button.
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "ArrowLeft" => (37, ""),
            "ArrowUp" => (38, ""),
            "ArrowRight" => (39, ""),
            "ArrowDown" => (40, ""),
            key => panic!("the key {key} has no code here"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Types a text into the focused element.
    pub fn enter(&mut self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Returns a picture of what is visible, in the PNG format.
    ///
    /// # Panics
    ///
    /// Panics if the browser returns none.
    #[must_use]
    pub fn picture(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        let text = picture["data"].as_str().expect("a picture");
        BASE64.decode(text.as_bytes()).expect("base64")
    }

    /// Returns the errors that the page has reported: exceptions, failed requests, and violations of its policy.
    #[must_use]
    pub fn errors(&mut self) -> &[String] {
        self.evaluate("null");
        &self.errors
    }

    /// Carries out a command, and returns its result.
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.number += 1;
        let mut command = json!({"id": self.number, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let sent = self.commands.write_all(format!("{command}\0").as_bytes());
        sent.unwrap_or_else(|error| panic!("{method}: the browser has ended: {error}"));
        loop {
            let mut message = self.message(method);
            if message["id"] == self.number {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.note(&message);
        }
    }

    fn message(&mut self, method: &str) -> Value {
        let mut bytes = Vec::new();
        let read = self.messages.read_until(0, &mut bytes);
        assert!(read.is_ok() && bytes.pop() == Some(0), "{method}: the browser has ended");
        serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn note(&mut self, message: &Value) {
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.errors.push(params["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.errors.push(params["entry"].to_string());
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        children::end(&self.process);
    }
}
