//! The camera platform as its own process: apps over real sockets, data connections, alarms, and kills.

mod wording;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use loggerhead_protocols::mqtt::message::Qos;
use serde_json::Value;

use crate::support::mqtt::Client;
use crate::support::{Api, HeadEnd, PATIENCE, assert_same, exported, journalled, json, outcome, run};

/// How often the server is killed.
const KILLS: usize = 10;

fn configuration(ports: &str) -> String {
    let device = |identity: &str, secret: &str, kind: &str| {
        format!(
            "[[device]]\nprotocol = \"camera\"\nidentity = \"{identity}\"\nsecret = \"text:{secret}\"\n\
             [device.camera]\nkind = \"{kind}\"\n"
        )
    };
    let cameras: String = (0..KILLS).map(|number| device(&format!("c{number}"), "k|1", "camera")).collect();
    format!(
        "[[listener]]\nname = \"cameras\"\nprotocol = \"camera\"\naddress = [\"127.0.0.1:0\"]\ndata_ports = \"{ports}\"\n\
         [listener.camera]\nreply_names = \"short\"\n{}{}{cameras}",
        device("u1", "a|b", "account"),
        device("u2", "pw2", "account")
    )
}

/// One connection.
pub(crate) struct Line(BufReader<TcpStream>);

impl Line {
    pub(crate) fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has one");
        Self(BufReader::new(stream))
    }

    fn main(head_end: &HeadEnd) -> Self {
        Self::open(head_end.addresses_of("cameras").first().expect("the listener listens"))
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(format!("{text}\r\n").as_bytes()).expect("it reads");
    }

    /// The next line; empty at the end.
    pub(crate) fn hear(&mut self) -> String {
        let mut text = String::new();
        self.0.read_line(&mut text).expect("an answer");
        text.trim_end_matches(['\r', '\n']).to_owned()
    }

    pub(crate) fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.hear()
    }

    /// The port of a data connection.
    fn port(&mut self) -> String {
        let reply = self.ask("CreatDataSocket u1|a|b");
        reply.strip_prefix("ReturnDataSocketPort ").expect("the reply").to_owned()
    }
}

#[test]
fn an_app_synchronises_its_cameras_and_hears_when_one_comes_and_goes_and_of_its_alarm() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &configuration("0"));
    let mut app = Line::main(&head_end);
    assert_eq!(app.ask("Login u1|wrong"), "LoginError 用户名或者密码错误!");
    assert_eq!(app.ask("Login u1|a|b"), "LoginOk 0||");
    let port = app.port();
    let mut data = Line::open(&format!("127.0.0.1:{port}"));
    assert_eq!(data.ask("UploadCaramer c0|x|1|1"), "UploadFail c0|ID和密码不匹配|1|1");
    assert_eq!(data.ask("UploadCaramer c0|k|1|1|1"), "UploadSucess c0|null|1|1");
    assert_eq!(data.ask("DownLoadCaramer 0"), "DownloadSucess c0|k|1|null|1|1");
    drop(data);
    let mut camera = Line::main(&head_end);
    assert_eq!(camera.ask("CameraLogin c0|k|1"), "CameraLoginOk ");
    assert_eq!(app.hear(), "PrushCaramerOnlineStatus c0:true");
    assert_eq!(app.ask("CheckCaramerOnlineStatus c0;nobody"), "ReturnCaramerOnlineStatus c0;true|nobody;null");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    assert_eq!(camera.ask(&format!("CameraAlarm 1|motion|{now}")), "CameraAlarmOk 1");
    assert_eq!(app.hear(), "PrushCaramerAlarmInfo c0:motion");
    drop(camera);
    assert_eq!(app.hear(), "PrushCaramerOnlineStatus c0:false");
    let key = std::fs::metadata(head_end.data().join("sealing.key")).expect("it was made");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    assert!(head_end.stop().success());
}

#[test]
fn alarms_of_one_millisecond_are_all_told_and_one_that_is_raised_again_is_told_once() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &configuration("0"));
    let mut app = Line::main(&head_end);
    app.ask("Login u1|a|b");
    app.ask("UploadCaramer c0|k|1|1|1");
    let mut camera = Line::main(&head_end);
    camera.ask("CameraLogin c0|k|1");
    assert_eq!(app.hear(), "PrushCaramerOnlineStatus c0:true");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    // Before everything that is said without a time.
    let at = now - 1_000;
    for (number, what) in ["motion", "door", "smoke", "door", "motion"].iter().enumerate() {
        assert_eq!(camera.ask(&format!("CameraAlarm {number}|{what}|{at}")), format!("CameraAlarmOk {number}"));
    }
    assert_eq!(camera.ask(&format!("CameraAlarm 9|over|{}", at + 10)), "CameraAlarmOk 9");
    let alarms = |app: &mut Line| {
        std::iter::repeat_with(|| app.hear()).filter(|line| line.contains("Alarm")).take(4).collect::<Vec<_>>()
    };
    assert_eq!(
        alarms(&mut app),
        ["motion", "door", "smoke", "over"].map(|what| format!("PrushCaramerAlarmInfo c0:{what}"))
    );
    let api = Api::Unix(head_end.data());
    for (what, state) in [("one", "true"), ("one", "false"), ("two", "true"), ("two", "null")] {
        let ask = |path: &str, body: &str| {
            api.ask("POST", &format!("/api/v1/cameras/c0/{path}"), "Content-Type: application/json\r\n", body).status
        };
        assert_eq!(ask("state", &format!(r#"{{"state":{state}}}"#)), 204);
        assert_eq!(ask("alarms", &format!(r#"{{"alarm":"{what}"}}"#)), 204);
    }
    let words = ["one", "one", "two", "two"].map(|what| format!("PrushCaramerAlarmInfo c0:{what}"));
    assert_eq!(alarms(&mut app), words);
    app.say("CheckCaramerOnlineStatus c0");
    let answer = std::iter::repeat_with(|| app.hear()).find(|line| line.starts_with("Return"));
    assert_eq!(answer.as_deref(), Some("ReturnCaramerOnlineStatus c0;null"));
    assert!(head_end.stop().success());
}

#[test]
fn a_device_of_another_protocol_speaks_for_a_camera() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let path = directory.path().join("mqtt.sock");
    let sources = format!(
        "[[device]]\nprotocol = \"camera\"\nidentity = \"yard\"\nsecret = \"text:pw\"\n\
         [device.camera]\nkind = \"camera\"\nsource = \"yard-mqtt\"\n\
         [[listener]]\nname = \"mqtt\"\nprotocol = \"mqtt\"\naddress = [\"unix:{}\"]\n\
         [[device]]\nid = \"yard-mqtt\"\nprotocol = \"mqtt\"\nidentity = \"admin\"\nsecret = \"text:123456\"\n\
         [device.mqtt]\npublish = [\"readings/#\"]\n",
        path.display()
    );
    let head_end = HeadEnd::start(directory.path(), &format!("{}{sources}", configuration("0")));
    let mut app = Line::main(&head_end);
    app.ask("Login u1|a|b");
    assert_eq!(app.ask("UploadCaramer yard|pw|1|1"), "UploadSucess yard|null|1|1");
    let mut client = Client::new(&path, "yard");
    assert!(client.enter());
    assert_eq!(app.hear(), "PrushCaramerOnlineStatus yard:true");
    client.publish(Qos::AtLeastOnce, 7, "readings/cam/alarm", "motion");
    assert_eq!(app.hear(), "PrushCaramerAlarmInfo yard:motion");
    assert!(head_end.stop().success());
}

#[test]
fn simulated_cameras_are_stored_and_acknowledged_and_their_alarms_told() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &configuration("0"));
    let address = head_end.addresses_of("cameras").first().expect("the listener listens").clone();
    let (data, journal) = (head_end.data(), directory.path().join("journal"));
    let mut app = Line::main(&head_end);
    app.ask("Login u1|a|b");
    assert_eq!(app.ask("UploadCaramer c1|k|1|1|1"), "UploadSucess c1|null|1|1");
    let who =
        ["--name", "c", "--secret", "text:k|1", "--cameras", "3", "--apps", "0", "--packets", "5", "--rate", "20"];
    let journal_argument = journal.to_str().expect("a path of this test");
    let result =
        json(&[&["simulate", "camera", "--to", &address, "--journal", journal_argument, "--json"][..], &who].concat());
    assert_eq!(result.get("packets_acked"), Some(&Value::from(15)), "{result}");
    let heard: Vec<_> = std::iter::repeat_with(|| app.hear()).filter(|line| line.contains("Alarm")).take(5).collect();
    assert!(heard.iter().all(|line| line.starts_with("PrushCaramerAlarmInfo c1:")), "{heard:?}");
    assert!(head_end.stop().success());
    let journal = std::fs::read_to_string(&journal).expect("it was just written");
    let acknowledged = journalled(&journal.lines().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(acknowledged.len(), 15);
    assert_same(&exported(&data), &acknowledged);
}

#[test]
fn simulated_apps_synchronise_their_lists_ask_for_states_and_are_told_of_every_alarm() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let account = |number: u32| {
        format!("[[device]]\nprotocol = \"camera\"\nidentity = \"app-{number}\"\nsecret = \"text:p|w\"\n")
    };
    let accounts: String = (1..=3).map(account).collect();
    let head_end = HeadEnd::start(directory.path(), &format!("{}{accounts}", configuration("0")));
    let address = head_end.addresses_of("cameras").first().expect("the listener listens").clone();
    let who =
        ["--name", "c", "--secret", "text:k|1", "--cameras", "3", "--apps", "3", "--packets", "4", "--rate", "20"];
    let common = [&["simulate", "camera", "--to", &address, "--poll", "0.2", "--json"][..], &who].concat();
    for lists_up in [3, 0] {
        let options = ["--app-secret", "text:p|w", "--patience", "120"];
        let result = json(&[&common[..], &options].concat());
        let of = |name: &str| result.pointer(&format!("/apps/{name}")).cloned().unwrap_or_default();
        assert_eq!((of("lists_up"), of("lists_down")), (lists_up.into(), 3.into()), "{result}");
        assert_eq!((of("lists_whole"), of("cameras_bound")), (3.into(), (lists_up * 3).into()), "{result}");
        assert_eq!((of("alarms_told"), of("alarms_missing")), (36.into(), 0.into()), "{result}");
        assert!(of("states").as_object().is_some_and(|states| !states.is_empty()), "{result}");
        assert!(of("login_ms/max").as_f64() > Some(0.0) && of("errors") == serde_json::json!({}), "{result}");
        assert_eq!(result.get("packets_acked"), Some(&Value::from(12)), "{result}");
    }
    let refused = outcome(&[&common[..], &["--patience", "5"]].concat());
    assert_eq!(refused.status.code(), Some(1), "an app that is not let in is a failure");
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(said.contains("refused: 用户名或者密码错误!"), "{said}");
    assert!(head_end.stop().success());
}

#[test]
fn whoever_watches_a_camera_says_its_state_and_alarms_and_a_binding_that_was_removed_stays_removed() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &configuration("0"));
    let mut app = Line::main(&head_end);
    app.ask("Login u1|a|b");
    assert_eq!(app.ask("UploadCaramer c0|k|1|1|2"), "UploadSucess c0|null|1|2");
    assert_eq!(app.ask("UploadCaramer c1|k|1|2|2"), "UploadSucess c1|null|2|2");
    let api = Api::Unix(head_end.data());
    let ask = |method: &str, path: &str, body: &str| {
        api.ask(method, &format!("/api/v1/cameras/{path}"), "Content-Type: application/json\r\n", body).status
    };
    assert_eq!(ask("POST", "c0/state", r#"{"state":true}"#), 204);
    assert_eq!(app.hear(), "PrushCaramerOnlineStatus c0:true");
    assert_eq!(ask("POST", "c0/alarms", r#"{"alarm":"motion: left"}"#), 204);
    assert_eq!(app.hear(), "PrushCaramerAlarmInfo c0:motion: left");
    assert_eq!(ask("POST", "u1/alarms", r#"{"alarm":"motion"}"#), 404, "an account is no camera");
    assert_eq!(ask("POST", "c0/alarms", r#"{"alarm":"two\nlines"}"#), 400);
    let first = |api: &Api| api.get("/api/v1/cameras?limit=1").json().pointer("/cameras/0").cloned().expect("a camera");
    let shown = first(&api);
    let part = |of: &Value, path: &str| of.pointer(path).cloned().unwrap_or_default();
    assert_eq!((part(&shown, "/name"), part(&shown, "/state")), ("c0".into(), true.into()));
    assert_eq!((part(&shown, "/accounts/0"), part(&shown, "/alarm/alarm")), ("u1".into(), "motion: left".into()));
    let accounts = api.get("/api/v1/cameras/accounts").json();
    assert_eq!(part(&accounts, "/accounts/0/connections"), 1);
    assert_eq!(ask("DELETE", "c1/accounts/u2", ""), 404, "it never had it");
    assert_eq!(ask("DELETE", "c1/accounts/u1", ""), 204);
    assert_eq!(app.ask("DownLoadCaramer 0"), "DownloadSucess c0|k|1|true|1|1");
    head_end.kill();
    let head_end = HeadEnd::start(directory.path(), &configuration("0"));
    let mut app = Line::main(&head_end);
    assert!(app.ask("Login u1|a|b").starts_with("LoginOk 1|"));
    let api = Api::Unix(head_end.data());
    let deadline = std::time::Instant::now() + PATIENCE;
    while part(&first(&api), "/state") != true {
        assert!(std::time::Instant::now() < deadline, "what was said last is known again");
    }
    assert!(head_end.stop().success());
}

#[test]
fn a_data_port_is_for_one_connection_and_without_a_free_one_the_answer_is_empty() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|door| door.local_addr()).expect("a free port");
    let head_end = HeadEnd::start(directory.path(), &configuration(&free.port().to_string()));
    let mut app = Line::main(&head_end);
    app.ask("Login u1|a|b");
    assert_eq!(app.port(), free.port().to_string());
    assert_eq!(app.port(), "", "the one port is taken");
    let mut data = Line::open(&free.to_string());
    assert_eq!(data.ask("DownLoadCaramer 0"), "DownloadFail 该账号没有绑定摄像头");
    assert!(TcpStream::connect(free).is_err(), "nobody listens there any more");
    assert_eq!(app.port(), "", "and it is taken while that connection stands");
    drop(data);
    let deadline = std::time::Instant::now() + PATIENCE;
    while app.port().is_empty() {
        assert!(std::time::Instant::now() < deadline, "the port is not given back");
    }
    assert!(head_end.stop().success());
}

#[test]
fn bindings_that_were_acknowledged_are_there_after_kills() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let configuration = configuration("0");
    for number in 0..KILLS {
        let head_end = HeadEnd::start(directory.path(), &configuration);
        let mut app = Line::main(&head_end);
        assert!(app.ask("Login u1|a|b").starts_with(&format!("LoginOk {number}|")));
        let reply = app.ask(&format!("UploadCaramer c{number}|k|1|1|1"));
        assert_eq!(reply, format!("UploadSucess c{number}|null|1|1"));
        head_end.kill();
    }
}

#[test]
fn nc_speaks_to_it_and_decode_explains_what_it_says_without_passwords() {
    use std::process::{Command, Stdio};

    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &configuration("0"));
    let address = head_end.addresses_of("cameras").first().expect("the listener listens").clone();
    let (host, port) = address.rsplit_once(':').expect("HOST:PORT");
    let mut nc = Command::new("nc");
    nc.args(["-C", "-N", host, port]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = nc.spawn().expect("./check installs it");
    let mut keys = process.stdin.take().expect("it is piped");
    keys.write_all("SocketCommand.LoginCommand.Login u2|pw2\n".as_bytes()).expect("it reads");
    drop(keys);
    let output = process.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "SocketCommand.LoginCommand.LoginOk 0||\r\n");
    let said = run(&["decode", "camera", "--hex", "4c6f67696e2075327c7077320d0a"]);
    assert!(said.contains("u2|***") && !said.contains("pw2"), "{said}");
}
