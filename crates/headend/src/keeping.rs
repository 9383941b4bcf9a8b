//! Records that no connection brought, for whoever waits until they are on disk.

use std::sync::{Arc, Mutex, PoisonError};

use loggerhead_model::{Receipt, Records, Ticket};
use loggerhead_store::{Completion, Outcome, Reply, Store};
use tokio::sync::oneshot;

/// The store could not keep records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot write")]
pub struct NotKept;

/// Passes the outcome on to the one who waits.
struct Once(Mutex<Option<oneshot::Sender<Outcome>>>);

impl Completion for Once {
    fn complete(&self, outcomes: &mut dyn Iterator<Item = Outcome>) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(sender), Some(outcome)) = (sender, outcomes.next()) {
            // Who does not wait any more need not know.
            let _heard = sender.send(outcome);
        }
    }
}

/// Keeps records; they are on disk when this returns.
///
/// # Errors
/// `NotKept` when they are not, and never will be.
pub(crate) async fn keep(store: &Store, records: Records) -> Result<Receipt, NotKept> {
    let (sender, outcome) = oneshot::channel();
    let to: Arc<dyn Completion> = Arc::new(Once(Mutex::new(Some(sender))));
    store.submit(records, Some(Reply { ticket: Ticket(0), to })).await;
    match outcome.await {
        Ok(Outcome::Stored(receipt)) => Ok(receipt),
        Ok(Outcome::NotStored(_)) | Err(_) => Err(NotKept),
    }
}
