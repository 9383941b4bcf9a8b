//! `backup`: a consistent copy of a store, also while the server runs.

use std::path::PathBuf;
use std::process::ExitCode;

use loggerhead_store::Reader;

use crate::configuration::DataArgs;
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
}

/// Runs the verb: success when the copy is whole and on disk.
///
/// # Errors
/// Without a store, when the file is there already, or when it cannot be written.
pub(crate) fn run(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let reader = Reader::open(&args.data.directory()?)?;
    let bar = terminal::byte_bar("copying");
    let copied = reader.backup(&args.file, &mut |progress| terminal::advance(&bar, progress));
    bar.finish_and_clear();
    copied?;
    terminal::say(format_args!("{} holds everything that was stored when it began", args.file.display()))?;
    Ok(ExitCode::SUCCESS)
}
