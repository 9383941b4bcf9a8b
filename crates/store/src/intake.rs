//! Puts one batch together: gives numbers, leaves out what is stored already, finds conflicts, gathers frames.

use std::sync::RwLock;

use loggerhead_model::{
    Event, EventKind, Note, Origin, RawFrame, Reading, Records, Report, ReportBuilder, ReportFull, Severity, Timestamp,
    Value,
};
use rusqlite::Connection;

use crate::dictionary::Dictionary;
use crate::frames::{Block, Gatherer};
use crate::hot::Hot;
use crate::identity::{Identities, Known};
use crate::limits::OverLimit;
use crate::log::{Batch, Packet};
use crate::row::{Row, TEXT};
use crate::{FrameKeeping, StoreError};

/// How far a happening moves on from a moment that is taken, in milliseconds: nobody sees a quarter of a second, and whoever
/// raises more than that in one moment has no clock. The writer looks at each of them.
const MOVED_MS_MAX: i64 = 250;

/// A reading that is stored with another value.
#[derive(Debug)]
pub(crate) struct NewConflict {
    pub(crate) channel: u32,
    pub(crate) measured_at: i64,
    pub(crate) value: String,
    pub(crate) first: String,
    pub(crate) tag: u32,
    pub(crate) received_at: i64,
    pub(crate) origin: Origin,
    /// What to tell operators if nobody knows of it yet.
    pub(crate) event: Event,
}

/// A batch that is being put together.
#[derive(Default)]
pub(crate) struct Intake {
    pub(crate) batch: Batch,
    pub(crate) blocks: Vec<Block>,
    pub(crate) events: Vec<Event>,
    pub(crate) conflicts: Vec<NewConflict>,
    pub(crate) notes: Vec<Note>,
    /// The packets with the readings that are new; those without any are left out.
    pub(crate) records: Vec<Records>,
    pub(crate) resent: u64,
    /// Of each packet, whether it was taken; one that is over a limit is not, and nothing of it is in here.
    pub(crate) taken: Vec<bool>,
    frames: Gatherer,
    numbers: Vec<(u32, u32)>,
    /// Of each reading of a packet, the moment at which it is new; none for one that is stored already.
    moments: Vec<Option<Timestamp>>,
}

/// What an intake asks about what is stored.
pub(crate) struct Stored<'a> {
    pub(crate) dictionary: &'a mut Dictionary,
    pub(crate) identities: &'a mut Identities,
    pub(crate) hot: &'a RwLock<Hot>,
    pub(crate) connection: &'a Connection,
}

impl Stored<'_> {
    fn judge(&mut self, channel: u32, reading: &Reading<'_>, batch: &Batch) -> Result<Known, StoreError> {
        let measured_at = reading.measured_at.unix_ms();
        self.identities.judge(channel, measured_at, reading.value, batch, self.hot, self.connection)
    }
}

impl Intake {
    /// Forgets the batch, keeps the memory.
    pub(crate) fn begin(&mut self) {
        self.batch.clear();
        self.frames.clear();
        self.blocks.clear();
        self.events.clear();
        self.conflicts.clear();
        self.notes.clear();
        self.records.clear();
        self.resent = 0;
        self.taken.clear();
    }

    /// Adds a packet, unless it is over a limit.
    pub(crate) fn add(
        &mut self,
        mut records: Records,
        frames: FrameKeeping,
        stored: &mut Stored<'_>,
    ) -> Result<(), StoreError> {
        let device = match self.number(&records, stored.dictionary) {
            Ok(device) => device,
            Err(over) => {
                self.taken.push(false);
                self.refuse(&records, over, stored.dictionary);
                return Ok(());
            }
        };
        self.taken.push(true);
        self.events.append(&mut records.events);
        self.notes.append(&mut records.notes);
        let Some(device) = device else { return Ok(()) };
        if let (Some(frame), FrameKeeping::Keep) = (records.frame.take(), frames) {
            self.add_frame(device, records.received_at, &frame);
        }
        let Some(report) = records.report.take() else { return Ok(()) };
        let new = self.add_report(device, &records, &report, stored)?;
        self.resent += (report.len() - new) as u64;
        records.report = if new == report.len() && !report.happenings {
            Some(report)
        } else {
            only_new(&report, &self.moments).ok()
        };
        if new > 0 {
            self.records.push(records);
        }
        Ok(())
    }

    /// The number of the device, if there is anything that needs one; `self.numbers` are those of its readings then.
    fn number(&mut self, records: &Records, dictionary: &mut Dictionary) -> Result<Option<u32>, OverLimit> {
        self.numbers.clear();
        if records.report.is_none() && records.frame.is_none() {
            return Ok(None);
        }
        let device = dictionary.device(&records.device)?;
        if let Some(report) = &records.report {
            dictionary.numbers(device, report, &mut self.numbers)?;
        }
        Ok(Some(device))
    }

    fn refuse(&mut self, records: &Records, over: OverLimit, dictionary: &mut Dictionary) {
        if dictionary.tells_refusal(&records.device, records.received_at) {
            let device = records.device.as_str();
            tracing::warn!(device, %over, "packets are not stored and not acknowledged");
            self.events.push(Event {
                at: records.received_at,
                severity: Severity::Warning,
                kind: EventKind::Refused,
                device: Some(records.device.clone()),
                peer: None,
                text: format!("packets are not stored and not acknowledged: {over}").into(),
            });
        }
    }

    /// Closes the last block of frames.
    pub(crate) fn finish(&mut self) {
        self.blocks.extend(self.frames.finish());
    }

    fn add_frame(&mut self, device: u32, received_at: Timestamp, frame: &RawFrame) {
        self.blocks.extend(self.frames.add(device, received_at.unix_ms(), frame));
    }

    /// Adds the readings that are new, and gives their number; `self.moments` says of each when it is new.
    fn add_report(
        &mut self,
        device: u32,
        records: &Records,
        report: &Report,
        stored: &mut Stored<'_>,
    ) -> Result<usize, StoreError> {
        self.moments.clear();
        let received_at = records.received_at.unix_ms();
        let before = self.batch.rows.len();
        for (mut reading, &(channel, tag)) in report.readings().zip(&self.numbers) {
            let mut known = stored.judge(channel, &reading, &self.batch)?;
            let mut moves = if report.happenings { MOVED_MS_MAX } else { 0 };
            while moves > 0 && matches!(known, Known::Other(_)) {
                moves -= 1;
                reading.measured_at = Timestamp::from_unix_ms(reading.measured_at.unix_ms().saturating_add(1));
                known = stored.judge(channel, &reading, &self.batch)?;
            }
            let measured_at = reading.measured_at.unix_ms();
            self.moments.push((known == Known::New).then_some(reading.measured_at));
            match known {
                Known::New => {
                    let (number, scale) = match reading.value {
                        Value::Decimal(decimal) => (decimal.mantissa, decimal.scale),
                        Value::Text(text) => {
                            self.batch.texts.push(Box::from(text));
                            (i64::try_from(self.batch.texts.len() - 1).unwrap_or(i64::MAX), TEXT)
                        }
                    };
                    let origin = report.origin as u8;
                    self.batch.channels.push(channel);
                    self.batch.rows.push(Row { measured_at, received_at, number, tag, scale, origin });
                }
                Known::Same => {}
                Known::Other(first) => {
                    self.conflicts.push(NewConflict {
                        channel,
                        measured_at,
                        value: reading.value.to_string(),
                        tag,
                        received_at,
                        origin: report.origin,
                        event: conflict_event(records, &reading, &first),
                        first,
                    });
                }
            }
        }
        let new = self.batch.rows.len() - before;
        if new > 0 {
            let rows = u32::try_from(new).expect("a report is bounded");
            self.batch.packets.push(Packet { device, received_at, origin: report.origin as u8, rows });
        }
        Ok(new)
    }
}

/// The report with the readings that are new, each at its moment. What a conflict holds is not new.
fn only_new(report: &Report, moments: &[Option<Timestamp>]) -> Result<Report, ReportFull> {
    let mut builder = ReportBuilder::new(report.origin, 0, report.len());
    let mut meter = None;
    for (mut reading, moment) in report.readings().zip(moments) {
        let Some(moment) = *moment else { continue };
        reading.measured_at = moment;
        if meter != Some(reading.meter) {
            let named = report.meters().find(|named| named.id == reading.meter);
            builder.meter(reading.meter, named.map_or("", |named| named.attributes))?;
            meter = Some(reading.meter);
        }
        builder.reading(&reading)?;
    }
    Ok(builder.finish())
}

fn conflict_event(records: &Records, reading: &Reading<'_>, first: &str) -> Event {
    let (meter, function, value) = (reading.meter, reading.function, reading.value);
    Event {
        at: records.received_at,
        severity: Severity::Warning,
        kind: EventKind::Conflict,
        device: Some(records.device.clone()),
        peer: None,
        text: format!("meter {meter} function {function} at {}: {value} came after {first}", reading.measured_at)
            .into(),
    }
}
