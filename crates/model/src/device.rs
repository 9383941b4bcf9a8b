//! Who is speaking: the name that we give a device, and the name that it gives itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Longest device id. Fits a file name and a topic level on every system.
pub const DEVICE_ID_BYTES_MAX: usize = 128;
/// Longest identity on a wire: two names of 64 characters of up to 4 bytes, and what joins them.
pub const IDENTITY_BYTES_MAX: usize = 520;
/// Longest site: a name and where it is, still on one line of a screen.
pub const SITE_BYTES_MAX: usize = 128;

/// Our name for a device: 1 to `DEVICE_ID_BYTES_MAX` bytes without blanks, control characters, `/`, `+` or `#`, so that
/// it can stand in a URL path and in a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct DeviceId(Arc<str>);

/// What a device calls itself on the wire, in its protocol's own form, such as building and gateway joined by `/`.
/// 1 to `IDENTITY_BYTES_MAX` bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Identity(Arc<str>);

/// The place that a device belongs to, such as a building. 1 to `SITE_BYTES_MAX` bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Site(Arc<str>);

/// What a protocol found out about a device and wants to know again at its next login: short words by name, such as the
/// dialect and the checksum variant. Shown to operators as it is.
pub type Learnt = BTreeMap<String, String>;

/// A name that cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// Nothing in it.
    #[error("a name is empty")]
    Empty,
    /// Over its limit.
    #[error("a name of {length} bytes is over {max}")]
    TooLong {
        /// Bytes in the name.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A character that has a meaning elsewhere.
    #[error("{character:?} cannot stand in a name")]
    Character {
        /// The first such character.
        character: char,
    },
}

fn checked(text: &str, max: usize, barred: fn(char) -> bool) -> Result<Arc<str>, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > max {
        return Err(NameError::TooLong { length: text.len(), max });
    }
    match text.chars().find(|&character| barred(character)) {
        Some(character) => Err(NameError::Character { character }),
        None => Ok(Arc::from(text)),
    }
}

impl DeviceId {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// `NameError` when the text is empty, too long or holds a barred character.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let barred = |character: char| {
            character.is_control() || character.is_whitespace() || matches!(character, '/' | '+' | '#')
        };
        checked(text, DEVICE_ID_BYTES_MAX, barred).map(Self)
    }

    /// The id that a device gets when nobody chose one: its identity with every barred character as `-`, cut to length.
    #[must_use]
    pub fn from_identity(identity: &Identity) -> Self {
        let mut text = String::with_capacity(identity.as_str().len());
        for character in identity.as_str().chars() {
            let barred = character.is_whitespace() || matches!(character, '/' | '+' | '#');
            let character = if barred { '-' } else { character };
            if text.len() + character.len_utf8() > DEVICE_ID_BYTES_MAX {
                break;
            }
            text.push(character);
        }
        Self(Arc::from(text))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Identity {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// `NameError` when the text is empty, too long or holds a control character.
    pub fn new(text: &str) -> Result<Self, NameError> {
        checked(text, IDENTITY_BYTES_MAX, char::is_control).map(Self)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Site {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// `NameError` when the text is empty, too long or holds a control character.
    pub fn new(text: &str) -> Result<Self, NameError> {
        checked(text, SITE_BYTES_MAX, char::is_control).map(Self)
    }

    /// The site of a device for which nobody named one: what stands before the first `/` of its identity, if it can be one.
    #[must_use]
    pub fn of_identity(identity: &Identity) -> Option<&str> {
        let (site, _) = identity.as_str().split_once('/')?;
        (1..=SITE_BYTES_MAX).contains(&site.len()).then_some(site)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::{DEVICE_ID_BYTES_MAX, DeviceId, Identity, SITE_BYTES_MAX, Site};

    #[test]
    fn a_device_id_can_stand_in_a_path_and_a_topic() {
        assert!(DeviceId::new("330302D110-01").is_ok());
        for bad in ["", "a/b", "a b", "a+", "#", "a\u{7}", &"x".repeat(DEVICE_ID_BYTES_MAX + 1)] {
            assert!(DeviceId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_id_made_from_any_identity_is_valid() {
        let identity = Identity::new(&format!("塔/楼 1+{}", "长".repeat(100))).expect("a legal identity");
        let id = DeviceId::from_identity(&identity);
        assert!(DeviceId::new(id.as_str()).is_ok(), "{id}");
    }

    #[test]
    fn a_site_stands_before_the_first_slash_of_an_identity() {
        let long = format!("{}/1", "x".repeat(SITE_BYTES_MAX + 1));
        for (identity, site) in
            [("330302D110/01", Some("330302D110")), ("a/b/c", Some("a")), ("plain", None), ("/1", None), (&long, None)]
        {
            let identity = Identity::new(identity).expect("a legal identity");
            assert_eq!(Site::of_identity(&identity), site, "{identity}");
            assert!(site.is_none_or(|site| Site::new(site).is_ok()));
        }
    }
}
