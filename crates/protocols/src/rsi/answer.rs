//! The answer to a cycle, and the corrections in it: zero, unless one was asked for, is allowed, and has not run out.

use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{ControlLine, Order};

use super::message::write;
use super::settings::{Correction, Settings};
use crate::wire::hex;

/// What is asked for at the moment.
#[derive(Debug, Default)]
pub(super) struct Corrections {
    /// One for each correction of the settings; none where it is zero.
    asked: Vec<Option<Asked>>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    value: f64,
    lasts: Lasts,
}

/// How long a correction is sent.
#[derive(Clone, Copy, Debug)]
enum Lasts {
    /// With the next answer and no other.
    Once,
    /// With every answer before that.
    Until(Duration),
}

impl Corrections {
    /// All are zero again.
    pub(super) fn clear(&mut self) {
        self.asked.clear();
    }

    /// Takes in what an order asks for: all of it, or nothing. Tells what was taken.
    ///
    /// # Errors
    /// Why the robot cannot be asked this.
    pub(super) fn take(&mut self, order: &Order, settings: &Settings, now: Duration) -> Result<String, String> {
        let Order::Control { lines } = order else {
            return Err("a robot takes only corrections: send a control order".to_owned());
        };
        if settings.only_send {
            return Err("the robot is not answered: `only_send` is set".to_owned());
        }
        if lines.is_empty() {
            return Err("nothing to correct".to_owned());
        }
        let taken = lines.iter().map(|line| correction(line, settings, now)).collect::<Result<Vec<_>, _>>()?;
        self.asked.resize(settings.corrections.len(), None);
        let mut told = Vec::with_capacity(taken.len());
        for (place, asked, text) in taken {
            if let Some(held) = self.asked.get_mut(place) {
                *held = Some(asked);
            }
            told.push(text);
        }
        Ok(told.join(", "))
    }

    /// The answer to one cycle.
    pub(super) fn answer(&mut self, ipoc: &str, settings: &Settings, now: Duration) -> Bytes {
        let mut written: Vec<String> = Vec::with_capacity(settings.corrections.len());
        for place in 0..settings.corrections.len() {
            let value = self.asked.get_mut(place).map_or(0.0, |asked| due(asked, now));
            written.push(format!("{value:.4}"));
        }
        let paths = settings.corrections.iter().map(|correction| correction.element.as_str());
        let mut values: Vec<(&str, &str)> = paths.zip(written.iter().map(String::as_str)).collect();
        values.push(("IPOC", ipoc));
        write("Sen", ("Type", &settings.sen_type), &values).into()
    }
}

/// The value to send now. What has run out is forgotten.
fn due(asked: &mut Option<Asked>, now: Duration) -> f64 {
    match *asked {
        Some(Asked { value, lasts: Lasts::Until(until) }) if now < until => value,
        Some(Asked { value, lasts: Lasts::Once }) => {
            *asked = None;
            value
        }
        Some(_) | None => {
            *asked = None;
            0.0
        }
    }
}

fn correction(line: &ControlLine, settings: &Settings, now: Duration) -> Result<(usize, Asked, String), String> {
    let found = settings.corrections.iter().enumerate().find(|(_, known)| known.element == line.meter);
    let Some((place, Correction { element, max })) = found else {
        let path = &line.meter;
        return Err(format!("{path} may not be corrected: `corrections` in the robot's settings does not name it"));
    };
    let text = hex(&line.hex).and_then(|bytes| String::from_utf8(bytes).ok());
    let value = text.and_then(|text| text.trim().parse::<f64>().ok()).filter(|value| value.is_finite());
    let wanted = value.ok_or_else(|| format!("{element}: the value is no number"))?;
    let value = wanted.clamp(-max, *max);
    let lasts_ms = u64::from(line.timeout_ms).min(settings.correction_ms_max);
    let (lasts, how_long) = match lasts_ms {
        0 => (Lasts::Once, "one cycle".to_owned()),
        ms => (Lasts::Until(now + Duration::from_millis(ms)), format!("{ms} ms")),
    };
    let is_clamped = value.total_cmp(&wanted).is_ne();
    let clamped = if is_clamped { format!(" (asked for {wanted})") } else { String::new() };
    Ok((place, Asked { value, lasts }, format!("{element} {value} for {how_long}{clamped}")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loggerhead_model::{ControlLine, Order};

    use super::{Corrections, Settings};

    const MS: Duration = Duration::from_millis(1);

    fn settings() -> Settings {
        let text = "correction_ms_max = 100\n\
                    corrections = [{ element = 'RKorr/@X', max = 0.5 }, { element = 'RKorr/@Y', max = 0 }]";
        Settings::default().with(&text.parse().expect("TOML")).expect("settings")
    }

    fn order(path: &str, value: &str, timeout_ms: u32) -> Order {
        let hex = value.bytes().flat_map(|byte| format!("{byte:02x}").into_bytes()).map(char::from).collect();
        Order::Control { lines: vec![ControlLine { meter: path.to_owned(), hex, timeout_ms, retries: 0 }] }
    }

    /// What is told of an order, and the X of the answers at these times.
    fn check(order: &Order, told: Result<&str, &str>, at: &[(u64, &str)]) {
        let (settings, mut corrections) = (settings(), Corrections::default());
        match (corrections.take(order, &settings, Duration::ZERO), told) {
            (Ok(text), told) => assert_eq!(Ok(text.as_str()), told),
            (Err(reason), told) => assert!(told.is_err_and(|part| reason.contains(part)), "{reason}"),
        }
        for (ms, x) in at {
            let answer = corrections.answer("07", &settings, MS * u32::try_from(*ms).expect("small"));
            let expected = format!("<Sen Type=\"ImFree\"><RKorr X=\"{x}\" Y=\"0.0000\"/><IPOC>07</IPOC></Sen>");
            assert_eq!(answer, expected);
        }
    }

    #[test]
    fn corrections_are_zero_unless_an_order_sets_an_allowed_one_for_a_while() {
        check(
            &order("RKorr/@X", "0.25", 8),
            Ok("RKorr/@X 0.25 for 8 ms"),
            &[(0, "0.2500"), (4, "0.2500"), (8, "0.0000")],
        );
        check(&order("RKorr/@X", "-0.1", 0), Ok("RKorr/@X -0.1 for one cycle"), &[(500, "-0.1000"), (504, "0.0000")]);
        check(&order("RKorr/@Z", "0.1", 8), Err("may not be corrected"), &[(0, "0.0000")]);
        check(&order("RKorr/@X", "NaN", 8), Err("no number"), &[(0, "0.0000")]);
        check(&order("RKorr/@X", "inf", 8), Err("no number"), &[(0, "0.0000")]);
        check(&Order::Describe, Err("control order"), &[(0, "0.0000")]);
        check(&Order::Control { lines: Vec::new() }, Err("nothing"), &[]);
    }

    #[test]
    fn corrections_are_clamped_in_size_and_in_time() {
        let at = [(99, "0.5000"), (100, "0.0000")];
        check(&order("RKorr/@X", "7", 60_000), Ok("RKorr/@X 0.5 for 100 ms (asked for 7)"), &at);
        check(
            &order("RKorr/@X", "-1e300", 4),
            Ok(&format!("RKorr/@X -0.5 for 4 ms (asked for -1{:0300})", 0)),
            &[(0, "-0.5000")],
        );
        check(&order("RKorr/@Y", "1", 4), Ok("RKorr/@Y 0 for 4 ms (asked for 1)"), &[(0, "0.0000")]);
    }

    #[test]
    fn one_line_that_cannot_be_leaves_all_as_it_was() {
        let Order::Control { mut lines } = order("RKorr/@X", "0.1", 8) else { unreachable!("it is one") };
        let Order::Control { lines: wrong } = order("RKorr/@Z", "0.1", 8) else { unreachable!("it is one") };
        lines.extend(wrong);
        check(&Order::Control { lines }, Err("RKorr/@Z"), &[(0, "0.0000")]);
    }
}
