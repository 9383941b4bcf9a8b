//! Between states and reports: the values of a state are readings of the meter `Rob`, and what was counted of the meter `RSI`.

use loggerhead_model::{Origin, Reading, Report, ReportBuilder, ReportFull, Timestamp};

/// The meter of what robots send; the root of their documents.
const ROBOT: &str = "Rob";
/// The meter of what is counted here.
const INTERFACE: &str = "RSI";

/// A report of these values, by path, and of these figures.
///
/// # Errors
/// `ReportFull` when they are more than a report holds.
pub(super) fn report(
    values: &[(String, String)],
    figures: &[(&str, u64)],
    measured_at: Timestamp,
) -> Result<Report, ReportFull> {
    let text_bytes = values.iter().map(|(path, value)| path.len() + value.len()).sum();
    let mut builder = ReportBuilder::new(Origin::Live, text_bytes, values.len() + figures.len());
    builder.meter(ROBOT, "")?;
    for (path, value) in values {
        builder.reading(&Reading::plain(ROBOT, path, value, measured_at))?;
    }
    builder.meter(INTERFACE, "")?;
    for (name, figure) in figures {
        builder.reading(&Reading::plain(INTERFACE, name, &figure.to_string(), measured_at))?;
    }
    Ok(builder.finish())
}
