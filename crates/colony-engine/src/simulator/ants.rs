//! Scripted ants: they start, report, report twice, vanish, come back, and give back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use colony_core::id::AttemptRef;
use colony_core::job::{AttemptEnd, EndStatus};
use colony_core::method::Method;
use colony_store::lease::{self, Lease};
use colony_store::{StoreError, Tx};
use colony_wire::{
    ArtifactRules, Environment, Failure, Hello, LogRef, Order, Outcome, Phases, QueenMessage,
    Report, Timings,
};
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc;

use super::world::{Group, World};
use crate::ant::{AntRoom, Renewed, Sent, given_back};
use crate::dispatcher::Claimed;
use crate::order::attempts_deadline;
use crate::runs::{Control, End, Lose};

/// What an ant says.
enum Say {
    Report(Box<Report>),
    GiveBack(AttemptRef),
    Heartbeat(Vec<AttemptRef>),
}

pub(super) struct SimAnt {
    id: String,
    capacity: u32,
    tags: Vec<String>,
    embedded: bool,
    link: Option<(mpsc::Sender<QueenMessage>, mpsc::Receiver<QueenMessage>)>,
    arriving: bool,
    /// What it runs, and whether it was asked to stop.
    running: BTreeMap<AttemptRef, bool>,
    /// What it said, until it hears that this is stored.
    reports: BTreeMap<AttemptRef, Report>,
    early: BTreeSet<AttemptRef>,
    says: VecDeque<Say>,
}

impl SimAnt {
    pub(super) fn new(number: u32, rng: &mut StdRng) -> Self {
        Self {
            id: format!("ant{number}"),
            capacity: rng.random_range(1..4),
            tags: match rng.random_bool(0.6) {
                true => vec!["gpu".to_owned()],
                false => Vec::new(),
            },
            embedded: rng.random_bool(0.3),
            link: None,
            arriving: false,
            running: BTreeMap::new(),
            reports: BTreeMap::new(),
            early: BTreeSet::new(),
            says: VecDeque::new(),
        }
    }

    /// The queen is gone; an ant inside of her as well.
    pub(super) fn lose_link(&mut self) {
        self.link = None;
        self.arriving = false;
        self.says.clear();
        if self.embedded {
            self.running.clear();
            self.reports.clear();
            self.early.clear();
        }
    }

    fn attempts(&self) -> BTreeSet<AttemptRef> {
        self.running
            .keys()
            .chain(self.reports.keys())
            .copied()
            .collect()
    }
}

impl World {
    pub(super) fn connect(&mut self, tx: &mut Tx<'_>, index: usize) -> Result<bool, StoreError> {
        let ant = &self.ants[index];
        if ant.link.is_some() || ant.arriving {
            return Ok(false);
        }
        let (id, running) = (ant.id.clone(), ant.attempts());
        self.tell(format!("{id} says hello, runs {running:?}"));
        self.ants[index].arriving = true;
        self.lose_leases(tx, index, &running, true)?;
        Ok(true)
    }

    /// As `Engine::lose_leases`.
    fn lose_leases(
        &mut self,
        tx: &mut Tx<'_>,
        index: usize,
        except: &BTreeSet<AttemptRef>,
        arrives: bool,
    ) -> Result<(), StoreError> {
        let leases = lease::of_ant(tx, &self.ants[index].id)?;
        let leases: Vec<Lease> = (leases.into_iter())
            .map(|due| due.lease)
            .collect::<Result<_, _>>()?;
        let lost = leases
            .iter()
            .filter(|lease| !except.contains(&lease.attempt));
        let lost: Vec<Lose> = lost
            .map(|lease| given_back(lease.attempt, Some(lease.run_id), "no longer runs it"))
            .collect();
        if lost.is_empty() && arrives {
            self.arrived(index);
        }
        let group = Group::new(lost.len());
        for (number, lose) in lost.into_iter().enumerate() {
            let (group, except) = (std::rc::Rc::clone(&group), except.clone());
            let what = format!("lose {}", short(lose.attempt));
            self.perform(
                what,
                lose,
                Vec::new(),
                move |world, tx, output| match Group::done(&group, number, output) {
                    None => Ok(()),
                    Some(None) if arrives => world.lose_leases(tx, index, &except, true),
                    Some(None) => Ok(()),
                    Some(Some(_)) => {
                        if arrives {
                            world.arrived(index);
                        }
                        Ok(())
                    }
                },
            );
        }
        Ok(())
    }

    fn arrived(&mut self, index: usize) {
        let ant = &mut self.ants[index];
        if !ant.arriving {
            return;
        }
        ant.arriving = false;
        let (to_ant, from_queen) = mpsc::channel(64);
        let hello = Hello {
            version: colony_wire::VERSION,
            ant_id: ant.id.clone(),
            host: String::new(),
            methods: vec![Method::Shell],
            tags: ant.tags.clone(),
            capacity: ant.capacity,
            running: ant.attempts().into_iter().collect(),
        };
        ant.link = Some((to_ant.clone(), from_queen));
        for report in ant.reports.values() {
            ant.says.push_back(Say::Report(Box::new(report.clone())));
        }
        self.engine.ants.arrive(hello, to_ant, ant.embedded);
        self.engine.nudges.look_for_ants();
        self.engine.nudges.dispatcher.notify_one();
        let line = format!("{} is there", self.ants[index].id);
        self.tell(line);
    }

    /// The link breaks, or the ant dies with all that it runs.
    pub(super) fn vanish(&mut self, tx: &mut Tx<'_>, index: usize) -> Result<bool, StoreError> {
        let dies = self.chance(0.5);
        let ant = &mut self.ants[index];
        let Some((to_ant, _)) = ant.link.take() else {
            return Ok(false);
        };
        ant.lose_link();
        if dies {
            ant.running.clear();
            ant.reports.clear();
        }
        let (id, embedded) = (ant.id.clone(), ant.embedded);
        self.tell(format!(
            "{id} is cut off{}",
            if dies { " and dies" } else { "" }
        ));
        self.engine.ants.leave(&id, &to_ant);
        if embedded {
            self.lose_leases(tx, index, &BTreeSet::new(), false)?;
        }
        Ok(true)
    }

    /// An ant reads one message.
    pub(super) fn ant_reads(&mut self, index: usize) -> bool {
        let ant = &mut self.ants[index];
        let Some(message) = ant.link.as_mut().and_then(|(_, link)| link.try_recv().ok()) else {
            return false;
        };
        let line = match message {
            QueenMessage::Welcome { .. } => return true,
            QueenMessage::Start(order) => {
                let stopped = ant.early.remove(&order.attempt);
                let again = ant.running.insert(order.attempt, stopped).is_some();
                if again || ant.reports.contains_key(&order.attempt) {
                    let fault = format!("{} is ordered twice", short(order.attempt));
                    self.fail(fault);
                    return true;
                }
                format!("starts {}", short(order.attempt))
            }
            QueenMessage::Cancel { attempt, .. } => {
                match ant.running.get_mut(&attempt) {
                    Some(stopped) => *stopped = true,
                    None => {
                        ant.early.insert(attempt);
                    }
                }
                format!("hears stop {}", short(attempt))
            }
            QueenMessage::ReportStored { attempt, accepted } => {
                ant.reports.remove(&attempt);
                format!("hears {} stored: {accepted}", short(attempt))
            }
            QueenMessage::LeaseLost { attempt } => {
                ant.running.remove(&attempt);
                ant.reports.remove(&attempt);
                format!("hears lease of {} lost", short(attempt))
            }
        };
        let line = format!("{} {line}", self.ants[index].id);
        self.tell(line);
        true
    }

    /// An attempt ends.
    pub(super) fn ant_finishes(&mut self, index: usize) -> bool {
        let count = self.ants[index].running.len();
        let Some(chosen) = self.pick(count) else {
            return false;
        };
        let stuck = self.chance(0.1);
        let code = if self.calm {
            0
        } else {
            self.rng.random_range(0..4)
        };
        let ant = &mut self.ants[index];
        let Some((&attempt, &stopped)) = ant.running.iter().nth(chosen) else {
            return false;
        };
        ant.running.remove(&attempt);
        let report = match (stopped && !stuck, code) {
            (true, _) => report(attempt, Outcome::Cancelled, "143"),
            (false, 0) if self.calm => report(attempt, Outcome::Completed, "done"),
            (false, 0 | 3) => report(attempt, Outcome::Completed, "0"),
            (false, code) => {
                let command = String::new();
                let failure = Failure::Exited { code, command };
                report(attempt, Outcome::Failed(failure), &code.to_string())
            }
        };
        let line = format!(
            "{} has {} {:?} {}",
            ant.id,
            short(attempt),
            report.outcome,
            report.exit_code
        );
        ant.reports.insert(attempt, report.clone());
        if ant.link.is_some() {
            ant.says.push_back(Say::Report(Box::new(report.clone())));
        }
        let twice = self.mishap(0.15);
        if twice && self.ants[index].link.is_some() {
            self.ants[index]
                .says
                .push_back(Say::Report(Box::new(report)));
        }
        self.tell(line);
        true
    }

    /// An ant says that it is alive, repeats reports, or gives back.
    pub(super) fn ant_says_more(&mut self, index: usize) -> bool {
        let kind = self.rng.random_range(0..6);
        let ant = &mut self.ants[index];
        if ant.link.is_none() {
            return false;
        }
        let say = match kind {
            0 => {
                let Some(report) = ant.reports.values().next() else {
                    return false;
                };
                Say::Report(Box::new(report.clone()))
            }
            1 => {
                let Some((&attempt, _)) = ant.running.iter().next() else {
                    return false;
                };
                ant.running.remove(&attempt);
                Say::GiveBack(attempt)
            }
            _ => Say::Heartbeat(ant.attempts().into_iter().collect()),
        };
        ant.says.push_back(say);
        true
    }

    /// An ant with something to do says that it is alive.
    pub(super) fn ant_beats(&mut self, index: usize) {
        let ant = &mut self.ants[index];
        let attempts = ant.attempts();
        if ant.link.is_some() && !attempts.is_empty() {
            let attempts = attempts.into_iter().collect();
            ant.says.push_back(Say::Heartbeat(attempts));
        }
    }

    /// Reports of which the ant has heard nothing are said again.
    pub(super) fn ant_repeats(&mut self, index: usize) -> bool {
        let ant = &mut self.ants[index];
        if ant.link.is_none() || !ant.says.is_empty() || ant.reports.is_empty() {
            return false;
        }
        let again = ant
            .reports
            .values()
            .cloned()
            .map(|report| Say::Report(Box::new(report)));
        ant.says.extend(again.collect::<Vec<_>>());
        true
    }

    /// The queen hears an ant.
    pub(super) fn hear(&mut self, tx: &mut Tx<'_>, index: usize) -> Result<bool, StoreError> {
        let ant = &mut self.ants[index];
        let Some(say) = ant.link.as_ref().and_then(|_| ant.says.pop_front()) else {
            return Ok(false);
        };
        let id = ant.id.clone();
        match say {
            Say::Report(report) => self.hear_report(&id, *report),
            Say::GiveBack(attempt) => {
                let run = self.engine.ants.release(&id, attempt);
                let lose = given_back(
                    attempt,
                    run.map(|(_, run_id)| run_id),
                    "given back by its ant",
                );
                self.tell(format!("{id} gives back {}", short(attempt)));
                self.perform_surely(lose);
                self.engine.nudges.dispatcher.notify_one();
            }
            Say::Heartbeat(running) => {
                let expires_at = self.engine.now().after(self.engine.settings.lease_duration);
                let renewed = Renewed::of(tx, &running, expires_at)?;
                self.tell(format!("{id} is alive, runs {}", running.len()));
                let held = |attempt: &AttemptRef| !renewed.lost.contains(attempt);
                let held: Vec<AttemptRef> = running.into_iter().filter(held).collect();
                self.renewed(&held, expires_at);
                self.engine.answer_heartbeat(&id, renewed);
            }
        }
        Ok(true)
    }

    fn hear_report(&mut self, id: &str, report: Report) {
        let attempt = report.attempt;
        let (place, run_id) = self.engine.ants.trade(id, attempt);
        let end = End::reported(Arc::new(report), run_id);
        let (what, id) = (format!("end {}", short(attempt)), id.to_owned());
        self.perform(
            what,
            end,
            place.into_iter().collect(),
            move |world, _, accepted| {
                if let Some(accepted) = accepted {
                    if accepted {
                        world.accepted(attempt);
                    }
                    let stored = QueenMessage::ReportStored { attempt, accepted };
                    world.engine.ants.send(&id, stored);
                }
                Ok(())
            },
        );
    }

    /// As `Engine::give_back_surely`.
    fn perform_surely(&mut self, lose: Lose) {
        let (attempt, run_id, message) = (lose.attempt, lose.run_id, lose.message);
        let what = format!("give back {}", short(attempt));
        self.perform(what, lose, Vec::new(), move |world, _, output| {
            if output.is_none() {
                world.perform_surely(given_back(attempt, run_id, message));
            }
            Ok(())
        });
    }

    /// As `dispatcher::send`.
    pub(super) fn send_claimed(&mut self, claimed: Claimed) {
        let lease = &claimed.lease;
        let place = (claimed.facts.request_id(), lease.run_id);
        if self
            .engine
            .ants
            .assign(&lease.holder.id, lease.attempt, place)
        {
            self.unsent.push_back(claimed);
        } else {
            self.unsendable(&claimed);
        }
    }

    fn unsendable(&mut self, claimed: &Claimed) {
        let lease = &claimed.lease;
        self.engine.ants.release(&lease.holder.id, lease.attempt);
        let lose = given_back(lease.attempt, Some(lease.run_id), "its ant was gone");
        self.perform_surely(lose);
    }

    /// A leased task is rendered and sent. False when none is.
    pub(super) fn send(&mut self) -> bool {
        let count = self.unsent.len();
        let Some(claimed) = self.pick(count).and_then(|index| self.unsent.remove(index)) else {
            return false;
        };
        match self.rng.random_range(0..10) {
            0 if !self.calm => self.end_without_ant(&claimed, AttemptEnd::completed("SKIPPED")),
            1 | 2 if !self.calm => self.change_control(claimed),
            _ => self.start(&claimed),
        }
        true
    }

    fn change_control(&mut self, claimed: Claimed) {
        let lease = &claimed.lease;
        let compiled = self.definition(claimed.facts.definition_id()).cloned();
        let task = claimed.facts.task_name();
        let planned = compiled.and_then(|compiled| compiled.plan.task(task).cloned());
        let Some(mut control) = planned else {
            return self.fail(format!("no task {task}"));
        };
        control.retry += 1;
        control.timeout *= 2;
        let noted = Control {
            run_id: lease.run_id,
            attempt: lease.attempt,
            deadline: attempts_deadline(&control, lease.started_at),
            control,
        };
        let what = format!("control of {}", short(lease.attempt));
        self.perform(what, noted, Vec::new(), move |world, _, current| {
            match current {
                Some(true) => world.start(&claimed),
                Some(false) => world.engine.not_sent(&claimed.lease),
                None => world.unsendable(&claimed),
            }
            Ok(())
        });
    }

    fn start(&mut self, claimed: &Claimed) {
        let lease = &claimed.lease;
        let order = Box::new(order(claimed));
        match self.engine.ants.start(&lease.holder.id, order, || {}) {
            Sent::Started => {}
            Sent::Stopped => {
                let end = AttemptEnd {
                    status: EndStatus::Cancelled,
                    ..AttemptEnd::failed("", "attempt was stopped before it started")
                };
                self.end_without_ant(claimed, end);
            }
            Sent::Gone => self.unsendable(claimed),
        }
    }

    fn end_without_ant(&mut self, claimed: &Claimed, end: AttemptEnd) {
        let lease = &claimed.lease;
        let (place, _) = self.engine.ants.trade(&lease.holder.id, lease.attempt);
        self.end_surely(
            lease.attempt,
            lease.run_id,
            end,
            place.into_iter().collect(),
        );
    }

    fn end_surely(
        &mut self,
        attempt: AttemptRef,
        run_id: colony_core::id::RunId,
        end: AttemptEnd,
        rooms: Vec<AntRoom>,
    ) {
        let ended = End {
            attempt,
            run_id: Some(run_id),
            end: end.clone(),
            report: None,
        };
        let what = format!("end {} without ant", short(attempt));
        self.perform(what, ended, rooms, move |world, _, accepted| {
            match accepted {
                None => world.end_surely(attempt, run_id, end, Vec::new()),
                Some(true) => world.accepted(attempt),
                Some(false) => {}
            }
            Ok(())
        });
    }

    /// Nothing is kept for anybody and nobody is thought to run anything.
    pub(super) fn check_rooms(&mut self) {
        for room in self.engine.ants.rooms() {
            if room.free != room.capacity {
                let (free, capacity) = (room.free, room.capacity);
                self.fail(format!(
                    "{} has room {free} of {capacity} at rest",
                    room.ant_id
                ));
            }
        }
    }
}

fn report(attempt: AttemptRef, outcome: Outcome, exit_code: &str) -> Report {
    Report {
        attempt,
        outcome,
        exit_code: exit_code.to_owned(),
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

fn order(claimed: &Claimed) -> Order {
    Order {
        attempt: claimed.lease.attempt,
        request_id: claimed.facts.request_id(),
        job_type: String::new(),
        task_type: String::new(),
        method: Method::Shell,
        phases: Phases::default(),
        environment: Environment::default(),
        working_dir: None,
        timeout_ms: 1,
        artifacts: ArtifactRules::default(),
        dependencies: Vec::new(),
        report_stdout: false,
        secrets: Vec::new(),
        warnings: Vec::new(),
    }
}

/// An attempt in a history.
pub(super) fn short(attempt: AttemptRef) -> String {
    let (_, number) = attempt.task_id.uuid().as_u64_pair();
    format!("#{number}.{}", attempt.epoch)
}
