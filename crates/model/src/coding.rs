//! What a classification code of the energy guideline says of a value.
//!
//! The first two digits of such a code name the class of energy. One code covers every function of a meter, so what is measured
//! is known only where the function has one of the numbers that loggers commonly use.

/// The class of codes for electricity.
pub const ELECTRICITY: &str = "01";
/// The class of codes for water.
pub const WATER: &str = "02";

/// What a function measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Electric energy, counted.
    Energy,
    /// Volts.
    Voltage,
    /// Amperes.
    Current,
    /// Electric power.
    Power,
    /// Water, counted.
    Volume,
}

impl Quantity {
    /// What the function measures, by the numbers that are common among loggers; `None` where it is not known.
    #[must_use]
    pub fn of(coding: &str, function: &str) -> Option<Self> {
        let number: u32 = function.parse().ok()?;
        match number {
            1 | 101 | 102 if is_of_class(coding, ELECTRICITY) => Some(Self::Energy),
            501..=599 if is_of_class(coding, ELECTRICITY) => Some(Self::Voltage),
            601..=699 if is_of_class(coding, ELECTRICITY) => Some(Self::Current),
            701..=799 if is_of_class(coding, ELECTRICITY) => Some(Self::Power),
            1 | 2 | 201 if is_of_class(coding, WATER) => Some(Self::Volume),
            _ => None,
        }
    }

    /// In which unit.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Energy => "kWh",
            Self::Voltage => "V",
            Self::Current => "A",
            Self::Power => "kW",
            Self::Volume => "m³",
        }
    }
}

/// Whether a code is of the guideline's form and of this class; other codings are longer or shorter.
#[must_use]
pub fn is_of_class(coding: &str, class: &str) -> bool {
    coding.len() == 5 && coding.is_ascii() && coding.starts_with(class)
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn a_code_and_a_common_number_say_what_is_measured_in_which_unit() {
        for (coding, function, expected) in [
            ("01A10", "1", Some("kWh")),
            ("01A10", "501", Some("V")),
            ("01A10", "601", Some("A")),
            ("01A10", "701", Some("kW")),
            ("01000", "WPP", None),
            ("02000", "1", Some("m³")),
            ("99000", "1", None),
            ("330302110001021A", "1", None),
            ("", "", None),
        ] {
            assert_eq!(Quantity::of(coding, function).map(Quantity::unit), expected, "{coding} {function}");
        }
    }
}
