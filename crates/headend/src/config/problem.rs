//! Where in a configuration something stands, and what is wrong with it.

use std::fmt;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file, counted from 1.
    Line(Arc<str>, usize),
    /// An environment variable of this name.
    Environment(String),
    /// The command line.
    CommandLine,
    /// Nobody said anything else.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(formatter, "{file}:{line}"),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::CommandLine => formatter.write_str("command line"),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gravity {
    /// The server starts, but somebody should look.
    Warning,
    /// The server does not start.
    Error,
}

/// Something in a configuration that cannot be, or should not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub gravity: Gravity,
    /// Where it stands.
    pub place: Place,
    /// The key's whole path; empty where it is about a file.
    pub key: String,
    /// What is wrong, and what would be right. Never a secret.
    pub text: String,
}

impl fmt::Display for Problem {
    /// `error: loggerhead.toml:7: store.frames: ...`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.gravity {
            Gravity::Warning => "warning: ",
            Gravity::Error => "error: ",
        })?;
        if self.place != Place::Default {
            write!(formatter, "{}: ", self.place)?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.text)
    }
}

/// The configuration cannot be used; everything that is wrong with it.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the configuration cannot be used")?;
        self.0.iter().try_for_each(|problem| write!(formatter, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}
