//! Raw frames of a device's conversation, page by page.

use axum::Json;
use axum::extract::State;
use loggerhead_store::{FrameFilter, StoredFrame};
use serde::Deserialize;
use utoipa::IntoParams;

use super::devices::check_known;
use crate::access::hex;
use crate::api::{Frame, FrameList, ProblemDetails, Sent, SentList, Time};
use crate::extract::{Params, Segment, Sort, device_id, limited};
use crate::page::Page;
use crate::problem::Problem;
use crate::state::Api;

/// Frames on a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most frames on a page.
const PAGE_MAX: usize = 1000;
/// Bytes of frames after which a page ends, whatever its limit says: each is sent as two digits.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Which frames, and which page of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FrameParams {
    /// Only received or sent at this moment or later.
    from: Option<Time>,
    /// Only received or sent before this moment.
    to: Option<Time>,
    /// Which come first: `newest` (as good as nothing said) or `oldest`.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// Only after this number in that order: `next` of the page before.
    after: Option<u64>,
    /// Frames on the page, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

fn frame(stored: &StoredFrame<'_>) -> Frame {
    Frame {
        number: stored.number,
        cursor: stored.cursor.number(),
        received_at: Time(stored.received_at),
        direction: stored.direction,
        bytes: stored.bytes.len(),
        hex: hex(&stored.bytes),
    }
}

/// The raw frames of a device, page by page.
#[utoipa::path(
    get,
    path = "/api/v1/devices/{id}/frames",
    tag = "events",
    operation_id = "list_frames",
    params(("id" = String, Path, description = "Our name for the device."), FrameParams),
    responses(
        (status = 200, description = "A page of frames.", body = FrameList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot answer.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Segment(id): Segment<String>,
    Params(params): Params<FrameParams>,
) -> Result<Json<FrameList>, Problem> {
    let limit = limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let device = device_id(&id)?;
    let filter = FrameFilter {
        device: Some(device.clone()),
        from: params.from.map(|from| from.0),
        to: params.to.map(|to| to.0),
        beyond: params.after,
        order: params.sort.into(),
    };
    let page = api
        .query(move |reader| {
            let (mut page, mut bytes) = (Page::new(limit), 0);
            reader.frames(&filter, &mut |stored| {
                bytes += stored.bytes.len();
                if bytes > PAGE_BYTES_MAX && !page.kept.is_empty() {
                    page.end();
                }
                page.take(stored.number, || frame(&stored))
            })?;
            Ok(page)
        })
        .await?;
    check_known(&api, Some(&device), page.kept.len()).await?;
    Ok(Json(FrameList { next: page.next(), frames: page.kept }))
}

/// What was said to a device lately, the newest first. It is kept in memory alone, of all devices together up to a limit, where its
/// protocol does not store it: `frames` has the rest. New secrets are left out.
#[utoipa::path(
    get,
    path = "/api/v1/devices/{id}/sent",
    tag = "events",
    operation_id = "list_sent",
    params(("id" = String, Path, description = "Our name for the device.")),
    responses(
        (status = 200, description = "What was said.", body = SentList),
        (status = 404, description = "No such device.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sent(State(api): State<Api>, Segment(id): Segment<String>) -> Result<Json<SentList>, Problem> {
    let device = device_id(&id)?;
    let said = api.headend().said(&device);
    check_known(&api, Some(&device), said.len()).await?;
    let sent = said.into_iter().map(|said| Sent { at: Time(said.at), bytes: said.bytes.len(), hex: hex(&said.bytes) });
    Ok(Json(SentList { sent: sent.collect() }))
}
