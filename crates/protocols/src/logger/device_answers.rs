//! What a simulated device answers when it is asked about itself and its meters.

use loggerhead_model::{ControlLine, Origin, Report, ReportBuilder, Timestamp};

use super::device_settings::DeviceSide;
use super::message::ControlResult;
use super::xml::Element;

/// What the device says of itself.
pub(super) fn description(settings: &DeviceSide) -> Element {
    let mut device = Element::new("device", "");
    device.attributes.push(("operation".to_owned(), "device".to_owned()));
    for (name, text) in [
        ("build_name", &*settings.envelope.building),
        ("build_no", &*settings.envelope.building),
        ("dev_no", &*settings.envelope.gateway),
        ("factory", "simulated"),
        ("hardware", "1.0"),
        ("software", env!("CARGO_PKG_VERSION")),
    ] {
        device.children.push(Element::new(name, text));
    }
    device
}

/// What the device says of its meters: those whose readings were acknowledged last.
pub(super) fn archives(settings: &DeviceSide, last: Option<&Report>) -> Element {
    let mut instruction = Element::new("instruction", "");
    instruction.attributes.push(("operation".to_owned(), "archives_ack".to_owned()));
    let mut build = Element::new("build_info", "");
    build.children.push(Element::new("build_name", &settings.envelope.building));
    let mut meters = Element::new("meter_info", "");
    for meter in last.into_iter().flat_map(Report::meters) {
        let mut element = Element::new("meter", "");
        element.attributes.push(("id".to_owned(), meter.id.to_owned()));
        meters.children.push(element);
    }
    instruction.children.extend([build, meters]);
    instruction
}

/// What the meters answer to bytes that are passed to them: the same bytes, from those that exist.
pub(super) fn control(lines: &[ControlLine], last: Option<&Report>) -> Vec<ControlResult> {
    let result = |(index, line): (usize, &ControlLine)| {
        let is_known = last.into_iter().flat_map(Report::meters).any(|meter| meter.id == line.meter);
        ControlResult {
            index: (index + 1).to_string(),
            meter: line.meter.clone(),
            error: if is_known { "F0" } else { "F1" }.to_owned(),
            answer: if is_known { line.hex.clone() } else { String::new() },
        }
    };
    lines.iter().enumerate().map(result).collect()
}

/// What was measured last, if all of it lies within the span.
pub(super) fn measured_within(last: Option<&Report>, from: Option<Timestamp>, to: Option<Timestamp>) -> Report {
    let is_within = |at: Timestamp| from.is_none_or(|from| at >= from) && to.is_none_or(|to| at <= to);
    match last.filter(|report| report.readings().all(|reading| is_within(reading.measured_at))) {
        Some(report) => report.clone(),
        None => ReportBuilder::new(Origin::Queried, 0, 0).finish(),
    }
}
