//! `serve`: the head-end, until it is told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use loggerhead_headend::config::{Config, Enroll, Loaded, Problem};
use loggerhead_headend::tls::{Certificate, Files};
use loggerhead_headend::{HeadEnd, StartError};
use loggerhead_web::{Server, Settings, Token, Transport, Waits, Web};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::configuration::ConfigurationArgs;
use crate::exit::{Exit, Failure};
use crate::logging::Level;
use crate::{limits, logging, terminal};

/// Pings of systemd's watchdog per its period: one may be lost.
const PINGS_A_PERIOD: u32 = 2;
/// How often health is looked at where no watchdog asks.
const REVIEW_EVERY: Duration = Duration::from_secs(5);
/// Of the time to stop, what the API has for its last answers.
const API_WITHIN: Duration = Duration::from_secs(2);

/// Keys and tables that take effect at the start only: what they change is open or under way all the time.
const FIXED: [&str; 5] = ["data_dir", "command_s", "log.format", "store", "web"];

/// Options of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  loggerhead serve --data ./data
  loggerhead serve --config /etc/loggerhead/loggerhead.toml --set log.format=json
Signals: SIGTERM and SIGINT stop in good order (a second one at once), SIGHUP reads the configuration again.
`loggerhead check` says what a configuration does; `loggerhead check --example` prints one.")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    configuration: ConfigurationArgs,
}

/// Runs the verb: success when the server stopped in good order.
///
/// # Errors
/// When the configuration is wrong, or a listener or the store cannot be opened.
pub(crate) async fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.configuration.load();
    let fixed = fixed(&loaded);
    let (mut config, warnings) = usable(loaded)?;
    let level = logging::start(&config.log)?;
    log_warnings(&warnings);
    limits::raise_files();
    let mut signals = Signals::catch()?;
    let head_end = HeadEnd::start(config.clone()).await.map_err(start_failure)?;
    // From here on the head-end knows them; another list of ten thousand would only take memory.
    config.devices = Vec::new();
    let api = start_api(&head_end, &config).await?;
    say_what_next(&head_end, &api, &config);
    tell_systemd(&[NotifyState::Ready, NotifyState::Status("serving")]);
    tracing::info!("ready");

    let mut running = Running { head_end, config, fixed, level, api: &api, arguments: &args.configuration };
    running.until_told(&mut signals).await;

    tracing::info!(within_s = running.config.stop_within.as_secs(), "stopping");
    tell_systemd(&[NotifyState::Stopping]);
    let within = running.config.stop_within;
    let stop = async {
        api.shutdown(API_WITHIN.min(within / 2)).await;
        running.head_end.shutdown(within.saturating_sub(API_WITHIN)).await;
    };
    tokio::select! {
        stopped = tokio::time::timeout(within, stop) => if stopped.is_err() {
            tracing::error!("not everything ended in time; what was acknowledged is stored");
            // Without the ends of what is still open: the store's would wait for its disk.
            std::process::exit(Exit::Failed as i32);
        },
        () = signals.stop() => {
            tracing::warn!("told to stop again: stopping at once; what was acknowledged is stored");
            std::process::exit(Exit::Failed as i32);
        }
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// What goes on while the server serves.
struct Running<'a> {
    head_end: HeadEnd,
    config: Config,
    /// What takes effect at the start only, as it was then.
    fixed: BTreeMap<String, String>,
    level: Level,
    api: &'a Server,
    arguments: &'a ConfigurationArgs,
}

impl Running<'_> {
    /// Watches over health and reloads, until a signal says stop.
    async fn until_told(&mut self, signals: &mut Signals) {
        let every = sd_notify::watchdog_enabled().map_or(REVIEW_EVERY, |period| period / PINGS_A_PERIOD);
        let mut review = tokio::time::interval(every);
        review.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_ready = true;
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Told::Stop => return,
                    Told::Reload => self.reload().await,
                },
                _ = review.tick() => was_ready = self.review(was_ready),
            }
        }
    }

    /// Pings the watchdog while the process does its work, and tells when readiness changes.
    fn review(&self, was_ready: bool) -> bool {
        let health = self.head_end.health();
        if health.live {
            tell_systemd(&[NotifyState::Watchdog]);
        }
        if health.ready != was_ready {
            let reasons = health.reasons.join("; ");
            let status = if health.ready { "serving".to_owned() } else { format!("not ready: {reasons}") };
            tell_systemd(&[NotifyState::Status(&status)]);
            if health.ready {
                tracing::info!("ready again");
            } else {
                tracing::error!(reasons, "not ready");
            }
        }
        health.ready
    }

    async fn reload(&mut self) {
        tracing::info!("reading the configuration again");
        let now = NotifyState::monotonic_usec_now();
        if let Ok(now) = now {
            tell_systemd(&[NotifyState::Reloading, now]);
        }
        match self.try_reload().await {
            Ok(()) => {}
            Err(error) => tracing::error!("the configuration stays as it was: {error:#}"),
        }
        tell_systemd(&[NotifyState::Ready]);
    }

    async fn try_reload(&mut self) -> anyhow::Result<()> {
        let loaded = self.arguments.load();
        let fixed = fixed(&loaded);
        let (config, warnings) = usable(loaded)?;
        log_warnings(&warnings);
        let report = self.head_end.reload(config.clone()).await?;
        self.api.reload_certificate();
        self.level.set(&config.log.level)?;
        let keys: BTreeSet<&String> = fixed.keys().chain(self.fixed.keys()).collect();
        for key in keys.into_iter().filter(|key| fixed.get(*key) != self.fixed.get(*key)) {
            tracing::warn!(key, "takes effect at the next start only");
        }
        tracing::info!(
            listeners_opened = ?report.listeners_opened,
            listeners_closed = ?report.listeners_closed,
            listeners_changed = ?report.listeners_changed,
            devices_added = report.devices_added.len(),
            devices_changed = report.devices_changed.len(),
            devices_removed = report.devices_removed.len(),
            "reloaded"
        );
        self.config.stop_within = config.stop_within;
        self.config.listeners = config.listeners;
        Ok(())
    }
}

/// What takes effect at the start only, and is read again for nothing.
fn fixed(loaded: &Loaded) -> BTreeMap<String, String> {
    let is_fixed = |key: &str| FIXED.iter().any(|fixed| key == *fixed || key.starts_with(&format!("{fixed}.")));
    let settings = loaded.settings.iter().filter(|setting| is_fixed(&setting.key));
    settings.map(|setting| (setting.key.clone(), setting.value.clone())).collect()
}

fn usable(loaded: Loaded) -> anyhow::Result<(Config, Vec<Problem>)> {
    loaded.usable().map_err(|problems| Failure::new(Exit::Usage, problems.to_string()).into())
}

/// What a signal means.
enum Told {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// A file may not grow further. Without somebody who waits for it, this signal ends the process; with one, the write
    /// fails like any other.
    _file_size: Signal,
}

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("signals cannot be caught");
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hang_up: catch(SignalKind::hangup())?,
            _file_size: catch(SignalKind::from_raw(nix::sys::signal::Signal::SIGXFSZ as i32))?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }

    async fn stop(&mut self) {
        while matches!(self.next().await, Told::Reload) {}
    }
}

async fn start_api(head_end: &HeadEnd, config: &Config) -> anyhow::Result<Server> {
    let socket = config.api_socket();
    let settings = Settings { socket: socket.clone(), web: web(config)?, waits: Waits::default() };
    let server = Server::start(head_end.clone(), settings).await.context("the API")?;
    tracing::info!(address = %format_args!("unix:{}", socket.display()), "api");
    for address in server.addresses() {
        tracing::info!(%address, "api");
    }
    Ok(server)
}

/// Where the console is served, and how.
fn web(config: &Config) -> anyhow::Result<Option<Web>> {
    let web = &config.web;
    if web.addresses.is_empty() {
        return Ok(None);
    }
    let wrong = |text: String| Failure::new(Exit::Usage, text);
    let token = web.token_file.as_deref().map(Token::read).transpose();
    let token = token.map_err(|error| wrong(format!("web.token_file: {error}")))?;
    let transport = match &web.tls {
        Some(tls) => {
            let files = Files { certificate: tls.certificate.clone(), key: tls.key.clone(), clients: None };
            Transport::Tls(Certificate::load(files).map_err(|error| wrong(format!("web.tls: {error}")))?)
        }
        None if web.behind_proxy => Transport::Proxy,
        None => Transport::Plain,
    };
    Ok(Some(Web { addresses: web.addresses.clone(), transport, token }))
}

/// Tells somebody who starts for the first time what to do.
fn say_what_next(head_end: &HeadEnd, api: &Server, config: &Config) {
    if let Some(link) = api.setup_link() {
        // On the terminal and not in the log, which others may read: whoever opens it first is the administrator.
        let said = terminal::say(format_args!("nobody has an account yet; make the first one here, once: {link}"));
        if let Err(error) = said {
            tracing::warn!(%error, "the link to the first account could not be printed; `loggerhead user add` makes one");
        }
    }
    let nobody = config.listeners.iter().all(|listener| listener.enroll == Enroll::Refuse);
    if nobody && head_end.devices().is_empty() {
        let command = format!(
            "loggerhead device add BUILDING/GATEWAY --secret text:SECRET --set aes_key=text:KEY --data {}",
            config.data_dir.display()
        );
        tracing::info!(command, "no device may log in yet; add one with this command, or in the configuration");
    }
}

fn start_failure(error: StartError) -> anyhow::Error {
    match error {
        StartError::Protocol { .. }
        | StartError::Settings { .. }
        | StartError::Twice { .. }
        | StartError::Key { .. }
        | StartError::Tls { .. } => Failure::new(Exit::Usage, error.to_string()).into(),
        StartError::Listen { .. } | StartError::Thread { .. } | StartError::Files(_) | StartError::Store(_) => {
            error.into()
        }
    }
}

fn log_warnings(warnings: &[Problem]) {
    for warning in warnings {
        tracing::warn!(place = %warning.place, key = warning.key, "{}", warning.text);
    }
}

/// Tells systemd, where it started this process.
fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not told");
    }
}
