//! `command`: asks something of a device through the running server, and shows what becomes of it.

use std::process::ExitCode;
use std::time::Duration;

use loggerhead_model::Timestamp;
use loggerhead_web::api::{Command, NewCommand, Time};

use crate::client::{Client, encoded};
use crate::exit::Exit;
use crate::server::ServerArgs;
use crate::terminal::{say, say_json};

/// How often the state of a command is asked for. People wait; a device takes seconds.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Options of `command`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  loggerhead command tower-1 period 15
  loggerhead command tower-1 query --from 2026-01-01T00:00:00+08:00 --to 2026-01-02T00:00:00+08:00 --wait 60
A command is kept until the device connects. States: accepted, sent, answered, failed, expired.
Ends with 1 when the command failed, expired, or is still open when --wait is over.")]
pub(crate) struct CommandArgs {
    /// Our name for the device
    device: String,
    #[command(subcommand)]
    order: OrderVerb,
    #[command(flatten)]
    server: ServerArgs,
    /// Wait so many seconds for the command to end
    #[arg(long, value_name = "SECONDS", global = true, num_args = 0..=1, default_missing_value = "120")]
    wait: Option<u64>,
    /// Print the command as JSON
    #[arg(long, global = true)]
    json: bool,
}

/// What to ask.
#[derive(Debug, clap::Subcommand)]
enum OrderVerb {
    /// Report every so many minutes
    Period {
        /// 1 to 9999
        #[arg(value_parser = clap::value_parser!(u32).range(1..=9999))]
        minutes: u32,
    },
    /// Send current readings, or those of a span
    Query {
        /// First moment of the span
        #[arg(long, value_name = "TIME", value_parser = Timestamp::parse, requires = "to")]
        from: Option<Timestamp>,
        /// Last moment of the span
        #[arg(long, value_name = "TIME", value_parser = Timestamp::parse, requires = "from")]
        to: Option<Timestamp>,
    },
    /// Describe yourself: network, meters, their functions
    Describe,
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
    };
    let path = format!("/api/v1/devices/{}/commands", encoded(&args.device));
    let mut command: Command = client.post(&path, &order).await?;
    if let Some(seconds) = args.wait {
        command = followed(&client, command, Duration::from_secs(seconds), args.json).await?;
    }
    if args.json {
        say_json(&command)?;
    } else {
        say(line(&command))?;
    }
    let well = command.state == "answered" || (args.wait.is_none() && is_open(&command));
    Ok(if well { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

/// Asks until the command has ended or the time is over, and prints each state on the way.
async fn followed(client: &Client, mut command: Command, within: Duration, quiet: bool) -> anyhow::Result<Command> {
    let path = format!("/api/v1/commands/{}", command.id);
    let following = async {
        while is_open(&command) {
            tokio::time::sleep(ASK_EVERY).await;
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
