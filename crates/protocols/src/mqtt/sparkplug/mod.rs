//! Sparkplug B: what edge nodes of others report, and readings of all devices as edge nodes of ours.
//!
//! Here are its topics; payloads are in `payload.rs`, what comes in in `edges.rs`, what goes out in `view.rs`.

pub(super) mod edges;
pub(super) mod payload;
pub(super) mod view;
mod wire;

/// The first level of topics of this version. Source: \[5\] §4.
pub(super) const NAMESPACE: &str = "spBv1.0/";
/// The metric that numbers the sessions of an edge node. Source: \[5\] §5.4.
const BD_SEQ: &str = "bdSeq";
/// The metric by which an edge node is asked to be born again. Source: \[5\] §6.4.16.
const REBIRTH: &str = "Node Control/Rebirth";

/// What a message of an edge node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What there is, with all names.
    Birth,
    /// What has changed.
    Data,
    /// That it is gone.
    Death,
}

/// A topic under which an edge node reports: `spBv1.0/GROUP/KIND/EDGE` or, of a device behind it, `spBv1.0/GROUP/KIND/EDGE/DEVICE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Topic<'a> {
    pub(super) group: &'a str,
    pub(super) kind: Kind,
    pub(super) edge: &'a str,
    /// None for the edge node itself.
    pub(super) device: Option<&'a str>,
}

impl<'a> Topic<'a> {
    /// `None` for every topic under which no edge node reports, such as those of commands and of hosts' states.
    pub(super) fn of(topic: &'a str) -> Option<Self> {
        let mut levels = topic.strip_prefix(NAMESPACE)?.split('/');
        let (group, kind, edge, device) = (levels.next()?, levels.next()?, levels.next()?, levels.next());
        let kind = match (kind, device) {
            ("NBIRTH", None) | ("DBIRTH", Some(_)) => Kind::Birth,
            ("NDATA", None) | ("DDATA", Some(_)) => Kind::Data,
            ("NDEATH", None) | ("DDEATH", Some(_)) => Kind::Death,
            _ => return None,
        };
        let is_whole = levels.next().is_none() && ![group, edge, device.unwrap_or("-")].contains(&"");
        is_whole.then_some(Self { group, kind, edge, device })
    }

    /// What an operator reads when it is gone.
    pub(super) fn goodbye(&self) -> String {
        format!("{} says goodbye", self.meter())
    }

    /// The name under which its readings are stored: `GROUP/EDGE` or `GROUP/EDGE/DEVICE`.
    fn meter(&self) -> String {
        let Self { group, edge, .. } = self;
        self.device.map_or_else(|| format!("{group}/{edge}"), |device| format!("{group}/{edge}/{device}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Topic};

    #[test]
    fn a_topic_says_who_reports_what() {
        let topic = |kind, device| Some(Topic { group: "g", kind, edge: "e", device });
        for (text, expected) in [
            ("spBv1.0/g/NBIRTH/e", topic(Kind::Birth, None)),
            ("spBv1.0/g/DDATA/e/d", topic(Kind::Data, Some("d"))),
            ("spBv1.0/g/DDEATH/e/d", topic(Kind::Death, Some("d"))),
            ("spBv1.0/g/NDATA/e/d", None),
            ("spBv1.0/g/DDATA/e", None),
            ("spBv1.0/g/DDATA/e/d/x", None),
            ("spBv1.0/g/NBIRTH/", None),
            ("spBv1.0/g/NCMD/e", None),
            ("spBv1.0/STATE/host", None),
            ("spAv1.0/g/NBIRTH/e", None),
        ] {
            assert_eq!(Topic::of(text), expected, "{text}");
        }
    }
}
