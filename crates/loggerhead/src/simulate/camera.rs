//! Cameras that raise alarms, and apps that have them.

mod app;
mod line;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::app::{Course, Plan};
use self::report::Report;
use super::crowd::{self, Crowd, CrowdArgs};
use super::link::{Address, Target};
use super::meters::Meters;
use super::{duration, follow};
use crate::{limits, terminal};

/// How often apps are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Options of `simulate camera`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CameraArgs {
    #[command(flatten)]
    crowd: CrowdArgs,
    /// How many cameras
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    cameras: u32,
    /// How many apps, each with an account of its own and all the cameras
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    apps: u32,
    /// How the apps' accounts are called, with their number behind it
    #[arg(long, value_name = "NAME", default_value = "app-")]
    app_name: String,
    /// Their password: text:...
    #[arg(long, value_name = "SECRET", default_value = super::logger::MD5_KEY)]
    app_secret: String,
    /// How often an app asks for the states of its cameras
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    poll: f64,
}

impl CameraArgs {
    /// Who the cameras are.
    fn who(&self) -> Crowd {
        Crowd {
            protocol: "camera",
            name_key: "camera",
            name: "camera-",
            count: self.cameras,
            meters: Meters::camera(),
            settings: toml::Table::new(),
        }
    }

    /// What the apps have in common.
    fn course(&self) -> anyhow::Result<Course> {
        if self.apps > 0 && matches!(self.crowd.to, Address::Unix(_)) {
            anyhow::bail!("--to {}: apps open data connections, so write HOST:PORT, or --apps 0", self.crowd.to);
        }
        let password = |secret: &str, option: &str| {
            let password = secret.strip_prefix("text:").map(str::to_owned);
            password.with_context(|| format!("{option}: write it as text:..."))
        };
        let who = self.who();
        let name = self.crowd.name.as_deref().unwrap_or(who.name);
        let poll = duration(self.poll, "--poll")?;
        anyhow::ensure!(!poll.is_zero(), "--poll {} is not above 0", self.poll);
        Ok(Course::new(Plan {
            target: Target { address: self.crowd.to.clone(), tls: None, way: self.crowd.way.clone() },
            name: self.app_name.clone(),
            password: password(&self.app_secret, "--app-secret")?,
            cameras: (1..=self.cameras).map(|number| format!("{name}{number}")).collect(),
            camera_password: password(&self.crowd.secret, "--secret")?,
            poll,
            pause: Duration::from_millis(self.crowd.reconnect_ms.into()),
            patience: duration(self.crowd.patience, "--patience")?,
        }))
    }
}

/// Runs the simulation: success when every app has its list and was told of every alarm that was acknowledged.
///
/// # Errors
/// When an option cannot be, or a file or thread cannot be had.
pub(super) async fn run(args: &CameraArgs) -> anyhow::Result<ExitCode> {
    limits::raise_files();
    let patience = duration(args.crowd.patience, "--patience")?;
    let course = Arc::new(args.course()?);
    let mut apps = JoinSet::new();
    for number in 1..=args.apps {
        apps.spawn(app::live(Arc::clone(&course), number));
    }
    let bar = terminal::counter("apps with their list");
    wait_for(patience, || {
        let done = course.done();
        bar.set_position(done.synchronised);
        (done.synchronised + done.bound, done.synchronised == u64::from(args.apps))
    })
    .await;
    bar.finish_and_clear();
    let launch = |patience| crowd::launch(&args.crowd, args.who(), patience);
    let cameras = follow(&args.crowd.course(args.cameras), launch, || format!("  {}", course.progress())).await?;
    let expected = course.done().whole * cameras.packets_acked();
    wait_for(patience, || {
        let alarms = course.done().alarms;
        (alarms, alarms >= expected)
    })
    .await;
    course.stop();
    while let Some(ended) = apps.join_next().await {
        ended.context("a simulated app broke down")?;
    }
    let report = Report::new(cameras, course.done().clone(), args.apps, expected);
    report.print(args.crowd.json)?;
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until `look` says that it is done, or how far it is has not changed for `patience`.
async fn wait_for(patience: Duration, look: impl Fn() -> (u64, bool)) {
    let mut moved = (Instant::now(), None);
    loop {
        let (mark, is_done) = look();
        if moved.1 != Some(mark) {
            moved = (Instant::now(), Some(mark));
        }
        if is_done || moved.0.elapsed() > patience {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
