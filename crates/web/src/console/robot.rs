//! A robot at a glance: its axes, where its tool is, and the few words that say how it is.
//!
//! A robot is known by what it reports, whatever it reports over: values whose names end with those of the axes, or of a place
//! in space. Everything else that it reports stands below, with the meters.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::visit::Visit;
use crate::api::Latest;

/// The axes of the arm.
const AXES: [&str; 6] = ["A1", "A2", "A3", "A4", "A5", "A6"];
/// Axes that move what stands beside it.
const OUTER_AXES: [&str; 6] = ["E1", "E2", "E3", "E4", "E5", "E6"];
/// A place in space, and how something is turned there.
const PLACE: [&str; 6] = ["X", "Y", "Z", "A", "B", "C"];
/// Parts of names that say that the values of axes are where they are, in degrees; others are speeds or currents.
const POSITIONS: [&str; 2] = ["axis", "pos"];
/// Names of what says how a robot is, each with the key of its text. Their part behind the last `/` or `.` is looked at.
const STATES: [(&str, &str); 12] = [
    ("$PRO_STATE1", "robot.program"),
    ("$PRO_STATE", "robot.program"),
    ("$MODE_OP", "robot.mode"),
    ("Mode", "robot.mode"),
    ("$OV_PRO", "robot.override"),
    ("Override", "robot.override"),
    ("Status", "robot.status"),
    ("late", "robot.late"),
    ("lost", "robot.lost"),
    ("lag_ms", "robot.lag"),
    ("cycles", "robot.cycles"),
    ("unrecorded", "robot.unrecorded"),
];
/// Figures that are well as long as they are zero.
const COUNTED_FAULTS: [&str; 3] = ["robot.late", "robot.lost", "robot.unrecorded"];

/// Values that belong together, such as those of all axes: by their part of the name.
type Vector<'a> = BTreeMap<&'a str, &'a Latest<'a>>;

/// The section of a device that is a robot; nothing for any other.
pub(super) fn section(visit: &Visit, latest: &[Latest<'_>]) -> Option<Markup> {
    let mut vectors: BTreeMap<(&str, &str), Vector<'_>> = BTreeMap::new();
    for reading in latest {
        if let Some((name, part)) = split(&reading.function) {
            vectors.entry((&reading.meter, name)).or_default().insert(part, reading);
        }
    }
    let having = |parts: &[&str]| {
        let is_whole = |vector: &Vector<'_>| parts.iter().all(|part| vector.contains_key(part));
        vectors.iter().filter(|(_, vector)| is_whole(vector)).map(|((_, name), vector)| (*name, vector)).collect()
    };
    let (axes, places): (Vec<_>, Vec<_>) = (having(&AXES), having(&PLACE));
    let outer: Vec<_> = having(&OUTER_AXES).into_iter().filter(|(_, vector)| moves(vector)).collect();
    if axes.is_empty() && places.is_empty() {
        return None;
    }
    Some(html! {
        section #robot aria-labelledby="robot-title" {
            h2 #robot-title { (visit.t("robot.title")) }
            (states(visit, latest))
            (table(visit, "robot.axes", &AXES, &axes))
            (table(visit, "robot.outer_axes", &OUTER_AXES, &outer))
            (table(visit, "robot.places", &PLACE, &places))
        }
    })
}

/// `AxisAct/@A1`, `AxisAct/A1` and `$AXIS_ACT.A1` are the part `A1` of something.
fn split(function: &str) -> Option<(&str, &str)> {
    let (name, part) = function.rsplit_once(['/', '.'])?;
    Some((name, part.strip_prefix('@').unwrap_or(part)))
}

/// Whether there is anything behind axes that a robot always tells: it tells zero of those it does not have.
fn moves(vector: &Vector<'_>) -> bool {
    OUTER_AXES.iter().any(|part| vector.get(part).is_some_and(|reading| reading.reading.sample.value != Some(0.0)))
}

fn states(visit: &Visit, latest: &[Latest<'_>]) -> Markup {
    let found: Vec<_> = STATES
        .iter()
        .filter_map(|(name, key)| {
            let is_it = |reading: &&Latest<'_>| reading.function.rsplit(['/', '.']).next() == Some(name);
            latest.iter().find(is_it).map(|reading| (*key, reading))
        })
        .collect();
    html! {
        @if !found.is_empty() {
            dl.tiles { @for (key, reading) in &found { div { dt { (visit.t(key)) } dd { (state(visit, key, reading)) } } } }
        }
    }
}

/// A state in words where they are known; a count of faults with its judgement.
fn state(visit: &Visit, key: &str, reading: &Latest<'_>) -> Markup {
    let sample = &reading.reading.sample;
    let word = sample.text.trim_start_matches('#');
    let is_fault = COUNTED_FAULTS.contains(&key);
    let judged = if sample.value == Some(0.0) { "good" } else { "warning" };
    html! {
        @if is_fault {
            span.state data-state=(judged) { span.figure { (sample.text) } }
        } @else {
            span.figure { (visit.texts.find(&format!("robot.is.{word}")).unwrap_or(word)) }
        }
    }
}

/// A table of vectors: one row each, one column for each part.
fn table(visit: &Visit, title: &str, parts: &[&str], vectors: &[(&str, &Vector<'_>)]) -> Markup {
    html! {
        @if !vectors.is_empty() {
            div.scroll tabindex="0" role="region" aria-label=(visit.t(title)) {
                table {
                    caption { (visit.t(title)) }
                    thead { tr {
                        th scope="col" { (visit.t("robot.of")) }
                        @for part in parts { th.number scope="col" { (part) } }
                    } }
                    tbody {
                        @for (name, vector) in vectors {
                            tr data-key=(name) {
                                th scope="row" { (name) }
                                @for part in parts { (value(name, part, vector)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn value(name: &str, part: &str, vector: &Vector<'_>) -> Markup {
    let sample = vector.get(part).map(|reading| &reading.reading.sample);
    let is_position = POSITIONS.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let angle = sample.and_then(|sample| sample.value).filter(|_| is_position && AXES.contains(&part));
    let unit = match part {
        "X" | "Y" | "Z" => Some("mm"),
        "A" | "B" | "C" => Some("°"),
        _ => angle.map(|_| "°"),
    };
    html! {
        td.number {
            @if let Some(angle) = angle {
                svg.dial viewBox="-10 -10 20 20" aria-hidden="true" {
                    circle r="9" {}
                    line y2="-9" transform=(format!("rotate({angle})")) {}
                }
            }
            @if let Some(sample) = sample {
                data value=(sample.text) { (sample.text) }
                @if let Some(unit) = unit { " " span.unit { (unit) } }
            }
        }
    }
}
