//! Readings of some channels of a device as a file: CSV or Parquet.
//!
//! The file is made piece by piece while it is sent, and no thread or read transaction is held while its reader is slow.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use loggerhead_model::Timestamp;
use loggerhead_store::{ChannelId, Reader, StoreError};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::readings::{channel, span};
use crate::api::{ProblemDetails, Time};
use crate::export::{self, Csv, Parquet, READINGS, Rows};
use crate::extract::Params;
use crate::problem::{Problem, ProblemKind};
use crate::state::{Api, Streaming};

/// Channels of one file: all that can be told apart in a drawing, many times over.
const CHANNELS_MAX: usize = 100;
/// Readings that are read and written at a time.
const PIECE_READINGS: usize = 2_000;

/// Which readings, and how to write them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DownloadParams {
    /// The device.
    device: String,
    /// Its channels: `METER/FUNCTION`, joined by commas; commas, slashes and percent signs in names stand as `%2C`,
    /// `%2F` and `%25`.
    #[param(example = "1/1,1/2")]
    channels: String,
    /// First moment of the span, the device's clock; a day before `to` where nothing is said.
    from: Option<Time>,
    /// First moment after the span; now where nothing is said.
    to: Option<Time>,
    /// `csv` (as good as nothing said) or `parquet`.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// How to write a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Comma-separated, with a head line.
    #[default]
    Csv,
    /// Columns, compressed.
    Parquet,
}

/// The readings of some channels of a device in a span, as a file.
///
/// Channels come one after another, the readings of each in the order of time, with the columns that `export` writes.
/// Should the store fail on the way, the connection is closed without the end of the file.
#[utoipa::path(
    get,
    path = "/api/v1/download",
    tag = "readings",
    operation_id = "download",
    params(DownloadParams),
    responses(
        (status = 200, description = "The file.", content(
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such channel.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot answer.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn download(
    State(api): State<Api>,
    Params(params): Params<DownloadParams>,
) -> Result<Response, Problem> {
    let (from, to) = span(params.from, params.to)?;
    let mut channels = Vec::new();
    for (meter, function) in names(&params.channels)? {
        channels.push(channel(&api, &params.device, meter, function).await?.id);
    }
    channels.reverse();
    let buffer = Buffer::default();
    let (rows, media_type, end): (Box<dyn Rows + Send>, _, _) = match params.format {
        Format::Csv => {
            (Box::new(Csv::new(buffer.clone(), READINGS).map_err(broken)?), "text/csv; charset=utf-8", "csv")
        }
        Format::Parquet => (
            Box::new(Parquet::new(buffer.clone(), READINGS).map_err(broken)?),
            "application/vnd.apache.parquet",
            "parquet",
        ),
    };
    let streaming = api.streaming();
    let file = File { api, channels, from, next: from, to, rows: Some(rows), buffer, streaming };
    let name: String =
        params.device.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '-' }).collect();
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}.{end}\"")).map_err(broken)?;
    let pieces = stream::try_unfold(file, |file| async move {
        file.next_piece().await.map_err(|_| io::Error::other("the store failed during the answer"))
    });
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static(media_type)), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

fn broken(error: impl std::fmt::Display) -> Problem {
    Problem::new(ProblemKind::Store, format!("the file cannot be written: {error}"))
}

/// The names of meters and functions in a list of channels.
fn names(list: &str) -> Result<Vec<(String, String)>, Problem> {
    let wrong = |detail: String| Problem::new(ProblemKind::BadRequest, detail);
    let names: Option<Vec<_>> = list
        .split(',')
        .map(|word| word.split_once('/').and_then(|(meter, function)| Some((decoded(meter)?, decoded(function)?))))
        .collect();
    match names {
        Some(names) if names.len() <= CHANNELS_MAX => Ok(names),
        Some(names) => Err(wrong(format!("{} channels are over {CHANNELS_MAX}", names.len()))),
        None => Err(wrong(format!("channels {list:?} are not METER/FUNCTION, joined by commas"))),
    }
}

/// A text with its `%XX` put back.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// What is written and not sent yet.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file on its way out.
struct File {
    api: Api,
    /// Channels to come; the last one is next.
    channels: Vec<ChannelId>,
    from: Timestamp,
    /// Where the next piece of the channel begins.
    next: Timestamp,
    to: Timestamp,
    /// None when the file is complete.
    rows: Option<Box<dyn Rows + Send>>,
    buffer: Buffer,
    streaming: Streaming,
}

impl File {
    /// The next bytes of the file; none after its end.
    async fn next_piece(mut self) -> Result<Option<(Bytes, Self)>, Problem> {
        loop {
            let Some(mut rows) = self.rows.take() else { return Ok(None) };
            match self.channels.last().copied() {
                None => {
                    rows.finish().map_err(broken)?;
                    self.streaming.whole();
                }
                Some(channel) => {
                    let (from, to) = (self.next, self.to);
                    let (rows, next) = self
                        .api
                        .query(move |reader| {
                            let next = piece(reader, channel, from, to, &mut *rows)?;
                            Ok((rows, next))
                        })
                        .await?;
                    self.rows = Some(rows);
                    if next.is_none() {
                        self.channels.pop();
                    }
                    self.next = next.unwrap_or(self.from);
                }
            }
            let written = self.buffer.take();
            if !written.is_empty() {
                return Ok(Some((Bytes::from(written), self)));
            }
        }
    }
}

/// Writes some readings; gives the moment of the first that is not written, none when there is no more.
fn piece(
    reader: &Reader,
    channel: ChannelId,
    from: Timestamp,
    to: Timestamp,
    rows: &mut (dyn Rows + Send),
) -> Result<Option<Timestamp>, StoreError> {
    let (mut written, mut next) = (0, None);
    reader.range(channel, from, to, &mut |stored| {
        if written == PIECE_READINGS {
            next = Some(stored.reading.measured_at);
            return ControlFlow::Break(());
        }
        written += 1;
        export::reading(rows, &stored).expect("memory takes everything");
        ControlFlow::Continue(())
    })?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::{decoded, names};

    #[test]
    fn channels_are_meters_and_functions_with_any_name() {
        let found = names("1/2,%E5%A1%94%2C/a%2Fb").expect("channels");
        assert_eq!(found, [("1".to_owned(), "2".to_owned()), ("塔,".to_owned(), "a/b".to_owned())]);
        for bad in ["", "1", "1/2,3", "%/1", "%zz/1", "%FF/1"] {
            assert!(names(bad).is_err(), "{bad:?}");
        }
        assert_eq!(decoded("100%25").as_deref(), Some("100%"));
    }
}
