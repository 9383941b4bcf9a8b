//! What every simulated device does about what happens to it, whatever it speaks.

use std::collections::VecDeque;
use std::time::Duration;

use loggerhead_model::{Report, Ticket};

use crate::{CloseReason, Fault, Input, Now, Output};

/// A simulated device, over all the connections that it loses and makes anew.
pub(crate) trait Simulated {
    /// A connection stands: nothing of the one before goes on in it.
    fn connected(&mut self, now: Now);

    /// It is gone.
    fn disconnected(&mut self, now: Now);

    /// Takes what the head-end sent.
    ///
    /// # Errors
    /// What is wrong with it.
    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault>;

    /// Does what is due.
    ///
    /// # Errors
    /// `TooSlow` when the head-end did not answer in time.
    fn wake(&mut self, now: Now) -> Result<(), Fault>;

    /// When something is due.
    fn next_wake(&self) -> Option<Duration>;

    /// Takes a report that is to be said, now or once that can be.
    fn offer(&mut self, now: Now, ticket: Ticket, report: &Report);

    /// It connects no more.
    fn end(&mut self);

    /// What it is about to do.
    fn outputs(&mut self) -> &mut VecDeque<Output>;

    /// Its `Session::handle`.
    ///
    /// # Errors
    /// Those of `bytes` and `wake`: the connection is closed.
    fn take_in(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        let mut taken = Ok(());
        match input {
            Input::Connected => self.connected(now),
            Input::Disconnected => self.disconnected(now),
            Input::Bytes(bytes) => taken = self.bytes(now, bytes),
            Input::Wake => taken = self.wake(now),
            Input::Eof => self.outputs().push_back(Output::Close(CloseReason::PeerDone)),
            Input::Offer(ticket, report) => self.offer(now, ticket, &report),
            Input::Shutdown(reason) => {
                self.end();
                self.outputs().push_back(Output::Close(reason));
            }
            Input::Answer(_) | Input::Stored(_) | Input::NotStored(_) | Input::Command(_) => {}
        }
        if let Err(fault) = &taken {
            self.outputs().push_back(Output::Close(CloseReason::Fault(fault.reason.clone())));
        }
        taken
    }

    /// Its `Session::poll`.
    fn next_output(&mut self) -> Output {
        self.outputs().pop_front().unwrap_or_else(|| Output::Idle { wake_at: self.next_wake() })
    }
}
