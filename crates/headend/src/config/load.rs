//! Gathers files, environment and command line into one configuration.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::document::{self, Node, Value};
use super::problem::{Gravity, Place, Problem, Problems};
use super::read;
use super::section::{Findings, Setting};
use super::types::Config;
use super::{layers, secret};

/// The configuration file when nobody names one.
pub const FILE_DEFAULT: &str = "/etc/loggerhead/loggerhead.toml";
/// The folder beside it whose `*.toml` add listeners and devices.
const FOLDER: &str = "conf.d";
/// What is no secret though it stands in a file of its own: what devices bring as it is.
const DOCUMENT_KEYS: [&str; 1] = [".configuration"];
/// Longest configuration file: a hundred thousand devices fit.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What a configuration is made of; what stands later here wins.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file; none: `FILE_DEFAULT` if it is there.
    pub file: Option<PathBuf>,
    /// The variables of the environment; those of other programs are passed over.
    pub environment: Vec<(String, String)>,
    /// `KEY=VALUE` of the command line.
    pub set: Vec<String>,
    /// The data directory of the command line.
    pub data_dir: Option<PathBuf>,
}

/// What became of the sources.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; where something is wrong, as far as it goes.
    pub config: Config,
    /// Every value in force, and where it comes from.
    pub settings: Vec<Setting>,
    /// What is wrong, and what somebody should look at.
    pub problems: Vec<Problem>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl Loaded {
    /// Adds a problem with a value that only its user can judge, at the place where it is set.
    pub fn refuse(&mut self, key: &str, text: String) {
        let place = self.settings.iter().find(|setting| setting.key == key).map(|setting| setting.place.clone());
        let place = place.unwrap_or(Place::Default);
        self.problems.push(Problem { gravity: Gravity::Error, place, key: key.to_owned(), text });
    }

    /// The configuration, when it can be used, and what somebody should look at.
    ///
    /// # Errors
    /// `Problems` lists everything that is wrong.
    pub fn usable(self) -> Result<(Config, Vec<Problem>), Problems> {
        if self.problems.iter().any(|problem| problem.gravity == Gravity::Error) {
            return Err(Problems(self.problems));
        }
        Ok((self.config, self.problems))
    }
}

/// Reads and checks a configuration. Never fails: what is wrong stands in `Loaded::problems`, all of it at once.
#[must_use]
pub fn load(sources: &Sources) -> Loaded {
    let findings = Findings::default();
    let mut files = Vec::new();
    let mut tree = files_tree(sources.file.as_deref(), &findings, &mut files);
    if tree.entry("listener").is_none() {
        add_default_listener(&mut tree);
    }
    {
        let mut problems = findings.problems.borrow_mut();
        layers::environment(&mut tree, &sources.environment, &mut problems);
        layers::command_line(&mut tree, &sources.set, &mut problems);
    }
    if let Some(directory) = &sources.data_dir {
        tree.put(&["data_dir".to_owned()], Node::text(directory.display().to_string(), Place::CommandLine));
    }
    if let Value::Table(entries) = &mut tree.value {
        let has_files = |key: &str| ["listener", "device"].contains(&key);
        entries.retain_mut(|(key, node)| !has_files(key) || fetch_files(node, key, &findings));
    }
    let config = read::config(&tree, &findings);
    let mut problems = findings.problems.into_inner();
    problems.sort_by(|one, other| line(&one.place).cmp(&line(&other.place))); // in the order in which people read
    Loaded { config, settings: findings.settings.into_inner(), problems, files }
}

fn line(place: &Place) -> Option<(&str, usize)> {
    match place {
        Place::Line(file, line) => Some((file, *line)),
        Place::Environment(_) | Place::CommandLine | Place::Default => None,
    }
}

/// Without any listener a server would do nothing: then there is one for the first protocol, on its port.
fn add_default_listener(tree: &mut Node) {
    let mut listener = Node::table(Place::Default);
    if let Some(protocol) = loggerhead_protocols::ALL.first() {
        listener.put(&["protocol".to_owned()], Node::text(protocol.name, Place::Default));
    }
    let list = Node { value: Value::List(vec![listener]), place: Place::Default };
    tree.put(&["listener".to_owned()], list);
}

fn files_tree(file: Option<&Path>, findings: &Findings, files: &mut Vec<PathBuf>) -> Node {
    let empty = || Node::table(Place::Default);
    let path = file.unwrap_or_else(|| Path::new(FILE_DEFAULT));
    if file.is_none() && !path.exists() {
        return empty();
    }
    let mut tree = read_file(path, findings, files).unwrap_or_else(empty);
    let folder = path.parent().unwrap_or_else(|| Path::new("")).join(FOLDER);
    for path in folder_files(&folder, findings) {
        let Some(part) = read_file(&path, findings, files) else { continue };
        for (key, node) in part.entries() {
            if let (Value::List(list), "listener" | "device") = (&node.value, key.as_str()) {
                append(&mut tree, key, list, &node.place);
            } else {
                let text = "only listeners and devices stand in conf.d: move it to the main file";
                findings.add(Gravity::Error, &node.place, key.clone(), text);
            }
        }
    }
    tree
}

fn append(tree: &mut Node, key: &str, list: &[Node], place: &Place) {
    let Value::Table(entries) = &mut tree.value else { return };
    if let Some((_, Node { value: Value::List(all), .. })) = entries.iter_mut().find(|(name, _)| name == key) {
        all.extend_from_slice(list);
    } else {
        entries.push((key.to_owned(), Node { value: Value::List(list.to_vec()), place: place.clone() }));
    }
}

fn folder_files(folder: &Path, findings: &Findings) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            findings.add(Gravity::Error, &Place::Default, folder.display().to_string(), error.to_string());
            return Vec::new();
        }
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    paths.sort(); // names such as 10-north.toml say their order
    paths
}

fn read_file(path: &Path, findings: &Findings, files: &mut Vec<PathBuf>) -> Option<Node> {
    let name = path.display().to_string();
    let text = std::fs::metadata(path).and_then(|about| {
        if about.len() > FILE_BYTES_MAX {
            return Err(std::io::Error::other(format!("{} bytes is too long for a configuration", about.len())));
        }
        std::fs::read_to_string(path).map(|text| (Zeroizing::new(text), secret::is_open(&about)))
    });
    let (text, open) = match text {
        Ok(read) => read,
        Err(error) => {
            findings.add(Gravity::Error, &Place::Default, name, format!("cannot be read: {error}"));
            return None;
        }
    };
    files.push(path.to_owned());
    match document::parse(&name, &text) {
        Ok(tree) => {
            if let Some(place) = first_secret(&tree).filter(|_| open) {
                let text = format!("everybody on this machine may read this secret: chmod o-rwx {name}");
                findings.add(Gravity::Warning, place, "", text);
            }
            Some(tree)
        }
        Err(error) => {
            findings.add(Gravity::Error, &error.place, "", error.reason);
            None
        }
    }
}

/// The first secret that is written out.
fn first_secret(node: &Node) -> Option<&Place> {
    match &node.value {
        Value::Text(text) => (text.starts_with("text:") || text.starts_with("hex:")).then_some(&node.place),
        Value::List(list) => list.iter().find_map(first_secret),
        Value::Table(entries) => entries.iter().find_map(|(_, entry)| first_secret(entry)),
        Value::Word(_) | Value::Integer(_) | Value::Float(_) | Value::Flag(_) | Value::Time(_) => None,
    }
}

/// Puts what a file holds in the place of every `file:...`; false where it cannot be had.
fn fetch_files(node: &mut Node, path: &str, findings: &Findings) -> bool {
    match &mut node.value {
        Value::Text(text) | Value::Word(text) => {
            let Some(file) = text.strip_prefix("file:") else { return true };
            match fetch_file(file, path) {
                Ok((content, open)) => {
                    if open {
                        let text = format!("everybody on this machine may read {file}: chmod o-rwx it");
                        findings.add(Gravity::Warning, &node.place, path, text);
                    }
                    content.as_str().clone_into(text);
                    return true;
                }
                Err(error) => findings.add(Gravity::Error, &node.place, path, format!("{file}: {error}")),
            }
            false
        }
        Value::List(list) => {
            let mut index = 0..;
            list.retain_mut(|entry| {
                fetch_files(entry, &format!("{path}[{}]", index.next().unwrap_or_default()), findings)
            });
            true
        }
        Value::Table(entries) => {
            entries.retain_mut(|(key, entry)| fetch_files(entry, &format!("{path}.{key}"), findings));
            true
        }
        Value::Integer(_) | Value::Float(_) | Value::Flag(_) | Value::Time(_) => true,
    }
}

/// What a file holds, and whether others may read it who should not.
fn fetch_file(file: &str, path: &str) -> std::io::Result<(Zeroizing<String>, bool)> {
    let is_document = DOCUMENT_KEYS.iter().any(|key| path.ends_with(key));
    if is_document {
        return Ok((Zeroizing::new(secret::read_document(Path::new(file))?), false));
    }
    secret::read_file(Path::new(file))
}
