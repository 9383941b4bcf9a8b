//! The own settings of a protocol within a configuration, and everything that the protocol says against them.

use loggerhead_protocols::{ALL, Protocol, SettingsError};

use super::document::{Node, Value};
use super::problem::Gravity;
use super::section::{Findings, Section};

/// Most problems of one table that are named: nobody mends more at a time, and each takes a look at the whole table.
const REFUSED_MAX: usize = 100;

/// The protocol's own settings in the table of a listener or a device, without what it refuses, all of which is noted.
///
/// A protocol names one thing at a time: what it names is left out, and it is asked again.
pub(super) fn settings(
    section: &Section<'_>,
    protocol: &Protocol,
    mut check: impl FnMut(&toml::Table) -> Result<(), SettingsError>,
) -> toml::Table {
    for other in ALL.iter().filter(|other| other.name != protocol.name && section.node.entry(other.name).is_some()) {
        section.error(other.name, format!("settings of another protocol: this one speaks {}", protocol.name));
    }
    let written = section.node.entry(protocol.name);
    let mut left = written.cloned().unwrap_or_else(|| Node::table(section.node.place.clone()));
    if !matches!(left.value, Value::Table(_)) {
        section.error(protocol.name, "takes a table of the protocol's own settings");
        left.value = Value::Table(Vec::new());
    }
    let path = format!("{}{}", section.path, protocol.name);
    settle(section.findings, &left, &path);
    let mut refused = Vec::new();
    while refused.len() < REFUSED_MAX {
        let table = left.to_table();
        let Err(error) = check(&table) else { return table };
        let (step, reason) = (Step::first(&error.key), error.reason);
        // Such as a vector whose key was refused: nobody has to mend it.
        let follows = refused.iter().any(|step: &Step| reason == format!("stands without {}", step.name));
        let taken = left.take(&step);
        if !follows {
            let place = &taken.as_ref().map_or(&left, |taken| taken.follow(&step.rest)).place;
            section.findings.add(Gravity::Error, place, format!("{path}.{}", step.written(&refused)), reason);
        }
        if taken.is_none() {
            break;
        }
        refused.push(step);
    }
    toml::Table::new()
}

/// Where in a table the path of a refused setting begins: an entry, or one of its list.
struct Step {
    name: String,
    index: Option<usize>,
    /// The path below it.
    rest: String,
}

impl Step {
    fn first(path: &str) -> Self {
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let (name, rest) = path.split_at(end);
        let listed = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let listed = listed.and_then(|(index, rest)| Some((index.parse().ok()?, rest)));
        let (index, rest) = listed.map_or((None, rest), |(index, rest)| (Some(index), rest));
        Self { name: name.to_owned(), index, rest: rest.trim_start_matches('.').to_owned() }
    }

    /// The path as it is in the file, where what was refused before is still in its list: always in order.
    fn written(&self, before: &[Self]) -> String {
        let point = if self.rest.is_empty() { "" } else { "." };
        match self.index {
            None => format!("{}{point}{}", self.name, self.rest),
            Some(index) => {
                let gone = before.iter().filter(|step| step.name == self.name && step.index.is_some()).count();
                format!("{}[{}]{point}{}", self.name, index + gone, self.rest)
            }
        }
    }
}

impl Node {
    /// Takes an entry of this table out of it, or one of its list.
    fn take(&mut self, step: &Step) -> Option<Self> {
        let Value::Table(entries) = &mut self.value else { return None };
        let position = entries.iter().position(|(name, _)| *name == step.name)?;
        if let (Some((_, Self { value: Value::List(list), .. })), Some(index)) = (entries.get_mut(position), step.index)
        {
            return (index < list.len()).then(|| list.remove(index));
        }
        Some(entries.remove(position).1)
    }
}

/// Notes what is in force, without what may be a secret.
fn settle(findings: &Findings, node: &Node, path: &str) {
    for (key, entry) in node.entries() {
        let path = format!("{path}.{key}");
        let value = match &entry.value {
            Value::Table(_) => {
                settle(findings, entry, &path);
                continue;
            }
            Value::List(_) => "[..]".to_owned(),
            Value::Text(text) | Value::Word(text) if text.starts_with("text:") || text.starts_with("hex:") => {
                "(secret)".to_owned()
            }
            Value::Word(_) | Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Flag(_) | Value::Time(_) => {
                entry.to_toml().to_string()
            }
        };
        findings.settle(path, value, &entry.place);
    }
}
