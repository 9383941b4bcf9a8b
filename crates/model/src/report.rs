//! The readings of one packet, in one allocation for their rows and one for their texts.

use crate::{Decimal, Origin, Quality, Reading, Timestamp, Value};

/// Most readings in one report: far above what a device of 50 meters with 10 functions sends.
pub const REPORT_READINGS_MAX: usize = 100_000;
/// Most bytes of text in one report.
pub const REPORT_TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A report is over `REPORT_READINGS_MAX` or `REPORT_TEXT_BYTES_MAX`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a report of over {REPORT_READINGS_MAX} readings or {REPORT_TEXT_BYTES_MAX} bytes of text")]
pub struct ReportFull;

/// A piece of the report's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug)]
enum StoredValue {
    Decimal(Decimal),
    Text(Span),
}

#[derive(Clone, Copy, Debug)]
struct Row {
    meter: u32,
    function: Span,
    coding: Span,
    code: Span,
    attributes: Span,
    measured_at: Timestamp,
    value: StoredValue,
    quality: Quality,
}

#[derive(Clone, Copy, Debug)]
struct MeterRow {
    id: Span,
    attributes: Span,
}

/// A meter as a packet names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter<'a> {
    /// The device's name for it.
    pub id: &'a str,
    /// Everything else that was said of it: lines of `name TAB value`.
    pub attributes: &'a str,
}

/// The readings of one packet, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Report {
    /// How they reached us.
    pub origin: Origin,
    /// They are things that happened, not values of a meter: two in one millisecond are two. One whose moment another
    /// one of its channel has is kept at the next moment that is free, not beside it.
    pub happenings: bool,
    text: String,
    meters: Vec<MeterRow>,
    rows: Vec<Row>,
}

impl Report {
    /// How many readings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True for a packet without a meter, which devices do send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The readings in the order in which they came.
    #[must_use]
    pub fn readings(&self) -> impl ExactSizeIterator<Item = Reading<'_>> {
        self.rows.iter().map(|row| self.reading(row))
    }

    /// The meters in the order in which they came; one named twice stands here twice.
    #[must_use]
    pub fn meters(&self) -> impl ExactSizeIterator<Item = Meter<'_>> {
        self.meters.iter().map(|meter| Meter { id: self.text(meter.id), attributes: self.text(meter.attributes) })
    }

    /// The meters in the order in which they came, each with its readings.
    #[must_use]
    pub fn by_meter(&self) -> impl ExactSizeIterator<Item = (Meter<'_>, impl ExactSizeIterator<Item = Reading<'_>>)> {
        let mut rest = self.rows.as_slice();
        self.meters.iter().enumerate().map(move |(index, meter)| {
            let count = rest.iter().take_while(|row| row.meter as usize == index).count();
            let (own, behind) = rest.split_at_checked(count).unwrap_or_default();
            rest = behind;
            let meter = Meter { id: self.text(meter.id), attributes: self.text(meter.attributes) };
            (meter, own.iter().map(|row| self.reading(row)))
        })
    }

    fn reading(&self, row: &Row) -> Reading<'_> {
        Reading {
            meter: self.meters.get(row.meter as usize).map_or("", |meter| self.text(meter.id)),
            function: self.text(row.function),
            coding: self.text(row.coding),
            code: self.text(row.code),
            quality: row.quality,
            measured_at: row.measured_at,
            value: match row.value {
                StoredValue::Decimal(decimal) => Value::Decimal(decimal),
                StoredValue::Text(span) => Value::Text(self.text(span)),
            },
            attributes: self.text(row.attributes),
        }
    }

    fn text(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).expect("a span is made of whole pieces of this text")
    }
}

/// Puts a report together, reading by reading.
#[derive(Debug)]
pub struct ReportBuilder {
    report: Report,
}

impl ReportBuilder {
    /// A report without readings, with room for `text_bytes` of text and `readings`.
    #[must_use]
    pub fn new(origin: Origin, text_bytes: usize, readings: usize) -> Self {
        let text = String::with_capacity(text_bytes.min(REPORT_TEXT_BYTES_MAX));
        let rows = Vec::with_capacity(readings.min(REPORT_READINGS_MAX));
        Self { report: Report { origin, happenings: false, text, meters: Vec::new(), rows } }
    }

    /// Starts a meter; the readings that follow are its.
    ///
    /// # Errors
    /// `ReportFull` when a limit is reached; the report stays as it was.
    pub fn meter(&mut self, id: &str, attributes: &str) -> Result<(), ReportFull> {
        if self.report.meters.len() == REPORT_READINGS_MAX {
            return Err(ReportFull);
        }
        let id = self.push(id)?;
        let attributes = self.push(attributes)?;
        self.report.meters.push(MeterRow { id, attributes });
        Ok(())
    }

    /// Adds a reading to the meter started last. `reading.meter` is not looked at.
    ///
    /// # Errors
    /// `ReportFull` when a limit is reached; the report stays as it was.
    pub fn reading(&mut self, reading: &Reading<'_>) -> Result<(), ReportFull> {
        if self.report.rows.len() == REPORT_READINGS_MAX {
            return Err(ReportFull);
        }
        // Neighbouring readings mostly share these two, so they are kept once.
        let before = self.report.rows.last().map(|row| (row.coding, row.code)).unwrap_or_default();
        let function = self.push(reading.function)?;
        let coding = self.push_unless(before.0, reading.coding)?;
        let code = self.push_unless(before.1, reading.code)?;
        let attributes = self.push(reading.attributes)?;
        let value = match reading.value {
            Value::Decimal(decimal) => StoredValue::Decimal(decimal),
            Value::Text(text) => StoredValue::Text(self.push(text)?),
        };
        let meter = u32::try_from(self.report.meters.len().saturating_sub(1)).map_err(|_| ReportFull)?;
        let (measured_at, quality) = (reading.measured_at, reading.quality);
        self.report.rows.push(Row { meter, function, coding, code, attributes, measured_at, value, quality });
        Ok(())
    }

    /// The report.
    #[must_use]
    pub fn finish(self) -> Report {
        self.report
    }

    fn push_unless(&mut self, before: Span, text: &str) -> Result<Span, ReportFull> {
        if self.report.text(before) == text { Ok(before) } else { self.push(text) }
    }

    fn push(&mut self, text: &str) -> Result<Span, ReportFull> {
        if text.is_empty() {
            return Ok(Span::default());
        }
        let start = self.report.text.len();
        let end = start + text.len();
        if end > REPORT_TEXT_BYTES_MAX {
            return Err(ReportFull);
        }
        self.report.text.push_str(text);
        let place = |offset: usize| u32::try_from(offset).map_err(|_| ReportFull);
        Ok(Span { start: place(start)?, end: place(end)? })
    }
}

#[cfg(test)]
mod tests {
    use super::ReportBuilder;
    use crate::{Origin, Quality, Reading, Timestamp, Value};

    #[test]
    fn readings_come_back_as_they_went_in() {
        let reading = |meter, function, value| Reading {
            meter,
            function,
            coding: "01A10",
            code: "192",
            quality: Quality::Good,
            measured_at: Timestamp::from_unix_ms(1),
            value: Value::parse(value),
            attributes: "",
        };
        let expected = [
            reading("1", "1", "675.170000"),
            reading("1", "2", "data0"),
            reading("塔2", "1", "0"),
            reading("塔2", "2", ""),
        ];
        let mut builder = ReportBuilder::new(Origin::Live, 0, 0);
        builder.meter("1", "addr\t000000000001").expect("room");
        builder.reading(&expected[0]).expect("room");
        builder.reading(&expected[1]).expect("room");
        builder.meter("塔2", "").expect("room");
        builder.reading(&expected[2]).expect("room");
        builder.reading(&expected[3]).expect("room");
        let report = builder.finish();
        assert_eq!(report.readings().collect::<Vec<_>>(), expected);
        let by_meter = report.by_meter().map(|(meter, readings)| (meter.id, readings.collect::<Vec<_>>()));
        assert_eq!(by_meter.collect::<Vec<_>>(), [("1", expected[..2].to_vec()), ("塔2", expected[2..].to_vec())]);
        assert_eq!(report.meters().map(|meter| meter.attributes).collect::<Vec<_>>(), ["addr\t000000000001", ""]);
    }
}
