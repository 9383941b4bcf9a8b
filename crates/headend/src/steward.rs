//! Drives the one session of an exchange that has no peer, and tells an exchange of what happens.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::Waker;

use loggerhead_model::{Records, Ticket};
use loggerhead_protocols::{Carrier, Exchange, Input, Limits, News, Opening, Output, Session};
use loggerhead_store::{Completion, Outcome, ReadingFilter, Reply};

use crate::core::{Core, news_of};
use crate::hub::{Filter, Kinds, Live};
use crate::mailbox::{Letter, Mailbox};

/// Lets the steward of an exchange do its work, for ever.
pub(crate) async fn run(core: Arc<Core>, exchange: Arc<dyn Exchange>) {
    let mailbox = Arc::<Mailbox>::default();
    let opening = Opening {
        peer: Arc::from("steward"),
        entropy: rand::random(),
        limits: Limits::default(),
        waker: Waker::from(Arc::clone(&mailbox)),
        certified: None,
        carrier: Carrier::Stream,
    };
    let mut session = exchange.steward(core.clock.now(), opening);
    drop(exchange);
    loop {
        let wake_at = drain(&core, session.as_mut(), &mailbox).await;
        let letter = poll_fn(|context| mailbox.poll_take(context));
        let letter = match wake_at.map(|at| core.clock.moment(at)) {
            Some(moment) => tokio::time::timeout_at(moment, letter).await.unwrap_or(Letter::Woken),
            None => letter.await,
        };
        let input = match letter {
            Letter::Outcome(Outcome::Stored(receipt)) => Input::Stored(receipt),
            Letter::Outcome(Outcome::NotStored(ticket)) => Input::NotStored(ticket),
            Letter::Woken => Input::Wake,
            // Nobody closes it or asks anything of it.
            Letter::Shutdown(_) | Letter::Command(_) => continue,
        };
        if let Err(fault) = session.handle(core.clock.now(), input) {
            tracing::error!(%fault, "a steward has no peer that could break a rule");
        }
    }
}

/// Does what the session says; gives the moment at which it wants to be woken.
async fn drain(core: &Core, session: &mut dyn Session, mailbox: &Arc<Mailbox>) -> Option<std::time::Duration> {
    loop {
        match session.poll() {
            Output::Idle { wake_at } => return wake_at,
            Output::Store(ticket, records) => store(core, records, Some((ticket, mailbox))).await,
            Output::Keep(records) => store(core, records, None).await,
            // What is over the limit is counted there.
            Output::Event(event) => drop(core.journal.event(core.clock.now().elapsed, event)),
            Output::Dropped(device, count, cause) => core.messages_dropped(&device, count, cause),
            Output::Send(_)
            | Output::Sample(..)
            | Output::Said(_)
            | Output::Ask(_)
            | Output::File(_)
            | Output::Fault(_)
            | Output::Learnt(_)
            | Output::Remember { .. }
            | Output::ExpectWithin(_)
            | Output::Command(..)
            | Output::Join(_)
            | Output::Connect
            | Output::Delivered(_)
            | Output::Close(_) => tracing::error!("a steward spoke as if it had a peer"),
        }
    }
}

async fn store(core: &Core, records: Records, asked: Option<(Ticket, &Arc<Mailbox>)>) {
    if let Some((report, device)) = records.report.as_ref().zip(core.identities.directory.by_id(&records.device)) {
        device.read(core.clock.now(), report.len() as u64);
    }
    let reply = asked.map(|(ticket, mailbox)| Reply { ticket, to: Arc::clone(mailbox) as Arc<dyn Completion> });
    core.store.submit(records, reply).await;
}

/// Tells an exchange what it wants to know of: how things stand now, then all that happens, for ever.
pub(crate) async fn feed(core: Arc<Core>, exchange: Arc<dyn Exchange>) {
    let (readings, news) = (exchange.wants_readings(), exchange.wants_news());
    if !readings && !news {
        return;
    }
    let kinds = Kinds { readings, events: news, presence: news };
    let mut subscription = core.hub.subscribe(Filter { kinds, ..Filter::default() }, core.store.reader());
    // Before presence: what speaks for a device that is there knows what it has to say.
    if readings {
        tell_latest(&core, &exchange).await;
    }
    if news {
        let now = core.clock.now();
        for device in core.identities.directory.all() {
            exchange.told(now, &device.id, News::Presence(&device.evidence(now)));
        }
        core.commands.visit_last(|record| exchange.told(now, &record.device, news_of(record)));
    }
    while let Some(live) = subscription.next().await {
        let now = core.clock.now();
        match live {
            Live::Readings(packet) => {
                let Some(device) = packet.device() else { continue };
                let all: Vec<_> = packet.readings().collect();
                exchange.told(now, device, News::Readings(&all));
            }
            Live::Event { event, .. } => {
                let Some(device) = &event.device else { continue };
                exchange.told(now, device, News::Event(&event));
                if core.identities.directory.by_id(device).is_none() {
                    exchange.told(now, device, News::Removed);
                }
            }
            Live::Presence { device, evidence } => {
                // The connection of a device that was removed ends after that.
                let is_known = core.identities.directory.by_id(&device).is_some();
                exchange.told(now, &device, if is_known { News::Presence(&evidence) } else { News::Removed });
            }
            Live::Gap { from, to } => tracing::warn!(%from, %to, "batches were not passed on: they came too fast"),
        }
    }
}

/// Tells an exchange of the latest reading of every channel.
async fn tell_latest(core: &Core, exchange: &Arc<dyn Exchange>) {
    let (reader, told, now) = (core.store.reader(), Arc::clone(exchange), core.clock.now());
    let telling = tokio::task::spawn_blocking(move || {
        reader.latest(&ReadingFilter::default(), &mut |stored| {
            told.told(now, stored.device, News::Readings(&[stored.reading]));
            ControlFlow::Continue(())
        })
    });
    match telling.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the latest readings cannot be read, and are not passed on"),
        Err(error) => tracing::error!(%error, "the latest readings are not passed on"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use loggerhead_model::DeviceId;
    use loggerhead_protocols::{Acceptor, DeviceSettings, Exchange, News, Now, Opening, Session, SettingsError};
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::feed;
    use crate::testing::{Bench, SECRET};

    /// Writes down what it is told.
    struct Listening(UnboundedSender<String>);

    impl Exchange for Listening {
        fn recall(&self, _: Now, _: &mut dyn Iterator<Item = (Bytes, Bytes)>) {
            unreachable!("nothing was noted")
        }

        fn acceptor(
            &self,
            _: &toml::Table,
            _: &mut dyn Iterator<Item = DeviceSettings<'_>>,
        ) -> Result<Box<dyn Acceptor>, SettingsError> {
            unreachable!("it has no listener")
        }

        fn wants_readings(&self) -> bool {
            false
        }

        fn wants_news(&self) -> bool {
            true
        }

        fn told(&self, _: Now, device: &DeviceId, news: News<'_>) {
            let text = match news {
                News::Readings(all) => format!("{} readings", all.len()),
                News::Presence(evidence) => evidence.presence.word().to_owned(),
                News::Event(event) => event.kind.word().to_owned(),
                News::Command { id, state, .. } => format!("{} {}", id.0, state.word()),
                News::Removed => "removed".to_owned(),
            };
            self.0.send(format!("{device} {text}")).expect("the test listens");
        }

        fn steward(&self, _: Now, _: Opening) -> Box<dyn Session> {
            unreachable!("it has nothing to do")
        }
    }

    #[tokio::test]
    async fn an_exchange_is_told_how_things_stand_and_what_happens_and_never_of_a_device_that_is_gone() {
        let mut bench = Bench::new().await;
        let device = bench.device("a");
        let (sender, mut told) = unbounded_channel();
        bench.connections.spawn(feed(Arc::clone(&bench.core), Arc::new(Listening(sender))));
        assert_eq!(told.recv().await.as_deref(), Some("a never"));
        let mut line = bench.connect("192.0.2.1");
        line.ask(&format!("login a {SECRET}")).await;
        let mut heard = vec![told.recv().await, told.recv().await];
        heard.sort_unstable();
        assert_eq!(heard, [Some("a connected-fresh".to_owned()), Some("a login".to_owned())]);
        bench.core.drop_device(&device);
        // Whatever its connection leaves behind, the last word is that it is gone.
        let mut last = String::new();
        let mut is_out = false;
        while !(is_out && last == "a removed") {
            last = told.recv().await.expect("it is told for ever");
            is_out |= last == "a logout";
        }
    }
}
