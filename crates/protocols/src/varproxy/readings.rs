//! Between the values of variables and readings: a structure is a reading for each part, as KRL names it.
//!
//! `$AXIS_ACT` = `{E6AXIS: A1 0.0, A2 -90.0}` is the functions `$AXIS_ACT.A1` and `$AXIS_ACT.A2` of the meter `KRL`.

use loggerhead_model::{Origin, Reading, Report, ReportBuilder, ReportFull, Timestamp};

/// The meter of a robot's variables.
const METER: &str = "KRL";
/// Structures within structures; those of robots have two.
const DEPTH_MAX: usize = 8;

/// A report of these variables.
///
/// # Errors
/// `ReportFull` when they are more than a report holds.
pub(super) fn report(variables: &[(String, String)], measured_at: Timestamp) -> Result<Report, ReportFull> {
    let mut parts = Vec::new();
    for (name, value) in variables {
        split(name, value.trim(), 0, &mut parts);
    }
    let text_bytes = parts.iter().map(|(name, value)| name.len() + value.len()).sum();
    let mut builder = ReportBuilder::new(Origin::Live, text_bytes, parts.len());
    builder.meter(METER, "")?;
    for (function, value) in &parts {
        builder.reading(&Reading::plain(METER, function, value, measured_at))?;
    }
    Ok(builder.finish())
}

/// Adds a value, or the parts of a structure. What cannot be split is one value.
fn split(name: &str, value: &str, depth: usize, parts: &mut Vec<(String, String)>) {
    let inside = value.strip_prefix('{').and_then(|value| value.strip_suffix('}')).filter(|_| depth < DEPTH_MAX);
    let Some(inside) = inside else {
        if let Some(array) = name.strip_suffix("[]").filter(|_| is_list(value)) {
            let elements = value.split_whitespace().enumerate();
            parts.extend(elements.map(|(place, element)| (format!("{array}[{}]", place + 1), element.to_owned())));
            return;
        }
        let plain = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        parts.push((name.to_owned(), plain.to_owned()));
        return;
    };
    // The type stands before a colon, unless that is within the first part.
    let fields = match inside.split_once(':') {
        Some((kind, fields)) if kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => fields,
        Some(_) | None => inside,
    };
    for field in fields_of(fields) {
        match field.trim().split_once(' ') {
            Some((part, value)) => split(&format!("{name}.{part}"), value.trim(), depth + 1, parts),
            None => parts.push((name.to_owned(), field.trim().to_owned())),
        }
    }
}

/// Whether a value is numbers parted by blanks, as the proxies tell an array.
fn is_list(value: &str) -> bool {
    value.contains(' ') && value.split_whitespace().all(|element| element.parse::<f64>().is_ok())
}

/// The fields of a structure: parted by commas that stand in no inner structure and no string.
fn fields_of(text: &str) -> Vec<&str> {
    let (mut depth, mut is_string, mut start, mut fields) = (0_usize, false, 0, Vec::new());
    for (place, sign) in text.char_indices() {
        match sign {
            '"' => is_string = !is_string,
            '{' if !is_string => depth += 1,
            '}' if !is_string => depth = depth.saturating_sub(1),
            ',' if !is_string && depth == 0 => {
                fields.push(text.get(start..place).unwrap_or_default());
                start = place + 1;
            }
            _ => {}
        }
    }
    fields.push(text.get(start..).unwrap_or_default());
    fields
}

#[cfg(test)]
mod tests {
    use loggerhead_model::Timestamp;

    use super::report;

    fn check(name: &str, value: &str, expected: &str) {
        let report = report(&[(name.to_owned(), value.to_owned())], Timestamp::from_unix_ms(0)).expect("room");
        let shown: Vec<String> =
            report.readings().map(|reading| format!("{}={}", reading.function, reading.value)).collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn a_structure_is_a_reading_for_each_of_its_parts() {
        check("$OV_PRO", "100", "$OV_PRO=100");
        check("$MODE_OP", "#T1", "$MODE_OP=#T1");
        check("$MODEL_NAME[]", "\"KR 6, R900\"", "$MODEL_NAME[]=KR 6, R900");
        check("$TIMER[]", "0 250 -3", "$TIMER[1]=0 $TIMER[2]=250 $TIMER[3]=-3");
        check("$TIMER[]", "0 x", "$TIMER[]=0 x");
        check("$AXIS_ACT", "{E6AXIS: A1 0.0, A2 -90.5}", "$AXIS_ACT.A1=0.0 $AXIS_ACT.A2=-90.5");
        check("P", "{A 1,B {C 2,D \"x,}\"}}", "P.A=1 P.B.C=2 P.B.D=x,}");
        check("P", "{", "P={");
        check("P", "{}", "P=");
        check(
            "P",
            &format!("{}1{}", "{A ".repeat(50), "}".repeat(50)),
            &format!("P{}={}1{}", ".A".repeat(8), "{A ".repeat(42), "}".repeat(42)),
        );
    }
}
