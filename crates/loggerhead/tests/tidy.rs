//! Rules about the source tree that neither the compiler nor clippy can hold. STYLE.md marks them [m].
//!
//! Each rule lists what breaks it, with the place and with what to do.

mod documents;
mod files;
mod manifests;
mod protocols;
mod statements;

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that are not source: build output, the history, a user's data, what fuzzing found.
const SKIPPED_DIRECTORIES: [&str; 5] = ["target", ".git", "loggerhead-data", "corpus", "artifacts"];

/// A text file of the tree.
struct File {
    /// From the root of the tree, with `/`.
    path: String,
    text: String,
}

impl File {
    fn name(&self) -> &str {
        self.path.rsplit('/').next().expect("a split has at least one part")
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|its| its == extension)
    }

    fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    fn is_markdown(&self) -> bool {
        self.has_extension("md")
    }

    /// Whether the whole file is tests.
    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.name().ends_with("tests.rs")
    }

    /// The lines before the tests, numbered from 1.
    fn lines_before_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let whole = if self.is_test() { 0 } else { usize::MAX };
        self.text.lines().take(whole).take_while(|line| !line.starts_with("#[cfg(test)]")).zip(1..).map(|(l, n)| (n, l))
    }
}

/// The root of the tree.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("this crate lies two below the root")
}

/// Every text file of the tree.
fn tree() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("the tree can be read") {
            let entry = entry.expect("the tree can be read");
            let (path, name) = (entry.path(), entry.file_name());
            let kind = entry.file_type().expect("the tree can be read");
            if kind.is_dir() {
                if !SKIPPED_DIRECTORIES.iter().any(|skipped| name == *skipped) {
                    directories.push(path);
                }
            } else if kind.is_file()
                && name != ".git"
                && let Ok(text) = fs::read_to_string(&path)
            {
                let path = path.strip_prefix(&root).expect("it lies below the root").to_string_lossy().into_owned();
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// The file at `path`, which the tree must have.
fn file<'a>(files: &'a [File], path: &str) -> &'a File {
    files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is missing: write it"))
}

/// Fails with every complaint and with what to do about them.
#[track_caller]
fn check(complaints: &[String], remedy: &str) {
    assert!(complaints.is_empty(), "{remedy}\n  {}\n", complaints.join("\n  "));
}
