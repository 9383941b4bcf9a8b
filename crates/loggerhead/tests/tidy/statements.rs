//! `docs/mqtt-conformance.md`, written from the tests.
//!
//! A comment above a test names the statements that it shows: `// MQTT 5.0: 3.1.0-1 3.1.0-2`. The files in `statements/` have
//! every identifier of each standard with what it demands in short.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use super::{check, file, root, tree};

/// Set it to have the document written instead of compared.
const REFRESH: &str = "LOGGERHEAD_REFRESH";
/// Where the document lies.
const DOCUMENT: &str = "docs/mqtt-conformance.md";

const HEAD: &str = "\
# MQTT: statement by statement

What the two standards demand, by the identifiers of their appendices B, and the tests that show it. This document is written from
the tests: a comment above each names the statements that it shows, and a test of the tree fails when one is shown by none, or when
this document is not what the tests say. Statements that bind clients are marked; they are shown by our own clients (`mqtt pub`,
`mqtt sub`, `simulate mqtt`, simulated devices) or by what the broker does to a client that breaks them.

Most tests are conversations in memory; clients of other makers, kills and certificates are in `crates/loggerhead/tests`.
";

/// A standard with its statements.
struct Standard {
    /// As it stands in the comments.
    name: &'static str,
    /// A line each: the identifier, and what it demands in short.
    statements: &'static str,
    /// How many there are, as counted in the standard.
    count: usize,
    /// What is to be known of their identifiers.
    remark: &'static str,
}

const STANDARDS: [Standard; 2] = [
    Standard {
        name: "MQTT 3.1.1",
        statements: include_str!("statements/mqtt-3.1.1.txt"),
        count: 141,
        remark: "\
Appendix B prints 139 identifiers in the form `MQTT-3.1.2-6` and two with other punctuation: `MQTT-3.1.2.7` and `MQTT-3-8.3-4`. A
count that looks for the form alone finds 139. Both are here as 3.1.2-7 and 3.8.3-4, so there are 141.",
    },
    Standard {
        name: "MQTT 5.0",
        statements: include_str!("statements/mqtt-5.0.txt"),
        count: 251,
        remark: "\
Appendix B has 251 identifiers, none of them twice; 2.2.1-1 is given to none. What the body calls 4.2-1, the appendix calls 4.2.0-1.
Where 254 is said, lines were counted of a list of them whose heading has the name MQTT in three lines.",
    },
];

/// A test, and what is said above it.
pub(super) struct Test<'a> {
    /// The name of its function.
    pub(super) name: &'a str,
    /// The comment right above it, a line each.
    said: Vec<&'a str>,
}

/// The test functions in Rust source.
pub(super) fn tests_in(text: &str) -> Vec<Test<'_>> {
    let (mut tests, mut said, mut is_marked) = (Vec::new(), Vec::new(), false);
    for line in text.lines().map(str::trim_start) {
        if let Some(comment) = line.strip_prefix("// ") {
            said.push(comment);
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_marked = true;
        } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
            let said = std::mem::take(&mut said);
            if is_marked && let Some(name) = rest.split(['(', '<']).next() {
                tests.push(Test { name, said });
            }
            is_marked = line.contains("proptest!");
        } else if !line.starts_with("#[") {
            said.clear();
        }
    }
    tests
}

#[test]
fn every_statement_of_mqtt_is_shown_by_a_test_and_listed() {
    let files = tree();
    let (mut text, mut complaints, mut paths) = (HEAD.to_owned(), Vec::new(), BTreeMap::new());
    for standard in &STANDARDS {
        let mut shown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for source in files.iter().filter(|file| file.is_rust()) {
            for test in tests_in(&source.text) {
                let lines = test.said.iter().filter_map(|line| line.strip_prefix(standard.name)?.strip_prefix(": "));
                for id in lines.flat_map(str::split_whitespace) {
                    shown.entry(id).or_default().push(test.name);
                    if paths.insert(test.name, &source.path).is_some_and(|other| *other != source.path) {
                        complaints.push(format!("{}: another test that shows statements is called so", test.name));
                    }
                }
            }
        }
        let Standard { name, count, remark, .. } = standard;
        write!(
            text,
            "\n## {name}: {count} statements\n\n{remark}\n\n| Statement | In short | Shown by |\n|---|---|---|\n"
        )
        .expect("a text takes everything");
        let mut ids = Vec::new();
        for (id, demand) in standard.statements.lines().filter_map(|line| line.split_once(' ')) {
            ids.push(id);
            let Some(tests) = shown.remove(id) else {
                complaints.push(format!("{name} {id}: no test shows it: {demand}"));
                continue;
            };
            let links: Vec<_> = tests.iter().map(|test| format!("[`{test}`]")).collect();
            writeln!(text, "| {id} | {demand} | {} |", links.join(" ")).expect("a text takes everything");
        }
        complaints.extend(shown.iter().map(|(id, tests)| format!("{name} {id}: no such statement: {tests:?}")));
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != *count {
            complaints.push(format!("{name}: {} statements, not {count}", ids.len()));
        }
    }
    check(
        &complaints,
        "statements of MQTT: name each in a comment above the test that shows it, `// MQTT 5.0: 3.1.0-1`",
    );
    text.push('\n');
    for (test, path) in paths {
        writeln!(text, "[`{test}`]: ../{path}").expect("a text takes everything");
    }
    if std::env::var_os(REFRESH).is_some() {
        fs::write(root().join(DOCUMENT), &text).expect("the tree can be written");
    }
    assert!(
        std::env::var_os(REFRESH).is_some() || file(&files, DOCUMENT).text == text,
        "{DOCUMENT} is not what the tests say; write it again: {REFRESH}=1 cargo test -p loggerhead \
         every_statement_of_mqtt_is_shown_by_a_test_and_listed"
    );
}
