//! Cameras with their states and alarms, and the accounts that have them.

use axum::extract::State;
use axum::response::Response;
use loggerhead_model::{Role, Timestamp};
use maud::{Markup, html};
use serde::Deserialize;

use super::format::{self, Look};
use super::page::{Page, encoded, query};
use super::visit::Visit;
use crate::api::{Camera, CameraAccount};
use crate::extract::Params;
use crate::problem::Problem;
use crate::routes::cameras::{PastAlarm, accounts_after, alarms_since, cameras_after};
use crate::state::{Api, now};

/// Rows of each table.
const ROWS: usize = 100;
/// How far back alarms are shown: a day.
const ALARMS_MS: i64 = 86_400_000;

/// Which pages of the tables.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CameraParams {
    camera: Option<String>,
    account: Option<String>,
}

/// Shows all tables.
pub(super) async fn show(
    visit: Visit,
    State(api): State<Api>,
    Params(params): Params<CameraParams>,
) -> Result<Response, Problem> {
    let cameras = cameras_after(&api, params.camera.as_deref(), ROWS).await?;
    let alarms = alarms_since(&api, Timestamp::from_unix_ms(now().unix_ms() - ALARMS_MS), ROWS).await?;
    let accounts = accounts_after(&api, params.account.as_deref(), ROWS)?;
    let content = html! {
        section #cameras data-fresh aria-labelledby="cameras-title" {
            h2 #cameras-title { (visit.t("cameras.cameras")) }
            @if cameras.cameras.is_empty() { p.note { (visit.t("cameras.none")) } } @else { (table(&visit, &cameras.cameras)) }
            (more(&visit, "camera", cameras.next.as_deref()))
        }
        section #alarms data-fresh aria-labelledby="alarms-title" {
            h2 #alarms-title { (visit.t("cameras.alarms")) }
            @if alarms.is_empty() { p.note { (visit.t("cameras.no_alarms")) } } @else { (past(&visit, &alarms)) }
        }
        section #accounts data-fresh aria-labelledby="accounts-title" {
            h2 #accounts-title { (visit.t("cameras.accounts")) }
            @if accounts.accounts.is_empty() { p.note { (visit.t("cameras.no_accounts")) } } @else { (people(&visit, &accounts.accounts)) }
            (more(&visit, "account", accounts.next.as_deref()))
        }
    };
    Ok(Page::new(visit.t("nav.cameras"), content).live("kinds=presence,readings&function=alarm").good(&visit))
}

fn more(visit: &Visit, table: &str, next: Option<&str>) -> Markup {
    html! {
        @if let Some(next) = next {
            nav.pages aria-label=(visit.t("devices.pages")) {
                span {}
                a rel="next" href={ "/cameras?" (query(&[(table, next)])) } { (visit.t("devices.next")) " →" }
            }
        }
    }
}

fn table(visit: &Visit, cameras: &[Camera]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("cameras.cameras")) }
                thead { tr {
                    th scope="col" { (visit.t("cameras.camera")) }
                    th scope="col" { (visit.t("device.state")) }
                    th scope="col" { (visit.t("cameras.alarm")) }
                    th scope="col" { (visit.t("cameras.had_by")) }
                } }
                tbody { @for camera in cameras { (row(visit, camera)) } }
            }
        }
    }
}

fn row(visit: &Visit, camera: &Camera) -> Markup {
    let (state, key) = match camera.state {
        Some(true) => ("connected-fresh", "cameras.there"),
        Some(false) => ("offline", "cameras.gone"),
        None => ("never", "cameras.unknown"),
    };
    html! {
        tr data-key=(camera.name) {
            th scope="row" {
                @if let Some(device) = &camera.device { a href={ "/devices/" (encoded(device)) } { (camera.name) } }
                @else { (camera.name) }
            }
            td { span.state data-state=(state) { (visit.t(key)) } }
            td data-label=(visit.t("cameras.alarm")) {
                @if let Some(last) = &camera.alarm { (last.alarm) " " (format::time(last.at.0, Look::Age)) }
            }
            td data-label=(visit.t("cameras.had_by")) {
                ul.chips { @for account in &camera.accounts { li.row { (account) (unbind(visit, camera, account)) } } }
            }
        }
    }
}

/// Takes the camera from an account.
fn unbind(visit: &Visit, camera: &Camera, account: &str) -> Markup {
    let may = visit.viewer.as_ref().is_some_and(|viewer| viewer.may(Role::Operator));
    let id = camera.device.as_ref().unwrap_or(&camera.name);
    html! {
        @if may {
            form data-api={ "DELETE /api/v1/cameras/" (encoded(id)) "/accounts/" (encoded(account)) } data-then="fresh" {
                button.quiet type="submit" data-ask=(visit.t("cameras.unbind_ask")) {
                    (visit.t("cameras.unbind")) span.hidden { " " (camera.name) " " (account) }
                }
            }
        }
    }
}

fn past(visit: &Visit, alarms: &[PastAlarm]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("cameras.alarms")) }
                thead { tr {
                    th scope="col" { (visit.t("cameras.camera")) }
                    th scope="col" { (visit.t("cameras.kind")) }
                    th scope="col" { (visit.t("cameras.raised")) }
                } }
                tbody {
                    @for alarm in alarms {
                        tr {
                            th scope="row" { (alarm.cameras.join(", ")) }
                            td data-label=(visit.t("cameras.kind")) { (alarm.alarm) }
                            td data-label=(visit.t("cameras.raised")) { (format::time(alarm.at, Look::Age)) }
                        }
                    }
                }
            }
        }
    }
}

fn people(visit: &Visit, accounts: &[CameraAccount]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("cameras.accounts")) }
                thead { tr {
                    th scope="col" { (visit.t("cameras.account")) }
                    th.number scope="col" { (visit.t("pace.connections")) }
                    th scope="col" { (visit.t("cameras.last_login")) }
                    th.number scope="col" { (visit.t("cameras.cameras")) }
                } }
                tbody {
                    @for account in accounts {
                        tr data-key=(account.name) {
                            th scope="row" { (account.name) }
                            td.number data-label=(visit.t("pace.connections")) { (account.connections) }
                            td data-label=(visit.t("cameras.last_login")) {
                                @if let Some(at) = account.last_login_at { (format::time(at.0, Look::Age)) " " }
                                @if let Some(from) = &account.last_login_from { span.mono { (from) } }
                            }
                            td.number data-label=(visit.t("cameras.cameras")) { (account.cameras.len()) }
                        }
                    }
                }
            }
        }
    }
}
