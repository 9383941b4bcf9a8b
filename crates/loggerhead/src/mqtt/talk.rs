//! A client's end of a conversation of version 5, over TCP, TLS or a Unix socket.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::task::{Context, Poll, ready};

use anyhow::Context as _;
use loggerhead_protocols::mqtt::decode::read;
use loggerhead_protocols::mqtt::encode::encode;
use loggerhead_protocols::mqtt::frame::BODY_BYTES_MAX;
use loggerhead_protocols::mqtt::granted::Granted;
use loggerhead_protocols::mqtt::message::{Ack, ConnAck, Connect, Level, Notice, Packet, Publish};
use loggerhead_protocols::mqtt::properties::{Id, Properties, Writer};
use loggerhead_protocols::mqtt::reason::Reason;
use loggerhead_protocols::scram;
use tokio::time::Instant;

use super::held::Held;
use crate::exit::{Exit, Failure};
use crate::simulate::{Address, Stream, Target, Way, trust};

/// The version that is spoken: it says why something is refused.
const LEVEL: Level = Level::V5;
/// How a server that speaks TLS answers whoever does not; no packet begins so. Source: RFC 8446 §5.1.
const TLS_ALERT: &[u8] = &[21, 3];

/// Which broker, and as whom.
#[derive(Clone, clap::Args)]
pub(crate) struct Access {
    /// Where the broker listens: HOST:PORT, with an IPv6 address in brackets, or unix:PATH
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1883")]
    to: Address,
    #[command(flatten)]
    way: Way,
    /// Speak TLS
    #[arg(long)]
    tls: bool,
    /// Certificates to believe, as PEM; without it any certificate is believed
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,
    /// The certificate to show, as PEM, with those that lead to its authority
    #[arg(long, value_name = "FILE", requires_all = ["tls", "key"])]
    cert: Option<PathBuf>,
    /// The private key of --cert, as PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// User name: the identity of an account; without it whom --cert names, or a client without a name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Its password, which other users of this machine can see here
    #[arg(long, value_name = "TEXT", requires = "user", conflicts_with = "password_file")]
    password: Option<String>,
    /// A file that holds its password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Prove the password by SCRAM-SHA-256 without saying it, and have the broker prove that it knows it too
    #[arg(long, requires = "user")]
    scram: bool,
}

impl std::fmt::Debug for Access {
    /// Everything but the password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} as {:?}", self.to, self.user)
    }
}

/// All that is needed to connect, read once.
#[derive(Clone)]
pub(crate) struct Dial {
    target: Target,
    user: Option<String>,
    password: Option<String>,
    scram: bool,
}

impl Access {
    /// Reads the files that are named.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(crate) fn dial(&self) -> anyhow::Result<Dial> {
        let shown = self.cert.as_deref().zip(self.key.as_deref());
        let tls = self.tls.then(|| trust::client(self.ca.as_deref(), shown)).transpose()?;
        let password = match &self.password_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            None => self.password.clone(),
        };
        let target = Target { address: self.to.clone(), tls, way: self.way.clone() };
        Ok(Dial { target, user: self.user.clone(), password, scram: self.scram })
    }
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Something came.
    Came,
    /// All that was to be sent is sent.
    Sent,
    /// The time is over.
    Late,
}

/// A connection on which the client is in.
pub(crate) struct Talk {
    stream: Stream,
    held: Held,
    out: Vec<u8>,
    /// How much of `out` is sent.
    sent: usize,
    /// What the broker takes.
    pub(crate) granted: Granted,
}

/// The error in words for people, where it is one of TLS: a server may refuse a certificate after the handshake.
fn told(error: io::Error) -> io::Error {
    if matches!(error.get_ref(), Some(inner) if inner.is::<rustls::Error>()) {
        io::Error::new(error.kind(), trust::words(&error))
    } else {
        error
    }
}

/// Why a broker did not let a client in to which it said nothing.
fn perhaps_of_tls(error: anyhow::Error) -> anyhow::Error {
    let is_closed = error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        )
    });
    if !is_closed {
        return error;
    }
    anyhow::anyhow!("the broker closed without an answer: it may speak TLS there (add --tls), or let nobody else in")
}

impl Talk {
    /// Connects with a session that ends with the connection.
    ///
    /// # Errors
    /// `Failure` when nobody is there, or the broker lets nobody in of that name.
    pub(crate) async fn enter(dial: &Dial, client_id: &str, keep_alive_s: u16) -> anyhow::Result<Self> {
        let address = dial.target.address.clone();
        let stream = dial.target.clone().connect().await.map_err(|error| {
            Failure::new(Exit::Unreachable, format!("no broker at {address}: {}", trust::words(&error)))
        })?;
        let nothing_said = ConnAck { session_present: false, reason: Reason::SUCCESS, properties: Properties::NONE };
        let granted = Granted::of(&nothing_said, keep_alive_s);
        let mut talk = Self { stream, held: Held::default(), out: Vec::new(), sent: 0, granted };
        let connect = Connect {
            level: LEVEL,
            clean_start: true,
            keep_alive_s,
            properties: Properties::NONE,
            client_id,
            will: None,
            user: dial.user.as_deref(),
            password: dial.password.as_deref().map(str::as_bytes),
        };
        let entered = if dial.scram { talk.prove(connect).await } else { talk.let_in(connect).await };
        entered.map_err(|error| if dial.target.tls.is_none() { perhaps_of_tls(error) } else { error })?;
        Ok(talk)
    }

    async fn let_in(&mut self, connect: Connect<'_>) -> anyhow::Result<()> {
        self.say(&Packet::Connect(connect));
        self.hear_entry().await.map(drop)
    }

    /// Connects without saying the password. Source: MQTT 5.0 §4.12.
    async fn prove(&mut self, connect: Connect<'_>) -> anyhow::Result<()> {
        let (user, secret) = (connect.user.unwrap_or_default(), connect.password.unwrap_or_default());
        let nonce = format!("{:032x}", rand::random::<u128>());
        let client = scram::Client::new(user, &nonce);
        let mut list = Writer::default();
        list.text(Id::AuthenticationMethod, scram::MECHANISM);
        list.binary(Id::AuthenticationData, &client.first_message());
        self.say(&Packet::Connect(Connect { properties: list.list(), password: None, ..connect }));
        let asked = self
            .hear(|packet| {
                if let Packet::Auth(notice) = packet {
                    return Some(Ok(notice.properties.binary(Id::AuthenticationData).unwrap_or_default().to_vec()));
                }
                if let Packet::ConnAck(answer) = packet { Some(Err(answer.reason)) } else { None }
            })
            .await?;
        let asked = asked.map_err(|reason| anyhow::anyhow!("the broker refuses the client: {reason}"))?;
        let answer = client.answer(&asked, secret);
        let (last, expected) = answer.map_err(|what| anyhow::anyhow!("the broker breaks a rule: {what}"))?;
        let mut list = Writer::default();
        list.text(Id::AuthenticationMethod, scram::MECHANISM).binary(Id::AuthenticationData, &last);
        let notice = Notice { reason: Reason::CONTINUE_AUTHENTICATION, properties: list.list() };
        self.say(&Packet::Auth(notice));
        if self.hear_entry().await? != expected {
            anyhow::bail!("the broker does not prove that it knows the password: it is not the one it should be");
        }
        Ok(())
    }

    /// Waits for the answer to the CONNECT; the authentication data in it.
    async fn hear_entry(&mut self) -> anyhow::Result<Vec<u8>> {
        let asked_s = self.granted.keep_alive_s;
        let (reason, session_present, granted, data) = self
            .hear(|packet| {
                let Packet::ConnAck(answer) = packet else { return None };
                let data = answer.properties.binary(Id::AuthenticationData).unwrap_or_default().to_vec();
                Some((answer.reason, answer.session_present, Granted::of(answer, asked_s), data))
            })
            .await?;
        if reason.is_failure() {
            anyhow::bail!("the broker refuses the client: {reason}");
        }
        anyhow::ensure!(!session_present, "the broker goes on with a session that was not asked for");
        self.granted = granted;
        Ok(data)
    }

    /// Lets a packet wait to be sent.
    pub(crate) fn say(&mut self, packet: &Packet<'_>) {
        encode(packet, LEVEL, &mut self.out);
    }

    /// Lets a message wait to be sent.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub(crate) fn publish(&mut self, publish: &Publish<'_>) -> anyhow::Result<()> {
        let start = self.out.len();
        self.say(&Packet::Publish(publish.clone()));
        self.granted.check(publish, self.out.len() - start).map_err(|why| {
            self.out.truncate(start);
            anyhow::anyhow!(why)
        })
    }

    /// Lets an acknowledgement wait to be sent.
    pub(crate) fn ack(&mut self, packet: fn(Ack<'static>) -> Packet<'static>, id: u16) {
        self.say(&packet(Ack { id, reason: Reason::SUCCESS, properties: Properties::NONE }));
    }

    /// Bytes that wait to be sent.
    pub(crate) fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Sends and takes in, until something came, all is sent that waits, or it is `until`.
    ///
    /// # Errors
    /// What the system says, or `UnexpectedEof` when the broker has closed.
    pub(crate) async fn turn(&mut self, until: Option<Instant>) -> io::Result<Turned> {
        let had_more = self.unsent() > 0;
        let turning = poll_fn(|context| self.poll_turn(context, had_more));
        let turned = match until {
            Some(until) => tokio::time::timeout_at(until, turning).await.unwrap_or(Ok(Turned::Late)),
            None => turning.await,
        };
        turned.map_err(told)
    }

    fn poll_turn(&mut self, context: &mut Context<'_>, had_more: bool) -> Poll<io::Result<Turned>> {
        if let Poll::Ready(sent) = self.poll_send(context) {
            sent?;
        }
        let Self { held, stream, .. } = self;
        if let Poll::Ready(came) = held.poll_fill(|room| stream.poll_read(context, room)) {
            if came? == 0 {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker has closed")));
            }
            return Poll::Ready(Ok(Turned::Came));
        }
        if had_more && self.unsent() == 0 { Poll::Ready(Ok(Turned::Sent)) } else { Poll::Pending }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent() > 0 {
            let rest = IoSlice::new(self.out.get(self.sent..).unwrap_or_default());
            self.sent += ready!(self.stream.poll_write(context, &[rest]))?;
        }
        self.out.clear();
        self.sent = 0;
        self.stream.poll_flush(context)
    }

    /// Shows the next packet that has come to `take`, if there is one.
    ///
    /// # Errors
    /// When the broker breaks a rule, or says that it closes.
    pub(crate) fn take<R>(&mut self, take: impl FnOnce(&Packet<'_>) -> R) -> anyhow::Result<Option<R>> {
        let came = self.held.bytes();
        let packet = read(LEVEL, came, BODY_BYTES_MAX).map_err(|breach| {
            if came.starts_with(TLS_ALERT) {
                return anyhow::anyhow!("the broker speaks TLS there; add --tls");
            }
            if came.starts_with(b"HTTP/") {
                return anyhow::anyhow!("the broker speaks HTTP there; name its port for MQTT without WebSocket");
            }
            anyhow::anyhow!("the broker breaks a rule: {breach}")
        });
        let Some((packet, count)) = packet? else {
            self.held.rest();
            return Ok(None);
        };
        if let Packet::Disconnect(notice) = &packet {
            let words = notice.properties.text(Id::ReasonString).map(|words| format!(": {words}")).unwrap_or_default();
            anyhow::bail!("the broker ends the connection: {}{words}", notice.reason);
        }
        let taken = take(&packet);
        self.held.advance(count);
        Ok(Some(taken))
    }

    /// Waits for a packet that `wanted` takes something from; leaves the others out.
    ///
    /// # Errors
    /// As `turn` and `take`.
    pub(crate) async fn hear<R>(&mut self, mut wanted: impl FnMut(&Packet<'_>) -> Option<R>) -> anyhow::Result<R> {
        loop {
            while let Some(taken) = self.take(&mut wanted)? {
                if let Some(taken) = taken {
                    return Ok(taken);
                }
            }
            self.turn(None).await?;
        }
    }

    /// Says goodbye and closes.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn leave(mut self) -> io::Result<()> {
        self.say(&Packet::Disconnect(Notice { reason: Reason::SUCCESS, properties: Properties::NONE }));
        poll_fn(|context| {
            ready!(self.poll_send(context))?;
            self.stream.poll_shutdown(context)
        })
        .await
    }
}
