//! What is in a store, as `export` shows it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::{loggerhead, printed};

/// A reading's identity: device, meter, function and time.
pub(crate) type Identity = (String, String, String, String);
/// Values as they came, by identity.
pub(crate) type Readings = BTreeMap<Identity, String>;

/// The values that `export` gives by identity; no identity may come twice.
pub(crate) fn exported(data: &Path) -> Readings {
    exported_by(loggerhead(), data)
}

/// As `exported`, with a command that runs the program with what is appended.
pub(crate) fn exported_by(mut command: Command, data: &Path) -> Readings {
    command.args(["export", "readings", "--format", "csv", "--data"]).arg(data);
    let text = printed(&command.output().expect("the binary was built for this test"));
    let mut lines = text.lines();
    table(lines.next().unwrap_or_default(), lines)
}

/// The values in a simulation's journal by identity; no identity may be acknowledged twice.
pub(crate) fn journalled(journal: &[String]) -> Readings {
    let (header, lines) = journal.split_first().expect("a journal has a header");
    table(header, lines.iter().map(String::as_str))
}

/// Fails when something acknowledged is not stored as it was sent, or something else is stored. When the devices were
/// told to finish, everything that they sent was acknowledged.
pub(crate) fn assert_same(stored: &Readings, acknowledged: &Readings) {
    for (reading, value) in acknowledged {
        assert_eq!(stored.get(reading), Some(value), "an acknowledged reading: {reading:?}");
    }
    if let Some(more) = stored.keys().find(|reading| !acknowledged.contains_key(*reading)) {
        panic!("{more:?} is stored but was never acknowledged");
    }
}

fn table<'a>(header: &str, lines: impl Iterator<Item = &'a str>) -> Readings {
    let columns: Vec<&str> = header.split(',').collect();
    let column = |name: &str| {
        columns.iter().position(|column| *column == name).unwrap_or_else(|| panic!("no column {name} in {header:?}"))
    };
    let places = ["device", "meter", "function", "measured_at", "text"].map(column);
    let mut values = BTreeMap::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let [device, meter, function, measured_at, value] =
            places.map(|place| cells.get(place).copied().unwrap_or_default().to_owned());
        let twice = values.insert((device, meter, function, measured_at), value);
        assert!(twice.is_none(), "a reading is there twice: {line}");
    }
    values
}
