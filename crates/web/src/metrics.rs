//! The figures of head-end, store and API in the text form that Prometheus reads (version 0.0.4).

use std::fmt::{Display, Write};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use loggerhead_headend::{Histogram, Metrics, ProtocolMetrics};
use loggerhead_store::StoreHealth;

use crate::state::Api;

/// The media type of the text form.
const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a figure is.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A text of metric families.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Starts a family: every sample of one name stands together, below its help.
    fn family(&mut self, kind: Kind, name: &str, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.0.push(if place == 0 { '{' } else { ',' });
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.line(format_args!("{label}=\"{text}\""));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.line(format_args!(" {value}\n"));
    }

    /// A family of one sample without labels.
    fn single(&mut self, kind: Kind, name: &str, help: &str, value: impl Display) {
        self.family(kind, name, help);
        self.sample(name, &[], value);
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let with = |bound: &str, text: &mut Self, count: u64| {
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
            text.sample(&bucket, &labels, count);
        };
        for (bound, count) in &histogram.buckets {
            with(&bound.to_string(), self, *count);
        }
        with("+Inf", self, histogram.count);
        self.sample(&format!("{name}_sum"), labels, histogram.sum_seconds);
        self.sample(&format!("{name}_count"), labels, histogram.count);
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a text takes everything");
    }
}

/// One figure of every protocol.
type Figure = fn(&ProtocolMetrics) -> u64;
/// One figure of every protocol, by a word.
type Figures = fn(&ProtocolMetrics) -> &[(&'static str, u64)];

const FIGURES: [(Kind, &str, &str, Figure); 12] = [
    (Kind::Gauge, "connections_open", "Connections that are open now.", |row| row.connections_open),
    (Kind::Counter, "connections_accepted_total", "Connections that were accepted.", |row| row.connections_accepted),
    (
        Kind::Counter,
        "handshakes_failed_total",
        "TLS handshakes and PROXY headers that failed or took too long.",
        |row| row.handshakes_failed,
    ),
    (Kind::Counter, "datagrams_dropped_total", "Datagrams that found no room.", |row| row.datagrams_dropped),
    (Kind::Counter, "logins_total", "Devices let in.", |row| row.logins),
    (Kind::Counter, "received_bytes_total", "Bytes received from devices.", |row| row.bytes_in),
    (Kind::Counter, "sent_bytes_total", "Bytes sent to devices.", |row| row.bytes_out),
    (Kind::Counter, "packets_total", "Packets that asked to be stored.", |row| row.packets),
    (Kind::Counter, "readings_total", "Readings in those packets, resent ones too.", |row| row.readings),
    (Kind::Counter, "packets_stored_total", "Packets that are stored.", |row| row.packets_stored),
    (Kind::Counter, "packets_not_stored_total", "Packets that could not be stored and were not acknowledged.", |row| {
        row.packets_not_stored
    }),
    (Kind::Counter, "sends_total", "Writes to devices.", |row| row.sends),
];

const WORD_FIGURES: [(&str, &str, &str, Figures); 5] = [
    ("connections_limited_total", "Connections closed at once because a limit was reached.", "limit", |row| {
        &row.connections_limited
    }),
    ("messages_dropped_total", "Messages that were dropped because too many waited.", "cause", |row| {
        &row.messages_dropped
    }),
    ("refusals_total", "Claims of devices that were not believed.", "reason", |row| &row.refusals),
    ("faults_total", "Times that a peer broke the rules of its protocol.", "kind", |row| &row.faults),
    ("events_total", "Events, stored or not.", "kind", |row| &row.events),
];

fn protocols(text: &mut Text, rows: &[ProtocolMetrics]) {
    for (kind, name, help, figure) in FIGURES {
        let name = format!("loggerhead_{name}");
        text.family(kind, &name, help);
        for row in rows {
            text.sample(&name, &[("protocol", row.protocol)], figure(row));
        }
    }
    for (name, help, label, figures) in WORD_FIGURES {
        let name = format!("loggerhead_{name}");
        text.family(Kind::Counter, &name, help);
        for row in rows {
            for (word, count) in figures(row) {
                text.sample(&name, &[("protocol", row.protocol), (label, word)], count);
            }
        }
    }
    let name = "loggerhead_ack_seconds";
    text.family(
        Kind::Histogram,
        name,
        "From a packet's bytes to its acknowledgement written, the commit between them.",
    );
    for row in rows {
        text.histogram(name, &[("protocol", row.protocol)], &row.ack_latency);
    }
    let name = "loggerhead_datagram_answer_seconds";
    text.family(
        Kind::Histogram,
        name,
        "From the moment at which the system had a datagram to what was sent back for it.",
    );
    for row in rows {
        text.histogram(name, &[("protocol", row.protocol)], &row.answer_latency);
    }
}

fn headend(text: &mut Text, metrics: &Metrics) {
    protocols(text, &metrics.protocols);
    text.family(Kind::Gauge, "loggerhead_devices", "Devices by presence.");
    for (state, count) in &metrics.devices {
        text.sample("loggerhead_devices", &[("presence", state)], count);
    }
    text.family(Kind::Gauge, "loggerhead_commands", "Commands that are remembered, by state.");
    for (state, count) in &metrics.commands {
        text.sample("loggerhead_commands", &[("state", state)], count);
    }
    let rows: [(Kind, &str, &str, u64); 5] = [
        (Kind::Counter, "accept_errors_total", "Times that accepting a connection failed.", metrics.accept_errors),
        (Kind::Counter, "events_dropped_total", "Events counted but not stored.", metrics.events_dropped),
        (Kind::Gauge, "journal_queue", "Changes that wait to be written.", metrics.journal_queue),
        (Kind::Gauge, "subscribers", "Subscribers of the live stream.", metrics.subscribers),
        (
            Kind::Counter,
            "subscriber_gaps_total",
            "Times that a subscriber fell behind and had to read the store.",
            metrics.subscriber_gaps,
        ),
    ];
    for (kind, name, help, value) in rows {
        text.single(kind, &format!("loggerhead_{name}"), help, value);
    }
}

fn store(text: &mut Text, health: &StoreHealth) {
    let up = u64::from(health.is_ok());
    text.single(Kind::Gauge, "loggerhead_store_up", "1 while the store can write, 0 while it cannot.", up);
    let rows: [(Kind, &str, &str, u64); 14] = [
        (Kind::Gauge, "queued_submissions", "Packets that wait for the writer.", health.queued_submissions as u64),
        (Kind::Gauge, "queued_readings", "Readings that wait for the writer.", health.queued_readings as u64),
        (Kind::Counter, "batches_total", "Batches ever committed.", health.cursor.number()),
        (Kind::Counter, "failures_total", "Commits that failed.", health.failures),
        (Kind::Counter, "readings_total", "Readings stored.", health.readings),
        (Kind::Counter, "resent_total", "Readings sent again with the same value.", health.resent),
        (Kind::Counter, "conflicts_total", "Readings sent again with another value.", health.conflicts),
        (Kind::Gauge, "hot_readings", "Readings not sealed yet.", health.hot_readings as u64),
        (Kind::Counter, "refused_total", "Packets not stored because of a limit.", health.refused),
        (Kind::Gauge, "damage", "Damaged parts found since the start.", health.damage.len() as u64),
        (Kind::Gauge, "devices", "Devices known.", health.devices as u64),
        (Kind::Gauge, "channels", "Channels known.", health.channels as u64),
        (Kind::Gauge, "tags", "Different tags of readings known.", health.tags as u64),
        (Kind::Gauge, "database_bytes", "Bytes of the database file.", health.database_bytes),
    ];
    for (kind, name, help, value) in rows {
        text.single(kind, &format!("loggerhead_store_{name}"), help, value);
    }
    text.single(Kind::Gauge, "loggerhead_store_wal_bytes", "Bytes of the write-ahead log.", health.wal_bytes);
    let commit = "How long the last commit took with its sync.";
    text.single(Kind::Gauge, "loggerhead_store_commit_seconds", commit, health.commit_ms / 1e3);
    let longest = "The longest commit so far.";
    text.single(Kind::Gauge, "loggerhead_store_commit_seconds_max", longest, health.commit_ms_max / 1e3);
}

fn api(text: &mut Text, api: &Api) {
    let name = "loggerhead_api_answers_total";
    text.family(Kind::Counter, name, "Answers of the API by route and status.");
    for ((route, status), count) in api.figures().answers() {
        text.sample(name, &[("route", &route), ("status", &status.to_string())], count);
    }
    let figures = api.figures();
    let name = "loggerhead_api_streamed_total";
    text.family(Kind::Counter, name, "Ranges and files: taken whole, or cut because whoever asked went away.");
    text.sample(name, &[("end", "whole")], figures.streamed_whole.value());
    text.sample(name, &[("end", "cut")], figures.streamed_cut.value());
    let rows: [(Kind, &str, &str, u64); 7] = [
        (Kind::Counter, "queries_total", "Questions that were put to the store.", figures.queries.value()),
        (Kind::Counter, "wrong_tokens_total", "Requests with a wrong token.", figures.wrong_tokens.value()),
        (Kind::Counter, "throttled_total", "Requests refused unheard after wrong tokens.", figures.throttled.value()),
        (
            Kind::Counter,
            "busy_total",
            "Requests and streams refused because a limit was reached.",
            figures.busy.value(),
        ),
        (
            Kind::Counter,
            "connections_evicted_total",
            "Idle connections that made place for new ones.",
            figures.evicted.value(),
        ),
        (Kind::Counter, "connections_refused_total", "Connections that found no place.", figures.turned_away.value()),
        (Kind::Gauge, "streams_open", "Live streams that are open now.", api.streams_open() as u64),
    ];
    for (kind, name, help, value) in rows {
        text.single(kind, &format!("loggerhead_api_{name}"), help, value);
    }
    text.family(Kind::Gauge, "loggerhead_build_info", "Always 1; the version is in the label.");
    text.sample("loggerhead_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let started = std::time::Duration::from_millis(u64::try_from(api.started_at().unix_ms()).unwrap_or(0));
    let help = "When the API started, in seconds since 1970.";
    text.single(Kind::Gauge, "loggerhead_start_time_seconds", help, started.as_secs_f64());
}

/// All figures, as Prometheus reads them.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    operation_id = "show_metrics",
    responses((status = 200, description = "Metric families with HELP and TYPE.", body = String,
        content_type = "text/plain; version=0.0.4"))
)]
pub(crate) async fn show(State(state): State<Api>) -> Response {
    let mut text = Text::default();
    headend(&mut text, &state.headend().metrics());
    store(&mut text, &state.headend().store().health());
    api(&mut text, &state);
    ([(header::CONTENT_TYPE, TEXT_TYPE)], text.0).into_response()
}

#[cfg(test)]
mod tests {
    use loggerhead_headend::{Histogram, Metrics, ProtocolMetrics};
    use loggerhead_store::StoreHealth;

    use super::{Kind, Text, headend, store};

    #[test]
    fn labels_and_help_are_escaped() {
        let mut text = Text::default();
        text.family(Kind::Gauge, "name", "back\\slash\nline");
        text.sample("name", &[("a", "quote\" back\\ line\n"), ("b", "")], 1.5);
        assert_eq!(
            text.0,
            "# HELP name back\\\\slash\\nline\n# TYPE name gauge\nname{a=\"quote\\\" back\\\\ line\\n\",b=\"\"} 1.5\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_everything() {
        let mut text = Text::default();
        let histogram = Histogram { buckets: vec![(0.001, 1), (0.5, 3)], count: 4, sum_seconds: 2.25 };
        text.histogram("h", &[("p", "x")], &histogram);
        let expected = [
            r#"h_bucket{p="x",le="0.001"} 1"#,
            r#"h_bucket{p="x",le="0.5"} 3"#,
            r#"h_bucket{p="x",le="+Inf"} 4"#,
            r#"h_sum{p="x"} 2.25"#,
            r#"h_count{p="x"} 4"#,
        ];
        assert_eq!(text.0.lines().collect::<Vec<_>>(), expected);
    }

    /// Every family once, with help and type before its samples, and counters named so.
    #[test]
    fn families_are_well_formed() {
        let mut text = Text::default();
        let row = ProtocolMetrics { protocol: "logger", refusals: vec![("unknown", 2)], ..ProtocolMetrics::default() };
        let metrics = Metrics { protocols: vec![row], devices: vec![("never", 1)], ..Metrics::default() };
        headend(&mut text, &metrics);
        store(&mut text, &StoreHealth::default());
        let (mut families, mut kind) = (Vec::new(), "");
        for line in text.0.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let name = rest.split(' ').next().expect("a name");
                assert!(!families.contains(&name), "{name} twice");
                families.push(name);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, word) = rest.split_once(' ').expect("a name and a type");
                assert_eq!(families.last(), Some(&name));
                assert_eq!(name.ends_with("_total"), word == "counter", "{line}");
                kind = word;
            } else {
                let family = *families.last().expect("a family came first");
                let name = line.split(['{', ' ']).next().expect("a name");
                let fits = name == family || (kind == "histogram" && name.starts_with(family));
                assert!(fits, "{line} stands below {family}");
                let value = line.rsplit(' ').next().expect("a value");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }
}
