//! What a line says: names and their values, by the named groups of a pattern or by the members of a JSON document.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::settings::Settings;
use crate::{Fault, FaultKind};

/// Objects and lists in one another: devices nest two or three.
pub const DEPTH_MAX: usize = 16;
/// Values of one line: a line of the longest kind, half of it values.
pub const VALUES_MAX: usize = 4_096;

/// What one object of JSON, or one line of text, says: names with their values, in the order in which they stand there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry(pub(super) Vec<(String, String)>);

impl Entry {
    /// The value of that name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// The value of that name in the first entry that has it and says something.
pub(super) fn value<'a>(entries: &'a [Entry], name: &str) -> Option<&'a str> {
    entries.iter().find_map(|entry| entry.value(name)).map(str::trim).filter(|value| !value.is_empty())
}

/// Reads a line: a list in JSON says several things at once. Nothing for a line that is to be passed over.
///
/// # Errors
/// `Malformed` for what no pattern fits or is no JSON; `TooLarge` beyond `DEPTH_MAX` or `VALUES_MAX`.
pub(super) fn read(line: &[u8], settings: &Settings) -> Result<Vec<Entry>, Fault> {
    let text = settings.encoding.decode(line);
    if text.trim().is_empty() || settings.ignore.iter().any(|pattern| pattern.is_match(&text)) {
        return Ok(Vec::new());
    }
    if settings.patterns.is_empty() { documents(text.trim()) } else { groups(&text, settings).map(|entry| vec![entry]) }
}

/// The named groups of the first pattern that fits.
fn groups(text: &str, settings: &Settings) -> Result<Entry, Fault> {
    let fitting = settings.patterns.iter().find_map(|pattern| Some((pattern, pattern.captures(text)?)));
    let (pattern, captures) =
        fitting.ok_or_else(|| Fault::new(FaultKind::Malformed, "a line that no pattern fits".to_owned()))?;
    let named = pattern.capture_names().flatten();
    let values = named.filter_map(|name| Some((name.to_owned(), captures.name(name)?.as_str().to_owned())));
    Ok(Entry(values.filter(|(_, value)| !value.is_empty()).collect()))
}

/// One document, or a list of them.
fn documents(text: &str) -> Result<Vec<Entry>, Fault> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    let documents = match raw.get().as_bytes().first() {
        Some(b'[') => serde_json::from_str(raw.get()).map_err(|error| not_json(&error))?,
        Some(b'{') => vec![raw],
        _ => return Err(Fault::new(FaultKind::Malformed, "a line of JSON that is no object and no list")),
    };
    let mut count = 0;
    let entry = |document| {
        let mut entry = Entry::default();
        flatten("", document, DEPTH_MAX, &mut count, &mut entry)?;
        Ok(entry)
    };
    documents.into_iter().map(entry).collect()
}

/// Appends the values of a document, each by its path: `sensor/temperature`, `phases/0`.
fn flatten(path: &str, raw: &RawValue, depth: usize, count: &mut usize, entry: &mut Entry) -> Result<(), Fault> {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    let deeper =
        || depth.checked_sub(1).ok_or_else(|| Fault::new(FaultKind::TooLarge, format!("nested over {DEPTH_MAX} deep")));
    let text = raw.get();
    let value = match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(|error| not_json(&error))?;
            let depth = deeper()?;
            return members.into_iter().try_for_each(|(name, raw)| flatten(&below(&name), raw, depth, count, entry));
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| not_json(&error))?;
            let depth = deeper()?;
            let mut elements = elements.into_iter().enumerate();
            return elements.try_for_each(|(index, raw)| flatten(&below(&index.to_string()), raw, depth, count, entry));
        }
        Some(b'n') => return Ok(()),
        Some(b'"') => serde_json::from_str(text).map_err(|error| not_json(&error))?,
        // Numbers keep their digits.
        _ => text.to_owned(),
    };
    *count += 1;
    if *count > VALUES_MAX {
        return Err(Fault::new(FaultKind::TooLarge, format!("a line of over {VALUES_MAX} values")));
    }
    entry.0.push((path.to_owned(), value));
    Ok(())
}

fn not_json(error: &serde_json::Error) -> Fault {
    Fault::new(FaultKind::Malformed, format!("a line that is no JSON: {error}"))
}

/// The members of an object, in the order in which they stand there.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::{DEPTH_MAX, VALUES_MAX, read};
    use crate::FaultKind;

    fn said(settings: &str, line: &str) -> Result<Vec<String>, FaultKind> {
        let settings = Settings::of_listener(&settings.parse().expect("TOML")).expect("settings");
        let entries = read(line.as_bytes(), &settings).map_err(|fault| fault.kind)?;
        let entry = |entry: &super::Entry| {
            entry.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        Ok(entries.iter().map(entry).collect())
    }

    #[track_caller]
    fn check(settings: &str, line: &str, expected: &[&str]) {
        assert_eq!(said(settings, line).expect(line), expected, "{line}");
    }

    #[test]
    fn json_is_told_by_its_paths_with_the_digits_that_were_sent() {
        check("", r#"{"t":675.170000,"n":1e3,"s":" a b","b":true,"z":null}"#, &["t=675.170000 n=1e3 s= a b b=true"]);
        check("", r#" {"z":{"phases":[1,{"u":-2}]},"a":3} "#, &["z/phases/0=1 z/phases/1/u=-2 a=3"]);
        check("", r#"[{"a":1},{"b":"\u00e9"}]"#, &["a=1", "b=é"]);
        check("", "  ", &[]);
    }

    #[test]
    fn text_is_told_by_the_groups_of_the_first_pattern_that_fits() {
        let settings = "patterns = ['^T=(?<t>[-0-9.]+)( H=(?<h>\\d+))?$', '^(?<function>\\w+) (?<value>.+)$']\n\
                        ignore = ['^#']\nencoding = 'gb2312'";
        check(settings, "T=-1.50 H=40", &["t=-1.50 h=40"]);
        check(settings, "T=21", &["t=21"]);
        check(settings, "pump on", &["function=pump value=on"]);
        check(settings, "# ready", &[]);
        assert_eq!(said(settings, "ready"), Err(FaultKind::Malformed));
    }

    #[test]
    fn what_is_no_line_of_a_device_is_refused() {
        for line in ["5", "\"a\"", "{", "{\"a\":}", "[1]x", "GET / HTTP/1.1", "\u{0}"] {
            assert_eq!(said("", line), Err(FaultKind::Malformed), "{line}");
        }
        let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert!(said("", &nested(DEPTH_MAX)).is_ok());
        assert_eq!(said("", &nested(DEPTH_MAX + 1)), Err(FaultKind::TooLarge));
        assert_eq!(said("", &nested(100_000)), Err(FaultKind::TooLarge));
        let many = |count: usize| format!("[{}]", vec!["[1]"; count].join(","));
        assert!(said("", &many(VALUES_MAX)).is_ok());
        assert_eq!(said("", &many(VALUES_MAX + 1)), Err(FaultKind::TooLarge));
    }
}
