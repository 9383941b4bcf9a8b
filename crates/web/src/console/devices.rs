//! The list of devices: searched, filtered, sorted and cut into pages by the server, all of it in the address.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use loggerhead_headend::{DeviceOrder, DeviceQuery, DeviceSort, DeviceStatus, Start};
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

/// What rows can be sorted by: the word in the address, the key of the heading, what the order looks at, and which end
/// comes first when nobody asks for the other.
const COLUMNS: [(&str, &str, DeviceSort, DeviceOrder); 5] = [
    ("id", "device.device", DeviceSort::Id, DeviceOrder::Ascending),
    ("presence", "device.state", DeviceSort::Presence, DeviceOrder::Ascending),
    ("protocol", "device.speaks", DeviceSort::Protocol, DeviceOrder::Ascending),
    ("heard", "device.last_reading", DeviceSort::Reading, DeviceOrder::Descending),
    ("readings", "device.readings", DeviceSort::Readings, DeviceOrder::Descending),
];

impl ListParams {
    fn query(&self) -> DeviceQuery {
        let given = |word: &str| (!word.is_empty()).then(|| word.to_owned());
        let (_, _, sort, order) = self.column();
        DeviceQuery {
            presence: Presence::ALL.into_iter().find(|presence| presence.word() == self.presence),
            state: [DeviceState::Active, DeviceState::Pending]
                .into_iter()
                .find(|state| state_word(*state) == self.state),
            protocol: given(&self.protocol),
            site: given(&self.site),
            search: given(self.search.trim()),
            sort,
            order: if self.is_reversed() { order.reversed() } else { order },
            start: Start::Skip(self.page.unwrap_or(1).saturating_sub(1).saturating_mul(PAGE_ROWS)),
            limit: PAGE_ROWS,
            ..DeviceQuery::default()
        }
    }

    fn column(&self) -> (&'static str, &'static str, DeviceSort, DeviceOrder) {
        let [first, ..] = COLUMNS;
        COLUMNS.into_iter().find(|(word, ..)| *word == self.sort).unwrap_or(first)
    }

    fn is_reversed(&self) -> bool {
        self.order == "down"
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
    let mut found = api.headend().find_devices(&params.query());
    let (total, pages) = (found.total, found.total.div_ceil(PAGE_ROWS).max(1));
    let page = params.page.unwrap_or(1).clamp(1, pages);
    if found.devices.is_empty() && total > 0 {
        found = api.headend().find_devices(&ListParams { page: Some(page), ..params.clone() }.query());
    }
    let rows = found.devices;
    let known = api.headend().device_tally().total();
    let sites: Vec<String> = api.headend().sites().into_iter().take(SITES_MAX).map(|site| site.site).collect();
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

fn nothing(visit: &Visit, known: u64) -> Markup {
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
                thead { tr { @for (word, key, _, order) in COLUMNS { (heading(visit, params, (word, key), order)) } th.number scope="col" { (visit.t("device.faults")) } } }
                tbody { @for device in rows { (row(visit, device)) } }
            }
        }
    }
}

fn heading(visit: &Visit, params: &ListParams, (word, key): (&str, &str), order: DeviceOrder) -> Markup {
    let is_chosen = params.column().0 == word;
    let reverse = if is_chosen && !params.is_reversed() { "down" } else { "" };
    let sort = if word == "id" && reverse.is_empty() { "" } else { word };
    let is_ascending = (order == DeviceOrder::Ascending) != params.is_reversed();
    let sorted = is_chosen.then_some(if is_ascending { "ascending" } else { "descending" });
    html! {
        th scope="col" aria-sort=[sorted] class=[(word == "readings").then_some("number")] {
            a href=(params.address(&[("sort", sort), ("order", reverse)])) { (visit.t(key)) }
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
    let dialect = device.learnt.get("dialect").cloned();
    let crc = device.learnt.get("crc").map(|variant| format!("CRC {variant}"));
    dialect.into_iter().chain(crc).collect::<Vec<_>>().join(" · ")
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
