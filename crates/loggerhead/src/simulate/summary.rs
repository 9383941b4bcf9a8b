//! What a simulation ends with, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

use super::histogram::Histogram;
use super::tally::Tally;

/// The result of a simulation. Durations are in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    devices: u64,
    devices_logged_in: u64,
    connections: u64,
    logins: u64,
    packets_planned: Option<u64>,
    packets_sent: u64,
    packets_acked: u64,
    packets_unacknowledged: u64,
    readings_acked: u64,
    seconds: f64,
    packets_per_second: f64,
    readings_per_second: f64,
    bytes_sent: u64,
    bytes_received: u64,
    ack_ms: Latency,
    errors: BTreeMap<String, u64>,
    #[serde(skip)]
    proof: &'static str,
}

/// How long things took, in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl From<&Histogram> for Latency {
    fn from(histogram: &Histogram) -> Self {
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        Self {
            p50: ms(histogram.percentile(500)),
            p99: ms(histogram.percentile(990)),
            p999: ms(histogram.percentile(999)),
            max: ms(histogram.max()),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, p999, max } = self;
        write!(formatter, "{p50:.3} ms (p50), {p99:.3} ms (p99), {p999:.3} ms (p99.9), {max:.3} ms (max)")
    }
}

impl Summary {
    /// The result that `tally` makes of `devices` devices with so many packets each; `proof` says what lets them in.
    pub(crate) fn new(tally: &Tally, devices: u64, packets: Option<u64>, backlog: u64, proof: &'static str) -> Self {
        let busy = tally.last_acked.saturating_sub(tally.first_offered.unwrap_or_default());
        let planned = packets.map(|packets| (packets + backlog) * devices);
        let due = planned.unwrap_or(tally.packets).max(tally.packets);
        Self {
            devices,
            devices_logged_in: tally.devices,
            connections: tally.connections,
            logins: tally.logins,
            packets_planned: planned,
            packets_sent: tally.packets,
            packets_acked: tally.packets_acked,
            packets_unacknowledged: due.saturating_sub(tally.packets_acked),
            readings_acked: tally.readings_acked,
            seconds: busy.as_secs_f64(),
            packets_per_second: per_second(tally.packets_acked, busy),
            readings_per_second: per_second(tally.readings_acked, busy),
            bytes_sent: tally.bytes_sent,
            bytes_received: tally.bytes_received,
            ack_ms: Latency::from(&tally.latency),
            errors: tally.errors.iter().map(|(kind, count)| (kind.to_string(), *count)).collect(),
            proof,
        }
    }

    /// Packets that the head-end acknowledged.
    pub(crate) fn packets_acked(&self) -> u64 {
        self.packets_acked
    }

    /// True when every device was let in and everything that was to be sent was acknowledged.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_settled() && self.devices_logged_in == self.devices
    }

    /// True when nothing that was sent is left without its acknowledgement.
    pub(crate) fn is_settled(&self) -> bool {
        self.packets_unacknowledged == 0
    }

    /// What somebody should look at when devices were not let in.
    fn advice(&self) -> Option<String> {
        if self.connections == 0 {
            return Some("no connection stood: is a head-end running there? `loggerhead serve` starts one".to_owned());
        }
        (self.devices_logged_in < self.devices).then(|| {
            let proof = self.proof;
            format!(
                "not all were let in, and the head-end's log says why: it has to know them or enrol them, and {proof}; \
                 see `loggerhead device add --help`"
            )
        })
    }

    /// Prints it.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            serde_json::to_writer(&mut out, self)?;
            return writeln!(out);
        }
        writeln!(
            out,
            "devices   {} of {} logged in, {} connections",
            self.devices_logged_in, self.devices, self.connections
        )?;
        writeln!(
            out,
            "packets   {} sent, {} acknowledged, {} not",
            self.packets_sent, self.packets_acked, self.packets_unacknowledged
        )?;
        writeln!(
            out,
            "readings  {} acknowledged in {:.2} s: {:.0} readings/s, {:.0} packets/s",
            self.readings_acked, self.seconds, self.readings_per_second, self.packets_per_second
        )?;
        let Latency { p50, p99, p999, max } = self.ack_ms;
        writeln!(out, "ack       p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, max {max:.2} ms")?;
        for (kind, count) in &self.errors {
            writeln!(out, "error     {count} x {kind}")?;
        }
        match self.advice() {
            Some(advice) => writeln!(out, "advice    {advice}"),
            None => Ok(()),
        }
    }
}

/// A line for a terminal.
pub(crate) fn progress(tally: &Tally, elapsed: Duration) -> String {
    format!(
        "{} s  {} connected  {} packets sent, {} acknowledged  {:.0} readings/s  ack p99 {:.1} ms  {} errors",
        elapsed.as_secs(),
        tally.connected,
        tally.packets,
        tally.packets_acked,
        per_second(tally.readings_acked, elapsed),
        tally.latency.percentile(990).as_secs_f64() * 1000.0,
        tally.errors.values().sum::<u64>()
    )
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, span: Duration) -> f64 {
    if span.is_zero() { 0.0 } else { count as f64 / span.as_secs_f64() }
}
