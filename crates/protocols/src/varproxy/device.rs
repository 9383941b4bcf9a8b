//! The robot's side, for simulation and tests: a proxy with some variables, of the simple kind or of the one that knows more.
//!
//! Nothing can be written into it unless its settings name the variable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use loggerhead_model::Report;

use super::frame::{Cutter, Frame, HEAD_BYTES, frame};
use super::message::{ErrorCode, Request, Response};
use super::services::{self, Service, Value};
use super::settings::RobotSide;
use crate::reconnect::Attempts;
use crate::{CloseReason, Fault, Input, Now, Opening, Output, Session, SettingsError};

/// What a robot has before it was told more.
const VARIABLES: [(&str, &str); 8] = [
    (
        "$AXIS_ACT",
        "{E6AXIS: A1 0.0, A2 -90.0, A3 90.0, A4 0.0, A5 90.0, A6 0.0, E1 0.0, E2 0.0, E3 0.0, E4 0.0, E5 0.0, E6 0.0}",
    ),
    ("$MODEL_NAME[]", "\"#KR6R900 SIXX C4SR FLR\""),
    ("$MODE_OP", "#T1"),
    ("$OV_PRO", "100"),
    ("$POS_ACT", "{E6POS: X 525.0, Y 0.0, Z 890.0, A 180.0, B 0.0, C 180.0, S 2, T 35}"),
    ("$PRO_NAME1[]", "\"CELL\""),
    (STATE, "#P_ACTIVE"),
    ("$TIMER[]", "0 250 1200 0 0 0 0 0 0 0"),
];
/// The state of its program.
const STATE: &str = "$PRO_STATE1";
/// Types of requests that the kind that knows more answers.
const KINDS: [u8; 10] =
    [0, 1, 4, 5, 6, 7, services::PROGRAM, services::INFORMATION_OF_PROXY, services::FEATURES, services::CONFIRM_ALL];
/// What the kind that knows more says of itself. Source: \[2\].
const PROXY: [(&str, &str); 3] =
    [("@PROXY_FEATURES", "CORE"), ("@PROXY_TYPE", "Loggerhead simulation"), ("@PROXY_VERSION", "1.5")];
/// A name that every proxy answers. Source: \[1\].
const PING: (&str, &str) = ("PING", "PONG");
/// Variables that it is told of; more are left out.
const TOLD_MAX: usize = 10_000;

enum Stage {
    /// It waits until then before it is there again.
    Away(Duration),
    /// It has asked for a connection.
    Connecting,
    In,
    Ended,
}

/// A robot: all its clients see the same variables.
pub struct Robot {
    settings: RobotSide,
    variables: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Robot {
    /// Makes one.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub fn new(table: &toml::Table) -> Result<Self, SettingsError> {
        let settings = RobotSide::of(table)?;
        let own: &[(&str, &str)] = if settings.is_simple { &[] } else { &PROXY };
        let variables = VARIABLES.iter().chain(own).chain([&PING]);
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(Self { settings, variables: Arc::new(Mutex::new(variables)) })
    }

    /// Its side of a conversation with one client.
    #[must_use]
    pub fn attend(&self) -> Box<dyn Session> {
        Box::new(Device {
            settings: self.settings.clone(),
            stage: Stage::Connecting,
            outputs: VecDeque::from([Output::Connect]),
            cutter: Cutter::default(),
            variables: Arc::clone(&self.variables),
            attempts: Attempts::default(),
        })
    }
}

/// A robot's side of one conversation.
struct Device {
    settings: RobotSide,
    stage: Stage,
    outputs: VecDeque<Output>,
    cutter: Cutter,
    variables: Arc<Mutex<BTreeMap<String, String>>>,
    attempts: Attempts,
}

/// Makes a robot with one client.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "the contract gives every device its opening")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    let _ = opening;
    Ok(Robot::new(table)?.attend())
}

impl Device {
    fn variables(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.variables.lock().expect("nothing panics while it holds the variables")
    }

    /// The robot has moved on.
    fn told(&self, report: &Report) {
        let mut variables = self.variables();
        for reading in report.readings() {
            if variables.len() < TOLD_MAX {
                variables.insert(reading.function.to_owned(), reading.value.to_string());
            }
        }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// `Malformed` for a message that is none, where the kind of proxy has no answer to that.
    fn answer(&mut self, request: &Frame) -> Result<(), Fault> {
        let kind = request.body.first().copied().unwrap_or_default();
        let response = match Request::read(&request.body) {
            Ok(request) => self.response(&request),
            Err(fault) if self.settings.is_simple => return Err(fault),
            Err(_) => failure(kind, ErrorCode::Protocol),
        };
        let bytes = frame(request.id, &response.write()).or_else(|| {
            let reason = failure(kind, ErrorCode::TooLong);
            frame(request.id, &reason.write())
        });
        debug_assert!(bytes.as_ref().is_some_and(|bytes| bytes.len() >= HEAD_BYTES));
        self.outputs.extend(bytes.map(Output::Send));
        Ok(())
    }

    fn response(&self, request: &Request) -> Response {
        let kind = request.kind();
        match request {
            Request::Read { is_wide: true, .. }
            | Request::Write { is_wide: true, .. }
            | Request::ReadMany(_)
            | Request::WriteMany(_)
            | Request::Service(..)
                if self.settings.is_simple =>
            {
                failure(kind, ErrorCode::General)
            }
            // Only the simple kind has these. Source: [1], [2].
            Request::ReadArray(_) | Request::WriteArray { .. } if !self.settings.is_simple => {
                failure(kind, ErrorCode::NotImplemented)
            }
            Request::ReadArray(name) => match self.variables().get(name) {
                Some(value) => success(kind, value),
                None => success(kind, ""),
            },
            Request::WriteArray { name, numbers } => self.write_array(name, numbers),
            Request::Read { name, .. } => match self.variables().get(name) {
                Some(value) => success(kind, value),
                // The simple kind says that it worked. Source: [1].
                None if self.settings.is_simple => success(kind, ""),
                None => failure(kind, ErrorCode::Argument),
            },
            Request::Write { name, value, .. } => match self.write(name, value) {
                Ok(()) => success(kind, value),
                Err(code) => failure(kind, code),
            },
            Request::WriteMany(pairs) => {
                let write = |(name, value): &(String, String)| match self.write(name, value) {
                    Ok(()) => (ErrorCode::Success, value.clone()),
                    Err(code) => (code, value.clone()),
                };
                let values: Vec<_> = pairs.iter().map(write).collect();
                let is_success = values.iter().all(|(code, _)| *code == ErrorCode::Success);
                let error = if is_success { ErrorCode::Success } else { ErrorCode::General };
                Response { values, error, is_success, ..success(kind, "") }
            }
            Request::Service(service, fields) => self.serve(service, fields),
            Request::ReadMany(names) => {
                let variables = self.variables();
                let values = names.iter().map(|name| match variables.get(name) {
                    Some(value) => (ErrorCode::Success, value.clone()),
                    None => (ErrorCode::Argument, String::new()),
                });
                Response { values: values.collect(), ..success(kind, "") }
            }
            Request::Other(_) => failure(kind, ErrorCode::NotImplemented),
        }
    }

    /// Writes a variable, if it may be.
    fn write(&self, name: &str, value: &str) -> Result<(), ErrorCode> {
        if !self.settings.writable.iter().any(|writable| writable == name) {
            return Err(if self.settings.is_simple { ErrorCode::General } else { ErrorCode::Access });
        }
        self.variables().insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Sets the elements of an array, as far as it has some. Its name may stand with its brackets or without them.
    fn write_array(&self, name: &str, numbers: &[i16]) -> Response {
        let name = format!("{}[]", name.strip_suffix("[]").unwrap_or(name));
        let before = self.variables().get(&name).cloned().unwrap_or_default();
        let mut elements: Vec<String> = before.split_whitespace().map(str::to_owned).collect();
        elements.iter_mut().zip(numbers).for_each(|(element, number)| *element = number.to_string());
        let is_there = numbers.len() <= elements.len();
        match self.write(&name, &elements.join(" ")) {
            Ok(()) if is_there => success(3, ""),
            Ok(()) | Err(_) => failure(3, ErrorCode::General),
        }
    }

    /// What the kind that knows more does beside variables: it has a program, and no motion and no files.
    fn serve(&self, service: &'static Service, fields: &[Value]) -> Response {
        let (answer, outcome) = match service.kind {
            services::PROGRAM => {
                let command = fields.first().cloned().unwrap_or(Value::Number(0));
                let outcome = self.control(fields);
                (vec![command], outcome)
            }
            services::INFORMATION_OF_PROXY => (information(), Ok(())),
            services::FEATURES => (vec![Value::Rest(services::features(&KINDS).to_vec())], Ok(())),
            services::CONFIRM_ALL => (Vec::new(), Ok(())),
            _ => (Vec::new(), Err(ErrorCode::NotImplemented)),
        };
        let error = outcome.err().unwrap_or(ErrorCode::Success);
        let is_success = outcome.is_ok();
        Response { kind: service.kind, values: Vec::new(), fields: answer, error, is_success }
    }

    /// Controls the program, where its state may be written.
    fn control(&self, fields: &[Value]) -> Result<(), ErrorCode> {
        let Some(Value::Number(command)) = fields.first() else { return Err(ErrorCode::Protocol) };
        let state = match command {
            1 | 5 => "#P_RESET",
            2 | 6 => "#P_ACTIVE",
            3 => "#P_STOP",
            4 => "#P_FREE",
            _ => return Err(ErrorCode::NotImplemented),
        };
        let name = match (command, fields.get(2)) {
            (5 | 6, Some(Value::Text(name))) => Some(name),
            (5 | 6, _) => return Err(ErrorCode::Protocol),
            (_, _) => None,
        };
        self.write(STATE, state)?;
        if let Some(name) = name {
            let module = name.rsplit(['/', '\\']).next().unwrap_or_default();
            self.variables().insert("$PRO_NAME1[]".to_owned(), format!("\"{module}\""));
        }
        Ok(())
    }
}

/// Version, time and name of a simulated proxy, whose clock stands at the day of its specification.
fn information() -> Vec<Value> {
    let numbers = [1, 5, 0, 2022, 3, 4, 24, 0, 0, 0, 0].map(Value::Number);
    numbers.into_iter().chain([Value::Text("LOGGERHEAD".to_owned())]).collect()
}

fn success(kind: u8, value: &str) -> Response {
    let values = vec![(ErrorCode::Success, value.to_owned())];
    Response { kind, values, fields: Vec::new(), error: ErrorCode::Success, is_success: true }
}

fn failure(kind: u8, error: ErrorCode) -> Response {
    // Several values that failed are none.
    let values = if matches!(kind, 6 | 7) { Vec::new() } else { vec![(error, String::new())] };
    Response { kind, values, fields: Vec::new(), error, is_success: false }
}

impl Session for Device {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Connected => {
                self.cutter = Cutter::default();
                self.attempts.succeeded();
                self.stage = Stage::In;
            }
            Input::Disconnected => {
                if !matches!(self.stage, Stage::Ended | Stage::Away(_)) {
                    let pause = self.attempts.pause(Duration::from_millis(self.settings.reconnect_ms));
                    self.stage = Stage::Away(now.elapsed + pause);
                }
            }
            Input::Bytes(bytes) => {
                self.cutter.push(bytes);
                while let Some(request) = self.cutter.cut() {
                    if let Err(fault) = self.answer(&request) {
                        self.outputs.push_back(Output::Close(CloseReason::Fault(fault.reason.clone())));
                        return Err(fault);
                    }
                }
            }
            Input::Wake => {
                if matches!(self.stage, Stage::Away(until) if now.elapsed >= until) {
                    self.stage = Stage::Connecting;
                    self.outputs.push_back(Output::Connect);
                }
            }
            Input::Offer(ticket, report) => {
                self.told(&report);
                self.outputs.push_back(Output::Delivered(ticket));
            }
            Input::Eof => self.outputs.push_back(Output::Close(CloseReason::PeerDone)),
            Input::Shutdown(reason) => {
                self.stage = Stage::Ended;
                self.outputs.push_back(Output::Close(reason));
            }
            Input::Answer(_) | Input::Stored(_) | Input::NotStored(_) | Input::Command(_) => {}
        }
        Ok(())
    }

    fn poll(&mut self) -> Output {
        let wake_at = if let Stage::Away(until) = self.stage { Some(until) } else { None };
        self.outputs.pop_front().unwrap_or(Output::Idle { wake_at })
    }
}
