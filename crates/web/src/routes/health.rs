//! How the head-end is: for people, for load balancers, for monitors.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::{Listener, ListenerAddress, ListenerList, Pace, PresenceCounts, Readiness, Status, StoreStatus, Time};
use crate::state::Api;

/// How the head-end is, at a glance.
#[utoipa::path(
    get,
    path = "/api/v1/status",
    tag = "health",
    operation_id = "show_status",
    responses((status = 200, description = "Readiness, listeners, devices by state, the store.", body = Status))
)]
pub(crate) async fn status(State(api): State<Api>) -> Json<Status> {
    let listeners = api
        .headend()
        .addresses()
        .into_iter()
        .map(|(name, address)| ListenerAddress { name, address: address.to_string() })
        .collect();
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: Time(api.started_at()),
        readiness: readiness(&api),
        listeners,
        devices: PresenceCounts::from(&api.headend().device_tally()),
        pace: Pace { course: api.course().rates(), ..Pace::from(&api.headend().metrics()) },
        store: StoreStatus::from(api.headend().store().health()),
    })
}

/// Every listener and what it lets in.
#[utoipa::path(
    get,
    path = "/api/v1/listeners",
    tag = "health",
    operation_id = "list_listeners",
    responses((status = 200, description = "The listeners.", body = ListenerList))
)]
pub(crate) async fn listeners(State(api): State<Api>) -> Json<ListenerList> {
    let listeners = api.headend().listeners().await.into_iter().map(Listener::from).collect();
    Json(ListenerList { listeners })
}

fn readiness(api: &Api) -> Readiness {
    let health = api.headend().health();
    Readiness { ready: health.ready, reasons: health.reasons }
}

/// Whether the process runs and its parts answer. Restart it when not.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    operation_id = "show_liveness",
    responses((status = 200, description = "It does.", body = String), (status = 503, description = "It does not."))
)]
pub(crate) async fn live(State(api): State<Api>) -> (StatusCode, &'static str) {
    if api.headend().health().live {
        (StatusCode::OK, "live\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not live\n")
    }
}

/// Whether it accepts devices and keeps what they send, and why not.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    operation_id = "show_readiness",
    responses(
        (status = 200, description = "It does.", body = Readiness),
        (status = 503, description = "It does not; the reasons.", body = Readiness),
    )
)]
pub(crate) async fn ready(State(api): State<Api>) -> (StatusCode, Json<Readiness>) {
    let readiness = readiness(&api);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}
