//! Signing in and out; the sign-ins that hold.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use loggerhead_model::Role;

use crate::access::{self, Caller, Entered, Guest, Viewer};
use crate::api::{Me, OwnPassword, ProblemDetails, Session, SessionList, SetUp, SignIn, SignInLink};
use crate::extract::{Body, Segment};
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// Signs in: the answer sets a cookie.
#[utoipa::path(
    post,
    path = "/api/v1/session",
    tag = "access",
    operation_id = "sign_in",
    request_body = SignIn,
    responses(
        (status = 200, description = "Signed in.", body = Me),
        (status = 401, description = "The name or the password is wrong.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 429, description = "Too many tries.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sign_in(
    State(api): State<Api>,
    caller: Caller,
    before: Result<Viewer, Problem>,
    headers: HeaderMap,
    Body(asked): Body<SignIn>,
) -> Result<Response, Problem> {
    let guest = Guest { caller, headers: &headers, before: before.ok() };
    access::by_password(&api, guest, &asked.name, asked.password).await.map(entered)
}

/// Signs in by a link that the server printed; it opens once. The answer sets a cookie.
#[utoipa::path(
    post,
    path = "/api/v1/session/link",
    tag = "access",
    operation_id = "sign_in_by_link",
    request_body = SignInLink,
    responses(
        (status = 200, description = "Signed in.", body = Me),
        (status = 401, description = "The link does not open anything.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn by_link(
    State(api): State<Api>,
    caller: Caller,
    before: Result<Viewer, Problem>,
    headers: HeaderMap,
    Body(asked): Body<SignInLink>,
) -> Result<Response, Problem> {
    let guest = Guest { caller, headers: &headers, before: before.ok() };
    access::by_link(&api, guest, asked.link.expose()).await.map(entered)
}

/// Makes the first account, an administrator, with the link that the server printed. The answer sets a cookie.
#[utoipa::path(
    post,
    path = "/api/v1/setup",
    tag = "access",
    operation_id = "set_up",
    request_body = SetUp,
    responses(
        (status = 200, description = "Made, and signed in.", body = Me),
        (status = 400, description = "The name or the password cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 401, description = "The link does not open anything.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn set_up(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Body(asked): Body<SetUp>,
) -> Result<Response, Problem> {
    let guest = Guest { caller, headers: &headers, before: None };
    access::set_up(&api, guest, asked.link.expose(), &asked.name, asked.password).await.map(entered)
}

fn entered(entered: Entered) -> Response {
    ([(header::SET_COOKIE, entered.cookie)], Json(Me::from(&entered.viewer))).into_response()
}

/// Signs out: the cookie opens nothing any more.
#[utoipa::path(
    delete,
    path = "/api/v1/session",
    tag = "access",
    operation_id = "sign_out",
    responses((status = 204, description = "Signed out."))
)]
pub(crate) async fn sign_out(State(api): State<Api>, viewer: Viewer) -> Result<Response, Problem> {
    if let Some(session) = viewer.session_hash() {
        api.book().end_session(session).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, access::clear_cookie(api.transport()))]).into_response())
}

/// Changes the password of whoever asks. Every sign-in of the account ends; the answer sets a new cookie.
#[utoipa::path(
    post,
    path = "/api/v1/me/password",
    tag = "access",
    operation_id = "change_own_password",
    request_body = OwnPassword,
    responses(
        (status = 200, description = "Changed.", body = Me),
        (status = 400, description = "The new password cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 401, description = "The old password is wrong.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn change_password(
    State(api): State<Api>,
    viewer: Viewer,
    caller: Caller,
    headers: HeaderMap,
    Body(asked): Body<OwnPassword>,
) -> Result<Response, Problem> {
    if viewer.session_hash().is_none() {
        let detail = format!("{} has no password", viewer.name());
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    let guest = Guest { caller, headers: &headers, before: None };
    access::change_password(&api, guest, viewer.name(), asked.old, asked.new).await.map(entered)
}

/// The sign-ins that hold: an administrator's view of all, anybody else's of their own.
#[utoipa::path(
    get,
    path = "/api/v1/sessions",
    tag = "access",
    operation_id = "list_sessions",
    responses((status = 200, description = "The sign-ins, the newest first.", body = SessionList))
)]
pub(crate) async fn list(State(api): State<Api>, viewer: Viewer) -> Json<SessionList> {
    let sessions = visible(&api, &viewer).into_iter().map(|session| Session::new(session, &viewer)).collect();
    Json(SessionList { sessions })
}

fn visible(api: &Api, viewer: &Viewer) -> Vec<loggerhead_store::WebSession> {
    api.book().sessions((!viewer.may(Role::Admin)).then(|| viewer.name()))
}

/// Ends a sign-in, and what it follows live.
#[utoipa::path(
    delete,
    path = "/api/v1/sessions/{id}",
    tag = "access",
    operation_id = "end_session",
    params(("id" = String, Path, description = "The name of the sign-in.")),
    responses(
        (status = 204, description = "Ended."),
        (status = 404, description = "No such sign-in, or not one's own.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn end(
    State(api): State<Api>,
    viewer: Viewer,
    Segment(id): Segment<String>,
) -> Result<Response, Problem> {
    let found = visible(&api, &viewer).into_iter().find(|session| Session::id(session) == id);
    let found = found.ok_or_else(|| Problem::new(ProblemKind::UnknownSession, format!("no sign-in {id:?}")))?;
    api.book().end_session(found.hash).await?;
    Ok(access::noted(format!("sign-in {id} of {}", found.account), StatusCode::NO_CONTENT.into_response()))
}
