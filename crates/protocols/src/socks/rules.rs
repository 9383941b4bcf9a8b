//! Who may be led where: the first rule that fits decides; where none fits, public addresses may be reached.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::area::{Area, Kind, Network};
use super::message::Command;
use super::settings::Settings;
use crate::relay::upstream::Upstream;
use crate::relay::{Host, Place, Route};

/// Most rules of a listener: all of them are looked at for every address.
pub(super) const RULES_MAX: usize = 1_000;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Deny,
}

/// A rule. An empty list says nothing about what it lists.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) action: Action,
    /// Names of users; `*` is everybody who is logged in.
    pub(super) users: Vec<String>,
    /// From where the peer comes.
    pub(super) from: Vec<Network>,
    pub(super) commands: Vec<Command>,
    /// Names that may be asked for: in small letters, `*.` in front for all below.
    pub(super) names: Vec<String>,
    /// Where a rule leads; nothing: public addresses when it allows, and every address when it denies.
    pub(super) to: Vec<Area>,
    pub(super) ports: Vec<RangeInclusive<u16>>,
    /// From which of our addresses.
    pub(super) outgoing: Option<IpAddr>,
    /// Through which proxy of others; none: straight.
    pub(super) upstream: Option<Arc<Upstream>>,
}

/// Who asks for what.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) user: Option<String>,
    /// None on a Unix socket.
    pub(super) from: Option<IpAddr>,
    pub(super) command: Command,
}

/// By which way a place may be reached; none where it may not.
pub(super) fn decide(settings: &Settings, asked: &Asked, host: &Host, place: Place) -> Option<Route> {
    match settings.rules.iter().find(|rule| rule.fits(asked, host, place)) {
        Some(Rule { action: Action::Deny, .. }) => None,
        Some(rule) => Some(Route { outgoing: rule.outgoing, upstream: rule.upstream.clone() }),
        None => {
            let usual = || Route { outgoing: None, upstream: settings.upstream.clone() };
            Area::Kind(Kind::Public).allows(place).then(usual)
        }
    }
}

impl Rule {
    fn fits(&self, asked: &Asked, host: &Host, place: Place) -> bool {
        self.is_of(asked, host)
            && (self.ports.is_empty() || self.ports.iter().any(|ports| ports.contains(&place.address.port())))
            && self.leads_to(place)
            && self.outgoing.is_none_or(|outgoing| outgoing.is_ipv4() == place.address.is_ipv4())
    }

    fn is_of(&self, asked: &Asked, host: &Host) -> bool {
        let is_user = |name: &String| asked.user.as_ref().is_some_and(|user| name == "*" || name == user);
        let is_name = |pattern: &String| match host {
            Host::Name(name) => fits_name(pattern, name),
            Host::Address(_) => false,
        };
        (self.users.is_empty() || self.users.iter().any(is_user))
            && (self.from.is_empty() || asked.from.is_some_and(|from| self.from.iter().any(|own| own.has(from))))
            && (self.commands.is_empty() || self.commands.contains(&asked.command))
            && (self.names.is_empty() || self.names.iter().any(is_name))
    }

    fn leads_to(&self, place: Place) -> bool {
        match (self.action, self.to.as_slice()) {
            (Action::Allow, []) => Area::Kind(Kind::Public).allows(place),
            (Action::Allow, areas) => areas.iter().any(|area| area.allows(place)),
            (Action::Deny, []) => true,
            (Action::Deny, areas) => areas.iter().any(|area| area.denies(place)),
        }
    }
}

/// `*.example.org` fits every name below `example.org`; anything else is the name itself. A point at the end says nothing.
fn fits_name(pattern: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        Some(below) => name.len() > below.len() && name.ends_with(below),
        None => name == *pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::{Asked, decide};
    use crate::relay::{Host, Place};
    use crate::socks::message::Command;

    const RULES: &str = r"
[[rule]]
action = 'deny'
ports = ['25']
[[rule]]
action = 'allow'
users = ['alice']
names = ['*.Plant.example', 'gate.example']
to = ['private']
ports = ['80', '8000-8099']
[[rule]]
action = 'deny'
users = ['*']
from = ['198.51.100.0/24']
[[rule]]
action = 'allow'
from = ['192.0.2.0/24']
names = ['self.example']
to = ['own', '127.0.0.0/8']
";

    /// Whether `user` may go to `place` when it asked for `host`.
    #[track_caller]
    fn check(user: &str, host: &str, place: &str, allowed: bool) {
        let settings = Settings::of_listener(&RULES.parse().expect("TOML")).expect("rules that can be");
        let asked = Asked {
            user: (!user.is_empty()).then(|| user.to_owned()),
            from: Some("192.0.2.7".parse().expect("an address")),
            command: Command::Connect,
        };
        let asked_for = host.parse().map_or(Host::Name(host.into()), Host::Address);
        let place = Place { address: place.parse().expect("an address"), is_own: place.starts_with("10.9.") };
        assert_eq!(decide(&settings, &asked, &asked_for, place).is_some(), allowed, "{user} {host} {place:?}");
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_public_addresses_need_none() {
        check("", "1.1.1.1", "1.1.1.1:443", true);
        check("", "1.1.1.1", "1.1.1.1:25", false);
        check("alice", "a.plant.EXAMPLE.", "10.1.1.1:8050", true);
        check("alice", "gate.example", "10.1.1.1:80", true);
        check("alice", "plant.example", "10.1.1.1:80", false);
        check("alice", "aplant.example", "10.1.1.1:80", false);
        check("alice", "10.1.1.1", "10.1.1.1:80", false);
        check("alice", "a.plant.example", "10.1.1.1:81", false);
        check("bob", "a.plant.example", "10.1.1.1:80", false);
        // A name of the plant that leads to the machine itself.
        check("alice", "a.plant.example", "10.9.1.1:80", false);
        check("alice", "a.plant.example", "127.0.0.1:80", false);
        check("", "self.example", "127.0.0.1:80", true);
        check("", "self.example", "10.9.1.1:80", true);
        check("", "self.example", "10.1.1.1:80", false);
    }

    #[test]
    fn a_rule_with_an_address_of_ours_is_one_for_its_family() {
        let rules = "[[rule]]\naction = 'allow'\nto = ['private']\noutgoing = '10.0.0.1'\n\
                     [[rule]]\naction = 'allow'\nto = ['private']\noutgoing = 'fd00::1'\n";
        let settings = Settings::of_listener(&rules.parse().expect("TOML")).expect("rules that can be");
        let asked = Asked { user: None, from: None, command: Command::Connect };
        for (to, from) in [("10.1.1.1:80", "10.0.0.1"), ("[fd00::2]:80", "fd00::1")] {
            let place = Place { address: to.parse().expect("an address"), is_own: false };
            let route = decide(&settings, &asked, &Host::Address(place.address.ip()), place).expect("it is allowed");
            assert_eq!(route.outgoing, from.parse().ok(), "{to}");
        }
    }
}
