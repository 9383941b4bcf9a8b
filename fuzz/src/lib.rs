//! What must hold for any bytes and any order of events: the bodies of the fuzz targets, as plain functions.
//!
//! Each takes bytes that a fuzzer made up and panics when a rule is broken. `fuzz/run` drives them by coverage, the tests
//! here run them over the seeds. The first bytes of an input choose the protocol and its settings, so that one target
//! covers every row of the table.

mod choices;
mod config;
mod conversation;
mod explain;
mod logger;
mod peers;
mod sessions;
mod settings;

pub use config::config;
pub use conversation::conversation;
pub use explain::explain;
pub use logger::logger_body;
pub use sessions::{device, head_end};
pub use settings::settings;

/// The body of a target. Panics when a rule is broken.
pub type Target = fn(&[u8]);

/// Every target by name, for seeds and tests.
pub const TARGETS: [(&str, Target); 7] = [
    ("head_end", head_end),
    ("device", device),
    ("conversation", conversation),
    ("explain", explain),
    ("logger_body", logger_body),
    ("settings", settings),
    ("config", config),
];

/// Inputs of a target to begin with: recorded frames behind every choice of settings, and what else it reads.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "logger_body" => return logger::bodies(),
        "config" => return config::seeds(),
        _ => {}
    }
    let mut seeds: Vec<Vec<u8>> = peers::written_settings().map(|text| [b"\0", text.as_bytes()].concat()).collect();
    for (place, protocol) in (0..).zip(loggerhead_protocols::ALL) {
        for frame in peers::recorded_frames(protocol.name) {
            for settings in 0..peers::SETTINGS {
                for stage in 0..sessions::STAGES {
                    let mut seed = vec![place, settings, stage, 255];
                    seed.extend_from_slice(&frame);
                    seeds.push(seed);
                }
            }
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::TARGETS;
    use crate::peers::{bytes_of, hex_files};

    /// Recorded frames, alone and behind every choice of the first bytes.
    #[test]
    fn every_seed_keeps_the_rules() {
        for (name, target) in TARGETS {
            for seed in crate::seeds(name) {
                target(&seed);
            }
        }
    }

    /// What was found once, as `findings/TARGET-what-it-was.hex`.
    #[test]
    fn every_finding_stays_mended() {
        for path in hex_files(concat!(env!("CARGO_MANIFEST_DIR"), "/findings")) {
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("our own file names");
            let (target, _) = name.split_once('-').expect("a target and what it was");
            let (_, run) = TARGETS.into_iter().find(|(known, _)| *known == target).expect("a target");
            run(&bytes_of(&std::fs::read_to_string(&path).expect("the tree can be read")));
        }
    }
}
