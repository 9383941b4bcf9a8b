//! What an answer says when something is wrong: problem details (RFC 9457).
//!
//! Every problem has a `type` that names its kind, a `title` that never changes for that kind, a `detail` with the values
//! of this case, and a `remedy`: what whoever asked can do about it.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use loggerhead_headend::{CommandError, DeviceError};
use loggerhead_store::StoreError;

use crate::api::{ProblemDescription, ProblemDetails};

/// The media type of a problem.
pub const PROBLEM_TYPE: &str = "application/problem+json";
/// Where the kinds of problems are described; a problem's `type` is this and its word.
pub const PROBLEMS_PATH: &str = "/api/v1/problems/";

/// Every kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    /// A parameter or a body that cannot be understood, or is out of its range.
    BadRequest,
    /// No token, or a wrong one.
    Unauthorized,
    /// Something that the role of whoever asks does not allow.
    Forbidden,
    /// A name and a password that do not go together.
    WrongPassword,
    /// A link that does not open anything.
    WrongLink,
    /// A request that a page of another site made a browser send.
    ForeignPage,
    /// Too many wrong secrets from this address, or for this account.
    Throttled,
    /// No such path.
    UnknownPath,
    /// A path that does not take this method.
    WrongMethod,
    /// No such device.
    UnknownDevice,
    /// No such channel.
    UnknownChannel,
    /// No such command.
    UnknownCommand,
    /// No such event.
    UnknownEvent,
    /// No such account.
    UnknownAccount,
    /// No such token.
    UnknownToken,
    /// No such sign-in.
    UnknownSession,
    /// A name that is taken.
    Taken,
    /// A device that the configuration alone can change.
    Configured,
    /// A device that is not pending.
    NotPending,
    /// A device that may not log in yet.
    NotActive,
    /// The last administrator, without whom nobody could change anything.
    LastAdmin,
    /// A thing that takes a listener which is not there.
    NoListener,
    /// A limit of the head-end is reached.
    Full,
    /// An address and headers over their limits.
    HeadTooLarge,
    /// A body over its limit.
    BodyTooLarge,
    /// A body that is not JSON.
    NotJson,
    /// A body that did not come to its end in time.
    SlowBody,
    /// An answer that took too long.
    TooSlow,
    /// Too many requests at once.
    Busy,
    /// No such file.
    UnknownFile,
    /// A range that begins behind the end of a file.
    WrongRange,
    /// A file that is not the one that is meant any more.
    Changed,
    /// An upload that goes on at another place than its end.
    WrongOffset,
    /// Bytes that do not come to their checksum.
    WrongSum,
    /// A version of tus that is not spoken here.
    WrongVersion,
    /// A body that is not declared as a piece of a file.
    NotBytes,
    /// A file for which there is no room.
    NoRoom,
    /// A disk that takes no more.
    DiskFull,
    /// The store cannot read or write.
    Store,
}

/// The status of tus for bytes that do not come to their checksum.
const WRONG_SUM: StatusCode = match StatusCode::from_u16(460) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// What is the same for every problem of one kind.
struct Description {
    kind: ProblemKind,
    word: &'static str,
    status: StatusCode,
    title: &'static str,
    remedy: &'static str,
}

const fn row(
    kind: ProblemKind,
    word: &'static str,
    status: StatusCode,
    title: &'static str,
    remedy: &'static str,
) -> Description {
    Description { kind, word, status, title, remedy }
}

static DESCRIPTIONS: [Description; 39] = [
    row(
        ProblemKind::BadRequest,
        "bad-request",
        StatusCode::BAD_REQUEST,
        "the request cannot be understood",
        "correct what the detail names; /api/v1/openapi.json describes every parameter",
    ),
    row(
        ProblemKind::Unauthorized,
        "unauthorized",
        StatusCode::UNAUTHORIZED,
        "a sign-in or a valid token is needed",
        "sign in at /login, or send the header `Authorization: Bearer TOKEN`; `loggerhead token add --help` makes one",
    ),
    row(
        ProblemKind::Forbidden,
        "forbidden",
        StatusCode::FORBIDDEN,
        "this is not for you to do",
        "ask an administrator for the role or the token that the detail names",
    ),
    row(
        ProblemKind::WrongPassword,
        "wrong-password",
        StatusCode::UNAUTHORIZED,
        "the name or the password is wrong",
        "try again; an administrator can set a new one: `loggerhead user password NAME`",
    ),
    row(
        ProblemKind::WrongLink,
        "wrong-link",
        StatusCode::UNAUTHORIZED,
        "the link does not open anything",
        "links open once: start the server again for a new one, or add an account: `loggerhead user add --help`",
    ),
    row(
        ProblemKind::ForeignPage,
        "foreign-page",
        StatusCode::FORBIDDEN,
        "the request does not come from a page of this server",
        "load the page again; programs send a token instead of a cookie: `loggerhead token add --help`",
    ),
    row(
        ProblemKind::Throttled,
        "throttled",
        StatusCode::TOO_MANY_REQUESTS,
        "too many wrong secrets",
        "wait for the seconds in `Retry-After`, then send the right one",
    ),
    row(
        ProblemKind::UnknownPath,
        "unknown-path",
        StatusCode::NOT_FOUND,
        "there is nothing at this path",
        "see /api/v1/openapi.json for every path",
    ),
    row(
        ProblemKind::WrongMethod,
        "wrong-method",
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method",
        "use a method that the header `Allow` names",
    ),
    row(
        ProblemKind::UnknownDevice,
        "unknown-device",
        StatusCode::NOT_FOUND,
        "there is no such device",
        "see GET /api/v1/devices for the devices, or add this one with POST /api/v1/devices",
    ),
    row(
        ProblemKind::UnknownChannel,
        "unknown-channel",
        StatusCode::NOT_FOUND,
        "there is no such channel",
        "see GET /api/v1/channels for the channels; a channel exists from its first stored reading on",
    ),
    row(
        ProblemKind::UnknownCommand,
        "unknown-command",
        StatusCode::NOT_FOUND,
        "there is no such command",
        "see GET /api/v1/commands; finished commands are forgotten with the events' retention",
    ),
    row(
        ProblemKind::UnknownEvent,
        "unknown-event",
        StatusCode::NOT_FOUND,
        "there is no such event",
        "see GET /api/v1/events; events are forgotten with their retention",
    ),
    row(
        ProblemKind::UnknownAccount,
        "unknown-account",
        StatusCode::NOT_FOUND,
        "there is no such account",
        "see GET /api/v1/accounts for the accounts, or add this one with POST /api/v1/accounts",
    ),
    row(
        ProblemKind::UnknownToken,
        "unknown-token",
        StatusCode::NOT_FOUND,
        "there is no such token",
        "see GET /api/v1/tokens for the tokens",
    ),
    row(
        ProblemKind::UnknownSession,
        "unknown-session",
        StatusCode::NOT_FOUND,
        "there is no such sign-in",
        "see GET /api/v1/sessions for those that hold",
    ),
    row(
        ProblemKind::Taken,
        "taken",
        StatusCode::CONFLICT,
        "the name is taken",
        "choose another id, or remove the device that has it",
    ),
    row(
        ProblemKind::Configured,
        "configured",
        StatusCode::CONFLICT,
        "the device stands in the configuration",
        "change the configuration file, then reload with SIGHUP",
    ),
    row(
        ProblemKind::NotPending,
        "not-pending",
        StatusCode::CONFLICT,
        "the device is not pending",
        "nothing is left to accept: it may log in already",
    ),
    row(
        ProblemKind::NotActive,
        "not-active",
        StatusCode::CONFLICT,
        "the device may not log in yet",
        "accept it with POST /api/v1/devices/{id}/accept, then ask again",
    ),
    row(
        ProblemKind::LastAdmin,
        "last-admin",
        StatusCode::CONFLICT,
        "somebody has to be administrator",
        "make another account administrator first",
    ),
    row(
        ProblemKind::NoListener,
        "no-listener",
        StatusCode::NOT_FOUND,
        "no listener does this",
        "add the listener that the detail names to the configuration, then `loggerhead reload`",
    ),
    row(
        ProblemKind::Full,
        "full",
        StatusCode::CONFLICT,
        "a limit is reached",
        "wait until waiting commands are answered or expire, or remove devices that are no longer there",
    ),
    row(
        ProblemKind::HeadTooLarge,
        "head-too-large",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "the head of the request is too large",
        "send a shorter address, and fewer or shorter headers; cookies of other programs on this host count as well",
    ),
    row(
        ProblemKind::BodyTooLarge,
        "body-too-large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "the body is too large",
        "send a smaller body",
    ),
    row(
        ProblemKind::NotJson,
        "not-json",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body is not declared as JSON",
        "send JSON with the header `Content-Type: application/json`",
    ),
    row(
        ProblemKind::SlowBody,
        "slow-body",
        StatusCode::REQUEST_TIMEOUT,
        "the body of the request did not come to its end",
        "send the whole body within the time that the detail names",
    ),
    row(
        ProblemKind::TooSlow,
        "too-slow",
        StatusCode::SERVICE_UNAVAILABLE,
        "the answer took too long",
        "ask for less (a shorter span, fewer buckets), or try again later",
    ),
    row(
        ProblemKind::Busy,
        "busy",
        StatusCode::SERVICE_UNAVAILABLE,
        "too many requests at once",
        "wait for the seconds in `Retry-After`, then try again",
    ),
    row(
        ProblemKind::UnknownFile,
        "unknown-file",
        StatusCode::NOT_FOUND,
        "there is no such file",
        "see GET /api/v1/files for the files; parts that nobody goes on with expire",
    ),
    row(
        ProblemKind::WrongRange,
        "wrong-range",
        StatusCode::RANGE_NOT_SATISFIABLE,
        "the range begins behind the end of the file",
        "ask for bytes before the size in `Content-Range`",
    ),
    row(
        ProblemKind::Changed,
        "changed",
        StatusCode::PRECONDITION_FAILED,
        "the file is not the one that is meant",
        "begin anew, without `If-Match`",
    ),
    row(
        ProblemKind::WrongOffset,
        "wrong-offset",
        StatusCode::CONFLICT,
        "the upload is at another offset",
        "ask with HEAD for its `Upload-Offset`, and go on from there",
    ),
    row(ProblemKind::WrongSum, "wrong-sum", WRONG_SUM, "the bytes do not come to their checksum", "send them again"),
    row(
        ProblemKind::WrongVersion,
        "wrong-version",
        StatusCode::PRECONDITION_FAILED,
        "this version of tus is not spoken here",
        "send the header `Tus-Resumable: 1.0.0`",
    ),
    row(
        ProblemKind::NotBytes,
        "not-bytes",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body is not declared as a piece of a file",
        "send the bytes with the header `Content-Type: application/offset+octet-stream`",
    ),
    row(
        ProblemKind::NoRoom,
        "no-room",
        StatusCode::PAYLOAD_TOO_LARGE,
        "there is no room for the file",
        "remove files that nobody needs, or raise the limits of [files] in the configuration",
    ),
    row(
        ProblemKind::DiskFull,
        "disk-full",
        StatusCode::INSUFFICIENT_STORAGE,
        "the disk of the server has no room for the file",
        "make room on the disk, and go on: what came of the file is kept",
    ),
    row(
        ProblemKind::Store,
        "store",
        StatusCode::SERVICE_UNAVAILABLE,
        "the store cannot answer",
        "see GET /readyz and the log; nothing acknowledged is lost, and the store resumes by itself when it can",
    ),
];

impl ProblemKind {
    fn description(self) -> &'static Description {
        DESCRIPTIONS.iter().find(|row| row.kind == self).expect("every kind has its row, which a test holds")
    }
}

/// One problem.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    retry_after_s: Option<u64>,
    allow: Option<String>,
}

impl Problem {
    /// A problem of this kind; `detail` says what is wrong in this case, with values.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), retry_after_s: None, allow: None }
    }

    /// Tells when to try again.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Tells which methods the path takes.
    pub(crate) fn allow(mut self, methods: String) -> Self {
        self.allow = Some(methods);
        self
    }

    /// What is wrong in this case.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Of which kind it is.
    pub(crate) fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// When to try again.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    /// All that is said of it.
    pub(crate) fn details(self) -> ProblemDetails {
        let row = self.kind.description();
        ProblemDetails {
            kind: format!("{PROBLEMS_PATH}{}", row.word).into(),
            title: row.title.into(),
            status: row.status.as_u16(),
            detail: self.detail,
            remedy: row.remedy.into(),
        }
    }
}

impl From<&Description> for ProblemDescription {
    fn from(row: &Description) -> Self {
        Self {
            kind: format!("{PROBLEMS_PATH}{}", row.word),
            title: row.title.into(),
            status: row.status.as_u16(),
            remedy: row.remedy.into(),
        }
    }
}

/// Describes every kind of problem.
pub(crate) fn descriptions() -> impl Iterator<Item = ProblemDescription> {
    DESCRIPTIONS.iter().map(ProblemDescription::from)
}

/// Describes the kind of problem that this word names.
pub(crate) fn description(word: &str) -> Option<ProblemDescription> {
    DESCRIPTIONS.iter().find(|row| row.word == word).map(ProblemDescription::from)
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let Self { kind, retry_after_s, ref mut allow, .. } = self;
        let allow = allow.take();
        let details = self.details();
        let mut response = (kind.description().status, axum::Json(&details)).into_response();
        // The console makes a page of it for whoever reads pages.
        response.extensions_mut().insert(details);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = allow.and_then(|methods| HeaderValue::try_from(methods).ok()) {
            headers.insert(header::ALLOW, methods);
        }
        if kind == ProblemKind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"loggerhead\""));
        }
        if kind == ProblemKind::SlowBody {
            // The rest of the body would be taken for the next request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(ProblemKind::Store, error.to_string())
    }
}

impl From<DeviceError> for Problem {
    fn from(error: DeviceError) -> Self {
        let kind = match &error {
            DeviceError::Unknown(_) => ProblemKind::UnknownDevice,
            DeviceError::IdTaken(_) | DeviceError::IdentityTaken { .. } => ProblemKind::Taken,
            DeviceError::Name(_) | DeviceError::Protocol(_) | DeviceError::Settings(_) => ProblemKind::BadRequest,
            DeviceError::Configured(_) => ProblemKind::Configured,
            DeviceError::NotPending(_) => ProblemKind::NotPending,
            DeviceError::Full(_) => ProblemKind::Full,
            DeviceError::Store(_) => ProblemKind::Store,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let kind = match &error {
            CommandError::Unknown(_) => ProblemKind::UnknownDevice,
            CommandError::NotActive(_) => ProblemKind::NotActive,
            CommandError::Full { .. } => ProblemKind::Full,
            CommandError::Store(_) => ProblemKind::Store,
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{DESCRIPTIONS, ProblemKind};

    #[test]
    fn every_kind_has_one_row_and_one_word() {
        let words: BTreeSet<_> = DESCRIPTIONS.iter().map(|row| row.word).collect();
        assert_eq!(words.len(), DESCRIPTIONS.len());
        for (place, row) in DESCRIPTIONS.iter().enumerate() {
            assert_eq!(row.kind as usize, place, "{} stands where its kind does", row.word);
        }
        // The last kind: a new one without a row fails here.
        assert_eq!(ProblemKind::Store as usize + 1, DESCRIPTIONS.len());
    }
}
