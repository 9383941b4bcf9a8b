//! A reading as this store handles it: fixed size, names replaced by numbers.

use loggerhead_model::{Decimal, Origin, Value};

/// In `Row::scale`: `Row::number` is the place of a text.
pub(crate) const TEXT: u8 = 255;

/// A reading without its channel. 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Device's clock, ms since 1970.
    pub(crate) measured_at: i64,
    /// Our clock, ms since 1970.
    pub(crate) received_at: i64,
    /// The mantissa, or with `TEXT` the place of the text in the list beside this row.
    pub(crate) number: i64,
    /// The number of coding, code, quality and attributes in the dictionary.
    pub(crate) tag: u32,
    /// 0..=18, or `TEXT`.
    pub(crate) scale: u8,
    /// How it reached us, as a number.
    pub(crate) origin: u8,
}

impl Row {
    /// The text that stands for the value, if it is one.
    pub(crate) fn text<'a>(&self, texts: &'a [Box<str>]) -> Option<&'a str> {
        let place = usize::try_from(self.number).ok().filter(|_| self.scale == TEXT)?;
        texts.get(place).map(AsRef::as_ref)
    }

    /// The value as it came.
    pub(crate) fn value<'a>(&self, texts: &'a [Box<str>]) -> Value<'a> {
        match self.text(texts) {
            Some(text) => Value::Text(text),
            None if self.scale == TEXT => Value::Text(""),
            None => Value::Decimal(Decimal { mantissa: self.number, scale: self.scale }),
        }
    }

    pub(crate) const fn origin(&self) -> Origin {
        match self.origin {
            0 => Origin::Live,
            1 => Origin::Resumed,
            _ => Origin::Queried,
        }
    }
}

/// Rows of one channel, in the order of `measured_at`, with their texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<Row>,
    pub(crate) texts: Vec<Box<str>>,
}

impl Rows {
    /// Adds a row behind the others, whatever its time; `text` is its value where `row.scale` is `TEXT`.
    pub(crate) fn push(&mut self, row: Row, text: Option<&str>) {
        let row = self.with_text(row, text);
        self.rows.push(row);
    }

    /// Adds a row in its place.
    pub(crate) fn insert(&mut self, row: Row, text: Option<&str>) {
        let row = self.with_text(row, text);
        match self.rows.last() {
            Some(last) if last.measured_at >= row.measured_at => {
                let place = self.rows.partition_point(|other| other.measured_at < row.measured_at);
                self.rows.insert(place, row);
            }
            _ => self.rows.push(row),
        }
    }

    /// Puts rows that were pushed in any order into theirs; of rows of the same time the one pushed first stays.
    pub(crate) fn sort(&mut self) {
        self.rows.sort_by_key(|row| row.measured_at);
        self.rows.dedup_by_key(|row| row.measured_at);
    }

    /// The row of this time.
    pub(crate) fn find(&self, measured_at: i64) -> Option<(&Row, &[Box<str>])> {
        let place = self.rows.binary_search_by_key(&measured_at, |row| row.measured_at).ok()?;
        self.rows.get(place).map(|row| (row, self.texts.as_slice()))
    }

    fn with_text(&mut self, mut row: Row, text: Option<&str>) -> Row {
        if row.scale == TEXT {
            row.number = i64::try_from(self.texts.len()).expect("a list in memory is shorter than 2^63");
            self.texts.push(Box::from(text.unwrap_or_default()));
        }
        row
    }
}

/// Whether two values are the same number, or the same text.
pub(crate) fn same_value(one: Value<'_>, other: Value<'_>) -> bool {
    match (one, other) {
        (Value::Decimal(one), Value::Decimal(other)) => same_decimal(one, other),
        (Value::Text(one), Value::Text(other)) => one == other,
        (Value::Decimal(_), Value::Text(_)) | (Value::Text(_), Value::Decimal(_)) => false,
    }
}

/// `0.5` and `0.50` are the same.
fn same_decimal(one: Decimal, other: Decimal) -> bool {
    let (short, long) = if one.scale <= other.scale { (one, other) } else { (other, one) };
    let shift = 10_i128.pow(u32::from(long.scale - short.scale));
    i128::from(short.mantissa) * shift == i128::from(long.mantissa)
}

#[cfg(test)]
mod tests {
    use loggerhead_model::Value;

    use super::{Row, Rows, TEXT, same_value};

    fn row(measured_at: i64, scale: u8) -> Row {
        Row { measured_at, received_at: 0, number: 7, tag: 0, scale, origin: 0 }
    }

    #[test]
    fn a_late_row_goes_to_its_place_and_keeps_its_text() {
        let mut rows = Rows::default();
        rows.insert(row(1, TEXT), Some("first"));
        rows.insert(row(3, TEXT), Some("third"));
        rows.insert(row(2, TEXT), Some("second"));
        let texts: Vec<_> = rows.rows.iter().map(|row| row.text(&rows.texts)).collect();
        assert_eq!(texts, [Some("first"), Some("second"), Some("third")]);
        assert_eq!(rows.find(2).map(|(row, texts)| row.value(texts)), Some(Value::Text("second")));
        assert!(rows.find(4).is_none());
    }

    #[test]
    fn trailing_zeros_do_not_make_another_value() {
        assert!(same_value(Value::parse("0.5"), Value::parse("0.500")));
        assert!(!same_value(Value::parse("0.5"), Value::parse("0.501")));
        assert!(!same_value(Value::parse("1"), Value::parse("data1")));
    }
}
