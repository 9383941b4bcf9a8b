//! Files that devices sent: listed, searched, downloaded, removed.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use loggerhead_headend::files::{FileQuery, FileStatus, Files};
use loggerhead_model::{FileRecord, FileState};
use serde::Deserialize;
use utoipa::IntoParams;

use super::devices::check_known;
use crate::access::noted;
use crate::api::{File, FileList, ProblemDetails};
use crate::extract::{Params, Segment, device_id, limited};
use crate::page::Page;
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// Files on a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most files on a page.
const PAGE_MAX: usize = 1000;
/// What is read from the disk at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Which files, and which page of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileParams {
    /// Only of this device.
    device: Option<String>,
    /// Only with this text in the name, upper and lower case alike.
    search: Option<String>,
    /// Only `complete` or `partial` ones.
    state: Option<String>,
    /// Only after this number in that order: `next` of the page before.
    after: Option<u64>,
    /// Files on the page, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

impl FileParams {
    fn query(&self, limit: usize) -> Result<FileQuery, Problem> {
        let states = [FileState::Partial, FileState::Complete];
        let state = self.state.as_ref().map(|word| {
            states.into_iter().find(|state| state.word() == word).ok_or_else(|| {
                Problem::new(ProblemKind::BadRequest, format!("state {word:?} is neither partial nor complete"))
            })
        });
        Ok(FileQuery {
            device: self.device.as_deref().map(device_id).transpose()?,
            text: self.search.clone(),
            state: state.transpose()?,
            before: self.after,
            limit,
        })
    }
}

/// The files of devices, the newest first, page by page.
#[utoipa::path(
    get,
    path = "/api/v1/files",
    tag = "files",
    operation_id = "list_files",
    params(FileParams),
    responses(
        (status = 200, description = "A page of files.", body = FileList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(params): Params<FileParams>,
) -> Result<Json<FileList>, Problem> {
    let limit = limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let query = params.query(limit + 1)?;
    let files = api.headend().files();
    let mut page = Page::new(limit);
    for status in files.find(&query) {
        if page.take(status.record.number, || File::new(files, &status)).is_break() {
            break;
        }
    }
    check_known(&api, query.device.as_ref(), page.kept.len()).await?;
    Ok(Json(FileList { next: page.next(), files: page.kept, bytes: files.bytes(query.device.as_ref()) }))
}

/// Of which device a file has to be.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfDevice {
    /// Only when it is of this device; tokens for some devices have to say so.
    pub(crate) device: Option<String>,
}

/// The file of a number, of the device that was named.
///
/// # Errors
/// `UnknownFile` when there is none.
pub(crate) fn find(files: &Files, number: u64, of: &OfDevice) -> Result<FileStatus, Problem> {
    let unknown = || Problem::new(ProblemKind::UnknownFile, format!("no file {number}"));
    let status = files.status(number).ok_or_else(unknown)?;
    let is_of = of.device.as_deref().is_none_or(|device| device == status.record.device.as_str());
    is_of.then_some(status).ok_or_else(unknown)
}

/// One file.
#[utoipa::path(
    get,
    path = "/api/v1/files/{number}",
    tag = "files",
    operation_id = "show_file",
    params(("number" = u64, Path, description = "The file's number."), OfDevice),
    responses(
        (status = 200, description = "The file.", body = File),
        (status = 404, description = "No such file.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    Segment(number): Segment<u64>,
    Params(of): Params<OfDevice>,
) -> Result<Json<File>, Problem> {
    let files = api.headend().files();
    Ok(Json(File::new(files, &find(files, number, &of)?)))
}

/// Removes a file. One that is on its way is given up.
#[utoipa::path(
    delete,
    path = "/api/v1/files/{number}",
    tag = "files",
    operation_id = "remove_file",
    params(("number" = u64, Path, description = "The file's number."), OfDevice),
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "No such file.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "The store cannot write.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove(
    State(api): State<Api>,
    Segment(number): Segment<u64>,
    Params(of): Params<OfDevice>,
) -> Result<Response, Problem> {
    let files = api.headend().files();
    let record = find(files, number, &of)?.record;
    files.remove(number).await?;
    Ok(noted(format!("{number} {} {}", record.device, record.name), StatusCode::NO_CONTENT.into_response()))
}

/// What is in a file, or a range of it.
///
/// One range of bytes is answered as such (206); several, or one that cannot be read, by the whole file.
#[utoipa::path(
    get,
    path = "/api/v1/files/{number}/content",
    tag = "files",
    operation_id = "download_file",
    params(("number" = u64, Path, description = "The file's number."), OfDevice),
    responses(
        (status = 200, description = "The file.", content((Vec<u8> = "application/octet-stream"))),
        (status = 206, description = "A range of it.", content((Vec<u8> = "application/octet-stream"))),
        (status = 404, description = "No such file, or not complete yet.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 416, description = "The range begins behind the end.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn content(
    State(api): State<Api>,
    Segment(number): Segment<u64>,
    Params(of): Params<OfDevice>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let files = api.headend().files().clone();
    find(&files, number, &of)?;
    let opened = tokio::task::spawn_blocking(move || files.open_kept(number)).await;
    let (record, file) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Problem::new(ProblemKind::UnknownFile, format!("file {number} is not complete")));
        }
        Ok(Err(error)) => return Err(Problem::new(ProblemKind::Store, format!("file {number}: {error}"))),
        Err(_) => return Err(Problem::new(ProblemKind::Store, "the server is stopping")),
    };
    answer(&record, file, &headers)
}

/// The part of a file that is asked for: first byte and how many.
enum Range {
    Whole,
    Part(u64, u64),
    Behind,
}

/// What a `Range` asks for of so many bytes.
fn range(text: Option<&str>, size: u64) -> Range {
    let bounds = text.and_then(|text| text.trim().strip_prefix("bytes=")?.trim().split_once('-'));
    let Some((first, last)) = bounds else { return Range::Whole };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if last < first => Range::Whole,
        (Ok(first), _) if first >= size => Range::Behind,
        (Ok(first), Ok(last)) => Range::Part(first, last.min(size - 1) - first + 1),
        (Ok(first), Err(_)) if last.trim().is_empty() => Range::Part(first, size - first),
        (Err(_), Ok(0)) if first.trim().is_empty() => Range::Behind,
        (Err(_), Ok(count)) if first.trim().is_empty() && size > 0 => {
            let count = count.min(size);
            Range::Part(size - count, count)
        }
        _ => Range::Whole,
    }
}

fn answer(record: &FileRecord, mut file: std::fs::File, asked: &HeaderMap) -> Result<Response, Problem> {
    let tag = format!("\"{}-{}\"", record.number, record.changed_at.unix_ms());
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    // What was begun of another version is of no use.
    let is_same = text(header::IF_RANGE).is_none_or(|asked| asked == tag);
    let wanted = range(text(header::RANGE).filter(|_| is_same), record.size);
    let (status, first, count) = match wanted {
        Range::Whole => (StatusCode::OK, 0, record.size),
        Range::Part(first, count) => (StatusCode::PARTIAL_CONTENT, first, count),
        Range::Behind => {
            let detail = format!("the file has {} bytes", record.size);
            let mut response = Problem::new(ProblemKind::WrongRange, detail).into_response();
            put(&mut response, header::CONTENT_RANGE, &format!("bytes */{}", record.size));
            return Ok(response);
        }
    };
    file.seek(SeekFrom::Start(first))
        .map_err(|error| Problem::new(ProblemKind::Store, format!("the file cannot be read: {error}")))?;
    let pieces = stream::try_unfold((file, count), |(file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || piece(file, left)).await;
        read.map_err(io::Error::other)?.map(Some)
    });
    let mut response = (status, Body::from_stream(pieces)).into_response();
    let name = crate::console::encoded(record.name.as_str());
    put(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    put(&mut response, header::CONTENT_LENGTH, &count.to_string());
    put(&mut response, header::CONTENT_DISPOSITION, &format!("attachment; filename*=UTF-8''{name}"));
    put(&mut response, header::ACCEPT_RANGES, "bytes");
    put(&mut response, header::ETAG, &tag);
    // Whatever a device sends is no page of ours.
    put(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(&mut response, header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'");
    if status == StatusCode::PARTIAL_CONTENT {
        let last = first + count - 1;
        put(&mut response, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{}", record.size));
    }
    Ok(response)
}

fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The next bytes of a file, and the file behind them.
fn piece(mut file: std::fs::File, left: u64) -> io::Result<(Bytes, (std::fs::File, u64))> {
    let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
    file.read_exact(&mut piece)?;
    let left = left - piece.len() as u64;
    Ok((piece.into(), (file, left)))
}

#[cfg(test)]
mod tests {
    use super::{Range, range};

    /// First byte and count; the size for the whole file, none behind its end.
    fn check(text: &str, expected: Option<(u64, u64)>) {
        let found = match range(Some(text), 10) {
            Range::Whole => Some((0, 10)),
            Range::Part(first, count) => Some((first, count)),
            Range::Behind => None,
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn one_range_is_read_and_anything_else_is_the_whole_file() {
        check("bytes=0-0", Some((0, 1)));
        check("bytes=3-", Some((3, 7)));
        check("bytes=3-99", Some((3, 7)));
        check("bytes=-4", Some((6, 4)));
        check("bytes=-99", Some((0, 10)));
        check("bytes=10-", None);
        check("bytes=-0", None);
        for whole in ["bytes=5-3", "bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes=a-b"] {
            check(whole, Some((0, 10)));
        }
    }
}
