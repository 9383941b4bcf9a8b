//! Who is signed in.

use axum::Json;

use crate::access::Viewer;
use crate::api::{Me, ProblemDetails};

/// Who asks, and what they may do.
#[utoipa::path(
    get,
    path = "/api/v1/me",
    tag = "access",
    operation_id = "show_me",
    responses(
        (status = 200, description = "Who asks.", body = Me),
        (status = 401, description = "Nobody is signed in.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(viewer: Viewer) -> Json<Me> {
    Json(Me::from(&viewer))
}
