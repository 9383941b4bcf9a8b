//! How things look: times, spans, sizes, numbers, states.

use loggerhead_model::{Evidence, Presence, Severity, Timestamp};
use maud::{Markup, html};

use super::texts::Texts;

/// How a time is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Date and time, in the viewer's zone.
    Moment,
    /// How long ago; kept up to date by a script.
    Age,
}

/// A moment of our clock. A script shows it in the viewer's zone; without scripts it is UTC.
pub(super) fn time(at: Timestamp, look: Look) -> Markup {
    let word = match look {
        Look::Moment => "moment",
        Look::Age => "age",
    };
    html! { time datetime=(at) data-look=(word) { (plain(at)) } }
}

/// A moment of a device's clock, that is marked as such on hover.
pub(super) fn device_time(at: Timestamp, look: Look) -> Markup {
    let word = match look {
        Look::Moment => "moment",
        Look::Age => "age",
    };
    html! { time datetime=(at) data-look=(word) data-clock="device" { (plain(at)) } }
}

/// `2026-01-31 15:59:59 UTC`.
fn plain(at: Timestamp) -> String {
    let text = at.to_string();
    let (day, clock) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {} UTC", clock.get(..8).unwrap_or(clock))
}

/// `1,234,567`, with thin blanks that no language reads wrongly.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1.4 GiB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit_name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {unit_name}") }
}

/// A state of presence as a mark and a word.
pub(super) fn presence(texts: &Texts, presence: Presence) -> Markup {
    let word = presence.word();
    html! { span.state data-state=(word) { (texts.t(&format!("presence.{word}"))) } }
}

/// A severity as a mark and a word.
pub(super) fn severity(texts: &Texts, severity: Severity) -> Markup {
    let word = severity_word(severity);
    html! { span.state data-state=(word) { (texts.t(&format!("severity.{word}"))) } }
}

/// The word for a severity.
pub(super) const fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// What a state rests on, as a sentence: "silent since 09:14, connected from …".
pub(super) fn evidence(texts: &Texts, evidence: &Evidence) -> Markup {
    let unknown = || html! { (texts.t("time.unknown")) };
    let moment = |at: Option<Timestamp>| at.map_or_else(unknown, |at| time(at, Look::Moment));
    let since = moment(evidence.since);
    let heard = moment(evidence.last_bytes_at);
    let age = evidence.last_bytes_at.map_or_else(unknown, |at| time(at, Look::Age));
    match evidence.presence {
        Presence::ConnectedFresh => texts.phrase("evidence.connected-fresh", &[("since", since), ("age", age)]),
        Presence::ConnectedSilent => texts.phrase("evidence.connected-silent", &[("heard", heard), ("age", age)]),
        Presence::Offline => {
            let reason = evidence.closed_because.as_deref().unwrap_or(texts.t("reason.unknown"));
            let reason = closing(texts, reason);
            texts.phrase("evidence.offline", &[("since", since), ("reason", reason), ("heard", heard)])
        }
        Presence::Never => html! { (texts.t("evidence.never")) },
    }
}

/// The reason of a session's end in the viewer's language, where it is one that we know.
fn closing(texts: &Texts, reason: &str) -> Markup {
    texts.find(&format!("reason.{reason}")).map_or_else(|| texts.said(reason), |known| html! { (known) })
}

#[cfg(test)]
mod tests {
    use super::{bytes, number};

    #[test]
    fn numbers_are_grouped_and_sizes_have_units() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_503_238_554), "1.4 GiB");
    }
}
