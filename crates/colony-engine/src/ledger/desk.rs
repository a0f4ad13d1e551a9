//! The desk where claims are answered, at once or when a task becomes ready.
//!
//! One task of the runtime owns all waiting claims. It answers those that can be answered together
//! in one transaction; a claim that gets nothing stays until one of its queues is rung for or its
//! caller goes away. Tasks claimed for a caller who has gone are given back at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use colony_core::time::Clock;
use colony_store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::claim::{Claim, ClaimedTask, Queue};
use super::claim_once::{Given, OnceClaim, claim_group};
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

/// What a claim is answered with.
pub(super) enum Answer {
    Tasks(Vec<ClaimedTask>),
    /// The answer that is stored under the key of the claim: status and body.
    Stored((u16, String)),
}

pub(super) type Claimed = Result<Answer, LedgerError>;

/// A claim, and its key if it is to be answered once.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) claim: Arc<Claim>,
    pub(super) once: Option<Arc<OnceClaim>>,
    /// It has waited: its caller's key may be over by now.
    pub(super) waited: bool,
}

impl Wish {
    pub(super) fn new(claim: Arc<Claim>, once: Option<Arc<OnceClaim>>) -> Self {
        Self {
            claim,
            once,
            waited: false,
        }
    }
}

/// A claim at the desk.
pub(super) struct Pending {
    wish: Wish,
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
    pub(super) async fn claim(&self, wish: Wish) -> Claimed {
        let (reply, mut answer) = oneshot::channel();
        let wait = wish.claim.wait;
        let pending = Pending { wish, reply };
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
                answer
                    .try_recv()
                    .unwrap_or_else(|_| Ok(Answer::Tasks(Vec::new())))
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
                let mut again = self.serve(group).await;
                while !again.is_empty() {
                    again = self.serve(&again).await;
                }
            }
        }
    }

    /// How long to sleep when nothing is heard.
    fn patience(&self) -> Duration {
        if self.waiting.is_empty() {
            Duration::MAX
        } else if self.store.is_exclusive() {
            SWEEP
        } else {
            LOOK_AGAIN
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
        if self.store.is_exclusive() {
            BTreeSet::new()
        } else {
            self.waiting.keys().copied().collect()
        }
    }

    /// Known to the bell before the first look, so that no ring is missed.
    fn admit(&mut self, pending: Pending) -> u64 {
        let number = self.next;
        self.next += 1;
        let mut wanted = lock(&self.signals.bell.wanted);
        for queue in pending.wish.claim.queues() {
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
        for queue in pending.wish.claim.queues() {
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

    /// Answers claims in one transaction; returns those that are to look again at once.
    async fn serve(&mut self, numbers: &[u64]) -> Vec<u64> {
        let mut group = Vec::with_capacity(numbers.len());
        for number in numbers {
            match self.waiting.get(number) {
                Some(pending) if pending.reply.is_closed() => {
                    self.dismiss(*number);
                }
                Some(pending) => group.push((*number, pending.wish.clone())),
                None => {}
            }
        }
        if group.is_empty() {
            return Vec::new();
        }
        let now = self.clock.now();
        let wishes: Vec<Wish> = group.iter().map(|(_, wish)| wish.clone()).collect();
        let claimed: Result<_, StoreError> = (self.store)
            .write(move |tx| claim_group(tx, &wishes, now))
            .await;
        match claimed {
            Ok(claimed) => self.hand_out(&group, claimed).await,
            Err(error) => {
                self.refuse(&group, &error);
                Vec::new()
            }
        }
    }

    async fn hand_out(&mut self, group: &[(u64, Wish)], claimed: Vec<Given>) -> Vec<u64> {
        let (mut unwanted, mut again) = (Vec::new(), Vec::new());
        // When nobody got anything, another look would find the same.
        let some_got = claimed.iter().any(|given| !given.rows.is_empty());
        for ((number, wish), given) in group.iter().zip(claimed) {
            if given.look_again && some_got {
                again.push(*number);
                continue;
            }
            if given.is_nothing() && !wish.claim.wait.is_zero() {
                if let Some(pending) = self.waiting.get_mut(number) {
                    pending.wish.waited = true;
                }
                continue;
            }
            let Some(pending) = self.dismiss(*number) else {
                continue;
            };
            if let Some(expires_at) = given.expires_at {
                self.signals.alarm.set(expires_at);
            }
            if let Some(engine) = &self.jobs {
                given.jobs.iter().for_each(|job| job.announce(engine));
            }
            // An answer that is stored is there for the caller who asks again, and so are its
            // tasks; others go back.
            if let Err(Ok(Answer::Tasks(tasks))) = pending.reply.send(given.answer) {
                unwanted.extend(tasks);
            }
            self.signals.tasks_changed(given.rows.iter());
        }
        if !unwanted.is_empty() {
            self.give_back(unwanted).await;
        }
        again
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

    fn refuse(&mut self, group: &[(u64, Wish)], error: &StoreError) {
        tracing::error!("failed to claim tasks: {error}");
        for (number, _) in group {
            if let Some(pending) = self.dismiss(*number) {
                // Dropped unanswered, the claim fails as if the ledger were closed.
                drop(pending);
            }
        }
    }
}
