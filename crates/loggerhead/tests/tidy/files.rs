//! Rules about single files.

use super::{File, check, tree};

/// STYLE.md, Files.
const LINES_BEFORE_TESTS_MAX: usize = 600;

#[test]
fn a_file_is_short() {
    let complaints: Vec<_> = tree()
        .iter()
        .filter(|file| file.is_rust())
        .map(|file| (file, file.lines_before_tests().count()))
        .filter(|&(_, lines)| lines > LINES_BEFORE_TESTS_MAX)
        .map(|(file, lines)| format!("{}: {lines} lines before its tests", file.path))
        .collect();
    check(&complaints, &format!("over {LINES_BEFORE_TESTS_MAX} lines: split the file by idea"));
}

#[test]
fn a_limit_has_its_reason() {
    let mut complaints = Vec::new();
    for file in tree().iter().filter(|file| file.is_rust()) {
        let mut before = "";
        for (number, line) in file.lines_before_tests() {
            if constant_name(line).is_some_and(|name| name.contains("_MAX")) && !before.starts_with("///") {
                complaints.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
            // A remark covers the run of constants below it; an attribute may stand between.
            if !line.trim_start().starts_with("#[") && constant_name(line).is_none() {
                before = line.trim_start();
            }
        }
    }
    check(&complaints, "a limit without its reason: say in a doc comment above it why it is this number");
}

/// The name in `pub const NAME: ..`.
pub(super) fn constant_name(line: &str) -> Option<&str> {
    let rest = line.trim_start();
    let rest = rest.strip_prefix("pub ").or_else(|| rest.strip_prefix("pub(crate) ")).unwrap_or(rest);
    let rest = rest.strip_prefix("pub(super) ").unwrap_or(rest);
    let (name, _) = rest.strip_prefix("const ")?.split_once(':')?;
    Some(name)
}

#[test]
fn work_to_do_has_an_issue() {
    let complaints = lines_with(|line| {
        ["TODO", "FIXME", "XXX"].iter().any(|word| {
            line.match_indices(word).any(|(start, _)| {
                let (before, after) = (&line[..start], &line[start + word.len()..]);
                let is_part_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
                let is_word = !before.ends_with(is_part_of_name) && !after.starts_with(is_part_of_name);
                let number = after.strip_prefix("(#").filter(|_| *word == "TODO");
                is_word && !number.is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
            })
        })
    });
    check(&complaints, "work to do without an issue: write TODO(#number), or do it");
}

#[test]
fn a_lint_is_expected_not_allowed() {
    let complaints = lines_with(|line| {
        let line = line.trim_start();
        line.starts_with("#[allow(") || line.starts_with("#![allow(")
    });
    check(&complaints, "write #[expect(lint, reason = \"..\")]: it disappears with its cause");
}

/// The lines of Rust files for which `breaks` says so, this folder apart.
fn lines_with(breaks: fn(&str) -> bool) -> Vec<String> {
    let is_checked = |file: &&File| file.is_rust() && !file.path.starts_with("crates/loggerhead/tests/tidy");
    let mut complaints = Vec::new();
    for file in tree().iter().filter(is_checked) {
        for (line, number) in file.text.lines().zip(1..) {
            if breaks(line) {
                complaints.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    complaints
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let homes = ["work", "home", "root", "Users"].map(|name| format!("/{name}/"));
    let mut complaints = Vec::new();
    for file in tree().iter().filter(|file| !file.path.ends_with("Cargo.lock")) {
        for (line, number) in file.text.lines().zip(1..) {
            let is_place = |(start, _): (usize, &str)| {
                !line[..start].ends_with(|last: char| last.is_alphanumeric() || "._-:/}".contains(last))
            };
            if homes.iter().any(|home| line.match_indices(home.as_str()).any(is_place)) {
                complaints.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    check(&complaints, "an absolute path of one machine: use a relative one, or one that an installation has");
}
