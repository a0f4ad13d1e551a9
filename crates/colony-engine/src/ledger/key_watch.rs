//! Calls that go on for long end with the key under which they were begun.
//!
//! A key that this process revokes is known to be over at once. One that another process revokes
//! is found by looking, which is done only while there is a call to be ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use colony_core::id::TokenId;
use colony_core::time::Clock;
use colony_store::Store;
use colony_store::ledger::key;
use tokio::sync::watch;

use super::handle::Ledger;
use super::signals::lock;

/// How often keys are looked at that another process may have revoked.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The keys whose end somebody waits for. True is sent when it has come.
#[derive(Default)]
pub(super) struct WatchedKeys {
    keys: Mutex<HashMap<TokenId, watch::Sender<bool>>>,
}

/// Resolves at the end of a key.
pub struct KeyWatch(watch::Receiver<bool>);

impl KeyWatch {
    /// Returns when the key is revoked or has expired.
    pub async fn ended(&mut self) {
        if self.0.wait_for(|ended| *ended).await.is_err() {
            // Nobody looks any more: the process is about to end.
            std::future::pending::<()>().await;
        }
    }
}

impl Ledger {
    /// Waits for the end of a key that was recognized.
    pub fn watch_key(&self, id: TokenId) -> KeyWatch {
        let watched = &self.keys().watched;
        let mut keys = lock(&watched.keys);
        let at_rest = keys.is_empty();
        let sender = keys.entry(id).or_insert_with(|| watch::channel(false).0);
        let watch = KeyWatch(sender.subscribe());
        if at_rest {
            let watched = Arc::clone(watched);
            let (store, clock) = (self.store().clone(), self.clock());
            tokio::spawn(async move { watched.look_while_needed(store, clock).await });
        }
        watch
    }
}

impl WatchedKeys {
    /// The key was revoked.
    pub(super) fn end(&self, id: TokenId) {
        if let Some(sender) = lock(&self.keys).get(&id) {
            sender.send_replace(true);
        }
    }

    async fn look_while_needed(&self, store: Store, clock: Arc<dyn Clock>) {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let ids = self.needed();
            if ids.is_empty() {
                return;
            }
            let now = clock.now();
            let wanted = ids.clone();
            let valid = store.read(move |tx| key::valid_keys(tx, &wanted, now));
            match valid.await {
                Ok(valid) => {
                    let ended = ids.iter().filter(|id| !valid.contains(id));
                    ended.for_each(|id| self.end(*id));
                }
                Err(error) => tracing::debug!("failed to look at keys in use: {error}"),
            }
        }
    }

    /// Keys that somebody waits for. Others are forgotten; when none is left, so is the looking.
    fn needed(&self) -> Vec<TokenId> {
        let mut keys = lock(&self.keys);
        keys.retain(|_, sender| sender.receiver_count() > 0);
        keys.keys().copied().collect()
    }
}
