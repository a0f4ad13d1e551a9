//! Which requests are launched, in which order, and why the others wait (`job-definitions` 8.2).
//!
//! [`plan`] is a pure function of a [`Snapshot`]. The highest priority comes first over all. Inside
//! one priority organizations take turns, and inside an organization its job types ([`Turns`]);
//! inside a type the best comes first. What nobody can serve waits alone.

mod reason;
mod turns;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

pub use reason::Reason;
pub use turns::{Cursor, Flow, Turns};

use crate::id::RequestId;
use crate::method::Method;

/// What a plan is made from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Requests that are due, by schedule key.
    pub queues: Vec<Queue>,
    /// What requests ask of ants; requests name a set by its place here, since most share one.
    pub needs: Vec<Vec<Need>>,
    /// The ants that are alive.
    pub ants: Vec<Ant>,
}

/// The requests that wait under one schedule key.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// Organization and job type.
    pub flow: Flow,
    /// Why none may be launched at all: `disabled` or `deleted`.
    pub closed: Option<&'static str>,
    /// Slots in use.
    pub taken: u32,
    /// The definition's limit.
    pub max_concurrency: u32,
    /// Nobody set that limit.
    pub is_default: bool,
    /// Best first: by priority, then by age.
    pub waiting: Vec<Waiting>,
}

impl Queue {
    fn slots(&self) -> u32 {
        match self.closed {
            Some(_) => 0,
            None => self.max_concurrency.saturating_sub(self.taken),
        }
    }
}

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The request.
    pub id: RequestId,
    /// Higher comes first.
    pub priority: i64,
    /// Its place in [`Snapshot::needs`].
    pub needs: usize,
}

/// What a task asks of an ant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The task.
    pub task: String,
    /// Its method.
    pub method: Method,
    /// Its tags, lower case.
    pub tags: Vec<String>,
}

impl Need {
    /// Whether one of the ants can do it. Some tasks are done by others than ants.
    pub fn is_met(&self, ants: &[Ant]) -> bool {
        matches!(self.method, Method::Manual | Method::Worker)
            || ants.iter().any(|ant| ant.serves(self))
    }
}

/// What an ant can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ant {
    /// Its methods.
    pub methods: BTreeSet<Method>,
    /// Its tags, lower case; `*` stands for any.
    pub tags: BTreeSet<String>,
}

impl Ant {
    fn serves(&self, need: &Need) -> bool {
        let has =
            |tag: &String| self.tags.contains(&tag.to_ascii_lowercase()) || self.tags.contains("*");
        self.methods.contains(&need.method) && need.tags.iter().all(has)
    }
}

/// What to launch, and why the rest waits.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulePlan {
    /// What to launch, in this order.
    pub launch: Vec<RequestId>,
    /// Whose turn it is next time.
    pub cursor: Cursor,
    /// The first unmet need of each set, by its place.
    unmet: Vec<Option<Need>>,
    launched: BTreeMap<Flow, u32>,
}

impl SchedulePlan {
    /// Why a request that this plan does not launch waits. `Reason::Turn` when only the size of the
    /// plan kept it out: another plan follows at once.
    pub fn why(&self, queue: &Queue, waiting: &Waiting) -> Reason {
        if let Some(word) = queue.closed {
            let job_type = queue.flow.job_type.clone();
            return Reason::Closed { job_type, word };
        }
        if let Some(need) = self.unmet.get(waiting.needs).and_then(Option::as_ref) {
            return Reason::NoAnt(need.clone());
        }
        let launched = self.launched.get(&queue.flow).copied().unwrap_or(0);
        match queue.slots() > launched {
            true => Reason::Turn,
            false => Reason::NoSlot {
                max: queue.max_concurrency,
                is_default: queue.is_default,
            },
        }
    }
}

/// Decides what to launch, at most `limit` requests. Each request is looked at once at most,
/// however many there are.
pub fn plan(snapshot: &Snapshot, cursor: Cursor, limit: usize) -> SchedulePlan {
    let first_unmet = |needs: &Vec<Need>| {
        let unmet = needs.iter().find(|need| !need.is_met(&snapshot.ants));
        unmet.cloned()
    };
    let unmet = snapshot.needs.iter().map(first_unmet).collect();
    let mut planning = Planning::new(snapshot, unmet, cursor);
    while planning.plan.launch.len() < limit && planning.launch_next() {}
    planning.plan
}

/// How far each queue has been read.
struct Planning<'a> {
    snapshot: &'a Snapshot,
    /// The next request to look at, and the slots left, of each queue.
    places: Vec<(usize, u32)>,
    /// The queues whose next request can be launched, by its priority.
    ready: BTreeMap<Reverse<i64>, Turns<usize>>,
    plan: SchedulePlan,
}

impl<'a> Planning<'a> {
    fn new(snapshot: &'a Snapshot, unmet: Vec<Option<Need>>, cursor: Cursor) -> Self {
        let queues = snapshot.queues.iter();
        let mut planning = Self {
            snapshot,
            places: queues.clone().map(|queue| (0, queue.slots())).collect(),
            ready: BTreeMap::new(),
            plan: SchedulePlan {
                launch: Vec::new(),
                cursor: cursor.kept_for(queues.map(|queue| &queue.flow)),
                unmet,
                launched: BTreeMap::new(),
            },
        };
        for index in 0..snapshot.queues.len() {
            planning.line_up(index);
        }
        planning
    }

    /// Puts the queue where its next request belongs that can be launched.
    fn line_up(&mut self, index: usize) {
        let queue = &self.snapshot.queues[index];
        let (place, slots) = &mut self.places[index];
        if *slots == 0 {
            return;
        }
        let is_served =
            |waiting: &Waiting| matches!(self.plan.unmet.get(waiting.needs), Some(None));
        let rest = &queue.waiting[*place..];
        let Some(skipped) = rest.iter().position(is_served) else {
            return;
        };
        *place += skipped;
        let priority = rest[skipped].priority;
        let turns = self.ready.entry(Reverse(priority)).or_default();
        turns.insert(queue.flow.clone(), index);
    }

    fn launch_next(&mut self) -> bool {
        let Some(mut level) = self.ready.first_entry() else {
            return false;
        };
        let priority = level.key().0;
        let next = level.get_mut().take(&mut self.plan.cursor, priority);
        if level.get().is_empty() {
            level.remove();
        }
        let Some((flow, index)) = next else {
            return true;
        };
        let (place, slots) = &mut self.places[index];
        let request = self.snapshot.queues[index].waiting[*place].id;
        *place += 1;
        *slots -= 1;
        self.plan.launch.push(request);
        *self.plan.launched.entry(flow).or_default() += 1;
        self.line_up(index);
        true
    }
}
