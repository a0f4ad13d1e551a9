//! Calls that wait for something to happen to a request. They are woken, and look again: what
//! they hear of may be long over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use colony_core::id::RequestId;
use tokio::sync::watch;

/// All calls that wait.
#[derive(Default)]
pub(crate) struct Waiters {
    by_request: Mutex<HashMap<RequestId, watch::Sender<()>>>,
}

/// A call that waits.
pub(crate) struct Waiter {
    all: Arc<Waiters>,
    id: RequestId,
    /// None only while it is dropped.
    wakes: Option<watch::Receiver<()>>,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, watch::Sender<()>>> {
        self.by_request
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on whatever happens to the request wakes the call.
    pub(crate) fn add(self: &Arc<Self>, id: RequestId) -> Waiter {
        let mut waiters = self.lock();
        let sender = waiters.entry(id).or_insert_with(|| watch::channel(()).0);
        Waiter {
            all: Arc::clone(self),
            id,
            wakes: Some(sender.subscribe()),
        }
    }

    /// Something happened to a request.
    pub(crate) fn wake(&self, id: RequestId) {
        if let Some(sender) = self.lock().get(&id) {
            sender.send_replace(());
        }
    }
}

impl Waiter {
    /// Returns when something happened since the last time, or since the waiter was made.
    pub(crate) async fn woken(&mut self) {
        let woken = match &mut self.wakes {
            Some(wakes) => wakes.changed().await,
            None => Ok(()),
        };
        if woken.is_err() {
            // Its sender is kept for as long as there is a waiter.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiters = self.all.lock();
        self.wakes = None;
        if waiters
            .get(&self.id)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            waiters.remove(&self.id);
        }
    }
}
