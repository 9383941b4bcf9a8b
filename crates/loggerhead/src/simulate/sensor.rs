//! Devices without a protocol: sensors that print what they measure, as JSON or as lines of any form.

use super::crowd::{Crowd, CrowdArgs};
use super::meters::{Meters, SENSOR};

/// What a line may say besides the values.
const WORDS: [&str; 4] = ["device", "secret", "sequence", "time"];

/// Options of `simulate raw`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SensorArgs {
    #[command(flatten)]
    pub(super) crowd: CrowdArgs,
    /// How many devices
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) devices: u32,
    /// Print such lines instead of JSON, with {temperature} and {humidity}, {device}, {secret}, {sequence} and {time} where they stand
    #[arg(long, value_name = "TEXT")]
    line: Option<String>,
    /// What answers a line; without {sequence} in it, lines are answered in their order [default: OK {sequence}]
    #[arg(long, value_name = "TEXT")]
    answer: Option<String>,
}

impl SensorArgs {
    /// Who they are.
    ///
    /// # Errors
    /// When lines have a word that no sensor knows, or several devices would be the same one.
    pub(super) fn who(&self) -> anyhow::Result<Crowd> {
        let mut settings = toml::Table::new();
        if let Some(line) = &self.line {
            if let Some(unknown) = words(line).find(|word| !WORDS.contains(word) && !SENSOR.contains(word)) {
                let known = [&SENSOR[..], &WORDS].concat().join(", ");
                anyhow::bail!("--line: {{{unknown}}} is nothing that a sensor tells, which is {known}");
            }
            if self.devices > 1 && !words(line).any(|word| word == "device") {
                anyhow::bail!(
                    "--devices {}: write {{device}} in --line, for nothing else tells them apart",
                    self.devices
                );
            }
            settings.insert("line".to_owned(), line.as_str().into());
        }
        if let Some(answer) = &self.answer {
            settings.insert("answer".to_owned(), answer.as_str().into());
        }
        let (count, meters) = (self.devices, Meters::sensor());
        Ok(Crowd { protocol: "raw", name_key: "identity", name: "sensor-", count, meters, settings })
    }
}

/// What stands in braces.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('{').skip(1).filter_map(|part| Some(part.split_once('}')?.0))
}
