//! What happened: filtered, followed live, with what a person has seen marked as such.

use std::ops::ControlFlow;

use axum::extract::State;
use axum::response::Response;
use loggerhead_model::{EventKind, Role, Severity};
use loggerhead_store::{EventFilter, ListOrder, StoredEvent};
use maud::{Markup, html};
use serde::Deserialize;

use super::devices::choice;
use super::format::{self, Look};
use super::overview::kind;
use super::page::{Page, encoded, query};
use super::visit::Visit;
use crate::extract::{Params, device_id};
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// Events of a page.
const PAGE_ROWS: usize = 100;

/// Which events, and which page of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EventParams {
    device: String,
    kind: String,
    severity: String,
    /// `no`: only those that nobody has seen yet.
    seen: String,
    after: Option<u64>,
}

impl EventParams {
    fn filter(&self) -> Result<EventFilter, Problem> {
        let device = Some(self.device.trim()).filter(|device| !device.is_empty()).map(device_id).transpose()?;
        let kind = EventKind::ALL.into_iter().find(|kind| kind.word() == self.kind);
        let severities = [Severity::Info, Severity::Warning, Severity::Error];
        let severity = severities.into_iter().find(|severity| format::severity_word(*severity) == self.severity);
        if (kind.is_none() && !self.kind.is_empty()) || (severity.is_none() && !self.severity.is_empty()) {
            let detail = format!("no kind {:?} or severity {:?}", self.kind, self.severity);
            return Err(Problem::new(ProblemKind::BadRequest, detail));
        }
        let acknowledged = (self.seen == "no").then_some(false);
        let (beyond, order) = (self.after, ListOrder::NewestFirst);
        Ok(EventFilter { device, kind, severity, acknowledged, beyond, order, ..EventFilter::default() })
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        let all =
            [("device", self.device.trim()), ("kind", &self.kind), ("severity", &self.severity), ("seen", &self.seen)];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// Shows a page of them, the newest first. The first page follows live.
pub(super) async fn show(
    visit: Visit,
    State(api): State<Api>,
    Params(params): Params<EventParams>,
) -> Result<Response, Problem> {
    let filter = params.filter()?;
    let mut events = api
        .query(move |reader| {
            let mut found = Vec::new();
            reader.events(&filter, &mut |stored| {
                found.push(stored);
                if found.len() <= PAGE_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            Ok(found)
        })
        .await?;
    let has_more = events.len() > PAGE_ROWS;
    events.truncate(PAGE_ROWS);
    let content = html! {
        section aria-label=(visit.t("events.filter")) { (form(&visit, &params)) }
        section #list data-fresh aria-label=(visit.t("nav.events")) {
            @if events.is_empty() { (nothing(&visit, &params)) } @else { (table(&visit, &events)) }
            @if has_more && let Some(last) = events.last() {
                nav.pages aria-label=(visit.t("devices.pages")) { span {} a rel="next" href=(older(&params, last.number)) { (visit.t("events.older")) " →" } }
            }
        }
    };
    let page = Page::new(visit.t("nav.events"), content);
    let page = if params.after.is_none() { page.live(live(&params)) } else { page };
    Ok(page.good(&visit))
}

fn live(params: &EventParams) -> String {
    let mut pairs = vec![("kinds", "events")];
    pairs.extend(params.pairs().into_iter().filter(|(name, _)| *name == "device"));
    query(&pairs)
}

fn older(params: &EventParams, last: u64) -> String {
    let last = last.to_string();
    let mut pairs = params.pairs();
    pairs.push(("after", &last));
    format!("/events?{}", query(&pairs))
}

fn form(visit: &Visit, params: &EventParams) -> Markup {
    let kinds = EventKind::ALL.map(|each| (each.word(), kind(visit, each)));
    let severities = [("warning", visit.t("events.warnings")), ("error", visit.t("events.errors"))];
    html! {
        form.filter method="get" action="/events" role="search" data-filter {
            div.field.grow {
                label for="device" { (visit.t("device.device")) }
                input #device type="search" name="device" value=(params.device) autocomplete="off";
            }
            (choice(visit, "kind", "event.kind", &params.kind, &kinds))
            (choice(visit, "severity", "event.severity", &params.severity, &severities))
            (choice(visit, "seen", "event.acknowledged", &params.seen, &[("no", visit.t("events.not_seen"))]))
            button.plain-only type="submit" { (visit.t("devices.apply")) }
            @if !params.pairs().is_empty() { a href="/events" { (visit.t("devices.clear")) } }
        }
    }
}

fn nothing(visit: &Visit, params: &EventParams) -> Markup {
    html! {
        div.empty {
            p { strong { (visit.t("events.none")) } }
            @if params.pairs().is_empty() { p { (visit.t("events.none_do")) } } @else { p { a href="/events" { (visit.t("devices.clear")) } } }
        }
    }
}

fn table(visit: &Visit, events: &[StoredEvent]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("nav.events")) }
                thead { tr {
                    th scope="col" { (visit.t("event.at")) }
                    th scope="col" { (visit.t("event.severity")) }
                    th scope="col" { (visit.t("event.kind")) }
                    th scope="col" { (visit.t("device.device")) }
                    th scope="col" { (visit.t("event.text")) }
                    th scope="col" { (visit.t("device.peer")) }
                    th scope="col" { (visit.t("event.acknowledged")) }
                } }
                tbody { @for stored in events { (row(visit, stored)) } }
            }
        }
    }
}

fn row(visit: &Visit, stored: &StoredEvent) -> Markup {
    let event = &stored.event;
    html! {
        tr data-key=(stored.number) id={ "event-" (stored.number) } {
            td { (format::time(event.at, Look::Moment)) }
            td { (format::severity(visit.texts, event.severity)) }
            th scope="row" { (kind(visit, event.kind)) }
            td.name {
                @if let Some(device) = &event.device { a href={ "/devices/" (encoded(device.as_str())) } { (device) } }
            }
            td.wide { (visit.texts.said(&event.text)) }
            td.mono { @if let Some(peer) = &event.peer { (peer) } }
            td { (acknowledgement(visit, stored)) }
        }
    }
}

/// Who has seen it; else a way to say so, where it matters.
fn acknowledgement(visit: &Visit, stored: &StoredEvent) -> Markup {
    let may = visit.viewer.as_ref().is_some_and(|viewer| viewer.may(Role::Operator));
    html! {
        @if let Some(seen) = &stored.acknowledged {
            span title=(seen.note) { (seen.by) " " (format::time(seen.at, Look::Age)) }
        } @else if may && stored.event.severity != Severity::Info {
            form data-api={ "POST /api/v1/events/" (stored.number) "/acknowledge" } data-then="fresh" {
                button.quiet type="submit" { (visit.t("events.acknowledge")) span.hidden { " " (stored.number) } }
            }
        }
    }
}
