//! Many simulated devices on few threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::device::{Birth, Device, Shared};
use super::tally::Tally;

/// New connections a second, so that ten thousand devices do not overrun the head-end's queue of connections.
const CONNECTIONS_PER_SECOND: u32 = 5_000;
/// How often a worker starts devices.
const START_EVERY: Duration = Duration::from_millis(10);
/// How long a connection may take to close in good order.
const HANG_UP_LIMIT: Duration = Duration::from_secs(1);

/// Devices at work.
pub(crate) struct Fleet {
    shared: Arc<Shared>,
    tallies: Vec<Arc<Mutex<Tally>>>,
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    working: mpsc::Receiver<()>,
}

impl Fleet {
    /// Sets `births` to work on `threads` threads. After they are told to stop, or have sent everything, they wait at
    /// most `drain` for what is not acknowledged yet.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub(crate) fn launch(
        shared: Arc<Shared>,
        births: Vec<Birth>,
        threads: usize,
        drain: Duration,
    ) -> anyhow::Result<Self> {
        let threads = threads.clamp(1, births.len().max(1));
        let (stop, stopped) = watch::channel(false);
        let (worker, working) = mpsc::channel(1);
        let mut crews: Vec<Vec<Birth>> = (0..threads).map(|_| Vec::new()).collect();
        for (birth, crew) in births.into_iter().zip((0..threads).cycle()) {
            crews.get_mut(crew).expect("there is a crew for every thread").push(birth);
        }
        let mut fleet = Self { shared, tallies: Vec::new(), threads: Vec::new(), stop, working };
        for births in crews {
            let tally = Arc::new(Mutex::new(Tally::default()));
            fleet.tallies.push(Arc::clone(&tally));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("starting the event loop of simulated devices")?;
            let crew = Crew { shared: Arc::clone(&fleet.shared), tally, stopped: stopped.clone(), drain };
            let starts = CONNECTIONS_PER_SECOND / u32::try_from(threads).unwrap_or(u32::MAX);
            let worker = worker.clone();
            let thread = std::thread::Builder::new().name("simulate".to_owned()).spawn(move || {
                runtime.block_on(crew.work(births, starts));
                drop(worker);
            });
            fleet.threads.push(thread.context("starting a thread of simulated devices")?);
        }
        Ok(fleet)
    }

    /// What was counted so far.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for tally in &self.tallies {
            sum.add(&tally.lock().unwrap_or_else(PoisonError::into_inner));
        }
        sum
    }

    /// How long the simulation has been running.
    pub(crate) fn elapsed(&self) -> Duration {
        self.shared.now().elapsed
    }

    /// Tells all devices to offer nothing more, wait for what is outstanding and hang up.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until every device has hung up.
    pub(crate) async fn finished(&mut self) {
        while self.working.recv().await.is_some() {}
    }

    /// The final counts of devices that have hung up.
    ///
    /// # Errors
    /// When a thread broke down.
    pub(crate) fn into_tally(mut self) -> anyhow::Result<Tally> {
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| anyhow::anyhow!("a thread of simulated devices broke down"))?;
        }
        Ok(self.tally())
    }
}

/// The devices of one thread.
struct Crew {
    shared: Arc<Shared>,
    tally: Arc<Mutex<Tally>>,
    stopped: watch::Receiver<bool>,
    drain: Duration,
}

impl Crew {
    async fn work(self, births: Vec<Birth>, starts_per_second: u32) {
        let mut devices = JoinSet::new();
        let mut ticks = tokio::time::interval(START_EVERY);
        let at_once = (starts_per_second / (1000 / START_EVERY.subsec_millis())).max(1);
        let mut births = births.into_iter();
        while births.len() > 0 && !*self.stopped.borrow() {
            ticks.tick().await;
            for birth in births.by_ref().take(at_once as usize) {
                let device = Device::new(birth, Arc::clone(&self.shared), Arc::clone(&self.tally));
                devices.spawn(live(device, self.stopped.clone(), self.drain));
            }
        }
        while devices.join_next().await.is_some() {}
    }
}

/// The life of one device.
async fn live(mut device: Device, mut stopped: watch::Receiver<bool>, drain: Duration) {
    let all_sent = tokio::select! {
        () = std::future::poll_fn(|context| device.poll(context)) => true,
        () = told_to_stop(&mut stopped) => false,
    };
    if !all_sent {
        device.stop_offering();
        // What is still outstanding afterwards is counted as not acknowledged.
        let _ = tokio::time::timeout(drain, std::future::poll_fn(|context| device.poll(context))).await;
    }
    device.hang_up();
    let _ = tokio::time::timeout(HANG_UP_LIMIT, std::future::poll_fn(|context| device.poll_closed(context))).await;
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone can tell nothing more: that is a stop as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
