//! People who talk: one in a browser, one at a terminal, and a server that is killed between them.

use serde_json::{Value, json};

use super::{Browser, PASSWORD, assert_quiet, signed_in};
use crate::support::{Api, HeadEnd};
use crate::texting::Terminal;

/// What stands in the open conversation, line by line.
const SAID: &str = "[...document.querySelectorAll('#said .message > p')].map((said) => said.textContent)";
/// The key that ends a line, as WebDriver has it.
const ENTER: &str = "\u{e007}";

fn configuration(web: &str) -> String {
    let account = |name: &str| {
        format!(
            "[[device]]\nid = \"line-{name}\"\nprotocol = \"line\"\nidentity = \"{name}\"\nsecret = \"text:123456\"\n"
        )
    };
    let listener = |name: &str, protocol: &str| {
        format!("[[listener]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\naddress = [\"127.0.0.1:0\"]\n")
    };
    [
        &listener("lines", "line"),
        "[listener.line]\nencoding = \"utf-8\"\nchat_text = \"rest\"\nhistory_messages_max = 3\n",
        &listener("chat", "chat"),
        &account("1"),
        &account("viewer"),
        &format!("[web]\naddress = \"{web}\"\n"),
    ]
    .concat()
}

fn terminal(head_end: &HeadEnd, name: &str) -> Terminal {
    let address = head_end.addresses_of("lines").first().expect("the listener listens").clone();
    let mut terminal = Terminal::open("nc", &["-C"], &address);
    terminal.login(name);
    terminal
}

/// Every line that was said in the open conversation, each once, in order.
fn is_said(lines: &[&str]) -> String {
    format!("JSON.stringify({SAID}) === {}", json!(json!(lines).to_string()))
}

/// A server, and a browser that shows the chat of `viewer`, once `before` is done.
fn chat(directory: &std::path::Path, before: impl FnOnce(&HeadEnd)) -> (HeadEnd, Browser) {
    let head_end = HeadEnd::start(directory, &configuration("127.0.0.1:0"));
    let account = json!({"name": "viewer", "role": "viewer", "password": PASSWORD});
    let added = Api::Unix(head_end.data()).ask("POST", "/api/v1/accounts", "", &account.to_string());
    assert_eq!(added.status, 201, "{added:?}");
    before(&head_end);
    let browser = signed_in(&head_end, "viewer");
    // A name that cannot be is none.
    browser.open("/chat#%");
    browser.wait("document.getElementById('chat-state').dataset.state === 'live'");
    (head_end, browser)
}

/// Confirms the message of a line, and waits until that is stored.
fn confirm(terminal: &mut Terminal, line: &str) {
    terminal.say(&format!("Confirm {}", line.rsplit(' ').next().expect("its name stands last")));
    terminal.say("HB R");
    terminal.wait_for("R");
}

#[test]
fn a_message_is_read_once_it_is_seen_and_none_is_missing_between_others() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let numbered: Vec<_> = (0..30).map(|number| format!("number {number}")).collect();
    let (head_end, browser) = chat(directory.path(), |head_end| {
        let mut one = terminal(head_end, "1");
        for text in &numbered {
            one.say(&format!("Chat viewer {text}"));
            assert_eq!(one.next(), "消息未发送成功");
        }
    });
    let mut one = terminal(&head_end, "1");
    browser.wait_text("#talks .unread", "30 unread");
    browser.click("#talks [data-key='1'] button");
    browser.wait(&format!("{SAID}.length === 30 && !document.querySelector('#talks .unread').textContent"));
    browser.wait("!document.getElementById('earlier').hidden");
    browser.click("#earlier");
    browser.wait("document.getElementById('earlier').hidden");

    // Who looks at what was said earlier, or was found, has not seen what comes.
    let unread_until = |unread: &str, seen: &str| {
        browser.wait_text("#talks .unread", unread);
        browser.value(seen);
        browser.wait("!document.querySelector('#talks .unread').textContent");
    };
    browser.value("document.getElementById('said').scrollTop = 0");
    one.say("Chat viewer below");
    unread_until("1 unread", "document.getElementById('said').scrollTop = 1e6");
    browser.enter("#words", &format!("29{ENTER}"));
    browser.wait(&is_said(&["number 29"]));
    one.say("Chat viewer not found");
    browser.wait_text("#talks .unread", "1 unread");
    browser.enter("#words", "\u{e00c}");
    browser.wait("!document.querySelector('#talks .unread').textContent");
    browser.wait(&format!("{SAID}.at(-1) === 'not found'"));

    // What came to a terminal of the same name meanwhile, and is known no more, leaves no hole that nobody sees.
    let mut other = terminal(&head_end, "viewer");
    browser.wait("!document.getElementById('replaced').hidden");
    for text in ["a", "b", "c", "d"] {
        one.say(&format!("Chat viewer {text}"));
        let line = other.wait_for(&format!("1 给你发消息:{text} "));
        confirm(&mut other, &line);
    }
    browser.click("#take-back");
    browser.wait(&format!("{SAID}.slice(0, 3).join() === 'b,c,d'"));
    browser.wait("!document.getElementById('earlier').hidden");

    // What is too long holds up nothing behind it.
    browser.value("document.getElementById('text').value = 'x'.repeat(20_000)");
    browser.value("document.getElementById('say').requestSubmit()");
    browser.wait_text("#said .message[data-state='failed']", "The message is too long.");
    browser.wait("document.getElementById('chat-state').dataset.state === 'live'");
    browser.enter("#text", &format!("short{ENTER}"));
    one.wait_for("viewer 给你发消息:short ");
    assert!(head_end.stop().success());
}

#[test]
fn a_browser_and_a_terminal_talk_and_nothing_is_lost_or_doubled_by_a_kill() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (head_end, browser) = chat(directory.path(), |_| {});
    let mut one = terminal(&head_end, "1");

    // What comes is marked until it is seen, and is text whatever it looks like.
    one.say("Chat viewer hello <b>viewer</b>");
    browser.wait_text("#talks .unread", "1 unread");
    browser.wait("document.title.startsWith('(1) ')");
    browser.click("#talks [data-key='1'] button");
    browser.wait(&is_said(&["hello <b>viewer</b>"]));
    browser.wait("document.title.startsWith('Chat')");
    browser.wait_text("#talks .state", "there");
    browser.enter("#text", &format!("and to you{ENTER}"));
    one.wait_for("viewer 给你发消息:and to you ");
    browser.wait_text("#said .message[data-own] header", "delivered");
    browser.enter("#words", &format!("HELLO{ENTER}"));
    browser.wait_text("#found", "1 found");
    browser.wait(&is_said(&["hello <b>viewer</b>"]));
    browser.enter("#words", "\u{e00c}");
    browser.wait(&is_said(&["hello <b>viewer</b>", "and to you"]));
    browser.enter("#room", &format!("lobby{ENTER}"));
    browser.wait_text("#talk-people", "1 members, there: viewer");
    browser.enter("#text", &format!("in the room{ENTER}"));
    browser.wait(&is_said(&["in the room"]));
    assert_eq!(browser.violations(), [""; 0]);
    browser.picture("chat");
    browser.click("#talks [data-key='1'] button");
    assert_quiet(&browser);

    // What is said while the server is away is said once it is back.
    let web = head_end.api_address();
    head_end.kill();
    browser.wait("document.getElementById('chat-state').dataset.state === 'lost'");
    browser.enter("#text", &format!("while it was away{ENTER}"));
    browser.wait_text("#said .message[data-state='pending']", "while it was away");
    let head_end = HeadEnd::start(directory.path(), &configuration(&web));
    let mut one = terminal(&head_end, "1");
    one.wait_for("viewer 给你发送消息:and to you ");
    one.say("Chat viewer back again");
    browser.wait("document.getElementById('chat-state').dataset.state === 'live'");
    one.wait_for("viewer 给你发");
    one.say("HB R");
    assert_eq!(one.next(), "R", "it came once");
    browser.wait(&format!("{SAID}.length === 4 && !document.querySelector('#said [data-state=\"pending\"]')"));
    let said = browser.value(SAID);
    let mut said: Vec<_> = said.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(said.drain(..2).collect::<Vec<_>>(), ["hello <b>viewer</b>", "and to you"]);
    said.sort_unstable();
    assert_eq!(said, ["back again", "while it was away"]);

    // A name has one connection; the page does not fight for it.
    let other = terminal(&head_end, "viewer");
    browser.wait("!document.getElementById('replaced').hidden");
    browser.click("#take-back");
    other.wait_for("您的账号已经在他处登录");
    browser.wait("document.getElementById('replaced').hidden");
    browser.open("/preferences?language=zh&next=/chat");
    browser.wait_text("h1", "聊天");
    browser.wait("document.getElementById('chat-state').dataset.state === 'live'");
    browser.picture("chat-zh");
    assert!(head_end.stop().success());
}
