//! What a device says once it is in, and what it is asked.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{
    Command, CommandId, CommandState, Direction, Event, EventKind, Learnt, Order, RawFrame, Records, Report, Severity,
    Value,
};

use super::dialect::{AfterLogin, CipherUse, DataAnswer, Dialect};
use super::frame::{Cut, Cutter, FRAME_BYTES_MAX};
use super::liveness::INTERVAL_MAX;
use super::message::{Ack, ControlResult, Data, DataHead, DataKind, IdStyle, Message, Place, Talk, Word};
use super::orders::Waiting;
use super::outstanding::{Answer, Mark, Part, Then};
use super::session::{HeadEnd, Heard, Marks, Member, ReportedBefore, Stage};
use super::settings::HeartbeatAnswer;
use super::xml::Element;
use crate::{Fault, FaultKind, Now, Output};

/// Most characters of a device's own words in one event or answer.
const WORDS_CHARS_MAX: usize = 1000;
/// Most characters of one finding that is remembered.
const FINDING_CHARS_MAX: usize = 64;
/// What a device says of itself that is remembered with it.
const FINDINGS: [&str; 5] = ["build_name", "dev_no", "factory", "hardware", "software"];
/// Shortest interval between reports that is believed.
const INTERVAL_MIN: Duration = Duration::from_secs(10);
/// Longest that an order waits for a pause in what we send to a device that never stops.
const GAP_WAIT_MAX: Duration = Duration::from_secs(2);

impl HeadEnd {
    /// Acts on a message that was understood.
    pub(super) fn hear(&mut self, now: Now, heard: Heard) -> Result<(), Fault> {
        let Heard { marks, speaker, message, raw } = heard;
        if let Message::Talk(Talk::Request) = message {
            let envelope = speaker.or_else(|| self.member_envelope());
            return envelope.map_or(Ok(()), |envelope| self.request(envelope, marks));
        }
        if let Message::Talk(Talk::Md5 { md5 }) = message {
            return self.md5(speaker, marks, md5);
        }
        let Stage::In(member) = &mut self.stage else {
            return self.stranger(Heard { marks, speaker, message, raw });
        };
        if speaker.is_some() {
            return self.other_speaker(Heard { marks, speaker, message, raw });
        }
        member.liveness.message(now.elapsed);
        self.forgive();
        match message {
            Message::Data(data) => self.data(now, marks, data, raw)?,
            Message::Talk(talk) => self.talk(now, marks, talk, raw)?,
            Message::Ack(_) => return self.wrong_side("an acknowledgement"),
        }
        self.tell_rhythm();
        Ok(())
    }

    fn member_envelope(&self) -> Option<super::message::Envelope<'static>> {
        if let Stage::In(member) = &self.stage { Some(member.envelope.clone()) } else { None }
    }

    /// Somebody else speaks on the connection of a device that is logged in.
    fn other_speaker(&mut self, heard: Heard) -> Result<(), Fault> {
        if self.allows_visits(heard.marks) {
            return self.stranger(heard);
        }
        let reason = format!("{} of another device than the one that is logged in", heard.message.word());
        self.fault(Fault::new(FaultKind::NotProven, reason))
    }

    fn wrong_side(&mut self, what: &str) -> Result<(), Fault> {
        self.fault(Fault::new(FaultKind::OutOfOrder, format!("{what}, which only a head-end sends")))
    }

    /// Readings go to the store, and an acknowledgement waits for them.
    fn data(&mut self, now: Now, marks: Marks, data: Data, raw: Bytes) -> Result<(), Fault> {
        let Data { head, report, saw_192, untimed } = data;
        let (then, part) = self.then(marks, &head, report.len());
        let mark = mark_of(&head, &report);
        let Stage::In(member) = &mut self.stage else { return Ok(()) };
        let mut news = Learnt::new();
        if saw_192 && !member.saw_192 {
            member.saw_192 = true;
            news.insert("saw_192".to_owned(), "yes".to_owned());
        }
        if head.kind == DataKind::Report
            && let Some(time) = head.time
        {
            reported(member, time.unix_ms().div_euclid(1000), &mut news);
        }
        let records = Records {
            device: member.device.clone(),
            received_at: now.wall,
            report: (!report.is_empty()).then_some(report),
            frame: Some(RawFrame { direction: Direction::In, bytes: raw }),
            events: Vec::new(),
            notes: Vec::new(),
        };
        if !news.is_empty() {
            self.outputs.push_back(Output::Learnt(news));
        }
        if untimed > 0 {
            let reason = format!("{untimed} readings without a readable time, stored under our own");
            self.fault(Fault::new(FaultKind::Malformed, reason))?;
        }
        let ticket = self.outstanding.push(then, part, mark);
        self.outputs.push_back(Output::Store(ticket, records));
        Ok(())
    }

    /// What follows when a packet is on disk.
    fn then(&mut self, marks: Marks, head: &DataHead, readings: usize) -> (Then, Part) {
        let Stage::In(member) = &self.stage else { return (Then::Nothing, Part::Alone) };
        let habits = &marks.dialect.habits;
        let is_project = member.envelope.style == IdStyle::Project;
        let wanted = match head.kind {
            DataKind::Report => {
                let usual = if is_project { habits.report_of_project } else { habits.report };
                self.settings.report_answer.unwrap_or(usual)
            }
            DataKind::Continuous => {
                let usual = if is_project { habits.continuous_of_project } else { habits.continuous };
                self.settings.continuous_answer.unwrap_or(usual)
            }
            DataKind::Reply => return (self.then_of_reply(head, readings), Part::Alone),
        };
        let is_last = head.kind == DataKind::Continuous && head.total.is_some() && head.total == head.current;
        let place = if is_last { Place::Last } else { Place::Within };
        let speaks_for_all = match wanted {
            DataAnswer::ContinuousAtEnd | DataAnswer::DataAck | DataAnswer::RecordArrive => {
                head.kind == DataKind::Continuous
            }
            DataAnswer::Nothing
            | DataAnswer::ReportAck
            | DataAnswer::ContinuousNumbered
            | DataAnswer::ContinuousEmpty
            | DataAnswer::EnergyOk => false,
        };
        let part = if speaks_for_all { Part::Backlog(head.current) } else { Part::Alone };
        let ack = match wanted {
            DataAnswer::ContinuousAtEnd if place == Place::Within => return (Then::Nothing, part),
            DataAnswer::Nothing => return (Then::Nothing, part),
            DataAnswer::ReportAck => Ack::Report,
            DataAnswer::ContinuousNumbered => Ack::Continuous { number: head.current },
            DataAnswer::ContinuousEmpty | DataAnswer::ContinuousAtEnd => Ack::Continuous { number: None },
            DataAnswer::EnergyOk => Ack::Energy { time: head.time_text, text: Word::new("OK").unwrap_or_default() },
            DataAnswer::DataAck => Ack::Data { sequence: head.sequence, place },
            DataAnswer::RecordArrive => match place {
                Place::Within => Ack::RecordArrive,
                Place::Last => Ack::Continuous { number: None },
            },
        };
        let answer = Answer { ack, sequence: marks.sequence };
        (if speaks_for_all && is_last { Then::AckAll(answer) } else { Then::Ack(answer) }, part)
    }

    /// A query may be answered in several packets; the last one settles it.
    fn then_of_reply(&mut self, head: &DataHead, readings: usize) -> Then {
        let is_whole = head.total.is_none() || head.total == head.current;
        let answered = if is_whole { self.answered(Waiting::Reply) } else { None };
        answered.map_or(Then::Nothing, |id| Then::Tell(id, format!("{readings} readings")))
    }

    /// Everything that carries no readings.
    fn talk(&mut self, now: Now, marks: Marks, talk: Talk, raw: Bytes) -> Result<(), Fault> {
        match talk {
            // Both were taken care of before.
            Talk::Request | Talk::Md5 { .. } => {}
            Talk::Notify { .. } => {
                let talk = self.heartbeat_answer(now);
                self.reply(now, marks, &talk)?;
            }
            Talk::AutoHistory => self.reply(now, marks, &Talk::AutoHistoryAck)?,
            Talk::Device(element) => {
                self.describe(now, &element, raw);
                self.reply(now, marks, &Talk::DeviceAck)?;
                let follows = self.settings.after_login.unwrap_or(marks.dialect.habits.after_login);
                if follows == AfterLogin::Archives {
                    // One that has too many orders waiting is asked for its meters often enough.
                    let _ = self.push_order(now, None, Order::Describe);
                }
            }
            Talk::ArchivesAck(element) => {
                self.describe(now, &element, raw);
                self.settle(Waiting::Archives, CommandState::Answered(words_of(&element)));
            }
            Talk::PeriodAck => self.settle(Waiting::Period, CommandState::Answered("period set".to_owned())),
            Talk::ControlAck(results) => {
                self.settle(Waiting::Control, CommandState::Answered(words_of_control(&results)));
            }
            Talk::Standard { name, code } => self.standard(&name, code),
            Talk::Unknown { kind, .. } => self.unknown(now, &kind, raw),
            Talk::Sequence { .. }
            | Talk::LoginResult { .. }
            | Talk::Time { .. }
            | Talk::HeartResult
            | Talk::Query { .. }
            | Talk::Period { .. }
            | Talk::AutoHistoryAck
            | Talk::DeviceAck
            | Talk::Archives
            | Talk::Control(_)
            | Talk::SetKey { .. } => self.wrong_side(talk.word())?,
        }
        Ok(())
    }

    fn reply(&mut self, now: Now, marks: Marks, talk: &Talk) -> Result<(), Fault> {
        match self.member_envelope() {
            Some(envelope) => self.say(now, &envelope, marks, talk),
            None => Ok(()),
        }
    }

    fn heartbeat_answer(&self, now: Now) -> Talk {
        let time = Talk::Time { time: Some(now.wall) };
        let is_project = matches!(&self.stage, Stage::In(member) if member.envelope.style == IdStyle::Project);
        match self.settings.heartbeat_answer {
            HeartbeatAnswer::ById if is_project => Talk::HeartResult,
            HeartbeatAnswer::ById | HeartbeatAnswer::Time => time,
            HeartbeatAnswer::HeartResult => Talk::HeartResult,
        }
    }

    /// Keeps what a device says of itself, and remembers the best of it.
    fn describe(&mut self, now: Now, element: &Element, raw: Bytes) {
        let mut news = Learnt::new();
        for name in FINDINGS {
            if let Some(found) = find(element, name).filter(|found| !found.is_empty()) {
                news.insert(name.to_owned(), found.chars().take(FINDING_CHARS_MAX).collect());
            }
        }
        if !news.is_empty() {
            self.outputs.push_back(Output::Learnt(news));
        }
        let minutes = find(element, "period").and_then(|text| text.parse().ok());
        if let (Stage::In(member), Some(minutes)) = (&mut self.stage, minutes) {
            member.liveness.suppose(Duration::from_mins(minutes).min(INTERVAL_MAX));
        }
        self.keep(now, EventKind::DeviceInfo, Severity::Info, words_of(element).into(), raw);
    }

    fn unknown(&mut self, now: Now, kind: &str, raw: Bytes) {
        let kind: String = kind.chars().take(FINDING_CHARS_MAX).collect();
        self.keep(now, EventKind::UnknownMessage, Severity::Warning, format!("message of type {kind:?}").into(), raw);
    }

    fn keep(&mut self, now: Now, kind: EventKind, severity: Severity, text: Cow<'static, str>, raw: Bytes) {
        let Stage::In(member) = &self.stage else { return };
        let device = member.device.clone();
        let event = Event { at: now.wall, severity, kind, device: Some(device.clone()), peer: None, text };
        let frame = Some(RawFrame { direction: Direction::In, bytes: raw });
        let events = vec![event];
        let records = Records { device, received_at: now.wall, report: None, frame, events, notes: Vec::new() };
        self.outputs.push_back(Output::Keep(records));
    }

    /// Sends a frame; `shown`, the dialect that it is in, has it shown to people.
    pub(super) fn send(&mut self, now: Now, out: Bytes, shown: Option<&'static Dialect>) {
        self.last_sent = now.elapsed;
        self.outputs.push_back(Output::Send(out.clone()));
        if let Some(dialect) = shown {
            self.show(dialect, out);
        }
    }

    /// Tells people what was sent to a device that is logged in.
    fn show(&mut self, dialect: &'static Dialect, sent: Bytes) {
        if !matches!(self.stage, Stage::In(_)) {
            return;
        }
        let plain = if dialect.cipher == CipherUse::Never { Some(sent) } else { self.plain(dialect, &sent) };
        self.outputs.extend(plain.map(Output::Said));
    }

    /// A frame of ours as it reads without its cipher.
    fn plain(&self, dialect: &'static Dialect, sent: &[u8]) -> Option<Bytes> {
        let mut cutter = Cutter::new(Some(dialect), FRAME_BYTES_MAX);
        cutter.push(sent);
        let Ok(Some(Cut::Frame(mut frame))) = cutter.cut() else { return None };
        if frame.is_enciphered() {
            self.key.as_ref()?.key.decipher(frame.body_mut()).ok()?;
        }
        Some(frame.into_bytes())
    }

    /// Tells what changed in the device's rhythm.
    fn tell_rhythm(&mut self) {
        let Stage::In(member) = &mut self.stage else { return };
        let Some(expected) = member.liveness.news(&self.settings) else { return };
        self.outputs.push_back(Output::ExpectWithin(expected));
        if let Some(interval_s) = member.liveness.interval_s() {
            let news = Learnt::from([("interval_s".to_owned(), interval_s.to_string())]);
            self.outputs.push_back(Output::Learnt(news));
        }
    }

    /// An operator asks something of the device.
    pub(super) fn command(&mut self, now: Now, command: Command) {
        let Command { id, order, .. } = command;
        let taken = match &self.stage {
            Stage::In(_) => self.push_order(now, Some(id), order),
            Stage::Strange
            | Stage::Asking(_)
            | Stage::Challenged(_)
            | Stage::Proving(_)
            | Stage::Refused(_)
            | Stage::Closed => Err("the device is not logged in on this connection".to_owned()),
        };
        match taken {
            Ok(()) => self.order(now),
            Err(reason) => self.outputs.push_back(Output::Command(id, CommandState::Failed(reason))),
        }
    }

    /// Sends the next order if it may be sent, and gives up on one that nobody answered.
    pub(super) fn order(&mut self, now: Now) {
        let sendable_at = self.sendable_at();
        let Some(orders) = self.orders.as_mut() else { return };
        if let Some(id) = orders.expired(now.elapsed) {
            self.outputs.push_back(Output::Command(id, CommandState::Expired));
        }
        if sendable_at > now.elapsed {
            return;
        }
        let Some((id, order)) = orders.start(now.elapsed + self.settings.command_wait) else {
            self.forget_orders();
            return;
        };
        let Stage::In(member) = &self.stage else { return };
        let (dialect, envelope) = (member.dialect, member.envelope.clone());
        let marks = Marks { dialect, sequence: dialect.sequence.unwrap_or_default(), crc: self.crc };
        // The pause before the next order is counted from here.
        self.ordered_at = Some(now.elapsed);
        let state = match self.say(now, &envelope, marks, &talk_of(order)) {
            Ok(()) => CommandState::Sent,
            Err(fault) => {
                self.drop_order();
                CommandState::Failed(format!("it cannot be said in this dialect: {}", fault.reason))
            }
        };
        if let Some(id) = id {
            self.outputs.push_back(Output::Command(id, state));
        }
    }
}

impl HeadEnd {
    /// When an order may be sent: after a pause in what we send, but not never.
    pub(super) fn sendable_at(&self) -> Duration {
        let pause_ends = self.last_sent + self.settings.gap;
        self.ordered_at.map_or(pause_ends, |ordered_at| pause_ends.min(ordered_at + GAP_WAIT_MAX))
    }

    /// The command that waits for this answer, if one does.
    fn answered(&mut self, waiting: Waiting) -> Option<CommandId> {
        let id = self.orders.as_mut()?.answered(waiting);
        self.forget_orders();
        id
    }

    fn settle(&mut self, waiting: Waiting, state: CommandState) {
        if let Some(id) = self.answered(waiting) {
            self.outputs.push_back(Output::Command(id, state));
        }
    }

    fn standard(&mut self, name: &str, code: i32) {
        let state = match code {
            1 => CommandState::Answered("done".to_owned()),
            0 => CommandState::Failed("the device does not support it".to_owned()),
            code => CommandState::Failed(format!("the device answers error {code}")),
        };
        if let Some(waiting) = Waiting::named(name) {
            self.settle(waiting, state);
        }
    }

    fn push_order(&mut self, now: Now, id: Option<CommandId>, order: Order) -> Result<(), String> {
        self.orders.get_or_insert_default().push(id, order)?;
        self.ordered_at.get_or_insert(now.elapsed);
        Ok(())
    }

    /// Waits no longer for the answer to the order that was started last.
    fn drop_order(&mut self) {
        if let Some(orders) = self.orders.as_mut() {
            orders.drop_active();
        }
        self.forget_orders();
    }

    /// An idle connection keeps no memory.
    fn forget_orders(&mut self) {
        if self.orders.take_if(|orders| orders.is_empty()).is_some() {
            self.ordered_at = None;
        }
    }
}

/// Learns from the device's own clock how often it reports, also over connections that were given up too early.
fn reported(member: &mut Member, at_s: i64, news: &mut Learnt) {
    if let ReportedBefore::At(before) = std::mem::replace(&mut member.reported_before, ReportedBefore::Past) {
        let interval =
            before.and_then(|before| u64::try_from(at_s.saturating_sub(before)).ok()).map(Duration::from_secs);
        if let Some(interval) = interval.filter(|interval| (INTERVAL_MIN..=INTERVAL_MAX).contains(interval)) {
            member.liveness.suppose(interval);
        }
        news.insert("reported_at".to_owned(), at_s.to_string());
    }
}

/// What a packet is known by when it comes again. The size of a backlog may have grown by then.
fn mark_of(head: &DataHead, report: &Report) -> Mark {
    let mut hasher = DefaultHasher::new();
    (head.kind.word(), head.sequence.as_str(), head.time_text.as_str(), head.current, report.len()).hash(&mut hasher);
    if let Some(first) = report.readings().next() {
        (first.meter, first.function, first.measured_at).hash(&mut hasher);
        match first.value {
            Value::Decimal(decimal) => (decimal.mantissa, decimal.scale).hash(&mut hasher),
            Value::Text(text) => text.hash(&mut hasher),
        }
    }
    hasher.finish()
}

fn talk_of(order: Order) -> Talk {
    match order {
        Order::Period { minutes } => Talk::Period { minutes },
        Order::Query { from, to } => Talk::Query { from, to },
        Order::Describe => Talk::Archives,
        Order::Control { lines } => Talk::Control(lines),
        Order::SetKey { kind, key } => Talk::SetKey { kind, key },
    }
}

/// The first element of that name, anywhere.
fn find<'a>(element: &'a Element, name: &str) -> Option<&'a str> {
    if element.name.eq_ignore_ascii_case(name) {
        return Some(&element.text);
    }
    element.children.iter().find_map(|child| find(child, name))
}

/// What stands in an element, as `name=text` one after another, cut to `WORDS_CHARS_MAX`.
fn words_of(element: &Element) -> String {
    let mut words = String::new();
    collect_words(element, &mut words);
    cut(words)
}

fn collect_words(element: &Element, words: &mut String) {
    if words.len() > WORDS_CHARS_MAX {
        return;
    }
    let separator = if words.is_empty() { "" } else { " " };
    if !element.text.is_empty() {
        words.push_str(separator);
        words.extend([element.name.as_str(), "=", element.text.as_str()]);
    } else if !element.attributes.is_empty() && !element.name.eq_ignore_ascii_case("instruction") {
        words.push_str(separator);
        words.push_str(&element.name);
        for (name, value) in &element.attributes {
            words.extend([" ", name, "=", value]);
        }
    }
    for child in &element.children {
        collect_words(child, words);
    }
}

fn words_of_control(results: &[ControlResult]) -> String {
    let mut words = String::new();
    for ControlResult { meter, error, answer, .. } in results {
        let separator = if words.is_empty() { "" } else { "; " };
        // Writing to a text cannot fail.
        let _ = write!(words, "{separator}meter {meter}:");
        for word in [error, answer].into_iter().filter(|word| !word.is_empty()) {
            let _ = write!(words, " {word}");
        }
        if words.len() > WORDS_CHARS_MAX {
            break;
        }
    }
    cut(words)
}

fn cut(words: String) -> String {
    match words.char_indices().nth(WORDS_CHARS_MAX) {
        Some((end, _)) => format!("{}..", words.get(..end).unwrap_or_default()),
        None => words,
    }
}
