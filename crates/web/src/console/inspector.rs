//! Bytes explained: pasted, from a capture, or of one device as they come.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use loggerhead_headend::{DeviceQuery, DeviceStatus};
use loggerhead_protocols::ALL;
use maud::{Markup, html};
use serde::Deserialize;

use super::page::{Page, query};
use super::visit::Visit;
use super::{bytes, conversation};
use crate::api::ExplainRequest;
use crate::extract::{Body, Params, device_id};
use crate::problem::Problem;
use crate::routes::explain;
use crate::state::Api;

/// What to explain; short enough to stand in an address. Keys never do.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InspectParams {
    protocol: String,
    hex: String,
    device: String,
}

/// Shows the form, and what was asked for in the address.
pub(super) async fn show(
    visit: Visit,
    State(api): State<Api>,
    Params(params): Params<InspectParams>,
) -> Result<Response, Problem> {
    let (result, live) = if !params.device.trim().is_empty() {
        match found(&api, params.device.trim()) {
            Found::One(device) => {
                let live = query(&[("device", device.id.as_str())]);
                (conversation::section(&visit, &api, &device).await?, Some(live))
            }
            Found::Some(devices) => (choices(&visit, &devices), None),
        }
    } else if params.hex.trim().is_empty() {
        (html! { section { p.note { (visit.t("inspector.empty")) } } }, None)
    } else {
        let protocol = Some(params.protocol.clone()).filter(|name| !name.is_empty());
        let request = ExplainRequest { protocol, hex: params.hex.clone(), ..ExplainRequest::default() };
        let inspection = explain::inspect(request).await?;
        (html! { section { (bytes::inspection(&visit, &inspection)) } }, None)
    };
    let content = html! {
        section aria-label=(visit.t("inspector.what")) {
            (form(&visit, &params))
            (follow(&visit, &params))
        }
        div #result aria-live="polite" aria-busy="false" { (result) }
    };
    let page = Page::new(visit.t("nav.inspector"), content).scripts(&["inspector.js"]);
    let page = match live {
        Some(live) => page.live(live),
        None => page,
    };
    Ok(page.good(&visit))
}

/// Devices among which one can be chosen; with more, whoever looks for one types more of its name.
const CHOICES_MAX: usize = 20;

/// What a name stands for.
enum Found {
    One(Box<DeviceStatus>),
    /// Some that have it in their name, perhaps none.
    Some(Vec<DeviceStatus>),
}

/// The device of this id or identity, or else those that are found by it.
fn found(api: &Api, name: &str) -> Found {
    let search = DeviceQuery { search: Some(name.to_owned()), limit: CHOICES_MAX, ..DeviceQuery::default() };
    let by_id = device_id(name).ok().and_then(|id| api.headend().device(&id));
    let mut devices = by_id.map_or_else(|| api.headend().find_devices(&search).devices, |device| vec![device]);
    let exact = devices.iter().position(|device| device.id.as_str() == name || device.identity.as_str() == name);
    match (exact, devices.len()) {
        (Some(place), _) => Found::One(Box::new(devices.swap_remove(place))),
        (None, 1) => Found::One(Box::new(devices.swap_remove(0))),
        (None, _) => Found::Some(devices),
    }
}

fn choices(visit: &Visit, devices: &[DeviceStatus]) -> Markup {
    html! {
        section #choices aria-labelledby="choices-title" {
            h2 #choices-title { (visit.t(if devices.is_empty() { "devices.none" } else { "inspector.which" })) }
            @if devices.is_empty() {
                p { a href="/devices" { (visit.t("inspector.all_devices")) } }
            } @else {
                ul { @for device in devices {
                    li {
                        a href={ "/inspector?" (query(&[("device", device.id.as_str())])) } { (device.id) } " "
                        span.note { (device.identity) " · " (device.protocol) }
                    }
                } }
            }
        }
    }
}

/// Explains what a script sends, as a part of a page: a capture is too long for an address, and keys have no place there.
pub(super) async fn explain(visit: Visit, Body(request): Body<ExplainRequest>) -> Result<Response, Problem> {
    let inspection = explain::inspect(request).await?;
    let part = html! { section { (bytes::inspection(&visit, &inspection)) } };
    Ok(axum::response::Html(part.into_string()).into_response())
}

fn form(visit: &Visit, params: &InspectParams) -> Markup {
    html! {
        form #inspect method="get" action="/inspector" {
            div.field {
                label for="hex" { (visit.t("inspector.hex")) }
                textarea #hex name="hex" rows="5" spellcheck="false" placeholder="68681616 e4000000 1692ec42 …" { (params.hex) }
                small { (visit.t("inspector.drop")) }
            }
            div.fields {
                div.field {
                    label for="protocol" { (visit.t("device.protocol")) }
                    select #protocol name="protocol" {
                        @for protocol in ALL {
                            option value=(protocol.name) selected[protocol.name == params.protocol] { (protocol.name) " – " (visit.texts.title(protocol)) }
                        }
                    }
                }
                div.field {
                    label for="keys" { (visit.t("inspector.keys")) }
                    input #keys autocomplete="off" spellcheck="false" placeholder="text:0000000000123456" aria-describedby="keys-hint";
                    small #keys-hint { (visit.t("inspector.keys_hint")) }
                }
                div.field {
                    label for="file" { (visit.t("inspector.file")) }
                    input #file type="file" accept=".pcap,.pcapng,.cap,.hex,.bin,.txt";
                }
            }
            div.row { button type="submit" { (visit.t("inspector.explain")) } }
        }
    }
}

fn follow(visit: &Visit, params: &InspectParams) -> Markup {
    html! {
        form.filter method="get" action="/inspector" {
            div.field.grow {
                label for="device" { (visit.t("inspector.follow")) }
                input #device type="search" name="device" value=(params.device) required autocomplete="off" placeholder=(visit.t("devices.search_hint"));
            }
            button.quiet type="submit" { (visit.t("inspector.follow_do")) }
        }
    }
}
