//! What the console says, in each language: one catalogue a language, the same keys in all.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use loggerhead_protocols::Protocol;
use maud::{Markup, PreEscaped, html};

use super::said::Phrases;
use crate::api::ProblemDetails;

/// A language of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

impl Language {
    /// Every language; the first is spoken to whoever wants another.
    pub(super) const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// Its tag, in documents, headers and cookies.
    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// Its name for itself.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "中文",
        }
    }

    /// The language of a tag such as `zh-CN`.
    pub(super) fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(primary))
    }

    /// The language that a header `Accept-Language` likes best of ours.
    pub(super) fn accepted(header: &str) -> Option<Self> {
        let weighed = header.split(',').filter_map(|range| {
            let (tag, weight) = range.split_once(";q=").unwrap_or((range, "1"));
            let weight: f32 = weight.trim().parse().ok().filter(|weight| *weight > 0.0)?;
            Some((Self::of_tag(tag.trim())?, weight))
        });
        // Of the same weight the first counts.
        weighed
            .fold(None, |best: Option<(Self, f32)>, next| match best {
                Some(best) if best.1 >= next.1 => Some(best),
                Some(_) | None => Some(next),
            })
            .map(|(language, _)| language)
    }

    /// What the console says in it.
    pub(super) fn texts(self) -> &'static Texts {
        static ENGLISH: LazyLock<Texts> = LazyLock::new(|| {
            Texts::read(Language::English, include_str!("../../assets/texts/en.json"), "{}", &[], &[])
        });
        static CHINESE: LazyLock<Texts> = LazyLock::new(|| {
            let said = include_str!("../../assets/texts/said.zh.json");
            let fields = include_str!("../../assets/texts/fields.zh.json");
            let names = include_str!("../../assets/texts/names.zh.json");
            let problems = include_str!("../../assets/texts/problems.zh.json");
            // Of a field that is wrong the fault is told.
            Texts::read(
                Language::Chinese,
                include_str!("../../assets/texts/zh.json"),
                names,
                &[said, problems],
                &[fields, said],
            )
        });
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }
}

/// The texts of one language, by key.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) language: Language,
    lines: BTreeMap<String, String>,
    /// Those for scripts, as JSON.
    scripts: String,
    /// Names of the fields of packets, which are English already.
    names: BTreeMap<String, String>,
    /// What the head-end says, which is English already.
    said: Phrases,
    /// What protocols say of the fields of packets, too.
    fields: Phrases,
}

/// Keys of texts that scripts use begin with this.
const SCRIPT_PREFIX: &str = "js.";

impl Texts {
    fn read(language: Language, json: &str, names: &str, said: &[&str], fields: &[&str]) -> Self {
        let lines: BTreeMap<String, String> = serde_json::from_str(json).expect("a catalogue is a table of texts");
        let names = serde_json::from_str(names).expect("names are a table of texts");
        let scripts: BTreeMap<_, _> = lines.iter().filter(|(key, _)| key.starts_with(SCRIPT_PREFIX)).collect();
        // Within a script element only this sign could end it.
        let scripts = serde_json::to_string(&scripts).expect("texts are JSON").replace('<', "\\u003c");
        Self { language, lines, scripts, names, said: Phrases::read(said), fields: Phrases::read(fields) }
    }

    /// The text of a key.
    pub(super) fn t(&self, key: &str) -> &str {
        // A test holds that every key that the console uses is there.
        debug_assert!(self.find(key).is_some(), "no text {key}");
        self.find(key).unwrap_or("…")
    }

    /// The text of a key that may not be there.
    pub(super) fn find(&self, key: &str) -> Option<&str> {
        self.lines.get(key).map(String::as_str)
    }

    /// The text of a key, each `{name}` in it replaced.
    pub(super) fn phrase(&self, key: &str, values: &[(&str, Markup)]) -> Markup {
        let mut rest = self.t(key);
        let mut parts = Vec::new();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else { break };
            let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
            parts.push(html! { (before) @if let Some(value) = value { (value) } });
            rest = after;
        }
        html! { @for part in &parts { (part) } (rest) }
    }

    /// What the head-end said, of an event or a fault; marked as English where it stays that.
    pub(super) fn said(&self, text: &str) -> Markup {
        self.told(&self.said, text)
    }

    /// What a protocol says of a field.
    pub(super) fn field(&self, meaning: &str) -> Markup {
        self.told(&self.fields, meaning)
    }

    /// The name of a field of a packet.
    pub(super) fn name<'a>(&'a self, name: &'a str) -> &'a str {
        self.names.get(name).map_or(name, String::as_str)
    }

    /// What a protocol is, in a line.
    pub(super) fn title(&self, protocol: &Protocol) -> Cow<'static, str> {
        self.said.say(protocol.title).map_or(Cow::Borrowed(protocol.title), Cow::Owned)
    }

    /// What is said of a problem, for who does not read pages.
    pub(super) fn problem(&self, problem: &ProblemDetails) -> ProblemDetails {
        let said = |text: &Cow<'static, str>| self.said.say(text).map_or_else(|| text.clone(), Cow::Owned);
        let (title, detail, remedy) = (said(&problem.title), said(&problem.detail), said(&problem.remedy));
        ProblemDetails { title, detail, remedy, ..problem.clone() }
    }

    fn told(&self, phrases: &Phrases, text: &str) -> Markup {
        match phrases.say(text) {
            Some(said) => html! { (said) },
            None if self.language == Language::English || is_of_every_language(text) => html! { (text) },
            None => html! { span lang=(Language::English.tag()) { (text) } },
        }
    }

    /// The texts for scripts, fit to stand in a script element.
    pub(super) fn for_scripts(&self) -> PreEscaped<&str> {
        PreEscaped(&self.scripts)
    }
}

/// Whether a text has no words: numbers with their units, names of packets in capitals, and what is quoted.
fn is_of_every_language(text: &str) -> bool {
    let own = text.split('"').step_by(2);
    own.flat_map(|part| part.split(|sign: char| !sign.is_alphabetic()))
        .all(|word| word.len() < 2 || word.bytes().all(|byte| byte.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::Language;
    use crate::inspect::{Decoder, Key, from_hex};

    #[test]
    fn every_language_has_every_text() {
        let keys = |language: Language| language.texts().lines.keys().collect::<BTreeSet<_>>();
        let first = keys(Language::English);
        for language in Language::ALL {
            let differing: Vec<_> = first.symmetric_difference(&keys(language)).copied().collect();
            assert!(differing.is_empty(), "{language:?}: {differing:?}");
            for (key, text) in &language.texts().lines {
                assert!(!text.is_empty(), "{key}");
                let names = |text: &str| {
                    text.split('{').skip(1).filter_map(|rest| rest.split('}').next().map(str::to_owned)).collect()
                };
                let (mine, other): (BTreeSet<String>, BTreeSet<String>) =
                    (names(text), names(Language::English.texts().t(key)));
                assert_eq!(mine, other, "{key} fills in the same in every language");
            }
        }
    }

    /// Whether a literal is a whole key, and neither made from parts nor an argument of something else.
    fn is_key(literal: &str) -> bool {
        literal.starts_with(|first: char| first.is_ascii_lowercase()) && literal.contains('.') && !literal.contains('{')
    }

    #[test]
    fn every_text_that_is_used_is_there() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut used = BTreeSet::new();
        for part in ["src/console", "assets"] {
            let mut folders = vec![folder.join(part)];
            while let Some(folder) = folders.pop() {
                for entry in std::fs::read_dir(folder).expect("a folder of this crate") {
                    let path = entry.expect("an entry").path();
                    if path.is_dir() && !path.ends_with("vendor") {
                        folders.push(path);
                    } else if path.extension().is_some_and(|end| end == "rs" || end == "js") {
                        let text = std::fs::read_to_string(path).expect("text");
                        for start in ["t(\"", "phrase(\"", "t(&\""] {
                            let keys = text.split(start).skip(1).filter_map(|rest| rest.split('"').next());
                            used.extend(keys.filter(|key| is_key(key)).map(str::to_owned));
                        }
                    }
                }
            }
        }
        assert!(used.len() > 20, "{used:?}");
        for key in used {
            assert!(Language::English.texts().find(&key).is_some(), "no text {key}");
        }
    }

    /// The files of this ending in and below a folder.
    fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
        let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder of the tree") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|found| found == end) {
                    found.push(path);
                }
            }
        }
        found
    }

    fn protocols() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocols/src")
    }

    /// Whether English is left: two of its words in a row, what is quoted or comes from a peer aside.
    fn has_english(said: &str) -> bool {
        let own = said.split('"').step_by(2).flat_map(|part| part.split(['：', '，', '；', '<', '>']));
        own.map(|part| part.split(' ').map(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase())))
            .any(|words| words.collect::<Vec<_>>().windows(2).any(|two| two == [true, true]))
    }

    #[test]
    fn every_name_and_meaning_of_recorded_fields_is_told_in_every_language() {
        let mut untold = BTreeSet::new();
        for protocol in loggerhead_protocols::ALL {
            if Language::Chinese.texts().title(protocol) == protocol.title {
                untold.insert(format!("{}: {}", protocol.name, protocol.title));
            }
            let keys = ["text:0000000000123456", "text:1234567890123456"].map(|key| Key::parse(key).expect("a key"));
            let decoder = Decoder::new(protocol, &keys, toml::Table::new()).expect("no settings are right");
            let vectors = files(&protocols().join(protocol.name).join("vectors"), "hex");
            assert!(!vectors.is_empty(), "{}", protocol.name);
            for vector in vectors {
                let text = std::fs::read_to_string(vector).expect("a vector");
                let part = decoder.bytes(from_hex(&text).expect("digits"));
                for field in part.explanations().flat_map(|explanation| &explanation.fields) {
                    if !Language::Chinese.texts().names.contains_key(&field.name) {
                        untold.insert(format!("{}: the name {}", protocol.name, field.name));
                    }
                    let said = Language::Chinese.texts().fields.say(&field.meaning);
                    if has_english(said.as_ref().unwrap_or(&field.meaning)) {
                        untold.insert(format!("{} {}: {} ({said:?})", protocol.name, field.name, field.meaning));
                    }
                }
            }
        }
        assert!(untold.is_empty(), "{untold:#?}");
    }

    /// The texts that a source gives the faults that it makes, with 7 for every value.
    fn reasons(source: &str) -> Vec<String> {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let made = code.split("Fault::new(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix("FaultKind::"));
        let literals = made.filter_map(|rest| {
            let text = rest.split_once(',')?.1.trim_start();
            let text = text.strip_prefix("format!(").unwrap_or(text).trim_start().strip_prefix('"')?;
            Some(text.split('"').next().unwrap_or_default())
        });
        let filled = literals.map(|literal| {
            let mut parts = literal.split('{');
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |text, part| text + "7" + part.split_once('}').map_or("", |(_, words)| words))
        });
        // A line that goes on has blanks at its beginning.
        filled.map(|text| text.split("\\\n").map(str::trim_start).collect::<String>()).collect()
    }

    #[test]
    fn every_reason_of_a_fault_is_told_in_every_language() {
        let mut untold = BTreeSet::new();
        let mut count = 0;
        for file in files(&protocols(), "rs") {
            if file.to_string_lossy().contains("test") {
                continue;
            }
            for reason in reasons(&std::fs::read_to_string(&file).expect("a source")) {
                count += 1;
                if reason != "7" && Language::Chinese.texts().said.say(&reason).is_none_or(|said| has_english(&said)) {
                    untold.insert(format!("{}: {reason}", file.file_name().unwrap_or_default().display()));
                }
            }
        }
        assert!(count > 80, "{count} faults are made");
        assert!(untold.is_empty(), "{untold:#?}");
    }

    #[test]
    fn what_has_no_words_is_of_every_language() {
        let check = |text: &str, expected| assert_eq!(super::is_of_every_language(text), expected, "{text}");
        check("1048576", true);
        check("60 s", true);
        check("PUBACK", true);
        check("\"lh-cb436dd8\"", true);
        check("PUBLISH, retain", false);
        check("none", false);
        check("\"a\" and \"b\"", false);
    }

    #[test]
    fn every_kind_of_problem_is_told_in_every_language() {
        for kind in crate::problem::descriptions() {
            for text in [&kind.title, &kind.remedy] {
                assert!(Language::Chinese.texts().said.say(text).is_some(), "{text}");
            }
        }
    }

    #[test]
    fn the_language_that_is_liked_best_is_spoken() {
        let check = |header: &str, expected| assert_eq!(Language::accepted(header), expected, "{header}");
        check("zh-CN,zh;q=0.9,en;q=0.8", Some(Language::Chinese));
        check("de;q=0.9, en;q=0.4, zh;q=0.5", Some(Language::Chinese));
        check("en-GB", Some(Language::English));
        check("fr, zh;q=0", None);
        check("", None);
    }
}
