//! `verify`: reads everything in a store back against its checksums.

use std::process::ExitCode;

use anyhow::Context as _;
use loggerhead_store::StoreError;

use crate::configuration::DataArgs;
use crate::exit::{Exit, Failure};
use crate::terminal;

/// Options of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: loggerhead verify --data /var/lib/loggerhead
The server must not be running. While it is, make a backup and verify that: put it alone into a directory as
loggerhead.db. Ends with 5 when something is damaged.")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb: success when everything is as it was written.
///
/// # Errors
/// When the store cannot be read at all.
pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let bar = terminal::byte_bar("reading back");
    let report = loggerhead_store::verify(&args.data.directory()?, &mut |progress| terminal::advance(&bar, progress));
    bar.finish_and_clear();
    let report = match report {
        Err(error @ StoreError::Locked { .. }) => {
            let text = format!("{error}: stop the server, or verify a copy that `loggerhead backup` makes");
            return Err(Failure::new(Exit::Failed, text).into());
        }
        other => other.context("verify")?,
    };
    if args.json {
        terminal::say_json(&report)?;
    } else {
        terminal::say(format_args!(
            "read back: {} readings in {} batches and {} segments, {} blocks of frames",
            report.readings, report.batches, report.segments, report.frame_blocks
        ))?;
        for damage in &report.damage {
            let kept = if damage.quarantined { "set aside; the rest stays readable" } else { "still in place" };
            terminal::say(format_args!("damaged: {}: {} ({kept})", damage.place, damage.what))?;
        }
        if report.is_sound() {
            terminal::say("everything is as it was written")?;
        }
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { Exit::Damaged.into() })
}
