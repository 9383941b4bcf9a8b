//! Making the shared parts from a configuration and from what the store remembers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Evidence, Learnt};
use loggerhead_protocols::office::{self, Office};
use loggerhead_protocols::{ALL, CloseReason, Now, find};
use loggerhead_store::{DeviceRecord, DeviceSource, DeviceState, Reader, Store, StoreError};

use crate::clock::Clock;
use crate::commands::Commands;
use crate::config::{self, Config};
use crate::core::{Core, Exchanges};
use crate::device::{Device, Past, Rules};
use crate::error::StartError;
use crate::files::Files;
use crate::hub::Hub;
use crate::identity::Identities;
use crate::journal::Journal;
use crate::keyring::Key;
use crate::metrics::Counters;
use crate::own_settings::OwnSettings;
use crate::relay::Relays;
use crate::said::SaidLately;
use crate::status::ReloadReport;

/// Commands that are read back from the store.
const COMMANDS_RECALLED_MAX: usize = 1_000;

/// Opens the store and puts the shared parts together.
///
/// # Errors
/// `Store` when it cannot be opened.
pub(crate) async fn core(config: &Config) -> Result<Core, StartError> {
    let clock = Clock::start();
    let counters = Arc::new(Counters::new());
    let hub = Arc::new(Hub::new(Arc::clone(&counters)));
    let (directory, mut options) = (config.data_dir.clone(), config.store_options());
    options.on_commit = Some(Box::new({
        let hub = Arc::clone(&hub);
        move |committed| hub.publish(committed)
    }));
    let store = blocking(move || Store::open(&directory, options)).await?;
    let key = Key::of_directory(&config.data_dir)?;
    hub.begin_after(store.health().cursor);
    let (reader, now) = (store.reader(), clock.now());
    let (office, exchanges) = blocking(move || exchanges(&reader, &key, now)).await?;
    let files = {
        let (directory, store, limits) = (config.data_dir.clone(), store.clone(), config.files);
        let opened = tokio::task::spawn_blocking(move || Files::open(&directory, &store, clock, limits)).await;
        opened.expect("opening the folder of files does not panic")?
    };
    Ok(Core {
        office,
        exchanges,
        files,
        clock,
        store,
        identities: Identities::new(),
        journal: Journal::new(Arc::clone(&counters)),
        commands: Commands::new(config.command_within),
        hub,
        counters,
        relays: Relays::default(),
        said: SaidLately::new(config.frames),
    })
}

/// What the sessions of each protocol share, over one office of messages, with what earlier runs noted of both.
fn exchanges(reader: &Reader, key: &Key, now: Now) -> Result<(Arc<Office>, Exchanges), StoreError> {
    let office = Arc::<Office>::default();
    office.recall(&mut notes(reader, office::SHELF)?.into_iter());
    let mut exchanges = Exchanges::new();
    for (protocol, make) in ALL.iter().filter_map(|protocol| Some((protocol.name, protocol.exchange?))) {
        let exchange = make();
        let exchange = exchange.over(&office).unwrap_or(exchange);
        exchange.entrust(key.bytes());
        exchange.recall(now, &mut notes(reader, protocol)?.into_iter());
        exchanges.push((protocol, exchange));
    }
    Ok((office, exchanges))
}

/// What earlier runs noted on a shelf.
fn notes(reader: &Reader, shelf: &str) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let mut notes = Vec::new();
    reader.notes(shelf, &mut |key, value| {
        notes.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        ControlFlow::Continue(())
    })?;
    Ok(notes)
}

/// What the store remembers of devices and commands.
struct Memory {
    devices: Vec<DeviceRecord>,
    learnt: HashMap<DeviceId, Learnt>,
    evidence: HashMap<DeviceId, Evidence>,
}

impl Memory {
    fn read(reader: &Reader) -> Result<Self, StoreError> {
        Ok(Self {
            devices: reader.devices()?,
            learnt: reader.learnt()?.into_iter().collect(),
            evidence: reader.presence()?.into_iter().map(|record| (record.device, record.evidence)).collect(),
        })
    }

    fn past(&mut self, device: &DeviceId) -> Past {
        Past { learnt: self.learnt.remove(device).unwrap_or_default(), evidence: self.evidence.remove(device) }
    }
}

/// Fills the directory: the devices of the configuration first, then those of the store, and what is remembered of
/// both.
///
/// # Errors
/// `StartError` when two devices of the configuration have one name, or the store cannot be read.
pub(crate) async fn recall(core: &Core, config: &Config) -> Result<(), StartError> {
    check_devices(config)?;
    let reader = core.store.reader();
    let (mut memory, commands, last) = blocking(move || {
        Ok((Memory::read(&reader)?, reader.commands(None, COMMANDS_RECALLED_MAX)?, reader.last_command()?))
    })
    .await?;
    for device in &config.devices {
        add(core, Arc::new(configured(device, memory.past(&device.id))?));
    }
    for record in std::mem::take(&mut memory.devices) {
        let past = memory.past(&record.id);
        if let Some(device) = kept(record, past) {
            add(core, Arc::new(device));
        }
    }
    let mut commands = commands;
    commands.sort_unstable_by_key(|record| record.id);
    for changed in core.commands.recall(last, commands, core.clock.now().wall) {
        core.journal.command(changed);
    }
    Ok(())
}

fn add(core: &Core, device: Arc<Device>) {
    let (id, identity) = (device.id.clone(), device.identity.clone());
    let peer = device.evidence(core.clock.now()).peer;
    match core.identities.directory.add(device) {
        // A device is known at the address where it was last: strangers there do not lock it out after a restart.
        Ok(()) => {
            if let Some(address) = peer.as_deref().and_then(address) {
                core.identities.throttle.succeeded(core.clock.now().elapsed, &identity, Some(address));
            }
        }
        Err(error) => tracing::warn!(device = id.as_str(), %error, "a device of the store is left out"),
    }
}

fn address(peer: &str) -> Option<IpAddr> {
    peer.parse::<SocketAddr>().ok().map(|address| address.ip())
}

/// A device of the configuration.
fn configured(device: &config::Device, past: Past) -> Result<Device, StartError> {
    let protocol = find(&device.protocol).ok_or_else(|| StartError::Protocol {
        owner: format!("device {}", device.id),
        protocol: device.protocol.clone(),
    })?;
    Ok(Device::new(device.id.clone(), protocol.name, device.identity.clone(), rules(device), past))
}

fn rules(device: &config::Device) -> Rules {
    Rules {
        state: DeviceState::Active,
        source: DeviceSource::Configuration,
        secret: device.secret.clone(),
        login: device.login,
        settings: OwnSettings::from(&device.settings),
        added_at: None,
        site: device.site.clone(),
    }
}

/// A device of the store; none when this program cannot know it any more.
fn kept(record: DeviceRecord, past: Past) -> Option<Device> {
    let Some(protocol) = find(&record.protocol) else {
        tracing::warn!(device = record.id.as_str(), protocol = record.protocol, "no such protocol any more");
        return None;
    };
    let settings = match OwnSettings::parse(&record.settings) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!(device = record.id.as_str(), %error, "its settings cannot be read");
            return None;
        }
    };
    let rules = Rules {
        state: record.state,
        source: record.source,
        secret: record.secret,
        login: record.login,
        settings,
        added_at: Some(record.added_at),
        site: record.site,
    };
    Some(Device::new(record.id, protocol.name, record.identity, rules, past))
}

/// Whether the devices of a configuration can be.
///
/// # Errors
/// `Protocol`, `Settings` or `Twice` names the device.
pub(crate) fn check_devices(config: &Config) -> Result<(), StartError> {
    let mut names = std::collections::HashSet::new();
    for device in &config.devices {
        let owner = || format!("device {}", device.id);
        let protocol = find(&device.protocol)
            .ok_or_else(|| StartError::Protocol { owner: owner(), protocol: device.protocol.clone() })?;
        (protocol.check_device)(&device.settings).map_err(|source| StartError::Settings { owner: owner(), source })?;
        let identity = format!("{} {}", device.protocol, device.identity);
        for name in [device.id.to_string(), identity] {
            if !names.insert(name.clone()) {
                return Err(StartError::Twice { name });
            }
        }
    }
    Ok(())
}

/// Goes over to the devices of a new configuration, which were checked. Devices of the store stay.
pub(crate) fn change_devices(core: &Core, config: &Config, report: &mut ReloadReport) {
    let directory = &core.identities.directory;
    for device in directory.all() {
        let wanted = config.devices.iter().any(|wanted| {
            wanted.id == device.id && wanted.protocol == device.protocol && wanted.identity == device.identity
        });
        if !wanted && device.rules().source == DeviceSource::Configuration {
            core.drop_device(&device);
            report.devices_removed.push(device.id.clone());
        }
    }
    for wanted in &config.devices {
        match directory.by_id(&wanted.id) {
            Some(device) if device.rules().source == DeviceSource::Configuration => {
                let (before, now) = (device.rules(), rules(wanted));
                if !before.is_same(&now) {
                    device.set_rules(now);
                    core.identities.forget(&device);
                    device.expel(&CloseReason::Reconfigured);
                    report.devices_changed.push(wanted.id.clone());
                } else if before.site != now.site {
                    device.set_rules(now);
                    report.devices_changed.push(wanted.id.clone());
                }
            }
            Some(_) => tracing::warn!(device = wanted.id.as_str(), "was added at run time; that one stays"),
            None => match configured(wanted, Past::default()) {
                Ok(device) => {
                    add(core, Arc::new(device));
                    report.devices_added.push(wanted.id.clone());
                }
                Err(error) => tracing::error!(%error, "a device cannot be added"),
            },
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StartError> {
    let done = tokio::task::spawn_blocking(work).await.expect("opening and reading the store does not panic");
    done.map_err(StartError::Store)
}
