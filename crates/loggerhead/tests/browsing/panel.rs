//! A page of somebody else that speaks MQTT, with the library most pages use for it.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use super::browser::Browser;
use crate::support::HeadEnd;

/// Eclipse Paho; see its README.
const PAHO: &str = include_str!("paho/paho-mqtt-min.js");
/// Connects with the version of MQTT that `args[2]` names, subscribes, publishes a retained message of each QoS in text and bytes,
/// and tells what came back before all of it was acknowledged and the connection closed.
const CONVERSATION: &str = r#"new Promise((done, failed) => {
  const [host, port, version] = args;
  const client = new Paho.Client(host, port, "/", `panel-${version}`);
  const came = [], sent = [];
  const end = () => {
    if (came.length === 3 && sent.length === 3 && client.isConnected()) client.unsubscribe(`v${version}/#`, { onSuccess: () => client.disconnect() });
  };
  client.onMessageArrived = (message) => {
    came.push([message.destinationName, message.qos, message.retained, message.payloadBytes.length]);
    end();
  };
  client.onMessageDelivered = (message) => { sent.push(message.qos); end(); };
  client.onConnectionLost = ({ errorCode, errorMessage }) =>
    errorCode === 0 ? done({ came: came.sort(), sent: sent.sort() }) : failed(errorMessage);
  client.connect({
    userName: "admin", password: "123456", mqttVersion: version, mqttVersionExplicit: true,
    onFailure: ({ errorMessage }) => failed(errorMessage),
    onSuccess: () => client.subscribe(`v${version}/#`, { qos: 2, onSuccess: () => {
      client.publish(`v${version}/0`, "21.5 °C", 0);
      client.publish(`v${version}/1`, new Uint8Array(70000), 1, true);
      client.publish(`v${version}/2`, "", 2);
    } }),
  });
})"#;

/// Serves a page with the library to whoever asks, whatever they ask for; the port.
fn serve_page() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its port").port();
    std::thread::spawn(move || {
        // A browser opens connections ahead, on which it may say nothing: none waits for another.
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

/// Answers one request. Whoever hangs up early asks again.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    let page = format!("<!doctype html><title>panel</title><script>{PAHO}</script>");
    let length = page.len();
    for line in BufReader::new(&stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{page}")
}

#[test]
fn a_page_of_an_allowed_origin_speaks_mqtt_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let page = serve_page();
    let head_end = HeadEnd::start(
        directory.path(),
        &format!(
            r#"
[[listener]]
name = "mqtt"
protocol = "mqtt"
address = ["127.0.0.1:0"]
[listener.websocket]
origins = ["http://127.0.0.1:{page}"]

[[device]]
id = "plant"
protocol = "mqtt"
identity = "admin"
secret = "text:123456"
"#
        ),
    );
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens").clone();
    let port: u16 = address.rsplit_once(':').expect("HOST:PORT").1.parse().expect("a port");

    let browser = Browser::start(&format!("127.0.0.1:{page}"));
    browser.open("/");
    for version in [3, 4] {
        let said = browser.promised(CONVERSATION, &[json!("127.0.0.1"), json!(port), json!(version)]);
        let came = json!([
            [format!("v{version}/0"), 0, false, 8],
            [format!("v{version}/1"), 1, false, 70_000],
            [format!("v{version}/2"), 2, false, 0],
        ]);
        assert_eq!(said, json!({"came": came, "sent": [0, 1, 2]}), "version {version}");
    }
    // The same page under another name is of another origin.
    let stranger = Browser::start(&format!("localhost:{page}"));
    stranger.open("/");
    let said = stranger.promised(CONVERSATION, &[json!("127.0.0.1"), json!(port), json!(4)]);
    assert!(said["failed"].as_str().is_some_and(|why| why.contains("AMQJS0007E")), "a socket that was refused: {said}");
    assert!(head_end.stop().success());
}
