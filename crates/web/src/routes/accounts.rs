//! Accounts: who may sign in, and what they may do.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use loggerhead_model::Role;

use crate::access::noted;
use crate::api::{Account, AccountChange, AccountList, NewAccount, ProblemDetails};
use crate::extract::{Body, Segment};
use crate::problem::Problem;
use crate::state::Api;

/// The accounts.
#[utoipa::path(
    get,
    path = "/api/v1/accounts",
    tag = "access",
    operation_id = "list_accounts",
    responses((status = 200, description = "The accounts, by name.", body = AccountList))
)]
pub(crate) async fn list(State(api): State<Api>) -> Json<AccountList> {
    let accounts = api.book().accounts();
    Json(AccountList {
        accounts: accounts.iter().map(|(account, sessions)| Account::new(account, *sessions)).collect(),
    })
}

/// Adds an account.
#[utoipa::path(
    post,
    path = "/api/v1/accounts",
    tag = "access",
    operation_id = "add_account",
    request_body = NewAccount,
    responses(
        (status = 201, description = "Added.", body = Account),
        (status = 400, description = "The name or the password cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 409, description = "The name is taken, or there are too many.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn add(State(api): State<Api>, Body(new): Body<NewAccount>) -> Result<Response, Problem> {
    let password = api.hasher().hash(new.password).await?;
    let account = api.book().add_account(&new.name, new.role, Some(password)).await?;
    let target = format!("{} {}", account.name, account.role.word());
    Ok(noted(target, (StatusCode::CREATED, Json(Account::new(&account, 0))).into_response()))
}

/// Changes the role or the password of an account. A new password ends its sign-ins.
#[utoipa::path(
    patch,
    path = "/api/v1/accounts/{name}",
    tag = "access",
    operation_id = "change_account",
    params(("name" = String, Path, description = "The account.")),
    request_body = AccountChange,
    responses(
        (status = 200, description = "Changed.", body = Account),
        (status = 400, description = "The password cannot be.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "No such account.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 409, description = "It is the last administrator.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn change(
    State(api): State<Api>,
    Segment(name): Segment<String>,
    Body(change): Body<AccountChange>,
) -> Result<Response, Problem> {
    let words = [change.role.map(Role::word), change.password.as_ref().map(|_| "new password")];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    let password = match change.password {
        Some(password) => Some(api.hasher().hash(password).await?),
        None => None,
    };
    let account = api.book().change_account(&name, change.role, password).await?;
    let sessions = api.book().sessions(Some(&name)).len();
    let answer = Json(Account::new(&account, sessions)).into_response();
    Ok(noted(format!("{name} {}", words.join(", ")), answer))
}

/// Removes an account and ends its sign-ins. Tokens that it made stay.
#[utoipa::path(
    delete,
    path = "/api/v1/accounts/{name}",
    tag = "access",
    operation_id = "remove_account",
    params(("name" = String, Path, description = "The account.")),
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "No such account.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 409, description = "It is the last administrator.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove(State(api): State<Api>, Segment(name): Segment<String>) -> Result<Response, Problem> {
    api.book().remove_account(&name).await?;
    Ok(noted(name, StatusCode::NO_CONTENT.into_response()))
}
