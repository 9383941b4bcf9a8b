//! Log lines on standard error, for people or for machines.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use loggerhead_headend::config::{Log, LogFormat};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::exit::{Exit, Failure};

/// What a part of the program may log at most.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is worth a line, which may change while the process runs.
pub(crate) struct Level(Handle<EnvFilter, Registry>);

impl Level {
    /// Goes over to another level.
    ///
    /// # Errors
    /// `Usage` when it is none.
    pub(crate) fn set(&self, level: &str) -> anyhow::Result<()> {
        self.0.reload(filter(level)?).context("the log cannot take another level")
    }
}

/// What lets lines of this level through: a word, or a list of them for parts of the program.
///
/// # Errors
/// `Usage` with the word that is wrong, and what would be right.
fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    parse(level).map_err(|text| Failure::new(Exit::Usage, format!("log.level: {text}")).into())
}

/// The same for whoever only wants to know.
///
/// # Errors
/// What is wrong, and what would be right.
pub(crate) fn parse(level: &str) -> Result<EnvFilter, String> {
    for part in level.split(',') {
        let word = part.rsplit('=').next().unwrap_or_default().trim();
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            return Err(loggerhead_protocols::none_of(word, LEVELS.into_iter()));
        }
    }
    EnvFilter::try_new(level).map_err(|error| format!("{level:?}: {error}"))
}

/// Starts logging, also of panics; once per process.
///
/// # Errors
/// `Usage` when the level is none.
pub(crate) fn start(log: &Log) -> anyhow::Result<Level> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            registry.with(lines.with_ansi(colour).with_target(false)).try_init()
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))?;
    std::panic::set_hook(Box::new(|panic| {
        let words = panic.payload_as_str().unwrap_or("a panic without words");
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "{words}; this is a defect of the program");
    }));
    Ok(Level(handle))
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn check(level: &str, expected: Result<(), &str>) {
        assert_eq!(parse(level).map(|_| ()).as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text));
    }

    #[test]
    fn a_level_is_a_word_or_a_list_of_them() {
        check("info", Ok(()));
        check("WARN,loggerhead_headend=debug,loggerhead_web=off", Ok(()));
        check("inof", Err("\"inof\" is none of off, error, warn, info, debug, trace; did you mean \"info\"?"));
        check("info,loggerhead_web", Err("\"loggerhead_web\" is none of off, error, warn, info, debug, trace"));
    }
}
