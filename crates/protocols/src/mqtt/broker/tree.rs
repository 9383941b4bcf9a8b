//! Who subscribes to what: a tree of the levels of topic filters.

use std::collections::BTreeMap;

use crate::mqtt::message::Qos;

/// The broker's number for a client.
pub(in crate::mqtt) type ClientNumber = u32;

/// One subscription, as the tree holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mqtt) struct Subscriber {
    /// Whose.
    pub(in crate::mqtt) client: ClientNumber,
    /// The subscription's identifier; 0 for none.
    pub(in crate::mqtt) id: u32,
    /// At most how surely.
    pub(in crate::mqtt) qos: Qos,
    /// Not what the same client publishes.
    pub(in crate::mqtt) no_local: bool,
    /// With the flag RETAIN as it was published.
    pub(in crate::mqtt) as_published: bool,
}

/// The members of a shared subscription.
#[derive(Debug)]
struct Group {
    name: Box<str>,
    members: Vec<Subscriber>,
    /// Whose turn is next.
    next: usize,
}

/// Those who subscribe with a filter that ends here.
#[derive(Debug, Default)]
struct Leaf {
    alone: Vec<Subscriber>,
    groups: Vec<Group>,
}

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Box<str>, Node>,
    any: Option<Box<Node>>,
    here: Leaf,
    /// Of filters that end with `#` below this level.
    below: Leaf,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(in crate::mqtt) struct Tree {
    root: Node,
    /// How many there are.
    count: usize,
    /// How many of them are shared.
    shared: usize,
}

impl Leaf {
    fn is_empty(&self) -> bool {
        self.alone.is_empty() && self.groups.is_empty()
    }

    fn put(&mut self, group: Option<&str>, subscriber: Subscriber) -> bool {
        let list = match group {
            None => &mut self.alone,
            Some(name) => {
                let place = self.groups.iter().position(|group| *group.name == *name);
                let place = place.unwrap_or_else(|| {
                    self.groups.push(Group { name: name.into(), members: Vec::new(), next: 0 });
                    self.groups.len() - 1
                });
                match self.groups.get_mut(place) {
                    Some(group) => &mut group.members,
                    None => return false,
                }
            }
        };
        if let Some(other) = list.iter_mut().find(|other| other.client == subscriber.client) {
            *other = subscriber;
            return false;
        }
        list.push(subscriber);
        true
    }

    fn remove(&mut self, group: Option<&str>, client: ClientNumber) -> bool {
        let list = match group {
            None => &mut self.alone,
            Some(name) => match self.groups.iter_mut().find(|group| *group.name == *name) {
                Some(group) => &mut group.members,
                None => return false,
            },
        };
        let before = list.len();
        list.retain(|other| other.client != client);
        let removed = list.len() < before;
        self.groups.retain(|group| !group.members.is_empty());
        removed
    }
}

impl Group {
    fn turn(&mut self, is_there: &dyn Fn(ClientNumber) -> bool) -> Option<Subscriber> {
        let count = self.members.len();
        let in_turn = |step: usize| (self.next + step) % count.max(1);
        let turn = (0..count)
            .map(in_turn)
            .find(|&place| self.members.get(place).is_some_and(|member| is_there(member.client)))
            .unwrap_or_else(|| in_turn(0));
        let member = self.members.get(turn).copied()?;
        self.next = turn + 1;
        Some(member)
    }
}

impl Node {
    /// Where a filter of these levels ends.
    fn leaf(&mut self, mut levels: std::str::Split<'_, char>) -> Option<&mut Leaf> {
        match levels.next() {
            None => Some(&mut self.here),
            Some("#") => Some(&mut self.below),
            Some("+") => self.any.as_mut()?.leaf(levels),
            Some(level) => self.children.get_mut(level)?.leaf(levels),
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.here.is_empty() && self.below.is_empty()
    }

    /// Calls `visit` with every leaf that takes a topic of these levels. `is_system`: the topic begins with `$` and this
    /// is the first level, where wildcards do not take it.
    fn find<'a>(&mut self, mut levels: std::str::Split<'a, char>, is_system: bool, visit: &mut dyn FnMut(&mut Leaf)) {
        if !is_system && !self.below.is_empty() {
            visit(&mut self.below);
        }
        let Some(level) = levels.next() else {
            if !self.here.is_empty() {
                visit(&mut self.here);
            }
            return;
        };
        if let Some(child) = self.children.get_mut(level) {
            child.find(levels.clone(), false, visit);
        }
        if let Some(any) = self.any.as_mut().filter(|_| !is_system) {
            any.find(levels, false, visit);
        }
    }

    fn remove(&mut self, mut levels: std::str::Split<'_, char>, group: Option<&str>, client: ClientNumber) -> bool {
        match levels.next() {
            None => self.here.remove(group, client),
            Some("#") => self.below.remove(group, client),
            Some("+") => {
                let removed = self.any.as_mut().is_some_and(|any| any.remove(levels, group, client));
                self.any.take_if(|any| any.is_empty());
                removed
            }
            Some(level) => {
                let Some(child) = self.children.get_mut(level) else { return false };
                let removed = child.remove(levels, group, client);
                if child.is_empty() {
                    self.children.remove(level);
                }
                removed
            }
        }
    }
}

impl Tree {
    /// Adds a subscription, or puts it in the place of the client's earlier one. The filter was checked.
    pub(in crate::mqtt) fn put(&mut self, filter: &str, group: Option<&str>, subscriber: Subscriber) {
        let mut node = &mut self.root;
        let mut leaf = None;
        for level in filter.split('/') {
            match level {
                "#" => {
                    leaf = Some(());
                    break;
                }
                "+" => node = node.any.get_or_insert_default(),
                level => node = node.children.entry(level.into()).or_default(),
            }
        }
        let leaf = if leaf.is_some() { &mut node.below } else { &mut node.here };
        if leaf.put(group, subscriber) {
            self.count += 1;
            self.shared += usize::from(group.is_some());
        }
    }

    /// Takes a subscription away; false when there was none.
    pub(in crate::mqtt) fn remove(&mut self, filter: &str, group: Option<&str>, client: ClientNumber) -> bool {
        let removed = self.root.remove(filter.split('/'), group, client);
        if removed {
            self.count -= 1;
            self.shared -= usize::from(group.is_some());
        }
        removed
    }

    /// How many subscriptions there are.
    pub(in crate::mqtt) fn len(&self) -> usize {
        self.count
    }

    /// Puts everybody who gets a message of this topic into `found`. True when a client may stand there twice.
    pub(in crate::mqtt) fn find(&mut self, topic: &str, found: &mut Vec<Subscriber>) -> bool {
        let mut leaves = 0;
        self.root.find(topic.split('/'), topic.starts_with('$'), &mut |leaf| {
            found.extend_from_slice(&leaf.alone);
            leaves += usize::from(!leaf.alone.is_empty());
        });
        leaves > 1
    }

    /// Puts one member of every group that gets a message of this topic into `found`: in turn, one that `is_there`
    /// before one that is not.
    pub(in crate::mqtt) fn choose(
        &mut self,
        topic: &str,
        is_there: &dyn Fn(ClientNumber) -> bool,
        found: &mut Vec<Subscriber>,
    ) {
        if self.shared == 0 {
            return;
        }
        self.root.find(topic.split('/'), topic.starts_with('$'), &mut |leaf| {
            found.extend(leaf.groups.iter_mut().filter_map(|group| group.turn(is_there)));
        });
    }

    /// The member of one group whose turn is next, chosen in the same way.
    pub(in crate::mqtt) fn choose_of(
        &mut self,
        group: &str,
        filter: &str,
        is_there: &dyn Fn(ClientNumber) -> bool,
    ) -> Option<Subscriber> {
        let leaf = self.root.leaf(filter.split('/'))?;
        leaf.groups.iter_mut().find(|other| *other.name == *group)?.turn(is_there)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Subscriber, Tree};
    use crate::mqtt::message::Qos;
    use crate::mqtt::topic::matches;

    fn subscriber(client: u32) -> Subscriber {
        Subscriber { client, id: 0, qos: Qos::AtMostOnce, no_local: false, as_published: false }
    }

    fn level() -> impl Strategy<Value = String> {
        prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just(String::new()), Just("$x".to_owned())]
    }

    fn filter() -> impl Strategy<Value = String> {
        let inner = prop_oneof![level(), Just("+".to_owned())];
        (prop::collection::vec(inner, 1..4), any::<bool>()).prop_map(|(mut levels, more)| {
            if more {
                levels.push("#".to_owned());
            }
            levels.join("/")
        })
    }

    proptest! {
        // MQTT 3.1.1: 3.3.2-3
        // MQTT 5.0: 3.3.2-3
        #[test]
        fn the_tree_finds_what_the_rule_says(
            filters in prop::collection::vec(filter(), 0..12),
            topics in prop::collection::vec(prop::collection::vec(level(), 1..5), 1..6),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let mut tree = Tree::default();
            let mut kept = Vec::new();
            for (client, filter) in (0..).zip(&filters) {
                tree.put(filter, None, subscriber(client));
                kept.push((client, filter));
            }
            for index in removed {
                if !kept.is_empty() {
                    let (client, filter) = kept.remove(index.index(kept.len()));
                    prop_assert!(tree.remove(filter, None, client));
                    prop_assert!(!tree.remove(filter, None, client));
                }
            }
            prop_assert_eq!(tree.len(), kept.len());
            for topic in topics {
                let topic = topic.join("/");
                let mut found = Vec::new();
                tree.find(&topic, &mut found);
                let mut found: Vec<_> = found.iter().map(|subscriber| subscriber.client).collect();
                found.sort_unstable();
                let mut expected: Vec<_> =
                    kept.iter().filter(|(_, filter)| matches(filter, &topic)).map(|(client, _)| *client).collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected, "{}", topic);
            }
            for (client, filter) in kept {
                tree.remove(filter, None, client);
            }
            prop_assert!(tree.root.is_empty());
        }
    }

    #[test]
    fn a_group_takes_turns_and_prefers_who_is_there() {
        let mut tree = Tree::default();
        for client in 0..3 {
            tree.put("a/#", Some("g"), subscriber(client));
        }
        let mut turn = |is_there: &dyn Fn(u32) -> bool| {
            let mut found = Vec::new();
            tree.choose("a/b", is_there, &mut found);
            found.iter().map(|member| member.client).collect::<Vec<_>>()
        };
        assert_eq!([turn(&|_| true), turn(&|_| true), turn(&|_| true), turn(&|_| true)], [[0], [1], [2], [0]]);
        assert_eq!(turn(&|client| client == 2), [2]);
        assert_eq!(turn(&|_| false).len(), 1);
    }
}
