//! What is in a file: all of it or a range, so that a download goes on where it broke off. Source: RFC 9110 §13, §14.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use loggerhead_model::{FileName, FileRecord};

use super::files::{OfDevice, find};
use super::put;
use crate::api::ProblemDetails;
use crate::extract::{Params, Segment};
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// What is read from the disk at a time.
const PIECE_BYTES: usize = 256 * 1024;

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
        (status = 304, description = "It is the one that `If-None-Match` names."),
        (status = 404, description = "No such file, or not complete yet.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 412, description = "It is none that `If-Match` names.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 416, description = "The range begins behind the end.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn content(
    State(api): State<Api>,
    Segment(number): Segment<u64>,
    Params(of): Params<OfDevice>,
    method: Method,
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
    answer(&record, file, &method, &headers)
}

fn answer(record: &FileRecord, mut file: File, method: &Method, asked: &HeaderMap) -> Result<Response, Problem> {
    let tag = format!("\"{}-{}\"", record.number, record.changed_at.unix_ms());
    let wanted = tags(asked, header::IF_MATCH);
    if !wanted.is_empty() && !wanted.iter().any(|other| ["*", &tag].contains(other)) {
        return Err(Problem::new(ProblemKind::Changed, format!("its tag is {tag}")));
    }
    let known = |other: &&str| *other == "*" || other.strip_prefix("W/").unwrap_or(other) == tag;
    if tags(asked, header::IF_NONE_MATCH).iter().any(known) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        put(&mut response, header::ETAG, &tag);
        return Ok(response);
    }
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    // What was begun of another version is of no use; and only what is sent has ranges.
    let has_range = method == Method::GET && text(header::IF_RANGE).is_none_or(|asked| asked == tag);
    let wanted = range(text(header::RANGE).filter(|_| has_range), record.size);
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
    put(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    put(&mut response, header::CONTENT_LENGTH, &count.to_string());
    put(&mut response, header::CONTENT_DISPOSITION, &disposition(&record.name));
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

/// The tags that a header lists; none where it is not there.
fn tags(asked: &HeaderMap, name: HeaderName) -> Vec<&str> {
    let lists = asked.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).collect()
}

/// The part of a file that is asked for: first byte and how many.
enum Range {
    Whole,
    Part(u64, u64),
    Behind,
}

/// What a `Range` asks for of so many bytes.
fn range(text: Option<&str>, size: u64) -> Range {
    let bounds =
        text.and_then(|text| text.split_once('=')).filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
    let Some((first, last)) = bounds.and_then(|(_, bounds)| bounds.split_once('-')) else { return Range::Whole };
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => Range::Whole,
        (Some(first), last_byte) if last_byte.is_some() || last.is_empty() => {
            if first >= size {
                return Range::Behind;
            }
            Range::Part(first, last_byte.unwrap_or(u64::MAX).min(size - 1) - first + 1)
        }
        (None, Some(0)) if first.is_empty() => Range::Behind,
        (None, Some(count)) if first.is_empty() && size > 0 => {
            let count = count.min(size);
            Range::Part(size - count, count)
        }
        _ => Range::Whole,
    }
}

/// A number of bytes; one that is too large is as far as any.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Under which name it is saved; those who take only plain names, such as curl, get one. Source: RFC 6266 §4.3.
fn disposition(name: &FileName) -> String {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || " ._-()".contains(sign);
    let plain: String = name.as_str().chars().map(|sign| if is_plain(sign) { sign } else { '_' }).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", crate::console::encoded(name.as_str()))
}

/// The next bytes of a file, and the file behind them.
fn piece(mut file: File, left: u64) -> io::Result<(Bytes, (File, u64))> {
    let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
    file.read_exact(&mut piece)?;
    let left = left - piece.len() as u64;
    Ok((piece.into(), (file, left)))
}

#[cfg(test)]
mod tests {
    use loggerhead_model::FileName;

    use super::{Range, disposition, range};

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
        let endless = "9".repeat(30);
        check("bytes=0-0", Some((0, 1)));
        check("bytes=3-", Some((3, 7)));
        check("bytes=3-99", Some((3, 7)));
        check(&format!("Bytes=3-{endless}"), Some((3, 7)));
        check("bytes=-4", Some((6, 4)));
        check("bytes=-99", Some((0, 10)));
        check("bytes=10-", None);
        check(&format!("bytes={endless}-"), None);
        check("bytes=-0", None);
        for whole in
            ["bytes=5-3", "bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes=a-b", "bytes=+1-2", "bytes=12-x", "bytes"]
        {
            check(whole, Some((0, 10)));
        }
    }

    #[test]
    fn a_name_is_told_plainly_and_as_it_is() {
        let name = FileName::of_sender("a\"b;ü%.jpg").expect("a name");
        let told = "attachment; filename=\"a_b___.jpg\"; filename*=UTF-8''a%22b%3B%C3%BC%25.jpg";
        assert_eq!(disposition(&name), told);
    }
}
