//! A Chromium without a screen, steered as WebDriver (W3C) has it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::PATIENCE;

/// Looks for what keeps people out of a page; see its README.
const AXE: &str = include_str!("axe/axe.min.js");
/// What the driver says when it is ready, before its port.
const READY: &str = "started successfully on port ";
/// Under this name an answer holds the reference of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// How long one look for a condition lasts within the page, before the driver is asked again.
const LOOK_MS: u64 = 500;
/// How often a driver is started before a test gives up.
const STARTS_MAX: usize = 5;
/// The screen of a desk: its width and height in pixels.
const DESK: (u32, u32) = (1280, 900);

/// A running browser. It ends when dropped.
pub(super) struct Browser {
    driver: Child,
    driver_address: String,
    session: String,
    /// The console's address.
    base: String,
    /// What the browser keeps: its profile and downloads.
    directory: TempDir,
}

impl Browser {
    /// Starts one for the console at `address`.
    pub(super) fn start(address: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory for this test");
        // It takes a port that is free for one kind of address, and ends where that is taken for the other.
        let (driver, driver_address) = (0..STARTS_MAX).find_map(|_| drive()).expect("a driver that says its port");
        let mut browser =
            Self { driver, driver_address, session: String::new(), base: format!("http://{address}"), directory };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            &format!("--user-data-dir={}", browser.directory.path().join("profile").display()),
            &format!("--window-size={},{}", DESK.0, DESK.1),
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"args": arguments, "prefs": {
                "download.default_directory": browser.directory.path(), "intl.accept_languages": "en",
            }},
        }}});
        let made = browser.ask("POST", "/session", &capabilities);
        at(&made, "/sessionId").as_str().expect("a session has a name").clone_into(&mut browser.session);
        browser.post("timeouts", &json!({"script": PATIENCE.as_millis(), "pageLoad": PATIENCE.as_millis()}));
        browser
    }

    /// Asks the driver; anything but a success fails the test.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Asks the driver, which speaks nothing older than HTTP/1.1.
    fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let answer = exchange(&self.driver_address, method, path, &body).map_err(|error| json!(error.to_string()))?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| json!(answer))?;
        let said: Value = serde_json::from_str(body).map_err(|error| json!(format!("{error}: {body}")))?;
        let value = at(&said, "/value").clone();
        if head.starts_with("HTTP/1.1 200 ") { Ok(value) } else { Err(value) }
    }

    #[track_caller]
    fn post(&self, what: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{what}", self.session), body)
    }

    /// Opens a page of the console.
    #[track_caller]
    pub(super) fn open(&self, path: &str) {
        self.post("url", &json!({"url": format!("{}{path}", self.base)}));
    }

    /// What an expression is in the page.
    #[track_caller]
    pub(super) fn value(&self, expression: &str) -> Value {
        self.post("execute/sync", &json!({"script": format!("return ({expression});"), "args": []}))
    }

    /// What an expression that promises something becomes in the page.
    #[track_caller]
    pub(super) fn promised(&self, expression: &str, arguments: &[Value]) -> Value {
        let script = format!(
            "const [args, done] = [[...arguments], arguments[arguments.length - 1]];
             ({expression}).then(done, (error) => done({{ failed: String(error) }}));"
        );
        self.post("execute/async", &json!({"script": script, "args": arguments}))
    }

    /// Waits until an expression is true in the page, over new pages too.
    #[track_caller]
    pub(super) fn wait(&self, condition: &str) {
        let look = format!(
            "const done = arguments[0], end = performance.now() + {LOOK_MS};
             const look = () => {{
               if ({condition}) done(true);
               else if (performance.now() > end) done(false);
               else setTimeout(look, 20);
             }};
             look();"
        );
        let deadline = Instant::now() + PATIENCE;
        let path = format!("/session/{}/execute/async", self.session);
        loop {
            // A page that is left in the middle of a look answers with an error: the next page is looked at.
            let seen = self.try_ask("POST", &path, &json!({"script": look, "args": []}));
            if seen == Ok(Value::Bool(true)) {
                return;
            }
            assert!(
                Instant::now() <= deadline,
                "never {condition} ({seen:?}) at {}: {}",
                self.value("location.href"),
                self.text("body")
            );
        }
    }

    /// Waits until there is such an element that holds this text.
    #[track_caller]
    pub(super) fn wait_text(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.wait(&format!(
            "[...document.querySelectorAll({selector})].some((found) => found.textContent.includes({text}))"
        ));
    }

    /// The text of the first such element.
    #[track_caller]
    pub(super) fn text(&self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({})?.innerText ?? ''", json!(selector)));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// How many such elements there are.
    #[track_caller]
    pub(super) fn count(&self, selector: &str) -> u64 {
        let count = self.value(&format!("document.querySelectorAll({}).length", json!(selector)));
        count.as_u64().expect("a count")
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let found = self.post("element", &json!({"using": "css selector", "value": selector}));
        found.get(ELEMENT).and_then(Value::as_str).expect("an element has a reference").to_owned()
    }

    /// Clicks on the first such element, as a person does.
    #[track_caller]
    pub(super) fn click(&self, selector: &str) {
        let element = self.element(selector);
        // In the middle nothing that stays in place covers it.
        self.value(&format!("document.querySelector({})?.scrollIntoView({{ block: 'center' }})", json!(selector)));
        self.post(&format!("element/{element}/click"), &json!({}));
    }

    /// Types into the first such element.
    #[track_caller]
    pub(super) fn enter(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(&format!("element/{element}/value"), &json!({"text": text}));
    }

    /// Presses and lets go keys, wherever the focus is.
    #[track_caller]
    pub(super) fn press(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})));
        let strokes: Vec<Value> = strokes.collect();
        self.post("actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]}));
    }

    /// Runs this script in every page that is opened from now on, before its own.
    #[track_caller]
    pub(super) fn before_pages(&self, script: &str) {
        self.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({"source": script}));
    }

    /// The file of this ending that the browser has saved.
    #[track_caller]
    pub(super) fn downloaded(&self, ending: &str) -> PathBuf {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let entries = std::fs::read_dir(self.directory.path()).expect("a directory of this test").flatten();
            let found =
                entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == ending));
            if let Some(found) = found {
                return found;
            }
            assert!(Instant::now() <= deadline, "no file {ending} was saved");
            // A frame of the page is the pace at which it is worth looking again.
            self.promised("new Promise((resolve) => requestAnimationFrame(resolve))", &[]);
        }
    }

    #[track_caller]
    fn cdp(&self, command: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Keeps a picture of the whole page for people to look at.
    pub(super) fn picture(&self, name: &str) {
        let taken = self.cdp("Page.captureScreenshot", &json!({"format": "png", "captureBeyondViewport": true}));
        let png = base64(at(&taken, "/data").as_str().expect("a picture"));
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        std::fs::create_dir_all(&place).expect("the target directory takes files");
        std::fs::write(place.join(format!("{name}.png")), png).expect("the target directory takes files");
    }

    /// Makes the window so large.
    #[track_caller]
    pub(super) fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Waits until the page was drawn once more.
    #[track_caller]
    pub(super) fn wait_frame(&self) {
        self.promised("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))", &[]);
    }

    /// Touches the first such element with a finger.
    #[track_caller]
    pub(super) fn tap(&self, selector: &str) {
        let element = self.element(selector);
        self.value(&format!("document.querySelector({})?.scrollIntoView({{ block: 'center' }})", json!(selector)));
        let touch = |kind: &str| json!({"type": kind, "button": 0});
        let there = json!({"type": "pointerMove", "x": 0, "y": 0, "origin": {ELEMENT: element}});
        let finger = json!({"type": "pointer", "id": "finger", "parameters": {"pointerType": "touch"},
            "actions": [there, touch("pointerDown"), touch("pointerUp")]});
        self.post("actions", &json!({"actions": [finger]}));
    }

    /// What axe finds in the page: each rule with the elements that break it.
    #[track_caller]
    pub(super) fn violations(&self) -> Vec<String> {
        self.violations_of(None)
    }

    /// What axe finds in the page by one of its rules, or by all of them.
    #[track_caller]
    pub(super) fn violations_of(&self, rule: Option<&str>) -> Vec<String> {
        if self.value("typeof axe") == "undefined" {
            self.post("execute/sync", &json!({"script": AXE, "args": []}));
        }
        let options = match rule {
            Some(rule) => json!({"resultTypes": ["violations"], "runOnly": [rule]}),
            None => json!({"resultTypes": ["violations"]}),
        };
        // Of what it finds only that is taken out of the page which is told here.
        let run = "axe.run(document, args[0]).then(({ violations }) => ({ violations }))";
        let found = self.promised(run, &[options]);
        let violations = at(&found, "/violations").as_array().unwrap_or_else(|| panic!("axe does not run: {found}"));
        violations.iter().map(|rule| format!("{}: {}", at(rule, "/id"), at(rule, "/nodes"))).collect()
    }

    /// What the page complained of, since it was last asked.
    pub(super) fn complaints(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({"type": "browser"}));
        entries.as_array().expect("a list").iter().map(|entry| at(entry, "/message").to_string()).collect()
    }

    /// Addresses of other hosts that pages asked for, since it was last asked.
    pub(super) fn foreign_requests(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({"type": "performance"}));
        let messages = entries.as_array().expect("a list").iter().filter_map(|entry| at(entry, "/message").as_str());
        let messages = messages.filter_map(|message| serde_json::from_str::<Value>(message).ok());
        let asked = messages.filter(|message| at(message, "/message/method") == "Network.requestWillBeSent");
        let addresses = asked.filter_map(|sent| Some(at(&sent, "/message/params/request/url").as_str()?.to_owned()));
        // The tests open a blank page of the browser's own.
        let own = [self.base.as_str(), "data:", "blob:", "chrome:"];
        addresses.filter(|address| !own.iter().any(|own| address.starts_with(own))).collect()
    }

    /// Says yes to what a page asks.
    pub(super) fn agree(&self) {
        self.post("alert/accept", &json!({}));
    }

    /// Signs in with the form.
    #[track_caller]
    pub(super) fn sign_in(&self, name: &str, password: &str) {
        self.open("/login");
        self.enter("#name", name);
        self.enter("#password", password);
        self.click("main form button");
        self.wait("location.pathname === '/'");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.try_ask("DELETE", &format!("/session/{}", self.session), &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Starts a driver; none when it does not get its port.
fn drive() -> Option<(Child, String)> {
    let mut command = Command::new("chromedriver");
    command.args(["--port=0"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = command.spawn().expect("`chromedriver` of chromium-driver");
    let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let Some(port) = lines.find_map(|line| Some(line.split_once(READY)?.1.trim_end_matches('.').to_owned())) else {
        driver.wait().expect("it is ours");
        return None;
    };
    std::thread::spawn(move || lines.count());
    Some((driver, format!("127.0.0.1:{port}")))
}

/// What stands at a path; null where nothing does.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(path).unwrap_or(&Value::Null)
}

/// One request of HTTP/1.1, and all that is answered.
fn exchange(address: &str, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE * 2))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    // The driver keeps its side open for more: the head says where the answer ends.
    let (mut stream, mut answer, mut length) = (BufReader::new(stream), String::new(), 0);
    while !answer.ends_with("\r\n\r\n") {
        let begin = answer.len();
        if stream.read_line(&mut answer)? == 0 {
            break;
        }
        let line = answer.get(begin..).unwrap_or_default().to_lowercase();
        let said = line.strip_prefix("content-length:").and_then(|length| length.trim().parse().ok());
        length = said.unwrap_or(length);
    }
    stream.take(length).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Bytes from their base64 (RFC 4648, section 4).
fn base64(text: &str) -> Vec<u8> {
    let digits = text.bytes().filter_map(|digit| match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for digit in digits {
        bits = (bits << 6) | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).expect("eight bits"));
        }
    }
    bytes
}
