//! The sender's side: every report is a file of its own, sent so that it can go on where it broke off.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use loggerhead_model::{Report, Ticket};
use sha2::{Digest as _, Sha256};

use super::frame::{HEAD_BYTES_MAX, LENGTH_BYTES, with_length};
use super::message::{FileHead, Told, digits};
use super::settings::DeviceSide;
use crate::reconnect::Attempts;
use crate::{CloseReason, Fault, FaultKind, FileSums, Input, Now, Opening, Output, Session, SettingsError};

/// How long the head-end may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Hex digits of the sum by which a file is found again.
const ID_DIGITS: usize = 32;

enum Stage {
    /// It waits until then before it connects again.
    Away(Duration),
    /// It has asked for a connection.
    Connecting,
    /// It is connected and has nothing to send.
    Idle,
    /// It waits until then to be told where to begin.
    Asking(Duration),
    /// It waits until then to be told that the file is kept.
    Sent(Duration),
    /// It was told to end.
    Ended,
}

/// The sender's side of its conversations, over all its connections.
struct Device {
    settings: DeviceSide,
    stage: Stage,
    outputs: VecDeque<Output>,
    held: BytesMut,
    /// What is not kept; the first one is on its way.
    waiting: VecDeque<(Ticket, Bytes)>,
    attempts: Attempts,
}

/// Makes a sender.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "the contract gives every device its opening")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    let _ = opening;
    Ok(Box::new(Device {
        settings: DeviceSide::of(table)?,
        stage: Stage::Connecting,
        outputs: VecDeque::from([Output::Connect]),
        held: BytesMut::new(),
        waiting: VecDeque::new(),
        attempts: Attempts::default(),
    }))
}

/// The readings of a report, a line each.
fn file_of(report: &Report) -> Bytes {
    let mut text = String::new();
    for reading in report.readings() {
        let _ = writeln!(text, "{},{},{},{}", reading.meter, reading.function, reading.measured_at, reading.value);
    }
    text.into()
}

impl Device {
    fn send_next(&mut self, now: Now) {
        let (Stage::Idle, Some((ticket, file))) = (&self.stage, self.waiting.front()) else { return };
        let sum: [u8; 32] = Sha256::digest(file).into();
        let mut id = digits(&sum);
        id.truncate(ID_DIGITS);
        let head = FileHead {
            name: format!("report-{}.csv", ticket.0),
            size: file.len() as u64,
            device: Some(self.settings.identity.clone()),
            secret: Some(self.settings.secret.clone())
                .filter(|secret| !secret.is_empty())
                .map(|secret| secret.strip_prefix("text:").map(ToOwned::to_owned).unwrap_or(secret)),
            id: Some(id),
            resume: true,
            sums: FileSums { sha256: Some(sum), md5: None },
            ..FileHead::default()
        };
        self.outputs.push_back(Output::Send(with_length(&head.write())));
        self.stage = Stage::Asking(now.elapsed + ANSWER_WAIT);
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        self.held.extend_from_slice(bytes);
        while let Some(length) = self.held.first_chunk::<LENGTH_BYTES>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            if length > HEAD_BYTES_MAX {
                return Err(Fault::new(FaultKind::TooLarge, format!("an answer of {length} bytes")));
            }
            if self.held.len() < LENGTH_BYTES + length {
                break;
            }
            self.held.advance(LENGTH_BYTES);
            let told = Told::parse(&self.held.split_to(length))?;
            self.told(now, told)?;
        }
        Ok(())
    }

    fn told(&mut self, now: Now, told: Told) -> Result<(), Fault> {
        match (&self.stage, told) {
            (Stage::Asking(_), Told::Offset { offset }) => {
                let file = self.waiting.front().map(|(_, file)| file.clone()).unwrap_or_default();
                let from = usize::try_from(offset).ok().filter(|from| *from <= file.len()).ok_or_else(|| {
                    Fault::new(FaultKind::Malformed, format!("told to begin at {offset} of {} bytes", file.len()))
                })?;
                let rest = file.slice(from..);
                if !rest.is_empty() {
                    self.outputs.push_back(Output::Send(rest));
                }
                self.stage = Stage::Sent(now.elapsed + ANSWER_WAIT);
                Ok(())
            }
            (Stage::Sent(_), Told::Outcome { status, .. }) if status == "ok" => {
                self.attempts.succeeded();
                self.outputs.extend(self.waiting.pop_front().map(|(ticket, _)| Output::Delivered(ticket)));
                self.stage = Stage::Idle;
                self.send_next(now);
                Ok(())
            }
            (_, Told::Outcome { error, .. }) => {
                Err(Fault::new(FaultKind::OutOfOrder, format!("the head-end did not keep a file: {error}")))
            }
            (_, Told::Offset { .. }) => Err(Fault::new(FaultKind::OutOfOrder, "told to begin, and nobody asked")),
        }
    }

    fn disconnected(&mut self, now: Now) {
        self.held.clear();
        if !matches!(self.stage, Stage::Ended | Stage::Away(_)) {
            let pause = self.attempts.pause(Duration::from_millis(self.settings.reconnect_ms));
            self.stage = Stage::Away(now.elapsed + pause);
        }
    }

    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        match self.stage {
            Stage::Away(until) if now.elapsed >= until => {
                self.stage = Stage::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            Stage::Asking(until) | Stage::Sent(until) if now.elapsed >= until => {
                return Err(Fault::new(FaultKind::TooSlow, "no answer to a file"));
            }
            Stage::Away(_) | Stage::Connecting | Stage::Idle | Stage::Asking(_) | Stage::Sent(_) | Stage::Ended => {}
        }
        Ok(())
    }
}

impl Session for Device {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        let mut taken = Ok(());
        match input {
            Input::Connected => {
                self.held.clear();
                self.stage = Stage::Idle;
                self.send_next(now);
            }
            Input::Disconnected => self.disconnected(now),
            Input::Bytes(bytes) => taken = self.bytes(now, bytes),
            Input::Wake => taken = self.wake(now),
            Input::Eof => self.outputs.push_back(Output::Close(CloseReason::PeerDone)),
            Input::Offer(ticket, report) => {
                self.waiting.push_back((ticket, file_of(&report)));
                self.send_next(now);
            }
            Input::Shutdown(reason) => {
                self.stage = Stage::Ended;
                self.outputs.push_back(Output::Close(reason));
            }
            Input::Answer(_) | Input::Stored(_) | Input::NotStored(_) | Input::Command(_) => {}
        }
        if let Err(fault) = &taken {
            self.outputs.push_back(Output::Close(CloseReason::Fault(fault.reason.clone())));
        }
        taken
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Idle {
            wake_at: match self.stage {
                Stage::Away(until) | Stage::Asking(until) | Stage::Sent(until) => Some(until),
                Stage::Connecting | Stage::Idle | Stage::Ended => None,
            },
        })
    }
}
