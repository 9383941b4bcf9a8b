//! `command`: asks something of a device through the running server, and shows what becomes of it.

use std::process::ExitCode;
use std::time::Duration;

use loggerhead_model::Timestamp;
use loggerhead_web::api::{Command, CommandList, Device, NewCommand, Time};

use crate::client::{Client, encoded};
use crate::exit::{Exit, Failure};
use crate::server::ServerArgs;
use crate::terminal::{say, say_json};

/// How long the end of a command is waited for unless said otherwise: a device that is there answers within seconds.
const WAIT_S_DEFAULT: u64 = 30;
/// Earlier commands that are shown: what fits on a few screens.
const LISTED_MAX: usize = 100;
/// The state of a command is asked for after this time, then after twice of it, and so on: many devices answer at once.
const ASK_FIRST: Duration = Duration::from_millis(20);
/// Longest time between two questions: people wait for the answer.
const ASK_EVERY_MAX: Duration = Duration::from_secs(1);

/// Options of `command`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  loggerhead command tower-1 period 15
  loggerhead command tower-1 query --from 2026-01-01 --to 2026-01-02 --wait 60
  loggerhead command tower-1 list
A command waits for a device that is not connected. Its state is accepted, then sent, then one of answered,
failed (the detail says why) and expired (the device did not come, or did not answer).
Ends with 1 when the command failed, expired, or is still open when --wait is over.")]
pub(crate) struct CommandArgs {
    /// Our name for the device
    device: String,
    #[command(subcommand)]
    order: OrderVerb,
    #[command(flatten)]
    server: ServerArgs,
    /// Wait so many seconds for the command to end; 0 only hands it over
    #[arg(long, value_name = "SECONDS", global = true, default_value_t = WAIT_S_DEFAULT)]
    wait: u64,
    /// Print the command as JSON
    #[arg(long, global = true)]
    json: bool,
}

/// What to ask.
#[derive(Debug, clap::Subcommand)]
enum OrderVerb {
    /// Report every so many minutes
    #[command(after_help = "Example: loggerhead command tower-1 period 15")]
    Period {
        /// 1 to 9999
        #[arg(value_parser = clap::value_parser!(u32).range(1..=9999))]
        minutes: u32,
    },
    /// Send current readings, or those of a span
    #[command(after_help = "\
Examples:
  loggerhead command tower-1 query
  loggerhead command tower-1 query --from 2026-01-31T00:00:00+08:00 --to 2026-01-31T12:00:00+08:00
What comes is stored as other readings are, with the origin `queried`.")]
    Query {
        /// First moment of the span
        #[arg(long, value_name = "TIME", value_parser = Timestamp::parse, requires = "to")]
        from: Option<Timestamp>,
        /// Last moment of the span
        #[arg(long, value_name = "TIME", value_parser = Timestamp::parse, requires = "from")]
        to: Option<Timestamp>,
    },
    /// Describe yourself: network, meters, their functions
    #[command(after_help = "Example: loggerhead command tower-1 describe")]
    Describe,
    /// Ask nothing; say what became of earlier commands
    #[command(after_help = "Example: loggerhead command tower-1 list --json")]
    List,
}

/// Runs the verb: success when the command was taken, and with `--wait`, when it was answered.
///
/// # Errors
/// `Unreachable` without a server, `NotFound` for an unknown device, otherwise what the server finds wrong.
pub(crate) async fn run(args: &CommandArgs) -> anyhow::Result<ExitCode> {
    let client = args.server.client()?;
    let order = match args.order {
        OrderVerb::Period { minutes } => NewCommand::Period { minutes },
        OrderVerb::Query { from, to } => NewCommand::Query { from: from.map(Time), to: to.map(Time) },
        OrderVerb::Describe => NewCommand::Describe,
        OrderVerb::List => return list(&client, args).await,
    };
    let device = format!("/api/v1/devices/{}", encoded(&args.device));
    let mut command: Command = client.post(&format!("{device}/commands"), &order).await?;
    if args.wait > 0 {
        command = followed(&client, command, Duration::from_secs(args.wait), args.json).await?;
    }
    if args.json {
        say_json(&command)?;
    } else {
        say(line(&command))?;
    }
    if is_open(&command) && args.wait > 0 {
        let device: Device = client.get(&device).await?;
        let reason = if device.presence.peer.is_some() { "has not answered yet" } else { "is not connected" };
        let text = format!("{} {reason}; `loggerhead command {0} list` says what becomes of it", args.device);
        return Err(Failure::new(Exit::Failed, text).into());
    }
    let well = command.state == "answered" || is_open(&command);
    Ok(if well { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

/// Shows what became of a device's commands, the newest first.
async fn list(client: &Client, args: &CommandArgs) -> anyhow::Result<ExitCode> {
    let _: Device = client.get(&format!("/api/v1/devices/{}", encoded(&args.device))).await?;
    let path = format!("/api/v1/commands?device={}&limit={LISTED_MAX}", encoded(&args.device));
    let list: CommandList = client.get(&path).await?;
    if args.json {
        say_json(&list.commands)?;
    } else if list.commands.is_empty() {
        say(format_args!("{} was asked nothing yet", args.device))?;
    }
    for command in list.commands.iter().filter(|_| !args.json) {
        say(line(command))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks until the command has ended or the time is over, and prints each state on the way.
async fn followed(client: &Client, mut command: Command, within: Duration, quiet: bool) -> anyhow::Result<Command> {
    let path = format!("/api/v1/commands/{}", command.id);
    if is_open(&command) && !quiet {
        say(line(&command))?;
    }
    let following = async {
        let mut pause = ASK_FIRST;
        while is_open(&command) {
            tokio::time::sleep(pause).await;
            pause = ASK_EVERY_MAX.min(pause * 2);
            let now: Command = client.get(&path).await?;
            if now.state != command.state && is_open(&now) && !quiet {
                say(line(&now))?;
            }
            command = now;
        }
        anyhow::Ok(())
    };
    // A command that is still open when the time is over is shown as it is.
    if let Ok(ended) = tokio::time::timeout(within, following).await {
        ended?;
    }
    Ok(command)
}

fn is_open(command: &Command) -> bool {
    matches!(command.state.as_str(), "accepted" | "sent")
}

fn line(command: &Command) -> String {
    let detail = command.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{}  command {} to {}: {}{detail}", command.changed_at, command.id, command.device, command.state)
}
