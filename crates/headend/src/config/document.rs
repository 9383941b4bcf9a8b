//! A configuration as it is written: a tree of values, each with the place where it stands.
//!
//! Files, environment and command line are laid over each other here. What the keys mean is said elsewhere.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::problem::Place;

/// Deepest nesting of what is written.
const DEPTH_MAX: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// What is written.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    /// From the environment or the command line, where everything is text: whoever wants a number reads one from it.
    Word(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    Time(Datetime),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

impl std::fmt::Debug for Value {
    /// The type only: a value may be a secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.type_words())
    }
}

impl Value {
    /// The text that is written.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) | Self::Word(text) = self { Some(text) } else { None }
    }

    /// Its type in words, for sentences such as `is text`.
    pub(super) fn type_words(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Word(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Flag(_) => "true or false",
            Self::Time(_) => "a time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    pub(super) fn table(place: Place) -> Self {
        Self { value: Value::Table(Vec::new()), place }
    }

    pub(super) fn text(text: impl Into<String>, place: Place) -> Self {
        Self { value: Value::Text(text.into()), place }
    }

    /// The entries of a table; none for anything else.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        if let Value::Table(entries) = &self.value { entries } else { &[] }
    }

    /// The entry of a table.
    pub(super) fn entry(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The node at a path such as `aes_keys[2].key` below this one; where it stops being there, the last one that is.
    pub(super) fn follow(&self, path: &str) -> &Self {
        let mut here = self;
        for step in path.split(['.', '[']).map(|step| step.trim_end_matches(']')) {
            let next = if let Value::List(list) = &here.value {
                step.parse().ok().and_then(|index: usize| list.get(index))
            } else {
                here.entry(step)
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        here
    }

    /// Puts a value at a path of keys, making tables on the way. A way through something that is no table replaces it.
    pub(super) fn put(&mut self, path: &[String], node: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        if !matches!(self.value, Value::Table(_)) {
            self.value = Value::Table(Vec::new());
        }
        let Value::Table(entries) = &mut self.value else { return };
        if let Some((_, entry)) = entries.iter_mut().find(|(name, _)| name == first) {
            entry.put(rest, node);
        } else {
            let mut entry = Self::table(node.place.clone());
            entry.put(rest, node);
            entries.push((first.clone(), entry));
        }
    }

    /// What a word means as TOML, with the word's place; none where it is none.
    pub(super) fn parsed(&self) -> Option<Self> {
        let Value::Word(word) = &self.value else { return None };
        Some(Self::from_toml(typed(word)?, &self.place))
    }

    fn from_toml(value: toml::Value, place: &Place) -> Self {
        let value = match value {
            toml::Value::String(text) => Value::Text(text),
            toml::Value::Integer(integer) => Value::Integer(integer),
            toml::Value::Float(float) => Value::Float(float),
            toml::Value::Boolean(flag) => Value::Flag(flag),
            toml::Value::Datetime(time) => Value::Time(time),
            toml::Value::Array(list) => {
                Value::List(list.into_iter().map(|entry| Self::from_toml(entry, place)).collect())
            }
            toml::Value::Table(table) => {
                Value::Table(table.into_iter().map(|(key, entry)| (key, Self::from_toml(entry, place))).collect())
            }
        };
        Self { value, place: place.clone() }
    }

    /// The same as a protocol takes it.
    pub(super) fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Text(text) => toml::Value::String(text.clone()),
            Value::Word(word) => typed(word).unwrap_or_else(|| toml::Value::String(word.clone())),
            Value::Integer(integer) => toml::Value::Integer(*integer),
            Value::Float(float) => toml::Value::Float(*float),
            Value::Flag(flag) => toml::Value::Boolean(*flag),
            Value::Time(time) => toml::Value::Datetime(*time),
            Value::List(list) => toml::Value::Array(list.iter().map(Self::to_toml).collect()),
            Value::Table(_) => toml::Value::Table(self.to_table()),
        }
    }

    /// The entries as a protocol takes them.
    pub(super) fn to_table(&self) -> toml::Table {
        self.entries().iter().map(|(key, node)| (key.clone(), node.to_toml())).collect()
    }
}

/// A word as the TOML that it may be.
fn typed(word: &str) -> Option<toml::Value> {
    let value = toml::de::ValueDeserializer::parse(word).ok()?;
    serde::Deserialize::deserialize(value).ok()
}

/// Something that is not TOML.
pub(super) struct NotToml {
    pub(super) place: Place,
    pub(super) reason: String,
}

/// Reads a file's text.
///
/// # Errors
/// `NotToml` names the line.
pub(super) fn parse(file: &str, text: &str) -> Result<Node, NotToml> {
    let lines = Lines::new(file, text);
    let refused = |place, reason: &str| NotToml { place, reason: reason.replace('\n', " ") };
    let table = DeTable::parse(text)
        .map_err(|error| refused(lines.place(error.span().map_or(0, |span| span.start)), error.message()))?;
    lines
        .table(table.get_ref(), 0)
        .map(|value| Node { value, place: lines.place(0) })
        .map_err(|(offset, reason)| refused(lines.place(offset), &reason))
}

/// Where the lines of a text start.
struct Lines {
    file: Arc<str>,
    starts: Vec<usize>,
}

type Offset = usize;

impl Lines {
    fn new(file: &str, text: &str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: Arc::from(file), starts }
    }

    fn place(&self, offset: Offset) -> Place {
        Place::Line(Arc::clone(&self.file), self.starts.partition_point(|&start| start <= offset))
    }

    fn table(&self, table: &DeTable<'_>, depth: usize) -> Result<Value, (Offset, String)> {
        let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            let mut node = self.node(value, depth + 1)?;
            node.place = self.place(key.span().start); // a key's line is what people look for
            Ok((key.get_ref().to_string(), node))
        };
        let mut entries = table.iter().map(entry).collect::<Result<Vec<_>, (Offset, String)>>()?;
        entries.sort_by_key(|(_, node)| match node.place {
            Place::Line(_, line) => line,
            Place::Environment(_) | Place::CommandLine | Place::Default => 0,
        });
        Ok(Value::Table(entries))
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, (Offset, String)> {
        let offset = value.span().start;
        if depth > DEPTH_MAX {
            return Err((offset, format!("nested deeper than {DEPTH_MAX}")));
        }
        let not_a_number = |text: &str| (offset, format!("{text} is too large for a number"));
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix());
                Value::Integer(number.map_err(|_| not_a_number(integer.as_str()))?)
            }
            DeValue::Float(float) => Value::Float(float.as_str().parse().map_err(|_| not_a_number(float.as_str()))?),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(time) => Value::Time(*time),
            DeValue::Array(list) => {
                Value::List(list.iter().map(|value| self.node(value, depth + 1)).collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => self.table(table, depth + 1)?,
        };
        Ok(Node { value, place: self.place(offset) })
    }
}
