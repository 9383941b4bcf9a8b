//! What `demo` shows: a row for every device, and the sum of all.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use loggerhead_headend::DeviceStatus;
use loggerhead_model::{DeviceId, Presence};
use loggerhead_store::ReadingFilter;
use serde::Serialize;

use crate::simulate::Tally;

/// Rows drawn on a terminal; the rest is counted.
const ROWS_MAX: usize = 30;
/// Moves the cursor to the top left corner and clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Last values by device.
pub(super) type Values = HashMap<DeviceId, String>;

/// The channel whose last value stands for its device.
pub(super) fn first_channel() -> ReadingFilter {
    ReadingFilter { meter: Some("1".to_owned()), function: Some("1".to_owned()), ..ReadingFilter::default() }
}

/// What is shown of a device.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    device: DeviceId,
    dialect: String,
    presence: Presence,
    readings: u64,
    readings_per_second: f64,
    last_value: String,
}

impl Row {
    /// The row of `device`, whose first channel showed `last_value`.
    pub(super) fn new(device: DeviceStatus, last_value: String) -> Self {
        Self {
            dialect: device.learnt.get("dialect").cloned().unwrap_or_default(),
            device: device.id,
            presence: device.evidence.presence,
            readings: device.counters.readings,
            readings_per_second: 0.0,
            last_value,
        }
    }
}

/// All of it, as it was last.
#[derive(Default, Serialize)]
pub(super) struct Table {
    elapsed_s: f64,
    devices: Vec<Row>,
    connected: usize,
    readings_acked: u64,
    readings_per_second: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    errors: u64,
}

impl Table {
    /// Takes what is now, and finds the rates since the last time.
    pub(super) fn update(&mut self, elapsed: Duration, mut rows: Vec<Row>, tally: &Tally) {
        let seconds = elapsed.as_secs_f64() - self.elapsed_s;
        let before: HashMap<&DeviceId, u64> = self.devices.iter().map(|row| (&row.device, row.readings)).collect();
        for row in &mut rows {
            row.readings_per_second = rate(before.get(&row.device).copied().unwrap_or(0), row.readings, seconds);
        }
        self.readings_per_second = rate(self.readings_acked, tally.readings_acked, seconds);
        self.elapsed_s = elapsed.as_secs_f64();
        let connected = |row: &&Row| matches!(row.presence, Presence::ConnectedFresh | Presence::ConnectedSilent);
        self.connected = rows.iter().filter(connected).count();
        self.devices = rows;
        self.readings_acked = tally.readings_acked;
        self.ack_p50_ms = tally.latency.percentile(500).as_secs_f64() * 1000.0;
        self.ack_p99_ms = tally.latency.percentile(990).as_secs_f64() * 1000.0;
        self.errors = tally.errors.values().sum();
    }

    /// Prints it as one line of JSON.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn print_json(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        writeln!(out)
    }

    /// Prints the sum as one line.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn print_line(&self) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{}", self.sum())
    }

    /// Draws it over what the terminal showed before, and `introduction` below.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn draw(&self, introduction: &str) -> io::Result<()> {
        let mut text = format!("{CLEAR}{}\n\n", self.sum());
        let _ = writeln!(
            text,
            "{:<24} {:<10} {:<17} {:>10} {:>11} {:>16}",
            "DEVICE", "DIALECT", "PRESENCE", "READINGS", "READINGS/S", "LAST (1/1, kWh)"
        );
        for row in self.devices.iter().take(ROWS_MAX) {
            let _ = writeln!(
                text,
                "{:<24} {:<10} {:<17} {:>10} {:>11.1} {:>16}",
                row.device.as_str(),
                row.dialect,
                row.presence.word(),
                row.readings,
                row.readings_per_second,
                row.last_value
            );
        }
        if let Some(more) = self.devices.len().checked_sub(ROWS_MAX + 1) {
            let _ = writeln!(text, "and {} more", more + 1);
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{text}\n{introduction}")?;
        out.flush()
    }

    fn sum(&self) -> String {
        format!(
            "{:.0} s: {} of {} devices connected, {} readings stored and acknowledged, {:.0} a second, ack p50 {:.1} ms, p99 {:.1} ms, {} errors",
            self.elapsed_s,
            self.connected,
            self.devices.len(),
            self.readings_acked,
            self.readings_per_second,
            self.ack_p50_ms,
            self.ack_p99_ms,
            self.errors
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(before: u64, now: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { now.saturating_sub(before) as f64 / seconds } else { 0.0 }
}
