//! What must hold for any bytes and any order of events: the bodies of the fuzz targets, as plain functions.
//!
//! Each takes bytes that a fuzzer made up and panics when a rule is broken. `fuzz/run` drives them by coverage, the tests
//! here run them over the seeds. The first bytes of an input choose the protocol and its settings, so that one target
//! covers every row of the table.

mod choices;
mod conversation;
mod explain;
mod logger;
mod peers;
mod sessions;
mod settings;

pub use conversation::conversation;
pub use explain::explain;
pub use logger::logger_body;
pub use sessions::{device, head_end};
pub use settings::settings;

/// The body of a target. Panics when a rule is broken.
pub type Target = fn(&[u8]);

/// Every target by name, for seeds and tests.
pub const TARGETS: [(&str, Target); 6] = [
    ("head_end", head_end),
    ("device", device),
    ("conversation", conversation),
    ("explain", explain),
    ("logger_body", logger_body),
    ("settings", settings),
];

/// Inputs to begin with: recorded frames behind every choice of settings.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = peers::written_settings().map(|text| [b"\0", text.as_bytes()].concat()).collect();
    for frame in peers::recorded_frames() {
        for settings in 0..peers::SETTINGS {
            for stage in 0..sessions::STAGES {
                let mut seed = vec![0, settings, stage, 255];
                seed.extend_from_slice(&frame);
                seeds.push(seed);
            }
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::TARGETS;

    /// Recorded frames, alone and behind every choice of the first bytes.
    #[test]
    fn every_seed_keeps_the_rules() {
        for (_, target) in TARGETS {
            for seed in crate::seeds() {
                target(&seed);
            }
        }
    }
}
