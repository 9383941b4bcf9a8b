//! Between documents and reports: the root element is the meter, the rest of a path the function.
//!
//! `Robot/ActPos/@X` is the function `ActPos/@X` of the meter `Robot`. A value that is a document of its own, such as
//! `<Status>5</Status>`, is a function of the robot itself.

use loggerhead_model::{Origin, Reading, Report, ReportBuilder, ReportFull, Timestamp};

use super::frame::is_name;

/// The root element of simulated robots.
const ROOT: &str = "Robot";

/// A report of these values, by path.
///
/// # Errors
/// `ReportFull` when they are more than a report holds.
pub(super) fn report(values: &[(String, String)], measured_at: Timestamp) -> Result<Report, ReportFull> {
    let text_bytes = values.iter().map(|(path, value)| path.len() + value.len()).sum();
    let mut builder = ReportBuilder::new(Origin::Live, text_bytes, values.len());
    let mut started = None;
    for (path, value) in values {
        let (meter, function) = path.split_once('/').unwrap_or(("", path));
        if started != Some(meter) {
            builder.meter(meter, "")?;
            started = Some(meter);
        }
        builder.reading(&Reading::plain(meter, function, value, measured_at))?;
    }
    Ok(builder.finish())
}

/// The path under which a simulated robot sends a reading. What cannot stand in XML is replaced by `_`.
pub(super) fn path(reading: &Reading<'_>) -> String {
    let whole = if reading.meter == ROOT || reading.meter.is_empty() {
        format!("{ROOT}/{}", reading.function)
    } else {
        format!("{ROOT}/{}/{}", reading.meter, reading.function)
    };
    let (elements, attribute) =
        whole.split_once("/@").map_or((whole.as_str(), None), |(path, name)| (path, Some(name)));
    let mut path = elements.split('/').map(name).collect::<Vec<_>>().join("/");
    if let Some(attribute) = attribute {
        path.push_str("/@");
        path.push_str(&name(attribute));
    }
    path
}

fn name(text: &str) -> String {
    if is_name(text.as_bytes()) {
        return text.to_owned();
    }
    let legal = |sign: char| if sign.is_ascii_alphanumeric() || sign == '-' { sign } else { '_' };
    std::iter::once('_').chain(text.chars().map(legal)).collect()
}
