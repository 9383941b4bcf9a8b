//! What an operator writes for the head-end: the file, the environment and the command line.

use std::fs;
use std::sync::LazyLock;

use loggerhead_headend::config::{Sources, example, explain, load};

/// Where the file of this process stands.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));
/// The variable that is set to the second part of an input.
const VARIABLE: &str = "LOGGERHEAD_LOG__LEVEL";

/// Any text is read; what is wrong with it is said, and all of it can be explained. The parts of an input are divided by NUL:
/// the file, a variable of the environment, and assignments of the command line.
///
/// # Panics
/// When it is not.
pub fn config(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let mut parts = text.split('\0').map(str::to_owned);
    let file = FOLDER.path().join("loggerhead.toml");
    fs::write(&file, parts.next().unwrap_or_default()).expect("the folder can be written");
    let environment = parts.next().map(|value| (VARIABLE.to_owned(), value)).into_iter().collect();
    let loaded = load(&Sources { file: Some(file), environment, set: parts.collect(), data_dir: None });
    assert!(!explain(&loaded).is_empty(), "a configuration without an explanation");
    for problem in &loaded.problems {
        assert!(!problem.to_string().is_empty(), "a problem without a word");
    }
    if let Ok((config, _)) = loaded.usable() {
        assert!(!config.listeners.is_empty(), "a head-end without a listener");
    }
}

/// Configurations to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let written = [
        "data_dir = \"x\"\n[store]\nframes = true\n[store.retention]\nframes_days = 30\n[log]\nformat = \"json\"\n",
        "[[listener]]\naddress = [\"[::]:36829\", \"unix:/run/x\"]\nenroll = \"pending\"\nsecrets = [\"text:a\"]\n\
         [listener.logger]\naes_keys = [\"text:0000000000123456\"]\n[[device]]\nid = \"tower-1\"\n\
         identity = \"330302D110/01\"\nsecret = \"hex:00\"\n[device.logger]\ncrc = \"off\"\n",
        "\0debug\0log.format=text\0listener.0.enroll=accept",
    ];
    written.iter().map(|text| text.as_bytes().to_vec()).chain([example().into_bytes()]).collect()
}
