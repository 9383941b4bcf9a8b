//! `check`: what a configuration makes the server do, and everything that is wrong with it.

use std::process::ExitCode;

use loggerhead_headend::config::{self, Gravity, Loaded, Place};

use crate::configuration::ConfigurationArgs;
use crate::exit::Exit;
use crate::terminal::{say, say_json};

/// Options of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  loggerhead check --config loggerhead.toml
  loggerhead check --all
  loggerhead check --example > loggerhead.toml")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    configuration: ConfigurationArgs,
    /// List the values that nobody set as well
    #[arg(long)]
    all: bool,
    /// Print a complete configuration with comments, and do nothing else
    #[arg(long, conflicts_with_all = ["all", "json"])]
    example: bool,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb: success when a server could start with this configuration.
///
/// # Errors
/// When nothing can be printed.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    if args.example {
        say(config::example().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = args.configuration.load();
    if args.json {
        say_json(&as_json(&loaded))?;
    } else {
        say(config::explain(&loaded).trim_end())?;
        say("")?;
        for setting in loaded.settings.iter().filter(|setting| args.all || setting.place != Place::Default) {
            say(format_args!("{} = {}  ({})", setting.key, setting.value, setting.place))?;
        }
        say("")?;
        for problem in &loaded.problems {
            say(problem)?;
        }
    }
    let errors = loaded.problems.iter().filter(|problem| problem.gravity == Gravity::Error).count();
    if !args.json {
        say(match errors {
            0 => "a server can start with this".to_owned(),
            1 => "a server cannot start with this: 1 error".to_owned(),
            _ => format!("a server cannot start with this: {errors} errors"),
        })?;
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { Exit::Usage.into() })
}

fn as_json(loaded: &Loaded) -> serde_json::Value {
    let setting = |setting: &config::Setting| serde_json::json!({ "key": setting.key, "value": setting.value, "from": setting.place.to_string() });
    let problem = |problem: &config::Problem| {
        serde_json::json!({
            "gravity": problem.gravity,
            "place": problem.place.to_string(),
            "key": problem.key,
            "text": problem.text,
        })
    };
    serde_json::json!({
        "files": loaded.files,
        "settings": loaded.settings.iter().map(setting).collect::<Vec<_>>(),
        "problems": loaded.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}
