//! What the head of a file says.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::frame::HEAD_BYTES_MAX;
use crate::wire::hex;
use crate::{Fault, FaultKind, FileSums};

/// Longest name by which a sender finds a file again: any checksum or path fits.
pub const ID_BYTES_MAX: usize = 256;
/// Longest text of an error that is told: the words, and a few of the values.
const ERROR_CHARS_MAX: usize = 160;

/// The head of a file. `filename` and `filesize` are those of \[1\] §3.1; everything else is ours and may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileHead {
    /// What the sender calls the file.
    pub name: String,
    /// Bytes of the file.
    pub size: u64,
    /// Who the sender is.
    pub device: Option<String>,
    /// With what it proves it.
    pub secret: Option<String>,
    /// By which name it finds the file again.
    pub id: Option<String>,
    /// Where the bytes begin that it sends.
    pub offset: Option<u64>,
    /// It waits to be told where to begin, and for the outcome.
    pub resume: bool,
    /// It waits for the outcome.
    pub reply: bool,
    /// What the file has to come to.
    pub sums: FileSums,
}

impl FileHead {
    /// Reads a head.
    ///
    /// # Errors
    /// `Malformed` when it is no JSON object, when a key is missing or there twice, or has a value of another type.
    pub fn parse(json: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(json).map_err(|error| {
            let text: String = error.to_string().chars().take(ERROR_CHARS_MAX).collect();
            Fault::new(FaultKind::Malformed, format!("the head of a file: {text}"))
        })
    }

    /// Writes a head, with what is set.
    #[must_use]
    pub fn write(&self) -> String {
        let mut object = Map::new();
        object.insert("filename".to_owned(), self.name.as_str().into());
        object.insert("filesize".to_owned(), self.size.into());
        let texts = [("device", &self.device), ("secret", &self.secret), ("id", &self.id)];
        for (key, text) in texts {
            object.extend(text.as_ref().map(|text| (key.to_owned(), Value::from(text.as_str()))));
        }
        object.extend(self.offset.map(|offset| ("offset".to_owned(), offset.into())));
        for (key, flag) in [("resume", self.resume), ("reply", self.reply)] {
            object.extend(flag.then(|| (key.to_owned(), true.into())));
        }
        object.extend(self.sums.sha256.map(|sum| ("sha256".to_owned(), digits(&sum).into())));
        object.extend(self.sums.md5.map(|sum| ("md5".to_owned(), digits(&sum).into())));
        Value::Object(object).to_string()
    }

    /// Whether the sender reads what it is told.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.resume || self.reply
    }
}

/// Bytes as hex digits.
#[must_use]
pub fn digits(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|half| char::from_digit(half.into(), 16)).collect()
}

impl<'de> Deserialize<'de> for FileHead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadVisitor)
    }
}

struct HeadVisitor;

impl<'de> Visitor<'de> for HeadVisitor {
    type Value = FileHead;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with filename and filesize")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<FileHead, A::Error> {
        let mut seen: Vec<String> = Vec::new();
        let mut head = FileHead::default();
        while let Some(key) = entries.next_key::<String>()? {
            match key.as_str() {
                "filename" => head.name = entries.next_value()?,
                "filesize" => head.size = entries.next_value()?,
                "device" => head.device = Some(entries.next_value()?),
                // Whatever it is, it is not repeated in an error.
                "secret" => match entries.next_value()? {
                    Value::String(secret) => head.secret = Some(secret),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                        return Err(A::Error::custom("secret is no text"));
                    }
                },
                "id" => head.id = Some(checked_id(entries.next_value()?)?),
                "offset" => head.offset = Some(entries.next_value()?),
                "resume" => head.resume = entries.next_value()?,
                "reply" => head.reply = entries.next_value()?,
                "sha256" => head.sums.sha256 = Some(sum(&key, &entries.next_value::<String>()?)?),
                "md5" => head.sums.md5 = Some(sum(&key, &entries.next_value::<String>()?)?),
                _ => {
                    let _: IgnoredAny = entries.next_value()?;
                    continue;
                }
            }
            if seen.contains(&key) {
                return Err(A::Error::custom(format_args!("{key} stands twice")));
            }
            seen.push(key);
        }
        for key in ["filename", "filesize"] {
            if !seen.iter().any(|seen| seen == key) {
                return Err(A::Error::custom(format_args!("{key} is missing")));
            }
        }
        if head.resume && head.id.is_none() {
            return Err(A::Error::custom("resume without id: nothing says which file to go on with"));
        }
        Ok(head)
    }
}

fn checked_id<E: serde::de::Error>(id: String) -> Result<String, E> {
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(E::custom(format_args!(
            "id of {} bytes: 1 to {ID_BYTES_MAX} without control characters",
            id.len()
        )));
    }
    Ok(id)
}

fn sum<E: serde::de::Error, const N: usize>(key: &str, text: &str) -> Result<[u8; N], E> {
    let bytes = hex(text).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| E::custom(format_args!("{key} has {} hex digits", 2 * N)))
}

/// What is told to a sender that reads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Told {
    /// The next byte to send.
    Offset {
        /// Counted from 0.
        offset: u64,
    },
    /// What became of the file.
    Outcome {
        /// `ok`, or anything else.
        status: String,
        /// Of the file that is kept, as hex digits.
        #[serde(default)]
        sha256: String,
        /// The name that it has.
        #[serde(default)]
        name: String,
        /// Why it is not kept, in one word.
        #[serde(default)]
        error: String,
        /// Why it is not kept.
        #[serde(default)]
        reason: String,
    },
}

impl Told {
    /// Reads what a head-end tells.
    ///
    /// # Errors
    /// `Malformed` when it is none of them.
    pub fn parse(json: &[u8]) -> Result<Self, Fault> {
        let wrong = |_| Fault::new(FaultKind::Malformed, format!("{} bytes that are no answer", json.len()));
        serde_json::from_slice(json.get(..json.len().min(HEAD_BYTES_MAX)).unwrap_or_default()).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::{FileHead, Told};

    fn check(json: &str, expected: Result<&str, &str>) {
        match (FileHead::parse(json.as_bytes()), expected) {
            (Ok(head), Ok(written)) => {
                assert_eq!(head.write(), written);
                assert_eq!(FileHead::parse(written.as_bytes()), Ok(head), "written and read again");
            }
            (Err(fault), Err(words)) => assert!(fault.reason.contains(words), "{json}: {fault}"),
            (found, _) => panic!("{json}: {found:?}"),
        }
    }

    #[test]
    fn a_head_is_read_and_written_again() {
        check("{\"filename\": \"1.jpg\", \"filesize\": 3}", Ok("{\"filename\":\"1.jpg\",\"filesize\":3}"));
        check(
            "{\"filename\": \"\\u4f60\", \"filesize\": 0, \"more\": [{}], \"id\": \"x\", \"resume\": true, \"offset\": 7}",
            Ok("{\"filename\":\"\u{4f60}\",\"filesize\":0,\"id\":\"x\",\"offset\":7,\"resume\":true}"),
        );
    }

    #[test]
    fn a_head_that_cannot_be_is_refused() {
        check("{\"filesize\": 3}", Err("filename is missing"));
        check("{\"filename\": \"a\"}", Err("filesize is missing"));
        check("{\"filename\": \"a\", \"filesize\": -1}", Err("expected u64"));
        check("{\"filename\": \"a\", \"filesize\": 3.5}", Err("expected u64"));
        check("{\"filename\": \"a\", \"filesize\": \"3\"}", Err("expected u64"));
        check("{\"filename\": 1, \"filesize\": 3}", Err("expected a string"));
        check("{\"filename\": \"a\", \"filename\": \"b\", \"filesize\": 3}", Err("filename stands twice"));
        check("{\"filename\": \"a\", \"filesize\": 1, \"sha256\": \"00\"}", Err("sha256 has 64 hex digits"));
        check("{\"filename\": \"a\", \"filesize\": 1, \"resume\": true}", Err("resume without id"));
        check("{\"filename\": \"a\", \"filesize\": 1, \"id\": \"\"}", Err("id of 0 bytes"));
        check("[1]", Err("expected an object"));
        check("{\"filename\": \"a\", \"filesize\": 1} x", Err("trailing"));
        check("{\"filename\": \"\\ud800\", \"filesize\": 1}", Err("the head of a file"));
        let secret = FileHead::parse(b"{\"filename\": \"a\", \"filesize\": 1, \"secret\": 4711}").expect_err("no text");
        assert!(!secret.reason.contains("4711"), "{secret}");
    }

    #[test]
    fn what_is_told_is_read() {
        assert_eq!(Told::parse(b"{\"offset\": 5}"), Ok(Told::Offset { offset: 5 }));
        assert!(matches!(Told::parse(b"{\"status\": \"ok\"}"), Ok(Told::Outcome { status, .. }) if status == "ok"));
        assert!(Told::parse(b"hello").is_err());
    }
}
