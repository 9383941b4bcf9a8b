//! What a simulation of apps and cameras ends with, for people and for programs.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use serde::Serialize;

use super::app::Done;
use crate::simulate::Summary;
use crate::simulate::summary::Latency;

/// What became of both.
#[derive(Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    cameras: Summary,
    apps: Apps,
}

/// What became of the apps. Durations are in milliseconds.
#[derive(Serialize)]
struct Apps {
    simulated: u64,
    logged_in: u64,
    logins: u64,
    lists_up: u64,
    lists_down: u64,
    lists_whole: u64,
    cameras_bound: u64,
    data_connections_refused: u64,
    states: BTreeMap<String, u64>,
    changes_told: u64,
    alarms_told: u64,
    alarms_missing: u64,
    login_ms: Latency,
    list_ms: Latency,
    states_ms: Latency,
    alarm_ms: Latency,
    errors: BTreeMap<String, u64>,
}

impl Report {
    /// Of so many apps, which were to be told so many alarms.
    pub(super) fn new(cameras: Summary, done: Done, apps: u32, alarms: u64) -> Self {
        let apps = Apps {
            simulated: apps.into(),
            logged_in: done.apps,
            logins: done.logins,
            lists_up: done.uploads,
            lists_down: done.downloads,
            lists_whole: done.whole,
            cameras_bound: done.bound,
            data_connections_refused: done.doors_refused,
            states: done.states,
            changes_told: done.changes,
            alarms_told: done.alarms,
            alarms_missing: alarms.saturating_sub(done.alarms),
            login_ms: Latency::from(&done.login),
            list_ms: Latency::from(&done.list),
            states_ms: Latency::from(&done.query),
            alarm_ms: Latency::from(&done.alarm),
            errors: done.errors,
        };
        Self { cameras, apps }
    }

    /// True when every alarm is stored, and every app has its list and was told of each.
    pub(super) fn is_complete(&self) -> bool {
        self.cameras.is_complete() && self.apps.lists_whole == self.apps.simulated && self.apps.alarms_missing == 0
    }

    /// Prints it.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        if json {
            let mut out = io::stdout().lock();
            serde_json::to_writer(&mut out, self)?;
            return writeln!(out);
        }
        self.cameras.print(false)?;
        self.apps.print()
    }
}

impl Apps {
    fn print(&self) -> io::Result<()> {
        if self.simulated == 0 {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "apps      {} of {} logged in, {} logins", self.logged_in, self.simulated, self.logins)?;
        writeln!(
            out,
            "lists     {} up, {} down, {} whole; {} cameras bound; {} times no data connection was free",
            self.lists_up, self.lists_down, self.lists_whole, self.cameras_bound, self.data_connections_refused
        )?;
        let states: Vec<_> = self.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let states = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
        writeln!(out, "states    {states} when asked, {} changes told", self.changes_told)?;
        writeln!(out, "alarms    {} told, {} missing", self.alarms_told, self.alarms_missing)?;
        for (what, times) in
            [("login", &self.login_ms), ("list", &self.list_ms), ("states", &self.states_ms), ("alarm", &self.alarm_ms)]
        {
            let Latency { p50, p99, p999, max } = times;
            writeln!(out, "{what:<9} p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, max {max:.2} ms")?;
        }
        for (error, count) in &self.errors {
            writeln!(out, "error     {count} x {error}")?;
        }
        if self.lists_whole < self.simulated {
            let advice = "not every app has its list: the head-end has to know the accounts and the cameras by these \
                          passwords, and a camera takes accounts_per_camera_max accounts";
            writeln!(out, "advice    {advice}")?;
        }
        Ok(())
    }
}
