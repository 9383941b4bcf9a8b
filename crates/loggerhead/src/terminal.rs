//! What is shown to people only: progress bars and colours, never in a pipe.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use loggerhead_store::Progress;

/// How often a bar is drawn at most.
const DRAWS_A_SECOND_MAX: u8 = 10;

/// A bar over bytes on a terminal; nothing elsewhere.
pub(crate) fn byte_bar(what: &'static str) -> ProgressBar {
    bar(what, "{msg} [{wide_bar}] {bytes}/{total_bytes} {eta}")
}

/// A running count on a terminal; nothing elsewhere.
pub(crate) fn counter(what: &'static str) -> ProgressBar {
    let counter = bar(what, "{spinner} {msg}: {human_pos} ({per_sec})");
    counter.enable_steady_tick(Duration::from_millis(200));
    counter
}

fn bar(what: &'static str, template: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(DRAWS_A_SECOND_MAX)
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template(template).expect("the template is one of ours");
    ProgressBar::with_draw_target(None, target).with_style(style).with_message(what)
}

/// Moves a bar.
pub(crate) fn advance(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

/// Prints a line to standard output.
///
/// # Errors
/// What the system says, such as a pipe that nobody reads any more.
pub(crate) fn say(line: impl std::fmt::Display) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

/// Prints a value as JSON over several lines.
///
/// # Errors
/// As `say`.
pub(crate) fn say_json(value: &impl serde::Serialize) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

/// Whether standard output may be coloured.
pub(crate) fn has_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
