//! Who did what from where, and every sign-in: the audit log, for administrators.

use std::ops::ControlFlow;

use axum::extract::State;
use axum::response::Response;
use loggerhead_store::AuditFilter;
use maud::{Markup, html};
use serde::Deserialize;

use super::format::{self, Look};
use super::page::{Page, query};
use super::visit::Visit;
use crate::api::AuditEntry;
use crate::extract::Params;
use crate::problem::Problem;
use crate::state::Api;

/// Entries of a page.
const PAGE_ROWS: usize = 100;

/// Which entries, and which page of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuditParams {
    who: String,
    action: String,
    after: Option<u64>,
}

impl AuditParams {
    fn pairs(&self) -> Vec<(&str, &str)> {
        let all = [("who", self.who.trim()), ("action", self.action.trim())];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    fn filter(&self) -> AuditFilter {
        let given = |word: &str| Some(word.trim().to_owned()).filter(|word| !word.is_empty());
        AuditFilter { who: given(&self.who), action: given(&self.action), beyond: self.after, ..AuditFilter::default() }
    }
}

/// Shows a page of it, the newest first.
pub(super) async fn show(
    visit: Visit,
    State(api): State<Api>,
    Params(params): Params<AuditParams>,
) -> Result<Response, Problem> {
    let filter = params.filter();
    let mut entries = api
        .query(move |reader| {
            let mut found = Vec::new();
            reader.audit(&filter, &mut |stored| {
                found.push(AuditEntry::from(stored));
                if found.len() <= PAGE_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            Ok(found)
        })
        .await?;
    let has_more = entries.len() > PAGE_ROWS;
    entries.truncate(PAGE_ROWS);
    let content = html! {
        section aria-label=(visit.t("audit.filter")) { (form(&visit, &params)) }
        section #audit aria-label=(visit.t("audit.title")) {
            @if entries.is_empty() { p.note { (visit.t("audit.none")) } } @else { (table(&visit, &entries)) }
            @if has_more && let Some(last) = entries.last() {
                nav.pages aria-label=(visit.t("devices.pages")) { span {} a rel="next" href=(older(&params, last.number)) { (visit.t("events.older")) " →" } }
            }
        }
    };
    Ok(Page::new(visit.t("audit.title"), content).good(&visit))
}

fn older(params: &AuditParams, last: u64) -> String {
    let last = last.to_string();
    let mut pairs = params.pairs();
    pairs.push(("after", &last));
    format!("/setup/audit?{}", query(&pairs))
}

fn form(visit: &Visit, params: &AuditParams) -> Markup {
    html! {
        form.filter method="get" action="/setup/audit" role="search" data-filter {
            div.field {
                label for="who" { (visit.t("audit.who")) }
                input #who type="search" name="who" value=(params.who) autocomplete="off";
            }
            div.field {
                label for="action" { (visit.t("audit.action")) }
                input #action type="search" name="action" value=(params.action) autocomplete="off";
            }
            button.plain-only type="submit" { (visit.t("devices.apply")) }
            @if !params.pairs().is_empty() { a href="/setup/audit" { (visit.t("devices.clear")) } }
        }
    }
}

fn table(visit: &Visit, entries: &[AuditEntry]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("audit.title")) }
                thead { tr {
                    th scope="col" { (visit.t("event.at")) }
                    th scope="col" { (visit.t("audit.who")) }
                    th scope="col" { (visit.t("audit.action")) }
                    th scope="col" { (visit.t("audit.object")) }
                    th scope="col" { (visit.t("audit.outcome")) }
                    th scope="col" { (visit.t("audit.from")) }
                } }
                tbody { @for entry in entries { (row(visit, entry)) } }
            }
        }
    }
}

fn row(visit: &Visit, entry: &AuditEntry) -> Markup {
    html! {
        tr {
            td { (format::time(entry.at.0, Look::Moment)) }
            th scope="row" { a href={ "/setup/audit?" (query(&[("who", &entry.who)])) } { (entry.who) } }
            td data-label=(visit.t("audit.action")) { a href={ "/setup/audit?" (query(&[("action", &entry.action)])) } title=(entry.action) { (visit.texts.said(&entry.action)) } }
            td data-label=(visit.t("audit.object")) { (entry.target) }
            td data-label=(visit.t("audit.outcome")) { (visit.texts.said(&entry.outcome)) }
            td.mono data-label=(visit.t("audit.from")) { (entry.peer) }
        }
    }
}
