//! Both directions of a relay, the end of each on its own, and how long both may be silent.

use std::any::Any;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::Progress;
use super::flow::Flow;
use crate::alarm::Alarm;
use crate::connection::Stream;
use crate::guest::Guest;

/// A relay at work.
pub(super) struct Pump {
    other: TcpStream,
    up: Flow,
    down: Flow,
    is_up_over: bool,
    is_down_over: bool,
    idle: Duration,
    moved_at: Duration,
    alarm: Alarm,
}

impl Pump {
    pub(super) fn new(other: TcpStream, ahead: Bytes, idle: Duration, now: Duration) -> Self {
        let (up, down) = (Flow::new(ahead), Flow::new(Bytes::new()));
        let alarm = Alarm::default();
        Self { other, up, down, is_up_over: false, is_down_over: false, idle, moved_at: now, alarm }
    }

    /// Bytes that went to the other side, and back.
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.up.moved(), self.down.moved())
    }

    pub(super) fn poll<S: Stream>(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut S,
        guest: &Guest,
    ) -> Poll<Progress> {
        let before = self.moved();
        let flown = self.poll_flows(context, stream);
        let (up, down) = self.moved();
        if (up, down) != before {
            self.moved_at = guest.relayed(up - before.0, down - before.1);
        }
        match flown {
            Err(error) => return Poll::Ready(Progress::Broken(error)),
            Ok(()) if self.is_up_over && self.is_down_over => return Poll::Ready(Progress::Ended),
            Ok(()) => {}
        }
        let silent_at = guest.core.clock.moment(self.moved_at + self.idle);
        self.alarm.poll_at(context, silent_at).map(|()| Progress::Idle(self.idle))
    }

    fn poll_flows<S: Stream>(&mut self, context: &mut Context<'_>, stream: &mut S) -> io::Result<()> {
        let Self { other, up, down, .. } = self;
        if !self.is_up_over {
            let polled = match (stream as &mut dyn Any).downcast_mut::<TcpStream>() {
                Some(stream) => up.poll_tcp(context, stream, other),
                None => up.poll(context, stream, other),
            };
            self.is_up_over = over(polled)?;
        }
        if !self.is_down_over {
            let polled = match (stream as &mut dyn Any).downcast_mut::<TcpStream>() {
                Some(stream) => down.poll_tcp(context, other, stream),
                None => down.poll(context, other, stream),
            };
            self.is_down_over = over(polled)?;
        }
        Ok(())
    }
}

fn over(polled: Poll<io::Result<()>>) -> io::Result<bool> {
    match polled {
        Poll::Ready(flown) => flown.map(|()| true),
        Poll::Pending => Ok(false),
    }
}
