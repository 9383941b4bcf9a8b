//! What operators ask of devices: kept, handed to the device's session when there is one, and followed to its end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use loggerhead_model::{Command, CommandId, CommandState, DeviceId, Order, Timestamp};
use loggerhead_store::CommandRecord;

use crate::device::{Device, SessionNumber};
use crate::error::CommandError;
use crate::status::CommandStatus;

/// Commands that wait for one device.
pub(crate) const WAITING_MAX: usize = 32;
/// Finished commands that are remembered for listings; older ones are in the store.
const FINISHED_MAX: usize = 1_000;
/// A device that has not answered for this long will not.
const ANSWER_WITHIN: Duration = Duration::from_mins(5);

/// Every command that is not finished, and the last ones that are.
pub(crate) struct Commands {
    /// A command that could not be sent for this long expires.
    send_within: Duration,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    by_id: BTreeMap<CommandId, Row>,
    /// Those not finished, in the order in which they were asked.
    open: HashMap<DeviceId, Vec<CommandId>>,
    last: u64,
}

struct Row {
    record: CommandRecord,
    /// The session that has it.
    with: Option<SessionNumber>,
}

impl Commands {
    /// None yet; each will wait so long for its device.
    pub(crate) fn new(send_within: Duration) -> Self {
        Self { send_within, rows: Mutex::default() }
    }

    /// Takes in what an earlier process left. What was sent then can have no answer now; those records come back
    /// changed, to be stored.
    pub(crate) fn recall(&self, last: CommandId, records: Vec<CommandRecord>, now: Timestamp) -> Vec<CommandRecord> {
        let mut rows = self.lock();
        rows.last = last.0;
        let mut changed = Vec::new();
        for mut record in records {
            if record.state == CommandState::Sent {
                record.state = CommandState::Failed("the head-end stopped before the answer".to_owned());
                record.changed_at = now;
                changed.push(record.clone());
            }
            rows.put(record);
        }
        changed
    }

    /// A new command for a device, not in the list yet.
    ///
    /// # Errors
    /// `Full` when too many wait already.
    pub(crate) fn draft(&self, device: &DeviceId, order: Order, now: Timestamp) -> Result<CommandRecord, CommandError> {
        let mut rows = self.lock();
        let waiting = rows.open.get(device).map_or(0, Vec::len);
        if waiting >= WAITING_MAX {
            return Err(CommandError::Full { device: device.clone(), waiting });
        }
        rows.last += 1;
        let id = CommandId(rows.last);
        let device = device.clone();
        Ok(CommandRecord { id, device, order, state: CommandState::Accepted, accepted_at: now, changed_at: now })
    }

    /// Puts a command that is stored into the list.
    pub(crate) fn add(&self, record: CommandRecord) {
        self.lock().put(record);
    }

    /// Hands what waits for a device to its newest session, in order.
    pub(crate) fn deliver(&self, device: &Device) {
        let Some((session, mailbox)) = device.newest() else { return };
        let mut rows = self.lock();
        let Rows { by_id, open, .. } = &mut *rows;
        for id in open.get(&device.id).into_iter().flatten() {
            if let Some(row) = by_id.get_mut(id)
                && row.record.state == CommandState::Accepted
                && row.with.is_none()
            {
                row.with = Some(session);
                mailbox.command(Command {
                    id: *id,
                    order: row.record.order.clone(),
                    accepted_at: row.record.accepted_at,
                });
            }
        }
    }

    /// A command moved on; the record to store, unless it was finished before.
    pub(crate) fn moved(&self, id: CommandId, state: CommandState, now: Timestamp) -> Option<CommandRecord> {
        self.lock().change(id, state, now)
    }

    /// A session ended. What it had not sent waits again; what it had sent can have no answer any more.
    pub(crate) fn session_ended(
        &self,
        device: &DeviceId,
        session: SessionNumber,
        now: Timestamp,
    ) -> Vec<CommandRecord> {
        let mut rows = self.lock();
        let ids: Vec<_> = rows.open.get(device).into_iter().flatten().copied().collect();
        let mut changed = Vec::new();
        for id in ids {
            let Some(row) = rows.by_id.get_mut(&id).filter(|row| row.with == Some(session)) else { continue };
            row.with = None;
            if row.record.state == CommandState::Sent {
                let state = CommandState::Failed("the session ended before the answer".to_owned());
                changed.extend(rows.change(id, state, now));
            }
        }
        changed
    }

    /// Ends what waited for too long; the records to store.
    pub(crate) fn expire(&self, now: Timestamp) -> Vec<CommandRecord> {
        let mut rows = self.lock();
        let overdue: Vec<_> = rows
            .open
            .values()
            .flatten()
            .filter(|id| rows.by_id.get(id).is_some_and(|row| is_overdue(&row.record, now, self.send_within)))
            .copied()
            .collect();
        overdue.into_iter().filter_map(|id| rows.change(id, CommandState::Expired, now)).collect()
    }

    /// Ends what waits for a device that is removed.
    pub(crate) fn forsake(&self, device: &DeviceId, now: Timestamp) -> Vec<CommandRecord> {
        let mut rows = self.lock();
        let ids: Vec<_> = rows.open.get(device).into_iter().flatten().copied().collect();
        let state = CommandState::Failed("the device was removed".to_owned());
        ids.into_iter().filter_map(|id| rows.change(id, state.clone(), now)).collect()
    }

    /// The newest first, of one device or of all.
    pub(crate) fn list(&self, device: Option<&DeviceId>) -> Vec<CommandStatus> {
        let rows = self.lock();
        let wanted = rows.by_id.values().rev().filter(|row| device.is_none_or(|device| *device == row.record.device));
        wanted.map(|row| status(&row.record)).collect()
    }

    /// One of them.
    pub(crate) fn find(&self, id: CommandId) -> Option<CommandStatus> {
        self.lock().by_id.get(&id).map(|row| status(&row.record))
    }

    /// Shows the last command of each device, while nothing changes.
    pub(crate) fn visit_last(&self, mut visit: impl FnMut(&CommandRecord)) {
        let rows = self.lock();
        let mut seen = HashSet::new();
        for row in rows.by_id.values().rev() {
            if seen.insert(&row.record.device) {
                visit(&row.record);
            }
        }
    }

    /// How many there are by the word of their state.
    pub(crate) fn tally(&self) -> Vec<(&'static str, u64)> {
        let rows = self.lock();
        let count = |word| rows.by_id.values().filter(|row| row.record.state.word() == word).count() as u64;
        CommandState::WORDS.into_iter().map(|word| (word, count(word))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().expect("nothing panics while it holds the commands")
    }
}

impl Rows {
    fn put(&mut self, record: CommandRecord) {
        if !record.state.is_finished() {
            self.open.entry(record.device.clone()).or_default().push(record.id);
        }
        self.by_id.insert(record.id, Row { record, with: None });
    }

    fn change(&mut self, id: CommandId, state: CommandState, now: Timestamp) -> Option<CommandRecord> {
        let row = self.by_id.get_mut(&id).filter(|row| !row.record.state.is_finished() && row.record.state != state)?;
        row.record.state = state;
        row.record.changed_at = now;
        let record = row.record.clone();
        if record.state.is_finished() {
            self.finish(&record);
        }
        Some(record)
    }

    fn finish(&mut self, record: &CommandRecord) {
        if let Some(open) = self.open.get_mut(&record.device) {
            open.retain(|id| *id != record.id);
            if open.is_empty() {
                self.open.remove(&record.device);
            }
        }
        let unfinished: usize = self.open.values().map(Vec::len).sum();
        if self.by_id.len() > FINISHED_MAX + unfinished {
            let oldest = self.by_id.iter().find(|(_, row)| row.record.state.is_finished()).map(|(id, _)| *id);
            oldest.and_then(|id| self.by_id.remove(&id));
        }
    }
}

fn is_overdue(record: &CommandRecord, now: Timestamp, send_within: Duration) -> bool {
    match record.state {
        CommandState::Accepted => now.since(record.accepted_at) >= send_within,
        CommandState::Sent => now.since(record.changed_at) >= ANSWER_WITHIN,
        CommandState::Answered(_) | CommandState::Failed(_) | CommandState::Expired => false,
    }
}

/// What operators see: everything but keys.
pub(crate) fn status(record: &CommandRecord) -> CommandStatus {
    let order = match &record.order {
        Order::SetKey { kind, .. } => Order::SetKey { kind: *kind, key: "***".to_owned() },
        order @ (Order::Period { .. } | Order::Query { .. } | Order::Describe | Order::Control { .. }) => order.clone(),
    };
    CommandStatus {
        id: record.id,
        device: record.device.clone(),
        order,
        state: record.state.clone(),
        accepted_at: record.accepted_at,
        changed_at: record.changed_at,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loggerhead_model::{CommandId, CommandState, DeviceId, KeyKind, Order, Timestamp};
    use loggerhead_store::CommandRecord;

    use super::{Commands, FINISHED_MAX, WAITING_MAX};
    use crate::error::CommandError;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000);
    const SEND_WITHIN: Duration = Duration::from_hours(1);

    fn device() -> DeviceId {
        DeviceId::new("a").expect("a legal id")
    }

    fn take(commands: &Commands) -> CommandRecord {
        let record = commands.draft(&device(), Order::Describe, NOW).expect("there is room");
        commands.add(record.clone());
        record
    }

    #[test]
    fn what_waits_for_one_device_has_a_limit() {
        let commands = Commands::new(SEND_WITHIN);
        let first = take(&commands);
        for _ in 1..WAITING_MAX {
            take(&commands);
        }
        let full = commands.draft(&device(), Order::Describe, NOW);
        assert!(matches!(full, Err(CommandError::Full { .. })));
        commands.moved(first.id, CommandState::Expired, NOW).expect("it was open");
        assert!(commands.draft(&device(), Order::Describe, NOW).is_ok());
    }

    #[test]
    fn a_finished_command_stays_as_it_is() {
        let commands = Commands::new(SEND_WITHIN);
        let id = take(&commands).id;
        assert!(commands.moved(id, CommandState::Answered("yes".into()), NOW).is_some());
        assert!(commands.moved(id, CommandState::Failed("late".into()), NOW).is_none());
        assert_eq!(commands.find(id).map(|status| status.state), Some(CommandState::Answered("yes".into())));
    }

    #[test]
    fn a_command_that_cannot_be_sent_expires() {
        let commands = Commands::new(SEND_WITHIN);
        let id = take(&commands).id;
        let later = |ms| Timestamp::from_unix_ms(NOW.unix_ms() + ms);
        let limit_ms = i64::try_from(SEND_WITHIN.as_millis()).expect("an hour");
        assert!(commands.expire(later(limit_ms - 1)).is_empty());
        assert_eq!(commands.expire(later(limit_ms)).first().map(|record| record.id), Some(id));
        assert!(commands.expire(later(limit_ms)).is_empty());
    }

    #[test]
    fn what_was_sent_before_a_restart_has_failed_and_what_waited_waits() {
        let commands = Commands::new(SEND_WITHIN);
        let record = |id, state| CommandRecord {
            id: CommandId(id),
            device: device(),
            order: Order::Describe,
            state,
            accepted_at: NOW,
            changed_at: NOW,
        };
        let changed =
            commands.recall(CommandId(9), vec![record(8, CommandState::Sent), record(9, CommandState::Accepted)], NOW);
        assert_eq!(changed.iter().map(|record| record.id).collect::<Vec<_>>(), [CommandId(8)]);
        assert_eq!(commands.find(CommandId(9)).map(|status| status.state), Some(CommandState::Accepted));
        assert_eq!(take(&commands).id, CommandId(10), "ids go on");
    }

    #[test]
    fn finished_commands_are_forgotten_and_open_ones_are_not() {
        let commands = Commands::new(SEND_WITHIN);
        let open = take(&commands).id;
        for _ in 0..FINISHED_MAX + 10 {
            let id = take(&commands).id;
            commands.moved(id, CommandState::Expired, NOW).expect("it was open");
        }
        assert_eq!(commands.list(None).len(), FINISHED_MAX + 1);
        assert!(commands.find(open).is_some());
    }

    #[test]
    fn a_key_is_never_shown() {
        let commands = Commands::new(SEND_WITHIN);
        let order = Order::SetKey { kind: KeyKind::Login, key: "open-sesame".to_owned() };
        let record = commands.draft(&device(), order, NOW).expect("there is room");
        commands.add(record);
        assert!(!format!("{:?}", commands.list(None)).contains("open-sesame"));
        let shown = commands.list(None).into_iter().map(|status| status.order).collect::<Vec<_>>();
        assert_eq!(shown, [Order::SetKey { kind: KeyKind::Login, key: "***".to_owned() }]);
    }
}
