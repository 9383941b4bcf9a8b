//! Events: what happened, page by page.

use std::ops::ControlFlow;

use axum::Json;
use axum::extract::State;
use loggerhead_model::{EventKind, Severity};
use loggerhead_store::EventFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::{Event, EventList, ProblemDetails, Time};
use crate::extract::{Params, Sort, device_id, limited};
use crate::problem::Problem;
use crate::state::Api;

/// Events on a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most events on a page.
const PAGE_MAX: usize = 1000;

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
        (status = 503, description = "The store cannot answer.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(params): Params<EventParams>,
) -> Result<Json<EventList>, Problem> {
    let limit = limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let filter = EventFilter {
        device: params.device.as_deref().map(device_id).transpose()?,
        kind: params.kind,
        severity: params.severity,
        from: params.from.map(|from| from.0),
        to: params.to.map(|to| to.0),
        beyond: params.after,
        order: params.sort.into(),
        ..EventFilter::default()
    };
    let list = api
        .query(move |reader| {
            let mut list = EventList::default();
            reader.events(&filter, &mut |stored| {
                if list.events.len() == limit {
                    list.next = list.events.last().and_then(|event| event.number);
                    return ControlFlow::Break(());
                }
                list.events.push(Event::new(Some(stored.number), stored.cursor, stored.event));
                ControlFlow::Continue(())
            })?;
            Ok(list)
        })
        .await?;
    Ok(Json(list))
}
