//! What every part of the head-end shares.

use std::sync::Arc;

use loggerhead_model::{
    CommandId, CommandState, DEVICE_ID_BYTES_MAX, DeviceId, Event, EventKind, Evidence, Identity, KeyKind, Order,
    Presence, Severity,
};
use loggerhead_protocols::office::Office;
use loggerhead_protocols::{
    Acceptor, CloseReason, DeviceSettings, DropCause, Exchange, News, Protocol, Refusal, SettingsError, find,
};
use loggerhead_store::{Change, CommandRecord, DeviceRecord, DeviceSource, DeviceState, Login, Secret, Store};

use crate::clock::Clock;
use crate::commands::Commands;
use crate::device::{Device, Past, Rules, SessionNumber};
use crate::directory::PENDING_MAX;
use crate::error::{CommandError, DeviceError};
use crate::files::Files;
use crate::hub::Hub;
use crate::identity::{Admittance, Enroll, Identities, Means};
use crate::journal::Journal;
use crate::metrics::Counters;
use crate::own_settings::OwnSettings;
use crate::relay::Relays;
use crate::said::SaidLately;
use crate::status::NewDevice;

/// Of an id that is taken, what a number is put behind. Four bytes a character and ten digits still fit.
const IDENTITY_CHARACTERS_KEPT: usize = (DEVICE_ID_BYTES_MAX - 11) / 4;

/// What the sessions of a protocol share, by its name.
pub(crate) type Exchanges = Vec<(&'static str, Arc<dyn Exchange>)>;

/// The shared parts. Nothing in it holds a lock while it waits.
pub(crate) struct Core {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) identities: Identities,
    pub(crate) journal: Journal,
    pub(crate) commands: Commands,
    pub(crate) hub: Arc<Hub>,
    pub(crate) counters: Arc<Counters>,
    /// Messages between people, whatever protocol each speaks.
    pub(crate) office: Arc<Office>,
    pub(crate) exchanges: Exchanges,
    pub(crate) relays: Relays,
    pub(crate) files: Files,
    pub(crate) said: SaidLately,
}

/// A command that is stored, and that its device was not given yet.
pub(crate) struct AcceptedCommand {
    device: Arc<Device>,
    pub(crate) record: CommandRecord,
}

/// What exchanges are told of a command.
pub(crate) fn news_of(record: &CommandRecord) -> News<'_> {
    News::Command { id: record.id, state: &record.state, changed_at: record.changed_at }
}

impl Core {
    /// The head-end's side of a listener, with what its protocol's sessions share behind it.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(crate) fn acceptor(
        &self,
        protocol: &Protocol,
        settings: &toml::Table,
        devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
    ) -> Result<Box<dyn Acceptor>, SettingsError> {
        match self.exchanges.iter().find(|(name, _)| *name == protocol.name) {
            Some((_, exchange)) => exchange.acceptor(settings, devices),
            None => (protocol.acceptor)(settings, devices),
        }
    }

    /// A device's presence changed: keep it, and tell who watches.
    pub(crate) fn presence_changed(&self, device: &Device, evidence: Evidence) {
        tracing::debug!(device = device.id.as_str(), presence = evidence.presence.word(), "presence");
        self.hub.presence(&device.id, &evidence);
        self.journal.presence(&device.id, evidence);
    }

    /// Judges every device anew: silence makes no noise of its own.
    pub(crate) fn review(&self) {
        let now = self.clock.now();
        self.identities.directory.visit(|device| {
            if let Some(evidence) = device.review(now) {
                self.presence_changed(device, evidence);
            }
        });
        for record in self.commands.expire(now.wall) {
            self.command_changed(record);
        }
    }

    /// How many devices are in each presence.
    pub(crate) fn presence_tally(&self) -> Vec<(&'static str, u64)> {
        let mut tally = Presence::ALL.map(|presence| (presence.word(), 0));
        self.identities.directory.visit(|device| {
            let word = device.presence().word();
            tally.iter_mut().filter(|(other, _)| *other == word).for_each(|(_, count)| *count += 1);
        });
        tally.to_vec()
    }

    /// Says something that no connection says.
    pub(crate) fn tell(&self, severity: Severity, kind: EventKind, device: Option<&DeviceId>, text: String) {
        let now = self.clock.now();
        let device_word = device.map_or("", DeviceId::as_str);
        match severity {
            Severity::Info => tracing::info!(device = device_word, kind = kind.word(), "{text}"),
            Severity::Warning => tracing::warn!(device = device_word, kind = kind.word(), "{text}"),
            Severity::Error => tracing::error!(device = device_word, kind = kind.word(), "{text}"),
        }
        let event = Event { at: now.wall, severity, kind, device: device.cloned(), peer: None, text: text.into() };
        // What is over the limit is counted there, and in the log above.
        let _stored = self.journal.event(now.elapsed, event);
    }

    /// A session says that a command moved on.
    pub(crate) fn command_moved(&self, id: CommandId, state: CommandState) {
        if let Some(record) = self.commands.moved(id, state, self.clock.now().wall) {
            self.command_changed(record);
        }
    }

    /// A session of a device is over: what it had not sent goes to the next one.
    pub(crate) fn session_ended(&self, device: &Device, session: SessionNumber) {
        for record in self.commands.session_ended(&device.id, session, self.clock.now().wall) {
            self.command_changed(record);
        }
        self.commands.deliver(device);
    }

    fn command_changed(&self, record: CommandRecord) {
        let severity = match record.state {
            CommandState::Accepted | CommandState::Sent | CommandState::Answered(_) => Severity::Info,
            CommandState::Failed(_) | CommandState::Expired => Severity::Warning,
        };
        let text =
            format!("command {} {} {}", record.id.0, record.state.word(), record.state.detail().unwrap_or_default());
        self.tell(severity, EventKind::Command, Some(&record.device), text.trim_end().to_owned());
        if let (Order::SetKey { kind, key }, CommandState::Answered(_)) = (&record.order, &record.state) {
            self.key_replaced(&record.device, *kind, key);
        }
        self.pass_on(&record);
        self.journal.command(record);
    }

    /// A device took a new key. The secret of its login is known here, so its next login needs no hand; everything else
    /// has to be written down by a person.
    fn key_replaced(&self, id: &DeviceId, kind: KeyKind, key: &str) {
        let Some(device) = self.identities.directory.by_id(id) else { return };
        let text = match kind {
            KeyKind::Login => {
                let rules = Rules { secret: Some(Secret::new(key.into())), ..Rules::clone(&device.rules()) };
                device.set_rules(rules.clone());
                if rules.source != DeviceSource::Configuration {
                    self.journal.device(device.record(&rules));
                    return;
                }
                "its secret changed: write the new one into the configuration before the next start"
            }
            KeyKind::Cipher | KeyKind::CipherIv => "its cipher key changed: write the new one into its settings",
        };
        self.tell(Severity::Warning, EventKind::Device, Some(id), text.to_owned());
    }

    /// Takes a command for a device.
    ///
    /// # Errors
    /// `CommandError` says why it is not taken.
    pub(crate) async fn command(&self, id: &DeviceId, order: Order) -> Result<CommandId, CommandError> {
        let accepted = self.accept_order(id, order).await?;
        let command = accepted.record.id;
        self.begin_command(accepted);
        Ok(command)
    }

    /// Stores a command for a device, which does not get it before `begin_command`.
    ///
    /// # Errors
    /// `CommandError` says why it is not taken.
    pub(crate) async fn accept_order(&self, id: &DeviceId, order: Order) -> Result<AcceptedCommand, CommandError> {
        let device = self.identities.directory.by_id(id).ok_or_else(|| CommandError::Unknown(id.clone()))?;
        if device.rules().state != DeviceState::Active {
            return Err(CommandError::NotActive(id.clone()));
        }
        let record = self.commands.draft(id, order, self.clock.now().wall)?;
        self.store.write(Change::Command(record.clone())).await?;
        Ok(AcceptedCommand { device, record })
    }

    /// Hands a command that is stored to its device, or lets it wait for it.
    pub(crate) fn begin_command(&self, accepted: AcceptedCommand) {
        let AcceptedCommand { device, record } = accepted;
        let text = format!("command {} accepted: {}", record.id.0, record.order);
        self.tell(Severity::Info, EventKind::Command, Some(&device.id), text);
        self.pass_on(&record);
        self.commands.add(record);
        self.commands.deliver(&device);
    }

    /// Counts messages for a device that were dropped.
    pub(crate) fn messages_dropped(&self, device: &DeviceId, count: u64, cause: DropCause) {
        if let Some(device) = self.identities.directory.by_id(device) {
            device.counters.dropped.add(count);
            self.counters.protocol(device.protocol).messages_dropped(cause, count);
        }
    }

    /// Tells what shares the news of all devices what became of a command.
    fn pass_on(&self, record: &CommandRecord) {
        let now = self.clock.now();
        for (_, exchange) in &self.exchanges {
            exchange.told(now, &record.device, news_of(record));
        }
    }

    /// An unknown device proved something to its listener. One that has only a cipher key, which whole sites share, waits for
    /// a yes in any case.
    ///
    /// # Errors
    /// `Pending` when it has to wait for a yes, `Full` when no more are taken or the store does not take it.
    pub(crate) async fn enroll(
        &self,
        admittance: &Admittance,
        identity: &Identity,
        means: Means,
        peer: &str,
    ) -> Result<Arc<Device>, Refusal> {
        let (login, secret) = match means {
            Means::Secret(secret) => (Login::Secret, Some(secret)),
            Means::Cipher => (Login::Cipher, None),
            Means::Certificate => (Login::Certificate, None),
        };
        let state = match admittance.enroll {
            Enroll::Accept if login != Login::Cipher => DeviceState::Active,
            Enroll::Accept | Enroll::Pending => DeviceState::Pending,
            Enroll::Refuse => return Err(Refusal::Unknown),
        };
        if state == DeviceState::Pending && self.identities.directory.pending() >= PENDING_MAX {
            return Err(Refusal::Full);
        }
        let record = DeviceRecord {
            id: self.vacant_id(identity),
            protocol: admittance.protocol.to_owned(),
            identity: identity.clone(),
            state,
            secret,
            login,
            settings: String::new(),
            learnt: loggerhead_model::Learnt::new(),
            added_at: self.clock.now().wall,
            source: DeviceSource::Enrolled,
            site: None,
        };
        let added = self.add(record, admittance.protocol, OwnSettings::default()).await;
        let device = added.map_err(|error| {
            tracing::warn!(%identity, %error, "cannot enrol");
            Refusal::Full
        })?;
        match state {
            DeviceState::Active => {
                let text = format!("{identity} enrolled from {peer}");
                self.tell(Severity::Info, EventKind::Device, Some(&device.id), text);
                Ok(device)
            }
            DeviceState::Pending => {
                let text = format!("{identity} from {peer} waits for a yes");
                self.tell(Severity::Warning, EventKind::Pending, Some(&device.id), text);
                Err(Refusal::Pending)
            }
        }
    }

    /// The device that stands for a person whom the console has signed in; a new one where there is none, with a secret
    /// that nobody knows.
    ///
    /// # Errors
    /// `Pending` when the name waits for a yes, `Full` when no more are taken or the store does not take it.
    pub(crate) async fn person(&self, protocol: &'static str, person: &Identity) -> Result<Arc<Device>, Refusal> {
        if let Some(device) = self.identities.directory.by_identity(protocol, person) {
            return match device.rules().state {
                DeviceState::Active => Ok(device),
                DeviceState::Pending => Err(Refusal::Pending),
            };
        }
        let record = DeviceRecord {
            id: self.vacant_id(person),
            protocol: protocol.to_owned(),
            identity: person.clone(),
            state: DeviceState::Active,
            secret: Some(Secret::new(rand::random::<[u8; 32]>().to_vec())),
            login: Login::Secret,
            settings: String::new(),
            learnt: loggerhead_model::Learnt::new(),
            added_at: self.clock.now().wall,
            source: DeviceSource::Enrolled,
            site: None,
        };
        let added = self.add(record, protocol, OwnSettings::default()).await;
        let device = added.map_err(|error| {
            tracing::warn!(%person, %error, "cannot enrol");
            Refusal::Full
        })?;
        self.tell(Severity::Info, EventKind::Device, Some(&device.id), format!("{person} enrolled from the console"));
        Ok(device)
    }

    /// An id for a device that nobody named: made from its identity, with a number where that is taken by another one.
    fn vacant_id(&self, identity: &Identity) -> DeviceId {
        let made = DeviceId::from_identity(identity);
        if self.identities.directory.by_id(&made).is_none() {
            return made;
        }
        let mut number = 2_u32;
        loop {
            let text: String = made.as_str().chars().take(IDENTITY_CHARACTERS_KEPT).collect();
            let id = DeviceId::new(&format!("{text}-{number}")).expect("made of a legal id, shorter than one");
            if self.identities.directory.by_id(&id).is_none() {
                return id;
            }
            number += 1;
        }
    }

    /// Takes a device that an operator names.
    ///
    /// # Errors
    /// `DeviceError` says which name or setting does not fit, or that it could not be kept.
    pub(crate) async fn add_device(&self, new: NewDevice) -> Result<Arc<Device>, DeviceError> {
        let protocol = find(&new.protocol).ok_or_else(|| DeviceError::Protocol(new.protocol.clone()))?;
        (protocol.check_device)(&new.settings)?;
        let settings = OwnSettings::from(&new.settings);
        let record = DeviceRecord {
            id: new.id.unwrap_or_else(|| self.vacant_id(&new.identity)),
            protocol: new.protocol,
            identity: new.identity,
            state: DeviceState::Active,
            secret: new.secret,
            login: new.login,
            settings: settings.text().to_owned(),
            learnt: loggerhead_model::Learnt::new(),
            added_at: self.clock.now().wall,
            source: DeviceSource::Operator,
            site: new.site,
        };
        let device = self.add(record, protocol.name, settings).await?;
        self.tell(Severity::Info, EventKind::Device, Some(&device.id), format!("{} added", device.identity));
        Ok(device)
    }

    async fn add(
        &self,
        record: DeviceRecord,
        protocol: &'static str,
        settings: OwnSettings,
    ) -> Result<Arc<Device>, DeviceError> {
        let kept = record.clone();
        let rules = Rules {
            state: record.state,
            source: record.source,
            secret: record.secret,
            login: record.login,
            settings,
            added_at: Some(record.added_at),
            site: record.site,
        };
        let device = Arc::new(Device::new(record.id, protocol, record.identity, rules, Past::default()));
        // The directory decides between two who want one name; only who is in it is written.
        self.identities.directory.add(Arc::clone(&device))?;
        match self.store.write(Change::Device(kept)).await {
            Ok(_) => Ok(device),
            Err(error) => {
                self.drop_device(&device);
                Err(error.into())
            }
        }
    }

    /// Says yes to a device that waits for it.
    ///
    /// # Errors
    /// `Unknown`, `NotPending`, or `Store` when it could not be kept.
    pub(crate) async fn accept_pending(&self, id: &DeviceId) -> Result<Arc<Device>, DeviceError> {
        let device = self.identities.directory.by_id(id).ok_or_else(|| DeviceError::Unknown(id.clone()))?;
        let rules = device.rules();
        if rules.state != DeviceState::Pending {
            return Err(DeviceError::NotPending(id.clone()));
        }
        let rules = Rules { state: DeviceState::Active, ..Rules::clone(&rules) };
        self.store.write(Change::Device(device.record(&rules))).await?;
        device.set_rules(rules);
        self.tell(Severity::Info, EventKind::Device, Some(id), format!("{} accepted", device.identity));
        Ok(device)
    }

    /// Forgets a device; its readings stay.
    ///
    /// # Errors
    /// `Unknown`, `Configured`, or `Store` when it could not be kept.
    pub(crate) async fn remove_device(&self, id: &DeviceId) -> Result<Arc<Device>, DeviceError> {
        let device = self.identities.directory.by_id(id).ok_or_else(|| DeviceError::Unknown(id.clone()))?;
        if device.rules().source == DeviceSource::Configuration {
            return Err(DeviceError::Configured(id.clone()));
        }
        self.store.write(Change::RemoveDevice(id.clone())).await?;
        self.drop_device(&device);
        self.tell(Severity::Info, EventKind::Device, Some(id), format!("{} removed", device.identity));
        Ok(device)
    }

    /// Takes a device out of everything that runs.
    pub(crate) fn drop_device(&self, device: &Device) {
        self.identities.directory.remove(&device.id);
        self.identities.forget(device);
        device.expel(&CloseReason::Reconfigured);
        for record in self.commands.forsake(&device.id, self.clock.now().wall) {
            self.command_changed(record);
        }
    }
}
