//! Drives the one session of an exchange that has no peer, and tells an exchange of readings.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::Waker;

use loggerhead_model::{Records, Ticket};
use loggerhead_protocols::{Exchange, Input, Limits, Opening, Output, Session};
use loggerhead_store::{Completion, Outcome, ReadingFilter, Reply};

use crate::core::Core;
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
            Output::Send(_)
            | Output::Ask(_)
            | Output::Fault(_)
            | Output::Learnt(_)
            | Output::Remember { .. }
            | Output::ExpectWithin(_)
            | Output::Command(..)
            | Output::Connect
            | Output::Delivered(_)
            | Output::Close(_) => tracing::error!("a steward spoke as if it had a peer"),
        }
    }
}

async fn store(core: &Core, records: Records, asked: Option<(Ticket, &Arc<Mailbox>)>) {
    let reply = asked.map(|(ticket, mailbox)| Reply { ticket, to: Arc::clone(mailbox) as Arc<dyn Completion> });
    core.store.submit(records, reply).await;
}

/// Tells an exchange that wants to know of the latest reading of every channel, then of all that are stored, for ever.
pub(crate) async fn feed(core: Arc<Core>, exchange: Arc<dyn Exchange>) {
    if !exchange.wants_readings() {
        return;
    }
    let kinds = Kinds { readings: true, events: false, presence: false };
    let mut subscription = core.hub.subscribe(Filter { kinds, ..Filter::default() }, None, core.store.reader());
    let (reader, told, now) = (core.store.reader(), Arc::clone(&exchange), core.clock.now());
    let telling = tokio::task::spawn_blocking(move || {
        reader.latest(&ReadingFilter::default(), &mut |stored| {
            told.stored(now, stored.device, &stored.reading);
            ControlFlow::Continue(())
        })
    });
    match telling.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the latest readings cannot be read, and are not passed on"),
        Err(error) => tracing::error!(%error, "the latest readings are not passed on"),
    }
    while let Some(live) = subscription.next().await {
        match live {
            Live::Readings(packet) => {
                let now = core.clock.now();
                let Some(device) = packet.device() else { continue };
                packet.readings().for_each(|reading| exchange.stored(now, device, &reading));
            }
            Live::Gap { from, to } => tracing::warn!(%from, %to, "readings were not passed on: they came too fast"),
            Live::Event { .. } | Live::Presence { .. } => {}
        }
    }
}
