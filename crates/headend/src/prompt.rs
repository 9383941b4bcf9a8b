//! A thread of its own, before all others, for a listener whose peers stop where an answer is a few milliseconds late.
//!
//! Its socket, its conversations and their clock are on that thread alone, so that an answer waits neither for a place among the
//! threads that serve everybody else nor for one of these to be woken.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// How far the thread is before the others, as `nice` counts: when it wakes, it runs before whoever has the core.
const NICENESS: i32 = -15;

/// The thread. It ends when this is dropped.
pub(crate) struct Prompt {
    handle: Handle,
    end: CancellationToken,
    _thread: JoinHandle<()>,
}

impl Prompt {
    /// Starts one for the listener of that name.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub(crate) fn start(listener: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
        let (ended, listener) = (end.clone(), listener.to_owned());
        let thread = std::thread::Builder::new().name("cycles".to_owned()).spawn(move || {
            step_forward(&listener);
            runtime.block_on(ended.cancelled());
        })?;
        Ok(Self { handle, end, _thread: thread })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// Lets this thread go before others. Where that is not allowed its answers are later on a busy machine, so that is told.
fn step_forward(listener: &str) {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(listener, %error, niceness = NICENESS, "its thread has the priority of all others; answers may be late when the machine is busy");
    }
}

#[cfg(test)]
mod tests {
    use super::{NICENESS, Prompt};

    #[tokio::test]
    async fn what_is_prompt_is_on_one_thread_before_all_others() {
        let here = (std::thread::current().id(), rustix::process::getpriority_process(None).expect("a priority"));
        let prompt = Prompt::start("robots").expect("a thread");
        let look =
            || async { (std::thread::current().id(), rustix::process::getpriority_process(None).expect("a priority")) };
        let (one, other) = tokio::join!(prompt.handle().spawn(look()), prompt.handle().spawn(look()));
        let (one, other) = (one.expect("a task"), other.expect("a task"));
        assert_eq!(one, other);
        assert_ne!(one.0, here.0);
        // Whoever may not have it stays where all are.
        assert!(one.1 == NICENESS || one.1 == here.1, "{one:?}");
    }
}
