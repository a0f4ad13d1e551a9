//! The desk where claims are answered, at once or when a task becomes ready.
//!
//! One task of the runtime owns all waiting claims. It answers those that can be answered together
//! in one transaction; a claim that gets nothing stays until one of its queues is rung for or its
//! caller goes away. Tasks claimed for a caller who has gone are given back at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use colony_core::id::TaskId;
use colony_core::text::with_causes;
use colony_store::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::answering::Answering;
use super::claim::{Claim, ClaimedTask, first_waiting};
use super::claim_once::{Given, OnceClaim, claim_group};
use super::error::LedgerError;
use super::release::give_back;
use super::signals::{Signals, lock};
use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::Subject;

/// The most claims in one transaction.
const GROUP_MAX: usize = 256;

/// Tasks that end in one look because they cannot be claimed.
const GIVEN_UP_MAX: usize = 1024;

/// How often waiting claims look again without being rung for: another queen of the same database
/// may have made tasks ready.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How long a claim whose wait is over stays for an answer that is under way.
const UNDER_WAY_MAX: Duration = Duration::from_secs(10);

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

impl Wish {
    fn at_most_one(mut self) -> Self {
        Arc::make_mut(&mut self.claim).limit = 1;
        self
    }
}

/// A claim at the desk.
pub(crate) struct Pending {
    wish: Wish,
    reply: oneshot::Sender<Claimed>,
    answering: Arc<Answering>,
    /// When its wait is over.
    deadline: Instant,
}

/// What the desk hears.
pub(crate) enum Message {
    Claim(Pending),
    /// A task waits under that key.
    Ready(String),
}

/// What a desk is to hear.
pub(crate) type DeskMessages = mpsc::UnboundedReceiver<Message>;

/// Tells the desk that tasks are ready. Cheap to clone.
#[derive(Clone)]
pub(crate) struct DeskBell {
    sender: mpsc::UnboundedSender<Message>,
    /// How many claims look under each key.
    wanted: Arc<Mutex<HashMap<String, usize>>>,
    /// Why the last look failed, if it did because of the database.
    trouble: Trouble,
}

type Trouble = Arc<Mutex<Option<Arc<StoreError>>>>;

impl DeskBell {
    pub(crate) fn new() -> (Self, DeskMessages) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (wanted, trouble) = (Arc::default(), Arc::default());
        let bell = Self {
            sender,
            wanted,
            trouble,
        };
        (bell, receiver)
    }

    /// A task is ready under a key. Costs little when nobody waits.
    pub(super) fn ring(&self, key: impl FnOnce() -> String) {
        let wanted = lock(&self.wanted);
        if wanted.is_empty() {
            return;
        }
        let key = key();
        if wanted.contains_key(&key) {
            // The desk ends only with the ledger.
            let _ = self.sender.send(Message::Ready(key));
        }
    }

    /// Claims tasks, waiting for the first one as long as the claim says.
    pub(super) async fn claim(&self, wish: Wish) -> Claimed {
        let (reply, mut answer) = oneshot::channel();
        let wait = wish.claim.wait;
        let answering = Arc::new(Answering::new());
        let deadline = Instant::now() + wait;
        let pending = Pending {
            wish,
            reply,
            answering: Arc::clone(&answering),
            deadline,
        };
        let sent = self.sender.send(Message::Claim(pending));
        sent.map_err(|_| LedgerError::Closed)?;
        if wait.is_zero() {
            return answer.await.map_err(|_| LedgerError::Closed)?;
        }
        let mut answered = tokio::time::timeout_at(deadline, &mut answer).await;
        if answered.is_err() && !answering.end() {
            answered = tokio::time::timeout(UNDER_WAY_MAX, &mut answer).await;
        }
        match answered {
            Ok(answer) => answer.map_err(|_| LedgerError::Closed)?,
            Err(_) => {
                // What was sent in this very moment still counts.
                answer.close();
                answer.try_recv().unwrap_or_else(|_| self.nothing())
            }
        }
    }
}

impl DeskBell {
    /// What a claim gets that has waited in vain.
    fn nothing(&self) -> Claimed {
        match &*lock(&self.trouble) {
            None => Ok(Answer::Tasks(Vec::new())),
            Some(error) => Err(LedgerError::Shared(Arc::clone(error))),
        }
    }
}

/// The desk itself.
pub(super) struct Desk {
    engine: Engine,
    signals: Signals,
    receiver: DeskMessages,
    waiting: BTreeMap<u64, Pending>,
    by_key: HashMap<String, BTreeSet<u64>>,
    next: u64,
    /// Claims whose look failed because of the database, and when they look again.
    again: Option<(Instant, BTreeSet<u64>)>,
    backoff: Backoff,
}

impl Desk {
    pub(super) fn new(engine: Engine, signals: Signals, receiver: DeskMessages) -> Self {
        Self {
            engine,
            signals,
            receiver,
            waiting: BTreeMap::new(),
            by_key: HashMap::new(),
            next: 0,
            again: None,
            backoff: Backoff::new("desk"),
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
            due.extend(self.take_again());
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
        let again = self.again.as_ref();
        let again = again.map(|(at, _)| at.saturating_duration_since(Instant::now()));
        self.quiet_patience().min(again.unwrap_or(Duration::MAX))
    }

    fn quiet_patience(&self) -> Duration {
        if self.waiting.is_empty() {
            Duration::MAX
        } else if self.engine.store.is_exclusive() {
            SWEEP
        } else {
            LOOK_AGAIN
        }
    }

    /// Claims that are to look again after a failure, once it is time.
    fn take_again(&mut self) -> BTreeSet<u64> {
        match self.again.take() {
            Some((at, numbers)) if at <= Instant::now() => numbers,
            not_yet => {
                self.again = not_yet;
                BTreeSet::new()
            }
        }
    }

    fn hear(&mut self, message: Message, due: &mut BTreeSet<u64>) {
        match message {
            Message::Claim(pending) => {
                due.insert(self.admit(pending));
            }
            Message::Ready(key) => {
                due.extend(self.by_key.get(&key).into_iter().flatten());
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
        if self.engine.store.is_exclusive() {
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
        for key in pending.wish.claim.keys() {
            *wanted.entry(key.clone()).or_default() += 1;
            self.by_key.entry(key).or_default().insert(number);
        }
        drop(wanted);
        self.waiting.insert(number, pending);
        number
    }

    fn dismiss(&mut self, number: u64) -> Option<Pending> {
        let pending = self.waiting.remove(&number)?;
        let mut wanted = lock(&self.signals.bell.wanted);
        for key in pending.wish.claim.keys() {
            if let Some(count) = wanted.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    wanted.remove(&key);
                }
            }
            if let Some(numbers) = self.by_key.get_mut(&key) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.by_key.remove(&key);
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
                Some(pending) if pending.reply.is_closed() || !pending.answering.begin() => {
                    self.dismiss(*number);
                }
                Some(pending) => group.push((*number, pending.wish.clone())),
                None => {}
            }
        }
        if group.is_empty() {
            return Vec::new();
        }
        let now = self.engine.now();
        let wishes: Vec<Wish> = group.iter().map(|(_, wish)| wish.clone()).collect();
        let ground = Arc::clone(&self.engine.ground);
        let claimed: Result<_, StoreError> = (self.engine.store)
            .write(move |tx| claim_group(tx, &ground, &wishes, now))
            .await;
        match claimed {
            Ok((claimed, effects)) => {
                self.backoff.reset();
                *lock(&self.signals.bell.trouble) = None;
                effects.carry_out(&self.engine);
                self.hand_out(&group, claimed).await
            }
            Err(error) if error.is_about_rows() => {
                tracing::error!("failed to claim tasks: {}", with_causes(&error));
                self.serve_alone(&group).await
            }
            Err(error) => {
                self.refuse(&group, error);
                Vec::new()
            }
        }
    }

    /// Serves each claim alone and with one task at most, so that a task which cannot be claimed is
    /// known: it ends with the reason.
    async fn serve_alone(&mut self, group: &[(u64, Wish)]) -> Vec<u64> {
        let mut again = Vec::new();
        for (number, wish) in group {
            let one = [(*number, wish.clone().at_most_one())];
            for _ in 0..GIVEN_UP_MAX {
                match self.claim_alone(&one[0].1).await {
                    Ok(claimed) => {
                        again.extend(self.hand_out(&one, claimed).await);
                        break;
                    }
                    Err((Some(id), error)) if error.is_about_rows() => {
                        if let Err(error) = self.give_up(id, error).await {
                            tracing::error!("failed to end a task: {}", with_causes(&error));
                            break;
                        }
                    }
                    Err((_, error)) => {
                        self.refuse(&one, error);
                        break;
                    }
                }
            }
        }
        again
    }

    /// Serves one claim. On failure tells which task it would have got.
    async fn claim_alone(&self, wish: &Wish) -> Result<Vec<Given>, (Option<TaskId>, StoreError)> {
        let first: Arc<Mutex<Option<TaskId>>> = Arc::default();
        let (inside, wish, now) = (Arc::clone(&first), wish.clone(), self.engine.now());
        let ground = Arc::clone(&self.engine.ground);
        let claimed = self.engine.store.write(move |tx| {
            *lock(&inside) = first_waiting(tx, &wish.claim)?;
            let claimed = claim_group(tx, &ground, std::slice::from_ref(&wish), now)?;
            tx.settle()?;
            Ok(claimed)
        });
        match claimed.await {
            Ok((claimed, effects)) => {
                effects.carry_out(&self.engine);
                Ok(claimed)
            }
            Err(error) => Err((*lock(&first), error)),
        }
    }

    async fn give_up(&self, id: TaskId, cause: StoreError) -> Result<(), EngineError> {
        self.engine.give_up(Subject::Task(id), &cause.into()).await
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
                self.leave_waiting(*number);
                continue;
            }
            let Some(pending) = self.dismiss(*number) else {
                continue;
            };
            if let Some(expires_at) = given.expires_at {
                self.signals.due_at(expires_at);
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

    /// Nothing was there for a claim. One whose wait went by meanwhile is told so.
    fn leave_waiting(&mut self, number: u64) {
        let Some(pending) = self.waiting.get_mut(&number) else {
            return;
        };
        pending.wish.waited = true;
        pending.answering.rest();
        // Looked at after the rest, so that a caller who found an answer under way gets one.
        if pending.deadline <= Instant::now()
            && let Some(pending) = self.dismiss(number)
        {
            // It may have noticed itself.
            let _ = pending.reply.send(self.signals.bell.nothing());
        }
    }

    /// Puts tasks back that were claimed for someone who has gone.
    async fn give_back(&self, tasks: Vec<ClaimedTask>) {
        let (jobs, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|task| task.of_job);
        if !tasks.is_empty() {
            give_back(&self.engine, &self.signals, tasks).await;
        }
        for task in jobs {
            let attempt = task.attempt();
            let given = self.engine.give_back(attempt, None, "its worker went away");
            if let Err(error) = given.await {
                // Its lease runs out.
                tracing::warn!(task.id = %attempt.task_id, "failed to give a task back: {}", with_causes(&error));
            }
        }
    }

    /// A claim that waits outlives a database that is away for a moment; others hear of it.
    fn refuse(&mut self, group: &[(u64, Wish)], error: StoreError) {
        tracing::error!("failed to claim tasks: {}", with_causes(&error));
        let may_pass = error.is_retryable();
        let error = Arc::new(error);
        *lock(&self.signals.bell.trouble) = may_pass.then(|| Arc::clone(&error));
        let mut waiting = BTreeSet::new();
        for (number, wish) in group {
            if may_pass && !wish.claim.wait.is_zero() {
                self.leave_waiting(*number);
                waiting.insert(*number);
            } else if let Some(pending) = self.dismiss(*number) {
                // Its caller may have gone.
                let _ = pending
                    .reply
                    .send(Err(LedgerError::Shared(Arc::clone(&error))));
            }
        }
        if !waiting.is_empty() {
            let at = Instant::now() + self.backoff.next();
            let (_, numbers) = self.again.get_or_insert((at, BTreeSet::new()));
            numbers.extend(waiting);
        }
    }
}
