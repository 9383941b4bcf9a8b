//! The list of devices: searched, filtered, sorted and cut into pages by the server, all of it in the address.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use loggerhead_headend::DeviceStatus;
use loggerhead_model::{Presence, Role};
use loggerhead_store::DeviceState;
use maud::{Markup, html};
use serde::Deserialize;

use super::format::{self, Look};
use super::page::{Page, encoded, query};
use super::visit::Visit;
use crate::extract::Params;
use crate::problem::Problem;
use crate::state::Api;

/// Rows of a page: what can be looked through before one searches instead.
const PAGE_ROWS: usize = 50;
/// Sites to choose from; with more, whoever looks for one types it into the search.
const SITES_MAX: usize = 500;

/// Which devices, in which order, which page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListParams {
    search: String,
    presence: String,
    state: String,
    protocol: String,
    site: String,
    sort: String,
    order: String,
    page: Option<usize>,
}

/// What rows can be sorted by: the word in the address, the key of the heading.
const COLUMNS: [(&str, &str); 5] = [
    ("id", "device.device"),
    ("presence", "device.state"),
    ("protocol", "device.speaks"),
    ("heard", "device.last_reading"),
    ("readings", "device.readings"),
];

/// The place that a device belongs to, where its name for itself says so: what stands before the first slash.
pub(super) fn site(status: &DeviceStatus) -> Option<&str> {
    status.identity.as_str().split_once('/').map(|(site, _)| site)
}

impl ListParams {
    fn fits(&self, status: &DeviceStatus, search: &str) -> bool {
        let holds = |text: &str| text.to_lowercase().contains(search);
        let is = |wanted: &str, word: &str| wanted.is_empty() || wanted == word;
        is(&self.presence, status.evidence.presence.word())
            && is(&self.state, state_word(status.state))
            && is(&self.protocol, &status.protocol)
            && (self.site.is_empty() || site(status) == Some(&self.site))
            && (search.is_empty() || holds(status.id.as_str()) || holds(status.identity.as_str()))
    }

    fn column(&self) -> &str {
        COLUMNS.iter().map(|(word, _)| *word).find(|word| *word == self.sort).unwrap_or("id")
    }

    fn is_descending(&self) -> bool {
        self.order == "down"
    }

    fn compare(&self, one: &DeviceStatus, other: &DeviceStatus) -> Ordering {
        let by_column = match self.column() {
            "presence" => rank(one.evidence.presence)
                .cmp(&rank(other.evidence.presence))
                .then(other.evidence.since.cmp(&one.evidence.since)),
            "protocol" => (&one.protocol, &one.learnt).cmp(&(&other.protocol, &other.learnt)),
            "heard" => other.evidence.last_reading_at.cmp(&one.evidence.last_reading_at),
            "readings" => other.counters.readings.cmp(&one.counters.readings),
            _ => Ordering::Equal,
        };
        let by_column = by_column.then_with(|| one.id.cmp(&other.id));
        if self.is_descending() { by_column.reverse() } else { by_column }
    }

    /// Everything that was asked for but the page, as it stands in an address.
    fn pairs(&self) -> BTreeMap<&str, &str> {
        let all = [
            ("search", &self.search),
            ("presence", &self.presence),
            ("state", &self.state),
            ("protocol", &self.protocol),
            ("site", &self.site),
            ("sort", &self.sort),
            ("order", &self.order),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.as_str())).collect()
    }

    fn address(&self, changes: &[(&'static str, &str)]) -> String {
        let mut pairs = self.pairs();
        pairs.extend(changes.iter().copied());
        let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        if pairs.is_empty() { "/devices".to_owned() } else { format!("/devices?{}", query(&pairs)) }
    }
}

/// The state that needs a look first comes first.
fn rank(presence: Presence) -> u8 {
    match presence {
        Presence::Offline => 0,
        Presence::ConnectedSilent => 1,
        Presence::Never => 2,
        Presence::ConnectedFresh => 3,
    }
}

/// The word for whether a device may log in.
pub(super) const fn state_word(state: DeviceState) -> &'static str {
    match state {
        DeviceState::Active => "active",
        DeviceState::Pending => "pending",
    }
}

/// Shows a page of the list.
pub(super) async fn list(
    visit: Visit,
    State(api): State<Api>,
    Params(params): Params<ListParams>,
) -> Result<Response, Problem> {
    let all = api.headend().devices();
    let known = all.len();
    let sites = sites(&all);
    let search = params.search.trim().to_lowercase();
    let mut found: Vec<_> = all.into_iter().filter(|status| params.fits(status, &search)).collect();
    found.sort_unstable_by(|one, other| params.compare(one, other));
    let pages = found.len().div_ceil(PAGE_ROWS).max(1);
    let page = params.page.unwrap_or(1).clamp(1, pages);
    let total = found.len();
    let rows: Vec<_> = found.into_iter().skip((page - 1) * PAGE_ROWS).take(PAGE_ROWS).collect();
    let content = html! {
        section aria-label=(visit.t("devices.filter")) { (filter(&visit, &params, &sites)) }
        section #list data-fresh aria-labelledby="list-title" {
            h2 #list-title { (visit.texts.phrase("devices.found", &[("count", html! { (format::number(total as u64)) })])) }
            @if rows.is_empty() {
                (nothing(&visit, known))
            } @else {
                (table(&visit, &params, &rows))
                (pager(&visit, &params, page, pages))
            }
        }
    };
    let heading = html! {
        h1 { (visit.t("nav.devices")) }
        @if visit.viewer.as_ref().is_some_and(|viewer| viewer.may(Role::Admin)) {
            a href="/setup/add" { (visit.t("setup.add")) }
        }
    };
    Ok(Page::new(visit.t("nav.devices"), content).heading(heading).live("kinds=events,presence").good(&visit))
}

/// The places of all devices, in their order.
fn sites(devices: &[DeviceStatus]) -> Vec<String> {
    let sites: std::collections::BTreeSet<&str> = devices.iter().filter_map(site).collect();
    sites.into_iter().take(SITES_MAX).map(str::to_owned).collect()
}

fn filter(visit: &Visit, params: &ListParams, sites: &[String]) -> Markup {
    let presences = Presence::ALL.map(|presence| (presence.word(), visit.t(&format!("presence.{}", presence.word()))));
    let states = [("active", visit.t("device.active")), ("pending", visit.t("device.pending"))];
    let protocols: Vec<_> = loggerhead_protocols::ALL.iter().map(|protocol| (protocol.name, protocol.name)).collect();
    let sites: Vec<_> = sites.iter().map(|site| (site.as_str(), site.as_str())).collect();
    html! {
        form.filter method="get" action="/devices" role="search" data-filter {
            div.field.grow {
                label for="search" { (visit.t("devices.search")) }
                input #search type="search" name="search" value=(params.search)
                    placeholder=(visit.t("devices.search_hint")) autocomplete="off";
            }
            (choice(visit, "presence", "device.state", &params.presence, &presences))
            (choice(visit, "state", "device.admission", &params.state, &states))
            (choice(visit, "protocol", "device.protocol", &params.protocol, &protocols))
            (choice(visit, "site", "device.site", &params.site, &sites))
            @if !params.sort.is_empty() { input type="hidden" name="sort" value=(params.sort); }
            @if !params.order.is_empty() { input type="hidden" name="order" value=(params.order); }
            button.plain-only type="submit" { (visit.t("devices.apply")) }
            @if !params.pairs().is_empty() { a href="/devices" { (visit.t("devices.clear")) } }
        }
    }
}

/// One of a few, or any.
pub(super) fn choice(visit: &Visit, name: &str, label: &str, chosen: &str, values: &[(&str, &str)]) -> Markup {
    html! {
        div.field {
            label for=(name) { (visit.t(label)) }
            select id=(name) name=(name) {
                option value="" { (visit.t("devices.any")) }
                @for (value, text) in values { option value=(value) selected[*value == chosen] { (text) } }
            }
        }
    }
}

fn nothing(visit: &Visit, known: usize) -> Markup {
    html! {
        div.empty {
            @if known == 0 {
                p { strong { (visit.t("overview.empty")) } }
                p { (visit.t("devices.empty_do")) }
                p { a.button href="/setup/add" { (visit.t("setup.add")) } }
            } @else {
                p { strong { (visit.t("devices.none")) } }
                p { a href="/devices" { (visit.t("devices.clear")) } }
            }
        }
    }
}

fn table(visit: &Visit, params: &ListParams, rows: &[DeviceStatus]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("nav.devices")) }
                thead { tr { @for (word, key) in COLUMNS { (heading(visit, params, word, key)) } th.number scope="col" { (visit.t("device.faults")) } } }
                tbody { @for device in rows { (row(visit, device)) } }
            }
        }
    }
}

fn heading(visit: &Visit, params: &ListParams, word: &str, key: &str) -> Markup {
    let is_chosen = params.column() == word;
    let order = if is_chosen && !params.is_descending() { "down" } else { "" };
    let sort = if word == "id" && order.is_empty() { "" } else { word };
    let sorted = match (is_chosen, params.is_descending()) {
        (false, _) => None,
        (true, false) => Some("ascending"),
        (true, true) => Some("descending"),
    };
    html! {
        th scope="col" aria-sort=[sorted] class=[(word == "readings").then_some("number")] {
            a href=(params.address(&[("sort", sort), ("order", order)])) { (visit.t(key)) }
        }
    }
}

fn row(visit: &Visit, device: &DeviceStatus) -> Markup {
    html! {
        tr data-key=(device.id) {
            th scope="row" {
                a href={ "/devices/" (encoded(device.id.as_str())) } { (device.id) }
                @if device.identity.as_str() != device.id.as_str() { span.note.mono { (device.identity) } }
            }
            td {
                (format::presence(visit.texts, device.evidence.presence))
                @if device.state == DeviceState::Pending { " " span.state data-state="pending" { (visit.t("device.pending")) } }
                span.note { (format::evidence(visit.texts, &device.evidence)) }
            }
            td data-label=(visit.t("device.speaks")) { (device.protocol) span.note { (learnt(device)) } }
            td data-label=(visit.t("device.last_reading")) {
                @if let Some(at) = device.evidence.last_reading_at { (format::time(at, Look::Age)) }
            }
            td.number data-label=(visit.t("device.readings")) { (format::number(device.counters.readings)) }
            td.number data-label=(visit.t("device.faults")) { (format::number(device.counters.faults)) }
        }
    }
}

/// The dialect and the checksum that a device was found to use, in a few words.
fn learnt(device: &DeviceStatus) -> String {
    let words: Vec<_> =
        ["dialect", "crc"].iter().filter_map(|key| device.learnt.get(*key)).map(String::as_str).collect();
    words.join(" · ")
}

fn pager(visit: &Visit, params: &ListParams, page: usize, pages: usize) -> Markup {
    let to =
        |page: usize| params.address(&[("page", if page == 1 { String::new() } else { page.to_string() }.as_str())]);
    let place = [("page", html! { (page) }), ("pages", html! { (pages) })];
    html! {
        @if pages > 1 {
            nav.pages aria-label=(visit.t("devices.pages")) {
                @if page > 1 { a rel="prev" href=(to(page - 1)) { "← " (visit.t("devices.previous")) } } @else { span {} }
                span { (visit.texts.phrase("devices.page", &place)) }
                @if page < pages { a rel="next" href=(to(page + 1)) { (visit.t("devices.next")) " →" } } @else { span {} }
            }
        }
    }
}
