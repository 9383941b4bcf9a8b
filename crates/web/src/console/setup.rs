//! Setting up: listeners and their limits, devices that wait, and the ways to all else that can be set up.

use axum::extract::State;
use axum::response::Response;
use loggerhead_headend::{DeviceOrder, DeviceQuery, DeviceSort, DeviceStatus};
use loggerhead_model::Role;
use loggerhead_store::DeviceState;
use maud::{Markup, html};

use super::add;
use super::device;
use super::format::{self, Look};
use super::page::{Page, encoded};
use super::visit::Visit;
use crate::api::Listener;
use crate::state::Api;

/// Devices that wait and are shown: more is a flood, which its listener should refuse.
const PENDING_MAX: usize = 200;

/// Shows what there is.
pub(super) async fn show(visit: Visit, State(api): State<Api>) -> Response {
    let listeners = add::listeners(&api).await;
    let waiting = api.headend().find_devices(&DeviceQuery {
        state: Some(DeviceState::Pending),
        sort: DeviceSort::Added,
        order: DeviceOrder::Descending,
        limit: PENDING_MAX,
        ..DeviceQuery::default()
    });
    let content = html! {
        section #pending data-fresh aria-labelledby="pending-title" {
            h2 #pending-title { (visit.t("setup.pending")) }
            (pending(&visit, &waiting.devices))
        }
        section #listeners data-fresh aria-labelledby="listeners-title" {
            h2 #listeners-title { (visit.t("setup.listeners")) }
            (table(&visit, &listeners))
            p.hint { (visit.t("setup.listeners_hint")) }
        }
    };
    let heading = html! {
        h1 { (visit.t("nav.setup")) }
        @if may(&visit, Role::Admin) {
            div.row {
                a.button href="/setup/add" { (visit.t("setup.add")) }
                a href="/setup/access" { (visit.t("access.title")) }
                a href="/setup/audit" { (visit.t("audit.title")) }
            }
        }
    };
    Page::new(visit.t("nav.setup"), content).heading(heading).live("kinds=events,presence").good(&visit)
}

/// Whether whoever looks may do what this role may.
fn may(visit: &Visit, role: Role) -> bool {
    visit.viewer.as_ref().is_some_and(|viewer| viewer.may(role))
}

fn pending(visit: &Visit, waiting: &[DeviceStatus]) -> Markup {
    if waiting.is_empty() {
        return html! { p { (visit.t("setup.nobody_waits")) } p.hint { (visit.t("setup.pending_hint")) } };
    }
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("setup.pending")) }
                thead { tr {
                    th scope="col" { (visit.t("device.device")) }
                    th scope="col" { (visit.t("device.identity")) }
                    th scope="col" { (visit.t("device.peer")) }
                    th scope="col" { (visit.t("device.added")) }
                    th scope="col" { (visit.t("setup.decide")) }
                } }
                tbody { @for device in waiting { (one_pending(visit, device)) } }
            }
        }
    }
}

fn one_pending(visit: &Visit, device: &DeviceStatus) -> Markup {
    let id = encoded(device.id.as_str());
    html! {
        tr data-key=(device.id) {
            th scope="row" { a href=(device::path(&device.id)) { (device.id) } }
            td.mono { (device.identity) }
            td.mono { @if let Some(peer) = &device.evidence.peer { (peer) } }
            td { @if let Some(at) = device.added_at { (format::time(at, Look::Age)) } }
            td {
                @if may(visit, Role::Operator) {
                    form data-api={ "POST /api/v1/devices/" (id) "/accept" } data-then="fresh" {
                        div.row {
                            button type="submit" { (visit.t("device.accept")) }
                            button.danger type="submit" data-api={ "POST /api/v1/devices/" (id) "/refuse" } { (visit.t("device.refuse")) }
                        }
                    }
                }
            }
        }
    }
}

fn table(visit: &Visit, listeners: &[Listener]) -> Markup {
    if listeners.is_empty() {
        return html! { p.problem { (visit.t("attention.no_listener")) } };
    }
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("setup.listeners")) }
                thead { tr {
                    th scope="col" { (visit.t("listener.name")) }
                    th scope="col" { (visit.t("device.protocol")) }
                    th scope="col" { (visit.t("listener.addresses")) }
                    th scope="col" { (visit.t("listener.enroll")) }
                    th scope="col" { "TLS" }
                    th.number scope="col" { (visit.t("pace.connections")) }
                    th.number scope="col" { (visit.t("listener.per_address")) }
                    th.number scope="col" { (visit.t("listener.first_frame")) }
                    th.number scope="col" { (visit.t("listener.login")) }
                } }
                tbody { @for listener in listeners { (row(visit, listener)) } }
            }
        }
    }
}

fn row(visit: &Visit, listener: &Listener) -> Markup {
    let used = format!(
        "{} / {}",
        format::number(listener.connections as u64),
        format::number(listener.connections_max as u64)
    );
    html! {
        tr data-key=(listener.name) {
            th scope="row" { (listener.name) }
            td data-label=(visit.t("device.protocol")) { (listener.protocol) }
            td.mono { @for address in &listener.addresses { (address) " " } }
            td data-label=(visit.t("listener.enroll")) { (visit.t(&format!("enroll.{}", listener.enroll))) }
            td data-label="TLS" { @if listener.tls { (visit.t("listener.yes")) } @else { (visit.t("listener.no")) } }
            td.number data-label=(visit.t("pace.connections")) { (used) }
            td.number data-label=(visit.t("listener.per_address")) { (format::number(listener.connections_per_address_max as u64)) }
            td.number data-label=(visit.t("listener.first_frame")) { (listener.first_frame_s) " s" }
            td.number data-label=(visit.t("listener.login")) { (listener.login_s) " s" }
        }
    }
}
