//! Which topics an account may publish to and subscribe to.

use super::topic::Shared;

/// What stands for the name of the client in a rule, and what for that of the account.
const PLACEHOLDERS: [&str; 2] = ["%c", "%u"];

/// How topics begin under which the head-end itself speaks.
const OURS: &str = "loggerhead/";

/// The topic filters that an account may use. `%c` stands for the name of the client, `%u` for that of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) publish: Vec<Box<str>>,
    pub(super) subscribe: Vec<Box<str>>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) client: &'a str,
    pub(super) user: &'a str,
}

impl Rules {
    /// Whether messages may be published there. Nobody publishes to topics that begin with `$` or `OURS`.
    pub(super) fn may_publish(&self, topic: &str, asker: Asker<'_>) -> bool {
        !topic.starts_with('$')
            && !topic.starts_with(OURS)
            && self.publish.iter().any(|rule| covers(rule, topic, asker))
    }

    /// Whether a device may be commanded by publishing there. That takes a rule that names these topics: one that takes all
    /// topics is of an account that may speak to its own kind, not to every device.
    pub(super) fn may_command(&self, topic: &str, asker: Asker<'_>) -> bool {
        self.publish.iter().any(|rule| rule.starts_with(OURS) && covers(rule, topic, asker))
    }

    /// Whether all that a filter takes may be read.
    pub(super) fn may_subscribe(&self, filter: &str, asker: Asker<'_>) -> bool {
        let filter = Shared::of(filter).map_or(filter, |shared| shared.filter);
        self.subscribe.iter().any(|rule| covers(rule, filter, asker))
    }
}

/// Whether a rule takes everything that a filter takes; a topic name is a filter without wildcards.
fn covers(rule: &str, filter: &str, asker: Asker<'_>) -> bool {
    if rule == "#" {
        return true;
    }
    let (mut rules, mut levels) = (rule.split('/'), filter.split('/'));
    loop {
        match (rules.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some(_) | None, Some("#")) | (Some(_), None) | (None, Some(_)) => return false,
            (Some("+"), Some(_)) => {}
            (Some(rule), Some(level)) if stands_for(rule, level, asker) => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

/// Whether a level of a rule stands for one of a topic. A name that could be taken for a wildcard or for several levels
/// stands for nothing: whoever chose it wanted more than is theirs.
fn stands_for(rule: &str, level: &str, asker: Asker<'_>) -> bool {
    if !rule.contains('%') {
        return rule == level;
    }
    filled(rule, asker).is_some_and(|text| text == level)
}

/// A text with names in the places of its placeholders; `None` where one of them stands for nothing.
pub(super) fn filled(text: &str, asker: Asker<'_>) -> Option<String> {
    let mut text = text.to_owned();
    for (placeholder, name) in PLACEHOLDERS.into_iter().zip([asker.client, asker.user]) {
        if text.contains(placeholder) {
            if name.is_empty() || name.contains(['+', '#', '/', '%']) {
                return None;
            }
            text = text.replace(placeholder, name);
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{Asker, Rules};

    fn rules(list: &[&str]) -> Rules {
        let list: Vec<Box<str>> = list.iter().map(|rule| Box::from(*rule)).collect();
        Rules { publish: list.clone(), subscribe: list }
    }

    fn check(list: &[&str], filter: &str, client: &str, expected: bool) {
        let asker = Asker { client, user: "admin" };
        assert_eq!(rules(list).may_subscribe(filter, asker), expected, "{list:?} {filter} {client}");
    }

    #[test]
    fn a_rule_takes_filters_that_take_no_more_than_it() {
        check(&["a/#"], "a/b/+", "c", true);
        check(&["a/#"], "a", "c", true);
        check(&["a/+"], "a/+", "c", true);
        check(&["a/+"], "a/#", "c", false);
        check(&["a/b"], "a/+", "c", false);
        check(&["+/b"], "#", "c", false);
        check(&["a/#"], "$share/g/a/b", "c", true);
        check(&["a/#"], "$share/g/b", "c", false);
        check(&[], "a", "c", false);
    }

    #[test]
    fn a_name_in_a_rule_is_one_level_and_never_a_wildcard() {
        check(&["own/%c/#"], "own/C1/x", "C1", true);
        check(&["own/%c/#"], "own/C2/x", "C1", false);
        check(&["own/%u"], "own/admin", "C1", true);
        for client in ["+", "#", "a/b", "%u", ""] {
            check(&["own/%c/#"], &format!("own/{client}/x"), client, false);
            check(&["own/%c/#"], "own/admin/x", client, false);
        }
    }

    #[test]
    fn nobody_publishes_to_our_own_topics() {
        let asker = Asker { client: "c", user: "u" };
        assert!(rules(&["#"]).may_publish("a", asker));
        assert!(!rules(&["#", "$SYS/#"]).may_publish("$SYS/x", asker));
        assert!(!rules(&["#"]).may_publish("loggerhead/x", asker));
    }
}
