//! Asks the API as any program does: bytes over a socket. HTTP/1.0, so that an answer ends with its connection.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

use super::PATIENCE;

/// Where an API is, and with which token.
#[derive(Clone, Debug)]
pub(crate) enum Api {
    /// On the private socket in this data directory.
    Unix(PathBuf),
    /// On a TCP address.
    Tcp(String, Option<String>),
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, in small letters.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// A server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// A live stream.
pub(crate) struct Live(Box<dyn std::io::BufRead>);

impl Api {
    /// Asks for what is at `path`.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "")
    }

    /// Asks with more lines of the head, each with its end, and a body.
    pub(crate) fn ask(&self, method: &str, path: &str, head: &str, body: &str) -> Answer {
        let mut text = String::new();
        self.send(method, path, head, body).read_to_string(&mut text).expect("an answer within the time that it has");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer { status: status.expect("a status"), head: head.to_lowercase(), body: body.to_owned() }
    }

    /// Opens a live stream.
    pub(crate) fn live(&self, path: &str, head: &str) -> Live {
        let mut stream = BufReader::new(self.send("GET", path, head, ""));
        let mut line = String::new();
        stream.read_line(&mut line).expect("an answer");
        assert!(line.contains(" 200 "), "{path}: {line}");
        while line.trim_end() != "" {
            line.clear();
            stream.read_line(&mut line).expect("a head");
        }
        Live(Box::new(stream))
    }

    fn send(&self, method: &str, path: &str, head: &str, body: &str) -> Box<dyn Read> {
        let token = match self {
            Self::Tcp(_, Some(token)) => format!("Authorization: Bearer {token}\r\n"),
            Self::Tcp(_, None) | Self::Unix(_) => String::new(),
        };
        let json = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n{json}{token}{head}\r\n{body}"
        );
        match self {
            Self::Unix(data) => {
                let mut stream = UnixStream::connect(data.join("api.sock")).expect("the API listens");
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                stream.write_all(request.as_bytes()).expect("the API reads");
                Box::new(stream)
            }
            Self::Tcp(address, _) => {
                let mut stream = TcpStream::connect(address).expect("the API listens");
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                stream.write_all(request.as_bytes()).expect("the API reads");
                Box::new(stream)
            }
        }
    }
}

impl Live {
    /// The next message of this kind.
    pub(crate) fn next(&mut self, event: &str) -> Message {
        loop {
            let message = self.message();
            if message.event == event {
                return message;
            }
        }
    }

    fn message(&mut self) -> Message {
        let mut message = Message { id: String::new(), event: String::new(), data: Value::Null };
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).expect("the stream goes on");
            assert!(read > 0, "the stream ended");
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut message.id),
                Some(("event", event)) => event.clone_into(&mut message.event),
                Some(("data", data)) => message.data = serde_json::from_str(data).expect("data are JSON"),
                None if line.trim_end().is_empty() && !message.event.is_empty() => return message,
                Some(_) | None => {}
            }
        }
    }
}

/// The sum of a metric that counts, over all its labels.
pub(crate) fn metric(text: &str, name: &str) -> u64 {
    let samples: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{'])))
        .map(|rest| rest.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a count"))
        .collect();
    assert!(!samples.is_empty(), "no {name} in {text}");
    samples.iter().sum()
}
