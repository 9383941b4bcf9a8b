//! Chat over WebSocket as its own process: a client library of another maker in both formats, terminals that share the
//! messages, and kills.

use serde_json::{Value, json};

use crate::support::{Api, HeadEnd, run};
use crate::texting::Terminal;

/// How often the server is killed.
const KILLS: u32 = 10;
/// A client of both formats: lines in are texts out, texts in are lines out.
const CLIENT: &str = r#"
import sys, threading, websocket
path, host, port = sys.argv[1:]
socket = websocket.create_connection(f"ws://{host}:{port}{path}")
def hear():
    try:
        while True:
            print(socket.recv(), flush=True)
    except websocket.WebSocketException:
        print("closed", flush=True)
    except OSError:
        print("cut off", flush=True)
threading.Thread(target=hear, daemon=True).start()
for line in sys.stdin:
    socket.send(line.rstrip("\n"))
"#;

fn configuration() -> String {
    let account = |protocol: &str, name: &str, how: &str| {
        format!("[[device]]\nid = \"{protocol}-{name}\"\nprotocol = \"{protocol}\"\nidentity = \"{name}\"\n{how}\n")
    };
    let secret = "secret = \"text:123456\"";
    [
        "[[listener]]\nname = \"lines\"\nprotocol = \"line\"\naddress = [\"127.0.0.1:0\"]\n",
        "[listener.line]\nencoding = \"utf-8\"\nchat_text = \"rest\"\n",
        "[[listener]]\nname = \"chat\"\nprotocol = \"chat\"\naddress = [\"127.0.0.1:0\"]\n",
        &account("line", "1", secret),
        &account("chat", "1", secret),
        &account("chat", "2", "login = \"name\""),
        &account("chat", "3", secret),
    ]
    .concat()
}

fn address(head_end: &HeadEnd, listener: &str) -> String {
    head_end.addresses_of(listener).first().expect("the listener listens").clone()
}

fn nc(head_end: &HeadEnd) -> Terminal {
    let mut nc = Terminal::open("nc", &["-C"], &address(head_end, "lines"));
    nc.login("1");
    nc
}

fn client(head_end: &HeadEnd, path: &str) -> Terminal {
    Terminal::open("/usr/bin/python3", &["-c", CLIENT, path], &address(head_end, "chat"))
}

/// A client of the JSON format, logged in.
fn person(head_end: &HeadEnd, name: &str) -> Terminal {
    let mut client = client(head_end, "/chat");
    client.say(&json!({"type": "login", "name": name, "secret": "123456"}).to_string());
    client.wait_for("{\"type\":\"welcome\"");
    client
}

fn say(client: &mut Terminal, number: u32, text: &str) {
    let id = format!("6f9619ff-8b86-4d01-b42d-{number:012x}");
    client.say(&json!({"type": "say", "id": id, "to": "1", "text": text}).to_string());
    let accepted: Value = serde_json::from_str(&client.wait_for("{\"type\":\"accepted\"")).expect("JSON");
    assert_eq!(accepted.pointer("/message/id"), Some(&json!(id)));
}

#[test]
fn a_terminal_and_both_kinds_of_clients_talk_to_each_other_and_share_what_waits() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &configuration());
    let mut nc = nc(&head_end);
    nc.say("Chat 2 早上好 <b>2</b>");
    nc.wait_for("消息未发送成功");
    let mut older = client(&head_end, "/Home/MyWebSocket?name=2");
    older.wait_for("早上好 <b>2</b>");
    let mut three = person(&head_end, "3");
    say(&mut three, 1, "hello");
    let heard = nc.wait_for("3 给你发消息:hello ");
    nc.say(&format!("Confirm {}", heard.rsplit(' ').next().expect("its name")));
    nc.say("Chat 3 and to you");
    let message = three.wait_for("{\"type\":\"message\"");
    let message: Value = serde_json::from_str(&message).expect("JSON");
    let part = |path| message.pointer(path).and_then(Value::as_str);
    assert_eq!((part("/message/from"), part("/message/text")), (Some("1"), Some("and to you")));
    // Operators see how far each message is.
    let messages = |query: &str| {
        let answer = Api::Unix(head_end.data()).get(&format!("/api/v1/messages?{query}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let confirmed = messages("from=3&to=1");
    let of = |message: &Value, path: &str| message.pointer(path).cloned().unwrap_or_default();
    assert_eq!(of(&confirmed, "/messages/0/text"), "hello");
    assert_eq!(of(&confirmed, "/messages/0/state"), "confirmed");
    assert!(
        of(&confirmed, "/messages/0/sent_at").is_string() && of(&confirmed, "/messages/0/confirmed_at").is_string()
    );
    let sent = messages("state=sent&to=3");
    assert_eq!((of(&sent, "/messages/0/text"), of(&sent, "/messages/1")), ("and to you".into(), Value::Null));
    let queues = Api::Unix(head_end.data()).get("/api/v1/messages/queues?after=2&limit=1").json();
    assert_eq!((of(&queues, "/queues/0/name"), of(&queues, "/queues/0/waiting")), ("3".into(), 1.into()));
    // The room of older clients.
    three.say(&json!({"type": "join", "room": "lobby"}).to_string());
    three.wait_for("{\"type\":\"joined\"");
    older.say("in the room");
    three.wait_for("{\"type\":\"message\"");
    // The same name over another protocol is the same person, and has one connection.
    let _one = person(&head_end, "1");
    nc.wait_for("您的账号已经在他处登录,您已经被踢下线了");
    assert!(head_end.stop().success());
    three.wait_for("closed");
}

#[test]
fn no_accepted_message_is_lost_doubled_or_out_of_order_by_kills_and_no_confirmed_one_comes_again() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    for number in 0..KILLS {
        let head_end = HeadEnd::start(directory.path(), &configuration());
        let mut three = person(&head_end, "3");
        // Said again after the kill, as by a client that did not hear the answer.
        if number > 0 {
            say(&mut three, number - 1, &format!("message {}", number - 1));
        }
        say(&mut three, number, &format!("message {number}"));
        head_end.kill();
    }
    let head_end = HeadEnd::start(directory.path(), &configuration());
    let mut one = nc(&head_end);
    for number in 0..KILLS {
        let line = one.next();
        assert!(line.starts_with(&format!("3 给你发送消息:message {number} ")), "{line}");
        one.say(&format!("Confirm {}", line.rsplit(' ').next().expect("its name")));
    }
    one.say("HB R");
    assert_eq!(one.next(), "R");
    head_end.kill();
    let head_end = HeadEnd::start(directory.path(), &configuration());
    let mut one = nc(&head_end);
    one.say("HB R");
    assert_eq!(one.next(), "R", "what was confirmed does not come again");
}

#[test]
fn simulated_people_of_both_protocols_are_answered() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let listener = |protocol: &str| {
        format!(
            "[[listener]]\nname = \"{protocol}\"\nprotocol = \"{protocol}\"\naddress = [\"127.0.0.1:0\"]\n\
             enroll = \"accept\"\nsecrets = [\"text:IJKLMNOPQRSTUVWX\"]\n"
        )
    };
    let utf_8 = listener("line").replacen("\"line\"", "\"utf-8\"", 1);
    let utf_8 = [&utf_8, "[listener.line]\nencoding = \"utf-8\"\n"].concat();
    let head_end = HeadEnd::start(directory.path(), &[listener("line"), listener("chat"), utf_8].concat());
    for (name, protocol, more) in
        [("line", "line", &[][..]), ("chat", "chat", &[]), ("utf-8", "line", &["--encoding", "utf-8"])]
    {
        let (to, name) = (address(&head_end, name), format!("{name}-"));
        let options = ["--users", "3", "--packets", "4", "--rate", "50", "--patience", "120", "--json"];
        let said = run(&[&["simulate", protocol, "--to", &to, "--name", &name][..], &options, more].concat());
        let summary: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(summary.get("packets_acked"), Some(&json!(12)), "{said}");
    }
}
