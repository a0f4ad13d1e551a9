//! Ants that are connected, and what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use colony_core::id::{AttemptRef, RequestId};
use colony_core::job::Event;
use colony_core::method::Method;
use colony_core::text::{code_point, control_in_name};
use colony_store::dispatch::{self, EndedAttempt, Lease};
use colony_store::{StoreError, job_run};
use colony_wire::{AntMessage, Hello, LogChunk, Order, QueenMessage};
use tokio::sync::{Semaphore, mpsc};

use crate::action::Actions;
use crate::advance::{advance_locked, expect_moved};
use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::event::RunEventKind;
use crate::isolate::Subject;

/// Reports being stored at once per ant; more make the ant wait.
const REPORTS_IN_FLIGHT_MAX: usize = 1024;

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

/// An ant with an open link.
struct Session {
    hello: Hello,
    to_ant: mpsc::Sender<QueenMessage>,
    running: BTreeMap<AttemptRef, Assigned>,
    /// Stops of attempts that are leased but not known here yet, and why. Of those that are over
    /// some stay.
    early_stops: BTreeMap<AttemptRef, String>,
    embedded: bool,
}

/// An attempt that is with an ant, or about to be.
struct Assigned {
    request_id: RequestId,
    /// Its order was sent: a stop may follow.
    started: bool,
    /// Why it is not to start at all.
    stop: Option<String>,
}

/// Early stops that are kept for an ant.
const EARLY_STOPS_MAX: usize = 1024;

/// What became of an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is on its way.
    Started,
    /// Someone asked meanwhile to stop it.
    Stopped,
    /// The ant is gone or does not listen.
    Gone,
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

    /// An ant with the tag `*` takes tasks with any.
    fn has_tag(&self, tag: &str) -> bool {
        let fits = |own: &String| own == "*" || own.eq_ignore_ascii_case(tag);
        self.tags.iter().any(fits)
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
    pub(crate) fn assign(&self, holder: &str, attempt: AttemptRef, request_id: RequestId) -> bool {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(holder) else {
            return false;
        };
        let assigned = Assigned {
            request_id,
            started: false,
            stop: session.early_stops.remove(&attempt),
        };
        session.running.insert(attempt, assigned);
        true
    }

    /// Sends the order of an assigned attempt, unless it was stopped meanwhile. `before` is called
    /// before it is on its way.
    pub(crate) fn start(&self, holder: &str, order: Box<Order>, before: impl FnOnce()) -> Sent {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(holder) else {
            return Sent::Gone;
        };
        if let Some(assigned) = session.running.get_mut(&order.attempt) {
            if assigned.stop.is_some() {
                return Sent::Stopped;
            }
            assigned.started = true;
        }
        before();
        match session.to_ant.try_send(QueenMessage::Start(order)) {
            Ok(()) => Sent::Started,
            Err(_) => Sent::Gone,
        }
    }

    /// Tells an ant to stop an attempt. One whose order was not sent yet will not start.
    pub(crate) fn stop(&self, holder: &str, attempt: AttemptRef, reason: String) {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(holder) else {
            return;
        };
        match session.running.get_mut(&attempt) {
            Some(assigned) if !assigned.started => {
                assigned.stop = Some(reason);
                return;
            }
            Some(_) => {}
            // About to be assigned, or running since before this link was opened.
            None => {
                session.early_stops.insert(attempt, reason.clone());
                if session.early_stops.len() > EARLY_STOPS_MAX {
                    session.early_stops.pop_first();
                }
            }
        }
        // When the ant does not listen, the answer to its next heartbeat says it again.
        let cancel = QueenMessage::Cancel { attempt, reason };
        let _ = session.to_ant.try_send(cancel);
    }

    /// The attempt is no longer with the ant. Gives the request that it was part of.
    pub(crate) fn release(&self, holder: &str, attempt: AttemptRef) -> Option<RequestId> {
        let mut sessions = self.lock();
        let released = sessions.get_mut(holder)?.running.remove(&attempt);
        released.map(|assigned| assigned.request_id)
    }

    fn request_of(&self, holder: &str, attempt: AttemptRef) -> Option<RequestId> {
        let sessions = self.lock();
        let assigned = sessions.get(holder)?.running.get(&attempt)?;
        Some(assigned.request_id)
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
            tracing::error!(ant.id = %ant_id, "failed to take back leases of an ant: {error}");
            backoff.pause().await;
        }
        let heartbeat_ms = u64::try_from(self.settings.heartbeat.as_millis()).unwrap_or(u64::MAX);
        let session = Session {
            hello,
            to_ant: link.to_ant.clone(),
            running: BTreeMap::new(),
            early_stops: BTreeMap::new(),
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
            AntMessage::Log(chunk) => self.hear_output(ant_id, &chunk),
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
            .write(move |tx| {
                let lost = dispatch::renew_leases(tx, &running, expires_at)?;
                Ok::<_, StoreError>((lost, dispatch::stops_of(tx, &running)?))
            })
            .await;
        match renewed {
            Ok((lost, stops)) => {
                for attempt in stops {
                    // It may have been lost on its way.
                    let reason = ASKED_AGAIN.to_owned();
                    self.ants
                        .send(ant_id, QueenMessage::Cancel { attempt, reason });
                }
                for attempt in lost {
                    self.ants.release(ant_id, attempt);
                    self.live_logs.forget(attempt);
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
            .round(move |tx, focus| {
                let mut actions = Actions::default();
                focus.on(tx, Subject::Task(attempt.task_id))?;
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
                Ok(actions)
            })
            .await?;
        actions.carry_out(self);
        Ok(())
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
        let before = job_run::lock_job_run(tx, run_id)?;
        let before = before.ok_or_else(|| EngineError::not_found("run of a job", run_id))?;
        let id = self.lease.attempt.task_id;
        let task = before.task_name(id);
        let task = task.ok_or_else(|| EngineError::not_found("task of a job", id))?;
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
            task: task.clone(),
            counts: self.counts,
            message,
        };
        let moved = advance_locked(tx, engine, &before, event, now, actions)?;
        expect_moved(moved, &before, &task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colony_core::id::{Epoch, TaskId};

    fn ants() -> (Ants, mpsc::Receiver<QueenMessage>) {
        let (to_ant, from_queen) = mpsc::channel(8);
        let hello = Hello {
            version: colony_wire::VERSION,
            ant_id: "ant".to_owned(),
            host: String::new(),
            methods: Vec::new(),
            tags: Vec::new(),
            capacity: 1,
            running: Vec::new(),
        };
        let session = Session {
            hello,
            to_ant,
            running: BTreeMap::new(),
            early_stops: BTreeMap::new(),
            embedded: true,
        };
        let ants = Ants::default();
        ants.lock().insert("ant".to_owned(), session);
        (ants, from_queen)
    }

    fn order() -> Box<Order> {
        Box::new(Order {
            attempt: AttemptRef {
                task_id: TaskId::new(uuid::Uuid::from_u128(1)),
                epoch: Epoch(1),
            },
            request_id: request(),
            job_type: String::new(),
            task_type: String::new(),
            method: Method::Shell,
            phases: colony_wire::Phases::default(),
            environment: colony_wire::Environment::default(),
            working_dir: None,
            timeout_ms: 1,
            artifacts: colony_wire::ArtifactRules::default(),
            dependencies: Vec::new(),
            report_stdout: false,
            secrets: Vec::new(),
        })
    }

    fn request() -> RequestId {
        RequestId::new(uuid::Uuid::from_u128(2))
    }

    #[test]
    fn a_stop_that_overtakes_the_order_is_kept() {
        for stop_first in [true, false] {
            let (ants, _from_queen) = ants();
            let attempt = order().attempt;
            let stop = || ants.stop("ant", attempt, "cancelled".to_owned());
            if stop_first {
                stop();
            }
            assert!(ants.assign("ant", attempt, request()));
            if !stop_first {
                stop();
            }
            let told = std::cell::Cell::new(false);
            assert_eq!(ants.start("ant", order(), || told.set(true)), Sent::Stopped);
            assert!(!told.get());
        }
    }

    #[test]
    fn a_stop_after_the_order_follows_it() {
        let (ants, mut from_queen) = ants();
        let attempt = order().attempt;
        assert!(ants.assign("ant", attempt, request()));
        assert_eq!(ants.start("ant", order(), || {}), Sent::Started);
        ants.stop("ant", attempt, "cancelled".to_owned());
        assert!(matches!(from_queen.try_recv(), Ok(QueenMessage::Start(_))));
        assert!(matches!(
            from_queen.try_recv(),
            Ok(QueenMessage::Cancel { .. })
        ));
    }
}
