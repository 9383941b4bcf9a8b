//! The audit log, page by page.

use axum::Json;
use axum::extract::State;
use loggerhead_store::AuditFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::{AuditEntry, AuditList, ProblemDetails, Time};
use crate::extract::{Params, limited};
use crate::page::Page;
use crate::problem::Problem;
use crate::state::Api;

/// Lines on a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most lines on a page.
const PAGE_MAX: usize = 1000;

/// Which lines, and which page of them.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditParams {
    /// Only of this account or token.
    who: Option<String>,
    /// Only of this action.
    #[param(example = "sign-in")]
    action: Option<String>,
    /// Only at this moment or later.
    from: Option<Time>,
    /// Only before this moment.
    to: Option<Time>,
    /// Only before this number: `next` of the page before.
    after: Option<u64>,
    /// Lines on the page, 1 to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

/// Who did what from where, and every sign-in; the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "access",
    operation_id = "list_audit",
    params(AuditParams),
    responses(
        (status = 200, description = "A page of the audit log.", body = AuditList),
        (status = 400, description = "A parameter cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(params): Params<AuditParams>,
) -> Result<Json<AuditList>, Problem> {
    let limit = limited(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let filter = AuditFilter {
        who: params.who,
        action: params.action,
        from: params.from.map(|from| from.0),
        to: params.to.map(|to| to.0),
        beyond: params.after,
    };
    let page = api
        .query(move |reader| {
            let mut page = Page::new(limit);
            reader.audit(&filter, &mut |stored| page.take(stored.number, || AuditEntry::from(stored)))?;
            Ok(page)
        })
        .await?;
    Ok(Json(AuditList { next: page.next(), entries: page.kept }))
}
