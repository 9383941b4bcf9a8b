//! Topic names and topic filters: what may be one, and which name a filter takes.

use crate::{Fault, FaultKind};

/// Most levels of a topic: deeper ones are mistakes, and every level costs memory in the tree of subscriptions.
pub const LEVELS_MAX: usize = 128;
/// How a shared subscription begins. Source: \[2\] §4.8.2.
const SHARE: &str = "$share/";

/// Whether a message may be published there: at least a character, no wildcards, at most `LEVELS_MAX` levels.
///
/// # Errors
/// `Malformed` when it may not.
pub fn check_name(name: &str) -> Result<(), Fault> {
    if name.is_empty() {
        return Err(Fault::new(FaultKind::Malformed, "a topic without a character"));
    }
    let mut levels = 1;
    for &byte in name.as_bytes() {
        match byte {
            b'+' | b'#' => return Err(Fault::new(FaultKind::Malformed, "a wildcard in a topic name")),
            0 => return Err(Fault::new(FaultKind::Malformed, "U+0000 in a topic name")),
            b'/' => levels += 1,
            _ => {}
        }
    }
    check_levels(levels)
}

/// Whether it may be subscribed to: wildcards alone in their level, `#` in the last one, and a shared subscription with
/// a name and a filter.
///
/// # Errors
/// `Malformed` when it may not.
pub fn check_filter(filter: &str) -> Result<(), Fault> {
    let wrong = |what: &'static str| Err(Fault::new(FaultKind::Malformed, what));
    let own = match filter.strip_prefix(SHARE) {
        None => filter,
        Some(rest) => match rest.split_once('/') {
            Some((group, own)) if !group.is_empty() && !group.contains(['+', '#']) => own,
            Some(_) | None => return wrong("a shared subscription without a name, or without a filter"),
        },
    };
    if own.is_empty() {
        return wrong("a topic filter without a character");
    }
    let mut levels = 0;
    let mut parts = own.split('/').peekable();
    while let Some(level) = parts.next() {
        levels += 1;
        let is_last = parts.peek().is_none();
        match level {
            "+" => {}
            "#" if is_last => {}
            "#" => return wrong("# before the last level of a topic filter"),
            level if level.contains(['+', '#']) => return wrong("a wildcard beside other characters"),
            level if level.contains('\0') => return wrong("U+0000 in a topic filter"),
            _ => {}
        }
    }
    check_levels(levels)
}

fn check_levels(levels: usize) -> Result<(), Fault> {
    if levels <= LEVELS_MAX {
        return Ok(());
    }
    Err(Fault::new(FaultKind::TooLarge, format!("a topic of {levels} levels over {LEVELS_MAX}")))
}

/// Whether a filter takes a name. A wildcard in the first level takes no topic that begins with `$`. Source: \[2\] §4.7.
#[must_use]
pub fn matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut wanted, mut levels) = (filter.split('/'), name.split('/'));
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(want), Some(level)) if want == level => {}
            (Some(_) | None, Some(_)) | (Some(_), None) => return false,
        }
    }
}

/// A shared subscription: the messages of its filter go to one member of the group each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared<'a> {
    /// The name of the group.
    pub group: &'a str,
    /// What it takes.
    pub filter: &'a str,
}

impl<'a> Shared<'a> {
    /// The shared subscription in a filter that was checked.
    #[must_use]
    pub fn of(filter: &'a str) -> Option<Self> {
        let (group, filter) = filter.strip_prefix(SHARE)?.split_once('/')?;
        Some(Self { group, filter })
    }
}

#[cfg(test)]
mod tests {
    use super::{LEVELS_MAX, Shared, check_filter, check_name, matches};

    // MQTT 3.1.1: 4.7.1-1 4.7.3-1
    // MQTT 5.0: 4.7.0-1 4.7.3-1
    #[test]
    fn a_topic_name_has_no_wildcards_and_at_least_a_character() {
        for name in ["a", "/", "a/b", "//", "$SYS/x", "a b", "长/度", &"/".repeat(LEVELS_MAX - 1)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "a/+", "#", "a#", "a\0", &"/".repeat(LEVELS_MAX)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    // MQTT 3.1.1: 4.7.1-2 4.7.1-3
    // MQTT 5.0: 4.7.1-1 4.7.1-2 4.8.2-1 4.8.2-2
    #[test]
    fn wildcards_stand_alone_in_their_level_and_the_last_one_is_last() {
        for filter in ["#", "+", "a/#", "+/+", "/+", "a/+/c", "$share/g/a", "$share/g/#", "$share/g//", "$shared"] {
            assert!(check_filter(filter).is_ok(), "{filter}");
        }
        for filter in ["", "a#", "#/a", "a/#/b", "a+", "+a", "$share/g", "$share//a", "$share/g+/a", "$share/g/", "a\0"]
        {
            assert!(check_filter(filter).is_err(), "{filter:?}");
        }
    }

    // MQTT 3.1.1: 3.3.2-3 3.8.3-2 4.7.2-1
    // MQTT 5.0: 3.3.2-3 4.7.2-1
    #[test]
    fn a_filter_takes_what_its_wildcards_stand_for() {
        for (filter, name) in [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("#", "a/b"),
            ("sport/tennis/+", "sport/tennis/player1"),
            ("sport/+", "sport/"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("$SYS/#", "$SYS/x"),
            ("$SYS/monitor/+", "$SYS/monitor/Clients"),
        ] {
            assert!(matches(filter, name), "{filter} {name}");
        }
        for (filter, name) in [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("#", "$SYS/x"),
            ("+/monitor/Clients", "$SYS/monitor/Clients"),
            ("a", "A"),
            ("a/b", "a"),
            ("a", "a/"),
        ] {
            assert!(!matches(filter, name), "{filter} {name}");
        }
    }

    #[test]
    fn a_shared_subscription_has_a_group_and_a_filter() {
        assert_eq!(Shared::of("$share/g/a/b"), Some(Shared { group: "g", filter: "a/b" }));
        assert_eq!(Shared::of("a/b"), None);
    }
}
