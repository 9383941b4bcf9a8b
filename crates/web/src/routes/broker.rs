//! Sessions of clients of the broker, page by page.

use axum::Json;
use axum::extract::State;
use loggerhead_protocols::standing::SessionQuery;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::{BrokerSession, BrokerSessionList, ProblemDetails};
use crate::extract::{Params, device_id, limited};
use crate::problem::Problem;
use crate::state::Api;

/// Sessions on a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most sessions on a page: each may show a hundred subscriptions.
const PAGE_MAX: usize = 1000;

/// Which sessions, and which page of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionParams {
    /// Only those that use the account of this device.
    device: Option<String>,
    /// Only after this client: `next` of the page before.
    after: Option<String>,
    /// Sessions on the page, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

/// The sessions of clients of the broker, page by page.
#[utoipa::path(
    get,
    path = "/api/v1/broker/sessions",
    tag = "broker",
    operation_id = "list_broker_sessions",
    params(SessionParams),
    responses(
        (status = 200, description = "A page of sessions, by client.", body = BrokerSessionList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sessions(
    State(api): State<Api>,
    Params(params): Params<SessionParams>,
) -> Result<Json<BrokerSessionList>, Problem> {
    let limit = limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    sessions_after(&api, params.device.as_deref(), params.after.as_deref(), limit).map(Json)
}

/// A page of sessions.
///
/// # Errors
/// `BadRequest` for a device that cannot be one.
pub(crate) fn sessions_after(
    api: &Api,
    device: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<BrokerSessionList, Problem> {
    let device = device.map(device_id).transpose()?;
    let query = SessionQuery { device, after: after.map(Into::into), limit: limit + 1 };
    let mut found = api.headend().sessions(&query);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let sessions: Vec<_> = found.into_iter().map(BrokerSession::from).collect();
    let next = sessions.last().filter(|_| has_more).map(|last| last.client.clone());
    Ok(BrokerSessionList { sessions, next })
}
