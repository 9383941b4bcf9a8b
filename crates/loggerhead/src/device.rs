//! `device`: who may log in, and whether they are there; asked of the running server, or of the store where none runs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use loggerhead_store::{DeviceSource, DeviceState, Login};
use loggerhead_web::api::{Device, DeviceList, NewDevice, Time};

use crate::brief;
use crate::client::{Client, ClientError, encoded};
use crate::exit::{Exit, Failure};
use crate::server::ServerArgs;
use crate::terminal::{say, say_json};

/// Devices asked for at a time.
const PAGE: usize = 1000;
/// Longest secret in a file: a file that is longer is not meant to be one.
const SECRET_BYTES_MAX: u64 = 4096;

/// What to do with devices.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum DeviceVerb {
    /// Let a device in from now on
    #[command(after_help = "\
Examples:
  loggerhead device add 330302D110/01 --id tower-1 --secret text:SECRET --set aes_key=text:0000000000123456
  loggerhead device add 330302D110/02 --login cipher --set aes_key=text:0000000000123456 --set dialect=bare")]
    Add(AddArgs),
    /// Say who is known and who is there
    #[command(after_help = "Example: loggerhead device list --json")]
    List(ListArgs),
    /// Say everything about one device
    #[command(after_help = "Example: loggerhead device show tower-1")]
    Show(NameArgs),
    /// Let a pending device in
    #[command(after_help = "Example: loggerhead device accept 330302D110-01")]
    Accept(NameArgs),
    /// Forget a device and end its connection; its readings stay
    #[command(after_help = "Example: loggerhead device remove tower-1")]
    Remove(NameArgs),
}

/// Options of `device add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// The device's name for itself; for loggers BUILDING/GATEWAY
    identity: String,
    /// Our name for it [default: made from the identity]
    #[arg(long)]
    id: Option<String>,
    /// The place it belongs to [default: what stands before the first / of the identity]
    #[arg(long)]
    site: Option<String>,
    /// What it speaks
    #[arg(long, default_value = "logger")]
    protocol: String,
    /// With what it proves who it is: text:... or hex:... [default: the secrets of its listener]
    #[arg(long, value_name = "SECRET", conflicts_with = "secret_file")]
    secret: Option<String>,
    /// A file that holds the secret, so that it stands in no history of commands
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// What it has to prove
    #[arg(long, value_enum, default_value = "secret")]
    login: LoginWord,
    /// A setting of the protocol for this device, such as crc=off
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the device as JSON
    #[arg(long)]
    json: bool,
}

/// What a device has to prove.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LoginWord {
    /// That it knows its secret
    Secret,
    /// That it knows its cipher key
    Cipher,
    /// Nothing: its protocol has no proof, and its name is enough
    Name,
    /// That it has the key of a certificate for its name
    Certificate,
}

/// Options of `device list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the devices as JSON
    #[arg(long)]
    json: bool,
}

/// Options of verbs about one device.
#[derive(Debug, clap::Args)]
pub(crate) struct NameArgs {
    /// Our name for the device
    device: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the device as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// `Unreachable` without a server and a store, `NotFound` for an unknown device, otherwise what the server finds wrong.
pub(crate) async fn run(verb: DeviceVerb) -> anyhow::Result<ExitCode> {
    match verb {
        DeviceVerb::Add(args) => add(args).await?,
        DeviceVerb::List(args) => list(&args).await?,
        DeviceVerb::Show(args) => {
            let path = path(&args.device);
            let device: Device = brief::ask_existing(&args.server, async |client| client.get(&path).await).await?;
            show(&device, args.json)?;
        }
        DeviceVerb::Accept(args) => {
            let path = format!("{}/accept", path(&args.device));
            let nothing = serde_json::Map::new();
            let device: Device =
                brief::ask_existing(&args.server, async |client| client.post(&path, &nothing).await).await?;
            show(&device, args.json)?;
        }
        DeviceVerb::Remove(args) => {
            let path = path(&args.device);
            brief::ask_existing(&args.server, async |client| client.delete(&path).await).await?;
            if args.json {
                say_json(&serde_json::json!({ "removed": args.device }))?;
            } else {
                say(format_args!("{} is forgotten; its readings stay", args.device))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(device: &str) -> String {
    format!("/api/v1/devices/{}", encoded(device))
}

async fn add(args: AddArgs) -> anyhow::Result<()> {
    let secret = match (args.secret, args.secret_file) {
        (Some(secret), _) => Some(secret),
        (None, Some(file)) => Some(read_secret(&file)?),
        (None, None) => None,
    };
    let mut settings = serde_json::Map::new();
    for assignment in &args.set {
        let (key, value) = setting(assignment)?;
        settings.insert(key, value);
    }
    let login = Some(match args.login {
        LoginWord::Secret => Login::Secret,
        LoginWord::Cipher => Login::Cipher,
        LoginWord::Name => Login::Name,
        LoginWord::Certificate => Login::Certificate,
    });
    let (id, protocol, identity, site) = (args.id, args.protocol, args.identity, args.site);
    let new = NewDevice { id, protocol, identity, secret, login, settings, site };
    let device: Device = brief::ask(&args.server, async |client| client.post("/api/v1/devices", &new).await).await?;
    show(&device, args.json)
}

fn read_secret(file: &std::path::Path) -> anyhow::Result<String> {
    let name = || file.display().to_string();
    let about = std::fs::metadata(file).with_context(name)?;
    if about.len() > SECRET_BYTES_MAX {
        return Err(Failure::new(Exit::Usage, format!("{}: too long for a secret", name())).into());
    }
    let text = std::fs::read_to_string(file).with_context(name)?;
    let line = text.trim_end_matches(['\r', '\n']);
    let is_written = line.starts_with("text:") || line.starts_with("hex:");
    Ok(if is_written { line.to_owned() } else { format!("text:{line}") })
}

/// `KEY=VALUE`; a value that is a whole number, true or false is one, everything else is text.
fn setting(assignment: &str) -> anyhow::Result<(String, serde_json::Value)> {
    let refused = || Failure::new(Exit::Usage, format!("--set {assignment}: takes KEY=VALUE"));
    let (key, value) = assignment.split_once('=').ok_or_else(refused)?;
    let value = value.trim();
    let typed = serde_json::from_str(value)
        .ok()
        .filter(|typed: &serde_json::Value| typed.is_i64() || typed.is_boolean() || typed.is_array());
    Ok((key.trim().to_owned(), typed.unwrap_or_else(|| value.into())))
}

async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let devices = brief::ask_existing(&args.server, all).await?;
    if args.json {
        say_json(&devices)?;
        return Ok(());
    }
    if devices.is_empty() {
        say("no device is known; `loggerhead device add --help` says how to add one")?;
        return Ok(());
    }
    let width = devices.iter().map(|device| device.id.chars().count()).max().unwrap_or(0).max("DEVICE".len());
    let title = "READINGS SINCE START";
    say(format_args!("{:width$}  {:16}  {:24}  {title}  PEER", "DEVICE", "PRESENCE", "LAST HEARD"))?;
    for device in &devices {
        let presence = &device.presence;
        let pending = device.state == DeviceState::Pending;
        let heard = presence.last_bytes_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        say(format_args!(
            "{:width$}  {:16}  {heard:24}  {:>20}  {}",
            device.id,
            if pending { "pending" } else { presence.state.as_str() },
            device.counters.readings,
            presence.peer.as_deref().unwrap_or("-"),
        ))?;
    }
    Ok(())
}

/// Every device, page by page.
async fn all(client: &Client) -> Result<Vec<Device>, ClientError> {
    let mut devices = Vec::new();
    let mut after = String::new();
    loop {
        let page: DeviceList = client.get(&format!("/api/v1/devices?limit={PAGE}{after}")).await?;
        devices.extend(page.devices);
        match page.next {
            Some(next) => after = format!("&after={}", encoded(&next)),
            None => return Ok(devices),
        }
    }
}

fn show(device: &Device, json: bool) -> anyhow::Result<()> {
    if json {
        say_json(device)?;
        return Ok(());
    }
    let presence = &device.presence;
    let at = |at: Option<Time>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    say(format_args!("device        {}", device.id))?;
    say(format_args!("identity      {} ({})", device.identity, device.protocol))?;
    if let Some(site) = &device.site {
        say(format_args!("site          {site}"))?;
    }
    say(format_args!("state         {}, known from the {}", state(device), source(device)))?;
    let since = presence.since.map_or_else(String::new, |since| format!(" since {since}"));
    say(format_args!("presence      {}{since}", presence.state))?;
    say(format_args!("last bytes    {}", at(presence.last_bytes_at)))?;
    say(format_args!("last reading  {}", at(presence.last_reading_at)))?;
    if let Some(peer) = &presence.peer {
        say(format_args!("peer          {peer}"))?;
    }
    if let Some(reason) = &presence.closed_because {
        say(format_args!("closed        {reason}"))?;
    }
    let counters = &device.counters;
    say(format_args!(
        "since start   {} logins, {} refusals, {} packets, {} readings, {} faults, {} bytes in, {} out",
        counters.logins,
        counters.refusals,
        counters.packets,
        counters.readings,
        counters.faults,
        counters.bytes_in,
        counters.bytes_out
    ))?;
    if counters.dropped > 0 {
        say(format_args!("dropped       {} messages: too many waited for it", counters.dropped))?;
    }
    for (name, finding) in &device.learnt {
        say(format_args!("learnt        {name}: {finding}"))?;
    }
    Ok(())
}

fn state(device: &Device) -> &'static str {
    match device.state {
        DeviceState::Active => "active",
        DeviceState::Pending => "pending",
    }
}

fn source(device: &Device) -> &'static str {
    match device.source {
        DeviceSource::Configuration => "configuration",
        DeviceSource::Operator => "operator",
        DeviceSource::Enrolled => "device itself, which proved a secret of its listener",
    }
}
