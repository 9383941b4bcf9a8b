//! Who may look and do: accounts of people, tokens of programs. For administrators.

use axum::extract::State;
use axum::response::Response;
use loggerhead_model::Role;
use loggerhead_store::{Account, ApiToken};
use maud::{Markup, html};

use super::format::{self, Look};
use super::page::{Page, encoded};
use super::sign_in::PASSWORD_CHARS_MIN;
use super::visit::Visit;
use crate::state::Api;

const ROLES: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];
/// What tokens may do: the word of the API, the key of the text.
const SCOPES: [(&str, &str); 3] =
    [("read", "access.scope_read"), ("operate", "access.scope_operate"), ("admin", "access.scope_admin")];

/// Shows them, and what adds more.
pub(super) async fn show(visit: Visit, State(api): State<Api>) -> Response {
    let (accounts, tokens) = (api.book().accounts(), api.book().tokens());
    let content = html! {
        section #accounts data-fresh aria-labelledby="accounts-title" {
            h2 #accounts-title { (visit.t("access.accounts")) }
            (account_table(&visit, &accounts))
        }
        section aria-labelledby="new-account-title" {
            h2 #new-account-title { (visit.t("access.add")) }
            (new_account(&visit))
        }
        section #tokens data-fresh aria-labelledby="tokens-title" {
            h2 #tokens-title { (visit.t("access.tokens")) }
            @if tokens.is_empty() { p.note { (visit.t("access.no_tokens")) } } @else { (token_table(&visit, &tokens)) }
        }
        section aria-labelledby="new-token-title" {
            h2 #new-token-title { (visit.t("access.add_token")) }
            (new_token(&visit))
            div #made tabindex="-1" hidden {
                p { strong { (visit.t("access.secret")) } }
                pre { code #made-secret {} }
            }
        }
    };
    Page::new(visit.t("access.title"), content).scripts(&["access.js"]).good(&visit)
}

fn account_table(visit: &Visit, accounts: &[(Account, usize)]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("access.accounts")) }
                thead { tr {
                    th scope="col" { (visit.t("access.name")) }
                    th scope="col" { (visit.t("access.role")) }
                    th.number scope="col" { (visit.t("access.sessions")) }
                    th scope="col" { (visit.t("access.changed")) }
                    th scope="col" { (visit.t("access.do")) }
                } }
                tbody { @for (account, sessions) in accounts { (account_row(visit, account, *sessions)) } }
            }
        }
    }
}

fn account_row(visit: &Visit, account: &Account, sessions: usize) -> Markup {
    let path = format!("/api/v1/accounts/{}", encoded(&account.name));
    let id = |what: &str| format!("{what}-{}", account.name);
    html! {
        tr data-key=(account.name) data-role=(account.role.word()) {
            th scope="row" { (account.name) }
            td data-label=(visit.t("access.role")) { (visit.t(&format!("access.role_{}", account.role.word()))) }
            td.number data-label=(visit.t("access.sessions")) { (format::number(sessions as u64)) }
            td data-label=(visit.t("access.changed")) { (format::time(account.changed_at, Look::Age)) }
            td {
                details {
                    summary { (visit.t("access.change")) span.hidden { " " (account.name) } }
                    form data-api={ "PATCH " (path) } data-then="fresh" {
                        // Whose password it is, for those who keep passwords.
                        input type="text" autocomplete="username" value=(account.name) readonly hidden;
                        div.field {
                            label for=(id("role")) { (visit.t("access.role")) }
                            (roles(visit, &id("role"), account.role))
                        }
                        div.field {
                            label for=(id("password")) { (visit.t("access.new_password")) }
                            input id=(id("password")) name="password" type="password" autocomplete="new-password" minlength=(PASSWORD_CHARS_MIN);
                            small { (visit.t("access.password_hint")) }
                        }
                        button type="submit" { (visit.t("access.save")) }
                    }
                }
                form data-api={ "DELETE " (path) } data-then="fresh" {
                    button.danger type="submit" data-ask=(visit.t("access.remove_ask")) { (visit.t("access.remove")) span.hidden { " " (account.name) } }
                }
            }
        }
    }
}

fn roles(visit: &Visit, id: &str, chosen: Role) -> Markup {
    html! {
        select id=(id) name="role" {
            @for role in ROLES {
                option value=(role.word()) selected[role == chosen] { (visit.t(&format!("access.role_{}", role.word()))) }
            }
        }
    }
}

fn new_account(visit: &Visit) -> Markup {
    html! {
        form #new-account data-api="POST /api/v1/accounts" data-then="fresh" {
            div.fields {
                (new_name(visit, "new-name", "username"))
                div.field {
                    label for="new-role" { (visit.t("access.role")) }
                    (roles(visit, "new-role", Role::Viewer))
                }
                div.field {
                    label for="new-password" { (visit.t("sign_in.password")) }
                    input #new-password name="password" type="password" required autocomplete="new-password" minlength=(PASSWORD_CHARS_MIN);
                }
            }
            div.row { button type="submit" { (visit.t("access.add")) } }
        }
    }
}

/// The name of an account or a token to be made.
fn new_name(visit: &Visit, id: &str, autocomplete: &str) -> Markup {
    html! {
        div.field {
            label for=(id) { (visit.t("access.name")) }
            input id=(id) name="name" required maxlength="64" pattern="[a-z0-9._@\\-]+" autocomplete=(autocomplete) autocapitalize="none" spellcheck="false";
            small { (visit.t("access.name_hint")) }
        }
    }
}

fn token_table(visit: &Visit, tokens: &[ApiToken]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("access.tokens")) }
                thead { tr {
                    th scope="col" { (visit.t("access.name")) }
                    th scope="col" { (visit.t("access.scope")) }
                    th scope="col" { (visit.t("access.devices")) }
                    th scope="col" { (visit.t("access.made")) }
                    th scope="col" { (visit.t("access.expires")) }
                    th scope="col" { (visit.t("access.do")) }
                } }
                tbody { @for token in tokens { (token_row(visit, token)) } }
            }
        }
    }
}

fn token_row(visit: &Visit, token: &ApiToken) -> Markup {
    let scope = match token.role {
        Role::Viewer => "access.scope_read",
        Role::Operator => "access.scope_operate",
        Role::Admin => "access.scope_admin",
    };
    html! {
        tr data-key=(token.id) {
            th scope="row" { (token.name) }
            td data-label=(visit.t("access.scope")) { (visit.t(scope)) }
            td data-label=(visit.t("access.devices")) {
                @if token.devices.is_empty() { (visit.t("access.all_devices")) }
                @for device in &token.devices { a href=(super::device::path(device)) { (device) } " " }
            }
            td data-label=(visit.t("access.made")) { (token.created_by) " " (format::time(token.created_at, Look::Age)) }
            td data-label=(visit.t("access.expires")) {
                @if let Some(at) = token.expires_at { (format::time(at, Look::Moment)) } @else { (visit.t("access.never")) }
            }
            td {
                form data-api={ "DELETE /api/v1/tokens/" (token.id) } data-then="fresh" {
                    button.danger type="submit" data-ask=(visit.t("access.revoke_ask")) { (visit.t("access.revoke")) span.hidden { " " (token.name) } }
                }
            }
        }
    }
}

fn new_token(visit: &Visit) -> Markup {
    html! {
        form #new-token data-api="POST /api/v1/tokens" data-then="fresh" {
            div.fields {
                (new_name(visit, "token-name", "off"))
                div.field {
                    label for="token-scope" { (visit.t("access.scope")) }
                    select #token-scope name="scope" { @for (word, key) in SCOPES { option value=(word) { (visit.t(key)) } } }
                }
                div.field {
                    label for="token-devices" { (visit.t("access.devices")) }
                    input #token-devices name="devices" data-type="lines" autocomplete="off" spellcheck="false";
                    small { (visit.t("access.devices_hint")) }
                }
                div.field {
                    label for="token-days" { (visit.t("access.days")) }
                    input #token-days name="days" type="number" min="1" max="3650" data-type="number";
                    small { (visit.t("access.days_hint")) }
                }
            }
            div.row { button type="submit" { (visit.t("access.add_token")) } }
        }
    }
}
