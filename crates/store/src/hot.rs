//! What is in the log and not sealed yet, by channel, in memory; and the latest reading of every channel.
//!
//! It answers whether a reading is known, gives readers the newest readings, and hands the sealer its rows without
//! reading the log again. Only committed readings are in it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::log::Batch;
use crate::row::{Row, Rows};
use crate::segment::{GROUP_CHANNELS, group_of, place_of};

/// The rows of one group while they are being sealed, with the place of each channel.
type Sealing = Arc<Vec<(u8, Rows)>>;

/// What of a group is set aside for sealing.
pub(crate) struct Taken {
    pub(crate) group: u32,
    pub(crate) sealing: Sealing,
    /// The batch up to which all rows are there.
    pub(crate) through: u64,
    /// The latest reading of every channel.
    pub(crate) latest: Vec<(u8, Latest)>,
}

/// The latest reading of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Latest {
    pub(crate) row: Row,
    pub(crate) text: Option<Box<str>>,
}

#[derive(Debug, Default)]
struct HotChannel {
    hot: Rows,
    /// The latest reading that is not in `hot`.
    sealed: Option<Latest>,
}

#[derive(Debug, Default)]
struct Group {
    channels: Vec<HotChannel>,
    rows: usize,
    sealing: Option<Sealing>,
    through: u64,
}

/// A batch that may still be in the log.
#[derive(Debug)]
struct Logged {
    number: u64,
    /// Readings in all batches up to it.
    total: u64,
    /// Our clock, ms since 1970.
    committed_at: i64,
}

/// All that is not sealed.
#[derive(Debug, Default)]
pub(crate) struct Hot {
    groups: Vec<Group>,
    rows: usize,
    applied: u64,
    epoch: u64,
    /// Batches that may still be in the log.
    logged: VecDeque<Logged>,
    /// Readings in all batches that were applied.
    total: u64,
    /// Readings in all segments that are committed. It changes together with `rows`, so that their sum is exact.
    sealed_readings: u64,
}

impl Hot {
    /// Rows that are in the log and in no segment.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Readings in segments.
    pub(crate) const fn sealed_readings(&self) -> u64 {
        self.sealed_readings
    }

    /// Takes in how many readings came into segments, and how many left them.
    pub(crate) const fn count_sealed(&mut self, added: u64, gone: u64) {
        self.sealed_readings = (self.sealed_readings + added).saturating_sub(gone);
    }

    /// The last batch that is in here.
    pub(crate) const fn applied(&self) -> u64 {
        self.applied
    }

    /// Changes when the index was read from the database again, so that what was prepared from the old one is void.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) const fn set_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Adds a committed batch. Rows that a group has sealed already are left out.
    pub(crate) fn apply(&mut self, number: u64, committed_at: i64, batch: &Batch) {
        for (&channel, row) in batch.channels.iter().zip(&batch.rows) {
            let group = self.group(group_of(channel));
            if number <= group.through {
                continue;
            }
            group.rows += 1;
            let slot = group.channel(place_of(channel));
            slot.hot.insert(*row, row.text(&batch.texts));
            self.rows += 1;
        }
        self.applied = self.applied.max(number);
        self.total += batch.rows.len() as u64;
        self.logged.push_back(Logged { number, total: self.total, committed_at });
    }

    /// The last batch that does not belong to the tail of the log: so many batches, and so many readings at most.
    pub(crate) fn before_tail(&self, batches: u64, readings: u64) -> u64 {
        let by_batches = self.applied.saturating_sub(batches);
        let by_readings = self.logged.partition_point(|batch| batch.total + readings <= self.total);
        let by_readings =
            by_readings.checked_sub(1).and_then(|last| self.logged.get(last)).map_or(0, |batch| batch.number);
        by_batches.max(by_readings)
    }

    /// Readings in the batches up to this one that are still in the log.
    pub(crate) fn logged_through(&self, through: u64) -> u64 {
        let before = self.logged.front().map_or(0, |batch| batch.total);
        let place = self.logged.partition_point(|batch| batch.number <= through);
        let last = place.checked_sub(1).and_then(|last| self.logged.get(last));
        last.map_or(0, |batch| batch.total - before)
    }

    /// The last batch in the log that was committed before a time; 0 without one. Those before it may have been committed
    /// while the clock was ahead.
    pub(crate) fn committed_before(&self, before: i64) -> u64 {
        let old = self.logged.iter().rev().find(|batch| batch.committed_at < before);
        old.map_or(0, |batch| batch.number)
    }

    /// Says that batches left the log.
    pub(crate) fn trimmed(&mut self, through: u64) {
        while self.logged.pop_front_if(|batch| batch.number <= through).is_some() {}
    }

    /// Says what is sealed of a group, as the store was found; before any batch is applied.
    pub(crate) fn found_sealed(&mut self, group: u32, through: u64, latest: Vec<(u8, Latest)>) {
        let group = self.group(group);
        group.through = through;
        for (place, latest) in latest {
            group.channel(place).sealed = Some(latest);
        }
    }

    /// The latest reading of a channel.
    pub(crate) fn latest(&self, channel: u32) -> Option<Latest> {
        self.slot(channel)?.latest()
    }

    /// The latest readings of a group, by place.
    fn latest_of_group(&self, group: u32) -> Vec<(u8, Latest)> {
        let channels = self.groups.get(group as usize).map_or(&[][..], |group| &group.channels);
        (0..).zip(channels).filter_map(|(place, slot)| Some((place, slot.latest()?))).collect()
    }

    /// The reading of a channel at a time, if it is in here.
    pub(crate) fn find(&self, channel: u32, measured_at: i64) -> Option<(&Row, &[Box<str>])> {
        let group = self.groups.get(group_of(channel) as usize)?;
        let place = place_of(channel);
        let hot = group.channels.get(usize::from(place)).and_then(|slot| slot.hot.find(measured_at));
        hot.or_else(|| group.sealing_rows(place)?.find(measured_at))
    }

    /// The rows of a channel with `from <= measured_at < to`, in the order of time.
    pub(crate) fn range(&self, channel: u32, from: i64, to: i64) -> Rows {
        let mut found = Rows::default();
        let Some(group) = self.groups.get(group_of(channel) as usize) else { return found };
        let place = place_of(channel);
        let hot = group.channels.get(usize::from(place)).map(|slot| &slot.hot);
        for source in [group.sealing_rows(place), hot].into_iter().flatten() {
            let start = source.rows.partition_point(|row| row.measured_at < from);
            for row in source.rows.get(start..).unwrap_or_default().iter().take_while(|row| row.measured_at < to) {
                found.push(*row, row.text(&source.texts));
            }
        }
        found.sort();
        found
    }

    /// Sets the rows of the group with the oldest unsealed readings aside for sealing. Only of groups with a reading
    /// measured before a time. `None` when there is none.
    pub(crate) fn begin_sealing(&mut self, before: i64) -> Option<Taken> {
        let open = (0_u32..).zip(&mut self.groups);
        let open = open.filter(|(_, group)| group.rows > 0 && group.sealing.is_none() && group.reaches(before));
        let (number, group) = open.min_by_key(|(_, group)| group.through)?;
        let mut taken = Vec::new();
        for (place, slot) in (0_u8..).zip(&mut group.channels) {
            if !slot.hot.rows.is_empty() {
                slot.sealed = slot.latest();
                let room = slot.hot.rows.len();
                taken.push((place, std::mem::take(&mut slot.hot)));
                slot.hot.rows.reserve(room);
            }
        }
        let sealing = Arc::new(taken);
        group.rows = 0;
        group.sealing = Some(Arc::clone(&sealing));
        Some(Taken { group: number, sealing, through: self.applied, latest: self.latest_of_group(number) })
    }

    /// Says that the rows of a group that were set aside are committed as segments.
    pub(crate) fn end_sealing(&mut self, group: u32, through: u64) {
        let group = self.group(group);
        let sealed: usize =
            group.sealing.take().iter().flat_map(|sealing| sealing.iter()).map(|(_, rows)| rows.rows.len()).sum();
        group.through = through;
        self.rows = self.rows.saturating_sub(sealed);
    }

    /// The batch up to which everything is sealed.
    pub(crate) fn sealed_through(&self) -> u64 {
        let open = self.groups.iter().filter(|group| group.rows > 0 || group.sealing.is_some());
        open.map(|group| group.through).min().unwrap_or(self.applied)
    }

    fn group(&mut self, number: u32) -> &mut Group {
        let index = number as usize;
        if index >= self.groups.len() {
            self.groups.resize_with(index + 1, Group::default);
        }
        self.groups.get_mut(index).expect("just made")
    }

    fn slot(&self, channel: u32) -> Option<&HotChannel> {
        self.groups.get(group_of(channel) as usize)?.channels.get(usize::from(place_of(channel)))
    }
}

impl Group {
    /// Whether it has a reading that was measured before a time.
    fn reaches(&self, before: i64) -> bool {
        let mut oldest = self.channels.iter().filter_map(|slot| slot.hot.rows.first());
        before == i64::MAX || oldest.any(|row| row.measured_at < before)
    }

    fn channel(&mut self, place: u8) -> &mut HotChannel {
        let index = usize::from(place);
        if index >= self.channels.len() {
            self.channels.resize_with((index + 1).max(GROUP_CHANNELS as usize), HotChannel::default);
        }
        self.channels.get_mut(index).expect("just made")
    }

    fn sealing_rows(&self, place: u8) -> Option<&Rows> {
        let sealing = self.sealing.as_ref()?;
        let index = sealing.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        sealing.get(index).map(|(_, rows)| rows)
    }
}

impl HotChannel {
    fn latest(&self) -> Option<Latest> {
        let Some(row) = self.hot.rows.last() else { return self.sealed.clone() };
        match &self.sealed {
            Some(sealed) if sealed.row.measured_at > row.measured_at => self.sealed.clone(),
            Some(_) | None => Some(Latest { row: *row, text: row.text(&self.hot.texts).map(Box::from) }),
        }
    }
}
