//! The chat of people who are signed in: a WebSocket of the listener for people.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use loggerhead_headend::{NoSeat, Seat};
use loggerhead_model::Identity;

use crate::access::{Caller, Viewer};
use crate::api::ProblemDetails;
use crate::live::websocket::accept;
use crate::problem::{Problem, ProblemKind};
use crate::state::{Api, RETRY_AFTER_S};

/// The chat, as the account that is signed in: texts as on a listener of the protocol `chat`, without its login.
#[utoipa::path(
    get,
    path = "/api/v1/chat",
    tag = "chat",
    operation_id = "open_chat",
    responses(
        (status = 101, description = "The WebSocket."),
        (status = 400, description = "The request opens no WebSocket.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 403, description = "A page of another site asks, or no account is signed in.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No listener has a chat.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "Too many are connected.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn open(
    State(api): State<Api>,
    viewer: Viewer,
    caller: Caller,
    mut request: Request,
) -> Result<Response, Problem> {
    let accept = accept(request.headers())?;
    let nobody = || Problem::new(ProblemKind::Forbidden, "the chat is for accounts that are signed in, not for tokens");
    let person = viewer.account().and_then(|name| Identity::new(name).ok()).ok_or_else(nobody)?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let refused = || Problem::new(ProblemKind::BadRequest, "this connection cannot become a WebSocket");
    let upgrade = upgrade.ok_or_else(refused)?;
    let permit = api.enter_stream()?;
    let seat = seat(&api, &person, caller).await?;
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => seat.serve(TokioIo::new(upgraded), viewer.ended()).await,
            Err(error) => tracing::debug!(%error, "a WebSocket did not come about"),
        }
        drop(permit);
    });
    let headers = [
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

async fn seat(api: &Api, person: &Identity, caller: Caller) -> Result<Seat, Problem> {
    let address = match caller {
        Caller::Socket => None,
        Caller::Tcp(address) => Some(address),
    };
    api.headend().seat(person, address).await.map_err(|none| match none {
        NoSeat::NoListener => Problem::new(ProblemKind::NoListener, "no listener of the protocol chat"),
        NoSeat::Full => Problem::new(ProblemKind::Busy, "the listener of the chat takes no more connections")
            .retry_after(RETRY_AFTER_S),
    })
}
