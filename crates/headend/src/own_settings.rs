//! A device's own settings of its protocol, between its logins.

use std::sync::Arc;

/// Kept as text: the same as a table takes ten times the memory, and is wanted only when the device logs in. Holds keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct OwnSettings(Option<Arc<str>>);

impl OwnSettings {
    /// What the store has kept.
    ///
    /// # Errors
    /// When it is no TOML.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        text.parse::<toml::Table>().map(|table| Self::from(&table))
    }

    /// As the store keeps it; empty where there are none.
    pub(crate) fn text(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// As the protocol takes it.
    pub(crate) fn table(&self) -> toml::Table {
        self.text().parse().expect("it was written by a writer of TOML")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl From<&toml::Table> for OwnSettings {
    fn from(table: &toml::Table) -> Self {
        let text = || toml::to_string(table).expect("what TOML can say can be written as TOML");
        Self((!table.is_empty()).then(|| text().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::OwnSettings;

    fn check(text: &str) {
        let table: toml::Table = text.parse().expect("it is TOML");
        let own = OwnSettings::from(&table);
        assert_eq!((own.table(), own.is_empty()), (table, text.is_empty()));
        assert!(OwnSettings::parse(own.text()).is_ok_and(|again| again == own));
    }

    #[test]
    fn nothing_is_lost_between_logins() {
        check("");
        check(
            "aes_key = \"text:0000000000123456\"\ngood_codes = [\"192\", \"0\"]\nidle_s = 90.5\n[deep]\nmore = true\n",
        );
    }
}
