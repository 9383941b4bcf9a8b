//! Between lines and reports.

use loggerhead_model::{Origin, Reading, Report, ReportBuilder, ReportFull, Timestamp};

use super::message::Entry;
use super::settings::{Settings, Word};

/// A report of what was said; `when` gives the time of an entry.
///
/// # Errors
/// `ReportFull` when it is more than a report holds.
pub(super) fn report(
    entries: &[Entry],
    settings: &Settings,
    mut when: impl FnMut(&Entry) -> Timestamp,
) -> Result<Report, ReportFull> {
    let text_bytes = entries.iter().flat_map(|entry| &entry.0).map(|(name, value)| name.len() + value.len()).sum();
    let values = entries.iter().map(|entry| entry.0.len()).sum();
    let mut builder = ReportBuilder::new(Origin::Live, text_bytes, values);
    let mut started = None;
    for entry in entries {
        let said = |word| entry.value(settings.name_of(word));
        let (own_meter, own_function) = (said(Word::Meter).unwrap_or_default(), said(Word::Function));
        let measured_at = when(entry);
        for (name, value) in &entry.0 {
            let is_value = name == settings.name_of(Word::Value);
            let (meter, function) = match (settings.channel(name), own_function) {
                (Some((meter, function)), _) => (if meter.is_empty() { own_meter } else { meter }, function),
                (None, Some(function)) if is_value => (own_meter, function),
                (None, _) if settings.takes_unnamed(name) => (own_meter, name.as_str()),
                (None, _) => continue,
            };
            if started.as_deref() != Some(meter) {
                builder.meter(meter, "")?;
                started = Some(meter.to_owned());
            }
            builder.reading(&Reading::plain(meter, function, value, measured_at))?;
        }
    }
    Ok(builder.finish())
}
