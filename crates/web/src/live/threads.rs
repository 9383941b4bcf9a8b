//! Threads of their own for what is pushed, behind all others.
//!
//! A thousand subscribers are a thousand writes for every sheet. On the threads that serve devices these would stand between
//! a packet and its ack, so they have threads that the system lets wait for those.

use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime};

/// How far these threads are behind the others, as `nice` counts: beside a busy thread they get a tenth of a core.
const NICENESS: i32 = 10;

/// The threads. They end when this is dropped, wherever that is.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// Half as many as there are cores: receivers and devices need the others.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub(super) fn start() -> io::Result<Self> {
        let count = available_parallelism().map_or(1, NonZero::get).div_ceil(2);
        let number = AtomicUsize::new(1);
        // A thread begins with the priority of the one that starts it, which may be one of these.
        let niceness = rustix::process::getpriority_process(None)? + NICENESS;
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name_fn(move || format!("push-{}", number.fetch_add(1, Ordering::Relaxed)))
            .on_thread_start(move || step_back(niceness))
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    pub(super) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("they are taken only when they are dropped").handle()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // The last handle may be dropped by one of the threads themselves, which cannot wait for its own end.
            runtime.shutdown_background();
        }
    }
}

/// Lets this thread wait for others. Where that is not allowed it only costs devices some time.
fn step_back(niceness: i32) {
    if let Err(error) = rustix::process::setpriority_process(None, niceness) {
        tracing::debug!(%error, "a thread for live push has the priority of all others");
    }
}

#[cfg(test)]
mod tests {
    use super::{NICENESS, Threads};

    #[tokio::test]
    async fn what_is_pushed_waits_for_everything_else() {
        let here = || rustix::process::getpriority_process(None).expect("a thread has a priority");
        let threads = Threads::start().expect("threads");
        let theirs = threads.handle().spawn(async move { here() }).await.expect("a task");
        assert_eq!(theirs, (here() + NICENESS).min(19));
        let reading = threads.handle().spawn(async move { tokio::task::spawn_blocking(here).await }).await;
        assert_eq!(
            reading.expect("a task").expect("a thread"),
            theirs,
            "who reads the store for them is no further behind"
        );
        let handle = threads.handle().clone();
        let ended = handle.spawn(async move { drop(threads) }).await;
        assert!(!ended.is_err_and(|error| error.is_panic()), "the last handle is dropped by a thread of them");
    }
}
