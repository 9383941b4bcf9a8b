//! Sessions of the broker's clients: who is there, what waits for whom, and what was not delivered.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::format::{self, Look};
use super::page::{Page, encoded, query};
use super::visit::Visit;
use crate::api::BrokerSession;
use crate::extract::Params;
use crate::problem::Problem;
use crate::routes::broker::sessions_after;
use crate::state::Api;

/// Rows of the table.
const ROWS: usize = 100;
/// Subscriptions that stand in a row; the others are behind a click.
const SUBSCRIPTIONS_SHOWN: usize = 3;

/// Which sessions, and which page of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BrokerParams {
    device: String,
    after: Option<String>,
}

/// Shows a page of them, by client.
pub(super) async fn show(
    visit: Visit,
    State(api): State<Api>,
    Params(params): Params<BrokerParams>,
) -> Result<Response, Problem> {
    let device = Some(params.device.trim()).filter(|device| !device.is_empty());
    let found = sessions_after(&api, device, params.after.as_deref(), ROWS)?;
    let content = html! {
        section aria-label=(visit.t("broker.account")) { (form(&visit, device)) }
        section #sessions data-fresh aria-labelledby="sessions-title" {
            h2 #sessions-title { (visit.t("broker.sessions")) }
            @if found.sessions.is_empty() {
                div.empty { p { strong { (visit.t("broker.none")) } } p { (visit.t("broker.none_do")) } }
            } @else {
                (table(&visit, &found.sessions))
            }
            @if let Some(next) = &found.next {
                nav.pages aria-label=(visit.t("devices.pages")) {
                    span {}
                    a rel="next" href={ "/broker?" (query(&[("device", device.unwrap_or_default()), ("after", next)])) } {
                        (visit.t("devices.next")) " →"
                    }
                }
            }
        }
    };
    Ok(Page::new(visit.t("nav.broker"), content).live(query(&[("kinds", "presence,events")])).good(&visit))
}

fn form(visit: &Visit, device: Option<&str>) -> Markup {
    html! {
        form.filter method="get" action="/broker" role="search" data-filter {
            div.field {
                label for="device" { (visit.t("broker.account")) }
                input #device type="search" name="device" value=[device] autocomplete="off";
            }
            button.plain-only type="submit" { (visit.t("devices.apply")) }
            @if device.is_some() { a href="/broker" { (visit.t("devices.clear")) } }
        }
    }
}

fn table(visit: &Visit, sessions: &[BrokerSession]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("broker.sessions")) }
                thead { tr {
                    th scope="col" { (visit.t("broker.client")) }
                    th scope="col" { (visit.t("broker.account")) }
                    th scope="col" { (visit.t("device.state")) }
                    th scope="col" { (visit.t("broker.lasts")) }
                    th scope="col" { (visit.t("broker.subscriptions")) }
                    th.number scope="col" { (visit.t("broker.in_flight")) }
                    th.number scope="col" { (visit.t("broker.queued")) }
                    th scope="col" { (visit.t("broker.dropped")) }
                } }
                tbody { @for session in sessions { (row(visit, session)) } }
            }
        }
    }
}

fn row(visit: &Visit, session: &BrokerSession) -> Markup {
    let (state, key) =
        if session.connected { ("connected-fresh", "broker.connected") } else { ("offline", "broker.away") };
    html! {
        tr data-key=(session.client) {
            th.mono scope="row" { (session.client) }
            td data-label=(visit.t("broker.account")) {
                a href={ "/devices/" (encoded(&session.device)) } { (session.device) }
            }
            td {
                span.state data-state=(state) { (visit.t(key)) } " "
                @if let Some(since) = session.since { (format::time(since.0, Look::Age)) }
                @else { span.note { (visit.t("broker.before")) } }
            }
            td data-label=(visit.t("broker.lasts")) { (lasting(visit, session)) }
            td data-label=(visit.t("broker.subscriptions")) { (subscriptions(visit, session)) }
            td.number data-label=(visit.t("broker.in_flight")) { (format::number(session.in_flight as u64)) }
            td.number data-label=(visit.t("broker.queued")) {
                (format::number(session.queued as u64))
                @if session.queued > 0 { " · " (format::bytes(session.queued_bytes as u64)) }
                @if session.queued_qos0 > 0 {
                    " + " (format::number(session.queued_qos0 as u64)) " " (visit.t("broker.queued_qos0"))
                }
            }
            td data-label=(visit.t("broker.dropped")) { (dropped(visit, session)) }
        }
    }
}

/// For how long it stays without a connection.
fn lasting(visit: &Visit, session: &BrokerSession) -> Markup {
    html! {
        @match session.expiry_s {
            Some(0) => (visit.t("broker.with_connection")),
            None => (visit.t("broker.for_ever")),
            Some(seconds) => { (visit.t("broker.away_for")) " " (span(seconds)) },
        }
        @if let Some(ends_at) = session.ends_at {
            "; " (visit.t("broker.ends")) " " (format::time(ends_at.0, Look::Moment))
        }
    }
}

/// `7 d`: seconds in the largest unit that they are a whole number of.
fn span(seconds: u32) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds.is_multiple_of(*size)).unwrap_or((1, "s"));
    format!("{} {unit}", seconds / size)
}

fn subscriptions(visit: &Visit, session: &BrokerSession) -> Markup {
    let chips = |from: usize, to: usize| {
        let shown = session.subscriptions.iter().take(to).skip(from);
        html! { ul.chips { @for one in shown { li { code { (one.filter) } span.note { " QoS " (one.qos) } } } } }
    };
    let hidden = session.subscriptions_count.saturating_sub(SUBSCRIPTIONS_SHOWN);
    html! {
        (chips(0, SUBSCRIPTIONS_SHOWN))
        @if hidden > 0 {
            details {
                summary { "+ " (format::number(hidden as u64)) " " (visit.t("broker.more")) }
                (chips(SUBSCRIPTIONS_SHOWN, usize::MAX))
                @if session.subscriptions_count > session.subscriptions.len() { p.note { "…" } }
            }
        }
    }
}

/// What it did not get, by what was in the way.
fn dropped(visit: &Visit, session: &BrokerSession) -> Markup {
    let drops = &session.dropped;
    let causes = [
        (drops.queue_full, "broker.queue_full"),
        (drops.too_slow, "broker.too_slow"),
        (drops.overload, "broker.overload"),
        (drops.too_large, "broker.too_large"),
        (drops.expired, "broker.expired"),
    ];
    html! {
        @if causes.iter().all(|(count, _)| *count == 0) { "0" } @else {
            ul.chips {
                @for (count, key) in causes.into_iter().filter(|(count, _)| *count > 0) {
                    li { (format::number(count)) " " (visit.t(key)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn a_span_is_told_in_the_largest_unit_that_fits() {
        let check = |seconds, expected: &str| assert_eq!(span(seconds), expected);
        check(604_800, "7 d");
        check(5_400, "90 min");
        check(7_200, "2 h");
        check(61, "61 s");
    }
}
