//! A moment on a wall clock. Which clock is said by the name of the field that holds it.

use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z; years -9999 to 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// A text that is not a time.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a time: write it as 2026-01-31T23:59:59+08:00, 2026-01-31T15:59:59Z or 2026-01-31")]
pub struct TimeError {
    text: String,
}

impl Timestamp {
    /// From milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// From a text with a zone (RFC 3339), or a bare date, which is its midnight in UTC.
    ///
    /// # Errors
    /// `TimeError` when the text is neither.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let moment = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
        let midnight = || {
            let date = text.parse::<jiff::civil::Date>()?;
            Ok::<_, jiff::Error>(jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0))?.as_millisecond())
        };
        moment.or_else(|_| midnight()).map(Self).map_err(|_| TimeError { text: text.to_owned() })
    }

    /// How long after `earlier` this is; zero when it is not after it, as after a step of the clock.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC: `2026-01-31T15:59:59Z`, with milliseconds only where there are any.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => moment.fmt(formatter),
            Err(_) => write!(formatter, "{}ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn a_moment_prints_as_it_parses() {
        for text in ["2026-01-31T15:59:59Z", "2026-01-31T15:59:59.25Z"] {
            assert_eq!(Timestamp::parse(text).expect("a moment").to_string(), text);
        }
        assert_eq!(
            Timestamp::parse("2026-01-31T23:59:59+08:00").expect("a moment with a zone").to_string(),
            "2026-01-31T15:59:59Z"
        );
    }

    #[test]
    fn a_bare_date_is_its_midnight_and_anything_else_is_an_error() {
        assert_eq!(Timestamp::parse("2026-01-31").expect("a date").to_string(), "2026-01-31T00:00:00Z");
        assert!(Timestamp::parse("yesterday").is_err());
    }
}
