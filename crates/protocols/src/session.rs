//! The contract between a protocol and whoever drives it.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{
    Command, CommandId, CommandState, DeviceId, Event, Evidence, Identity, Learnt, Order, Reading, Receipt, Records,
    Report, Ticket, Timestamp,
};
use subtle::ConstantTimeEq as _;

use crate::bindings::Registry;
use crate::files::{FileNews, FileStep};
use crate::office::Office;
use crate::relay::{Reach, Unreached};
use crate::standing::{SessionQuery, StandingSession};
use crate::{DeviceSettings, Fault, SettingsError};

/// One conversation with one peer, from either side. Does no I/O, reads no clock, never blocks.
///
/// After every `handle`, call `poll` until it says `Idle`.
pub trait Session: Send {
    /// Takes in that something happened.
    ///
    /// # Errors
    /// A `Fault` after which this conversation cannot go on: poll what is left to send, then close.
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault>;

    /// The next thing to do, in order; `Idle` when there is nothing until the next input.
    fn poll(&mut self) -> Output;

    /// Whether more bytes are welcome. While it says no, the driver leaves them unread, so that the transport slows the
    /// peer down. Ask again after every `Idle`.
    fn wants_bytes(&self) -> bool {
        true
    }
}

/// The head-end's side of one configured listener: makes a session for every connection.
pub trait Acceptor: Send + Sync {
    /// A session for a peer that has just connected.
    fn open(&self, now: Now, opening: Opening) -> Box<dyn Session>;

    /// Makes the session of a person whom the console has signed in, over a WebSocket that stands already. `None`: the
    /// protocol has no people.
    fn for_person(&self, person: Identity) -> Option<OpenSession> {
        let _ = person;
        None
    }

    /// Whether `for_person` makes sessions.
    fn takes_people(&self) -> bool {
        false
    }

    /// Whether its peers stop where an answer is a few milliseconds late: then they are served before all others, by a thread
    /// of their own.
    fn answers_in_cycles(&self) -> bool {
        false
    }
}

/// What all sessions of a protocol share while the process runs, on every listener and through every reload: for
/// protocols whose peers reach each other. Sessions wake one another with `Opening::waker`.
pub trait Exchange: Send + Sync {
    /// A key that stands in no database, for what is noted in sealed form. Comes before what was noted.
    fn entrust(&self, key: &[u8; 32]) {
        let _ = key;
    }

    /// The same exchange over the head-end's office of messages, for protocols that pass messages between people. `None`:
    /// it has no use for one.
    fn over(&self, office: &Arc<Office>) -> Option<Arc<dyn Exchange>> {
        let _ = office;
        None
    }

    /// Who has which camera, of a protocol whose peers have cameras. `None`: they have none.
    fn cameras(&self) -> Option<Arc<Registry>> {
        None
    }

    /// A page of the sessions that stand, with and without a connection, in the order of their names. `None`: a session of the
    /// protocol is its connection.
    fn sessions(&self, query: &SessionQuery) -> Option<Vec<StandingSession>> {
        let _ = query;
        None
    }

    /// Takes in what was noted in earlier runs, in the order of the keys. Comes before every session.
    fn recall(&self, now: Now, notes: &mut dyn Iterator<Item = (Bytes, Bytes)>);

    /// Makes the head-end's side of a listener, as `Protocol::acceptor` does, with this exchange behind it.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    fn acceptor(
        &self,
        settings: &toml::Table,
        devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
    ) -> Result<Box<dyn Acceptor>, SettingsError>;

    /// Whether it wants to hear of stored readings; asked once, when all listeners are open.
    fn wants_readings(&self) -> bool;

    /// Whether it wants to hear of everything but readings; asked once, when all listeners are open.
    fn wants_news(&self) -> bool;

    /// Something became known of a device of any protocol. It costs the caller no wait. Commands are told of whatever
    /// `wants_news` says: who gave one may wait for it.
    fn told(&self, now: Now, device: &DeviceId, news: News<'_>);

    /// A session without a peer, for what is due while nobody is connected. It keeps, stores, tells and waits, no more.
    fn steward(&self, now: Now, opening: Opening) -> Box<dyn Session>;
}

/// What an exchange is told of a device.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// Readings that one report brought are stored, in their order. The latest one of each channel comes once at the start as
    /// well, before everything else.
    Readings(&'a [Reading<'a>]),
    /// Its presence changed. That of every device comes once at the start as well.
    Presence(&'a Evidence),
    /// An event is stored.
    Event(&'a Event),
    /// A command for it was taken, or moved on. The last one of each device comes once at the start as well.
    Command {
        /// Its name.
        id: CommandId,
        /// What became of it.
        state: &'a CommandState,
        /// Since when.
        changed_at: Timestamp,
    },
    /// The device was removed.
    Removed,
}

/// Both clocks, read once per input.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since the process started; never goes back. Every wait is measured with it.
    pub elapsed: Duration,
    /// The wall clock, which may jump.
    pub wall: Timestamp,
}

/// What a session is born with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The address at the other end, for texts.
    pub peer: Arc<str>,
    /// Fresh random bytes, for a challenge or for jitter.
    pub entropy: [u8; 32],
    /// How long the peer may take.
    pub limits: Limits,
    /// Wakes this session from another one of its protocol: it is sent `Input::Wake` soon, whatever it waits for.
    pub waker: Waker,
    /// Whom the certificate names that the peer showed, for those that give no name.
    pub certified: Option<Identity>,
    /// What the conversation goes over.
    pub carrier: Carrier,
}

/// What a conversation goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A stream: bytes come in any pieces.
    Stream,
    /// Datagrams: each `Input::Bytes` is a whole one, each `Output::Send` becomes one.
    Datagrams,
    /// The same, to a peer that knows nothing of us before it has received the first one.
    CalledDatagrams,
}

impl Carrier {
    /// Whether what is not whole at the end of an `Input::Bytes` never will be.
    #[must_use]
    pub const fn is_datagrams(self) -> bool {
        !matches!(self, Self::Stream)
    }
}

/// How long a peer may take before it has proven who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the connection to its first whole frame.
    pub first_frame: Duration,
    /// From the connection to its login.
    pub login: Duration,
}

impl Limits {
    /// For programs, which speak at once.
    pub const PROGRAMS: Self = Self { first_frame: Duration::from_secs(5), login: Duration::from_secs(10) };
}

impl Default for Limits {
    fn default() -> Self {
        Self::PROGRAMS
    }
}

/// Something happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes came. They are the session's only during the call.
    Bytes(&'a [u8]),
    /// The peer will send nothing more. It may still read.
    Eof,
    /// The moment asked for by `Idle` has come.
    Wake,
    /// Answers what the session asked.
    Answer(Answer),
    /// Answers `Output::Store` and `Output::Sample`: committed and synced.
    Stored(Receipt),
    /// Answers `Output::Store` and `Output::Sample`: not kept, and never will be. No acknowledgement may be sent.
    NotStored(Ticket),
    /// An operator asks something of the device. Answer with `Output::Command`.
    Command(Command),
    /// End the conversation in good order; the text says why.
    Shutdown(CloseReason),
    /// Device's side: a new connection stands.
    Connected,
    /// The connection is gone. Nothing that the head-end's side says to this is heard; a device's side may connect again.
    Disconnected,
    /// Device's side: readings to send up. Answered by `Output::Delivered` once the head-end acknowledged them.
    Offer(Ticket, Report),
}

/// What the head-end answers. It comes only to who asked, so whoever asks nothing passes over all of them.
#[derive(Debug)]
pub enum Answer {
    /// Answers `Question::Who`.
    Known(Known),
    /// Answers `Question::Prove` and `Question::Vouch`.
    Verdict(Verdict),
    /// Answers `Question::Door`: the port, unless all are taken.
    Door(Option<u16>),
    /// Answers `Question::Order`. The device has not been given it yet, so that whatever becomes of it is told later.
    Ordered(Result<CommandId, Untaken>),
    /// Answers `Question::Reach`: our address towards who was reached, or where we wait for them; and `Question::Arrival`: the
    /// address of who came.
    Reached(Result<SocketAddr, Unreached>),
    /// Answers `Output::File`: what became of a step of a file.
    File(FileNews),
}

/// What to do next.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes, in one write.
    Send(Bytes),
    /// For people who look at the conversation: a message that was sent to the device that is logged in, as it reads without its
    /// cipher and without any secret. Sent already; kept in memory alone, while there is room. What is stored as a frame need not
    /// be told so.
    Said(Bytes),
    /// Find out, and answer with the `Answer` that says so. Questions are answered in order.
    Ask(Question),
    /// Send what was said so far, then join the peer with who was reached: these bytes, which it sent ahead, go there
    /// first. From now on the session gets no bytes; the conversation ends with the relay.
    Join(Bytes),
    /// Keep these records and answer with `Input::Stored` or `Input::NotStored`.
    Store(Ticket, Records),
    /// Keep these records; nobody waits for them.
    Keep(Records),
    /// Keep these records if there is room for them at once, and answer as to `Store`. For a session that must not be
    /// held up while the store is busy.
    Sample(Ticket, Records),
    /// Go on with the file that this connection brings. Steps are taken in order, and no bytes are read meanwhile.
    File(FileStep),
    /// Tell operators. Counted always, stored within a rate.
    Event(Event),
    /// The peer kept to the protocol less than it should, but the conversation goes on. Counted and shown.
    Fault(Fault),
    /// Remember these findings about the device that is logged in.
    Learnt(Learnt),
    /// Remember `note` for `keep` under this identity and the peer's address, for a peer that connects anew for every
    /// message. Comes back in `Known::note`. An empty note forgets the one before.
    Remember {
        /// Under which name.
        identity: Identity,
        /// What; the session's own form.
        note: Bytes,
        /// How long.
        keep: Duration,
    },
    /// So many messages for a device were dropped. Counted and shown with the device.
    Dropped(DeviceId, u64, DropCause),
    /// The peer should be heard from at least this often; beyond it, its presence is silent.
    ExpectWithin(Duration),
    /// A command moved on.
    Command(CommandId, CommandState),
    /// Device's side: open a connection.
    Connect,
    /// Device's side: the head-end acknowledged what was offered under this ticket.
    Delivered(Ticket),
    /// Send what was said so far, then close. Nothing follows from the head-end's side; a device's side is then given
    /// `Input::Disconnected` and may connect again.
    Close(CloseReason),
    /// Nothing to do until the next input, or until `wake_at` on the clock of `Now::elapsed`.
    Idle {
        /// When to send `Input::Wake`.
        wake_at: Option<Duration>,
    },
}

/// Why messages were dropped; the word is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// Too many waited for their receiver.
    QueueFull,
    /// Too much waited for all receivers together.
    Overload,
}

impl DropCause {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::QueueFull, Self::Overload];

    /// The word that is counted.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::Overload => "overload",
        }
    }
}

/// Why a conversation ends; the word is stored and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer said that it is done, or ended its side.
    PeerDone,
    /// The peer was silent for too long.
    Silent(Duration),
    /// The peer did not prove who it is.
    Refused,
    /// A newer connection of the same device is here.
    TakenOver,
    /// This process is stopping.
    Stopping,
    /// The device was removed or its settings changed.
    Reconfigured,
    /// The peer broke the rules.
    Fault(Cow<'static, str>),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerDone => formatter.write_str("closed by the device"),
            Self::Silent(limit) => write!(formatter, "silent for {} s", limit.as_secs()),
            Self::Refused => formatter.write_str("refused"),
            Self::TakenOver => formatter.write_str("a newer connection took over"),
            Self::Stopping => formatter.write_str("the head-end is stopping"),
            Self::Reconfigured => formatter.write_str("the device's settings changed"),
            Self::Fault(reason) => formatter.write_str(reason),
        }
    }
}

/// What a session asks of the head-end, which alone knows secrets and sessions.
#[derive(Debug)]
pub enum Question {
    /// What is known under this name? Answered also for names that nobody knows, with nothing in it.
    Who(Identity),
    /// Is this peer who it says it is, and may it log in?
    Prove(Claim),
    /// Would somebody be let in by this claim? Judged and throttled like a login, but nobody is logged in by it: for
    /// peers that speak of others.
    Vouch(Claim),
    /// Open a door for one more connection of this peer, on a port of its own.
    Door(DataDoor),
    /// Take this order for a device of any protocol, in the name of the peer, whose right to give it the session has
    /// looked at. Answered when it is stored.
    Order(DeviceId, Order),
    /// Connect to somebody else, for `Output::Join`. Nothing is read from the peer until it is answered.
    Reach(Reach),
    /// Wait for whom `Reach` awaits. Nothing is read from the peer until it is answered.
    Arrival,
}

/// A door for one connection from the peer's address, which is served by the session that `open` makes.
pub struct DataDoor {
    /// How long the peer may take to come.
    pub within: Duration,
    /// Makes the session of the connection.
    pub open: OpenSession,
}

/// Makes the session of a connection that has just been accepted.
pub type OpenSession = Box<dyn FnOnce(Now, Opening) -> Box<dyn Session> + Send>;

impl fmt::Debug for DataDoor {
    /// How long it stays open.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DataDoor").field("within", &self.within).finish_non_exhaustive()
    }
}

/// Why an order was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untaken {
    /// There is no such device.
    Unknown,
    /// The device may not log in yet.
    NotActive,
    /// Too many wait for the device.
    Full,
    /// The store did not keep it.
    NotStored,
}

/// What is known about a name before it is proven.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The protocol's own settings of the device; empty for an unknown name.
    pub settings: Arc<toml::Table>,
    /// What was learnt about it earlier.
    pub learnt: Learnt,
    /// What `Output::Remember` left under this name and the peer's address, if its time has not run out.
    pub note: Option<Bytes>,
}

/// A peer says who it is.
#[derive(Debug)]
pub struct Claim {
    /// The name that it gave.
    pub identity: Identity,
    /// How it proves it.
    pub proof: Proof,
    /// For how long a `Proof::Remembered` from the same address will do after this login.
    pub remember: Option<Duration>,
    /// What becomes of older sessions of the same device.
    pub company: Company,
}

/// What becomes of older sessions of a device that logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// They end, but for a few of a device that connects anew for every message.
    Alone,
    /// They stay: the protocol knows by other names which of them are one.
    Many,
    /// They stay, for each is an errand with an event of its own: that somebody came for it and went is none, and who is
    /// between two of them is not gone.
    Errands,
}

/// How a peer proves who it is.
pub enum Proof {
    /// It answered a challenge; `check` says whether `answer` fits `challenge` and a secret, and how, in constant time.
    Response {
        /// What we sent.
        challenge: Box<[u8]>,
        /// What came back.
        answer: Box<[u8]>,
        /// The protocol's rule.
        check: Check,
    },
    /// Both sides prove that they know a secret: as `Response`, with a counterproof for the peer.
    Mutual {
        /// What was said so far.
        challenge: Box<[u8]>,
        /// What came back.
        answer: Box<[u8]>,
        /// The protocol's rule.
        check: MutualCheck,
    },
    /// Its messages decipher under the device's own key. Enough only where the device's settings say so.
    Cipher,
    /// Nothing: the protocol has no proof, or the peer gave none. Enough only where the device's settings say so.
    Name,
    /// It logged in from the same address a while ago.
    Remembered,
    /// The console has signed it in. Only a session of `Acceptor::for_person` may say so.
    SignedIn,
}

/// Given challenge, answer and secret, says in which form they fit, in constant time.
pub type Check = fn(&[u8], &[u8], &[u8]) -> Option<Form>;

/// Given challenge, answer and secret, says whether they fit, and then what proves to the peer that the secret is known here,
/// in constant time.
pub type MutualCheck = fn(&[u8], &[u8], &[u8]) -> Option<Counterproof>;

/// What proves to a peer that its secret is known here.
pub type Counterproof = [u8; 32];

/// How a proof fits a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// In which form it was made.
    pub form: Form,
    /// What the peer is shown in return, where both sides prove something.
    pub counterproof: Option<Counterproof>,
}

impl Proof {
    /// Whether and how it fits a secret; never for a proof that is of no secret.
    #[must_use]
    pub fn fit(&self, secret: &[u8]) -> Option<Fit> {
        match self {
            Self::Response { challenge, answer, check } => {
                check(challenge, answer, secret).map(|form| Fit { form, counterproof: None })
            }
            Self::Mutual { challenge, answer, check } => check(challenge, answer, secret)
                .map(|counterproof| Fit { form: Form::ONLY, counterproof: Some(counterproof) }),
            Self::Cipher | Self::Name | Self::Remembered | Self::SignedIn => None,
        }
    }
}

/// In which of the forms that a protocol knows a proof was made; the protocol numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form(pub u8);

impl Form {
    /// Where there is but one, or no form at all.
    pub const ONLY: Self = Self(0);
}

impl Proof {
    /// It said the secret itself.
    pub(crate) fn secret(said: impl Into<Box<[u8]>>) -> Self {
        Self::Response {
            challenge: Box::default(),
            answer: said.into(),
            check: |_, answer, secret| bool::from(answer.ct_eq(secret)).then_some(Form::ONLY),
        }
    }
}

impl fmt::Debug for Proof {
    /// The kind of proof only.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Response { .. } => "Response",
            Self::Mutual { .. } => "Mutual",
            Self::Cipher => "Cipher",
            Self::Name => "Name",
            Self::Remembered => "Remembered",
            Self::SignedIn => "SignedIn",
        })
    }
}

/// The answer to a claim.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is who it says it is.
    Accepted(Admission),
    /// It is not let in. The peer is never told why.
    Refused(Refusal),
}

/// A device that is logged in.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Our name for it.
    pub device: DeviceId,
    /// The protocol's own settings of it.
    pub settings: Arc<toml::Table>,
    /// What was learnt about it earlier.
    pub learnt: Learnt,
    /// How its proof fits.
    pub fit: Fit,
}

/// Why a claim was not believed; for operators only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody knows this name.
    Unknown,
    /// The name waits for an operator's yes.
    Pending,
    /// The proof does not fit.
    WrongProof,
    /// Too many failures; not even looked at.
    Throttled,
    /// A limit of sessions is reached.
    Full,
}
