//! The loop that owns what the ant knows.
//!
//! It never waits for room on the link while it could hear something: what is to be sent waits in
//! an outbox. So a queen that is busy sending can always get rid of its messages, whatever is in
//! the way of the ant's. Attempts send their own log, before they hand their report to the loop.

mod leaving;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use colony_core::id::AttemptRef;
use colony_wire::{AntMessage, Failure, LogRef, Order, Outcome, QueenMessage, Report, Timings};
use tokio::sync::mpsc;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;

use super::timetable::{Timetable, arm, take_due};
use super::{AntError, Shutdown};
use crate::attempt::{self, Crew, Ending};
use crate::stop::{self, Wish, Wishes};

/// What the ant knows about an attempt.
enum Slot {
    Running {
        task: task::Id,
        wishes: Wishes,
        /// Whether the queen is told when it has stopped.
        give_back: bool,
    },
    /// Over, but the queen has not acknowledged the report.
    Reported {
        report: Box<Report>,
        said_at: Instant,
    },
}

/// The loop.
pub(super) struct Hub {
    crew: Arc<Crew>,
    from_queen: mpsc::Receiver<QueenMessage>,
    heartbeat: Duration,
    slots: BTreeMap<AttemptRef, Slot>,
    attempts: JoinSet<(AttemptRef, Ending)>,
    outbox: VecDeque<AntMessage>,
    times: Timetable,
    /// Whether no new work is taken.
    draining: bool,
    /// Whether running attempts were stopped.
    stopped: bool,
    link_closed: bool,
}

/// What the loop hears.
enum Happening {
    Message(Option<QueenMessage>),
    Ended(Result<(AttemptRef, Ending), JoinError>),
    Sent,
    SoftStop,
    HardStop,
    Alarm,
}

impl Hub {
    pub(super) fn new(
        crew: Arc<Crew>,
        from_queen: mpsc::Receiver<QueenMessage>,
        heartbeat_ms: u64,
    ) -> Self {
        Self {
            crew,
            from_queen,
            heartbeat: Duration::from_millis(heartbeat_ms.max(1)),
            slots: BTreeMap::new(),
            attempts: JoinSet::new(),
            outbox: VecDeque::new(),
            times: Timetable::default(),
            draining: false,
            stopped: false,
            link_closed: false,
        }
    }

    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), AntError> {
        while !self.is_done() {
            match self.next(&shutdown).await {
                Happening::Message(Some(message)) => self.hear(message),
                Happening::Message(None) => self.link_is_gone(),
                Happening::Ended(Ok((attempt, ending))) => self.ended(attempt, ending),
                Happening::Ended(Err(error)) => self.broke(&error),
                Happening::Sent => {}
                Happening::SoftStop => self.drain(),
                Happening::HardStop => self.stop_all("the ant is shutting down"),
                Happening::Alarm => self.look_at_clock(),
            }
        }
        self.leave().await;
        match self.link_closed {
            true => Err(AntError::LinkClosed),
            false => Ok(()),
        }
    }

    async fn next(&mut self, shutdown: &Shutdown) -> Happening {
        let alarm = self.times.next();
        tokio::select! {
            message = self.from_queen.recv(), if !self.link_closed => Happening::Message(message),
            Some(ended) = self.attempts.join_next() => Happening::Ended(ended),
            permit = self.crew.to_queen.reserve(), if !self.outbox.is_empty() => {
                // A closed link shows where messages come from.
                let message = self.outbox.pop_front();
                if let (Ok(permit), Some(message)) = (permit, message) {
                    permit.send(message);
                }
                Happening::Sent
            }
            () = shutdown.soft.cancelled(), if !self.draining => Happening::SoftStop,
            () = shutdown.hard.cancelled(), if !self.stopped => Happening::HardStop,
            () = sleep_until(alarm), if alarm.is_some() => Happening::Alarm,
        }
    }

    fn hear(&mut self, message: QueenMessage) {
        match message {
            QueenMessage::Welcome { heartbeat_ms } => self.welcomed_again(heartbeat_ms),
            QueenMessage::Start(order) => self.start(order),
            QueenMessage::Cancel { attempt, reason } => {
                self.wish(attempt, Wish::Cancel { reason });
            }
            QueenMessage::ReportStored { attempt, accepted } => {
                self.acknowledged(attempt, accepted);
            }
            QueenMessage::LeaseLost { attempt } => self.lease_lost(attempt),
        }
    }

    /// A link that was opened anew: the queen may have missed reports.
    fn welcomed_again(&mut self, heartbeat_ms: u64) {
        self.heartbeat = Duration::from_millis(heartbeat_ms.max(1));
        self.repeat_reports(Instant::now());
    }

    fn start(&mut self, order: Box<Order>) {
        let attempt = order.attempt;
        if self.draining {
            self.outbox.push_back(AntMessage::GiveBack { attempt });
            return;
        }
        match self.slots.get(&attempt) {
            Some(Slot::Reported { report, .. }) => {
                self.outbox.push_back(AntMessage::Report(report.clone()));
                return;
            }
            Some(Slot::Running { .. }) => {
                tracing::error!(%attempt, "the queen started an attempt twice");
                return;
            }
            None => {}
        }
        let capacity = self.crew.config.capacity;
        if self.attempts.len() >= capacity as usize {
            tracing::error!(%attempt, capacity, "the queen started more than fits");
        }
        let (wishes, signal) = stop::channel();
        let crew = Arc::clone(&self.crew);
        let work = async move { (attempt, attempt::run(crew, order, signal).await) };
        let task = self.attempts.spawn(work).id();
        let give_back = false;
        self.slots.insert(
            attempt,
            Slot::Running {
                task,
                wishes,
                give_back,
            },
        );
        arm(&mut self.times.heartbeat, self.heartbeat);
    }

    fn wish(&mut self, attempt: AttemptRef, wish: Wish) {
        if let Some(Slot::Running { wishes, .. }) = self.slots.get(&attempt) {
            wishes.make(wish);
        }
    }

    fn lease_lost(&mut self, attempt: AttemptRef) {
        if let Some(Slot::Reported { .. }) = self.slots.get(&attempt) {
            self.forget(attempt);
        }
        let reason = "its lease is lost".to_owned();
        self.wish(attempt, Wish::Abandon { reason });
    }

    fn acknowledged(&mut self, attempt: AttemptRef, accepted: bool) {
        if let Some(Slot::Reported { .. }) = self.slots.get(&attempt) {
            if !accepted {
                tracing::warn!(%attempt, "the report was refused: another lease is current");
            }
            self.forget(attempt);
        }
    }

    fn forget(&mut self, attempt: AttemptRef) {
        self.slots.remove(&attempt);
        if self.slots.is_empty() {
            self.times.heartbeat = None;
            self.times.repeat = None;
        }
    }

    fn ended(&mut self, attempt: AttemptRef, ending: Ending) {
        match ending {
            Ending::Report(report) => {
                self.outbox.push_back(AntMessage::Report(report.clone()));
                let said_at = Instant::now();
                self.slots
                    .insert(attempt, Slot::Reported { report, said_at });
                arm(
                    &mut self.times.repeat,
                    self.crew.config.periods.report_repeat,
                );
            }
            Ending::Abandoned => {
                if let Some(Slot::Running {
                    give_back: true, ..
                }) = self.slots.get(&attempt)
                {
                    self.outbox.push_back(AntMessage::GiveBack { attempt });
                }
                self.forget(attempt);
            }
        }
    }

    /// An attempt's task panicked: a fault of the ant, which the queen has to know.
    fn broke(&mut self, error: &JoinError) {
        tracing::error!(%error, "an attempt broke");
        let broken = self.slots.iter().find_map(|(attempt, slot)| match slot {
            Slot::Running { task, .. } if *task == error.id() => Some(*attempt),
            _ => None,
        });
        if let Some(attempt) = broken {
            self.ended(
                attempt,
                Ending::Report(Box::new(broken_report(attempt, error))),
            );
        }
    }

    fn look_at_clock(&mut self) {
        if take_due(&mut self.times.heartbeat) {
            self.beat();
        }
        if take_due(&mut self.times.repeat) {
            let before = Instant::now().checked_sub(self.crew.config.periods.report_repeat);
            self.repeat_reports(before.unwrap_or_else(Instant::now));
        }
        if take_due(&mut self.times.hard_stop) {
            self.stop_all("the grace time of the ant's shutdown is over");
        }
    }

    fn beat(&mut self) {
        if self.slots.is_empty() {
            return;
        }
        arm(&mut self.times.heartbeat, self.heartbeat);
        let running = self.slots.keys().copied().collect();
        // One that still waits to be sent says the same, only older.
        self.outbox
            .retain(|message| !matches!(message, AntMessage::Heartbeat { .. }));
        self.outbox.push_back(AntMessage::Heartbeat { running });
    }

    /// Says again what was not acknowledged, of what was last said `before`.
    fn repeat_reports(&mut self, before: Instant) {
        let now = Instant::now();
        let mut next = None;
        for slot in self.slots.values_mut() {
            if let Slot::Reported { report, said_at } = slot {
                if *said_at <= before {
                    *said_at = now;
                    self.outbox.push_back(AntMessage::Report(report.clone()));
                }
                next = next.into_iter().chain([*said_at]).min();
            }
        }
        self.times.repeat = next.map(|said_at| said_at + self.crew.config.periods.report_repeat);
    }

    fn running(&self) -> impl Iterator<Item = AttemptRef> {
        self.slots.iter().filter_map(|(attempt, slot)| match slot {
            Slot::Running { .. } => Some(*attempt),
            Slot::Reported { .. } => None,
        })
    }
}

fn broken_report(attempt: AttemptRef, error: &JoinError) -> Report {
    let message = format!("the ant broke while it ran this attempt: {error}");
    Report {
        attempt,
        outcome: Outcome::Failed(Failure::CouldNotStart { message }),
        exit_code: "0".to_owned(),
        outputs: BTreeMap::new(),
        artifacts: None,
        log: LogRef::Inline {
            text: String::new(),
        },
        warnings: Vec::new(),
        stdout: Vec::new(),
        timings: Timings::default(),
    }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}
