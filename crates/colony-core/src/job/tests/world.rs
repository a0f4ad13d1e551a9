//! What an engine does with the effects of a run, in memory, with the invariants checked after each
//! event.

use std::collections::BTreeSet;

use super::*;
use crate::id::RequestId;

/// What each task is waited for by, as the rows of an engine would say.
#[derive(Default)]
struct Outstanding {
    offers: BTreeSet<String>,
    attempts: BTreeSet<String>,
    children: BTreeSet<String>,
    reviews: BTreeSet<String>,
    timers: BTreeMap<String, Timestamp>,
    job_timer: Option<Timestamp>,
    queued: bool,
}

/// One thing that the world does next; numbers choose among what there is.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// An ant takes an offer.
    Take(usize),
    /// An attempt, or the children of a task, come to an end.
    End(usize, Exit),
    /// An attempt is lost.
    Lose(usize, bool),
    /// The next timer fires.
    Fire(usize),
    /// A person decides.
    Review(usize, bool),
    /// One of several children ends.
    ChildOf(usize),
    /// The scheduler launches what is queued.
    Launch,
    /// A user cancels.
    Cancel,
    /// The job's time is up.
    JobTimeout,
    /// An attempt's time is up.
    TaskTimeout(usize),
    /// An event about any task, whether it fits or not.
    Stray(usize, usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Exit {
    Ok,
    /// A success with a code that no route names.
    Done,
    Code(u8),
    Stopped,
    Poll,
    Fatal,
}

impl Exit {
    fn end(self) -> AttemptEnd {
        match self {
            Self::Ok => AttemptEnd::completed("0"),
            Self::Done => AttemptEnd::completed("done"),
            Self::Code(code) => AttemptEnd::failed(code.to_string(), "no"),
            Self::Stopped => AttemptEnd {
                status: EndStatus::Cancelled,
                ..AttemptEnd::failed("143", "stopped")
            },
            Self::Poll => AttemptEnd {
                status: EndStatus::Executing,
                ..AttemptEnd::completed("200")
            },
            Self::Fatal => AttemptEnd {
                retryable: false,
                ..AttemptEnd::failed("9", "no")
            },
        }
    }
}

pub(super) struct World {
    plan: Plan,
    pub(super) run: JobRun,
    now: Timestamp,
    rng: StdRng,
    out: Outstanding,
    run_ends: u32,
    request_ends: u32,
    cancelled: bool,
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let out = Outstanding {
            queued: true,
            ..Outstanding::default()
        };
        Self {
            plan,
            run: JobRun::new(0, 0, BTreeMap::new()),
            now: Timestamp::from_millis(0),
            rng: StdRng::seed_from_u64(1),
            out,
            run_ends: 0,
            request_ends: 0,
            cancelled: false,
        }
    }

    fn ended(&self) -> bool {
        self.run.phase == Phase::Ended
    }

    /// Applies an event. False when it is refused: then nothing changes, as `apply` takes a copy.
    pub(super) fn send(&mut self, event: Event) -> bool {
        let cancel = event == Event::CancelAsked;
        let unqueues = cancel || matches!(event, Event::Launched { .. });
        let decision = apply(&self.plan, self.run.clone(), event, self.now, &mut self.rng);
        let Ok((after, effects)) = decision else {
            return false;
        };
        assert!(!self.ended(), "a run that has ended takes no event");
        self.cancelled |= cancel;
        self.out.queued &= !unqueues;
        // What the run no longer waits for is not outstanding any more, whoever told it.
        let (before, steps) = (std::mem::replace(&mut self.run, after), effects.len());
        self.forget_ended(&before);
        assert!(
            steps <= 8 * (self.plan.tasks.len() + 2),
            "{steps} effects of one event"
        );
        for effect in effects {
            self.perform(effect);
        }
        self.check();
        true
    }

    /// An engine ends a lease, a delay or a review with the event about it.
    fn forget_ended(&mut self, before: &JobRun) {
        for (name, old) in before.active() {
            let new = self.run.tasks.get(name);
            let same = new.is_some_and(|new| new.seq == old.seq && new.state == old.state);
            if !same {
                self.out.attempts.remove(name);
                self.out.children.remove(name);
                self.out.reviews.remove(name);
                if old.state == JobTaskState::Delayed {
                    self.out.timers.remove(name);
                }
            }
        }
        if before.phase == Phase::Retrying && self.run.phase != Phase::Retrying {
            self.out.job_timer = None;
        }
    }

    fn perform(&mut self, effect: Effect) {
        assert_eq!(self.run_ends, 0, "nothing comes after the end: {effect:?}");
        match effect {
            Effect::Offer { task } => {
                self.expect_start(&task);
                assert!(self.is_free(&task), "{task} is offered but active already");
                self.out.offers.insert(task);
            }
            Effect::StartChildren { task } | Effect::AwaitChildren { task } => {
                self.expect_start(&task);
                assert!(self.is_free(&task), "{task} is started but active already");
                self.out.children.insert(task);
            }
            Effect::AskReview { task } => {
                assert!(!self.cancelled, "{task} is asked for after a cancel");
                assert!(
                    self.is_free(&task),
                    "{task} is asked for but active already"
                );
                self.out.reviews.insert(task);
            }
            Effect::Withdraw { task } => {
                self.out.offers.remove(&task);
                self.out.reviews.remove(&task);
                self.out.timers.remove(&task);
            }
            Effect::WakeTask { task, at } => {
                self.out.timers.insert(task, at);
            }
            Effect::WakeJob { at } => self.out.job_timer = Some(at),
            Effect::Requeue { .. } => {
                assert!(!self.out.queued, "queued twice");
                self.out.queued = true;
            }
            Effect::Stop { task, .. } => {
                assert!(self.out.attempts.contains(&task), "{task} runs nowhere");
            }
            Effect::StopChildren { task, .. } => {
                assert!(self.out.children.contains(&task), "{task} has no children");
            }
            Effect::AwaitApproval { task } => assert!(self.out.reviews.contains(&task)),
            Effect::EndRequest { .. } => self.request_ends += 1,
            Effect::EndRun { .. } => self.run_ends += 1,
        }
    }

    fn is_free(&self, task: &str) -> bool {
        let out = &self.out;
        let sets = [&out.offers, &out.attempts, &out.children, &out.reviews];
        !sets.iter().any(|set| set.contains(task))
    }

    /// After a cancel only clean-up starts, and not after a second one.
    fn expect_start(&self, task: &str) {
        if self.cancelled {
            let cleans_up = self.plan.task(task).is_some_and(|task| task.always_run);
            assert!(cleans_up, "{task} starts after a cancel");
        }
        assert!(
            !self.run.skip_cleanup,
            "{task} starts after a second cancel"
        );
    }

    fn check(&self) {
        self.check_waits();
        let active = self.run.active().next().is_some();
        match self.run.phase {
            Phase::Walking | Phase::Stopping | Phase::Cleaning => assert!(active, "hangs"),
            Phase::Retrying => assert!(!active && self.out.job_timer.is_some(), "hangs"),
            Phase::Suspended => {
                assert!(self.out.queued || !self.out.reviews.is_empty(), "hangs");
            }
            Phase::Ended => self.check_end(),
        }
        if self.run.phase == Phase::Stopping {
            let mut reasons = self.run.active().map(|(_, task)| task.stop);
            let first = reasons.next().flatten();
            assert!(first.is_some() && reasons.all(|reason| reason == first));
        }
        assert_eq!(self.run_ends, u32::from(self.ended()));
        assert!(self.run.task_runs <= 10_000);
    }

    /// Everything that is active is waited for by exactly what its state says.
    fn check_waits(&self) {
        let out = &self.out;
        for (name, task) in self.run.active() {
            let children = out.children.contains(name);
            let waited = match task.state {
                JobTaskState::Ready => {
                    out.offers.contains(name) || (self.run.phase == Phase::Suspended && out.queued)
                }
                JobTaskState::Delayed => out.timers.contains_key(name),
                JobTaskState::Executing => out.attempts.contains(name) || children,
                JobTaskState::ManualApprovalRequired => out.reviews.contains(name),
                other => panic!("{name} is {other}, which is not active"),
            };
            assert!(waited, "nobody works on {name}, which is {}", task.state);
        }
        let active = |name: &String| self.run.active().any(|(active, _)| active == name);
        for set in [&out.offers, &out.attempts, &out.children, &out.reviews] {
            for name in set {
                assert!(active(name), "{name} is worked on but not active");
            }
        }
    }

    fn check_end(&self) {
        assert_eq!(self.request_ends, 1, "a request ends once");
        assert!(self.run.active().next().is_none());
        if self.run.skip_cleanup || self.run.task_runs >= 10_000 {
            return;
        }
        for task in self.plan.tasks.iter().filter(|task| task.always_run) {
            let run = self.run.tasks.get(&task.name);
            let cleaned = run.is_some_and(|run| {
                run.pass == self.run.pass
                    && (task.method == Method::Manual
                        || run.deadline.is_some()
                        || run.state == JobTaskState::Completed)
            });
            assert!(cleaned, "{} did not clean up", task.name);
        }
    }

    /// Does a step if there is anything to do it with.
    pub(super) fn step(&mut self, step: &Step) {
        let nth = |set: &BTreeSet<String>, n: usize| set.iter().nth(n % set.len().max(1)).cloned();
        match step {
            Step::Take(n) => {
                if let Some(task) = nth(&self.out.offers, *n) {
                    self.take(&task);
                }
            }
            Step::End(n, exit) => {
                let working = self.out.attempts.union(&self.out.children);
                if let Some(task) = nth(&working.cloned().collect(), *n) {
                    let end = exit.end();
                    self.send(Event::AttemptEnded { task, end });
                }
            }
            Step::Lose(n, counts) => {
                if let Some(task) = nth(&self.out.attempts, *n) {
                    let (counts, message) = (*counts, "gone".to_owned());
                    self.send(Event::AttemptLost {
                        task,
                        counts,
                        message,
                    });
                }
            }
            Step::Fire(n) => self.fire(*n),
            Step::Review(n, approved) => {
                if let Some(task) = nth(&self.out.reviews, *n) {
                    self.send(review(task, *approved));
                }
            }
            Step::ChildOf(n) => {
                if let Some(task) = nth(&self.out.children, *n) {
                    self.send(child(task, 2));
                }
            }
            Step::Launch => {
                if self.out.queued {
                    self.send(Event::Launched { timeout: None });
                }
            }
            Step::Cancel => {
                self.send(Event::CancelAsked);
            }
            Step::JobTimeout => {
                self.send(Event::JobTimedOut);
            }
            Step::TaskTimeout(n) => {
                if let Some(task) = nth(&self.out.attempts, *n) {
                    self.send(Event::TaskTimedOut { task });
                }
            }
            Step::Stray(kind, n) => self.stray(*kind, *n),
        }
    }

    fn take(&mut self, task: &str) {
        self.out.offers.remove(task);
        let timeout = self.plan.task(task).unwrap().timeout;
        let record = self.run.tasks.get_mut(task).unwrap();
        record.state = JobTaskState::Executing;
        record.deadline.get_or_insert(self.now.after(timeout));
        self.out.attempts.insert(task.to_owned());
    }

    /// A timer's row goes with its event, whether the event fits or not.
    fn fire(&mut self, n: usize) {
        let timers = self.out.timers.len() + usize::from(self.out.job_timer.is_some());
        let chosen = n % timers.max(1);
        if let Some((task, at)) = self.out.timers.iter().nth(chosen) {
            let (task, at) = (task.clone(), *at);
            self.now = self.now.max(at);
            self.out.timers.remove(&task);
            self.send(Event::TaskDue { task });
        } else if let Some(at) = self.out.job_timer {
            self.now = self.now.max(at);
            self.send(Event::JobRetryDue);
        }
    }

    /// An event that nothing asked for, or that comes again. One that a real engine lets through
    /// only with a lease or a review is sent when it must be refused.
    pub(super) fn stray(&mut self, kind: usize, n: usize) {
        let task = self.plan.tasks[n % self.plan.tasks.len()].name.clone();
        let leased = self.out.attempts.contains(&task);
        let working = leased || self.out.children.contains(&task);
        let asked = self.out.reviews.contains(&task);
        let end = AttemptEnd::completed("0");
        let refused = |accepted: bool| assert!(!accepted, "a stray event about {task} is taken");
        match kind % 6 {
            0 if !working => refused(self.send(Event::AttemptEnded {
                task: task.clone(),
                end,
            })),
            1 if !leased => refused(self.send(Event::AttemptLost {
                task: task.clone(),
                counts: true,
                message: String::new(),
            })),
            2 if !asked => refused(self.send(review(task.clone(), true))),
            3 if !self.out.children.contains(&task) => {
                refused(self.send(child(task.clone(), 0)));
            }
            4 if !working => refused(self.send(Event::TaskTimedOut { task: task.clone() })),
            5 if self.run.phase != Phase::Suspended => {
                refused(self.send(Event::Launched { timeout: None }));
            }
            _ => {}
        }
    }

    /// Carries out all that is outstanding, each attempt ending well; after a while a user cancels.
    pub(super) fn drain(&mut self) {
        let mut left = 40 + 20 * self.plan.tasks.len();
        while !self.ended() {
            left -= 1;
            assert!(left > 0, "does not end: {:?}", self.run);
            if left == 20 + 10 * self.plan.tasks.len() && !self.cancelled {
                self.send(Event::CancelAsked);
                continue;
            }
            self.drain_step();
        }
    }

    fn drain_step(&mut self) {
        let out = &self.out;
        let step = if !out.offers.is_empty() {
            Step::Take(0)
        } else if !out.attempts.is_empty() || !out.children.is_empty() {
            Step::End(0, Exit::Done)
        } else if out.job_timer.is_some() || !out.timers.is_empty() {
            Step::Fire(0)
        } else if out.queued {
            Step::Launch
        } else {
            Step::Review(0, true)
        };
        self.step(&step);
    }
}

fn review(task: String, approved: bool) -> Event {
    Event::Reviewed {
        task,
        approved,
        comments: "because".to_owned(),
    }
}

fn child(task: String, left: u32) -> Event {
    Event::ChildEnded {
        task,
        child: RequestId::new(uuid::Uuid::nil()),
        left,
        end: AttemptEnd::completed("0"),
    }
}
