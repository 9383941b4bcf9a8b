//! Events: what happened, page by page.

use std::ops::ControlFlow;

use axum::Json;
use axum::extract::State;
use loggerhead_model::{EventKind, Severity};
use loggerhead_store::{AccessChange, Acknowledgement, Change, EventFilter, ListOrder};
use serde::Deserialize;
use utoipa::IntoParams;

use super::devices::check_known;
use crate::access::Viewer;
use crate::api::{Event, EventList, Note, ProblemDetails, Time};
use crate::extract::{Body, Params, Segment, Sort, device_id, limited};
use crate::page::Page;
use crate::problem::{Problem, ProblemKind};
use crate::state::{Api, now};

/// Events on a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most events on a page.
const PAGE_MAX: usize = 1000;
/// Longest note about an event.
const NOTE_BYTES_MAX: usize = 1000;

/// Which events, and which page of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParams {
    /// Only about this device.
    device: Option<String>,
    /// Only of this kind.
    #[param(value_type = Option<String>, example = "refused")]
    kind: Option<EventKind>,
    /// Only at least this severe: `info`, `warning`, `error`.
    #[param(value_type = Option<String>)]
    severity: Option<Severity>,
    /// Only those that somebody took note of, or only those that nobody did.
    acknowledged: Option<bool>,
    /// Only at this moment or later.
    from: Option<Time>,
    /// Only before this moment.
    to: Option<Time>,
    /// Which come first: `newest` (as good as nothing said) or `oldest`.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// Only after this number in that order: `next` of the page before.
    after: Option<u64>,
    /// Events on the page, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

/// The events, page by page.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "events",
    operation_id = "list_events",
    params(EventParams),
    responses(
        (status = 200, description = "A page of events.", body = EventList),
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
    Params(params): Params<EventParams>,
) -> Result<Json<EventList>, Problem> {
    let limit = limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let device = params.device.as_deref().map(device_id).transpose()?;
    let filter = EventFilter {
        device: device.clone(),
        kind: params.kind,
        severity: params.severity,
        from: params.from.map(|from| from.0),
        to: params.to.map(|to| to.0),
        acknowledged: params.acknowledged,
        beyond: params.after,
        order: params.sort.into(),
    };
    let page = api
        .query(move |reader| {
            let mut page = Page::new(limit);
            reader.events(&filter, &mut |stored| page.take(stored.number, || Event::stored(stored)))?;
            Ok(page)
        })
        .await?;
    check_known(&api, device.as_ref(), page.kept.len()).await?;
    Ok(Json(EventList { next: page.next(), events: page.kept }))
}

/// Takes note of an event. The first who does so stays; later ones change nothing.
#[utoipa::path(
    post,
    path = "/api/v1/events/{number}/acknowledge",
    tag = "events",
    operation_id = "acknowledge_event",
    params(("number" = u64, Path, description = "The event's number.")),
    request_body = Note,
    responses(
        (status = 200, description = "The event, with who took note of it.", body = Event),
        (status = 400, description = "The note is too long.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such event.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "The store cannot write.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn acknowledge(
    State(api): State<Api>,
    viewer: Viewer,
    Segment(number): Segment<u64>,
    Body(note): Body<Note>,
) -> Result<Json<Event>, Problem> {
    if note.note.len() > NOTE_BYTES_MAX {
        let detail = format!("a note of {} bytes is over {NOTE_BYTES_MAX}", note.note.len());
        return Err(Problem::new(ProblemKind::BadRequest, detail));
    }
    find(&api, number).await?;
    let note = Acknowledgement { by: viewer.name().to_owned(), at: now(), note: note.note };
    api.headend().store().write(Change::Access(AccessChange::Acknowledge(number, note))).await?;
    find(&api, number).await.map(Json)
}

async fn find(api: &Api, number: u64) -> Result<Event, Problem> {
    let filter = EventFilter { beyond: number.checked_sub(1), order: ListOrder::OldestFirst, ..EventFilter::default() };
    let found = api
        .query(move |reader| {
            let mut found = None;
            reader.events(&filter, &mut |stored| {
                found = Some(stored).filter(|stored| stored.number == number);
                ControlFlow::Break(())
            })?;
            Ok(found)
        })
        .await?;
    let unknown = || Problem::new(ProblemKind::UnknownEvent, format!("no event {number}"));
    found.map(Event::stored).ok_or_else(unknown)
}
