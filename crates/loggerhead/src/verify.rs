//! `verify`: reads everything in a store back against its checksums.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::configuration::DataArgs;
use crate::exit::Exit;
use crate::terminal;

/// Options of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: loggerhead verify --data /var/lib/loggerhead
While the server runs, damage is named; with the server stopped, it is set aside as well. Ends with 5 when something
is damaged.")]
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
    let report = report.context("verify")?;
    if args.json {
        terminal::say_json(&report)?;
    } else {
        terminal::say(format_args!(
            "read back: {} readings in {} batches and {} segments, {} blocks of frames, {} other rows",
            report.readings, report.batches, report.segments, report.frame_blocks, report.rows
        ))?;
        for damage in &report.damage {
            let kept = if damage.quarantined { "set aside; the rest stays readable" } else { "still in place" };
            let about = if damage.about.is_empty() { String::new() } else { format!("; it held {}", damage.about) };
            terminal::say(format_args!("damaged: {}: {}{about} ({kept})", damage.place, damage.what))?;
        }
        if report.in_use && !report.is_sound() {
            terminal::say("the server has it open: stop it and verify again to set this aside")?;
        }
        if report.is_sound() {
            terminal::say("everything is as it was written")?;
        }
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { Exit::Damaged.into() })
}
