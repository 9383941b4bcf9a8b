//! One device: what it shows now, its course, and who it is.

use std::ops::ControlFlow;

use axum::extract::State;
use axum::response::Response;
use loggerhead_headend::DeviceStatus;
use loggerhead_model::{DeviceId, Origin, Quality, Role, Timestamp};
use loggerhead_store::{DeviceSource, DeviceState, ReadingFilter};
use maud::{Markup, html};

use super::add;
use super::coding;
use super::format::{self, Look};
use super::page::{Page, encoded};
use super::robot;
use super::visit::Visit;
use crate::api::Latest;
use crate::extract::{Segment, device_id};
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// Channels whose latest value is shown: a device has a few hundred.
const CHANNELS_MAX: usize = 1_000;
/// What is drawn at first of a device that measures it: how much is used now says more at a glance than a counter.
const TELLING_UNIT: &str = "kW";

/// The pages of a device: end of the path, key of the text.
const TABS: [(&str, &str); 4] = [
    ("", "device.now"),
    ("/commands", "device.commands"),
    ("/conversation", "device.conversation"),
    ("/history", "device.history"),
];

/// The device that a path names.
pub(super) fn find(api: &Api, id: &str) -> Result<DeviceStatus, Problem> {
    let found = api.headend().device(&device_id(id)?);
    found.ok_or_else(|| Problem::new(ProblemKind::UnknownDevice, format!("no device {id}")))
}

/// The path of a device's page.
pub(super) fn path(id: &DeviceId) -> String {
    format!("/devices/{}", encoded(id.as_str()))
}

/// A page about a device: its name, its state, the way to its other pages.
pub(super) fn page(visit: &Visit, device: &DeviceStatus, content: &Markup) -> Page {
    let path = path(&device.id);
    let here = visit.uri.path();
    let head = html! {
        section #who data-fresh aria-label=(visit.t("device.state")) {
            div.row {
                (format::presence(visit.texts, device.evidence.presence))
                span.note { (format::evidence(visit.texts, &device.evidence)) }
                @if device.state == DeviceState::Pending { span.state data-state="pending" { (visit.t("device.pending")) } }
            }
            @if device.state == DeviceState::Pending { (admission(visit, device)) }
        }
        nav.tabs aria-label=(visit.t("device.pages")) {
            ul {
                @for (end, key) in TABS {
                    @let target = format!("{path}{end}");
                    li { a href=(target) aria-current=[(here == target).then_some("page")] { (visit.t(key)) } }
                }
            }
        }
        (content)
    };
    let heading = html! {
        div {
            p.note { a href="/devices" { (visit.t("nav.devices")) } " / " }
            h1 { (device.id) }
        }
    };
    Page::new(device.id.as_str(), head).heading(heading).live(super::page::query(&[("device", device.id.as_str())]))
}

/// What an operator may do with a device that waits.
fn admission(visit: &Visit, device: &DeviceStatus) -> Markup {
    html! {
        @if visit.viewer.as_ref().is_some_and(|viewer| viewer.may(Role::Operator)) {
            form data-api={ "POST /api/v1/devices/" (encoded(device.id.as_str())) "/accept" } data-then="fresh" {
                div.row { button type="submit" { (visit.t("device.accept")) } }
            }
        }
    }
}

/// Shows what a device reports now and over any span.
pub(super) async fn show(
    visit: Visit,
    State(api): State<Api>,
    Segment(id): Segment<String>,
) -> Result<Response, Problem> {
    let device = find(&api, &id)?;
    let latest = latest(&api, &device.id).await?;
    let nothing_yet = if latest.is_empty() {
        nothing_yet(&visit, &api, &device).await
    } else {
        html! {}
    };
    let content = html! {
        // Empty until a robot has told how it stands.
        div #glance data-fresh { @if let Some(robot) = robot::section(&visit, &latest) { (robot) } }
        (chart(&visit, &device, &latest))
        section #latest data-fresh aria-labelledby="latest-title" {
            h2 #latest-title { (visit.t("device.latest")) }
            @if latest.is_empty() { (nothing_yet) } @else { (values(&visit, &latest)) }
        }
        section #facts data-fresh aria-labelledby="facts-title" {
            h2 #facts-title { (visit.t("device.facts")) }
            (facts(&visit, &device, &latest))
        }
    };
    Ok(page(&visit, &device, &content).scripts(&["chart.js"]).good(&visit))
}

async fn latest(api: &Api, id: &DeviceId) -> Result<Vec<Latest<'static>>, Problem> {
    let filter = ReadingFilter { device: Some(id.clone()), ..ReadingFilter::default() };
    api.query(move |reader| {
        let mut found = Vec::new();
        reader.latest(&filter, &mut |stored| {
            found.push(Latest::new(&stored));
            if found.len() < CHANNELS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(found)
    })
    .await
}

/// The name of a channel in an address: meter and function, each encoded, joined by a slash.
fn channel_word(latest: &Latest<'_>) -> String {
    format!("{}/{}", encoded(&latest.meter), encoded(&latest.function))
}

/// The chart and what chooses its channels and span. A script draws; the address holds what is chosen.
fn chart(visit: &Visit, device: &DeviceStatus, latest: &[Latest<'_>]) -> Markup {
    const SPANS: [(&str, &str); 7] = [
        ("5m", "chart.minutes"),
        ("1h", "chart.hour"),
        ("6h", "chart.hours"),
        ("24h", "chart.day"),
        ("7d", "chart.week"),
        ("30d", "chart.month"),
        ("365d", "chart.year"),
    ];
    let unit = |latest: &Latest<'_>| coding::unit(&latest.reading.sample.coding, &latest.function);
    let first = latest.iter().position(|latest| unit(latest) == Some(TELLING_UNIT)).unwrap_or_default();
    html! {
        section #chart data-device=(device.id) data-every=[device.learnt.get("interval_s")] aria-labelledby="chart-title" {
            div.title {
                h2 #chart-title { (visit.t("chart.title")) }
                div.switch #spans role="group" aria-label=(visit.t("chart.span")) {
                    @for (word, key) in SPANS { a href={ "?span=" (word) } data-span=(word) { (visit.t(key)) } }
                }
                div.row #moves role="group" aria-label=(visit.t("chart.move")) {
                    button.quiet type="button" data-move="earlier" title=(visit.t("chart.earlier")) { span aria-hidden="true" { "←" } span.hidden { (visit.t("chart.earlier")) } }
                    button.quiet type="button" data-move="later" title=(visit.t("chart.later")) { span aria-hidden="true" { "→" } span.hidden { (visit.t("chart.later")) } }
                    button.quiet type="button" data-move="closer" title=(visit.t("chart.closer")) { span aria-hidden="true" { "+" } span.hidden { (visit.t("chart.closer")) } }
                    button.quiet type="button" data-move="wider" title=(visit.t("chart.wider")) { span aria-hidden="true" { "−" } span.hidden { (visit.t("chart.wider")) } }
                }
            }
            @if latest.is_empty() {
                p.note { (visit.t("chart.empty")) }
            } @else {
                details {
                    summary { (visit.t("chart.channels")) }
                    fieldset.channels {
                        legend.hidden { (visit.t("chart.channels")) }
                        @for (place, reading) in latest.iter().enumerate() {
                            label {
                                input type="checkbox" name="channel" value=(channel_word(reading))
                                    data-meter=(reading.meter) data-function=(reading.function)
                                    data-quantity=[coding::name(visit.texts, &reading.reading.sample.coding, &reading.function)]
                                    data-unit=[coding::unit(&reading.reading.sample.coding, &reading.function)]
                                    checked[place == first];
                                " " (reading.meter) " / " (reading.function)
                                @if let Some(name) = coding::name(visit.texts, &reading.reading.sample.coding, &reading.function) { " " (name) }
                                @if let Some(meaning) = coding::meaning(visit.texts, &reading.reading.sample.coding) { span.note { " " (meaning) } }
                            }
                        }
                    }
                }
                p.note #shown role="status" {}
                div #plot tabindex="0" role="img" aria-label=(visit.t("chart.title")) aria-describedby="shown" {}
                p.note.legend {
                    span { span.sample data-mark="gap" aria-hidden="true" {} (visit.t("chart.gap")) }
                    span { span.sample data-mark="bad" aria-hidden="true" {} (visit.t("chart.bad")) }
                    span { span.sample data-mark="resumed" aria-hidden="true" {} (visit.t("chart.resumed")) }
                    span { (visit.t("chart.keys")) }
                }
                noscript { p.note { (visit.t("page.needs_scripts")) } }
                details #shown-table {
                    summary { (visit.t("chart.table")) }
                    p.row #downloads {
                        a data-format="csv" download href="#" { (visit.t("chart.csv")) }
                        a data-format="parquet" download href="#" { (visit.t("chart.parquet")) }
                    }
                    div.scroll tabindex="0" role="region" aria-label=(visit.t("chart.table")) { table #rows {} }
                }
            }
        }
    }
}

/// What to do while nothing was received.
async fn nothing_yet(visit: &Visit, api: &Api, device: &DeviceStatus) -> Markup {
    html! {
        div.empty {
            p { strong { (visit.t("device.no_readings")) } }
            p { (visit.t("device.no_readings_do")) }
            @if let Some(protocol) = loggerhead_protocols::find(&device.protocol) {
                (add::doors(visit, &add::listeners(api).await, protocol))
            }
        }
    }
}

/// Every channel with its latest value, its quality and its age.
fn values(visit: &Visit, latest: &[Latest<'_>]) -> Markup {
    let codings = Codings::of(latest);
    html! {
        @if let Codings::One(coding) = codings && !coding.is_empty() {
            p.note #coding { (visit.t("reading.coding")) ": " (classified(visit, coding)) }
        }
        div.scroll {
            table.stack {
                caption.hidden { (visit.t("device.latest")) }
                thead { tr {
                    th scope="col" { (visit.t("reading.meter")) }
                    th scope="col" { (visit.t("reading.function")) }
                    th.number scope="col" { (visit.t("reading.value")) }
                    @if codings == Codings::Several { th scope="col" { (visit.t("reading.coding")) } }
                    th scope="col" { (visit.t("reading.quality")) }
                    th scope="col" { (visit.t("reading.age")) }
                } }
                tbody {
                    @for (place, reading) in latest.iter().enumerate() {
                        @let before = place.checked_sub(1).and_then(|place| latest.get(place));
                        (value(visit, reading, codings.to_tell(reading, before)))
                    }
                }
            }
        }
        @if latest.len() == CHANNELS_MAX { p.note { (visit.t("device.more_channels")) } }
    }
}

/// How the codings of a device's channels stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codings<'a> {
    /// All have this one, which is told once.
    One(&'a str),
    /// They have a column, which tells where another one begins.
    Several,
}

impl<'a> Codings<'a> {
    fn of(latest: &'a [Latest<'_>]) -> Self {
        let mut all = latest.iter().map(|latest| latest.reading.sample.coding.as_ref());
        let first = all.next().unwrap_or_default();
        if all.all(|coding| coding == first) { Self::One(first) } else { Self::Several }
    }

    /// What the column of codings tells in a row: nothing where the row before it says the same of the same meter. None where
    /// there is no column.
    fn to_tell<'b>(self, latest: &'b Latest<'_>, before: Option<&Latest<'_>>) -> Option<&'b str> {
        let coding = latest.reading.sample.coding.as_ref();
        let is_told =
            before.is_some_and(|before| before.meter == latest.meter && before.reading.sample.coding == coding);
        (self == Self::Several).then_some(if is_told { "" } else { coding })
    }
}

/// A classification code, in words where they are known.
fn classified(visit: &Visit, coding: &str) -> Markup {
    html! {
        @if let Some(meaning) = coding::meaning(visit.texts, coding) { (meaning) " " }
        code { (coding) }
    }
}

fn value(visit: &Visit, latest: &Latest<'_>, coding: Option<&str>) -> Markup {
    let sample = &latest.reading.sample;
    let (state, key) = match sample.quality {
        Quality::Good => ("good", "quality.good"),
        Quality::Bad => ("bad", "quality.bad"),
    };
    html! {
        tr data-key=(latest.channel) {
            td data-label=(visit.t("reading.meter")) { (latest.meter) }
            th scope="row" data-label=(visit.t("reading.function")) {
                a href={ "?channel=" (channel_word(latest)) "#chart" } { (latest.function) }
                @if let Some(name) = coding::name(visit.texts, &sample.coding, &latest.function) { " " span.quantity { (name) } }
            }
            td.number data-label=(visit.t("reading.value")) {
                data value=(sample.text) { (sample.text) }
                @if let Some(unit) = coding::unit(&sample.coding, &latest.function) { " " span.unit { (unit) } }
            }
            @if let Some(coding) = coding {
                td data-label=(visit.t("reading.coding")) { @if !coding.is_empty() { (classified(visit, coding)) } }
            }
            td data-label=(visit.t("reading.quality")) {
                span.state data-state=(state) title=(sample.code) { (visit.t(key)) }
                @if latest.reading.origin == Origin::Resumed { " " span.state data-state="resumed" { (visit.t("origin.resumed")) } }
            }
            td data-label=(visit.t("reading.age")) { (format::device_time(sample.measured_at.0, Look::Age)) }
        }
    }
}

/// A finding that is a moment by the device's clock: its name ends so, and it counts seconds since 1970.
fn moment(name: &str, word: &str) -> Option<Timestamp> {
    let seconds: i64 = name.ends_with("_at").then(|| word.parse().ok())??;
    Some(Timestamp::from_unix_ms(seconds.checked_mul(1000)?))
}

/// Who it is, what was learnt about it, and what it did.
fn facts(visit: &Visit, device: &DeviceStatus, latest: &[Latest<'_>]) -> Markup {
    let source = match device.source {
        DeviceSource::Configuration => "source.configuration",
        DeviceSource::Operator => "source.operator",
        DeviceSource::Enrolled => "source.enrolled",
    };
    let counters = &device.counters;
    html! {
        dl.facts {
            dt { (visit.t("device.identity")) } dd.mono { (device.identity) }
            @if let Some(site) = &device.site {
                dt { (visit.t("device.site")) } dd { a href={ "/devices?site=" (encoded(site)) } { (site) } }
            }
            dt { (visit.t("device.protocol")) } dd { (device.protocol) }
            @for (name, word) in &device.learnt {
                dt { (visit.texts.find(&format!("learnt.{name}")).unwrap_or(name)) }
                dd { @if let Some(at) = moment(name, word) { (format::device_time(at, Look::Moment)) } @else if word == "yes" { (visit.t("listener.yes")) } @else { (word) } }
            }
            dt { (visit.t("device.source")) } dd { (visit.t(source)) }
            @if let Some(at) = device.added_at { dt { (visit.t("device.added")) } dd { (format::time(at, Look::Moment)) } }
            @if let Some(peer) = &device.evidence.peer { dt { (visit.t("device.peer")) } dd.mono { (peer) } }
            @if let Some(offset) = clock_offset(latest) {
                dt { (visit.t("device.clock")) } dd title=(visit.t("device.clock_how")) { (offset) }
            }
            dt { (visit.t("device.logins")) } dd { (format::number(counters.logins)) }
            dt { (visit.t("device.packets")) } dd { (format::number(counters.packets)) }
            dt { (visit.t("device.readings")) } dd { (format::number(counters.readings)) }
            dt { (visit.t("device.bytes")) } dd { (format::bytes(counters.bytes_in)) " / " (format::bytes(counters.bytes_out)) }
            dt { (visit.t("device.faults")) } dd { (format::number(counters.faults)) }
            @if counters.dropped > 0 {
                dt { (visit.t("device.dropped")) } dd { (format::number(counters.dropped)) }
            }
        }
    }
}

/// By how much the device's clock differs from ours: the newest live reading's time against its arrival, so that the way
/// to us counts as well. Nothing without such a reading.
fn clock_offset(latest: &[Latest<'_>]) -> Option<String> {
    let live = latest.iter().filter(|latest| latest.reading.origin == Origin::Live);
    let newest = live.max_by_key(|latest| latest.reading.received_at)?;
    let offset_ms = newest.reading.sample.measured_at.0.unix_ms() - newest.reading.received_at.0.unix_ms();
    let (sign, tenths) = (if offset_ms < 0 { '−' } else { '+' }, offset_ms.unsigned_abs() / 100);
    Some(format!("{sign}{}.{} s", tenths / 10, tenths % 10))
}
