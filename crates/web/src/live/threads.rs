//! Threads of their own for what is pushed, behind all others.
//!
//! A thousand subscribers are a thousand writes for every sheet. On the threads that serve devices these would stand between
//! a packet and its ack, so they have threads that the system lets wait for those. Niceness says how much of a core they get
//! beside others; it does not make them leave it early, and an ack that goes through three threads would wait three times.
//! So they also ask for long slices: since Linux 6.12 whoever wakes and has asked for less takes the core from them at once.

use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime};

/// How far these threads are behind the others, as `nice` counts: beside a busy thread they get a tenth of a core.
const NICENESS: i32 = 10;
/// The slice of time that they ask for, in nanoseconds: the longest that there is. Others have a few milliseconds.
const SLICE: u64 = 100_000_000;
/// The attributes of a thread in the first version of the call, which all kernels know.
const ATTRIBUTES_BYTES: u32 = 48;

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
            .on_thread_start(move || {
                // Where that is not allowed it only costs devices some time.
                if let Err(error) = step_back(niceness) {
                    tracing::debug!(%error, "a thread for live push has the priority of all others");
                }
            })
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

/// Lets this thread wait for others. Linux before 6.12 takes the niceness and passes over the slice.
#[expect(unsafe_code, reason = "no library that is here has this call; it reads one structure and keeps nothing")]
fn step_back(niceness: i32) -> io::Result<()> {
    let attributes = libc::sched_attr {
        size: ATTRIBUTES_BYTES,
        sched_policy: libc::SCHED_OTHER.cast_unsigned(),
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: SLICE,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: 0 is the calling thread, no flag is set, and the attributes outlive the call and are as long as they say.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::{NICENESS, Threads, step_back};

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
        let farther = handle.spawn(async move { step_back(theirs).map(|()| here()) }).await.expect("a task");
        assert_eq!(farther.expect("the system takes both"), theirs);
        let ended = handle.spawn(async move { drop(threads) }).await;
        assert!(!ended.is_err_and(|error| error.is_panic()), "the last handle is dropped by a thread of them");
    }
}
