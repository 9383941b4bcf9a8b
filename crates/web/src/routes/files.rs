//! Files that devices sent: listed, searched, removed.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use loggerhead_headend::files::{FileQuery, FileStatus, Files};
use loggerhead_model::FileState;
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
