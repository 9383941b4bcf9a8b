//! The overview: what needs attention first, devices by state, how fast things go, the last faults, disk and store.

use std::ops::ControlFlow;

use axum::extract::State;
use axum::response::Response;
use loggerhead_headend::{DevicePage, DeviceQuery, DeviceSort, DeviceTally, HeadEnd};
use loggerhead_model::{EventKind, Presence, Severity};
use loggerhead_store::{Condition, DeviceState, EventFilter, ListOrder, StoreHealth, StoredEvent};
use maud::{Markup, html};

use super::format::{self, Look};
use super::page::{Page, encoded};
use super::visit::Visit;
use crate::problem::Problem;
use crate::state::Api;

/// Faults that are shown: what fits on a screen beside the rest.
const FAULTS_MAX: usize = 8;
/// Devices that are named as needing attention; the rest is a link.
const NAMED_MAX: usize = 5;

/// Shows it.
pub(super) async fn show(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    let health = api.headend().store().health();
    let tally = api.headend().device_tally();
    let faults = last_faults(&api).await?;
    let content = html! {
        section #attention data-fresh aria-labelledby="attention-title" {
            h2 #attention-title { (visit.t("overview.attention")) }
            (attention(&visit, api.headend(), &tally, &health))
        }
        section #states data-fresh aria-labelledby="states-title" {
            h2 #states-title { (visit.t("overview.devices")) }
            (states(&visit, &tally))
        }
        section aria-labelledby="pace-title" {
            h2 #pace-title { (visit.t("overview.pace")) }
            (pace(&visit))
        }
        div.columns {
            section #faults data-fresh aria-labelledby="faults-title" {
                h2 #faults-title { (visit.t("overview.faults")) }
                (events(&visit, &faults))
            }
            section #store data-fresh aria-labelledby="store-title" {
                h2 #store-title { (visit.t("overview.store")) }
                (store(&visit, &health))
            }
        }
    };
    let page = Page::new(visit.t("nav.overview"), content).scripts(&["overview.js"]);
    Ok(page.live("kinds=readings,events,presence").good(&visit))
}

/// The last things that were not as they should be.
async fn last_faults(api: &Api) -> Result<Vec<StoredEvent>, Problem> {
    let filter =
        EventFilter { severity: Some(Severity::Warning), order: ListOrder::NewestFirst, ..EventFilter::default() };
    api.query(move |reader| {
        let mut found = Vec::new();
        reader.events(&filter, &mut |stored| {
            found.push(stored);
            if found.len() < FAULTS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(found)
    })
    .await
}

/// What needs a person, the gravest first; a sentence when nothing does.
fn attention(visit: &Visit, headend: &HeadEnd, tally: &DeviceTally, health: &StoreHealth) -> Markup {
    let mut rows = Vec::new();
    if let Condition::Failing { since, reason } = &health.condition {
        let values = [("since", format::time(*since, Look::Moment)), ("reason", html! { (reason) })];
        rows.push(("error", visit.texts.phrase("attention.store", &values)));
    }
    if headend.addresses().is_empty() {
        rows.push(("error", html! { (visit.t("attention.no_listener")) }));
    }
    let is = |presence| (Some(presence), DeviceState::Active);
    for (word, key, link, (presence, state)) in [
        ("offline", "attention.offline", "presence=offline", is(Presence::Offline)),
        ("connected-silent", "attention.silent", "presence=connected-silent", is(Presence::ConnectedSilent)),
        ("pending", "attention.pending", "state=pending", (None, DeviceState::Pending)),
    ] {
        // The latest to become so comes first.
        let sort = DeviceSort::Presence;
        let found = DeviceQuery { presence, state: Some(state), sort, limit: NAMED_MAX, ..DeviceQuery::default() };
        let found = headend.find_devices(&found);
        if found.total > 0 {
            rows.push((word, named(visit, key, link, &found)));
        }
    }
    html! {
        @if tally.total() == 0 {
            (empty(visit, headend))
        } @else if rows.is_empty() {
            p.fine.lead { span.state data-state="connected-fresh" { (visit.t("attention.nothing")) } }
        } @else {
            ul.attention { @for (state, text) in &rows { li data-state=(state) { (text) } } }
        }
    }
}

/// How many devices, with links to all and to the first few.
fn named(visit: &Visit, key: &str, query: &str, found: &DevicePage) -> Markup {
    let count = html! { a href={ "/devices?" (query) } { (format::number(found.total as u64)) } };
    let names = html! {
        @for (place, device) in found.devices.iter().enumerate() {
            @if place > 0 { ", " }
            a href={ "/devices/" (encoded(device.id.as_str())) } { (device.id) }
        }
        @if found.total > found.devices.len() { " …" }
    };
    visit.texts.phrase(key, &[("count", count), ("names", names)])
}

/// What to do when there is no device yet.
fn empty(visit: &Visit, headend: &HeadEnd) -> Markup {
    let addresses = headend.addresses();
    html! {
        div.empty {
            p { strong { (visit.t("overview.empty")) } }
            p {
                (visit.t("overview.empty_do")) " "
                @for (place, (name, address)) in addresses.iter().enumerate() {
                    @if place > 0 { ", " }
                    code { (address) } " (" (name) ")"
                }
            }
            p { a.button href="/setup/add" { (visit.t("setup.add")) } }
        }
    }
}

/// Devices by state; each count leads to its devices.
fn states(visit: &Visit, tally: &DeviceTally) -> Markup {
    html! {
        (shares(tally))
        ul.tiles {
            li { a href="/devices" {
                span.figure { (format::number(tally.total())) } span { (visit.t("overview.all")) }
            } }
            @for (presence, count) in Presence::ALL.into_iter().zip(tally.presences) {
                li class=[(count == 0).then_some("none")] { a href={ "/devices?presence=" (presence.word()) } {
                    span.figure { (format::number(count)) }
                    (format::presence(visit.texts, presence))
                } }
            }
            @if tally.pending > 0 {
                li { a href="/devices?state=pending" {
                    span.figure { (format::number(tally.pending)) }
                    span.state data-state="pending" { (visit.t("device.pending")) }
                } }
            }
        }
    }
}

/// How large a part of all devices is in each state, as a bar: the tiles below it say the same in numbers.
fn shares(tally: &DeviceTally) -> Markup {
    let counts = Presence::ALL.into_iter().zip(tally.presences);
    let total: u64 = tally.presences.iter().sum();
    html! {
        @if total > 0 {
            svg.shares viewBox={ "0 0 " (total) " 1" } preserveAspectRatio="none" aria-hidden="true" {
                @for ((presence, count), begin) in counts.zip(begins(&tally.presences)) {
                    @if count > 0 { rect x=(begin) width=(count) height="1" data-state=(presence.word()) {} }
                }
            }
        }
    }
}

/// Where each count begins when all stand one behind another.
fn begins(counts: &[u64]) -> impl Iterator<Item = u64> {
    counts.iter().scan(0, |sum, count| {
        let begin = *sum;
        *sum += count;
        Some(begin)
    })
}

/// How fast things go: filled in by a script from the API's status.
fn pace(visit: &Visit) -> Markup {
    html! {
        dl.tiles #pace {
            @for (name, key) in [
                ("readings", "pace.readings"),
                ("packets", "pace.packets"),
                ("ack", "pace.ack"),
                ("ack-slow", "pace.ack_slow"),
                ("connections", "pace.connections"),
            ] {
                div { dt { (visit.t(key)) } dd.figure data-figure=(name) { "–" } }
            }
        }
        p.hint { (visit.t("pace.hint")) }
        figure.course {
            figcaption { (visit.t("pace.course")) }
            canvas #course role="img" aria-label=(visit.t("pace.course")) {}
            div.ends aria-hidden="true" { span { (visit.t("pace.begin")) } span { (visit.t("pace.now")) } }
        }
        noscript { p.note { (visit.t("page.needs_scripts")) } }
    }
}

/// Events in short.
fn events(visit: &Visit, events: &[StoredEvent]) -> Markup {
    if events.is_empty() {
        return html! { p.note { (visit.t("overview.no_faults")) } };
    }
    html! {
        ol.events {
            @for stored in events {
                li data-state=(format::severity_word(stored.event.severity)) {
                    (format::time(stored.event.at, Look::Age)) " "
                    @if let Some(device) = &stored.event.device {
                        a href={ "/devices/" (encoded(device.as_str())) } { (device) } " "
                    }
                    span.kind { (kind(visit, stored.event.kind)) } " "
                    span { (visit.texts.said(&stored.event.text)) }
                }
            }
        }
        p { a href="/events?severity=warning" { (visit.t("overview.all_events")) } }
    }
}

/// The word for a kind of event.
pub(super) fn kind(visit: &Visit, kind: EventKind) -> &'static str {
    visit.t(&format!("kind.{}", kind.word()))
}

/// How the store is.
fn store(visit: &Visit, health: &StoreHealth) -> Markup {
    let (state, word) = if health.is_ok() { ("connected-fresh", "store.ok") } else { ("error", "store.failing") };
    html! {
        dl.facts {
            dt { (visit.t("store.state")) } dd { span.state data-state=(state) { (visit.t(word)) } }
            dt { (visit.t("store.readings")) } dd data-figure="stored" { (format::number(health.readings)) }
            dt { (visit.t("store.channels")) } dd { (format::number(health.channels as u64)) }
            dt { (visit.t("store.disk")) } dd { (format::bytes(health.database_bytes + health.wal_bytes)) }
            dt { (visit.t("store.commit")) } dd { (format!("{:.1} ms", health.commit_ms)) }
            dt { (visit.t("store.commit_max")) } dd { (format!("{:.1} ms", health.commit_ms_max)) }
            dt { (visit.t("store.queued")) } dd { (format::number(health.queued_readings as u64)) }
            dt { (visit.t("store.resent")) } dd { (format::number(health.resent)) }
            dt { (visit.t("store.conflicts")) } dd { (format::number(health.conflicts)) }
        }
    }
}
