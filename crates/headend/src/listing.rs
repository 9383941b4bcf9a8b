//! Looking through the devices: found, sorted, counted and cut into pages without reading more of each than is asked for.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use loggerhead_model::{Presence, Timestamp};
use loggerhead_protocols::Now;
use loggerhead_store::{DeviceSource, DeviceState};

use crate::device::{Device, Rules};
use crate::directory::Directory;
use crate::status::DeviceStatus;

/// Which devices, in which order, which of them. `None` fits all.
#[derive(Clone, Debug, Default)]
pub struct DeviceQuery {
    /// In this presence.
    pub presence: Option<Presence>,
    /// In this state.
    pub state: Option<DeviceState>,
    /// Told of by this.
    pub source: Option<DeviceSource>,
    /// Of this protocol.
    pub protocol: Option<String>,
    /// Of this site.
    pub site: Option<String>,
    /// With this text in id, identity or site, upper and lower case alike.
    pub search: Option<String>,
    /// What the order looks at.
    pub sort: DeviceSort,
    /// Which end comes first.
    pub order: DeviceOrder,
    /// Where the page begins.
    pub start: Start,
    /// Most devices on the page.
    pub limit: usize,
}

/// What devices are sorted by; those that are equal in it by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceSort {
    /// Our name.
    #[default]
    Id,
    /// Its name for itself.
    Identity,
    /// The one that needs a look first comes first: offline, silent, never seen, fresh; of these the latest to become so.
    Presence,
    /// What it speaks.
    Protocol,
    /// The place it belongs to; devices without one first.
    Site,
    /// When bytes were last received; never is before all others.
    Heard,
    /// When a reading was last received; never is before all others.
    Reading,
    /// Readings since the process started.
    Readings,
    /// Faults since the process started.
    Faults,
    /// When it became known; a device of the configuration is before all others.
    Added,
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceOrder {
    /// The least.
    #[default]
    Ascending,
    /// The greatest.
    Descending,
}

impl DeviceOrder {
    /// The other end first.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Ascending => Self::Descending,
            Self::Descending => Self::Ascending,
        }
    }
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After so many.
    Skip(usize),
    /// After this id, for an order by id: nothing is missed or seen twice when devices come or go between two pages.
    After(String),
}

impl Default for Start {
    fn default() -> Self {
        Self::Skip(0)
    }
}

/// A page of devices.
#[derive(Clone, Debug)]
pub struct DevicePage {
    /// Those of this page.
    pub devices: Vec<DeviceStatus>,
    /// Those that fit and stand before it.
    pub before: usize,
    /// All that fit.
    pub total: usize,
}

/// How many devices there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceTally {
    /// In the order of `Presence::ALL`.
    pub presences: [u64; Presence::ALL.len()],
    /// Those that wait for a yes, whatever their presence.
    pub pending: u64,
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteTally {
    /// Its name.
    pub site: String,
    /// How many devices belong to it.
    pub tally: DeviceTally,
}

impl DeviceTally {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.presences.iter().sum()
    }

    fn count(&mut self, presence: Presence, state: DeviceState) {
        for (count, _) in self.presences.iter_mut().zip(Presence::ALL).filter(|(_, other)| *other == presence) {
            *count += 1;
        }
        self.pending += u64::from(state == DeviceState::Pending);
    }
}

/// A device that fits, with what the order looks at.
struct Row {
    device: Arc<Device>,
    rules: Arc<Rules>,
    number: (i64, i64),
}

pub(crate) fn find(directory: &Directory, now: Now, query: &DeviceQuery) -> DevicePage {
    let search = query.search.as_deref().map(str::to_lowercase).filter(|part| !part.is_empty());
    let mut rows = Vec::new();
    directory.visit(|device| {
        let rules = device.rules();
        if fits(device, &rules, now, query, search.as_deref()) {
            let number = number(device, &rules, now, query.sort);
            rows.push(Row { device: Arc::clone(device), rules, number });
        }
    });
    rows.sort_unstable_by(|one, other| compare(query, one, other));
    let total = rows.len();
    let before = match &query.start {
        Start::Skip(count) => (*count).min(total),
        Start::After(id) => rows.partition_point(|row| {
            let reached = ordered(query.order, row.device.id.as_str().cmp(id));
            reached != Ordering::Greater
        }),
    };
    let devices = rows.iter().skip(before).take(query.limit).map(|row| row.device.status(now)).collect();
    DevicePage { devices, before, total }
}

pub(crate) fn tally(directory: &Directory, now: Now) -> DeviceTally {
    let mut tally = DeviceTally::default();
    directory.visit(|device| tally.count(device.standing(now).0, device.rules().state));
    tally
}

pub(crate) fn sites(directory: &Directory, now: Now) -> Vec<SiteTally> {
    let mut sites = BTreeMap::<String, DeviceTally>::new();
    directory.visit(|device| {
        let rules = device.rules();
        let Some(site) = device.site(&rules) else { return };
        // Most devices share a site with others, whose name is there already.
        if !sites.contains_key(site) {
            sites.insert(site.to_owned(), DeviceTally::default());
        }
        if let Some(tally) = sites.get_mut(site) {
            tally.count(device.standing(now).0, rules.state);
        }
    });
    sites.into_iter().map(|(site, tally)| SiteTally { site, tally }).collect()
}

fn fits(device: &Device, rules: &Rules, now: Now, query: &DeviceQuery, search: Option<&str>) -> bool {
    let found = |part: &str| {
        holds(device.id.as_str(), part)
            || holds(device.identity.as_str(), part)
            || rules.site.as_ref().is_some_and(|site| holds(site.as_str(), part))
    };
    query.state.is_none_or(|state| rules.state == state)
        && query.source.is_none_or(|source| rules.source == source)
        && query.protocol.as_deref().is_none_or(|protocol| device.protocol == protocol)
        && query.site.as_deref().is_none_or(|site| device.site(rules) == Some(site))
        && search.is_none_or(found)
        && query.presence.is_none_or(|presence| device.standing(now).0 == presence)
}

/// Whether `part`, in lower case and not empty, stands in a text.
fn holds(text: &str, part: &str) -> bool {
    if text.is_ascii() {
        text.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
    } else {
        text.to_lowercase().contains(part)
    }
}

/// What stands for a device in an order by numbers.
fn number(device: &Device, rules: &Rules, now: Now, sort: DeviceSort) -> (i64, i64) {
    let at = |at: Option<Timestamp>| (at.map_or(i64::MIN, Timestamp::unix_ms), 0);
    let count = |count: u64| (i64::try_from(count).unwrap_or(i64::MAX), 0);
    match sort {
        DeviceSort::Id | DeviceSort::Identity | DeviceSort::Protocol | DeviceSort::Site => (0, 0),
        DeviceSort::Presence => {
            let (presence, since) = device.standing(now);
            (urgency(presence), since.map_or(i64::MAX, |since| -since.unix_ms()))
        }
        DeviceSort::Heard => at(device.last_bytes_at()),
        DeviceSort::Reading => at(device.last_reading_at()),
        DeviceSort::Readings => count(device.counters.readings.value()),
        DeviceSort::Faults => count(device.counters.faults.value()),
        DeviceSort::Added => at(rules.added_at),
    }
}

fn urgency(presence: Presence) -> i64 {
    match presence {
        Presence::Offline => 0,
        Presence::ConnectedSilent => 1,
        Presence::Never => 2,
        Presence::ConnectedFresh => 3,
    }
}

fn compare(query: &DeviceQuery, one: &Row, other: &Row) -> Ordering {
    let by_sort = match query.sort {
        DeviceSort::Id => Ordering::Equal,
        DeviceSort::Identity => one.device.identity.cmp(&other.device.identity),
        DeviceSort::Protocol => one.device.protocol.cmp(other.device.protocol),
        DeviceSort::Site => one.device.site(&one.rules).cmp(&other.device.site(&other.rules)),
        DeviceSort::Presence
        | DeviceSort::Heard
        | DeviceSort::Reading
        | DeviceSort::Readings
        | DeviceSort::Faults
        | DeviceSort::Added => one.number.cmp(&other.number),
    };
    ordered(query.order, by_sort.then_with(|| one.device.id.cmp(&other.device.id)))
}

fn ordered(order: DeviceOrder, ordering: Ordering) -> Ordering {
    match order {
        DeviceOrder::Ascending => ordering,
        DeviceOrder::Descending => ordering.reverse(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use loggerhead_model::{DeviceId, Identity, Presence, Site, Timestamp};
    use loggerhead_protocols::Now;
    use loggerhead_store::{DeviceSource, DeviceState, Login};

    use super::{DeviceOrder, DeviceQuery, DeviceSort, Start, find, sites, tally};
    use crate::device::{Device, Past, Rules};
    use crate::directory::Directory;
    use crate::own_settings::OwnSettings;

    fn now() -> Now {
        Now { elapsed: Duration::from_secs(100), wall: Timestamp::from_unix_ms(100_000) }
    }

    fn add(directory: &Directory, id: &str, identity: &str, state: DeviceState, site: Option<&str>) -> Arc<Device> {
        let rules = Rules {
            state,
            source: DeviceSource::Operator,
            secret: None,
            login: Login::Secret,
            settings: OwnSettings::default(),
            added_at: (id != "c").then(|| Timestamp::from_unix_ms(1)),
            site: site.map(|site| Site::new(site).expect("a legal site")),
        };
        let (id, identity) = (DeviceId::new(id), Identity::new(identity));
        let (id, identity) = (id.expect("a legal id"), identity.expect("a legal identity"));
        let device = Arc::new(Device::new(id, "toy", identity, rules, Past::default()));
        directory.add(Arc::clone(&device)).expect("a new name");
        device
    }

    /// Three devices: `c` was heard last and read most, `b` waits for a yes, `a` has a site of its own.
    fn three() -> Directory {
        let directory = Directory::default();
        let a = add(&directory, "a", "330302D110/01", DeviceState::Active, Some("Nord-Turm ä"));
        add(&directory, "b", "330302D110/02", DeviceState::Pending, None);
        let c = add(&directory, "c", "110000A001/01", DeviceState::Active, None);
        let at = |seconds: u64| Now { elapsed: Duration::from_secs(seconds), wall: Timestamp::from_unix_ms(0) };
        for (device, heard, readings) in [(&a, 10, 2), (&c, 20, 7)] {
            let wall = Timestamp::from_unix_ms(i64::try_from(heard).expect("small") * 1000);
            device.heard(Now { wall, ..at(heard) }, 1);
            device.read(Now { wall, ..at(heard) }, readings);
        }
        directory
    }

    fn check(query: &DeviceQuery, expected: &[&str]) {
        let page = find(&three(), now(), &DeviceQuery { limit: 10, ..query.clone() });
        let ids: Vec<_> = page.devices.iter().map(|device| device.id.as_str()).collect();
        assert_eq!((ids.as_slice(), page.total), (expected, expected.len()), "{query:?}");
    }

    #[test]
    fn devices_are_found_by_what_they_are() {
        let all = DeviceQuery::default;
        let search = |text: &str| DeviceQuery { search: Some(text.to_owned()), ..all() };
        check(&all(), &["a", "b", "c"]);
        check(&search("d110/0"), &["a", "b"]);
        check(&search("TURM Ä"), &["a"]);
        check(&search(""), &["a", "b", "c"]);
        check(&search("no such device, and longer than every name that there is"), &[]);
        check(&DeviceQuery { site: Some("330302D110".to_owned()), ..all() }, &["b"]);
        check(&DeviceQuery { state: Some(DeviceState::Pending), ..all() }, &["b"]);
        check(&DeviceQuery { presence: Some(Presence::Never), ..all() }, &["b"]);
        check(&DeviceQuery { protocol: Some("other".to_owned()), ..all() }, &[]);
        check(&DeviceQuery { source: Some(DeviceSource::Enrolled), ..all() }, &[]);
    }

    #[test]
    fn devices_are_sorted_by_any_column_and_then_by_id() {
        for (sort, ascending) in [
            (DeviceSort::Id, ["a", "b", "c"]),
            (DeviceSort::Identity, ["c", "a", "b"]),
            (DeviceSort::Protocol, ["a", "b", "c"]),
            (DeviceSort::Site, ["c", "b", "a"]),
            (DeviceSort::Heard, ["b", "a", "c"]),
            (DeviceSort::Reading, ["b", "a", "c"]),
            (DeviceSort::Readings, ["b", "a", "c"]),
            (DeviceSort::Faults, ["a", "b", "c"]),
            (DeviceSort::Added, ["c", "a", "b"]),
            (DeviceSort::Presence, ["c", "a", "b"]),
        ] {
            let mut expected = ascending;
            check(&DeviceQuery { sort, ..DeviceQuery::default() }, &expected);
            expected.reverse();
            check(&DeviceQuery { sort, order: DeviceOrder::Descending, ..DeviceQuery::default() }, &expected);
        }
    }

    #[test]
    fn a_page_begins_where_it_is_told_to() {
        let directory = three();
        let ids = |order, start, limit| {
            let page = find(&directory, now(), &DeviceQuery { order, start, limit, ..DeviceQuery::default() });
            let ids = page.devices.iter().map(|device| device.id.to_string()).collect::<String>();
            (page.before, ids, page.total)
        };
        let up = DeviceOrder::Ascending;
        assert_eq!(ids(up, Start::Skip(1), 1), (1, "b".to_owned(), 3));
        assert_eq!(ids(up, Start::Skip(7), 1), (3, String::new(), 3));
        assert_eq!(ids(up, Start::After("a".to_owned()), 5), (1, "bc".to_owned(), 3));
        assert_eq!(ids(up, Start::After("aa".to_owned()), 5), (1, "bc".to_owned(), 3), "one that went meanwhile");
        assert_eq!(ids(DeviceOrder::Descending, Start::After("b".to_owned()), 5), (2, "a".to_owned(), 3));
    }

    #[test]
    fn devices_are_counted_by_presence_and_site() {
        let directory = three();
        let all = tally(&directory, now());
        assert_eq!((all.presences, all.pending, all.total()), ([0, 0, 2, 1], 1, 3));
        let sites = sites(&directory, now());
        let counted: Vec<_> = sites.iter().map(|site| (site.site.as_str(), site.tally.total())).collect();
        assert_eq!(counted, [("110000A001", 1), ("330302D110", 1), ("Nord-Turm ä", 1)]);
    }
}
