//! Resumable uploads: tus 1.0.0 with creation, creation-with-upload, checksum, expiration and termination.
//!
//! A file of an upload belongs to the device that the query names. What a client that is gone has sent is kept until it
//! expires, and a client that comes again goes on where the last byte was taken.

mod sum;

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use loggerhead_headend::files::Upload;
use loggerhead_model::{FileName, FileRecord, FileState, Ticket, Timestamp};
use loggerhead_protocols::{Collision, FileFailure, FileOffer, FileSums, Start, base64};

use self::sum::{ALGORITHMS, Sum};
use super::files::{OfDevice, find};
use super::put;
use crate::access::noted;
use crate::api::ProblemDetails;
use crate::extract::{Params, Segment, device_id};
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// The version that is spoken.
const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,checksum,expiration,termination";
/// The media type of a piece.
const PIECE_TYPE: &str = "application/offset+octet-stream";
/// The address of uploads.
const UPLOADS: &str = "/api/v1/uploads";
/// The address of one.
const UPLOAD: &str = "/api/v1/uploads/{number}";
/// Silence after which a client that sends is given up.
const SILENCE: Duration = Duration::from_mins(1);
/// Longest metadata of a file: names and types fit, and they are held in memory for every file.
const METADATA_BYTES_MAX: usize = 1024;

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSIONS: HeaderName = HeaderName::from_static("tus-version");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// Whether the bodies of requests at this path are files.
pub(crate) fn is_streamed(path: &str) -> bool {
    [UPLOADS, UPLOAD].contains(&path)
}

/// Gives a request for an upload the method that its client could not send: some stand behind a proxy that knows neither
/// `PATCH` nor `DELETE` (tus 1.0.0, `X-HTTP-Method-Override`).
pub(crate) fn override_method<B>(request: &mut Request<B>) {
    let is_upload = request.uri().path().strip_prefix(UPLOADS).is_some_and(|rest| rest.starts_with('/'));
    if !is_upload || request.method() != Method::POST {
        return;
    }
    let wanted = text(request.headers(), &OVERRIDE);
    if let Some(method) = [Method::PATCH, Method::DELETE].into_iter().find(|method| wanted == Some(method.as_str())) {
        *request.method_mut() = method;
    }
}

/// Says which version is spoken, in every answer (tus 1.0.0, `Tus-Resumable` and `Tus-Version`).
pub(crate) async fn tell_version(mut response: Response) -> Response {
    put(&mut response, RESUMABLE, VERSION);
    if response.status() == StatusCode::PRECONDITION_FAILED {
        put(&mut response, VERSIONS, VERSION);
    }
    response
}

/// What tus can do here.
#[utoipa::path(
    options,
    path = "/api/v1/uploads",
    tag = "files",
    operation_id = "describe_uploads",
    responses((status = 204, description = "Version, extensions, largest file and checksums, in the headers."))
)]
pub(crate) async fn describe(State(api): State<Api>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let max = api.headend().files().bytes_max().to_string();
    put(&mut response, VERSIONS, VERSION);
    let told = [("tus-extension", EXTENSIONS), ("tus-max-size", &max), ("tus-checksum-algorithm", ALGORITHMS)];
    for (name, value) in told {
        put(&mut response, HeaderName::from_static(name), value);
    }
    response
}

/// Begins an upload (tus 1.0.0): `Upload-Length`, and the file's name as `filename` in `Upload-Metadata`.
///
/// A body of the type `application/offset+octet-stream` is the beginning of the file.
#[utoipa::path(
    post,
    path = "/api/v1/uploads",
    tag = "files",
    operation_id = "begin_upload",
    params(("device" = String, Query, description = "Whose the file will be.")),
    responses(
        (status = 201, description = "Begun; `Location` is the address of the upload."),
        (status = 400, description = "A header cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such device.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 413, description = "More than may be kept.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 415, description = "A body of another type.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 460, description = "The bytes do not come to their checksum.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 507, description = "The disk has no room.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn begin(
    State(api): State<Api>,
    Params(of): Params<OfDevice>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (asked, body) = request.into_parts();
    check_version(&asked.headers)?;
    let wrong = |detail: &str| Problem::new(ProblemKind::BadRequest, detail.to_owned());
    let device = device_id(of.device.as_deref().ok_or_else(|| wrong("whose file? add ?device=ID"))?)?;
    if api.headend().device(&device).is_none() {
        return Err(Problem::new(ProblemKind::UnknownDevice, format!("no device {device}")));
    }
    let size = number(&asked.headers, &LENGTH)?;
    let files = api.headend().files();
    if size > files.bytes_max() {
        let detail = format!("{size} bytes are over {}", files.bytes_max());
        return Err(Problem::new(ProblemKind::NoRoom, detail));
    }
    let with_bytes = asked.headers.contains_key(header::CONTENT_TYPE);
    if with_bytes {
        check_type(&asked.headers)?;
    }
    let sum = Sum::of(&asked.headers)?;
    let offer = FileOffer {
        device,
        name: name(&asked.headers)?,
        size,
        // What its clients find it by is its address; this one keeps the part.
        key: Some(format!("tus {}", crate::access::hex(&rand::random::<[u8; 16]>()))),
        metadata: text(&asked.headers, &METADATA).map(str::to_owned),
        start: Start::At(0),
        sums: FileSums::default(),
        collision: Collision::Suffix,
    };
    let upload = files.begin(offer).await.map_err(|failure| refused(&failure))?;
    let record = upload.record().clone();
    let (files, number) = (files.clone(), record.number);
    let offset = to_the_end(async move {
        let taken = take(upload, with_bytes.then_some(body), sum).await;
        if taken.is_err() {
            // Its client does not know its address, so nobody would go on with it.
            files.remove(number).await?;
        }
        taken
    })
    .await?;
    let mut response = StatusCode::CREATED.into_response();
    let address = format!("{UPLOADS}/{}?device={}", record.number, crate::console::encoded(record.device.as_str()));
    put(&mut response, header::LOCATION, &address);
    tell(&api, &mut response, record.number, offset);
    Ok(noted(format!("{} {} {}", record.number, record.device, record.name), response))
}

/// How far an upload is (tus 1.0.0).
#[utoipa::path(
    head,
    path = "/api/v1/uploads/{number}",
    tag = "files",
    operation_id = "show_upload",
    params(("number" = u64, Path, description = "The file's number."), OfDevice),
    responses(
        (status = 200, description = "`Upload-Offset` is the next byte to send, `Upload-Length` the size of the file."),
        (status = 404, description = "No such upload, or it expired."),
        (status = 412, description = "Another version of tus."),
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    Segment(number): Segment<u64>,
    Params(of): Params<OfDevice>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_version(&headers)?;
    let status = find(api.headend().files(), number, &of)?;
    let mut response = StatusCode::OK.into_response();
    put(&mut response, LENGTH, &status.record.size.to_string());
    if let Some(metadata) = &status.record.metadata {
        put(&mut response, METADATA, metadata);
    }
    put(&mut response, header::CACHE_CONTROL, "no-store");
    tell(&api, &mut response, number, status.here);
    Ok(response)
}

/// Goes on with an upload (tus 1.0.0): the body is what follows the `Upload-Offset` that `HEAD` told.
#[utoipa::path(
    patch,
    path = "/api/v1/uploads/{number}",
    tag = "files",
    operation_id = "go_on_with_upload",
    params(("number" = u64, Path, description = "The file's number."), OfDevice),
    responses(
        (status = 204, description = "Taken; `Upload-Offset` is the next byte. At the size, the file is verified and kept."),
        (status = 404, description = "No such upload, or it expired.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 409, description = "Another offset than that of the upload.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 415, description = "A body of another type.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 460, description = "The bytes do not come to their checksum, and are given up.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 507, description = "The disk has no room; what came of the piece before that is kept.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn go_on(
    State(api): State<Api>,
    Segment(number): Segment<u64>,
    Params(of): Params<OfDevice>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (asked, body) = request.into_parts();
    check_version(&asked.headers)?;
    check_type(&asked.headers)?;
    let offset = self::number(&asked.headers, &OFFSET)?;
    let sum = Sum::of(&asked.headers)?;
    let files = api.headend().files();
    let record = find(files, number, &of)?.record;
    let upload = files.begin(offer_again(&record)).await.map_err(|failure| refused(&failure))?;
    let here = upload.offset();
    if here != offset {
        let detail = format!("{here} bytes of the file are here, {offset} were said");
        return Err(Problem::new(ProblemKind::WrongOffset, detail));
    }
    let offset = to_the_end(take(upload, Some(body), sum)).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    tell(&api, &mut response, number, offset);
    Ok(response)
}

/// Gives an upload up (tus 1.0.0), or removes the file that came of it.
#[utoipa::path(
    delete,
    path = "/api/v1/uploads/{number}",
    tag = "files",
    operation_id = "end_upload",
    params(("number" = u64, Path, description = "The file's number."), OfDevice),
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "No such upload, or it expired.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn end(
    State(api): State<Api>,
    Segment(number): Segment<u64>,
    Params(of): Params<OfDevice>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_version(&headers)?;
    let files = api.headend().files();
    let record = find(files, number, &of)?.record;
    files.remove(number).await?;
    Ok(noted(format!("{number} {} {}", record.device, record.name), StatusCode::NO_CONTENT.into_response()))
}

/// The part that is known, offered once more by who goes on with it.
fn offer_again(record: &FileRecord) -> FileOffer {
    FileOffer {
        device: record.device.clone(),
        name: record.name.clone(),
        size: record.size,
        key: record.key.clone(),
        metadata: record.metadata.clone(),
        start: Start::Behind,
        sums: FileSums::default(),
        collision: Collision::Suffix,
    }
}

/// Has something done in a task of its own, bounded by the wait for every piece: what came of a connection that ends is put away
/// in order.
async fn to_the_end(work: impl Future<Output = Result<u64, Problem>> + Send + 'static) -> Result<u64, Problem> {
    tokio::spawn(work).await.map_err(|_| Problem::new(ProblemKind::Store, "the server is stopping"))?
}

/// Takes the bytes of a piece; keeps the file when they were its last ones. What is told of them is on disk. Gives the next
/// offset.
async fn take(upload: Upload, body: Option<Body>, mut sum: Option<Sum>) -> Result<u64, Problem> {
    let first = upload.offset();
    let came = write(&upload, body, sum.as_mut()).await;
    // What has a checksum and did not come whole cannot be checked.
    if sum.is_some_and(|sum| came.is_err() || !sum.fits()) {
        upload.back_to(first).await.map_err(|failure| refused(&failure))?;
        came?;
        return Err(Problem::new(ProblemKind::WrongSum, "the piece does not come to its checksum, and is given up"));
    }
    came?;
    let offset = upload.offset();
    if offset == upload.record().size {
        upload.finish(Ticket(0)).await.map_err(|failure| refused(&failure))?;
    } else {
        upload.leave().await.map_err(|failure| refused(&failure))?;
    }
    Ok(offset)
}

/// Hands a body on as it comes.
async fn write(upload: &Upload, body: Option<Body>, mut sum: Option<&mut Sum>) -> Result<(), Problem> {
    let mut pieces = body.map(Body::into_data_stream);
    let size = upload.record().size;
    while let Some(bytes) = next(&mut pieces).await? {
        if bytes.len() as u64 > size.saturating_sub(upload.offset()) {
            return Err(Problem::new(
                ProblemKind::BadRequest,
                format!("the piece goes beyond the {size} bytes of the file"),
            ));
        }
        if let Some(sum) = &mut sum {
            sum.update(&bytes);
        }
        upload.write(bytes).await.map_err(|failure| refused(&failure))?;
    }
    Ok(())
}

/// The next bytes of a body, in time.
async fn next(pieces: &mut Option<BodyDataStream>) -> Result<Option<bytes::Bytes>, Problem> {
    let Some(pieces) = pieces else { return Ok(None) };
    let broken = |detail: String| Problem::new(ProblemKind::BadRequest, detail);
    match tokio::time::timeout(SILENCE, pieces.next()).await {
        Ok(next) => next.transpose().map_err(|error| broken(format!("the body broke off: {error}"))),
        Err(_) => Err(Problem::new(ProblemKind::SlowBody, format!("nothing came for {SILENCE:?}"))),
    }
}

fn tell(api: &Api, response: &mut Response, number: u64, offset: u64) {
    put(response, OFFSET, &offset.to_string());
    let files = api.headend().files();
    if let Some(status) = files.status(number).filter(|status| status.record.state == FileState::Partial) {
        put(response, EXPIRES, &http_date(files.kept_until(&status.record)));
    }
}

/// A moment as headers have it: `Sat, 31 Jan 2026 15:59:59 GMT`.
fn http_date(at: Timestamp) -> String {
    let moment = jiff::Timestamp::from_millisecond(at.unix_ms()).unwrap_or(jiff::Timestamp::MAX);
    moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    match text(headers, &RESUMABLE) {
        Some(VERSION) => Ok(()),
        other => {
            let detail = format!("Tus-Resumable is {:?}; this is version {VERSION}", other.unwrap_or("not there"));
            Err(Problem::new(ProblemKind::WrongVersion, detail))
        }
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    match text(headers, &header::CONTENT_TYPE) {
        Some(PIECE_TYPE) => Ok(()),
        other => {
            let detail = format!("Content-Type is {:?}; a piece is {PIECE_TYPE}", other.unwrap_or("not there"));
            Err(Problem::new(ProblemKind::NotBytes, detail))
        }
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Problem> {
    let digits = text(headers, name).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Problem::new(ProblemKind::BadRequest, format!("{name} is no whole number of bytes")))
}

/// The name in the metadata: `filename` and its value in base 64, among other pairs.
fn name(headers: &HeaderMap) -> Result<FileName, Problem> {
    let wrong = |detail: String| Problem::new(ProblemKind::BadRequest, detail);
    let metadata = text(headers, &METADATA).unwrap_or_default();
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(wrong(format!("Upload-Metadata of {} bytes over {METADATA_BYTES_MAX}", metadata.len())));
    }
    let pairs = metadata.split(',').map(|pair| pair.trim().split_once(' '));
    let mut named = pairs.flatten().filter(|(key, _)| *key == "filename");
    let (value, another) = (named.next().map(|(_, value)| value.trim()), named.next());
    let value = value.filter(|_| another.is_none());
    let value =
        value.ok_or_else(|| wrong("Upload-Metadata has no one filename: its value stands in base 64".to_owned()))?;
    let decoded = base64::decode(value).and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(|| wrong("the filename in Upload-Metadata is no text in base 64".to_owned()))?;
    FileName::of_sender(&decoded).map_err(|error| wrong(format!("the filename: {error}")))
}

/// What the failure of a file is to a client.
fn refused(failure: &FileFailure) -> Problem {
    let kind = match failure {
        FileFailure::Quota => ProblemKind::NoRoom,
        FileFailure::DiskFull => ProblemKind::DiskFull,
        FileFailure::Gap { .. } | FileFailure::TakenOver => ProblemKind::WrongOffset,
        FileFailure::Differs => ProblemKind::BadRequest,
        FileFailure::Exists => ProblemKind::Taken,
        FileFailure::WrongSum => ProblemKind::WrongSum,
        FileFailure::Busy => ProblemKind::Busy,
        FileFailure::Failed => ProblemKind::Store,
    };
    Problem::new(kind, failure.to_string())
}

#[cfg(test)]
mod tests {
    use loggerhead_model::Timestamp;

    use super::http_date;

    #[test]
    fn a_moment_is_written_as_headers_have_it() {
        assert_eq!(http_date(Timestamp::from_unix_ms(1_769_875_199_000)), "Sat, 31 Jan 2026 15:59:59 GMT");
    }
}
