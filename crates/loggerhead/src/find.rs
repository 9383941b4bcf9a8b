//! Looks for robots with a variable proxy, on one host or a whole network.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use loggerhead_protocols::varproxy::discovery::{ANSWER_BYTES_MAX, ANSWER_PORT, Found, PORT, QUESTION};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// Robots that are told of: a network has fewer, and who floods the answers finds an end.
const ROBOTS_MAX: usize = 10_000;

/// Options of `find`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: loggerhead find --to 192.0.2.255")]
pub(crate) struct FindArgs {
    /// Whom to ask: the address of a robot, or the broadcast address of a network; more than once for several. Without a port
    /// those are asked on which proxies wait: 6999, and 7000
    #[arg(long, value_name = "ADDRESS", default_value = "255.255.255.255")]
    to: Vec<String>,
    /// Where answers are waited for: proxies answer at port 7000 of who asks
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, ANSWER_PORT)))]
    answers: SocketAddr,
    /// Stop when so many robots have answered
    #[arg(long, default_value_t = ROBOTS_MAX)]
    count: usize,
    /// How long answers are waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Print one JSON object for each robot
    #[arg(long)]
    json: bool,
}

/// Asks, and prints each robot once; success when there is one.
///
/// # Errors
/// When an address is none, or a socket cannot be had.
pub(crate) async fn run(args: &FindArgs) -> anyhow::Result<ExitCode> {
    let within = Duration::try_from_secs_f64(args.seconds).context("--seconds")?;
    let heard = UdpSocket::bind(args.answers).await.with_context(|| format!("--answers {}", args.answers))?;
    let asking = UdpSocket::bind((args.answers.ip(), 0)).await.context("opening a socket")?;
    asking.set_broadcast(true).context("asking a whole network")?;
    for to in args.to.iter().map(|to| addresses(to)).collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten() {
        asking.send_to(QUESTION, to).await.with_context(|| format!("asking {to}"))?;
    }
    let mut found: BTreeMap<IpAddr, Found> = BTreeMap::new();
    let deadline = Instant::now() + within;
    while found.len() < args.count.min(ROBOTS_MAX) {
        let Ok(received) = timeout_at(deadline, either(&heard, &asking)).await else { break };
        // An address at which nobody listens is no robot.
        let Ok((answer, from)) = received else { continue };
        if let Some(robot) = Found::read(&answer)
            && found.insert(from.ip(), robot.clone()).is_none()
        {
            tell(args, from.ip(), &robot)?;
        }
    }
    if found.is_empty() && !args.json {
        writeln!(std::io::stdout(), "no robot answered within {} s", args.seconds)?;
    }
    Ok(if found.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Where to ask: at the port that is named, or at those on which proxies wait.
fn addresses(to: &str) -> anyhow::Result<Vec<SocketAddr>> {
    if let Ok(address) = to.parse::<IpAddr>() {
        return Ok([PORT, ANSWER_PORT].map(|port| SocketAddr::new(address, port)).to_vec());
    }
    let address =
        to.parse().with_context(|| format!("--to {to}: write an address such as 192.0.2.255 or 192.0.2.7:6999"))?;
    Ok(vec![address])
}

/// The next answer at either socket.
async fn either(heard: &UdpSocket, asking: &UdpSocket) -> std::io::Result<(Vec<u8>, SocketAddr)> {
    let (mut first, mut second) = ([0; ANSWER_BYTES_MAX], [0; ANSWER_BYTES_MAX]);
    tokio::select! {
        received = heard.recv_from(&mut first) => received.map(|(count, from)| (first.iter().take(count).copied().collect(), from)),
        received = asking.recv_from(&mut second) => received.map(|(count, from)| (second.iter().take(count).copied().collect(), from)),
    }
}

fn tell(args: &FindArgs, address: IpAddr, robot: &Found) -> std::io::Result<()> {
    let Found { model, serial, more } = robot;
    let mut out = std::io::stdout();
    if args.json {
        return writeln!(out, "{}", json!({"address": address, "model": model, "serial": serial, "more": more}));
    }
    writeln!(out, "{address}  {model}  {serial}  {more}")
}
