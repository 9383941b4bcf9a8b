//! Sparkplug B and Home Assistant at the broker as its own process, seen by clients of other makers.

use std::path::Path;
use std::process::Command;

use crate::support::{HeadEnd, LOGGERS, Simulation, exported};

/// A simulated logger.
const DEVICE: &str = "330302D110-01";
/// A payload that asks an edge node to be born again: one metric with its name, its datatype and true.
const REBIRTH: &str = "\x12\x1a\x0a\x14Node Control/Rebirth\x20\x0b\x70\x01";

/// An edge node with one device: it is born, reports by alias, and says one alias that no birth named. It prints what it is
/// asked then.
const EDGE_NODE: &str = r#"
import struct, sys
import paho.mqtt.client as mqtt
def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
def number(field, value):
    return varint(field << 3) + varint(value)
def text(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value
def double(field, value):
    return varint(field << 3 | 1) + struct.pack("<d", value)
AT = 1767225600000
def payload(seq, *metrics):
    return number(1, AT) + b"".join(text(2, metric) for metric in metrics) + (b"" if seq is None else number(3, seq))
bd_seq = text(1, b"bdSeq") + number(4, 8) + number(11, 0)
level = text(1, b"level") + number(2, 1) + number(3, AT) + number(4, 3) + number(10, 2**32 - 2)
power = text(1, b"power") + number(2, 2) + number(3, AT) + number(4, 10) + double(13, 20.25)
sent = [
    ("NBIRTH/gateway", payload(0, bd_seq, level)),
    ("DBIRTH/gateway/pump", payload(1, power)),
    ("DDATA/gateway/pump", payload(2, number(2, 2) + number(3, AT + 1000) + double(13, 21.5))),
    ("NDATA/gateway", payload(3, number(2, 1) + number(3, AT + 1000) + number(10, 2**32 - 3))),
    ("NDATA/gateway", payload(4, number(2, 99) + number(10, 1))),
]
client = mqtt.Client("gateway")
client.username_pw_set("admin", "123456")
client.will_set("spBv1.0/works/NDEATH/gateway", payload(None, bd_seq))
client.on_connect = lambda client, *_: client.subscribe("spBv1.0/works/NCMD/gateway", 1)
client.on_subscribe = lambda client, *_: [client.publish("spBv1.0/works/" + kind, body, 1) for kind, body in sent]
def asked(client, _, message):
    print(message.topic, b"Node Control/Rebirth" in message.payload)
    client.publish("spBv1.0/works/NDEATH/gateway", payload(None, bd_seq), 1)
    client.disconnect()
client.on_message = asked
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_forever()
"#;

fn configuration() -> String {
    format!(
        "{LOGGERS}\n[[listener]]\nname = \"mqtt\"\nprotocol = \"mqtt\"\naddress = [\"127.0.0.1:0\"]\n\
         [listener.mqtt]\nsparkplug = \"Plant\"\nhome_assistant = \"homeassistant\"\n\
         [[device]]\nid = \"plant\"\nprotocol = \"mqtt\"\nidentity = \"admin\"\nsecret = \"text:123456\"\n"
    )
}

fn start(directory: &Path) -> (HeadEnd, String, String) {
    let head_end = HeadEnd::start(directory, &configuration());
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens").clone();
    let (host, port) = address.rsplit_once(':').expect("HOST:PORT");
    let (host, port) = (host.to_owned(), port.to_owned());
    (head_end, host, port)
}

fn client(program: &str, host: &str, port: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(["-h", host, "-p", port, "-u", "admin", "-P", "123456", "-W", "120"]).args(arguments);
    let output = command.output().expect("mosquitto-clients are installed; ./check sees to it");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

#[test]
fn what_edge_nodes_of_sparkplug_report_is_stored_as_readings() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (head_end, host, port) = start(directory.path());
    // The interpreter of the distribution, for which ./check installs the client.
    let output = Command::new("/usr/bin/python3").args(["-c", EDGE_NODE, &host, &port]).output();
    let output = output.expect("./check installs it");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout, "spBv1.0/works/NCMD/gateway True\n", "{stderr}");
    let data = head_end.data();
    assert!(head_end.stop().success());
    let readings = format!("{:?}", exported(&data));
    for expected in ["works/gateway/pump", "power", "20.25", "21.5", "level", "-2", "-3"] {
        assert!(readings.contains(expected), "{expected}: {readings}");
    }
}

#[test]
fn devices_of_another_protocol_are_edge_nodes_and_sensors() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (head_end, host, port) = start(directory.path());
    let mut simulation = Simulation::start(&head_end.address(), &["--rate", "50", "--seconds", "3600"]);
    simulation.wait_acknowledged(20);
    let [asks, born, says] = ["NCMD", "NBIRTH", "NDATA"].map(|kind| format!("spBv1.0/Plant/{kind}/{DEVICE}"));
    let birth =
        client("mosquitto_rr", &host, &port, &["-V", "5", "-t", &asks, "-e", &born, "-m", REBIRTH, "-F", "%t %x"]);
    // The counter of its sessions, in hex.
    assert!(birth.starts_with(&born) && birth.contains("6264536571"), "{birth}");
    let data = client("mosquitto_sub", &host, &port, &["-t", &says, "-C", "1", "-F", "%t"]);
    assert_eq!(data, format!("{says}\n"));
    let refused = ["-V", "5", "-q", "1", "-d", "-t", &says, "-m", "x"];
    let output = Command::new("mosquitto_pub")
        .args(["-h", &host, "-p", &port, "-u", "admin", "-P", "123456"])
        .args(refused)
        .output()
        .expect("mosquitto-clients are installed; ./check sees to it");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("RC:135"), "nobody else speaks for our edge nodes: {said}");

    let sensor =
        client("mosquitto_sub", &host, &port, &["-t", "homeassistant/sensor/+/+/config", "-C", "1", "-F", "%r %p"]);
    let config = sensor.strip_prefix("1 ").expect("it is kept");
    let config: serde_json::Value = serde_json::from_str(config).expect("JSON");
    let topic = |key: &str| config.get(key).and_then(|topic| topic.as_str()).expect("a topic").to_owned();
    let state = client("mosquitto_sub", &host, &port, &["-t", &topic("state_topic"), "-C", "1"]);
    assert!(state.contains("\"value\""), "{state}");
    let presence = client("mosquitto_sub", &host, &port, &["-t", &topic("availability_topic"), "-C", "1"]);
    assert!(presence.contains("connected-fresh"), "{presence}");
    simulation.finish();
    assert!(head_end.stop().success());
}
