//! The desk where claims are answered, at once or when a task becomes ready.
//!
//! One task of the runtime owns all waiting claims. It answers those that can be answered together
//! in one transaction; a claim that gets nothing stays until one of its queues is rung for or its
//! caller goes away. Tasks claimed for a caller who has gone are given back at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use colony_core::time::Clock;
use colony_store::{Dialect, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::claim::{Claim, ClaimedTask, Queue, claim_tasks};
use super::error::LedgerError;
use super::job_task;
use super::release::give_back;
use super::signals::{Signals, lock};
use crate::engine::Engine;

/// The most claims in one transaction.
const GROUP_MAX: usize = 256;

/// How often waiting claims look again without being rung for: another queen of the same database
/// may have made tasks ready.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How often claims whose caller has gone are forgotten.
const SWEEP: Duration = Duration::from_secs(5);

pub(super) type Claimed = Result<Vec<ClaimedTask>, LedgerError>;

/// A claim at the desk.
pub(super) struct Pending {
    claim: Arc<Claim>,
    reply: oneshot::Sender<Claimed>,
}

/// What the desk hears.
pub(super) enum Message {
    Claim(Pending),
    Ready(Queue),
}

/// Tells the desk that tasks are ready. Cheap to clone.
#[derive(Clone)]
pub(super) struct DeskBell {
    sender: mpsc::UnboundedSender<Message>,
    /// How many claims look into each queue.
    wanted: Arc<Mutex<HashMap<Queue, usize>>>,
}

impl DeskBell {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let wanted = Arc::default();
        (Self { sender, wanted }, receiver)
    }

    /// A task is ready. Costs little when nobody waits for it.
    pub(super) fn ring(&self, org_id: &str, kind: &str) {
        let wanted = lock(&self.wanted);
        if wanted.is_empty() {
            return;
        }
        let queue = (org_id.to_owned(), kind.to_owned());
        if wanted.contains_key(&queue) {
            // The desk ends only with the ledger.
            let _ = self.sender.send(Message::Ready(queue));
        }
    }

    /// Claims tasks, waiting for the first one as long as the claim says.
    pub(super) async fn claim(&self, claim: Claim) -> Claimed {
        let (reply, mut answer) = oneshot::channel();
        let wait = claim.wait;
        let claim = Arc::new(claim);
        let pending = Pending { claim, reply };
        let sent = self.sender.send(Message::Claim(pending));
        sent.map_err(|_| LedgerError::Closed)?;
        if wait.is_zero() {
            return answer.await.map_err(|_| LedgerError::Closed)?;
        }
        match tokio::time::timeout(wait, &mut answer).await {
            Ok(answer) => answer.map_err(|_| LedgerError::Closed)?,
            Err(_) => {
                // What was sent in this very moment still counts.
                answer.close();
                answer.try_recv().unwrap_or_else(|_| Ok(Vec::new()))
            }
        }
    }
}

/// The desk itself.
pub(super) struct Desk {
    store: Store,
    clock: Arc<dyn Clock>,
    signals: Signals,
    jobs: Option<Engine>,
    receiver: mpsc::UnboundedReceiver<Message>,
    waiting: BTreeMap<u64, Pending>,
    by_queue: HashMap<Queue, BTreeSet<u64>>,
    next: u64,
}

impl Desk {
    pub(super) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        signals: Signals,
        jobs: Option<Engine>,
        receiver: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        Self {
            store,
            clock,
            signals,
            jobs,
            receiver,
            waiting: BTreeMap::new(),
            by_queue: HashMap::new(),
            next: 0,
        }
    }

    /// Serves until the ledger ends.
    pub(super) async fn run(mut self) {
        loop {
            let mut due = BTreeSet::new();
            match tokio::time::timeout(self.patience(), self.receiver.recv()).await {
                Ok(Some(message)) => self.hear(message, &mut due),
                Ok(None) => return,
                Err(_) => due = self.sweep(),
            }
            while due.len() < GROUP_MAX
                && let Ok(message) = self.receiver.try_recv()
            {
                self.hear(message, &mut due);
            }
            let due: Vec<u64> = due.into_iter().collect();
            for group in due.chunks(GROUP_MAX) {
                self.serve(group).await;
            }
        }
    }

    /// How long to sleep when nothing is heard.
    fn patience(&self) -> Duration {
        match self.store.dialect() {
            _ if self.waiting.is_empty() => Duration::MAX,
            Dialect::Sqlite => SWEEP,
            Dialect::Postgres => LOOK_AGAIN,
        }
    }

    fn hear(&mut self, message: Message, due: &mut BTreeSet<u64>) {
        match message {
            Message::Claim(pending) => {
                due.insert(self.admit(pending));
            }
            Message::Ready(queue) => {
                due.extend(self.by_queue.get(&queue).into_iter().flatten());
            }
        }
    }

    /// Forgets claims whose caller has gone; returns those that should look again.
    fn sweep(&mut self) -> BTreeSet<u64> {
        let gone = |pending: &Pending| pending.reply.is_closed();
        let gone: Vec<u64> = (self.waiting.iter())
            .filter(|(_, pending)| gone(pending))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            self.dismiss(number);
        }
        match self.store.dialect() {
            Dialect::Sqlite => BTreeSet::new(),
            Dialect::Postgres => self.waiting.keys().copied().collect(),
        }
    }

    /// Known to the bell before the first look, so that no ring is missed.
    fn admit(&mut self, pending: Pending) -> u64 {
        let number = self.next;
        self.next += 1;
        let mut wanted = lock(&self.signals.bell.wanted);
        for queue in pending.claim.queues() {
            *wanted.entry(queue.clone()).or_default() += 1;
            self.by_queue.entry(queue).or_default().insert(number);
        }
        drop(wanted);
        self.waiting.insert(number, pending);
        number
    }

    fn dismiss(&mut self, number: u64) -> Option<Pending> {
        let pending = self.waiting.remove(&number)?;
        let mut wanted = lock(&self.signals.bell.wanted);
        for queue in pending.claim.queues() {
            if let Some(count) = wanted.get_mut(&queue) {
                *count -= 1;
                if *count == 0 {
                    wanted.remove(&queue);
                }
            }
            if let Some(numbers) = self.by_queue.get_mut(&queue) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.by_queue.remove(&queue);
                }
            }
        }
        Some(pending)
    }

    async fn serve(&mut self, numbers: &[u64]) {
        let mut group = Vec::with_capacity(numbers.len());
        for number in numbers {
            match self.waiting.get(number) {
                Some(pending) if pending.reply.is_closed() => {
                    self.dismiss(*number);
                }
                Some(pending) => group.push((*number, Arc::clone(&pending.claim))),
                None => {}
            }
        }
        if group.is_empty() {
            return;
        }
        let now = self.clock.now();
        let claims: Vec<Arc<Claim>> = group.iter().map(|(_, claim)| Arc::clone(claim)).collect();
        let claimed: Result<_, StoreError> = (self.store)
            .write(move |tx| {
                let claims: Vec<&Claim> = claims.iter().map(AsRef::as_ref).collect();
                claim_tasks(tx, &claims, now)
            })
            .await;
        match claimed {
            Ok(claimed) => self.hand_out(&group, claimed).await,
            Err(error) => self.refuse(&group, &error),
        }
    }

    async fn hand_out(&mut self, group: &[(u64, Arc<Claim>)], claimed: Vec<Vec<ClaimedTask>>) {
        let mut unwanted = Vec::new();
        for ((number, claim), tasks) in group.iter().zip(claimed) {
            if tasks.is_empty() && !claim.wait.is_zero() {
                continue;
            }
            let Some(pending) = self.dismiss(*number) else {
                continue;
            };
            if let Some(first) = tasks.first() {
                self.signals.alarm.set(first.expires_at);
            }
            if let Some(engine) = &self.jobs {
                for job in tasks.iter().filter_map(|task| task.job.as_ref()) {
                    job.announce(engine);
                }
            }
            let rows: Vec<_> = tasks.iter().map(|task| task.row.clone()).collect();
            if let Err(Ok(tasks)) = pending.reply.send(Ok(tasks)) {
                unwanted.extend(tasks);
            }
            self.signals.tasks_changed(rows.iter());
        }
        if !unwanted.is_empty() {
            self.give_back(unwanted).await;
        }
    }

    /// Puts tasks back that were claimed for someone who has gone.
    async fn give_back(&self, tasks: Vec<ClaimedTask>) {
        let (jobs, tasks): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| task.job.is_some());
        if !tasks.is_empty() {
            give_back(&self.store, &self.signals, tasks, self.clock.now()).await;
        }
        if let Some(engine) = &self.jobs {
            let attempts: Vec<_> = jobs.iter().map(ClaimedTask::attempt).collect();
            job_task::give_back(engine, &attempts).await;
        }
    }

    fn refuse(&mut self, group: &[(u64, Arc<Claim>)], error: &StoreError) {
        tracing::error!("failed to claim tasks: {error}");
        for (number, _) in group {
            if let Some(pending) = self.dismiss(*number) {
                // Dropped unanswered, the claim fails as if the ledger were closed.
                drop(pending);
            }
        }
    }
}
