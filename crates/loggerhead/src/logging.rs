//! Log lines on standard error, for people or for machines.

use std::io::IsTerminal as _;

use loggerhead_headend::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, Failure};

/// Starts logging, also of panics; once per process.
///
/// # Errors
/// `Usage` when the level is none.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| Failure::new(Exit::Usage, format!("log.level: {:?}: {error}", log.level)))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            subscriber.with_ansi(colour).with_target(false).try_init()
        }
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))?;
    std::panic::set_hook(Box::new(|panic| {
        let words = panic.payload_as_str().unwrap_or("a panic without words");
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "{words}; this is a defect of the program");
    }));
    Ok(())
}
