//! Reads one table of a configuration against the keys that it may hold, and notes what was settled.

use std::cell::RefCell;
use std::path::PathBuf;

use loggerhead_protocols::{ALL, hint, none_of};

use super::document::{Node, Value};
use super::problem::{Gravity, Place, Problem};
use super::schema::{self, Default, Keys, Kind};

/// One value that is in force, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key's whole path: `listener.loggers.enroll`.
    pub key: String,
    /// The value as it would be written; secrets as `(secret)`.
    pub value: String,
    /// Where it comes from.
    pub place: Place,
}

/// What was found on the way through a configuration.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: RefCell<Vec<Problem>>,
    pub(super) settings: RefCell<Vec<Setting>>,
}

impl Findings {
    pub(super) fn add(&self, gravity: Gravity, place: &Place, key: impl Into<String>, text: impl Into<String>) {
        let problem = Problem { gravity, place: place.clone(), key: key.into(), text: text.into() };
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn settle(&self, key: impl Into<String>, value: impl Into<String>, place: &Place) {
        let setting = Setting { key: key.into(), value: value.into(), place: place.clone() };
        self.settings.borrow_mut().push(setting);
    }
}

/// Longest wrong text that is repeated to whoever wrote it.
const SHOWN_BYTES_MAX: usize = 64;

/// A table of the configuration.
pub(super) struct Section<'a> {
    pub(super) findings: &'a Findings,
    pub(super) node: &'a Node,
    /// The path of this table, with a point behind it; empty for the whole.
    pub(super) path: String,
    keys: Keys,
}

impl<'a> Section<'a> {
    /// Opens a table, and notes every key that does not belong there.
    pub(super) fn new(findings: &'a Findings, node: &'a Node, path: String, keys: Keys, with_protocols: bool) -> Self {
        let protocols = if with_protocols { ALL } else { &[] };
        for (name, entry) in node.entries() {
            let known = schema::find(keys, name).is_some() || protocols.iter().any(|protocol| protocol.name == name);
            if !known {
                let words = schema::words(keys).chain(protocols.iter().map(|protocol| protocol.name));
                let text = format!("there is no such key{}", hint(name, words));
                findings.add(Gravity::Error, &entry.place, format!("{path}{name}"), text);
            }
        }
        Self { findings, node, path, keys }
    }

    /// A table within this one; an empty one where there is none.
    pub(super) fn below(&self, name: &str, empty: &'a Node) -> Self {
        let Some(Kind::Table(keys)) = schema::find(self.keys, name).map(|key| key.kind) else {
            return Self { findings: self.findings, node: empty, path: String::new(), keys: &[] };
        };
        let node = self.node.entry(name).unwrap_or(empty);
        if !matches!(node.value, Value::Table(_)) {
            self.wrong(name, node, "a table");
        }
        Self::new(self.findings, node, format!("{}{name}.", self.path), keys, false)
    }

    /// The place of a key, or of the table when the key is not there.
    pub(super) fn place(&self, name: &str) -> &'a Place {
        &self.node.entry(name).unwrap_or(self.node).place
    }

    pub(super) fn error(&self, name: &str, text: impl Into<String>) {
        self.error_at(self.place(name), name, text);
    }

    /// An error of one entry of a list.
    pub(super) fn error_at(&self, place: &Place, name: &str, text: impl Into<String>) {
        self.findings.add(Gravity::Error, place, format!("{}{name}", self.path), text);
    }

    pub(super) fn warn(&self, name: &str, text: impl Into<String>) {
        self.findings.add(Gravity::Warning, self.place(name), format!("{}{name}", self.path), text);
    }

    fn wrong(&self, name: &str, node: &Node, right: &str) {
        let found = match &node.value {
            Value::Text(text) | Value::Word(text) if text.len() <= SHOWN_BYTES_MAX => format!("{text:?}"),
            Value::Integer(number) => number.to_string(),
            Value::Text(_)
            | Value::Word(_)
            | Value::Float(_)
            | Value::Flag(_)
            | Value::Time(_)
            | Value::List(_)
            | Value::Table(_) => node.value.type_words().to_owned(),
        };
        self.error_at(&node.place, name, format!("{found} cannot be; it takes {right}"));
    }

    fn default(&self, name: &str) -> Option<Default> {
        schema::find(self.keys, name).and_then(|key| key.default)
    }

    fn settle(&self, name: &str, value: impl Into<String>, place: &Place) {
        self.findings.settle(format!("{}{name}", self.path), value, place);
    }

    /// A text, or its default.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let fallback = || match self.default(name) {
            Some(Default::Text(text)) => Some(text.to_owned()),
            Some(Default::Flag(_) | Default::Count(_)) | None => None,
        };
        let (text, place) = match self.node.entry(name) {
            None => (fallback()?, &Place::Default),
            Some(Node { value: Value::Text(text) | Value::Word(text), place }) => (text.clone(), place),
            Some(node) => {
                self.wrong(name, node, "text in quotes");
                return fallback();
            }
        };
        self.settle(name, format!("{text:?}"), place);
        Some(text)
    }

    /// A path, or its default.
    pub(super) fn file(&self, name: &str) -> Option<PathBuf> {
        let text = self.text(name)?;
        if text.is_empty() {
            self.error(name, "an empty path");
            return None;
        }
        Some(PathBuf::from(text))
    }

    /// One of the words that the key takes, or the default.
    pub(super) fn word(&self, name: &str) -> String {
        let words = match schema::find(self.keys, name).map(|key| key.kind) {
            Some(Kind::Word(words)) => words,
            _ => &[],
        };
        let text = self.text(name).unwrap_or_default();
        if !words.contains(&text.as_str()) {
            self.error(name, none_of(&text, words.iter().copied()));
        }
        text
    }

    /// Yes or no, or the default.
    pub(super) fn flag(&self, name: &str) -> bool {
        let fallback = matches!(self.default(name), Some(Default::Flag(true)));
        let (flag, place) = match self.node.entry(name) {
            None => (fallback, &Place::Default),
            Some(Node { value: Value::Flag(flag), place }) => (*flag, place),
            Some(Node { value: Value::Word(word), place }) if word == "true" || word == "false" => {
                (word == "true", place)
            }
            Some(node) => {
                self.wrong(name, node, "true or false");
                return fallback;
            }
        };
        self.settle(name, flag.to_string(), place);
        flag
    }

    /// A whole number within the limits of its key, or the default.
    pub(super) fn count(&self, name: &str) -> u64 {
        let fallback = match self.default(name) {
            Some(Default::Count(count)) => count,
            Some(Default::Text(_) | Default::Flag(_)) | None => 0,
        };
        self.count_or(name, fallback)
    }

    /// A whole number within the limits of its key, or `fallback`.
    pub(super) fn count_or(&self, name: &str, fallback: u64) -> u64 {
        let (min, max) = match schema::find(self.keys, name).map(|key| key.kind) {
            Some(Kind::Count(min, max)) => (min, max),
            _ => (0, u64::MAX),
        };
        let Some(node) = self.node.entry(name) else {
            self.settle(name, fallback.to_string(), &Place::Default);
            return fallback;
        };
        let number = if let Value::Integer(number) = &node.value {
            u64::try_from(*number).ok()
        } else {
            node.value.text().and_then(|word| word.parse().ok())
        };
        let Some(number) = number.filter(|number| (min..=max).contains(number)) else {
            self.wrong(name, node, &format!("a whole number from {min} to {max}"));
            return fallback;
        };
        self.settle(name, number.to_string(), &node.place);
        number
    }

    /// The entries of a list, also of one written as a single text; each with its own place.
    pub(super) fn list(&self, name: &str, right: &str) -> Vec<(String, Place)> {
        let Some(node) = self.node.entry(name) else { return Vec::new() };
        let mut texts = Vec::new();
        match &node.value {
            Value::Text(text) => texts.push((text.clone(), node.place.clone())),
            Value::Word(word) => {
                let place = || node.place.clone();
                if let toml::Value::Array(list) = node.to_toml() {
                    let list = list.iter().map(|entry| entry.as_str().map_or_else(|| entry.to_string(), str::to_owned));
                    texts.extend(list.map(|text| (text, place())));
                } else {
                    texts.extend(word.split(',').map(|text| (text.trim().to_owned(), place())));
                }
            }
            Value::List(list) => {
                for (index, entry) in list.iter().enumerate() {
                    match entry.value.text() {
                        Some(text) => texts.push((text.to_owned(), entry.place.clone())),
                        None => self.wrong(&format!("{name}[{index}]"), entry, right),
                    }
                }
            }
            Value::Integer(_) | Value::Float(_) | Value::Flag(_) | Value::Time(_) | Value::Table(_) => {
                self.wrong(name, node, &format!("a list of {right}"));
            }
        }
        texts
    }

    /// The text of a secret as it is written; never settled in clear.
    pub(super) fn secret_text(&self, name: &str) -> Option<&'a str> {
        let node = self.node.entry(name)?;
        let text = node.value.text();
        if text.is_some() {
            self.settle(name, "(secret)", &node.place);
        } else {
            let found = node.value.type_words();
            self.error(name, format!("{found} cannot be a secret: write text:..., hex:... or file:/path"));
        }
        text
    }
}
