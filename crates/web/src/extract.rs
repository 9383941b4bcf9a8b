//! What handlers take from a request, with problem details when it does not fit.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use loggerhead_model::DeviceId;
use loggerhead_store::ListOrder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::problem::{Problem, ProblemKind};

/// The parameters of a query.
pub(crate) struct Params<T>(pub(crate) T);

/// A value in the path.
pub(crate) struct Segment<T>(pub(crate) T);

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync + Send> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Problem::new(ProblemKind::BadRequest, rejection.body_text())),
        }
    }
}

impl<T: DeserializeOwned + Send, S: Sync + Send> FromRequestParts<S> for Segment<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(ProblemKind::BadRequest, rejection.body_text())),
        }
    }
}

impl<T: DeserializeOwned, S: Sync + Send> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(JsonRejection::MissingJsonContentType(rejection)) => {
                Err(Problem::new(ProblemKind::NotJson, rejection.body_text()))
            }
            Err(rejection) => {
                let kind = match rejection.status().as_u16() {
                    413 => ProblemKind::BodyTooLarge,
                    _ => ProblemKind::BadRequest,
                };
                Err(Problem::new(kind, rejection.body_text()))
            }
        }
    }
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sort {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

impl From<Sort> for ListOrder {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Newest => Self::NewestFirst,
            Sort::Oldest => Self::OldestFirst,
        }
    }
}

/// The device that a path or a parameter names.
pub(crate) fn device_id(text: &str) -> Result<DeviceId, Problem> {
    DeviceId::new(text).map_err(|error| Problem::new(ProblemKind::BadRequest, format!("device {text:?}: {error}")))
}

/// The limit of a page: `default` where none is given, 1 to `max`.
pub(crate) fn limited(limit: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    match limit {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(limit) => Err(Problem::new(ProblemKind::BadRequest, format!("limit {limit} is not in 1..={max}"))),
    }
}
