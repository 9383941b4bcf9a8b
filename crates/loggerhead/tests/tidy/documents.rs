//! Rules about what people read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use loggerhead_headend::config::{self, Sources};
use loggerhead_protocols::ALL;

use super::statements::tests_in;
use super::{File, check, file, root, tree};

#[test]
fn the_documents_are_there() {
    let files = tree();
    for path in [
        "README.md",
        "ARCHITECTURE.md",
        "STYLE.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "check",
        ".ci/run",
    ] {
        file(&files, path);
    }
}

#[test]
fn the_changelog_has_this_version_and_every_protocol() {
    let files = tree();
    let changelog = &file(&files, "CHANGELOG.md").text;
    let mut complaints = Vec::new();
    if !changelog.contains(&format!("\n## {}", env!("CARGO_PKG_VERSION"))) {
        complaints.push(format!("no `## {}`", env!("CARGO_PKG_VERSION")));
    }
    for protocol in ALL.iter().filter(|protocol| !changelog.contains(&format!("`{}`", protocol.name))) {
        complaints.push(format!("no `{}`", protocol.name));
    }
    check(&complaints, "CHANGELOG.md: a user reads there what is new");
}

#[test]
fn the_readmes_have_every_protocol() {
    let files = tree();
    let mut complaints = Vec::new();
    for path in ["README.md", "README.zh.md"] {
        let readme = &file(&files, path).text;
        let row = |name: &str| format!("\n| [`{name}`](crates/protocols/src/{name}/README.md) |");
        let missing = ALL.iter().filter(|protocol| !readme.contains(&row(protocol.name)));
        complaints.extend(missing.map(|protocol| format!("{path}: no `{}`", protocol.name)));
    }
    check(&complaints, "a protocol without its row in the table of protocols: add it there");
}

#[test]
fn every_link_leads_somewhere() {
    let files = tree();
    let mut complaints = Vec::new();
    for from in files.iter().filter(|file| file.is_markdown()) {
        for link in links(&from.text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&from.path).parent().expect("a file lies in a folder");
            let target = if path.is_empty() { root().join(&from.path) } else { root().join(folder).join(path) };
            let Ok(target) = target.canonicalize() else {
                complaints.push(format!("{}: {link}: no such file", from.path));
                continue;
            };
            let target = files.iter().find(|file| root().join(&file.path) == target);
            if !anchor.is_empty() && !target.is_some_and(|target| anchors(target).iter().any(|name| name == anchor)) {
                complaints.push(format!("{}: {link}: no such heading", from.path));
            }
        }
    }
    check(&complaints, "a link that leads nowhere: correct it");
}

/// The targets of `[text](target)` that are not on the web.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link)
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:") && !link.contains(char::is_whitespace))
}

/// What `#anchor` may be in a document: its headings as a viewer spells them.
fn anchors(document: &File) -> Vec<String> {
    let slug = |heading: &str| {
        let kept = heading.trim().to_lowercase();
        kept.chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    };
    document
        .text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')))
        .map(slug)
        .collect()
}

#[test]
fn every_invariant_names_its_test() {
    let files = tree();
    let architecture = &file(&files, "ARCHITECTURE.md").text;
    let section = architecture.split("\n## ").find(|section| section.starts_with("Invariants\n"));
    let rows: Vec<_> = section
        .expect("ARCHITECTURE.md has `## Invariants`")
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Invariant"))
        .collect();
    assert!(!rows.is_empty(), "ARCHITECTURE.md: the invariants stand in a table");
    let tests: Vec<_> = files
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(|file| tests_in(&file.text))
        .map(|test| test.name)
        .collect();
    let mut complaints = Vec::new();
    for row in rows {
        let named = named_in(row);
        if named.is_empty() {
            complaints.push(format!("no test named: {row}"));
        }
        for name in named.iter().filter(|name| !tests.contains(name)) {
            complaints.push(format!("no test of the name {name}: {row}"));
        }
    }
    check(&complaints, "ARCHITECTURE.md, Invariants: name in the last column the tests that keep each");
}

/// The tests that the last column of a row names.
fn named_in(row: &str) -> Vec<&str> {
    row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default().split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_configuration_shown_is_right() {
    let files = tree();
    let mut shown: Vec<(&str, &str)> = Vec::new();
    for document in files.iter().filter(|file| file.is_markdown()) {
        let blocks = document.text.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```"));
        shown.extend(blocks.map(|(block, _)| (document.path.as_str(), block)));
    }
    shown.push(("packaging/loggerhead.toml", &file(&files, "packaging/loggerhead.toml").text));
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let mut complaints = Vec::new();
    for (path, text) in shown {
        let text: Vec<_> = text.lines().map(|line| line.strip_prefix("   ").unwrap_or(line)).collect();
        let written = directory.path().join("loggerhead.toml");
        fs::write(&written, text.join("\n")).expect("a temporary file can be written");
        // Secrets in a file that others may read draw a warning.
        fs::set_permissions(&written, Permissions::from_mode(0o600)).expect("the file is ours");
        let loaded = config::load(&Sources { file: Some(written), ..Sources::default() });
        // The files that an installation has beside its configuration are not there, and need not be.
        let wrong = loaded.problems.iter().filter(|problem| !problem.text.contains("No such file"));
        complaints.extend(wrong.map(|problem| format!("{path}: {}: {}", problem.key, problem.text)));
    }
    check(&complaints, "a configuration that the server would refuse: correct what is shown");
}
