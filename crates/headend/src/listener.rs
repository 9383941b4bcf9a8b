//! One configured listener: what it lets in, and who came in by it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwap;
use loggerhead_protocols::{Acceptor, CloseReason, Limits};

use crate::config::Sockets;
use crate::data_doors::DataDoors;
use crate::device::SessionNumber;
use crate::identity::Admittance;
use crate::mailbox::Mailbox;
use crate::metrics::{ConnectionLimit, ProtocolCounters};

/// A listener, shared by its sockets and its connections.
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) protocol: &'static str,
    pub(crate) counters: Arc<ProtocolCounters>,
    settings: ArcSwap<Settings>,
    /// Rebuilt when devices or settings change; sessions that stand keep what they were made with.
    acceptor: ArcSwap<Box<dyn Acceptor>>,
    guests: Mutex<Guests>,
    /// Doors for single connections of peers that are in.
    pub(crate) data_doors: DataDoors,
}

/// What may change without closing connections.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) admittance: Admittance,
    pub(crate) sockets: Sockets,
    /// Peers that speak for others, and say for whom.
    pub(crate) proxies: Vec<IpAddr>,
    pub(crate) limits: Limits,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: usize,
    pub(crate) connections_per_device_max: usize,
    /// 0 for as many as come.
    pub(crate) connects_per_s_max: u32,
}

#[derive(Default)]
struct Guests {
    mailboxes: HashMap<SessionNumber, Arc<Mailbox>>,
    by_address: HashMap<IpAddr, usize>,
    /// Nobody is let in any more.
    closed: bool,
}

impl Guests {
    /// One more from this address.
    fn count(&mut self, address: IpAddr, max: usize) -> Result<(), ConnectionLimit> {
        let count = self.by_address.entry(address).or_default();
        if *count >= max {
            return Err(ConnectionLimit::Address);
        }
        *count += 1;
        Ok(())
    }
}

impl Listener {
    pub(crate) fn new(
        name: String,
        protocol: &'static str,
        counters: Arc<ProtocolCounters>,
        settings: Settings,
        acceptor: Box<dyn Acceptor>,
        data_doors: DataDoors,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            protocol,
            counters,
            settings: ArcSwap::from_pointee(settings),
            acceptor: ArcSwap::from_pointee(acceptor),
            guests: Mutex::default(),
            data_doors,
        })
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    pub(crate) fn set(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    pub(crate) fn acceptor(&self) -> Arc<Box<dyn Acceptor>> {
        self.acceptor.load_full()
    }

    pub(crate) fn set_acceptor(&self, acceptor: Box<dyn Acceptor>) {
        self.acceptor.store(Arc::new(acceptor));
    }

    /// Lets a connection in, or says which limit keeps it out.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Pass, ConnectionLimit> {
        let settings = self.settings.load();
        let mut guests = self.guests();
        if guests.closed || guests.mailboxes.len() >= settings.connections_max {
            return Err(ConnectionLimit::Total);
        }
        if let Some(address) = address {
            guests.count(address, settings.connections_per_address_max)?;
        }
        let number = SessionNumber::next();
        let mailbox = Arc::<Mailbox>::default();
        guests.mailboxes.insert(number, Arc::clone(&mailbox));
        self.counters.connections_accepted.one_more();
        self.counters.connections_open.one_more();
        Ok(Pass { listener: Arc::clone(self), number, address, mailbox })
    }

    /// Ends every conversation, and lets nobody in any more.
    pub(crate) fn close(&self, reason: &CloseReason) {
        let mailboxes: Vec<_> = {
            let mut guests = self.guests();
            guests.closed = true;
            guests.mailboxes.values().map(Arc::clone).collect()
        };
        for mailbox in mailboxes {
            mailbox.shutdown(reason.clone());
        }
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.guests().mailboxes.len()
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().expect("nothing panics while it holds a listener's guests")
    }
}

/// The right of one connection to be open; given back when it is dropped.
pub(crate) struct Pass {
    listener: Arc<Listener>,
    pub(crate) number: SessionNumber,
    address: Option<IpAddr>,
    mailbox: Arc<Mailbox>,
}

impl Pass {
    pub(crate) fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// A connection that came through a proxy is one of this address.
    ///
    /// # Errors
    /// `Address` when there are as many from there as may be.
    pub(crate) fn comes_from(&mut self, address: IpAddr) -> Result<(), ConnectionLimit> {
        let max = self.listener.settings().connections_per_address_max;
        self.listener.guests().count(address, max)?;
        self.address = Some(address);
        Ok(())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut guests = self.listener.guests();
        guests.mailboxes.remove(&self.number);
        if let Some(address) = self.address
            && let Some(count) = guests.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                guests.by_address.remove(&address);
            }
        }
        self.listener.counters.connections_open.one_less();
    }
}
