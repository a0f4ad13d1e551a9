//! What a POST asks for, done once even when it is sent again.

use std::sync::Arc;

use colony_core::id::{AttemptRef, RunDataId, RunId, TaskId};
use colony_core::time::Timestamp;
use colony_store::Tx;
use colony_store::ledger::idempotency::StoredAnswer;
use colony_store::ledger::{DataRow, RunRow, idempotency};

use super::change::{ChangeTask, Changed, Changes, change_tasks};
use super::claim::{Claim, ClaimedTask};
use super::claim_once::OnceClaim;
use super::create::{CreateRun, CreateTasks, CreatedTask, create_runs, create_tasks};
use super::data::{WriteData, write_data};
use super::desk::{Answer, Wish};
use super::error::LedgerError;
use super::handle::Ledger;
use super::lanes::Outs;
use super::release::{Heartbeat, HeldLease, renew};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::runs;

/// A change that a POST asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Creates a run.
    CreateRun(CreateRun),
    /// Creates tasks.
    CreateTasks(CreateTasks),
    /// Writes an entry of run data.
    WriteData(WriteData),
    /// Changes tasks, each with an outcome of its own.
    Report(Vec<ChangeTask>),
    /// Renews leases.
    Heartbeat(Heartbeat),
}

/// What a [`Command`] did.
#[derive(Debug)]
pub enum Outcome {
    /// The run.
    Run(RunRow),
    /// The tasks.
    Tasks(Vec<CreatedTask>),
    /// The entry.
    Data(DataRow),
    /// The tasks, or why they did not change.
    Reported(Changed),
    /// The leases.
    Leases(Vec<HeldLease>),
}

/// A key under which a request is answered once.
#[derive(Debug, Clone)]
pub struct OnceKey {
    /// Owner.
    pub org_id: String,
    /// The key.
    pub key: String,
    /// Hash of the request.
    pub request_sha256: String,
}

/// How long an answer is kept.
pub(super) const KEPT: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

impl Ledger {
    /// Carries a command out, together with those of others.
    ///
    /// # Errors
    ///
    /// Something is missing, or the database failed.
    pub async fn perform(&self, command: Command) -> Result<Outcome, LedgerError> {
        match command {
            Command::CreateRun(new) => self.create_run(new).await.map(Outcome::Run),
            Command::CreateTasks(new) => self.create_tasks(new).await.map(Outcome::Tasks),
            Command::WriteData(new) => self.write_data(new).await.map(Outcome::Data),
            Command::Report(items) => self.change_tasks(items).await.map(Outcome::Reported),
            Command::Heartbeat(beat) => self.heartbeat(beat).await.map(Outcome::Leases),
        }
    }

    /// Carries a command out once for its key: command and answer are stored together, and the
    /// same request gets the same answer again. `render` makes the answer, status and body. Only
    /// reports among which one meets a bad row are stored before their answer, each alone.
    ///
    /// # Errors
    ///
    /// As [`Ledger::perform`], or the key was used for another request.
    pub async fn perform_once(
        &self,
        command: Command,
        once: OnceKey,
        render: impl Fn(&Outcome) -> (u16, String) + Send + Sync + 'static,
    ) -> Result<(u16, String), LedgerError> {
        let (now, ids) = (self.now(), self.ids());
        let run_id = RunId::new(ids.next_uuid());
        let engine = self.engine().clone();
        let seed = engine.seed();
        let (command, render) = (Arc::new(command), Arc::new(render));
        let (wanted, key, shown) = (Arc::clone(&command), once.clone(), Arc::clone(&render));
        let done = self
            .store()
            .write(move |tx| -> Result<_, LedgerError> {
                let (org_id, key) = (&once.org_id, &once.key);
                idempotency::forget(tx, now_minus(now, KEPT))?;
                let stored = idempotency::reserve(tx, org_id, key, &once.request_sha256, now)?;
                if let Some(stored) = stored {
                    return Ok((None, answer_of(stored, &once)?));
                }
                let mut effects = Effects::default();
                let outcome = match &*command {
                    Command::CreateRun(new) => {
                        Outcome::Run(one(create_runs(tx, &[new.clone().row(run_id, now)]))?)
                    }
                    Command::CreateTasks(new) => {
                        let new = new.clone();
                        let rows = new.rows(|| TaskId::new(ids.next_uuid()), now);
                        Outcome::Tasks(one(create_tasks(tx, &[rows]))?)
                    }
                    Command::WriteData(new) => {
                        let id = RunDataId::new(ids.next_uuid());
                        Outcome::Data(one(write_data(tx, &[new.clone().row(id, now)]))?)
                    }
                    Command::Report(items) => {
                        let reported = report(tx, &engine, items, (now, seed), &mut effects)?;
                        Outcome::Reported(reported)
                    }
                    Command::Heartbeat(beat) => Outcome::Leases(renew(tx, beat, now)?),
                };
                let answer = render(&outcome);
                idempotency::store(tx, org_id, key, i64::from(answer.0), &answer.1)?;
                Ok((Some((outcome, effects)), answer))
            })
            .await;
        let done = match (done, &*wanted) {
            (Err(error), Command::Report(items)) if error.is_about_rows() => {
                let reported = self.change_tasks(items.clone()).await?;
                let answer = shown(&Outcome::Reported(reported));
                return self.remember(&key, answer).await;
            }
            (done, _) => done?,
        };
        if let Some((outcome, effects)) = done.0 {
            self.signal(&outcome);
            effects.carry_out(self.engine());
        }
        Ok(done.1)
    }

    fn signal(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Tasks(tasks) => {
                let new = tasks.iter().filter(|task| !task.existed);
                self.signals().tasks_changed(new.map(|task| &task.row));
            }
            Outcome::Reported(tasks) => {
                self.signals().tasks_changed(tasks.iter().flatten());
            }
            Outcome::Run(_) | Outcome::Data(_) | Outcome::Leases(_) => {}
        }
    }

    /// Claims tasks once for a key: the leases and the answer are stored together, and the same
    /// request gets the same answer again. `render` makes the answer, status and body.
    ///
    /// # Errors
    ///
    /// As [`Ledger::claim`], or the key was used for another request.
    pub async fn claim_once(
        &self,
        claim: Claim,
        once: OnceKey,
        render: impl Fn(Vec<ClaimedTask>) -> (u16, String) + Send + Sync + 'static,
    ) -> Result<(u16, String), LedgerError> {
        let once = Arc::new(OnceClaim {
            key: once,
            render: Box::new(render),
        });
        let wish = Wish::new(Arc::new(claim), Some(Arc::clone(&once)));
        match self.signals().bell.claim(wish).await? {
            Answer::Stored(stored) => Ok(stored),
            Answer::Tasks(tasks) => self.remember(&once.key, (once.render)(tasks)).await,
        }
    }

    /// Stores the answer to a claim that got nothing. When the same request was answered
    /// meanwhile, that answer stays.
    async fn remember(
        &self,
        once: &OnceKey,
        answer: (u16, String),
    ) -> Result<(u16, String), LedgerError> {
        let (once, now) = (once.clone(), self.now());
        self.store()
            .write(move |tx| {
                let (org_id, key) = (&once.org_id, &once.key);
                match idempotency::reserve(tx, org_id, key, &once.request_sha256, now)? {
                    Some(stored) => answer_of(stored, &once),
                    None => {
                        idempotency::store(tx, org_id, key, i64::from(answer.0), &answer.1)?;
                        Ok(answer.clone())
                    }
                }
            })
            .await
    }
}

/// A stored answer, if it is one to this request.
fn answer_of(stored: StoredAnswer, once: &OnceKey) -> Result<(u16, String), LedgerError> {
    if stored.request_sha256 != once.request_sha256 {
        return Err(LedgerError::KeyReused);
    }
    let status = u16::try_from(stored.status).unwrap_or(500);
    Ok((status, stored.response))
}

pub(super) fn now_minus(now: Timestamp, duration: std::time::Duration) -> Timestamp {
    let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis() - millis)
}

/// Changes tasks; those of jobs go to the decision of their run.
fn report(
    tx: &mut Tx<'_>,
    engine: &Engine,
    items: &[ChangeTask],
    (now, seed): (Timestamp, u64),
    effects: &mut Effects,
) -> Result<Changed, LedgerError> {
    let changes = Changes {
        items: Arc::new(items.to_vec()),
        now,
    };
    let mut changed = one(change_tasks(tx, &[changes]))?;
    for (result, item) in changed.iter_mut().zip(items) {
        if let Err(LedgerError::OwnedByJob(_)) = result {
            let change = runs::Change { item: item.clone() };
            let (row, more) = engine.perform_in(tx, change, (now, seed))?;
            *result = row;
            effects.extend(more);
        }
    }
    Ok(changed)
}

/// The result of the only operation.
fn one<Out>(outs: Outs<Out>) -> Result<Out, LedgerError> {
    outs?.pop().unwrap_or(Err(LedgerError::Closed))
}

/// The token of a lease: what a worker shows to report and to renew.
impl HeldLease {
    /// The lease as text.
    pub fn token(&self) -> String {
        AttemptRef::to_string(&self.attempt)
    }
}
