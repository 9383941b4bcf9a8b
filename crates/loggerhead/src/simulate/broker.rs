//! Clients of an MQTT broker: publishers and subscribers, or a storm of clients that come and go.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use loggerhead_protocols::mqtt::message::{Packet, Publish, Qos};
use loggerhead_protocols::mqtt::properties::Properties;
use serde_json::{Map, Value};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::duration;
use super::histogram::Histogram;
use crate::mqtt::{Access, Dial, Talk, Turned, qos};
use crate::{limits, terminal};

/// Bytes that a publisher of QoS 0 lets wait before it writes: one call of the system for many messages.
const BATCH_BYTES: usize = 16 * 1024;
/// Bytes of a payload that say when it was sent.
const STAMP_BYTES: usize = 8;
/// Silence after which what is missing of QoS 0 was dropped.
const DROPPED_AFTER: Duration = Duration::from_secs(2);
/// How often clients look whether they are done.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What came out, by name.
type Figures = Map<String, Value>;

/// Options of `simulate mqtt`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BrokerArgs {
    #[command(flatten)]
    access: Access,
    /// Clients that publish, each to a topic of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    publishers: u32,
    /// Clients that subscribe to everything that these publish
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    subscribers: u32,
    /// How surely messages are published and subscribed to: 0, 1 or 2
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Bytes of a message
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(STAMP_BYTES as i64..=1_000_000))]
    bytes: u32,
    /// Messages a second, of all publishers together; without it, as fast as they are taken
    #[arg(long, value_name = "MESSAGES")]
    rate: Option<f64>,
    /// Most messages of a publisher that wait for their acknowledgement
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// Messages of each publisher [default: as many as go in --seconds]
    #[arg(long)]
    messages: Option<u64>,
    /// How long to publish
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    seconds: f64,
    /// Do nothing but connect all clients at once and hang up, so many times
    #[arg(long, value_name = "TIMES", conflicts_with_all = ["messages", "rate"])]
    storm: Option<u32>,
    /// The first level of the topics, and the beginning of the client identifiers
    #[arg(long, value_name = "NAME", default_value = "simulated")]
    name: String,
    /// Give up on what did not come for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    patience: f64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What all clients of a run share.
struct Course {
    dial: Dial,
    name: String,
    qos: Qos,
    bytes: usize,
    window: usize,
    messages: u64,
    /// Between two messages of a publisher.
    interval: Option<Duration>,
    span: Duration,
    patience: Duration,
    began: Instant,
    /// All are in before the first message is published.
    ready: Barrier,
    /// How many messages there were in all, once the last one is acknowledged.
    published: watch::Sender<Option<u64>>,
    received: AtomicU64,
}

/// What one client, or all of them, did.
#[derive(Default)]
struct Done {
    connects: Histogram,
    connected: u64,
    /// Subscribers whose connection the broker ended.
    lost: u64,
    published: u64,
    acknowledged: u64,
    refused: u64,
    received: u64,
    acks: Histogram,
    deliveries: Histogram,
    /// When the last message was published, and when the last one came.
    last_out: Duration,
    last_in: Duration,
}

impl Done {
    fn add(&mut self, other: &Self) {
        self.connects.add(&other.connects);
        self.acks.add(&other.acks);
        self.deliveries.add(&other.deliveries);
        self.connected += other.connected;
        self.lost += other.lost;
        self.published += other.published;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.received += other.received;
        self.last_out = self.last_out.max(other.last_out);
        self.last_in = self.last_in.max(other.last_in);
    }
}

/// Runs the simulation: success when everything that was published was acknowledged, and all of QoS 1 and 2 arrived.
///
/// # Errors
/// When there is no broker, or it lets a client not in.
pub(super) async fn run(args: &BrokerArgs) -> anyhow::Result<ExitCode> {
    limits::raise_files();
    anyhow::ensure!(args.publishers + args.subscribers > 0, "no clients: write --publishers or --subscribers");
    let dial = args.access.dial()?;
    let (is_complete, mut result) = match args.storm {
        Some(times) => (true, storm(args, &dial, times).await?),
        None => publish_and_hear(args, dial).await?,
    };
    result.insert("complete".to_owned(), is_complete.into());
    if args.json {
        terminal::say_json(&result)?;
    } else {
        show(&result)?;
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line for each figure.
fn show(result: &Figures) -> std::io::Result<()> {
    for (name, figure) in result {
        terminal::say(format_args!("{:<20} {figure}", name.replace('_', " ")))?;
    }
    Ok(())
}

async fn storm(args: &BrokerArgs, dial: &Dial, times: u32) -> anyhow::Result<Figures> {
    let bar = terminal::counter("connected");
    let (began, mut connects, mut connected) = (Instant::now(), Histogram::default(), 0_u64);
    for _ in 0..times {
        let mut clients = JoinSet::new();
        for number in 0..args.publishers + args.subscribers {
            let (dial, name) = (dial.clone(), format!("{}-{number}", args.name));
            clients.spawn(async move {
                let began = Instant::now();
                let talk = Talk::enter(&dial, &name, 0).await?;
                let took = began.elapsed();
                talk.leave().await?;
                anyhow::Ok(took)
            });
        }
        while let Some(client) = clients.join_next().await {
            connects.record(client.context("a simulated client broke down")??);
            connected += 1;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let mut result = figures([("connected", connected), ("connects_per_second", rate(connected, began.elapsed()))]);
    put(&mut result, "connect", &connects);
    Ok(result)
}

async fn publish_and_hear(args: &BrokerArgs, dial: Dial) -> anyhow::Result<(bool, Figures)> {
    let interval = match args.rate {
        Some(rate) if rate > 0.0 => Some(duration(f64::from(args.publishers) / rate, "--publishers / --rate")?),
        Some(rate) => anyhow::bail!("--rate {rate} is not above 0"),
        None => None,
    };
    let course = Arc::new(Course {
        dial,
        name: args.name.clone(),
        qos: qos(args.qos),
        bytes: args.bytes as usize,
        window: usize::from(args.window),
        messages: args.messages.unwrap_or(u64::MAX),
        interval,
        span: if args.messages.is_some() { Duration::MAX } else { duration(args.seconds, "--seconds")? },
        patience: duration(args.patience, "--patience")?,
        began: Instant::now(),
        ready: Barrier::new((args.publishers + args.subscribers) as usize),
        published: watch::Sender::new(None),
        received: AtomicU64::new(0),
    });
    let (mut publishers, mut subscribers) = (JoinSet::new(), JoinSet::new());
    for number in 0..args.subscribers {
        subscribers.spawn(hear(Arc::clone(&course), number));
    }
    for number in 0..args.publishers {
        publishers.spawn(publish(Arc::clone(&course), number));
    }
    let bar = terminal::counter("received");
    let mut done = Done::default();
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            client = publishers.join_next(), if !publishers.is_empty() => {
                done.add(&client.transpose().context("a publisher broke down")?.transpose()?.unwrap_or_default());
            }
            // A client that fails ends all: the others would wait for it.
            client = subscribers.join_next(), if !subscribers.is_empty() => {
                done.add(&client.transpose().context("a subscriber broke down")?.transpose()?.unwrap_or_default());
            }
            _ = look.tick() => bar.set_position(course.received.load(Ordering::Relaxed)),
        }
        if publishers.is_empty() {
            course.published.send_replace(Some(done.acknowledged));
            if subscribers.is_empty() {
                break;
            }
        }
    }
    bar.finish_and_clear();
    Ok(report(args, &course, &done))
}

fn report(args: &BrokerArgs, course: &Course, done: &Done) -> (bool, Figures) {
    let expected = done.acknowledged * u64::from(args.subscribers);
    let missing = expected.saturating_sub(done.received);
    let mut result = figures([
        ("connected", done.connected),
        ("lost", done.lost),
        ("published", done.published),
        ("acknowledged", done.acknowledged),
        ("refused", done.refused),
        ("received", done.received),
        ("missing", missing),
        ("published_per_second", rate(done.acknowledged, done.last_out)),
        ("received_per_second", rate(done.received, done.last_in)),
    ]);
    put(&mut result, "connect", &done.connects);
    put(&mut result, "acknowledge", &done.acks);
    put(&mut result, "deliver", &done.deliveries);
    let is_complete = done.acknowledged == done.published && (missing == 0 || course.qos == Qos::AtMostOnce);
    (is_complete, result)
}

fn figures<const COUNT: usize>(figures: [(&str, u64); COUNT]) -> Figures {
    figures.into_iter().map(|(name, figure)| (name.to_owned(), figure.into())).collect()
}

/// Adds how long something took, in milliseconds.
fn put(result: &mut Figures, name: &str, histogram: &Histogram) {
    let millis = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    for (percentile, per_mille) in [("p50", 500), ("p99", 990)] {
        result.insert(format!("{name}_{percentile}_ms"), millis(histogram.percentile(per_mille)).into());
    }
    result.insert(format!("{name}_max_ms"), millis(histogram.max()).into());
}

fn rate(count: u64, span: Duration) -> u64 {
    let span = span.max(Duration::from_micros(1));
    u64::try_from(u128::from(count) * 1_000_000 / span.as_micros()).unwrap_or(u64::MAX)
}

impl Course {
    /// A moment since the course began, in whole microseconds, as it stands in a payload.
    fn stamp(&self, at: Instant) -> u64 {
        u64::try_from((at - self.began).as_micros()).unwrap_or(u64::MAX)
    }

    async fn enter(&self, kind: &str, number: u32, done: &mut Done) -> anyhow::Result<Talk> {
        let began = Instant::now();
        let talk = Talk::enter(&self.dial, &format!("{}-{kind}-{number}", self.name), 0).await?;
        done.connects.record(began.elapsed());
        done.connected += 1;
        Ok(talk)
    }
}

/// One publisher.
async fn publish(course: Arc<Course>, number: u32) -> anyhow::Result<Done> {
    let mut done = Done::default();
    let mut talk = course.enter("publisher", number, &mut done).await?;
    course.ready.wait().await;
    let (began, topic) = (Instant::now(), format!("{}/{number}", course.name));
    let window = course.window.min(usize::from(talk.granted.receive_max));
    let mut payload = vec![b'x'; course.bytes];
    // When each message left that is not acknowledged, by its identifier.
    let mut flying: std::collections::HashMap<u16, Instant> = std::collections::HashMap::new();
    let (mut id, mut last_moved, mut due) = (0_u16, began, began);
    loop {
        // One look at the clock for all that is written at once: at millions a second looking is work.
        let now = Instant::now();
        let is_over = |done: &Done| done.published >= course.messages || now - began >= course.span;
        let mut pause = Some(now + LOOK_EVERY);
        while !is_over(&done) && flying.len() < window && talk.unsent() < BATCH_BYTES {
            if let Some(interval) = course.interval {
                if due > now {
                    pause = Some(due);
                    break;
                }
                due += interval;
            }
            if course.qos > Qos::AtMostOnce {
                id = id.checked_add(1).unwrap_or(1);
                flying.insert(id, now);
            }
            payload.splice(..STAMP_BYTES, course.stamp(now).to_be_bytes());
            talk.publish(&Publish {
                dup: false,
                qos: course.qos,
                retain: false,
                topic: &topic,
                id,
                properties: Properties::NONE,
                payload: &payload,
            })?;
            done.published += 1;
        }
        if is_over(&done) && flying.is_empty() && talk.unsent() == 0 {
            break;
        }
        let turned = talk.turn(pause).await?;
        if turned == Turned::Sent {
            // All clients take turns, as they would if they were programs of their own.
            tokio::task::yield_now().await;
        }
        if turned != Turned::Late {
            last_moved = Instant::now();
        } else if !flying.is_empty() && last_moved.elapsed() > course.patience {
            break;
        }
        settle(&mut talk, &mut flying, &mut done)?;
    }
    if course.qos == Qos::AtMostOnce {
        done.acknowledged = done.published;
    }
    done.last_out = began.elapsed();
    talk.leave().await?;
    Ok(done)
}

/// Takes in what is acknowledged.
fn settle(
    talk: &mut Talk,
    flying: &mut std::collections::HashMap<u16, Instant>,
    done: &mut Done,
) -> anyhow::Result<()> {
    while let Some(ack) = talk.take(|packet| match packet {
        Packet::PubAck(ack) | Packet::PubComp(ack) => Some((ack.id, ack.reason, true)),
        Packet::PubRec(ack) => Some((ack.id, ack.reason, ack.reason.is_failure())),
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
    })? {
        let Some((id, reason, is_last)) = ack else { continue };
        if !is_last {
            talk.ack(Packet::PubRel, id);
        } else if let Some(sent_at) = flying.remove(&id) {
            done.acks.record(sent_at.elapsed());
            if reason.is_failure() {
                done.refused += 1;
            } else {
                done.acknowledged += 1;
            }
        }
    }
    Ok(())
}

/// One subscriber.
async fn hear(course: Arc<Course>, number: u32) -> anyhow::Result<Done> {
    let mut done = Done::default();
    let mut talk = course.enter("subscriber", number, &mut done).await?;
    talk.subscribe(&[format!("{}/+", course.name)], course.qos).await?;
    course.ready.wait().await;
    let began = Instant::now();
    let published = course.published.subscribe();
    let is_dropped = course.qos == Qos::AtMostOnce;
    let patience = if is_dropped { course.patience.min(DROPPED_AFTER) } else { course.patience };
    let mut last_in = began;
    loop {
        let (mut came, now) = (0, course.stamp(Instant::now()));
        while let Some(sent_at) = talk.message(|publish| publish.payload.first_chunk().copied())? {
            let sent_at = u64::from_be_bytes(sent_at.unwrap_or_default());
            done.deliveries.record(Duration::from_micros(now.saturating_sub(sent_at)));
            came += 1;
        }
        if came > 0 {
            last_in = Instant::now();
            done.received += came;
            course.received.fetch_add(came, Ordering::Relaxed);
        }
        let all = *published.borrow();
        if let Some(all) = all
            && (done.received >= all || last_in.elapsed() > patience)
        {
            break;
        }
        if talk.turn(Some(Instant::now() + LOOK_EVERY)).await.is_err() {
            // Too slow for the broker, it may be: what it misses is counted.
            done.lost = 1;
            break;
        }
    }
    done.last_in = last_in - began;
    if done.lost == 0 {
        talk.leave().await?;
    }
    Ok(done)
}
