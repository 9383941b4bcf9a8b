//! Every path of the API, one file for each kind of thing.

mod accounts;
mod audit;
pub(crate) mod broker;
pub(crate) mod cameras;
mod channels;
mod chat;
mod commands;
mod content;
mod devices;
mod download;
mod events;
pub(crate) mod explain;
mod files;
mod frames;
mod health;
mod me;
mod messages;
mod readings;
mod session;
mod tokens;
pub(crate) mod uploads;

use std::pin::pin;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Uri, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::api::{ProblemDescription, ProblemDetails, ProblemKinds};
use crate::extract::Segment;
use crate::held::Held;
use crate::problem::{self, Problem, ProblemKind};
use crate::state::Api;
use crate::{access, console, live, metrics, openapi};

/// Largest body of a request. The largest thing to be said is a control order for a few hundred meters.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// Largest head of a request: a long query, and the cookies of everything else on this host.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Most headers of a request: browsers send twenty, proxies add some.
pub const HEADERS_MAX: usize = 64;

/// Every path, and the description of all of them.
pub(crate) fn describe() -> (Router<Api>, OpenApi) {
    OpenApiRouter::with_openapi(openapi::preamble())
        .routes(routes!(devices::list, devices::add))
        .routes(routes!(devices::show, devices::remove))
        .routes(routes!(devices::accept))
        .routes(routes!(devices::refuse))
        .routes(routes!(devices::presence))
        .routes(routes!(devices::presence_counts))
        .routes(routes!(devices::sites))
        .routes(routes!(channels::list))
        .routes(routes!(channels::latest))
        .routes(routes!(readings::range))
        .routes(routes!(readings::buckets))
        .routes(routes!(readings::conflicts))
        .routes(routes!(download::download))
        .routes(routes!(events::list))
        .routes(routes!(events::acknowledge))
        .routes(routes!(frames::list))
        .routes(routes!(frames::sent))
        .routes(routes!(files::list))
        .routes(routes!(files::show, files::remove))
        .routes(routes!(content::content))
        .routes(routes!(uploads::describe, uploads::begin).layer(middleware::map_response(uploads::tell_version)))
        .routes(
            routes!(uploads::show, uploads::go_on, uploads::end).layer(middleware::map_response(uploads::tell_version)),
        )
        .routes(routes!(commands::list))
        .routes(routes!(commands::show))
        .routes(routes!(commands::give))
        .routes(routes!(live::stream))
        .routes(routes!(live::websocket::open))
        .routes(routes!(broker::sessions))
        .routes(routes!(cameras::list))
        .routes(routes!(cameras::accounts))
        .routes(routes!(cameras::unbind))
        .routes(routes!(cameras::raise))
        .routes(routes!(cameras::set_state))
        .routes(routes!(chat::open))
        .routes(routes!(messages::list))
        .routes(routes!(messages::queues))
        .routes(routes!(explain::explain).layer(DefaultBodyLimit::max(explain::EXPLAIN_BYTES_MAX)))
        .routes(routes!(me::show))
        .routes(routes!(session::sign_in, session::sign_out))
        .routes(routes!(session::by_link))
        .routes(routes!(session::set_up))
        .routes(routes!(session::change_password))
        .routes(routes!(session::list))
        .routes(routes!(session::end))
        .routes(routes!(accounts::list, accounts::add))
        .routes(routes!(accounts::change, accounts::remove))
        .routes(routes!(tokens::list, tokens::add))
        .routes(routes!(tokens::revoke))
        .routes(routes!(audit::list))
        .routes(routes!(health::status))
        .routes(routes!(health::listeners))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::show))
        .routes(routes!(problems))
        .routes(routes!(problem_of_kind))
        .routes(routes!(openapi::show))
        .split_for_parts()
}

/// Every path, guarded by its limits.
pub(crate) fn router(api: &Api) -> Router {
    let (router, _) = describe();
    router
        .merge(console::router())
        .fallback(unknown_path)
        .layer(middleware::from_fn_with_state(api.clone(), console::as_pages))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(api.clone(), limit))
        .layer(middleware::from_fn_with_state(api.clone(), access::admit))
        .layer(middleware::from_fn(check_head))
        // Once more for what was refused before anybody was known.
        .layer(middleware::from_fn_with_state(api.clone(), console::as_pages))
        .layer(middleware::from_fn(access::protect))
        .layer(middleware::from_fn_with_state(api.clone(), count))
        .with_state(api.clone())
}

/// Refuses a head over its limits or without its one `Host` (RFC 9112 §3.2), before anything in it is looked at.
async fn check_head(request: Request, next: Next) -> Result<Response, Problem> {
    let headers = request.headers();
    if headers.len() > HEADERS_MAX {
        return Err(Problem::new(ProblemKind::HeadTooLarge, format!("{} headers over {HEADERS_MAX}", headers.len())));
    }
    let address = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    let bytes = address + headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    if bytes > HEAD_BYTES_MAX {
        return Err(Problem::new(ProblemKind::HeadTooLarge, format!("a head of {bytes} bytes over {HEAD_BYTES_MAX}")));
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Problem::new(ProblemKind::BadRequest, format!("{hosts} headers Host: a request has one")));
    }
    Ok(next.run(request).await)
}

/// Answers within its time, and with at most `REQUESTS_MAX` others.
async fn limit(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Problem> {
    let _place = api.enter()?;
    // The body of an upload is streamed, and has a wait of its own for every piece.
    let is_streamed = request.extensions().get::<MatchedPath>().is_some_and(|path| uploads::is_streamed(path.as_str()));
    if is_streamed {
        return Ok(next.run(request).await);
    }
    let within = api.waits().answer;
    let (head, body) = request.into_parts();
    // Its handler lets go of the body when it is there or is not wanted.
    let held = Arc::new(());
    let awaited = Arc::downgrade(&held);
    let body = Held::body(body, held);
    let mut answering = pin!(next.run(Request::from_parts(head, body)));
    tokio::time::timeout(within, answering.as_mut()).await.map_err(|_| {
        if awaited.upgrade().is_some() {
            Problem::new(ProblemKind::SlowBody, format!("no end of the body within {within:?}"))
        } else {
            Problem::new(ProblemKind::TooSlow, format!("no answer within {within:?}"))
        }
    })
}

/// Counts answers by route and status.
async fn count(State(api): State<Api>, request: Request, next: Next) -> Response {
    // A path that is no route counts as one, so that nobody can make new labels.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    api.figures().answered(&route, response.status().as_u16());
    response
}

async fn unknown_path(uri: Uri) -> Response {
    Problem::new(ProblemKind::UnknownPath, format!("nothing at {}", uri.path())).into_response()
}

/// Every kind of problem that an answer can report.
#[utoipa::path(
    get,
    path = "/api/v1/problems",
    tag = "description",
    operation_id = "list_problems",
    responses((status = 200, description = "The kinds of problems.", body = ProblemKinds))
)]
async fn problems() -> Json<ProblemKinds> {
    Json(ProblemKinds { problems: problem::descriptions().collect() })
}

/// One kind of problem.
#[utoipa::path(
    get,
    path = "/api/v1/problems/{kind}",
    tag = "description",
    operation_id = "show_problem",
    params(("kind" = String, Path, description = "The last part of a problem's `type`.")),
    responses(
        (status = 200, description = "What it means and what to do.", body = ProblemDescription),
        (status = 404, description = "No such kind.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn problem_of_kind(Segment(kind): Segment<String>) -> Result<Json<ProblemDescription>, Problem> {
    problem::description(&kind)
        .map(Json)
        .ok_or_else(|| Problem::new(ProblemKind::UnknownPath, format!("no kind of problem {kind:?}")))
}

/// Puts a header into an answer; what no header can hold is left out.
fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
