//! Rules about the folder of a protocol.

use loggerhead_protocols::{ALL, Protocol};

use super::files::constant_name;
use super::{File, check, file, tree};

/// Where the protocols are.
const PROTOCOLS: &str = "crates/protocols/src";
/// What every protocol's folder has.
const FILES: [&str; 6] = ["README.md", "mod.rs", "frame.rs", "message.rs", "session.rs", "device.rs"];
/// The sections of its README.
const HEADINGS: [&str; 6] = ["Frame", "Conversation", "Acknowledgement", "Limits", "Quirks", "Sources"];

/// The files of one protocol's folder.
fn folder<'a>(files: &'a [File], protocol: &Protocol) -> Vec<&'a File> {
    let start = format!("{PROTOCOLS}/{}/", protocol.name);
    files.iter().filter(|file| file.path.starts_with(&start)).collect()
}

#[test]
fn a_protocols_folder_is_complete() {
    let files = tree();
    let mut complaints = Vec::new();
    for protocol in ALL {
        let start = format!("{PROTOCOLS}/{}", protocol.name);
        for name in FILES {
            if !files.iter().any(|file| file.path == format!("{start}/{name}")) {
                complaints.push(format!("{start}/{name} is missing"));
            }
        }
        if !folder(&files, protocol).iter().any(|file| file.is_test()) {
            complaints.push(format!("{start}: no file of tests"));
        }
        if !folder(&files, protocol).iter().any(|file| file.has_extension("hex")) {
            complaints.push(format!("{start}/vectors: no recorded bytes"));
        }
    }
    check(&complaints, "ARCHITECTURE.md, Adding a protocol, says what belongs into each file");
}

#[test]
fn a_folder_of_protocols_is_in_the_table() {
    let files = tree();
    let complaints: Vec<_> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix(PROTOCOLS)?.strip_prefix('/')?.split_once('/'))
        .filter(|(folder, name)| *name == "mod.rs" && ALL.iter().all(|protocol| protocol.name != *folder))
        .map(|(folder, _)| format!("{PROTOCOLS}/{folder}"))
        .collect();
    check(&complaints, "a folder without its row: add it to ALL in crates/protocols/src/lib.rs");
}

#[test]
fn a_protocols_readme_has_its_sections() {
    let files = tree();
    let mut complaints = Vec::new();
    for protocol in ALL {
        let readme = file(&files, &format!("{PROTOCOLS}/{}/README.md", protocol.name));
        let mut at = 0;
        for heading in HEADINGS {
            match readme.text[at..].find(&format!("\n## {heading}\n")) {
                Some(found) => at += found + 1,
                None => complaints.push(format!("{}: no `## {heading}` in this place", readme.path)),
            }
        }
    }
    check(&complaints, &format!("a README has, in this order: {}", HEADINGS.join(", ")));
}

#[test]
fn a_protocols_readme_lists_its_limits() {
    let files = tree();
    let mut complaints = Vec::new();
    for protocol in ALL {
        let readme = file(&files, &format!("{PROTOCOLS}/{}/README.md", protocol.name));
        let limits = readme.text.split("\n## ").find(|section| section.starts_with("Limits\n")).unwrap_or_default();
        for file in folder(&files, protocol).iter().filter(|file| file.is_rust()) {
            for (number, line) in file.lines_before_tests() {
                if let Some(name) = constant_name(line)
                    && line.starts_with("pub const")
                    && name.ends_with("_MAX")
                    && !limits.contains(name)
                {
                    complaints.push(format!("{}:{number}: {name}", file.path));
                }
            }
        }
    }
    check(&complaints, "a limit that the protocol's README does not name under Limits: add its line there");
}

fn is_part_of_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[test]
fn no_protocol_names_another() {
    let files = tree();
    let mut complaints = Vec::new();
    for protocol in ALL {
        for other in ALL.iter().filter(|other| other.name != protocol.name) {
            let path = format!("{}::", other.name);
            // `meter_line::` is no path of `line`.
            let names = |text: &str| {
                let is_word = |start: usize| text.get(..start).is_some_and(|before| before.ends_with(is_part_of_name));
                text.match_indices(&path).any(|(start, _)| !is_word(start))
            };
            for file in folder(&files, protocol).iter().filter(|file| file.is_rust() && names(&file.text)) {
                complaints.push(format!("{}: {path}", file.path));
            }
        }
    }
    check(&complaints, "a protocol that uses another: move what both need to crates/protocols/src");
}

#[test]
fn the_head_end_names_no_protocol() {
    let files = tree();
    let mut complaints = Vec::new();
    let is_general = |path: &str| {
        ["model", "store", "headend", "web"].iter().any(|name| path.starts_with(&format!("crates/{name}/src/")))
    };
    for file in files.iter().filter(|file| file.is_rust() && is_general(&file.path)) {
        for (number, line) in file.lines_before_tests() {
            let is_code = !line.trim_start().starts_with("//");
            let names = |protocol: &Protocol| {
                line.contains(&format!("protocols::{}", protocol.name))
                    || line.contains(&format!("== \"{}\"", protocol.name))
            };
            if is_code && ALL.iter().any(names) {
                complaints.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    check(
        &complaints,
        "a protocol named outside its folder: extend the contract in crates/protocols/src/session.rs instead",
    );
}

#[test]
fn nothing_branches_on_a_dialects_name() {
    let files = tree();
    let mut complaints = Vec::new();
    for protocol in ALL {
        let folder = folder(&files, protocol);
        let Some(table) = folder.iter().find(|file| file.name() == "dialect.rs") else { continue };
        let names: Vec<_> = table
            .lines_before_tests()
            .filter_map(|(_, line)| line.trim().strip_prefix("name: ")?.strip_suffix(','))
            .collect();
        assert!(!names.is_empty(), "{}: no `name: \"..\",` found", table.path);
        for file in folder.iter().filter(|file| file.is_rust()) {
            for (number, line) in file.lines_before_tests() {
                let branches =
                    |name: &&str| line.contains(&format!("{name} =>")) || line.contains(&format!("= {name}"));
                if names.iter().any(branches) {
                    complaints.push(format!("{}:{number}: {}", file.path, line.trim()));
                }
            }
        }
    }
    check(&complaints, "a branch on a dialect's name: make it a value of the struct in dialect.rs");
}

#[test]
fn every_vector_has_its_text() {
    let files = tree();
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).filter(|path| path.contains("/vectors/")).collect();
    let complaints: Vec<_> = paths
        .iter()
        .filter_map(|path| path.strip_suffix(".hex"))
        .map(|stem| format!("{stem}.txt"))
        .filter(|text| !paths.contains(&text.as_str()))
        .collect();
    check(&complaints, "missing: beside the recorded bytes in .hex stands their complete decode in .txt");
}
