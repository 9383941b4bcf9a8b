//! One known device while the process runs: its rules, its sessions, what it was heard to say.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use loggerhead_model::{DeviceId, Evidence, Identity, Learnt, Presence, Site, Timestamp};
use loggerhead_protocols::{CloseReason, Now};
use loggerhead_store::{DeviceRecord, DeviceSource, DeviceState, Login, Secret};

use crate::listener::Pass;
use crate::mailbox::Mailbox;
use crate::metrics::Counter;
use crate::own_settings::OwnSettings;
use crate::presence::{EXPECT_WITHIN_DEFAULT, Facts, Habit, Manner, judge};
use crate::status::{DeviceCounters, DeviceStatus};

/// Findings about one device: protocols name about a dozen.
const LEARNT_MAX: usize = 64;

/// A device, shared by everybody who has to do with it.
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) protocol: &'static str,
    pub(crate) identity: Identity,
    rules: ArcSwap<Rules>,
    life: Mutex<Life>,
    /// `Presence` as it was judged last, as an index into `Presence::ALL`: read on every packet without a lock.
    judged: AtomicU8,
    /// Milliseconds on `Now::elapsed` of the last bytes; negative for none in this process.
    heard_ms: AtomicI64,
    /// Wall clock of the last bytes and the last reading; `i64::MIN` for none.
    last_bytes_ms: AtomicI64,
    last_reading_ms: AtomicI64,
    pub(crate) counters: Counted,
}

/// What may change while a device is known.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) state: DeviceState,
    pub(crate) source: DeviceSource,
    pub(crate) secret: Option<Secret>,
    pub(crate) login: Login,
    pub(crate) settings: OwnSettings,
    pub(crate) added_at: Option<Timestamp>,
    /// Where somebody named one.
    pub(crate) site: Option<Site>,
}

impl Rules {
    /// Whether a session under these rules may go on under the others.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.state == other.state
            && self.secret == other.secret
            && self.login == other.login
            && self.settings == other.settings
    }
}

/// See `DeviceCounters`.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) logins: Counter,
    pub(crate) refusals: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) packets: Counter,
    pub(crate) readings: Counter,
    pub(crate) faults: Counter,
    pub(crate) dropped: Counter,
}

struct Life {
    sessions: Vec<Live>,
    /// By name. A map would take half a KiB for its first finding.
    learnt: Vec<(Box<str>, Box<str>)>,
    habit: Habit,
    ended: Manner,
    expect_within: Duration,
    presence: Presence,
    since: Option<Timestamp>,
    peer: Option<Arc<str>>,
    closed_because: Option<String>,
}

impl Life {
    fn learnt(&self) -> Learnt {
        self.learnt.iter().map(|(name, finding)| (name.to_string(), finding.to_string())).collect()
    }
}

/// A session of the device.
struct Live {
    number: SessionNumber,
    mailbox: Arc<Mailbox>,
}

/// Names one session of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionNumber(u64);

static SESSIONS: AtomicU64 = AtomicU64::new(1);

impl SessionNumber {
    /// One that nobody has.
    pub(crate) fn next() -> Self {
        Self(SESSIONS.fetch_add(1, Ordering::Relaxed))
    }
}

/// What an earlier process knew.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    pub(crate) learnt: Learnt,
    pub(crate) evidence: Option<Evidence>,
}

impl Device {
    pub(crate) fn new(id: DeviceId, protocol: &'static str, identity: Identity, rules: Rules, past: Past) -> Self {
        let evidence = past.evidence.as_ref();
        let ms = |at: Option<Timestamp>| AtomicI64::new(at.map_or(i64::MIN, Timestamp::unix_ms));
        let last_bytes_at = evidence.and_then(|evidence| evidence.last_bytes_at);
        let last_reading_at = evidence.and_then(|evidence| evidence.last_reading_at);
        // Whatever it was when the process before stopped, nobody is connected to this one yet.
        let presence = if last_bytes_at.is_some() { Presence::Offline } else { Presence::Never };
        let life = Life {
            sessions: Vec::new(),
            learnt: past.learnt.into_iter().map(|(name, finding)| (name.into(), finding.into())).collect(),
            habit: Habit::Keeps,
            ended: Manner::Bad,
            expect_within: EXPECT_WITHIN_DEFAULT,
            presence,
            since: evidence.and_then(|evidence| evidence.since),
            peer: evidence.and_then(|evidence| evidence.peer.as_deref()).map(Arc::from),
            closed_because: evidence.and_then(|evidence| evidence.closed_because.clone()),
        };
        Self {
            id,
            protocol,
            identity,
            rules: ArcSwap::from_pointee(rules),
            life: Mutex::new(life),
            judged: AtomicU8::new(place(presence)),
            heard_ms: AtomicI64::new(-1),
            last_bytes_ms: ms(last_bytes_at),
            last_reading_ms: ms(last_reading_at),
            counters: Counted::default(),
        }
    }

    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    pub(crate) fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    pub(crate) fn learnt(&self) -> Learnt {
        self.life().learnt()
    }

    /// Takes new findings in, beside the older ones of other names; all of them when one says something new.
    pub(crate) fn learn(&self, news: Learnt) -> Option<Learnt> {
        let mut life = self.life();
        let mut changed = false;
        for (name, finding) in news {
            match life.learnt.binary_search_by(|(known, _)| (**known).cmp(&name)) {
                Ok(place) => {
                    if let Some((_, known)) = life.learnt.get_mut(place).filter(|(_, known)| **known != *finding) {
                        *known = finding.into();
                        changed = true;
                    }
                }
                Err(place) if life.learnt.len() < LEARNT_MAX => {
                    life.learnt.insert(place, (name.into(), finding.into()));
                    life.learnt.shrink_to_fit();
                    changed = true;
                }
                Err(_) => {}
            }
        }
        changed.then(|| life.learnt())
    }

    /// Bytes came. Cheap: no lock unless the device was not fresh; then the change, if there is one.
    pub(crate) fn heard(&self, now: Now, bytes: u64) -> Option<Evidence> {
        self.counters.bytes_in.add(bytes);
        self.mark(now);
        if self.judged.load(Ordering::Relaxed) == place(Presence::ConnectedFresh) { None } else { self.review(now) }
    }

    /// A reading came.
    pub(crate) fn read(&self, now: Now, readings: u64) {
        self.counters.readings.add(readings);
        self.last_reading_ms.store(now.wall.unix_ms(), Ordering::Relaxed);
    }

    /// A session logged in. At most `stay_max` of its older sessions stay; the oldest ones beyond are told that their
    /// turn is over, and counted in the answer.
    pub(crate) fn enter(&self, now: Now, pass: &Pass, peer: &Arc<str>, habit: Habit, stay_max: usize) -> usize {
        self.counters.logins.one_more();
        self.mark(now);
        let mut life = self.life();
        life.sessions.retain(|live| live.number != pass.number);
        let over = life.sessions.len().saturating_sub(stay_max);
        for live in life.sessions.drain(..over) {
            live.mailbox.shutdown(CloseReason::TakenOver);
        }
        // Nearly always the only one, and a vector would start with four.
        life.sessions.reserve_exact(1);
        life.sessions.push(Live { number: pass.number, mailbox: Arc::clone(pass.mailbox()) });
        life.habit = habit;
        life.peer = Some(Arc::clone(peer));
        over
    }

    /// A session ended. False when it was not one of the device's any more.
    pub(crate) fn leave(&self, number: SessionNumber, because: &str, manner: Manner) -> bool {
        let mut life = self.life();
        let before = life.sessions.len();
        life.sessions.retain(|live| live.number != number);
        let left = life.sessions.len() < before;
        if left && life.sessions.is_empty() {
            life.closed_because = Some(because.to_owned());
            life.ended = manner;
        }
        left
    }

    /// Ends every session of the device.
    pub(crate) fn expel(&self, reason: &CloseReason) {
        for live in &self.life().sessions {
            live.mailbox.shutdown(reason.clone());
        }
    }

    /// The newest session.
    pub(crate) fn newest(&self) -> Option<(SessionNumber, Arc<Mailbox>)> {
        self.life().sessions.last().map(|live| (live.number, Arc::clone(&live.mailbox)))
    }

    pub(crate) fn expect_within(&self, limit: Duration) {
        self.life().expect_within = limit;
    }

    /// Judges anew; the evidence when the presence changed.
    pub(crate) fn review(&self, now: Now) -> Option<Evidence> {
        let mut life = self.life();
        let presence = judge(&self.facts(&life, now));
        if presence == life.presence {
            return None;
        }
        life.presence = presence;
        life.since = Some(now.wall);
        self.judged.store(place(presence), Ordering::Relaxed);
        Some(self.evidence_of(&life))
    }

    /// What is known about its presence now.
    pub(crate) fn evidence(&self, now: Now) -> Evidence {
        let life = self.life();
        let presence = judge(&self.facts(&life, now));
        Evidence { presence, ..self.evidence_of(&life) }
    }

    pub(crate) fn presence(&self) -> Presence {
        self.life().presence
    }

    /// Its presence now, and since when.
    pub(crate) fn standing(&self, now: Now) -> (Presence, Option<Timestamp>) {
        let life = self.life();
        (judge(&self.facts(&life, now)), life.since)
    }

    /// The place it belongs to: the one that somebody named, or the one in its identity.
    pub(crate) fn site<'a>(&'a self, rules: &'a Rules) -> Option<&'a str> {
        rules.site.as_ref().map(Site::as_str).or_else(|| Site::of_identity(&self.identity))
    }

    /// When bytes were last received; our clock.
    pub(crate) fn last_bytes_at(&self) -> Option<Timestamp> {
        moment(&self.last_bytes_ms)
    }

    /// When a reading was last received; our clock.
    pub(crate) fn last_reading_at(&self) -> Option<Timestamp> {
        moment(&self.last_reading_ms)
    }

    pub(crate) fn status(&self, now: Now) -> DeviceStatus {
        let rules = self.rules();
        DeviceStatus {
            id: self.id.clone(),
            protocol: self.protocol.to_owned(),
            identity: self.identity.clone(),
            site: self.site(&rules).map(str::to_owned),
            state: rules.state,
            source: rules.source,
            added_at: rules.added_at,
            evidence: self.evidence(now),
            counters: self.counters.read(),
            learnt: self.learnt(),
        }
    }

    /// The device as the store keeps it, under these rules.
    pub(crate) fn record(&self, rules: &Rules) -> DeviceRecord {
        DeviceRecord {
            id: self.id.clone(),
            protocol: self.protocol.to_owned(),
            identity: self.identity.clone(),
            state: rules.state,
            secret: rules.secret.clone(),
            login: rules.login,
            settings: rules.settings.text().to_owned(),
            learnt: self.learnt(),
            added_at: rules.added_at.unwrap_or_default(),
            source: rules.source,
            site: rules.site.clone(),
        }
    }

    fn mark(&self, now: Now) {
        let elapsed_ms = i64::try_from(now.elapsed.as_millis()).unwrap_or(i64::MAX);
        self.heard_ms.store(elapsed_ms, Ordering::Relaxed);
        self.last_bytes_ms.store(now.wall.unix_ms(), Ordering::Relaxed);
    }

    fn facts(&self, life: &Life, now: Now) -> Facts {
        let heard = u64::try_from(self.heard_ms.load(Ordering::Relaxed)).ok();
        Facts {
            connected: !life.sessions.is_empty(),
            habit: life.habit,
            ended: life.ended,
            silence: heard.map(|ms| now.elapsed.saturating_sub(Duration::from_millis(ms))),
            expect_within: life.expect_within,
            last_bytes_at: self.last_bytes_at(),
        }
    }

    fn evidence_of(&self, life: &Life) -> Evidence {
        Evidence {
            presence: life.presence,
            since: life.since,
            last_bytes_at: self.last_bytes_at(),
            last_reading_at: self.last_reading_at(),
            peer: life.peer.as_deref().map(str::to_owned),
            closed_because: life.closed_because.clone(),
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().expect("nothing panics while it holds a device's life")
    }
}

impl Counted {
    fn read(&self) -> DeviceCounters {
        DeviceCounters {
            logins: self.logins.value(),
            refusals: self.refusals.value(),
            bytes_in: self.bytes_in.value(),
            bytes_out: self.bytes_out.value(),
            packets: self.packets.value(),
            readings: self.readings.value(),
            faults: self.faults.value(),
            dropped: self.dropped.value(),
        }
    }
}

fn moment(ms: &AtomicI64) -> Option<Timestamp> {
    let ms = ms.load(Ordering::Relaxed);
    (ms != i64::MIN).then(|| Timestamp::from_unix_ms(ms))
}

/// The index in `Presence::ALL`.
fn place(presence: Presence) -> u8 {
    match presence {
        Presence::ConnectedFresh => 0,
        Presence::ConnectedSilent => 1,
        Presence::Offline => 2,
        Presence::Never => 3,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loggerhead_model::{DeviceId, Evidence, Identity, Learnt, Presence, Timestamp};
    use loggerhead_protocols::Now;
    use loggerhead_store::{DeviceSource, DeviceState, Login};

    use super::{Device, LEARNT_MAX, Past, Rules};
    use crate::own_settings::OwnSettings;

    fn device(past: Past) -> Device {
        let rules = Rules {
            state: DeviceState::Active,
            source: DeviceSource::Operator,
            secret: None,
            login: Login::Secret,
            settings: OwnSettings::default(),
            added_at: None,
            site: None,
        };
        let (id, identity) = (DeviceId::new("a"), Identity::new("a"));
        Device::new(id.expect("a legal id"), "toy", identity.expect("a legal identity"), rules, past)
    }

    fn at(seconds: u64) -> Now {
        let wall = Timestamp::from_unix_ms(i64::try_from(seconds).expect("small") * 1000);
        Now { elapsed: Duration::from_secs(seconds), wall }
    }

    #[test]
    fn evidence_of_an_earlier_process_stands_but_nobody_is_connected() {
        let evidence = Evidence {
            presence: Presence::ConnectedFresh,
            since: Some(Timestamp::from_unix_ms(1)),
            last_bytes_at: Some(Timestamp::from_unix_ms(2)),
            last_reading_at: None,
            peer: Some("10.0.0.1:99".to_owned()),
            closed_because: None,
        };
        let device = device(Past { evidence: Some(evidence), learnt: Learnt::new() });
        let now = device.evidence(at(5));
        assert_eq!(now.presence, Presence::Offline);
        assert_eq!(now.last_bytes_at, Some(Timestamp::from_unix_ms(2)));
    }

    #[test]
    fn a_change_of_presence_is_told_once() {
        let device = device(Past::default());
        assert_eq!(device.evidence(at(0)).presence, Presence::Never);
        assert!(device.review(at(0)).is_none());
        assert_eq!(device.heard(at(1), 10).map(|evidence| evidence.presence), Some(Presence::Offline));
        assert!(device.heard(at(2), 10).is_none());
        assert_eq!(device.status(at(2)).counters.bytes_in, 20);
    }

    #[test]
    fn findings_add_up_within_a_limit() {
        let device = device(Past::default());
        let news = |name: &str, finding: &str| Learnt::from([(name.to_owned(), finding.to_owned())]);
        assert!(device.learn(news("dialect", "national")).is_some());
        assert!(device.learn(news("dialect", "national")).is_none());
        assert_eq!(device.learn(news("crc", "a2")).map(|all| all.len()), Some(2));
        for number in 0..2 * LEARNT_MAX {
            device.learn(news(&number.to_string(), "x"));
        }
        assert_eq!(device.learnt().len(), LEARNT_MAX);
    }
}
