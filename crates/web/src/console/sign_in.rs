//! The doors: signing in, the first account, and the link that `demo` prints.

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::page::Page;
use super::preferences::local;
use super::visit::Visit;
use crate::extract::Params;
use crate::problem::Problem;

/// Shortest password that the form takes; the API has the last word.
pub(super) const PASSWORD_CHARS_MIN: usize = 10;

/// Where to go then.
#[derive(Debug, Deserialize)]
pub(super) struct Next {
    next: Option<String>,
}

/// Asks for name and password.
pub(super) async fn show(visit: Visit, Params(params): Params<Next>) -> Result<Response, Problem> {
    let next = params.next.as_deref().map_or("/", local);
    let content = html! {
        section.card {
            form data-api="POST /api/v1/session" data-then=(next) data-stay {
                p.note { (visit.t("sign_in.hint")) }
                (field(&visit, "name", "sign_in.name", "text", "username"))
                (field(&visit, "password", "sign_in.password", "password", "current-password"))
                button type="submit" { (visit.t("sign_in.do")) }
            }
            noscript { p.note { (visit.t("page.needs_scripts")) } }
        }
    };
    Ok(Page::new(visit.t("sign_in.title"), content).good(&visit))
}

/// Makes the first account. The link's secret stands behind `#`, which no server is told.
pub(super) async fn set_up(visit: Visit) -> Response {
    let content = html! {
        section.card {
            form data-api="POST /api/v1/setup" data-then="/" data-stay {
                p.note { (visit.t("sign_in.first_hint")) }
                input type="hidden" name="link" data-from-hash;
                (field(&visit, "name", "sign_in.name", "text", "username"))
                (field(&visit, "password", "sign_in.password", "password", "new-password"))
                button type="submit" { (visit.t("sign_in.first_do")) }
            }
        }
    };
    Page::new(visit.t("sign_in.first"), content).scripts(&["doors.js"]).good(&visit)
}

/// Signs in by a link.
pub(super) async fn by_link(visit: Visit) -> Response {
    let content = html! {
        section.card {
            form data-api="POST /api/v1/session/link" data-then="/" data-stay data-at-once {
                p.note { (visit.t("sign_in.link_hint")) }
                input type="hidden" name="link" data-from-hash;
                button type="submit" { (visit.t("sign_in.do")) }
            }
        }
    };
    Page::new(visit.t("sign_in.title"), content).scripts(&["doors.js"]).good(&visit)
}

fn field(visit: &Visit, name: &str, key: &str, kind: &str, autocomplete: &str) -> Markup {
    let min = (autocomplete == "new-password").then_some(PASSWORD_CHARS_MIN);
    html! {
        div.field {
            label for=(name) { (visit.t(key)) }
            input id=(name) name=(name) type=(kind) autocomplete=(autocomplete) required minlength=[min] autocapitalize="none" spellcheck="false";
        }
    }
}
