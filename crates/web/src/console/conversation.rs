//! The last packets of a device, in and out, explained; and when it came and went.

use std::ops::ControlFlow;

use axum::extract::State;
use axum::response::Response;
use loggerhead_headend::DeviceStatus;
use loggerhead_model::{DeviceId, Direction, EventKind};
use loggerhead_store::{EventFilter, FrameFilter, ListOrder, StoredEvent};
use maud::{Markup, html};

use super::format::{self, Look};
use super::visit::Visit;
use super::{bytes, device, overview};
use crate::extract::Segment;
use crate::inspect::{Decoder, Part};
use crate::problem::Problem;
use crate::routes::explain;
use crate::state::Api;

/// Packets that are shown, the newest first.
const PACKETS_MAX: usize = 20;
/// Comings and goings that are shown.
const VISITS_MAX: usize = 200;
/// Events that are looked through for them: a device that does nothing but fail must not hide when it was well.
const EVENTS_MAX: usize = 2_000;

/// One packet of a conversation.
struct Packet {
    /// Which one it is, for a page that looks again.
    key: String,
    at: loggerhead_model::Timestamp,
    direction: Direction,
    bytes: Vec<u8>,
}

/// Shows the last packets.
pub(super) async fn show(
    visit: Visit,
    State(api): State<Api>,
    Segment(id): Segment<String>,
) -> Result<Response, Problem> {
    let device = device::find(&api, &id)?;
    let content = section(&visit, &api, &device).await?;
    Ok(device::page(&visit, &device, &content).good(&visit))
}

/// The last packets as a section of any page.
pub(super) async fn section(visit: &Visit, api: &Api, device: &DeviceStatus) -> Result<Markup, Problem> {
    let mut packets = packets(api, device.id.clone()).await?;
    packets.extend(said(api, &device.id));
    packets.sort_by_key(|packet| std::cmp::Reverse(packet.at));
    packets.truncate(PACKETS_MAX);
    let decoder = Decoder::new(explain::protocol(Some(&device.protocol))?, &[], toml::Table::new())?;
    let count = packets.len();
    let explained: Vec<(Packet, Part)> = packets
        .into_iter()
        .map(|mut packet| {
            let part = decoder.bytes(std::mem::take(&mut packet.bytes));
            (packet, part)
        })
        .collect();
    Ok(html! {
        section #conversation data-fresh aria-labelledby="conversation-title" {
            h2 #conversation-title { (visit.t("conversation.title")) }
            p.note { (visit.t("conversation.plain")) }
            @if count == 0 { p.note { (visit.t("conversation.none")) } }
            @for (place, (packet, part)) in explained.iter().enumerate() { (one(visit, packet, part, place == 0)) }
        }
    })
}

fn one(visit: &Visit, packet: &Packet, part: &Part, is_open: bool) -> Markup {
    let (arrow, key) = match packet.direction {
        Direction::In => ("→", "conversation.in"),
        Direction::Out => ("←", "conversation.out"),
    };
    let length: usize = part.runs.iter().map(|run| run.bytes.len()).sum();
    // What is said tells more than how it is framed.
    let steps = part.steps();
    let telling = steps.iter().find(|step| step.messages().next().is_some()).or(steps.first());
    html! {
        details.packet data-key=(packet.key) data-latest[is_open] open[is_open] {
            summary {
                span aria-hidden="true" { (arrow) } " " strong { (visit.t(key)) } " "
                (format::time(packet.at, Look::Moment)) " "
                span.note { (format::bytes(length as u64)) @if let Some(step) = telling { " · " (visit.texts.field(&step.field.meaning)) } }
            }
            (bytes::part(visit, part))
        }
    }
}

async fn packets(api: &Api, device: DeviceId) -> Result<Vec<Packet>, Problem> {
    let filter = FrameFilter { device: Some(device), order: ListOrder::NewestFirst, ..FrameFilter::default() };
    api.query(move |reader| {
        let mut found = Vec::new();
        reader.frames(&filter, &mut |stored| {
            found.push(Packet {
                key: stored.number.to_string(),
                at: stored.received_at,
                direction: stored.direction,
                bytes: stored.bytes.into_owned(),
            });
            if found.len() < PACKETS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(found)
    })
    .await
}

/// What was said to the device lately and is not in the store.
fn said(api: &Api, device: &DeviceId) -> impl Iterator<Item = Packet> {
    api.headend().said(device).into_iter().take(PACKETS_MAX).map(|said| Packet {
        key: format!("said-{}", said.at.unix_ms()),
        at: said.at,
        direction: Direction::Out,
        bytes: said.bytes.to_vec(),
    })
}

/// Shows when a device came and went.
pub(super) async fn history(
    visit: Visit,
    State(api): State<Api>,
    Segment(id): Segment<String>,
) -> Result<Response, Problem> {
    let device = device::find(&api, &id)?;
    let events = comings_and_goings(&api, device.id.clone()).await?;
    let content = html! {
        section #history data-fresh aria-labelledby="history-title" {
            h2 #history-title { (visit.t("history.title")) }
            @if events.is_empty() { p.note { (visit.t("history.none")) } } @else { (table(&visit, &events)) }
            p { a href={ "/events?" (super::page::query(&[("device", device.id.as_str())])) } { (visit.t("history.all")) } }
        }
    };
    Ok(device::page(&visit, &device, &content).good(&visit))
}

async fn comings_and_goings(api: &Api, device: DeviceId) -> Result<Vec<StoredEvent>, Problem> {
    let filter = EventFilter { device: Some(device), order: ListOrder::NewestFirst, ..EventFilter::default() };
    api.query(move |reader| {
        let (mut found, mut seen) = (Vec::new(), 0);
        reader.events(&filter, &mut |stored| {
            seen += 1;
            if matches!(
                stored.event.kind,
                EventKind::Login | EventKind::Logout | EventKind::Takeover | EventKind::Refused | EventKind::Pending
            ) {
                found.push(stored);
            }
            if found.len() < VISITS_MAX && seen < EVENTS_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(found)
    })
    .await
}

fn table(visit: &Visit, events: &[StoredEvent]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("history.title")) }
                thead { tr {
                    th scope="col" { (visit.t("event.at")) }
                    th scope="col" { (visit.t("event.kind")) }
                    th scope="col" { (visit.t("device.peer")) }
                    th scope="col" { (visit.t("event.text")) }
                } }
                tbody {
                    @for stored in events {
                        tr data-key=(stored.number) {
                            td { (format::time(stored.event.at, Look::Moment)) }
                            th scope="row" { (overview::kind(visit, stored.event.kind)) }
                            td.mono { @if let Some(peer) = &stored.event.peer { (peer) } }
                            td.wide { (visit.texts.said(&stored.event.text)) }
                        }
                    }
                }
            }
        }
    }
}
