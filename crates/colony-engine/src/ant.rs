//! Ants that are connected, and what they say.
//!
//! | file | what it has |
//! | --- | --- |
//! | `table` | who is connected, what each works on, and what it is told |

mod table;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use colony_core::id::{AttemptRef, RunId};
use colony_core::text::{code_point, control_in_name, with_causes};
use colony_core::time::Timestamp;
use colony_store::lease::{self, HolderKind};
use colony_store::{StoreError, Tx};
use colony_wire::{AntMessage, Hello, LogChunk, QueenMessage};
use tokio::sync::{Semaphore, mpsc};

use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::event::RunEventKind;
use crate::isolate::Subject;
use crate::runs::Lose;

pub(crate) use table::{AntRoom, Ants, Sent};

/// Reports being stored at once per ant; more make the ant wait.
const REPORTS_IN_FLIGHT_MAX: usize = 1024;

/// What a heartbeat of an ant comes to.
pub(crate) struct Renewed {
    /// Attempts whose lease is current, and that are to stop.
    stopped: Vec<AttemptRef>,
    /// Attempts whose lease is not current.
    pub(crate) lost: Vec<AttemptRef>,
}

impl Renewed {
    /// Renews the leases of attempts that an ant says it runs.
    pub(crate) fn of(
        tx: &mut Tx<'_>,
        running: &[AttemptRef],
        expires_at: Timestamp,
    ) -> Result<Self, StoreError> {
        let held = lease::renew(tx, (HolderKind::Ant, None), running, expires_at)?;
        let current = |attempt: &AttemptRef| held.iter().any(|held| held.attempt == *attempt);
        let stopped = held.iter().filter(|held| held.stop);
        Ok(Self {
            stopped: stopped.map(|held| held.attempt).collect(),
            lost: (running.iter().copied())
                .filter(|attempt| !current(attempt))
                .collect(),
        })
    }
}

/// Why an attempt is stopped by the answer to a heartbeat.
const ASKED_AGAIN: &str = "its job or its time is over";

/// The two directions to an ant.
pub struct AntLink {
    /// What the ant says.
    pub from_ant: mpsc::Receiver<AntMessage>,
    /// What it is told. Must hold a few messages for each attempt that the ant may run.
    pub to_ant: mpsc::Sender<QueenMessage>,
    /// It runs inside this process: when the link closes, nothing of it is left.
    pub embedded: bool,
}

impl Engine {
    /// Serves an ant until its link closes.
    ///
    /// # Errors
    ///
    /// The ant speaks no understandable protocol, or the database failed at its arrival.
    pub async fn serve_ant(&self, mut link: AntLink) -> Result<(), EngineError> {
        let Some(AntMessage::Hello(hello)) = link.from_ant.recv().await else {
            return Err(EngineError::Invalid(
                "an ant must say hello first".to_owned(),
            ));
        };
        if hello.version != colony_wire::VERSION {
            let (theirs, ours) = (hello.version, colony_wire::VERSION);
            let message = format!("the ant speaks version {theirs}, this queen {ours}");
            return Err(EngineError::Invalid(message));
        }
        check_hello(&hello)?;
        let ant_id = hello.ant_id.clone();
        self.arrive(hello, &link).await?;
        let reports = Arc::new(Semaphore::new(REPORTS_IN_FLIGHT_MAX));
        while let Some(message) = link.from_ant.recv().await {
            self.hear(&ant_id, message, &reports).await;
        }
        self.ants.leave(&ant_id, &link.to_ant);
        if link.embedded {
            self.lose_leases(&ant_id, &BTreeSet::new()).await?;
        }
        Ok(())
    }

    /// An ant is there: what it no longer runs is free again, and there is room for more.
    async fn arrive(&self, hello: Hello, link: &AntLink) -> Result<(), EngineError> {
        let ant_id = hello.ant_id.clone();
        tracing::info!(ant.id = %ant_id, ant.capacity = hello.capacity, "ant connected");
        let running: BTreeSet<AttemptRef> = hello.running.iter().copied().collect();
        let mut backoff = Backoff::new("arrival");
        while let Err(error) = self.lose_leases(&ant_id, &running).await {
            if !error.is_unavailable() || self.store.is_taken_over() {
                return Err(error);
            }
            tracing::error!(ant.id = %ant_id, "failed to take back leases of an ant: {}", with_causes(&error));
            backoff.pause().await;
        }
        let heartbeat_ms = u64::try_from(self.settings.heartbeat.as_millis()).unwrap_or(u64::MAX);
        self.ants.arrive(hello, link.to_ant.clone(), link.embedded);
        self.ants
            .send(&ant_id, QueenMessage::Welcome { heartbeat_ms });
        self.nudges.look_for_ants();
        self.nudges.dispatcher.notify_one();
        Ok(())
    }

    async fn hear(&self, ant_id: &str, message: AntMessage, reports: &Arc<Semaphore>) {
        match message {
            AntMessage::Hello(_) => tracing::warn!(ant.id = %ant_id, "ant said hello twice"),
            AntMessage::Started { .. } => {}
            AntMessage::Log(chunk) => self.hear_output(ant_id, &chunk),
            AntMessage::Heartbeat { running } => {
                let (engine, ant_id) = (self.clone(), ant_id.to_owned());
                tokio::spawn(async move { engine.renew(&ant_id, running).await });
            }
            AntMessage::Report(report) => {
                // The task that comes next is leased in the same transaction.
                let place = self.ants.trade(ant_id, report.attempt);
                let Ok(permit) = Arc::clone(reports).acquire_owned().await else {
                    return;
                };
                let (engine, ant_id) = (self.clone(), ant_id.to_owned());
                tokio::spawn(async move {
                    engine.store_report(&ant_id, *report, place).await;
                    drop(permit);
                });
            }
            AntMessage::GiveBack { attempt } => {
                let assigned = self.ants.release(ant_id, attempt);
                let run_id = assigned.map(|(_, run_id)| run_id);
                let message = "given back by its ant";
                self.give_back_surely(attempt, run_id, message).await;
                self.nudges.dispatcher.notify_one();
            }
        }
    }

    fn hear_output(&self, ant_id: &str, chunk: &LogChunk) {
        let Some(request_id) = self.ants.request_of(ant_id, chunk.attempt) else {
            return;
        };
        if self.is_watched() {
            let (attempt, text) = (chunk.attempt, chunk.text.clone());
            self.tell(request_id, RunEventKind::Output { attempt, text });
        }
        self.live_logs.append(chunk);
        self.waiters.wake(request_id);
    }

    async fn renew(&self, ant_id: &str, running: Vec<AttemptRef>) {
        let expires_at = self.now().after(self.settings.lease_duration);
        let renewed = self
            .store
            .write(move |tx| Renewed::of(tx, &running, expires_at))
            .await;
        match renewed {
            Ok(renewed) => self.answer_heartbeat(ant_id, renewed),
            Err(error) => {
                tracing::error!(ant.id = %ant_id, "failed to renew leases: {}", with_causes(&error));
            }
        }
    }

    /// Tells an ant which of its attempts to stop and which to forget.
    pub(crate) fn answer_heartbeat(&self, ant_id: &str, renewed: Renewed) {
        for attempt in renewed.stopped {
            // It may have been lost on its way.
            let reason = ASKED_AGAIN.to_owned();
            self.ants
                .send(ant_id, QueenMessage::Cancel { attempt, reason });
        }
        let freed = !renewed.lost.is_empty();
        for attempt in renewed.lost {
            self.ants.release(ant_id, attempt);
            self.live_logs.forget(attempt);
            self.ants.send(ant_id, QueenMessage::LeaseLost { attempt });
        }
        if freed {
            self.nudges.dispatcher.notify_one();
        }
    }

    /// Takes back the leases of an ant but for those that it still works on. Nobody is to blame.
    pub(crate) async fn lose_leases(
        &self,
        holder: &str,
        except: &BTreeSet<AttemptRef>,
    ) -> Result<(), EngineError> {
        let name = holder.to_owned();
        let leases = self.store.read(move |tx| lease::of_ant(tx, &name)).await?;
        let mut lost = Vec::new();
        for lease in leases {
            match lease.lease {
                Ok(held) if except.contains(&held.attempt) => {}
                Ok(held) => {
                    let message = "the ant no longer runs it";
                    let lose = given_back(held.attempt, Some(held.run_id), message);
                    lost.push((Subject::Task(lease.task_id), lose));
                }
                Err(error) => {
                    self.give_up(Subject::Task(lease.task_id), &error.into())
                        .await?;
                }
            }
        }
        self.perform_each(lost).await
    }

    /// Gives back what is leased to the ants here whose order was not sent for `rest`: the outcome
    /// of the lease's commit was not known, so nobody sent it, or ever will.
    pub(crate) async fn take_back_unsent(&self, rest: Duration) {
        let now = self.now();
        for (ant_id, known) in self.ants.known() {
            let leases = self.store.read(move |tx| lease::of_ant(tx, &ant_id)).await;
            let leases = leases.unwrap_or_else(|error| {
                tracing::error!(
                    "failed to read the leases of an ant: {}",
                    with_causes(&error)
                );
                Vec::new()
            });
            // An unreadable one is given up when it is over.
            let held = leases.into_iter().filter_map(|lease| lease.lease.ok());
            for lease in held {
                if !known.contains(&lease.attempt) && lease.started_at.after(rest) <= now {
                    let never = "its order was never sent";
                    self.give_back_surely(lease.attempt, Some(lease.run_id), never)
                        .await;
                }
            }
        }
    }

    /// As [`Engine::give_back`], as often as it takes: once the ant has forgotten the attempt,
    /// nobody else ends its lease but its expiry, which counts as a loss.
    pub(crate) async fn give_back_surely(
        &self,
        attempt: AttemptRef,
        run_id: Option<RunId>,
        message: &'static str,
    ) {
        let Err(error) = self.give_back(attempt, run_id, message).await else {
            return;
        };
        tracing::error!(task.id = %attempt.task_id, "failed to take back a lease: {}", with_causes(&error));
        let engine = self.clone();
        // The ant has more to say meanwhile.
        tokio::spawn(async move {
            let mut backoff = Backoff::new("give back");
            let mut failed = Err(error);
            while let Err(error) = &failed
                && error.is_unavailable()
                && !engine.store.is_taken_over()
            {
                backoff.pause().await;
                failed = engine.give_back(attempt, run_id, message).await;
            }
        });
    }

    /// Ends a lease whose attempt nobody works on, through nobody's fault: the task is offered
    /// again at once.
    pub(crate) async fn give_back(
        &self,
        attempt: AttemptRef,
        run_id: Option<RunId>,
        message: &'static str,
    ) -> Result<(), EngineError> {
        let subject = Subject::Task(attempt.task_id);
        let lose = given_back(attempt, run_id, message);
        self.perform_each(vec![(subject, lose)]).await
    }
}

pub(crate) fn given_back(
    attempt: AttemptRef,
    run_id: Option<RunId>,
    message: &'static str,
) -> Lose {
    Lose {
        attempt,
        run_id,
        counts: false,
        unless_renewed: false,
        outcome: "given_back",
        message,
    }
}

/// What an ant says of itself is stored with each of its tasks.
fn check_hello(hello: &Hello) -> Result<(), EngineError> {
    let mut texts = [&hello.ant_id, &hello.host].into_iter().chain(&hello.tags);
    match texts.find_map(|text| control_in_name(text)) {
        None => Ok(()),
        Some(letter) => Err(EngineError::Invalid(format!(
            "the id, host or a tag of the ant holds the control character {}",
            code_point(letter)
        ))),
    }
}
