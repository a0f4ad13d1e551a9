//! One history: an engine without its threads, and everybody around it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use colony_core::id::{IdSource, RequestId};
use colony_core::schedule::Cursor;
use colony_core::time::ManualClock;
use colony_store::{Store, StoreError, Tx, definition};
use object_store::memory::InMemory;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::ants::SimAnt;
use super::checks::Record;
use super::plans;
use super::workers::SimWorker;
use super::writer::Pending;
use crate::compile::Compiled;
use crate::dispatcher::Claimed;
use crate::effects::Effects;
use crate::engine::{Engine, EngineParts, EngineSettings};

/// Ids that count up.
#[derive(Default)]
pub(super) struct Ids(AtomicU64);

impl IdSource for Ids {
    fn next_uuid(&self) -> Uuid {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        Uuid::from_u64_pair(0x7000, number)
    }
}

/// Which loops are in the middle of something.
#[derive(Debug, Default)]
pub(super) struct Busy {
    pub(super) scheduler: bool,
    pub(super) dispatcher: bool,
    pub(super) render: bool,
    pub(super) timers: bool,
}

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) store: Store,
    pub(super) clock: ManualClock,
    pub(super) ids: Arc<Ids>,
    pub(super) rng: StdRng,
    /// Operations that wait for the writer.
    pub(super) pending: VecDeque<Pending>,
    /// What committed operations want done.
    pub(super) effects: VecDeque<Effects>,
    /// Leased tasks that are being rendered.
    pub(super) unsent: VecDeque<Claimed>,
    pub(super) busy: Busy,
    /// Keys that the scheduler has still to look at.
    pub(super) keys: VecDeque<String>,
    pub(super) cursor: Cursor,
    /// The render loop looks without being called.
    pub(super) render_again: bool,
    pub(super) definitions: Vec<Arc<Compiled>>,
    pub(super) requests: Vec<RequestId>,
    pub(super) ants: Vec<SimAnt>,
    pub(super) workers: Vec<SimWorker>,
    pub(super) record: Record,
    /// Nothing goes wrong any more.
    pub(super) calm: bool,
    pub(super) history: Vec<String>,
    /// What is wrong: the end of the history.
    pub(super) fault: Option<String>,
}

fn engine(store: &Store, clock: &ManualClock, ids: &Arc<Ids>, seed: u64) -> Engine {
    Engine::new(EngineParts {
        store: store.clone(),
        objects: Arc::new(InMemory::new()),
        clock: Arc::new(clock.clone()),
        ids: Arc::clone(ids) as _,
        seed,
        settings: EngineSettings::default(),
    })
}

impl World {
    pub(super) fn new(store: &Store, tx: &mut Tx<'_>, seed: u64) -> Result<Self, StoreError> {
        let (clock, ids) = (ManualClock::at_millis(1_700_000_000_000), Arc::default());
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = Self {
            engine: engine(store, &clock, &ids, rng.random()),
            store: store.clone(),
            clock,
            ids,
            rng,
            pending: VecDeque::new(),
            effects: VecDeque::new(),
            unsent: VecDeque::new(),
            busy: Busy::default(),
            keys: VecDeque::new(),
            cursor: Cursor::default(),
            render_again: true,
            definitions: Vec::new(),
            requests: Vec::new(),
            ants: Vec::new(),
            workers: Vec::new(),
            record: Record::default(),
            calm: false,
            history: Vec::new(),
            fault: None,
        };
        world.populate(tx)?;
        Ok(world)
    }

    fn populate(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for (org, job_type) in [("red", "x"), ("red", "y"), ("blue", "x")] {
            if !self.definitions.is_empty() && self.chance(0.4) {
                continue;
            }
            let plan = plans::plan(&mut self.rng);
            self.tell(format!("definition {org}/{job_type}: {}", describe(&plan)));
            let max = self.rng.random_range(1..4);
            let id = self.ids.next_uuid();
            let compiled = plans::compiled(id, (org, job_type), max, plan);
            definition::insert_definition(tx, &compiled.row, &compiled.plan, None)?;
            self.engine.definitions.keep(Arc::clone(&compiled));
            self.definitions.push(compiled);
        }
        for number in 0..self.rng.random_range(1..3) {
            let ant = SimAnt::new(number, &mut self.rng);
            self.ants.push(ant);
        }
        self.workers.push(SimWorker::new("red"));
        self.workers.push(SimWorker::new("blue"));
        Ok(())
    }

    /// The engine is gone with all that it remembers, and another one starts.
    pub(super) fn crash(&mut self) {
        self.tell("CRASH".to_owned());
        self.pending.clear();
        self.effects.clear();
        self.unsent.clear();
        self.keys.clear();
        self.busy = Busy::default();
        self.cursor = Cursor::default();
        self.render_again = true;
        for ant in &mut self.ants {
            ant.lose_link();
        }
        let seed = self.rng.random();
        self.engine = engine(&self.store, &self.clock, &self.ids, seed);
        for compiled in &self.definitions {
            self.engine.definitions.keep(Arc::clone(compiled));
        }
    }

    pub(super) fn tell(&mut self, line: impl std::fmt::Display) {
        let at = self.engine.now().as_millis() - 1_700_000_000_000;
        self.history.push(format!("{at:>8} {line}"));
    }

    pub(super) fn fail(&mut self, fault: String) {
        if self.fault.is_none() {
            self.tell(format!("FAULT {fault}"));
            self.fault = Some(fault);
        }
    }

    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }

    /// Chance of something going wrong.
    pub(super) fn mishap(&mut self, p: f64) -> bool {
        !self.calm && self.chance(p)
    }

    pub(super) fn pick(&mut self, count: usize) -> Option<usize> {
        (count > 0).then(|| self.rng.random_range(0..count))
    }

    /// The plan of a definition.
    pub(super) fn definition(&self, id: colony_core::id::DefinitionId) -> Option<&Arc<Compiled>> {
        self.definitions.iter().find(|known| known.row.id == id)
    }
}

/// Operations that one caller waits for together.
pub(super) struct Group<T> {
    left: usize,
    outputs: Vec<Option<T>>,
    failed: bool,
}

impl<T> Group<T> {
    pub(super) fn new(count: usize) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            left: count,
            outputs: (0..count).map(|_| None).collect(),
            failed: false,
        }))
    }

    /// One has come back. Gives the outputs when it was the last one; none of them if one failed.
    pub(super) fn done(
        this: &Rc<RefCell<Self>>,
        index: usize,
        output: Option<T>,
    ) -> Option<Option<Vec<Option<T>>>> {
        let mut group = this.borrow_mut();
        group.failed |= output.is_none();
        group.outputs[index] = output;
        group.left -= 1;
        (group.left == 0).then(|| (!group.failed).then(|| std::mem::take(&mut group.outputs)))
    }
}

fn describe(plan: &colony_core::plan::Plan) -> String {
    let tasks = plan.tasks.iter().map(|task| {
        let mut text = format!("{} {}{:?}", task.name, task.method, task.tags);
        for (key, target) in &task.routes {
            text.push_str(&format!(" {key}→{target:?}"));
        }
        for (flag, word) in [
            (task.allow_failure, "allow_failure"),
            (task.always_run, "always_run"),
            (task.allow_start_if_completed, "again"),
        ] {
            if flag {
                text.push_str(&format!(" {word}"));
            }
        }
        format!("{text} retry={} timeout={:?}", task.retry, task.timeout)
    });
    let tasks: Vec<String> = tasks.collect();
    format!(
        "retry={} hard={} timeout={:?} | {}",
        plan.retry,
        plan.hard_reset_after_retries,
        plan.timeout,
        tasks.join(" | ")
    )
}
