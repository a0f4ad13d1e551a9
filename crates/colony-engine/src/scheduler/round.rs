//! What is decided about the requests that were found.

use std::collections::{BTreeMap, BTreeSet};

use colony_core::id::RequestId;
use colony_core::schedule::{Ant, Cursor, Queue, Reason, SchedulePlan, Snapshot, Waiting, plan};
use colony_core::state::JobState;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::Subject;
use crate::readiness::{ants, unserved};
use crate::runs::{Launch, Launched, Pass, Readiness, closed, flow};

use super::sorted::{Looked, Sorted};
use super::{BATCH, Found, Versions};

/// What a look at some schedule keys comes to.
pub(crate) struct Round {
    keys: Vec<String>,
    /// What cannot be looked at, and why.
    pub(crate) guilty: Vec<(Subject, EngineError)>,
    /// Those that do not run now.
    pub(crate) passes: Vec<(Subject, Pass)>,
    /// Those that do.
    pub(crate) launches: Vec<(Subject, Launch)>,
    /// The keys of `launches`, and whether their requests were there to be launched.
    launched: Vec<(String, bool)>,
    /// Keys of which somebody waits for a slot.
    short: BTreeSet<String>,
    /// Keys of which more may be launched.
    more: BTreeSet<String>,
}

impl Round {
    /// Before anything is read: a slot that is freed from now on wakes the scheduler.
    pub(crate) fn begin(engine: &Engine, keys: &[String]) {
        for key in keys {
            engine.nudges.set_short(key, true);
        }
    }

    /// Decides about what was found.
    pub(crate) fn decide(
        engine: &Engine,
        keys: Vec<String>,
        found: &Found,
        versions: &Versions,
        cursor: &mut Cursor,
    ) -> Result<Self, EngineError> {
        let sorted = Sorted::of(engine, found, versions)?;
        let (mut passes, looked) = (sorted.passes, sorted.looked);
        let snapshot = snapshot(found, &looked, &ants(&engine.ants.rooms()));
        let plan = plan(&snapshot, std::mem::take(cursor), BATCH as usize);
        *cursor = plan.cursor.clone();
        let (mut more, mut short) = (BTreeSet::new(), BTreeSet::new());
        for (queue, key) in snapshot.queues.iter().zip(looked.keys()) {
            let waits = waiting(queue, &plan, &mut passes);
            short.extend(waits.for_slot.then(|| (*key).to_owned()));
            more.extend(waits.for_turn.then(|| (*key).to_owned()));
            let count = found.due.get(*key).map_or(0, Vec::len);
            // There may be more behind those that were looked at.
            let full = count >= BATCH as usize || sorted.cut.contains(key);
            let all = full && !waits.for_slot && queue.closed.is_none();
            more.extend(all.then(|| (*key).to_owned()));
        }
        // Of those that were all passed over more may follow.
        let full = found
            .due
            .iter()
            .filter(|(key, due)| due.len() >= BATCH as usize && !looked.contains_key(key.as_str()));
        more.extend(full.map(|(key, _)| key.clone()));
        let launches = launches(looked, &plan.launch);
        let launched = launches.iter().map(|launch| {
            let row = &launch.request;
            let waits = matches!(row.job_state, JobState::Pending | JobState::Paused);
            (row.schedule_key.clone(), waits)
        });
        Ok(Self {
            keys,
            guilty: sorted.guilty,
            passes,
            launched: launched.collect(),
            launches: (launches.into_iter())
                .map(|launch| (Subject::Request(launch.request.id), launch))
                .collect(),
            short,
            more,
        })
    }

    /// Notes who waits for a slot. Gives the keys of which there may be more to launch.
    pub(crate) fn settle(
        mut self,
        engine: &Engine,
        outcomes: Vec<Option<Launched>>,
    ) -> Vec<String> {
        let mut again = BTreeSet::new();
        for ((key, waited), outcome) in self.launched.into_iter().zip(outcomes) {
            match outcome {
                Some(Launched::NoSlot) => {
                    self.short.insert(key);
                }
                // Its slot is for another one, who was told that there is none.
                Some(Launched::No) if waited => {
                    again.insert(key);
                }
                Some(Launched::Running | Launched::No) | None => {}
            }
        }
        for key in &self.keys {
            // Somebody waits for a slot, or may come to.
            let short = self.short.contains(key) || self.more.contains(key);
            engine.nudges.set_short(key, short);
        }
        let short = self.short;
        again.extend(self.more.into_iter().filter(|key| !short.contains(key)));
        again.into_iter().collect()
    }
}

/// What requests of a key wait for that are not launched.
#[derive(Default)]
struct Waits {
    for_slot: bool,
    for_turn: bool,
}

/// Notes why those wait that a plan does not launch: each that no ant can serve, and of the others the
/// first one.
fn waiting(queue: &Queue, plan: &SchedulePlan, passes: &mut Vec<(Subject, Pass)>) -> Waits {
    let mut waits = Waits::default();
    let mut told = false;
    for waiting in &queue.waiting {
        if plan.launch.contains(&waiting.id) {
            continue;
        }
        let readiness = match plan.why(queue, waiting) {
            Reason::NoAnt(need) => unserved(need),
            Reason::Turn => {
                waits.for_turn = true;
                continue;
            }
            reason => {
                waits.for_slot |= matches!(reason, Reason::NoSlot { .. });
                if std::mem::replace(&mut told, true) {
                    continue;
                }
                Readiness::Waits(reason.to_string())
            }
        };
        let id = waiting.id;
        passes.push((Subject::Request(id), Pass { id, readiness }));
    }
    waits
}

fn snapshot(found: &Found, looked: &BTreeMap<&str, Vec<Looked>>, ants: &[Ant]) -> Snapshot {
    let mut snapshot = Snapshot {
        ants: ants.to_vec(),
        ..Snapshot::default()
    };
    for (key, requests) in looked {
        // Versions of one type hardly differ in it; each is checked when it is launched.
        let first = requests.first();
        let flags = first.and_then(|first| found.flags.get(&first.row.definition_id));
        let mut queue = Queue {
            flow: flow(key),
            closed: flags.copied().and_then(closed),
            taken: found.taken.get(*key).copied().unwrap_or(0),
            max_concurrency: flags.map_or(0, |flags| flags.max_concurrency),
            is_default: first.is_some_and(|first| {
                let definition = &first.compiled.definition;
                definition.max_concurrency.is_none()
            }),
            waiting: Vec::new(),
        };
        for request in requests {
            let known = snapshot
                .needs
                .iter()
                .position(|needs| *needs == request.needs);
            let needs = known.unwrap_or_else(|| {
                snapshot.needs.push(request.needs.clone());
                snapshot.needs.len() - 1
            });
            queue.waiting.push(Waiting {
                id: request.row.id,
                priority: request.row.job_priority,
                needs,
            });
        }
        snapshot.queues.push(queue);
    }
    snapshot
}

/// The requests of a plan in their order.
fn launches(looked: BTreeMap<&str, Vec<Looked>>, order: &[RequestId]) -> Vec<Launch> {
    let all = looked.into_values().flatten();
    let mut by_id: BTreeMap<RequestId, Looked> =
        all.map(|request| (request.row.id, request)).collect();
    let planned = order.iter().filter_map(|id| by_id.remove(id));
    let launch = |request: Looked| Launch {
        earlier: request.earlier,
        request: request.row,
        compiled: request.compiled,
    };
    planned.map(launch).collect()
}
