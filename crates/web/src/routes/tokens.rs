//! Tokens of programs.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::access::{self, Viewer, noted};
use crate::api::{MadeToken, NewToken, ProblemDetails, TokenList};
use crate::extract::{Body, Segment, device_id};
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// Most devices that a token is limited to: a program for more is one for all.
const DEVICES_MAX: usize = 100;
/// Longest life of a token that has an end.
const DAYS_MAX: u16 = 3_650;

/// The tokens, without what they open with.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    tag = "access",
    operation_id = "list_tokens",
    responses((status = 200, description = "The tokens, by number.", body = TokenList))
)]
pub(crate) async fn list(State(api): State<Api>) -> Json<TokenList> {
    Json(TokenList { tokens: api.book().tokens().into_iter().map(Into::into).collect() })
}

/// Makes a token. What it opens with is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "access",
    operation_id = "add_token",
    request_body = NewToken,
    responses(
        (status = 201, description = "Made.", body = MadeToken),
        (status = 400, description = "The name, a device or the days cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 409, description = "The name is taken, or there are too many.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn add(
    State(api): State<Api>,
    viewer: Viewer,
    Body(new): Body<NewToken>,
) -> Result<Response, Problem> {
    let wrong = |detail: String| Problem::new(ProblemKind::BadRequest, detail);
    if new.devices.len() > DEVICES_MAX {
        return Err(wrong(format!("{} devices are more than {DEVICES_MAX}", new.devices.len())));
    }
    if let Some(days) = new.days.filter(|days| !(1..=DAYS_MAX).contains(days)) {
        return Err(wrong(format!("{days} days are not in 1..={DAYS_MAX}")));
    }
    let asked = access::NewToken {
        name: &new.name,
        role: new.scope.into(),
        devices: new.devices.iter().map(|device| device_id(device)).collect::<Result<_, _>>()?,
        created_by: viewer.name(),
        lifetime: new.days.map(|days| Duration::from_hours(24 * u64::from(days))),
    };
    let (token, secret) = api.book().add_token(asked).await?;
    let target = format!("{} {} {}", token.id, token.name, token.role.word());
    Ok(noted(target, (StatusCode::CREATED, Json(MadeToken::new(token, &secret))).into_response()))
}

/// Ends a token, and what it follows live.
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{id}",
    tag = "access",
    operation_id = "revoke_token",
    params(("id" = u64, Path, description = "The token's number.")),
    responses(
        (status = 204, description = "Ended."),
        (status = 404, description = "No such token.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revoke(State(api): State<Api>, Segment(id): Segment<u64>) -> Result<Response, Problem> {
    let token = api.book().remove_token(id).await?;
    Ok(noted(format!("{id} {}", token.name), StatusCode::NO_CONTENT.into_response()))
}
