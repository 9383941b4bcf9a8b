//! The files that devices sent: searched, followed while they come, downloaded and removed.

use axum::extract::State;
use axum::response::Response;
use loggerhead_headend::files::{FileQuery, FileStatus, Files};
use loggerhead_model::{FileState, Role};
use maud::{Markup, html};
use serde::Deserialize;

use super::devices::choice;
use super::format::{self, Look};
use super::page::{Page, encoded, query};
use super::visit::Visit;
use crate::extract::{Params, device_id};
use crate::problem::Problem;
use crate::state::Api;

/// Files of a page.
const PAGE_ROWS: usize = 100;

/// Which files, and which page of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileParams {
    device: String,
    search: String,
    state: String,
    after: Option<u64>,
}

impl FileParams {
    fn query(&self) -> Result<FileQuery, Problem> {
        let given = |word: &str| Some(word.trim().to_owned()).filter(|word| !word.is_empty());
        Ok(FileQuery {
            device: given(&self.device).as_deref().map(device_id).transpose()?,
            text: given(&self.search),
            state: [FileState::Partial, FileState::Complete].into_iter().find(|state| state.word() == self.state),
            before: self.after,
            limit: PAGE_ROWS + 1,
        })
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        let all = [("device", self.device.trim()), ("search", self.search.trim()), ("state", &self.state)];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// Shows a page of them, the newest first. The first page follows what happens.
pub(super) async fn show(
    visit: Visit,
    State(api): State<Api>,
    Params(params): Params<FileParams>,
) -> Result<Response, Problem> {
    let files = api.headend().files();
    let may_send = visit.viewer.as_ref().is_some_and(|viewer| viewer.may(Role::Operator));
    let mut found = files.find(&params.query()?);
    let has_more = found.len() > PAGE_ROWS;
    found.truncate(PAGE_ROWS);
    let content = html! {
        section aria-label=(visit.t("files.filter")) { (form(&visit, &params)) }
        @if may_send {
            section aria-label=(visit.t("files.send")) {
                details.sending { summary { (visit.t("files.send")) } (sending(&visit, &params)) }
            }
        }
        section #list data-fresh aria-label=(visit.t("nav.files")) {
            p { (visit.t("files.kept")) " " (format::bytes(files.bytes(None))) }
            @if found.is_empty() {
                div.empty { p { strong { (visit.t("files.none")) } } p { (visit.t("files.none_do")) } }
            } @else {
                (table(&visit, files, &found))
            }
            @if has_more && let Some(last) = found.last() {
                nav.pages aria-label=(visit.t("devices.pages")) {
                    span {}
                    a rel="next" href=(older(&params, last.record.number)) { (visit.t("events.older")) " →" }
                }
            }
        }
    };
    let page = Page::new(visit.t("nav.files"), content).scripts(&["files.js"]);
    let page = if params.after.is_none() { page.live(query(&[("kinds", "events")])) } else { page };
    Ok(page.good(&visit))
}

fn older(params: &FileParams, last: u64) -> String {
    let last = last.to_string();
    let mut pairs = params.pairs();
    pairs.push(("after", &last));
    format!("/files?{}", query(&pairs))
}

fn form(visit: &Visit, params: &FileParams) -> Markup {
    let states = [("complete", visit.t("files.complete")), ("partial", visit.t("files.partial"))];
    html! {
        form.filter method="get" action="/files" role="search" data-filter {
            div.field.grow {
                label for="search" { (visit.t("files.name")) }
                input #search type="search" name="search" value=(params.search) autocomplete="off";
            }
            div.field {
                label for="device" { (visit.t("device.device")) }
                input #device type="search" name="device" value=(params.device) autocomplete="off";
            }
            (choice(visit, "state", "files.state", &params.state, &states))
            button.plain-only type="submit" { (visit.t("devices.apply")) }
            @if !params.pairs().is_empty() { a href="/files" { (visit.t("devices.clear")) } }
        }
    }
}

/// What sends files from here, in pieces that go on where the line broke.
fn sending(visit: &Visit, params: &FileParams) -> Markup {
    html! {
        form.filter #send data-upload="/api/v1/uploads" data-done=(visit.t("files.sent")) data-broken=(visit.t("files.broken")) {
            div.field {
                label for="whose" { (visit.t("device.device")) }
                input #whose name="device" value=(params.device) required autocomplete="off";
            }
            div.field.grow {
                label for="which" { (visit.t("files.which")) }
                input #which type="file" name="files" multiple required;
            }
            button type="submit" { (visit.t("files.send_now")) }
            progress #sent hidden max="1" value="0" aria-label=(visit.t("files.coming")) {}
            p.problem role="alert" hidden {}
        }
    }
}

fn table(visit: &Visit, files: &Files, found: &[FileStatus]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("nav.files")) }
                thead { tr {
                    th scope="col" { (visit.t("files.name")) }
                    th scope="col" { (visit.t("device.device")) }
                    th scope="col" { (visit.t("files.size")) }
                    th scope="col" { (visit.t("files.state")) }
                    th scope="col" { (visit.t("event.at")) }
                    th scope="col" { "SHA-256" }
                    th scope="col" { span.hidden { (visit.t("files.remove")) } }
                } }
                tbody { @for status in found { (row(visit, files, status)) } }
            }
        }
    }
}

fn row(visit: &Visit, files: &Files, status: &FileStatus) -> Markup {
    let record = &status.record;
    let may_remove = visit.viewer.as_ref().is_some_and(|viewer| viewer.may(Role::Operator));
    let path = format!("/api/v1/files/{}", record.number);
    let sum = record.sha256.map(|sum| crate::access::hex(&sum)).unwrap_or_default();
    html! {
        tr data-key=(record.number) {
            th scope="row" {
                @if record.state == FileState::Complete {
                    a href={ (path) "/content" } download=(record.name.as_str()) { (record.name) }
                } @else { (record.name) }
            }
            td { a href={ "/devices/" (encoded(record.device.as_str())) } { (record.device) } }
            td { (format::bytes(record.size)) }
            td { (state(visit, files, status)) }
            td { (format::time(record.changed_at, Look::Moment)) }
            td.mono { span title=(sum) { (sum.get(..12).unwrap_or_default()) } }
            td {
                @if may_remove {
                    form data-api={ "DELETE " (path) } data-then="fresh" {
                        button.danger type="submit" data-ask=(visit.t("files.remove_ask")) {
                            (visit.t("files.remove")) span.hidden { " " (record.name) }
                        }
                    }
                }
            }
        }
    }
}

/// How far a file is; a bar while it comes.
fn state(visit: &Visit, files: &Files, status: &FileStatus) -> Markup {
    let record = &status.record;
    html! {
        @if record.state == FileState::Complete {
            (visit.t("files.complete"))
        } @else {
            progress data-coming[status.is_open] max=(record.size.max(1)) value=(status.here) aria-label=(record.name.as_str()) {}
            " " (format::bytes(status.here))
            @if status.is_open {
                " " (visit.t("files.coming"))
            } @else {
                " " (visit.t("files.until")) " " (format::time(files.kept_until(record), Look::Moment))
            }
        }
    }
}
