//! What a classification code of the energy guideline says: class of energy and item; with the function, the unit.
//!
//! The first two digits name the class, the letter behind them the item (of electricity). Sub-items are the operator's
//! own. One code covers every function of a meter, so a unit is known only where the function has one of the numbers
//! that loggers commonly use. Whatever is not known here is shown as it came.

use loggerhead_model::coding::{ELECTRICITY, Quantity, WATER, is_of_class};

use super::texts::Texts;

/// The classes that the guideline and devices agree on.
const CLASSES: [(&str, &str); 2] = [(ELECTRICITY, "energy.electricity"), (WATER, "energy.water")];
/// Items of electricity.
const ITEMS: [(char, &str); 4] =
    [('A', "energy.lighting"), ('B', "energy.air"), ('C', "energy.power"), ('D', "energy.special")];

/// Class and item of a code in words; nothing where it is not known.
pub(super) fn meaning(texts: &Texts, coding: &str) -> Option<String> {
    let class = CLASSES.iter().find(|(digits, _)| is_of_class(coding, digits)).map(|(_, key)| *key)?;
    let item = coding.chars().nth(2).and_then(|letter| ITEMS.iter().find(|(known, _)| *known == letter));
    Some(match item {
        Some((_, item)) => format!("{} · {}", texts.t(class), texts.t(item)),
        None => texts.t(class).to_owned(),
    })
}

/// What a function measures, in a word.
pub(super) fn name<'a>(texts: &'a Texts, coding: &str, function: &str) -> Option<&'a str> {
    let key = match Quantity::of(coding, function)? {
        Quantity::Energy => "quantity.energy",
        Quantity::Voltage => "quantity.voltage",
        Quantity::Current => "quantity.current",
        Quantity::Power => "quantity.power",
        Quantity::Volume => "quantity.volume",
    };
    Some(texts.t(key))
}

/// The unit of a function.
pub(super) fn unit(coding: &str, function: &str) -> Option<&'static str> {
    Quantity::of(coding, function).map(Quantity::unit)
}

#[cfg(test)]
mod tests {
    use super::super::texts::Language;
    use super::{meaning, name, unit};

    #[test]
    fn a_code_names_class_and_item_and_with_the_function_a_unit() {
        let check = |coding: &str, expected: Option<&str>, function: &str, of: Option<&str>| {
            assert_eq!(meaning(Language::English.texts(), coding).as_deref(), expected, "{coding}");
            assert_eq!(unit(coding, function), of, "{coding} {function}");
        };
        check("01A10", Some("Electricity · Lighting and sockets"), "1", Some("kWh"));
        check("01A10", Some("Electricity · Lighting and sockets"), "501", Some("V"));
        check("01000", Some("Electricity"), "WPP", None);
        check("02000", Some("Water"), "1", Some("m³"));
        check("99000", None, "1", None);
        check("330302110001021A", None, "1", None);
        check("", None, "", None);
        assert_eq!(name(Language::English.texts(), "01A10", "701"), Some("Power"));
        assert_eq!(name(Language::Chinese.texts(), "02000", "1"), Some("用量"));
    }
}
