//! Problem details (RFC 9457): what an answer says when something is wrong.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A problem as it is sent and read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetails {
    /// Names the kind of problem; a path of this server that describes it.
    #[serde(rename = "type")]
    #[schema(example = "/api/v1/problems/unknown-device")]
    pub kind: Cow<'static, str>,
    /// What kind of problem it is, in words.
    #[schema(example = "there is no such device")]
    pub title: Cow<'static, str>,
    /// The status of the answer.
    #[schema(example = 404)]
    pub status: u16,
    /// What is wrong in this case.
    #[schema(example = "no device tower-9")]
    pub detail: Cow<'static, str>,
    /// What to do about it.
    pub remedy: Cow<'static, str>,
}

/// A kind of problem, described.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemDescription {
    /// The `type` of such problems.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of problem it is, in words.
    pub title: Cow<'static, str>,
    /// The status of such answers.
    pub status: u16,
    /// What to do about it.
    pub remedy: Cow<'static, str>,
}

/// Every kind of problem.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ProblemKinds {
    /// The kinds.
    pub problems: Vec<ProblemDescription>,
}
