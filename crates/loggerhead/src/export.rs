//! `export`: what is stored, for other programs; also while the server runs.

mod output;

use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use indicatif::ProgressBar;
use loggerhead_model::{DeviceId, Direction, Severity, Timestamp};
use loggerhead_store::{EventFilter, FrameFilter, Reader, ReadingFilter};
use loggerhead_web::export::{self, Cell, Column, ColumnKind, Csv, Jsonl, Parquet, READINGS, Rows};

use self::output::Output;
use crate::configuration::DataArgs;
use crate::exit::{Exit, Failure};
use crate::terminal;

/// Rows between two moves of the progress count.
const ROWS_PER_MOVE: u64 = 4_096;

/// Options of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  loggerhead export readings --device tower-1 --from 2026-01-01 --to 2026-02-01 --format csv > january.csv
  loggerhead export readings --format parquet -o readings.parquet
  loggerhead export events --format jsonl | jq 'select(.kind == \"refused\")'")]
pub(crate) struct ExportArgs {
    /// What to export
    #[arg(value_enum)]
    what: What,
    #[command(flatten)]
    data: DataArgs,
    /// Only of this device
    #[arg(long)]
    device: Option<String>,
    /// From this moment on: readings by the device's clock, everything else by ours
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    from: Option<Timestamp>,
    /// Before this moment
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    to: Option<Timestamp>,
    /// How to write it
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// Write to this file, which appears when it is complete and is private [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Every reading with the text that came
    Readings,
    /// What happened: logins, refusals, faults, commands
    Events,
    /// Raw frames, deciphered, as hex
    Frames,
}

/// How to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Comma-separated, with a head line; quoted as RFC 4180 says
    Csv,
    /// One JSON object a line
    Jsonl,
    /// Columns, compressed; for data frames and databases
    Parquet,
}

const EVENTS: &[Column] = &[
    Column::new("number", ColumnKind::Count),
    Column::new("at", ColumnKind::Time),
    Column::new("severity", ColumnKind::Text),
    Column::new("kind", ColumnKind::Text),
    Column::new("device", ColumnKind::Text),
    Column::new("peer", ColumnKind::Text),
    Column::new("text", ColumnKind::Text),
];

const FRAMES: &[Column] = &[
    Column::new("device", ColumnKind::Text),
    Column::new("received_at", ColumnKind::Time),
    Column::new("direction", ColumnKind::Text),
    Column::new("cursor", ColumnKind::Count),
    Column::new("bytes", ColumnKind::Bytes),
];

/// Runs the verb: success when everything that fits was written.
///
/// # Errors
/// `NotFound` without a store or for a device of which nothing is stored; otherwise what cannot be read or written.
pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    if args.output.is_none() && args.format == Format::Parquet && io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, "parquet is not for a terminal: give -o FILE").into());
    }
    let device = args.device.as_deref().map(DeviceId::new).transpose();
    let device = device.map_err(|error| Failure::new(Exit::Usage, format!("--device: {error}")))?;
    let reader = Reader::open(&args.data.directory()?)?;
    if let Some(device) = &device {
        find(&reader, device)?;
    }
    let mut output = Output::open(args.output.as_deref())?;
    let columns = match args.what {
        What::Readings => READINGS,
        What::Events => EVENTS,
        What::Frames => FRAMES,
    };
    let mut rows: Box<dyn Rows + '_> = match args.format {
        Format::Csv => Box::new(Csv::new(&mut output, columns)?),
        Format::Jsonl => Box::new(Jsonl::new(&mut output, columns)),
        Format::Parquet => Box::new(Parquet::new(&mut output, columns)?),
    };
    let bar = if args.output.is_some() { terminal::counter("rows") } else { ProgressBar::hidden() };
    let mut writing = Writing { rows: &mut *rows, bar: &bar, written: 0, failed: None };
    match args.what {
        What::Readings => readings(&reader, args, device, &mut writing),
        What::Events => events(&reader, args, device, &mut writing),
        What::Frames => frames(&reader, args, device, &mut writing),
    }?;
    if let Some(error) = writing.failed {
        return Err(error).context("writing");
    }
    rows.finish().context("writing")?;
    bar.finish_and_clear();
    output.commit().context("writing")?;
    Ok(ExitCode::SUCCESS)
}

/// Whether anything is known of a device: a wrong name should not look like a device that sent nothing.
fn find(reader: &Reader, device: &DeviceId) -> anyhow::Result<()> {
    let of_device = ReadingFilter { device: Some(device.clone()), ..ReadingFilter::default() };
    let known = !reader.channels(&of_device)?.is_empty()
        || reader.devices()?.iter().any(|record| record.id == *device)
        || reader.presence()?.iter().any(|record| record.device == *device);
    if known {
        return Ok(());
    }
    Err(Failure::new(Exit::NotFound, format!("nothing is stored of a device {device}")).into())
}

/// Rows on their way out.
struct Writing<'a> {
    rows: &'a mut dyn Rows,
    bar: &'a ProgressBar,
    written: u64,
    failed: Option<io::Error>,
}

impl Writing<'_> {
    fn row(&mut self, cells: &[Cell<'_>]) -> ControlFlow<()> {
        self.put(|rows| rows.row(cells))
    }

    fn put(&mut self, put: impl FnOnce(&mut dyn Rows) -> io::Result<()>) -> ControlFlow<()> {
        self.written += 1;
        if self.written.is_multiple_of(ROWS_PER_MOVE) {
            self.bar.set_position(self.written);
        }
        match put(self.rows) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

fn readings(reader: &Reader, args: &ExportArgs, device: Option<DeviceId>, out: &mut Writing<'_>) -> anyhow::Result<()> {
    let filter = ReadingFilter { device, from: args.from, to: args.to, ..ReadingFilter::default() };
    reader.scan(&filter, &mut |stored| out.put(|rows| export::reading(rows, &stored)))?;
    Ok(())
}

fn events(reader: &Reader, args: &ExportArgs, device: Option<DeviceId>, out: &mut Writing<'_>) -> anyhow::Result<()> {
    let filter = EventFilter { device, from: args.from, to: args.to, ..EventFilter::default() };
    reader.events(&filter, &mut |stored| {
        let event = &stored.event;
        out.row(&[
            Cell::Count(stored.number),
            Cell::Time(event.at),
            Cell::Text(match event.severity {
                Severity::Info => "info",
                Severity::Warning => "warning",
                Severity::Error => "error",
            }),
            Cell::Text(event.kind.word()),
            event.device.as_ref().map_or(Cell::Missing, |device| Cell::Text(device.as_str())),
            event.peer.as_deref().map_or(Cell::Missing, Cell::Text),
            Cell::Text(&event.text),
        ])
    })?;
    Ok(())
}

fn frames(reader: &Reader, args: &ExportArgs, device: Option<DeviceId>, out: &mut Writing<'_>) -> anyhow::Result<()> {
    let filter = FrameFilter { device, from: args.from, to: args.to, ..FrameFilter::default() };
    reader.frames(&filter, &mut |stored| {
        out.row(&[
            Cell::Text(stored.device.as_str()),
            Cell::Time(stored.received_at),
            Cell::Text(match stored.direction {
                Direction::In => "in",
                Direction::Out => "out",
            }),
            Cell::Count(stored.cursor.number()),
            Cell::Bytes(&stored.bytes),
        ])
    })?;
    Ok(())
}

#[cfg(test)]
mod tests;
