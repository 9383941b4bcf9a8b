//! `backup`: a consistent copy of a store, also while the server runs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use loggerhead_store::Reader;

use crate::configuration::DataArgs;
use crate::exit::{Exit, Failure};
use crate::terminal;

/// Options of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: loggerhead backup /backup/loggerhead-$(date +%F).db
The file must not be there yet. To restore, stop the server and copy the file to an empty data directory as \
loggerhead.db; `loggerhead verify` reads it back.")]
pub(crate) struct BackupArgs {
    /// The new file; private to this user
    file: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Print the file and its size as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb: success when the copy is whole and on disk.
///
/// # Errors
/// Without a store, when the file is there already, or when it cannot be written.
pub(crate) fn run(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let reader = Reader::open(&args.data.directory()?)?;
    if args.file.exists() {
        let text = format!("{} is there already, and is not written over: choose another name", args.file.display());
        return Err(Failure::new(Exit::Failed, text).into());
    }
    let bar = terminal::byte_bar("copying");
    let copied = reader.backup(&args.file, &mut |progress| terminal::advance(&bar, progress));
    bar.finish_and_clear();
    copied?;
    let bytes = std::fs::metadata(&args.file).with_context(|| args.file.display().to_string())?.len();
    if args.json {
        terminal::say_json(&serde_json::json!({ "file": args.file, "bytes": bytes }))?;
    } else {
        let file = args.file.display();
        terminal::say(format_args!("{file} holds everything that was stored when it began, in {bytes} bytes"))?;
    }
    Ok(ExitCode::SUCCESS)
}
