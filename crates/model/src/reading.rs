//! One measured value, exactly as the device wrote it.

use std::fmt;

use crate::Timestamp;

/// Most digits that a `Decimal` holds; every such number fits an `i64`.
pub const DECIMAL_DIGITS_MAX: usize = 18;

/// How a reading reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Origin {
    /// Sent when it was measured.
    Live = 0,
    /// Kept by the device while it could not send, and sent later.
    Resumed = 1,
    /// Sent because we asked.
    Queried = 2,
}

/// Whether the device vouches for the value. The code that it sent is kept beside this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Quality {
    /// The device says that the value is valid.
    Good = 0,
    /// The device says that it is not, or in a way that we do not know.
    Bad = 1,
}

/// A decimal number with the digits that were sent: `mantissa / 10^scale`. `675.170000` keeps its six places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// All digits as one integer; at most `DECIMAL_DIGITS_MAX` of them.
    pub mantissa: i64,
    /// How many of the digits stand behind the point: 0..=18.
    pub scale: u8,
}

impl Decimal {
    /// Reads `-?(0|[1-9][0-9]*)(\.[0-9]+)?`. `None` for every text that this number would not print as again.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        // A zero before the point and the point itself do not count.
        if digits.len() > DECIMAL_DIGITS_MAX + 2 {
            return None;
        }
        let mut mantissa = 0_i64;
        let mut point = None;
        for (index, &byte) in digits.iter().enumerate() {
            match byte {
                b'0'..=b'9' => mantissa = mantissa.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?,
                b'.' if point.is_none() && index > 0 => point = Some(index),
                _ => return None,
            }
        }
        let whole = point.unwrap_or(digits.len());
        let scale = point.map_or(0, |point| digits.len() - point - 1);
        let printable = whole > 0
            && (whole == 1 || digits.first() != Some(&b'0'))
            && (point.is_none() || scale > 0)
            && whole - usize::from(digits.first() == Some(&b'0')) + scale <= DECIMAL_DIGITS_MAX
            && !(negative && mantissa == 0);
        let scale = u8::try_from(scale).ok()?;
        printable.then_some(Self { mantissa: if negative { -mantissa } else { mantissa }, scale })
    }

    /// The nearest floating-point number.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the nearest number is what is asked for")]
    pub fn to_f64(self) -> f64 {
        self.mantissa as f64 / 10_f64.powi(i32::from(self.scale))
    }
}

impl fmt::Display for Decimal {
    /// The text that was parsed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs();
        if self.scale == 0 {
            return write!(formatter, "{sign}{digits}");
        }
        let unit = 10_u64.pow(u32::from(self.scale));
        write!(formatter, "{sign}{}.{:0places$}", digits / unit, digits % unit, places = usize::from(self.scale))
    }
}

/// A value as it came: a plain decimal number, or any other text (`data0`, ` 5`, `1e3`, hex of raw meter bytes, nothing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Prints as the text that came.
    Decimal(Decimal),
    /// The text that came.
    Text(&'a str),
}

impl<'a> Value<'a> {
    /// The value in `text`, without losing a character of it.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        Decimal::parse(text).map_or(Self::Text(text), Self::Decimal)
    }

    /// The value as a number, where it is one in any usual spelling (`+5`, `007`, `1e3`).
    #[must_use]
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Decimal(decimal) => Some(decimal.to_f64()),
            Self::Text(text) => {
                let text = text.trim();
                let numeric =
                    text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.'));
                numeric.then(|| text.parse().ok().filter(|number: &f64| number.is_finite())).flatten()
            }
        }
    }
}

impl fmt::Display for Value<'_> {
    /// The text that came.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal(decimal) => decimal.fmt(formatter),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// One value of one channel at one time. Its identity is device, meter, function and `measured_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The device's name for the meter; may be empty where a device reports about itself.
    pub meter: &'a str,
    /// The device's name for what the meter measures.
    pub function: &'a str,
    /// Classification of the value by the device; empty when none was sent.
    pub coding: &'a str,
    /// The quality code as it came; empty when none was sent.
    pub code: &'a str,
    /// What the code means.
    pub quality: Quality,
    /// The device's clock.
    pub measured_at: Timestamp,
    /// The value as it came.
    pub value: Value<'a>,
    /// Attributes that have no field of their own: lines of `name TAB value`.
    pub attributes: &'a str,
}

impl<'a> Reading<'a> {
    /// A value that came with nothing beside it: no classification, no code and no attributes, so it is good.
    #[must_use]
    pub fn plain(meter: &'a str, function: &'a str, value: &'a str, measured_at: Timestamp) -> Self {
        Self {
            meter,
            function,
            coding: "",
            code: "",
            quality: Quality::Good,
            measured_at,
            value: Value::parse(value),
            attributes: "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Decimal, Value};

    #[test]
    fn a_decimal_prints_as_it_came() {
        for text in
            ["0", "7", "-7", "675.170000", "0.0", "-0.5", "100.100", "999999999999999999", "0.000000000000000001"]
        {
            assert_eq!(Decimal::parse(text).map(|decimal| decimal.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_would_print_differently_stays_text() {
        for text in [
            "",
            "-",
            ".5",
            "5.",
            "007",
            "00",
            "-0",
            "-0.0",
            "+5",
            "1e3",
            " 5",
            "1.2.3",
            "data0",
            "9999999999999999999",
            "9223372036854775809",
        ] {
            assert_eq!(Value::parse(text), Value::Text(text));
        }
    }

    #[test]
    fn text_gives_its_number_where_it_is_one() {
        assert_eq!(Value::parse("+5").number(), Some(5.0));
        assert_eq!(Value::parse("007").number(), Some(7.0));
        assert_eq!(Value::parse("1e3").number(), Some(1000.0));
        for text in ["", "data0", "nan", "inf", "0x10"] {
            assert_eq!(Value::parse(text).number(), None, "{text}");
        }
    }
}
