//! The engine's loops, a step at a time: each looks, and acts on what it saw later.

use std::rc::Rc;

use colony_core::queue_key;
use colony_store::lease::{self, DueLease};
use colony_store::timer::{self, Timer, TimerKind};
use colony_store::{StoreError, Tx, queue, request, schedule};
use futures_util::FutureExt as _;

use super::ants::short;
use super::plans::TEMPLATE;
use super::workers::KIND;
use super::world::{Group, World};
use crate::runs::{
    Dispatch, Fire, JobOverdue, Launched, Lose, Offer, Operation, Overdue, Rendering,
};
use crate::scheduler::{Found, Round, Versions};
use crate::timers::{DueNow, is_alive, lose, make_due};

impl World {
    /// As `scheduler::look`. False when nothing is to be looked at.
    pub(super) fn schedule(&mut self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        if self.busy.scheduler {
            return Ok(false);
        }
        if self.keys.is_empty() {
            let Some(wanted) = self.engine.nudges.scheduler_called().now_or_never() else {
                return Ok(false);
            };
            let mut keys = wanted.keys.clone();
            if wanted.unserved || wanted.everything {
                let ants = self.engine.ants.rooms();
                for key in request::unserved_keys(tx)? {
                    if ants.iter().any(|ant| ant.serves(&key)) {
                        keys.extend(request::serve_requests(tx, &key, 1024)?);
                    }
                }
            }
            if wanted.everything {
                keys.extend(schedule::eligible_keys(tx)?);
            }
            self.keys = keys.into_iter().collect();
        }
        let keys: Vec<String> = self.keys.drain(..).collect();
        if keys.is_empty() {
            return Ok(true);
        }
        Round::begin(&self.engine, &keys);
        let found = Found::read(tx, &keys)?;
        let mut versions = Versions::new();
        for id in found.versions() {
            versions.insert(id, self.engine.definitions.load(tx, id));
        }
        let round = Round::decide(
            &self.engine,
            keys.clone(),
            &found,
            &versions,
            &mut self.cursor,
        );
        let mut round = match round {
            Ok(round) => round,
            Err(error) => {
                self.fail(format!("scheduler: {error}"));
                return Ok(true);
            }
        };
        if let Some((subject, error)) = round.guilty.first() {
            self.fail(format!("{subject:?} is given up: {error}"));
        }
        self.tell(format!(
            "scheduler looks at {keys:?}: launches {}, passes {}",
            round.launches.len(),
            round.passes.len()
        ));
        self.busy.scheduler = true;
        let passes = std::mem::take(&mut round.passes);
        let passes = passes.into_iter().map(|(_, pass)| pass).collect();
        self.together("pass", passes, move |world, _, passed| {
            match passed {
                Some(_) => world.launch(round, keys),
                None => world.schedule_again(keys),
            }
            Ok(())
        });
        Ok(true)
    }

    fn schedule_again(&mut self, keys: Vec<String>) {
        self.busy.scheduler = false;
        self.engine.nudges.schedule(keys);
    }

    fn launch(&mut self, mut round: Round, keys: Vec<String>) {
        let launches = std::mem::take(&mut round.launches);
        let launches: Vec<_> = launches.into_iter().map(|(_, launch)| launch).collect();
        let rooms = match launches.is_empty() {
            true => Vec::new(),
            false => self.engine.ants.keep_all().0,
        };
        self.together_with("launch", launches, rooms, move |world, _, outcomes| {
            let outcomes: Option<Vec<Option<Launched>>> = outcomes;
            match outcomes {
                Some(outcomes) => {
                    world.busy.scheduler = false;
                    let more = round.settle(&world.engine, outcomes);
                    world.keys.extend(more);
                    if !world.keys.is_empty() {
                        let keys: Vec<String> = world.keys.drain(..).collect();
                        world.engine.nudges.schedule(keys);
                    }
                }
                None => world.schedule_again(keys),
            }
            Ok(())
        });
    }

    /// As `Engine::perform_all`.
    fn together<O: Operation>(
        &mut self,
        what: &str,
        operations: Vec<O>,
        after: impl FnOnce(
            &mut Self,
            &mut Tx<'_>,
            Option<Vec<Option<O::Output>>>,
        ) -> Result<(), StoreError>
        + 'static,
    ) {
        self.together_with(what, operations, Vec::new(), after);
    }

    fn together_with<O: Operation>(
        &mut self,
        what: &str,
        operations: Vec<O>,
        rooms: Vec<crate::ant::AntRoom>,
        after: impl FnOnce(
            &mut Self,
            &mut Tx<'_>,
            Option<Vec<Option<O::Output>>>,
        ) -> Result<(), StoreError>
        + 'static,
    ) {
        let group = Group::new(operations.len());
        let after = Rc::new(std::cell::RefCell::new(Some(after)));
        let mut rooms = Some(rooms);
        if operations.is_empty() {
            // Nothing to wait for; whoever goes on does so when the writer comes by.
            let after = Rc::clone(&after);
            self.perform(
                format!("no {what}"),
                Dispatch,
                Vec::new(),
                move |world, tx, done| {
                    let after = after.borrow_mut().take();
                    after.map_or(Ok(()), |after| after(world, tx, done.map(|()| Vec::new())))
                },
            );
        }
        for (index, operation) in operations.into_iter().enumerate() {
            let (group, after) = (Rc::clone(&group), Rc::clone(&after));
            let rooms = rooms.take().unwrap_or_default();
            self.perform(
                what.to_owned(),
                operation,
                rooms,
                move |world, tx, output| {
                    let Some(outputs) = Group::done(&group, index, output) else {
                        return Ok(());
                    };
                    let after = after.borrow_mut().take();
                    after.map_or(Ok(()), |after| after(world, tx, outputs))
                },
            );
        }
    }

    /// As `dispatcher::run`.
    pub(super) fn dispatch(&mut self) -> bool {
        if self.busy.dispatcher {
            return false;
        }
        let nudges = &self.engine.nudges;
        if nudges.dispatcher.notified().now_or_never().is_none() {
            return false;
        }
        let Some(rooms) = crate::dispatcher::look_for_room(&self.engine) else {
            self.tell("dispatcher finds no room".to_owned());
            return true;
        };
        self.busy.dispatcher = true;
        let free: Vec<String> = (rooms.iter())
            .map(|room| format!("{} of {}", room.free, room.ant_id))
            .collect();
        let what = format!("dispatch to {}", free.join(", "));
        self.perform(what, Dispatch, rooms, |world, _, done| {
            world.busy.dispatcher = false;
            if done.is_none() {
                world.engine.nudges.dispatcher.notify_one();
            }
            Ok(())
        });
        true
    }

    /// As `render::run`.
    pub(super) fn render(&mut self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        if self.busy.render {
            return Ok(false);
        }
        let called = self
            .engine
            .nudges
            .render
            .notified()
            .now_or_never()
            .is_some();
        if !called && !std::mem::take(&mut self.render_again) {
            return Ok(false);
        }
        let places = queue::to_render(tx, 64)?;
        if places.is_empty() {
            return Ok(true);
        }
        self.tell(format!("render {}", places.len()));
        self.busy.render = true;
        let mut offers = Vec::new();
        for place in places {
            match self.offer(tx, place)? {
                Some(offer) => offers.push(offer),
                None => return Ok(true),
            }
        }
        self.together("offer", offers, |world, _, _| {
            world.busy.render = false;
            world.render_again = true;
            Ok(())
        });
        Ok(true)
    }

    fn offer(
        &mut self,
        tx: &mut Tx<'_>,
        place: queue::QueuedTask,
    ) -> Result<Option<Offer>, StoreError> {
        let run = colony_store::job_run::find_run(tx, place.run_id)?;
        let name = run.as_ref().and_then(|run| run.task_name(place.task_id));
        let planned = (run.as_ref().zip(name)).and_then(|(run, name)| {
            let compiled = self.definition(run.definition_id)?;
            compiled.plan.task(name).cloned()
        });
        let Some((run, mut control)) = run.zip(planned) else {
            self.fail(format!(
                "{} is to be rendered but is not there",
                place.task_id
            ));
            return Ok(None);
        };
        if self.mishap(0.1) {
            let end = colony_core::job::AttemptEnd::completed("SKIPPED");
            let outcome = Rendering::Ended(end);
            return Ok(Some(Offer { place, outcome }));
        }
        let worker = control.method == colony_core::method::Method::Worker;
        let changed = control.tags.iter().any(|tag| tag == TEMPLATE);
        if changed {
            control.tags = vec!["gpu".to_owned()];
        }
        let key = match worker {
            true => queue_key::worker(&run.org_id, KIND),
            false => queue_key::ant(control.method, &control.tags),
        };
        let shown = worker.then(|| colony_store::job_run::Shown {
            kind: Some(KIND.to_owned()),
            ..colony_store::job_run::Shown::default()
        });
        let outcome = Rendering::Queued {
            key,
            shown,
            control: Box::new(control),
            changed,
        };
        Ok(Some(Offer { place, outcome }))
    }

    /// As `timers::run`. False when nothing is due.
    pub(super) fn timers(&mut self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let now = self.engine.now();
        let at = self.engine.nudges.timers_wake_at();
        if self.busy.timers || at.is_none_or(|at| at > now) {
            return Ok(false);
        }
        self.engine.nudges.timers_look();
        let due = timer::next_due(tx)?;
        if due.is_none_or(|at| at > now) {
            due.into_iter().for_each(|at| self.engine.nudges.due_at(at));
            return Ok(true);
        }
        let due = DueNow::read(tx, now)?;
        self.tell(format!(
            "timers: {} timers, {} expired, {} overdue, {} runs overdue",
            due.timers.len(),
            due.expired.len(),
            due.overdue.len(),
            due.runs.len()
        ));
        self.busy.timers = true;
        let (requests, fires) = sorted(due.timers);
        let (expired, overdue, runs) = (due.expired, due.overdue, due.runs);
        self.together("fire", fires, move |world, tx, fired| match fired {
            Some(_) => world.expire(tx, &requests, expired, overdue, runs),
            None => world.timers_done(),
        });
        Ok(true)
    }

    fn expire(
        &mut self,
        tx: &mut Tx<'_>,
        requests: &[Timer],
        expired: Vec<DueLease>,
        overdue: Vec<DueLease>,
        runs: Vec<colony_core::id::RunId>,
    ) -> Result<(), StoreError> {
        if !requests.is_empty() {
            let keys = make_due(tx, requests)?;
            self.tell(format!("requests due under {keys:?}"));
            self.engine.nudges.schedule(keys);
        }
        let (mut lost, mut kept) = (Vec::<Lose>::new(), Vec::new());
        for due in expired {
            let lease = due.lease?;
            self.tell(format!("lease of {} has expired", short(lease.attempt)));
            match is_alive(&self.engine, &lease) {
                true => kept.push(due.task_id),
                false => lost.push(lose(&lease)),
            }
        }
        if !kept.is_empty() {
            let expires_at = self.engine.now().after(self.engine.settings.lease_duration);
            lease::extend(tx, &kept, expires_at)?;
            self.engine.nudges.due_at(expires_at);
        }
        let overdue = overdue.into_iter().map(|due| due.lease);
        let overdue = overdue.map(|lease| lease.map(|lease| Overdue { lease }));
        let overdue = overdue.collect::<Result<Vec<_>, _>>()?;
        let runs: Vec<JobOverdue> = runs
            .into_iter()
            .map(|run_id| JobOverdue { run_id })
            .collect();
        let attempts: Vec<_> = lost.iter().map(|lose| lose.attempt).collect();
        self.together("lose", lost, move |world, _, done| {
            let Some(ended) = done else {
                return world.timers_done();
            };
            let ended = attempts.into_iter().zip(ended);
            for (attempt, _) in ended.filter(|(_, ended)| *ended == Some(true)) {
                world.lost(attempt);
            }
            world.together("overdue", overdue, move |world, _, done| {
                if done.is_none() {
                    return world.timers_done();
                }
                world.together("job overdue", runs, |world, _, _| world.timers_done());
                Ok(())
            });
            Ok(())
        });
        Ok(())
    }

    fn timers_done(&mut self) -> Result<(), StoreError> {
        self.busy.timers = false;
        let now = self.engine.now();
        self.engine.nudges.due_at(now);
        Ok(())
    }
}

fn sorted(due: Vec<timer::Due>) -> (Vec<Timer>, Vec<Fire>) {
    let (mut requests, mut fires) = (Vec::new(), Vec::new());
    for timer in due.into_iter().filter_map(|due| due.timer.ok()) {
        match timer.kind {
            TimerKind::RequestDue => requests.push(timer),
            TimerKind::TaskDue | TimerKind::JobRetryDue => fires.push(Fire { timer }),
            TimerKind::OfferDue => {}
        }
    }
    (requests, fires)
}
