//! Counts the rows of long lists in stretches of ids, behind the back of whoever looks far into one:
//! the next far page is found at once (`colony_store::ledger::block`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use colony_store::ledger::block::{self, Counted};
use colony_store::ledger::list::LedgerList;
use colony_store::{Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::signals::lock;

/// Pages nearer to an end of their list need no stretches.
const FAR: u64 = 2000;

/// A list is looked at again when it has grown by so many rows.
const GROWTH: u64 = 8192;

/// Lists that wait to be counted; who asks for more asks again with the next page.
const WAITING_MAX: usize = 64;

/// Lists whose size is remembered.
const KNOWN_MAX: usize = 4096;

/// The runs or tasks of an organization.
type Rows = (String, Counted);

/// How long lists were when they were given to be counted, by their status.
type Known = HashMap<(Rows, Option<String>), u64>;

/// Where lists are given to be counted.
pub(super) struct Counting {
    wishes: mpsc::Sender<Rows>,
    known: Arc<Mutex<Known>>,
}

impl Counting {
    pub(super) fn start(store: Store, loops: &mut JoinSet<()>) -> Self {
        let (wishes, receiver) = mpsc::channel(WAITING_MAX);
        let known = Arc::default();
        loops.spawn(run(store, receiver, Arc::clone(&known)));
        Self { wishes, known }
    }

    /// A page of a list with so many rows was read.
    pub(super) fn page_read(&self, counted: Counted, list: &LedgerList, total: u64) {
        let offset = list.offset.unsigned_abs();
        if offset.min(total.saturating_sub(offset)) <= FAR {
            return;
        }
        let rows = (list.org_id.clone(), counted);
        let key = (rows.clone(), list.status.clone());
        let mut known = lock(&self.known);
        let is_new = (known.get(&key)).is_none_or(|before| total >= before + GROWTH);
        if is_new && self.wishes.try_send(rows).is_ok() {
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(key, total);
        }
    }
}

async fn run(store: Store, mut wishes: mpsc::Receiver<Rows>, known: Arc<Mutex<Known>>) {
    while let Some(rows) = wishes.recv().await {
        if let Err(error) = count(&store, &rows).await {
            tracing::warn!(org_id = rows.0, "failed to count a long list: {error}");
            lock(&known).retain(|(others, _), _| *others != rows);
        }
    }
}

async fn count(store: &Store, (org_id, counted): &Rows) -> Result<(), StoreError> {
    let counted = *counted;
    let org = org_id.clone();
    let blocks = store.read(move |tx| block::uncounted_blocks(tx, counted, &org));
    let mut has_more = blocks.await? > 0;
    while has_more {
        let org = org_id.clone();
        // Few rows at a time: others write between.
        has_more = store
            .write(move |tx| block::count_blocks(tx, counted, &org))
            .await?;
    }
    Ok(())
}
