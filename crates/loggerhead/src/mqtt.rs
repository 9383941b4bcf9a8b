//! `mqtt`: publish to a broker, and see what it passes on, by hand.

mod held;
mod talk;

use std::fmt::Write as _;
use std::io::BufRead as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use loggerhead_protocols::mqtt::message::{Options, Packet, Publish, Qos, Subscribe};
use loggerhead_protocols::mqtt::properties::Properties;
use loggerhead_protocols::mqtt::reason::Reason;
use loggerhead_protocols::mqtt::topic;
use serde_json::json;
use tokio::time::Instant;

pub(crate) use self::talk::{Access, Dial, Talk, Turned};

use crate::exit::{Exit, Failure};
use crate::terminal;

/// Longest silence that the broker is told to expect of a subscriber.
const KEEP_ALIVE_S: u16 = 60;
/// How often it says something at least.
const PING_EVERY: Duration = Duration::from_secs(30);

/// What to do with a broker.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum MqttVerb {
    /// Publish a message, or every line of standard input
    #[command(
        name = "pub",
        after_help = "Example: loggerhead mqtt pub plant/boiler on --qos 1 --user admin --password-file secret.txt"
    )]
    Publish(PublishArgs),
    /// Print what is published
    #[command(
        name = "sub",
        after_help = "Example: loggerhead mqtt sub 'loggerhead/+/alarms' --user admin --password-file secret.txt --json"
    )]
    Subscribe(SubscribeArgs),
}

/// Options of `mqtt pub`.
#[derive(Debug, clap::Args)]
pub(crate) struct PublishArgs {
    /// Where to publish
    topic: String,
    /// What to publish; without it, each line of standard input
    message: Option<String>,
    /// How surely: 0, 1 or 2
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Keep it for later subscribers
    #[arg(long)]
    retain: bool,
    /// Client identifier [default: one that the broker gives]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    client_id: String,
    #[command(flatten)]
    access: Access,
}

/// Options of `mqtt sub`.
#[derive(Debug, clap::Args)]
pub(crate) struct SubscribeArgs {
    /// What to hear: topic filters
    #[arg(required = true)]
    filters: Vec<String>,
    /// How surely at most: 0, 1 or 2
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// End after so many messages
    #[arg(long, value_name = "MESSAGES")]
    count: Option<u64>,
    /// Client identifier [default: one that the broker gives]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    client_id: String,
    /// Print each message as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

/// Runs the verb.
///
/// # Errors
/// When there is no broker, or it refuses something.
pub(crate) async fn run(verb: MqttVerb) -> anyhow::Result<ExitCode> {
    match verb {
        MqttVerb::Publish(args) => publish(&args).await?,
        MqttVerb::Subscribe(args) => subscribe(&args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The QoS of that number, which the command line has looked at.
pub(crate) fn qos(number: u8) -> Qos {
    match number {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}

async fn publish(args: &PublishArgs) -> anyhow::Result<()> {
    topic::check_name(&args.topic).map_err(|fault| Failure::new(Exit::Usage, fault.to_string()))?;
    let mut talk = Talk::enter(&args.access.dial()?, &args.client_id, 0).await?;
    match &args.message {
        Some(message) => send(&mut talk, args, message).await?,
        None => {
            for line in std::io::stdin().lock().lines() {
                send(&mut talk, args, &line.context("reading standard input")?).await?;
            }
        }
    }
    Ok(talk.leave().await?)
}

/// Publishes one message and waits until the broker has it.
async fn send(talk: &mut Talk, args: &PublishArgs, message: &str) -> anyhow::Result<()> {
    let qos = qos(args.qos);
    let id = u16::from(qos > Qos::AtMostOnce);
    let (retain, topic, payload) = (args.retain, args.topic.as_str(), message.as_bytes());
    talk.publish(&Publish { dup: false, qos, retain, topic, id, properties: Properties::NONE, payload })?;
    while talk.unsent() > 0 {
        talk.turn(None).await?;
    }
    if qos == Qos::AtMostOnce {
        return Ok(());
    }
    accepted(acknowledged(talk).await?)?;
    if qos == Qos::ExactlyOnce {
        talk.ack(Packet::PubRel, id);
        accepted(acknowledged(talk).await?)?;
    }
    Ok(())
}

async fn acknowledged(talk: &mut Talk) -> anyhow::Result<Reason> {
    talk.hear(|packet| match packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => Some(ack.reason),
        Packet::Connect(_)
        | Packet::ConnAck(_)
        | Packet::Publish(_)
        | Packet::PubRel(_)
        | Packet::Subscribe(_)
        | Packet::SubAck(_)
        | Packet::Unsubscribe(_)
        | Packet::UnsubAck(_)
        | Packet::PingReq
        | Packet::PingResp
        | Packet::Disconnect(_)
        | Packet::Auth(_) => None,
    })
    .await
}

fn accepted(reason: Reason) -> anyhow::Result<()> {
    anyhow::ensure!(!reason.is_failure(), "the broker refuses the message: {reason}");
    Ok(())
}

async fn subscribe(args: &SubscribeArgs) -> anyhow::Result<()> {
    for filter in &args.filters {
        topic::check_filter(filter).map_err(|fault| Failure::new(Exit::Usage, fault.to_string()))?;
    }
    let mut talk = Talk::enter(&args.access.dial()?, &args.client_id, KEEP_ALIVE_S).await?;
    talk.subscribe(&args.filters, qos(args.qos)).await?;
    let keep_alive = Duration::from_secs(talk.granted.keep_alive_s.into());
    let ping_every = if keep_alive.is_zero() { PING_EVERY } else { PING_EVERY.min(keep_alive / 2) };
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        match talk.message(|publish| print(publish, args.json))? {
            Some(printed) => {
                printed?;
                left -= 1;
            }
            None => {
                if talk.turn(Some(Instant::now() + ping_every)).await? == Turned::Late {
                    talk.say(&Packet::PingReq);
                }
            }
        }
    }
    Ok(talk.leave().await?)
}

fn print(publish: &Publish<'_>, as_json: bool) -> std::io::Result<()> {
    let text = std::str::from_utf8(publish.payload).ok();
    let (key, value) = match text {
        Some(text) => ("text", text.to_owned()),
        None => ("hex", hex(publish.payload)),
    };
    if !as_json {
        return terminal::say(format_args!("{} {value}", publish.topic));
    }
    let Publish { topic, retain, qos, .. } = *publish;
    terminal::say(json!({ "topic": topic, "qos": qos as u8, "retain": retain, (key): value }))
}

/// A message that is no text.
fn hex(payload: &[u8]) -> String {
    let mut text = String::with_capacity(payload.len() * 2);
    for byte in payload {
        write!(text, "{byte:02x}").expect("a text takes everything");
    }
    text
}

impl Talk {
    /// Subscribes and waits for the answer.
    ///
    /// # Errors
    /// When the broker refuses a filter.
    pub(crate) async fn subscribe(&mut self, filters: &[String], qos: Qos) -> anyhow::Result<()> {
        let options = Options { qos, ..Options::default() };
        let list = filters.iter().map(|filter| (filter.as_str(), options)).collect();
        self.say(&Packet::Subscribe(Subscribe { id: 1, properties: Properties::NONE, filters: list }));
        let reasons = self
            .hear(|packet| if let Packet::SubAck(answer) = packet { Some(answer.reasons.to_vec()) } else { None })
            .await?;
        for (filter, reason) in filters.iter().zip(reasons) {
            anyhow::ensure!(!Reason(reason).is_failure(), "the broker refuses {filter:?}: {}", Reason(reason));
        }
        Ok(())
    }

    /// Shows the next message that has come to `take`, and acknowledges it. `None` when there is none.
    ///
    /// # Errors
    /// As `take`.
    pub(crate) fn message<R>(&mut self, mut take: impl FnMut(&Publish<'_>) -> R) -> anyhow::Result<Option<R>> {
        loop {
            let came = self.take(|packet| match packet {
                Packet::Publish(publish) => (Some(take(publish)), publish.qos, publish.id),
                Packet::PubRel(release) => (None, Qos::ExactlyOnce, release.id),
                Packet::Connect(_)
                | Packet::ConnAck(_)
                | Packet::PubAck(_)
                | Packet::PubRec(_)
                | Packet::PubComp(_)
                | Packet::Subscribe(_)
                | Packet::SubAck(_)
                | Packet::Unsubscribe(_)
                | Packet::UnsubAck(_)
                | Packet::PingReq
                | Packet::PingResp
                | Packet::Disconnect(_)
                | Packet::Auth(_) => (None, Qos::AtMostOnce, 0),
            })?;
            let Some((taken, qos, id)) = came else { return Ok(None) };
            match (qos, &taken) {
                (Qos::AtMostOnce, _) => {}
                (Qos::AtLeastOnce, _) => self.ack(Packet::PubAck, id),
                (Qos::ExactlyOnce, Some(_)) => self.ack(Packet::PubRec, id),
                (Qos::ExactlyOnce, None) => self.ack(Packet::PubComp, id),
            }
            if taken.is_some() {
                return Ok(taken);
            }
        }
    }
}
