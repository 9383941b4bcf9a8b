//! What the head-end says of events, faults and captures, in the viewer's language.
//!
//! It speaks English, in the store and in logs, where programs look for it. Here it is taken apart again by the phrases that
//! it uses. What fits none of them is shown as it came.

use std::collections::BTreeMap;

/// Its phrases in another language, `{name}` standing for anything.
#[derive(Debug, Default)]
pub(super) struct Phrases(Vec<(String, String)>);

/// Under names that begin so stands a phrase within a phrase.
const WITHIN: &str = "why";
/// Phrases within phrases: a list of a few things. Peers choose some of the words, and could nest them for ever.
const DEPTH_MAX: usize = 8;

impl Phrases {
    /// Reads tables from phrases to what they are in the other language.
    pub(super) fn read(tables: &[&str]) -> Self {
        let read = |json| -> BTreeMap<String, String> { serde_json::from_str(json).expect("a table of texts") };
        let mut phrases: Vec<_> = tables.iter().flat_map(|json| read(json)).collect();
        // Whatever fits a phrase with more words fits it better.
        phrases
            .sort_by_key(|(phrase, _)| std::cmp::Reverse(phrase.split('{').map(words_of).map(str::len).sum::<usize>()));
        Self(phrases)
    }

    /// What was said, in the other language; nothing where no phrase fits.
    pub(super) fn say(&self, said: &str) -> Option<String> {
        self.say_within(said, DEPTH_MAX)
    }

    fn say_within(&self, said: &str, depth: usize) -> Option<String> {
        let (values, text) = self.0.iter().find_map(|(phrase, text)| Some((fit(phrase, said)?, text)))?;
        let value = |name: &str| {
            let value = values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| *value);
            let depth = depth.checked_sub(1).filter(|_| name.starts_with(WITHIN));
            let within = depth.and_then(|depth| self.say_within(value, depth));
            within.unwrap_or_else(|| value.to_owned())
        };
        let mut parts = text.split('{');
        let first = parts.next().unwrap_or_default().to_owned();
        Some(
            parts
                .filter_map(|part| part.split_once('}'))
                .fold(first, |said, (name, words)| said + &value(name) + words),
        )
    }
}

/// The words of a part of a phrase, without the name that may stand before them.
fn words_of(part: &str) -> &str {
    part.split_once('}').map_or(part, |(_, words)| words)
}

/// What stands for each name of a phrase, if it is what was said. A name ends where the words behind it stand for the first
/// time, so that nothing is tried twice, however long it is.
fn fit<'a>(phrase: &'a str, said: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut parts = phrase.split('{');
    let mut rest = said.strip_prefix(parts.next()?)?;
    let mut parts = parts.filter_map(|part| part.split_once('}')).peekable();
    let mut values = Vec::new();
    while let Some((name, words)) = parts.next() {
        let (value, behind) =
            if parts.peek().is_none() { (rest.strip_suffix(words)?, "") } else { rest.split_once(words)? };
        if value.is_empty() {
            return None;
        }
        values.push((name, value));
        rest = behind;
    }
    rest.is_empty().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::Phrases;

    #[test]
    fn what_was_said_is_said_in_another_language() {
        let phrases = Phrases::read(&[
            r#"{"{who} logged in": "{who} 已登录", "damaged: {why}": "损坏：{why}", "{why} (offset {offset})": "{why}，第 {offset} 字节",
                "no check": "没有校验", "{a} at {b}: {c}": "{b} {a} {c}"}"#,
            r#"{"{why} and {why2}": "{why}与{why2}"}"#,
        ]);
        let check = |said: &str, expected: Option<&str>| assert_eq!(phrases.say(said).as_deref(), expected, "{said}");
        check("a/1 logged in", Some("a/1 已登录"));
        check(" logged in", None);
        check("damaged: no check (offset 7)", Some("损坏：没有校验，第 7 字节"));
        check("damaged: crc 1, 2 expected", Some("损坏：crc 1, 2 expected"));
        check("x at y: z: u", Some("y x z: u"));
        check("no check and no check and 7", Some("没有校验与没有校验与7"));
        let bounded = "没有校验与".repeat(8) + "no check与" + &"no check and ".repeat(991);
        check(&"no check and ".repeat(1000), Some(&bounded));
        check("something else", None);
        check("", None);
    }
}
