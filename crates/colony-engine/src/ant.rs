//! Ants that are connected, and what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use colony_core::id::AttemptRef;
use colony_core::job::Event;
use colony_core::method::Method;
use colony_store::dispatch::{self, EndedAttempt, Lease};
use colony_wire::{AntMessage, Hello, LogChunk, QueenMessage};
use tokio::sync::{Semaphore, mpsc};

use crate::action::Actions;
use crate::advance::advance;
use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::event::RunEventKind;

/// Reports being stored at once per ant; more make the ant wait.
const REPORTS_IN_FLIGHT_MAX: usize = 1024;

/// The two directions to an ant.
pub struct AntLink {
    /// What the ant says.
    pub from_ant: mpsc::Receiver<AntMessage>,
    /// What it is told. Must hold a few messages for each attempt that the ant may run.
    pub to_ant: mpsc::Sender<QueenMessage>,
    /// It runs inside this process: when the link closes, nothing of it is left.
    pub embedded: bool,
}

/// An ant with an open link.
struct Session {
    hello: Hello,
    to_ant: mpsc::Sender<QueenMessage>,
    running: BTreeMap<AttemptRef, colony_core::id::RequestId>,
    embedded: bool,
}

/// An ant as the dispatcher sees it.
#[derive(Debug, Clone)]
pub(crate) struct AntRoom {
    pub(crate) ant_id: String,
    pub(crate) host: String,
    pub(crate) methods: Vec<Method>,
    pub(crate) tags: Vec<String>,
    pub(crate) capacity: u32,
    pub(crate) free: u32,
}

impl AntRoom {
    /// Whether the ant may take from a queue of ready tasks.
    pub(crate) fn serves(&self, queue: &str) -> bool {
        let (method, tags) = queue.split_once('|').unwrap_or((queue, ""));
        self.methods.iter().any(|own| own.as_str() == method)
            && tags
                .split(',')
                .filter(|tag| !tag.is_empty())
                .all(|tag| self.has_tag(tag))
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own.eq_ignore_ascii_case(tag))
    }
}

/// All connected ants.
#[derive(Default)]
pub(crate) struct Ants {
    sessions: Mutex<BTreeMap<String, Session>>,
}

impl Ants {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link is closed. The ant may have opened another one meanwhile.
    fn leave(&self, ant_id: &str, link: &mpsc::Sender<QueenMessage>) {
        let mut sessions = self.lock();
        if sessions
            .get(ant_id)
            .is_some_and(|session| session.to_ant.same_channel(link))
        {
            sessions.remove(ant_id);
        }
    }

    /// Every ant and how many attempts it has room for.
    pub(crate) fn rooms(&self) -> Vec<AntRoom> {
        let rooms = self.lock();
        rooms
            .iter()
            .map(|(ant_id, session)| room(ant_id, session))
            .collect()
    }

    /// Notes that an attempt is with an ant, and sends it the message. False when it is gone.
    pub(crate) fn assign(
        &self,
        holder: &str,
        attempt: AttemptRef,
        request_id: colony_core::id::RequestId,
    ) -> bool {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(holder) else {
            return false;
        };
        session.running.insert(attempt, request_id);
        true
    }

    /// The attempt is no longer with the ant. Gives the request that it was part of.
    pub(crate) fn release(
        &self,
        holder: &str,
        attempt: AttemptRef,
    ) -> Option<colony_core::id::RequestId> {
        self.lock().get_mut(holder)?.running.remove(&attempt)
    }

    fn request_of(&self, holder: &str, attempt: AttemptRef) -> Option<colony_core::id::RequestId> {
        self.lock().get(holder)?.running.get(&attempt).copied()
    }

    /// Sends a message to an ant. False when it is gone or does not listen.
    pub(crate) fn send(&self, holder: &str, message: QueenMessage) -> bool {
        let to_ant = self
            .lock()
            .get(holder)
            .map(|session| session.to_ant.clone());
        to_ant.is_some_and(|to_ant| to_ant.try_send(message).is_ok())
    }

    /// Whether an ant inside this process works on the attempt: its lease needs no proof of life.
    pub(crate) fn works_inside(&self, holder: &str, attempt: AttemptRef) -> bool {
        let sessions = self.lock();
        sessions
            .get(holder)
            .is_some_and(|session| session.embedded && session.running.contains_key(&attempt))
    }
}

fn room(ant_id: &str, session: &Session) -> AntRoom {
    let running = u32::try_from(session.running.len()).unwrap_or(u32::MAX);
    let capacity = session.hello.capacity;
    AntRoom {
        ant_id: ant_id.to_owned(),
        host: session.hello.host.clone(),
        methods: session.hello.methods.clone(),
        tags: session.hello.tags.clone(),
        capacity,
        free: capacity.saturating_sub(running),
    }
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
            tracing::error!(ant.id = %ant_id, "failed to take back leases of an ant: {error}");
            backoff.pause().await;
        }
        let heartbeat_ms = u64::try_from(self.settings.heartbeat.as_millis()).unwrap_or(u64::MAX);
        let session = Session {
            hello,
            to_ant: link.to_ant.clone(),
            running: BTreeMap::new(),
            embedded: link.embedded,
        };
        self.ants.lock().insert(ant_id.clone(), session);
        self.ants
            .send(&ant_id, QueenMessage::Welcome { heartbeat_ms });
        self.nudges.scheduler.notify_one();
        self.nudges.dispatcher.notify_one();
        Ok(())
    }

    async fn hear(&self, ant_id: &str, message: AntMessage, reports: &Arc<Semaphore>) {
        match message {
            AntMessage::Hello(_) => tracing::warn!(ant.id = %ant_id, "ant said hello twice"),
            AntMessage::Started { .. } => {}
            AntMessage::Log(chunk) => self.hear_output(ant_id, chunk),
            AntMessage::Heartbeat { running } => {
                let (engine, ant_id) = (self.clone(), ant_id.to_owned());
                tokio::spawn(async move { engine.renew(&ant_id, running).await });
            }
            AntMessage::Report(report) => {
                // Its room is free before the commit: the next attempt need not wait for the disk.
                self.ants.release(ant_id, report.attempt);
                self.nudges.dispatcher.notify_one();
                let Ok(permit) = Arc::clone(reports).acquire_owned().await else {
                    return;
                };
                let (engine, ant_id) = (self.clone(), ant_id.to_owned());
                tokio::spawn(async move {
                    engine.store_report(&ant_id, *report).await;
                    drop(permit);
                });
            }
            AntMessage::GiveBack { attempt } => {
                self.ants.release(ant_id, attempt);
                self.give_back_surely(attempt, "given back by its ant")
                    .await;
            }
        }
    }

    fn hear_output(&self, ant_id: &str, chunk: LogChunk) {
        let Some(request_id) = self.ants.request_of(ant_id, chunk.attempt) else {
            return;
        };
        if self.is_watched() {
            let (attempt, text) = (chunk.attempt, chunk.text.clone());
            self.tell(request_id, RunEventKind::Output { attempt, text });
        }
        self.live_logs.append(chunk);
    }

    async fn renew(&self, ant_id: &str, running: Vec<AttemptRef>) {
        let expires_at = self.now().after(self.settings.lease_duration);
        let renewed = self
            .store
            .write(move |tx| dispatch::renew_leases(tx, &running, expires_at))
            .await;
        match renewed {
            Ok(lost) => {
                for attempt in lost {
                    self.ants.release(ant_id, attempt);
                    self.ants.send(ant_id, QueenMessage::LeaseLost { attempt });
                }
            }
            Err(error) => tracing::error!(ant.id = %ant_id, "failed to renew leases: {error}"),
        }
    }

    /// Takes back the leases of an ant but for those that it still works on. Nobody is to blame.
    pub(crate) async fn lose_leases(
        &self,
        holder: &str,
        except: &BTreeSet<AttemptRef>,
    ) -> Result<(), EngineError> {
        let name = holder.to_owned();
        let leases = self
            .store
            .read(move |tx| dispatch::leases_of(tx, &name))
            .await?;
        for lease in leases {
            if !except.contains(&lease.attempt) {
                self.give_back(lease.attempt, "the ant no longer runs it")
                    .await?;
            }
        }
        Ok(())
    }

    /// As [`Engine::give_back`], as often as it takes: once the ant has forgotten the attempt,
    /// nobody else ends its lease but its expiry, which counts as a loss.
    pub(crate) async fn give_back_surely(&self, attempt: AttemptRef, message: &'static str) {
        let Err(error) = self.give_back(attempt, message).await else {
            return;
        };
        tracing::error!(task.id = %attempt.task_id, "failed to take back a lease: {error}");
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
                failed = engine.give_back(attempt, message).await;
            }
        });
    }

    /// Ends a lease whose attempt nobody works on, through nobody's fault: the task is offered
    /// again at once.
    pub(crate) async fn give_back(
        &self,
        attempt: AttemptRef,
        message: &'static str,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        let now = self.now();
        let actions = self
            .store
            .write(move |tx| {
                let mut actions = Actions::default();
                let Some(lease) = dispatch::end_lease(tx, attempt)? else {
                    return Ok(actions);
                };
                let lost = Lost {
                    lease,
                    counts: false,
                    outcome: "given_back",
                    message,
                };
                lost.store(tx, &engine, now, &mut actions)?;
                Ok::<_, EngineError>(actions)
            })
            .await?;
        actions.carry_out(self);
        Ok(())
    }
}

/// A lease that ended without a report.
pub(crate) struct Lost {
    pub(crate) lease: Lease,
    pub(crate) counts: bool,
    pub(crate) outcome: &'static str,
    pub(crate) message: &'static str,
}

impl Lost {
    /// Records the attempt and lets the run go on without it.
    pub(crate) fn store(
        self,
        tx: &mut colony_store::Tx<'_>,
        engine: &Engine,
        now: colony_core::time::Timestamp,
        actions: &mut Actions,
    ) -> Result<(), EngineError> {
        let run_id = self.lease.run_id;
        let Some(task) = colony_store::job_run::task_name(tx, run_id, self.lease.attempt.task_id)?
        else {
            return Ok(());
        };
        let ended = EndedAttempt {
            lease: self.lease,
            retry: 0,
            outcome: self.outcome,
            exit_code: String::new(),
            error_message: self.message.to_owned(),
            ended_at: now,
        };
        dispatch::insert_attempt(tx, &ended)?;
        actions.ended.push(ended.lease.attempt);
        let message = self.message.to_owned();
        let event = Event::AttemptLost {
            task,
            counts: self.counts,
            message,
        };
        advance(tx, engine, run_id, event, now, actions)
    }
}
