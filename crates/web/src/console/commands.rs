//! A device's commands: what was asked, what became of it, and a form to ask.

use axum::extract::State;
use axum::response::Response;
use loggerhead_headend::DeviceStatus;
use loggerhead_model::Role;
use maud::{Markup, html};

use super::device;
use super::format::{self, Look};
use super::page::encoded;
use super::visit::Visit;
use crate::api::{Command, NewCommand};
use crate::extract::Segment;
use crate::problem::Problem;
use crate::state::Api;

/// Commands that are shown, the newest first.
const SHOWN_MAX: usize = 100;

/// Shows them.
pub(super) async fn show(
    visit: Visit,
    State(api): State<Api>,
    Segment(id): Segment<String>,
) -> Result<Response, Problem> {
    let device = device::find(&api, &id)?;
    let mut commands: Vec<Command> = api.headend().commands(Some(&device.id)).into_iter().map(Command::from).collect();
    commands.sort_unstable_by_key(|command| std::cmp::Reverse(command.id));
    commands.truncate(SHOWN_MAX);
    let may = visit.viewer.as_ref().is_some_and(|viewer| viewer.may(Role::Operator));
    let content = html! {
        section aria-labelledby="ask-title" {
            h2 #ask-title { (visit.t("command.ask")) }
            @if may { (form(&visit, &device)) } @else { p.note { (visit.t("command.may_not")) } }
        }
        section #commands data-fresh aria-labelledby="commands-title" {
            h2 #commands-title { (visit.t("command.asked")) }
            (table(&visit, &commands))
        }
    };
    Ok(device::page(&visit, &device, &content).good(&visit))
}

fn form(visit: &Visit, device: &DeviceStatus) -> Markup {
    const ORDERS: [(&str, &str); 5] = [
        ("query", "order.query"),
        ("period", "order.period"),
        ("describe", "order.describe"),
        ("control", "order.control"),
        ("set-key", "order.set-key"),
    ];
    html! {
        form data-api={ "POST /api/v1/devices/" (encoded(device.id.as_str())) "/commands" } data-then="fresh" data-done=(visit.t("command.taken")) {
            div.fields {
                div.field {
                    label for="order" { (visit.t("command.order")) }
                    select #order name="order" { @for (word, key) in ORDERS { option value=(word) { (visit.t(key)) } } }
                }
                (fields(visit))
            }
            div.row { button type="submit" { (visit.t("command.send")) } span.hint { (visit.t("command.hint")) } }
        }
        noscript { p.note { (visit.t("page.needs_scripts")) } }
    }
}

/// What goes with each order.
fn fields(visit: &Visit) -> Markup {
    html! {
        div.field data-when="order=query" {
            label for="from" { (visit.t("command.from")) }
            input #from name="from" type="datetime-local" step="1" data-type="time";
            small { (visit.t("command.span_hint")) }
        }
        div.field data-when="order=query" {
            label for="to" { (visit.t("command.to")) }
            input #to name="to" type="datetime-local" step="1" data-type="time";
        }
        div.field data-when="order=period" {
            label for="minutes" { (visit.t("command.minutes")) }
            input #minutes name="minutes" type="number" min="1" max="9999" value="15" required data-type="number";
        }
        div.field data-when="order=control" {
            label for="meter" { (visit.t("reading.meter")) }
            input #meter name="lines.0.meter" required;
        }
        div.field data-when="order=control" {
            label for="control-hex" { (visit.t("command.hex")) }
            input #control-hex.mono name="lines.0.hex" required pattern="[0-9a-fA-F ]+";
        }
        div.field data-when="order=control" {
            label for="timeout" { (visit.t("command.timeout")) }
            input #timeout name="lines.0.timeout_ms" type="number" min="1" value="1000" required data-type="number";
        }
        div.field data-when="order=control" {
            label for="retries" { (visit.t("command.retries")) }
            input #retries name="lines.0.retries" type="number" min="0" max="255" value="1" required data-type="number";
        }
        div.field data-when="order=set-key" {
            label for="kind" { (visit.t("command.kind")) }
            select #kind name="kind" {
                option value="login" { (visit.t("key.login")) }
                option value="cipher" { (visit.t("key.cipher")) }
                option value="cipher-iv" { (visit.t("key.cipher-iv")) }
            }
        }
        div.field data-when="order=set-key" {
            label for="key" { (visit.t("command.key")) }
            input #key name="key" type="password" autocomplete="off" required;
        }
    }
}

fn table(visit: &Visit, commands: &[Command]) -> Markup {
    if commands.is_empty() {
        return html! { p.note { (visit.t("command.none")) } };
    }
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("command.asked")) }
                thead { tr {
                    th.number scope="col" { "#" }
                    th scope="col" { (visit.t("command.order")) }
                    th scope="col" { (visit.t("device.state")) }
                    th scope="col" { (visit.t("command.detail")) }
                    th scope="col" { (visit.t("command.changed")) }
                    th scope="col" { (visit.t("command.accepted")) }
                } }
                tbody { @for command in commands { (row(visit, command)) } }
            }
        }
    }
}

fn row(visit: &Visit, command: &Command) -> Markup {
    html! {
        tr data-key=(command.id) {
            th.number scope="row" { (command.id) }
            td data-label=(visit.t("command.order")) { (order(visit, &command.order)) }
            td { span.state data-state=(command.state) { (visit.t(&format!("command_state.{}", command.state))) } }
            td { @if let Some(detail) = &command.detail { pre { (visit.texts.said(detail)) } } }
            td data-label=(visit.t("command.changed")) { (format::time(command.changed_at.0, Look::Age)) }
            td data-label=(visit.t("command.accepted")) { (format::time(command.accepted_at.0, Look::Moment)) }
        }
    }
}

/// An order in words.
fn order(visit: &Visit, order: &NewCommand) -> Markup {
    match order {
        NewCommand::Period { minutes } => visit.texts.phrase("order.period_of", &[("minutes", html! { (minutes) })]),
        NewCommand::Query { from: Some(from), to: Some(to) } => {
            let (from, to) = (format::device_time(from.0, Look::Moment), format::device_time(to.0, Look::Moment));
            visit.texts.phrase("order.query_of", &[("from", from), ("to", to)])
        }
        NewCommand::Query { .. } => html! { (visit.t("order.query_now")) },
        NewCommand::Describe => html! { (visit.t("order.describe")) },
        NewCommand::Control { lines } => html! {
            (visit.t("order.control"))
            @for line in lines { " " (line.meter) " " code { (line.hex) } }
        },
        NewCommand::SetKey { .. } => html! { (visit.t("order.set-key")) },
    }
}
