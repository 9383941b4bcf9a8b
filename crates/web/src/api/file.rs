//! Files that devices sent.

use loggerhead_headend::files::{FileStatus, Files};
use loggerhead_model::FileState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::{Time, words};

/// A file of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct File {
    /// Its number; grows in the order in which files began.
    pub number: u64,
    /// Whose it is.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Bytes of the whole file.
    pub size: u64,
    /// Bytes of it that are here.
    pub here: u64,
    /// `complete`: whole and verified. `partial`: a part of it is here.
    #[schema(schema_with = state_words)]
    pub state: String,
    /// Whether a sender is at it now.
    pub sending: bool,
    /// SHA-256 of the whole file as hex digits; none while nobody knows it.
    pub sha256: Option<String>,
    /// When it began; our clock.
    pub begun_at: Time,
    /// When it became complete, or its sender was last there; our clock.
    pub changed_at: Time,
    /// When the part is removed unless somebody goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// A page of files, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileList {
    /// The files of this page.
    pub files: Vec<File>,
    /// `after` of the next page; none on the last.
    pub next: Option<u64>,
    /// Bytes that are kept or on their way, of the device that was asked for or of all.
    pub bytes: u64,
}

fn state_words() -> Object {
    words(&[FileState::Partial.word(), FileState::Complete.word()])
}

impl File {
    /// A file as it is shown.
    pub(crate) fn new(files: &Files, status: &FileStatus) -> Self {
        let record = &status.record;
        let is_partial = record.state == FileState::Partial;
        Self {
            number: record.number,
            device: record.device.as_str().to_owned(),
            name: record.name.as_str().to_owned(),
            size: record.size,
            here: status.here,
            state: record.state.word().to_owned(),
            sending: is_partial && status.is_open,
            sha256: record.sha256.map(|sum| crate::access::hex(&sum)),
            begun_at: Time(record.begun_at),
            changed_at: Time(record.changed_at),
            expires_at: (is_partial && !status.is_open).then(|| Time(files.kept_until(record))),
        }
    }
}
