//! The device's clock as text: fourteen digits in a zone that no message names. Source: \[1\] annex 4; other forms: \[2\], \[3\].

use loggerhead_model::Timestamp;

use crate::SettingsError;

/// Milliseconds in a day.
const DAY_MS: i64 = 86_400_000;
/// Farthest zone from Greenwich that exists, in seconds.
const ZONE_SECONDS_MAX: i32 = 14 * 3600;

/// The zone of all times in a listener's messages, as a fixed distance from Greenwich.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Seconds east of Greenwich.
    east_s: i32,
}

impl Default for Zone {
    /// China's time, +08:00.
    fn default() -> Self {
        Self { east_s: 8 * 3600 }
    }
}

impl Zone {
    /// Reads `+08:00`, `-03:30` or `Z`.
    ///
    /// # Errors
    /// `SettingsError` on every other text and on a distance over 14 hours.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let refused = || SettingsError {
            key: "time_zone".to_owned(),
            reason: format!("{text:?} is not a distance from Greenwich such as +08:00"),
        };
        if text == "Z" {
            return Ok(Self { east_s: 0 });
        }
        let &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = text.as_bytes() else { return Err(refused()) };
        let number = |high, low| Some(digit(high)? * 10 + digit(low)?);
        let (hours, minutes) = number(h1, h2).zip(number(m1, m2)).filter(|&(_, m)| m < 60).ok_or_else(refused)?;
        let east_s = i32::try_from(hours * 3600 + minutes * 60).map_err(|_| refused())?;
        if east_s > ZONE_SECONDS_MAX {
            return Err(refused());
        }
        Ok(Self { east_s: if sign == b'-' { -east_s } else { east_s } })
    }

    /// Reads a device's time: `20260102030405`; also without seconds, with `-`, `/`, `:`, `T` or blanks between, and with a
    /// fraction, of which milliseconds are kept. `None` for everything else.
    #[must_use]
    pub fn read(self, text: &str) -> Option<Timestamp> {
        let (digits, fraction_ms) = match <&[u8; 14]>::try_from(text.as_bytes()) {
            Ok(digits) => (*digits, 0),
            Err(_) => collect(text.trim())?,
        };
        let mut fields = [0_i64; 6];
        let mut rest = digits.as_slice();
        for (field, width) in fields.iter_mut().zip([4_usize, 2, 2, 2, 2, 2]) {
            let (head, tail) = rest.split_at_checked(width)?;
            for &byte in head {
                *field = *field * 10 + digit(byte)?;
            }
            rest = tail;
        }
        let [year, month, day, hour, minute, second] = fields;
        let legal = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        let seconds = hour * 3600 + minute * 60 + second - i64::from(self.east_s);
        legal
            .then(|| Timestamp::from_unix_ms(days_from_civil(year, month, day) * DAY_MS + seconds * 1000 + fraction_ms))
    }

    /// Fourteen digits, as devices want them; those that set their clock by it count the digits.
    #[must_use]
    pub fn write(self, time: Timestamp) -> [u8; 14] {
        let local = time.unix_ms().saturating_add(i64::from(self.east_s) * 1000);
        let (year, month, day) = civil_from_days(local.div_euclid(DAY_MS));
        let second = local.rem_euclid(DAY_MS) / 1000;
        let mut digits = [b'0'; 14];
        let mut number = [year.clamp(0, 9999), month, day, second / 3600, second / 60 % 60, second % 60]
            .into_iter()
            .fold(0_i64, |number, field| number * 100 + field);
        for place in digits.iter_mut().rev() {
            *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
        digits
    }
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

/// The digits of a time that is written in another way, and its milliseconds.
fn collect(text: &str) -> Option<([u8; 14], i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut digits = [b'0'; 14];
    let mut places = digits.iter_mut();
    let mut count = 0;
    // A field of one digit, as in 2026/1/2, has lost its zero.
    for field in whole.split(|character: char| !character.is_ascii_digit()) {
        if field.len() == 1 {
            places.next()?;
            count += 1;
        }
        for byte in field.bytes() {
            *places.next()? = byte;
            count += 1;
        }
    }
    let only = |character: char| character.is_ascii_digit() || matches!(character, '-' | '/' | ':' | 'T' | ' ');
    let legal =
        (count == 14 || count == 12) && whole.chars().all(only) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let mut fraction_ms = 0;
    for place in 0..3 {
        fraction_ms = fraction_ms * 10 + fraction.as_bytes().get(place).copied().map_or(Some(0), digit)?;
    }
    legal.then_some((digits, fraction_ms))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March so that the leap day is last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * month_from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use loggerhead_model::Timestamp;

    use super::Zone;

    fn check(text: &str, expected: Option<&str>) {
        let found = Zone::default().read(text).map(|time| time.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn every_form_seen_is_read() {
        check("20260102030405", Some("2026-01-01T19:04:05Z"));
        check("201803061010", Some("2018-03-06T02:10:00Z"));
        check("2026-11-23T16:03:32.730757449", Some("2026-11-23T08:03:32.73Z"));
        check("2026/01/02 03:04:05", Some("2026-01-01T19:04:05Z"));
        check("2026/1/2 3:04:05", Some("2026-01-01T19:04:05Z"));
        check(" 20260102030405 ", Some("2026-01-01T19:04:05Z"));
        check("20240229000000", Some("2024-02-28T16:00:00Z"));
        for bad in [
            "",
            "2026",
            "20261302030405",
            "20230229000000",
            "20260102250405",
            "2026010203040x",
            "now",
            "00000000000000",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for zone in ["+08:00", "-03:30", "Z"].map(|text| Zone::parse(text).expect("a zone")) {
            for second in (-2_000_000_000..4_000_000_000_i64).step_by(86_400 * 17 + 4321) {
                let time = Timestamp::from_unix_ms(second * 1000);
                let digits = zone.write(time);
                assert_eq!(zone.read(std::str::from_utf8(&digits).expect("digits")), Some(time));
            }
        }
    }

    #[test]
    fn a_zone_is_a_distance_from_greenwich() {
        for bad in ["", "8", "+8:00", "Asia/Shanghai", "+15:00", "+08:60", "08:00"] {
            assert!(Zone::parse(bad).is_err(), "{bad}");
        }
    }
}
