//! The own settings of a protocol: a table whose words the rest of Loggerhead does not know.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Visitor};

use crate::DeviceSettings;

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct SettingsError {
    /// Path of the key below the table that was given: `aes_keys[2]`.
    pub key: String,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

impl SettingsError {
    /// The same, of a device among those of a listener.
    pub(crate) fn of(self, device: &DeviceSettings<'_>) -> Self {
        Self { key: format!("{}: {}", device.identity, self.key), reason: self.reason }
    }
}

/// Reads a table whose words are all known.
///
/// # Errors
/// `SettingsError` with the path of the first key that is not known, or whose value is of another type.
pub(crate) fn read<T: DeserializeOwned>(table: &toml::Table) -> Result<T, SettingsError> {
    let known = match T::deserialize(WordsOf) {
        Err(Words(known)) => known,
        Ok(_) => &[],
    };
    if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
        let reason = format!("there is no such key{}", hint(key, known.iter().copied()));
        return Err(SettingsError { key: key.clone(), reason });
    }
    serde_path_to_error::deserialize(toml::Value::Table(table.clone())).map_err(|error| {
        let key = error.path().to_string();
        // A value of the wrong type may be a secret, so it is named but not repeated.
        let reason = match error.into_inner().message() {
            reason if reason.starts_with("invalid type") => wrong_type(reason),
            reason => reason.to_owned(),
        };
        SettingsError { key, reason }
    })
}

/// `invalid type: integer 5, expected a string` without the value.
fn wrong_type(reason: &str) -> String {
    let expected = reason.rsplit_once(", expected ").map_or("another type", |(_, expected)| expected);
    format!("wrong type, expected {expected}")
}

/// Gives a type no value, and so finds out the words of its table.
struct WordsOf;

/// The words of a table, in the place of an error.
#[derive(Debug, thiserror::Error)]
#[error("a table of {0:?}")]
struct Words(&'static [&'static str]);

impl serde::de::Error for Words {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for WordsOf {
    type Error = Words;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Words> {
        Err(Words(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        words: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Words> {
        Err(Words(words))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The word that was meant by a wrong one, if any is near.
#[must_use]
pub fn near<'a>(wrong: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, word) = words.map(|word| (strsim::damerau_levenshtein(wrong, word), word)).min()?;
    (distance <= word.len().div_ceil(3)).then_some(word)
}

/// `; did you mean "frames"?`, or what there is when nothing is near.
#[must_use]
pub fn hint<'a>(wrong: &str, words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    match near(wrong, words.iter().copied()) {
        Some(word) => format!("; did you mean {word:?}?"),
        None if words.is_empty() => String::new(),
        None => format!("; there are {}", words.join(", ")),
    }
}

/// `"jsn" is none of text, json; did you mean "json"?`.
#[must_use]
pub fn none_of<'a>(wrong: &str, words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    let meant = near(wrong, words.iter().copied()).map(|word| format!("; did you mean {word:?}?"));
    format!("{wrong:?} is none of {}{}", words.join(", "), meant.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{none_of, read};

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Written {
        window: usize,
        queue: Option<Vec<u8>>,
    }

    fn check(table: &str, refused: Option<&str>) {
        let error = read::<Written>(&table.parse().expect("toml")).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), refused);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_path_and_the_nearest_word() {
        check("window = 1\nqueue = [1]", None);
        check("windo = 1", Some("windo: there is no such key; did you mean \"window\"?"));
        check("colour = 1", Some("colour: there is no such key; there are window, queue"));
        check("queue = [1, 'IJKL']", Some("queue[1]: wrong type, expected u8"));
    }

    #[test]
    fn a_word_that_is_near_is_offered() {
        assert_eq!(
            none_of("jsn", ["text", "json"].into_iter()),
            "\"jsn\" is none of text, json; did you mean \"json\"?"
        );
        assert_eq!(none_of("xml", ["text", "json"].into_iter()), "\"xml\" is none of text, json");
    }
}
